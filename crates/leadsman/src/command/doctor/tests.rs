use std::time::Duration;

use leadsman_domain::{Checkpoint, Timestamp};
use leadsman_kafka::diagnose::{PartitionState, TopicSettings};
use leadsman_kafka::source_id;

use super::{Check, Verdict, certificates, clock, disk, kafka, position};
use crate::disk::{Kind, Space};

/// The verdict, and a part of the detail.
fn is(check: &Check, verdict: Verdict, part: &str) {
    assert_eq!(check.verdict, verdict, "{check:?}");
    assert!(check.detail.contains(part), "{check:?} should say {part}");
}

#[test]
fn a_disk_is_judged_by_what_is_left() {
    const GIB: u64 = 1 << 30;
    let room = |size, free| disk::room(&Space { size, free, files: 0, free_files: 0 });
    is(&room(100 * GIB, 50 * GIB), Verdict::Ok, "(50 %)");
    is(&room(100 * GIB, 19 * GIB), Verdict::Warn, "add space");
    is(&room(100 * GIB, GIB), Verdict::Fail, "as good as full");
    is(&room(GIB / 8, GIB / 16 - 1), Verdict::Fail, "as good as full");
    is(&room(0, 0), Verdict::Fail, "0.0 B of 0.0 B");
    let files = |files, free_files| disk::files(&Space { size: GIB, free: GIB, files, free_files });
    is(&files(0, 0), Verdict::Ok, "no limit");
    is(&files(10_000, 5_000), Verdict::Ok, "5000 of 10000");
    is(&files(10_000, 400), Verdict::Warn, "more inodes");
    is(&files(10_000, 99), Verdict::Fail, "more inodes");
}

#[test]
fn a_file_system_that_loses_data_is_named() {
    assert!(disk::safety(Kind::Ordinary).is_none());
    is(&disk::safety(Kind::Network("NFS")).unwrap(), Verdict::Warn, "NFS, over a network");
    is(&disk::safety(Kind::Memory).unwrap(), Verdict::Warn, "in memory");
    is(&disk::safety(Kind::Container).unwrap(), Verdict::Warn, "mount a volume");
}

#[test]
fn a_clock_behind_the_data_is_found() {
    let now = Timestamp::from_millis(1_700_000_000_000);
    let at = |seconds: i64| Timestamp::from_millis(1_700_000_000_000 + seconds * 1_000);
    let newest = |seconds| vec![("old".to_owned(), at(-5_000)), ("audit".to_owned(), at(seconds))];
    is(&clock::check_clock(now, None, &[]), Verdict::Ok, "no record");
    is(&clock::check_clock(now, Some(at(-60)), &newest(20)), Verdict::Ok, "not behind");
    is(&clock::check_clock(now, None, &newest(600)), Verdict::Warn, "`audit` is 10 minutes ahead");
    is(&clock::check_clock(now, Some(at(86_400)), &[]), Verdict::Fail, "24.0 hours before");
}

#[test]
fn a_certificate_is_renewed_in_time() {
    let now = Timestamp::from_millis(1_700_000_000_000);
    let judge = |days: i64| {
        certificates::judge(
            "ssl.ca.location",
            "ca.pem",
            Timestamp::from_millis(now.as_micros() / 1_000 + days * 86_400_000),
            now,
        )
    };
    is(&judge(15), Verdict::Ok, "holds until");
    is(&judge(13), Verdict::Warn, "ends in 13.0 days");
    is(&judge(0), Verdict::Fail, "renew it");
    is(&judge(-1), Verdict::Fail, "takes it up by itself");
}

fn partition(number: i32, low: u64, high: u64) -> PartitionState {
    PartitionState { number, replicas: 3, in_sync: 3, low, high, newest: None }
}

fn stored(partition: i32, state_offset: u64, next_offset: u64) -> Checkpoint {
    Checkpoint {
        source: source_id("audit"),
        partition,
        epoch: 1,
        next_offset,
        state_offset,
        snapshot: None,
        roll_to: None,
        source_tag: None,
    }
}

#[test]
fn a_position_is_compared_with_what_is_left() {
    let position = |partitions: &[PartitionState], stored: &[Checkpoint]| {
        let (name, source, partitions) = ("audit".to_owned(), source_id("audit"), partitions.to_vec());
        let mut checks = position::checks(&[position::Topic { name, source, partitions }], stored);
        assert_eq!(checks.len(), 1);
        checks.remove(0)
    };
    is(&position(&[partition(0, 0, 10), partition(1, 0, 5)], &[]), Verdict::Ok, "15 records unread in 2 partitions");
    is(&position(&[partition(0, 4, 10)], &[stored(0, 10, 10)]), Verdict::Ok, "nothing unread");
    is(&position(&[partition(0, 0, 10)], &[stored(0, 11, 11)]), Verdict::Fail, "recreated");
    is(&position(&[partition(0, 8, 10)], &[stored(0, 3, 5)]), Verdict::Fail, "deleted 3 records unread");
    is(&position(&[partition(0, 4, 10)], &[stored(0, 3, 9)]), Verdict::Warn, "last snapshot is at 3");
    is(&position(&[partition(0, 1_000, 9_000)], &[stored(0, 1_100, 1_100)]), Verdict::Warn, "may delete it unread");
    is(&position(&[partition(0, 0, 300_000)], &[stored(0, 200_000, 200_000)]), Verdict::Warn, "more workers");
    is(&position(&[partition(0, 0, 9)], &[stored(0, 1, 1), stored(1, 1, 1)]), Verdict::Fail, "partition 1 is in the");
    // A loss is told before a risk.
    let two = [partition(0, 4, 10), partition(1, 8, 10)];
    is(&position(&two, &[stored(0, 3, 9), stored(1, 3, 5)]), Verdict::Fail, "partition 1 begins at 8");
}

#[test]
fn a_topic_is_judged_by_what_it_would_lose() {
    let good = TopicSettings {
        cleanup_policy: "delete".to_owned(),
        retention: Some(Duration::from_secs(7 * 86_400)),
        retention_bytes: None,
        max_message_bytes: 10 * 1024 * 1024,
        min_in_sync: 2,
    };
    let three = [partition(0, 0, 1)];
    let topic = |settings: &TopicSettings| kafka::topic("audit", &three, Some(settings), true);
    is(&topic(&good), Verdict::Ok, "1 partitions");
    is(&topic(&TopicSettings { retention: None, ..good.clone() }), Verdict::Ok, "1 partitions");
    let short = TopicSettings { retention: Some(Duration::from_secs(3_600)), ..good.clone() };
    is(&topic(&short), Verdict::Warn, "1.0 hours");
    is(&topic(&TopicSettings { retention_bytes: Some(1_000), ..good.clone() }), Verdict::Warn, "1000 bytes");
    is(&topic(&TopicSettings { max_message_bytes: 1_048_588, ..good.clone() }), Verdict::Warn, "max.message.bytes");
    is(&topic(&TopicSettings { min_in_sync: 1, ..good.clone() }), Verdict::Warn, "set it to 2");
    is(&topic(&TopicSettings { min_in_sync: 3, ..good.clone() }), Verdict::Warn, "lower it");
    let compacted = TopicSettings { cleanup_policy: "compact,delete".to_owned(), ..good.clone() };
    is(&topic(&compacted), Verdict::Fail, "compaction deletes");
    is(&kafka::topic("findings", &three, Some(&compacted), false), Verdict::Ok, "1 partitions");
    is(&kafka::topic("audit", &three, None, true), Verdict::Warn, "DescribeConfigs");
    let lacking = [PartitionState { in_sync: 2, ..partition(0, 0, 1) }];
    is(&kafka::topic("audit", &lacking, Some(&good), true), Verdict::Warn, "up-to-date copy");
    let single = [PartitionState { replicas: 1, in_sync: 1, ..partition(0, 0, 1) }];
    is(&kafka::topic("audit", &single, Some(&good), true), Verdict::Warn, "one copy only");
}
