use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use leadsman_domain::{
    Actor, ActorClass, AuditEvent, EventId, Level, MetricSample, ObjectRef, RequestKey, RiskFlags, SourceId, Span,
    Stage, Untrusted, Verb,
};
use leadsman_features::{LogPlace, PlacedSample, ScoredEvent};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// 2026-03-02T10:00:00Z.
pub(super) const TEN: i64 = 1_772_445_600_000_000;
pub(super) const MINUTE: i64 = 60_000_000;
pub(super) const CLUSTER: &str = "prod";
pub(super) const SOURCE: &str = "kafka:leadsman.audit";

/// A lake in a directory of its own.
pub(super) fn lake() -> (TempDir, Lake) {
    let directory = tempfile::tempdir().unwrap();
    let url = directory.path().join("lake").display().to_string();
    (directory, Lake::open(&url, &Access::default()).unwrap())
}

pub(super) fn place(offset: u64, item: u32) -> LogPlace {
    LogPlace { source: SOURCE.into(), partition: 0, offset, item }
}

/// The event of an offset, so many minutes after ten.
pub(super) fn row(offset: u64, minute: i64) -> ScoredEvent {
    ScoredEvent {
        place: place(offset, 0),
        event: AuditEvent {
            id: EventId::new(offset.into()),
            request: RequestKey::new(offset.into()),
            audit_id: Untrusted::new(format!("audit-{offset}")),
            stage: Stage::ResponseComplete,
            level: Level::Metadata,
            event_time: Timestamp::from_micros(TEN + minute * MINUTE),
            actor: Actor { name: "jane".into(), class: ActorClass::Human, impersonated: None },
            verb: Verb::Get,
            object: ObjectRef { resource: Untrusted::new("pods"), ..ObjectRef::default() },
            request_uri: Untrusted::new("/api/v1/pods"),
            source_ip: None,
            user_agent: None,
            code: Some(200),
            forbidden: false,
            risk: RiskFlags::UNKNOWN,
            accounts: Box::default(),
        },
        surprise: offset.is_multiple_of(2).then_some(offset as f64),
    }
}

fn sample(offset: u64, minute: i64) -> PlacedSample {
    let text = Untrusted::new;
    PlacedSample {
        place: place(offset, 0),
        sample: MetricSample {
            name: text("up"),
            namespace: text("shop"),
            workload: text("cart"),
            pod: None,
            series: offset,
            whole_pod: true,
            event_time: Timestamp::from_micros(TEN + minute * MINUTE),
            value: 0.5,
        },
    }
}

pub(super) fn span(from: u64, to: u64) -> Span {
    Span { source: SourceId::new(SOURCE), partition: 0, from, to }
}

/// Writes a roll of the events at these minutes after ten, one an offset.
pub(super) fn roll(lake: &Lake, from: u64, minutes: &[i64]) {
    let events = (from..).zip(minutes).map(|(offset, minute)| row(offset, *minute)).collect();
    lake.write_roll(CLUSTER, &span(from, from + minutes.len() as u64), Roll { events, ..Roll::default() }).unwrap();
}

/// Every event of the lake, in the order in which it is read.
pub(super) fn events(lake: &Lake, filter: &Filter) -> Vec<AuditEvent> {
    let contents = lake.contents(filter).unwrap();
    let mut reader = lake.read(&contents, filter).unwrap();
    let mut events = Vec::new();
    while let Some(chunk) = reader.next_chunk(7).unwrap() {
        assert!(chunk.events.len() <= 7);
        events.extend(chunk.events);
    }
    events
}

pub(super) fn ids(lake: &Lake) -> Vec<u64> {
    events(lake, &Filter::default()).iter().map(|event| event.id.get() as u64).collect()
}

/// Every file of a directory with its bytes.
pub(super) fn bytes(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut ahead = vec![directory.to_path_buf()];
    while let Some(next) = ahead.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                ahead.push(path);
            } else {
                let name = path.strip_prefix(directory).unwrap().display().to_string();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

#[test]
fn a_roll_is_a_file_an_hour_and_written_again_it_is_the_same() {
    let (directory, lake) = lake();
    let write = || {
        let events = vec![row(100, 59), row(101, 61), row(102, 58)];
        let samples = vec![sample(103, 60)];
        lake.write_roll(CLUSTER, &span(100, 110), Roll { events, samples }).unwrap()
    };
    let written = write();
    assert_eq!((written.files, written.rows), (3, 4));
    let once = bytes(directory.path());
    let part = "part-kafka%3Aleadsman.audit-0-100-110.parquet";
    let names: Vec<&String> = once.keys().collect();
    assert_eq!(
        names,
        [
            &format!("lake/events/cluster=prod/date=2026-03-02/hour=10/{part}"),
            &format!("lake/events/cluster=prod/date=2026-03-02/hour=11/{part}"),
            &format!("lake/samples/cluster=prod/date=2026-03-02/hour=11/{part}"),
        ]
    );
    assert_eq!(write(), written);
    assert!(bytes(directory.path()) == once);
    assert_eq!(ids(&lake), [100, 101, 102]);
}

#[test]
fn what_is_outside_of_the_range_is_refused() {
    let (directory, lake) = lake();
    let refused = lake.write_roll(CLUSTER, &span(0, 5), Roll { events: vec![row(5, 0)], ..Roll::default() });
    assert!(matches!(refused, Err(LakeError::OutsideRange { offset: 5, first: 0, next: 5 })));
    let negative = Span { partition: -1, ..span(0, 5) };
    assert!(matches!(lake.write_roll(CLUSTER, &negative, Roll::default()), Err(LakeError::Partition { .. })));
    let before = Roll { events: vec![row(4, 0)], ..Roll::default() };
    assert!(matches!(lake.write_roll(CLUSTER, &span(5, 6), before), Err(LakeError::Order { offset: 4, last: 5 })));
    let backwards = Roll { events: vec![row(2, 0), row(1, 0)], ..Roll::default() };
    assert!(matches!(lake.write_roll(CLUSTER, &span(0, 5), backwards), Err(LakeError::Order { offset: 1, last: 2 })));
    assert!(bytes(directory.path()).is_empty());
}

#[test]
fn rows_that_are_handed_over_bit_by_bit_give_the_same_files_and_none_before_the_end() {
    let (at_once, lake_at_once) = lake();
    let (by_bits, lake_by_bits) = lake();
    let minutes = [0, 61, 2, 63, 120, 5];
    roll(&lake_at_once, 7, &minutes);
    let mut writer = lake_by_bits.begin_roll(CLUSTER, &SourceId::new(SOURCE), 0, 7).unwrap();
    for (offset, minute) in (7..).zip(minutes) {
        writer.push(Roll { events: vec![row(offset, minute)], ..Roll::default() }).unwrap();
    }
    assert_eq!(ids(&lake_by_bits), [0; 0]);
    assert_eq!(writer.finish(13).unwrap().files, 3);
    assert!(bytes(by_bits.path()) == bytes(at_once.path()));

    let mut dropped = lake_by_bits.begin_roll(CLUSTER, &SourceId::new(SOURCE), 0, 13).unwrap();
    dropped.push(Roll { events: vec![row(13, 0)], ..Roll::default() }).unwrap();
    drop(dropped);
    assert!(bytes(by_bits.path()) == bytes(at_once.path()));
}

#[test]
fn several_logs_are_read_by_time() {
    let (_directory, lake) = lake();
    for (partition, minutes) in [(0, [1, 5, 9]), (1, [2, 4, 70]), (2, [0, 3, 8])] {
        let of = Span { partition, ..span(0, 3) };
        let events = (0..).zip(minutes).map(|(offset, minute)| {
            let mut row = row(offset, minute);
            row.place.partition = partition;
            row.event.id = EventId::new(minute as u128);
            row
        });
        lake.write_roll(CLUSTER, &of, Roll { events: events.collect(), ..Roll::default() }).unwrap();
    }
    assert_eq!(ids(&lake), [0, 1, 2, 3, 4, 5, 8, 9, 70]);
}

#[test]
fn hostile_names_do_not_leave_the_directory() {
    for hostile in ["..", "../../../outside", "/outside", "a\\..\\b", "x/date=1970-01-01", "\0", "\u{202e}", ""] {
        let (directory, lake) = lake();
        let mut hostile_row = row(0, 0);
        hostile_row.place.source = hostile.into();
        let hostile_span = Span { source: SourceId::new(hostile), ..span(0, 1) };
        let roll = Roll { events: vec![hostile_row], ..Roll::default() };
        lake.write_roll(hostile, &hostile_span, roll).unwrap();
        let beside: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(beside, ["lake"], "{hostile:?}");
        assert!(bytes(&directory.path().join("lake")).keys().all(|name| name.starts_with("events/cluster=")));
        let filter = Filter { cluster: Some(hostile.to_owned()), ..Filter::default() };
        assert_eq!(events(&lake, &filter).len(), 1, "{hostile:?}");
    }
}

#[test]
fn a_part_of_the_lake_is_read_by_cluster_and_time() {
    let (_directory, lake) = lake();
    roll(&lake, 0, &[0, 30, 59, 60, 90, 120]);
    let at = |minute| Some(Timestamp::from_micros(TEN + minute * MINUTE));
    let count = |filter: &Filter| events(&lake, filter).len();
    let part = |from, to| Filter { from, to, ..Filter::default() };
    assert_eq!(count(&part(at(30), at(90))), 3);
    assert_eq!(count(&part(at(60), None)), 3);
    assert_eq!(count(&part(None, at(60))), 3);
    // Files of other hours are not even looked at.
    assert_eq!(lake.contents(&part(at(60), at(61))).unwrap().files.len(), 1);
    assert_eq!(count(&Filter { cluster: Some("other".to_owned()), ..Filter::default() }), 0);

    lake.write_roll("other", &span(6, 7), Roll { events: vec![row(6, 0)], ..Roll::default() }).unwrap();
    let all = lake.contents(&Filter::default()).unwrap();
    let Err(LakeError::Clusters { clusters }) = lake.read(&all, &Filter::default()) else { panic!("read both") };
    assert_eq!(clusters, ["other", CLUSTER]);
    assert_eq!(count(&Filter { cluster: Some("other".to_owned()), ..Filter::default() }), 1);
}

#[test]
fn what_a_killed_writer_left_is_neither_read_nor_kept() {
    let (directory, lake) = lake();
    roll(&lake, 0, &[0, 1]);
    // Killed between writing and renaming: the whole file is there, and has no name.
    let drafts = directory.path().join("lake/.drafts");
    for (name, age) in [("old", Duration::from_secs(25 * 3_600)), ("new", Duration::from_secs(60))] {
        let file = File::create(drafts.join(name)).unwrap();
        #[expect(clippy::disallowed_methods, reason = "the age of a file is told by the clock")]
        file.set_modified(SystemTime::now() - age).unwrap();
    }
    assert_eq!(ids(&lake), [0, 1]);
    assert_eq!(lake.contents(&Filter::default()).unwrap().foreign, 0);
    lake.compact(&Filter::default(), Timestamp::from_micros(TEN), |_, _| {}).unwrap();
    let left: Vec<_> = fs::read_dir(&drafts).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["new"], "somebody may still write it");
}

#[test]
fn foreign_files_are_counted_and_left_alone() {
    let (directory, lake) = lake();
    roll(&lake, 0, &[0]);
    let readme = directory.path().join("lake/events/README");
    fs::write(&readme, "ours").unwrap();
    assert_eq!(lake.contents(&Filter::default()).unwrap().foreign, 1);
    lake.prune(&Filter::default(), Timestamp::from_micros(i64::MAX), |_, _| {}).unwrap();
    assert!(readme.exists());
}

#[test]
fn old_hours_go_and_their_directories_with_them() {
    let (directory, lake) = lake();
    roll(&lake, 0, &[0, 60, 24 * 60]);
    let eleven = Timestamp::from_micros(TEN + 60 * MINUTE);
    assert_eq!(lake.prune(&Filter::default(), eleven, |_, _| {}).unwrap().files, 1);
    assert_eq!(ids(&lake), [1, 2]);
    let days = || fs::read_dir(directory.path().join("lake/events/cluster=prod")).unwrap().count();
    assert_eq!(days(), 2);
    let tomorrow = Timestamp::from_micros(TEN + 14 * 60 * MINUTE);
    lake.prune(&Filter::default(), tomorrow, |_, _| {}).unwrap();
    assert_eq!((ids(&lake), days()), (vec![2], 1));
}

#[test]
fn urls_are_directories_or_buckets() {
    let open = |url| Lake::open(url, &Access::default());
    for wrong in ["", "gs://bucket", "s3://", "s3:///prefix", "s3://bucket/../other", "https://host/bucket"] {
        assert!(matches!(open(wrong), Err(LakeError::Url { .. })), "{wrong}");
    }
    for right in ["lake", "/var/lib/lake", "s3://bucket", "s3://bucket/some/prefix/"] {
        assert!(open(right).is_ok(), "{right}");
    }
    assert!(Lake::is_at(Path::new("s3://bucket/prefix")));
    assert!(!Lake::is_at(Path::new("src")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Late events included, of whatever hour, and cut into rolls anywhere.
    #[test]
    fn a_log_is_read_in_its_own_order(rolls in vec(vec(0i64..300, 1..20), 1..6)) {
        let (_directory, lake) = lake();
        let mut next = 0;
        for minutes in &rolls {
            roll(&lake, next, minutes);
            next += minutes.len() as u64;
        }
        prop_assert_eq!(ids(&lake), (0..next).collect::<Vec<_>>());
    }
}
