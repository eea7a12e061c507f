//! Going on from a tag.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use leadsman_domain::EventSource;
use proptest::prelude::*;
use tokio::time::timeout;

use super::super::generation::{FileId, Generation, Tag};
use super::super::{FileTail, TailPosition};
use super::{DEADLINE, Logs, NOW, SOON, long};

#[tokio::test]
async fn a_restart_goes_on_in_the_middle() {
    for (one, two) in [("one\n".to_owned(), "two\n".to_owned()), (long("one"), long("two"))] {
        let logs = Logs::new();
        logs.write(&one);
        let mut reader = logs.start();
        reader.expect(&one).await;
        let (at, tag) = (reader.at, reader.tail.tag());
        drop(reader);
        logs.write(&two);
        let mut reader = logs.resume(at, &tag);
        reader.expect(&two).await;
        assert_eq!(reader.at, (one.len() + two.len()) as u64);
    }
}

#[tokio::test]
async fn a_restart_after_rotations_reads_every_file() {
    let logs = Logs::new();
    logs.write("zero\n");
    logs.rotate("1");
    logs.write("one\n");
    let mut reader = logs.start();
    reader.expect("one\n").await;
    let (at, tag) = (reader.at, reader.tail.tag());
    drop(reader);
    logs.write("two\n");
    logs.rotate("2");
    logs.write("three\n");
    logs.rotate("3");
    logs.write("four\n");
    let mut reader = logs.resume(at, &tag);
    reader.expect("two\nthree\nfour\n").await;
    assert_eq!(reader.at, 19);
}

#[tokio::test]
async fn an_empty_file_that_is_rotated_while_nobody_looks_is_found() {
    let logs = Logs::new();
    logs.write("");
    let mut tail = FileTail::open(&logs.path, None, SOON, || NOW);
    assert!(timeout(DEADLINE, tail.next_batch()).await.unwrap().unwrap().unwrap().records.is_empty());
    logs.write("one\n");
    logs.rotate("1");
    logs.write("two\n");
    let mut reader = logs.resume(0, &tail.tag());
    reader.expect("one\ntwo\n").await;
}

#[tokio::test]
async fn replay_starts_generations_before_the_tag_and_gives_the_same_offsets() {
    let logs = Logs::new();
    let mut reader = logs.start();
    let mut first = Vec::new();
    for n in 0..4 {
        logs.write(format!("line {n}\npartial {n}"));
        first.extend(reader.batch().await.records.into_iter().map(|r| (r.offset, r.bytes)));
        logs.rotate(&n.to_string());
    }
    logs.write("last\n");
    while reader.at < 4 * 16 + 5 {
        first.extend(reader.batch().await.records.into_iter().map(|r| (r.offset, r.bytes)));
    }
    let (end, tag) = (reader.at, reader.tail.tag());
    // What was committed ends in the middle of what is there now.
    logs.write("new\n");
    for start in [0, 7, 16, 23, 48, 64, 69] {
        let mut reader = logs.resume(start, &tag);
        let mut again = Vec::new();
        while reader.at < end + 4 {
            let records = reader.batch().await.records;
            assert!(records.iter().all(|r| r.offset >= end || r.offset + r.bytes.len() as u64 <= end));
            again.extend(records.into_iter().map(|r| (r.offset, r.bytes)));
        }
        let flat = |records: &[(u64, Bytes)]| {
            let byte = |(at, bytes): &(u64, Bytes)| (*at..).zip(bytes.to_vec()).collect::<Vec<_>>();
            records.iter().flat_map(byte).collect::<Vec<_>>()
        };
        let mut expected = flat(&first);
        expected.retain(|(at, _)| *at >= start);
        expected.extend((end..).zip(*b"new\n"));
        assert_eq!(flat(&again), expected, "from {start}");
    }
}

fn set_modified(path: &Path, seconds_ago: u64) {
    let file = OpenOptions::new().append(true).open(path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    file.set_modified(modified - Duration::from_secs(seconds_ago)).unwrap();
}

#[tokio::test]
async fn a_lost_file_is_a_gap_that_is_told_once_and_reading_goes_on() {
    let logs = Logs::new();
    logs.write("ancient\n");
    logs.rotate("1");
    set_modified(&logs.rotated("1"), 3600);
    logs.write(long("one"));
    let mut reader = logs.start();
    reader.expect(long("one")).await;
    let (end, tag) = (reader.at, reader.tail.tag());
    drop(reader);
    logs.rotate("2");
    logs.write("two\n");
    logs.rotate("3");
    fs::remove_file(logs.rotated("2")).unwrap();
    logs.write("three\n");
    // Also when the snapshot is older than the loss: the hole lies before the first span.
    for start in [0, end] {
        let mut reader = logs.resume(start, &tag);
        // At least a byte was lost, since nobody knows how many.
        reader.at = end + 1;
        let first = reader.batch().await;
        assert_eq!((first.span.from, first.records[0].offset), (end + 1, end + 1), "no offset is used twice");
        reader.expect("two\nthree\n").await;
        assert_eq!(reader.at, end + 11);
    }
}

#[tokio::test]
async fn a_file_that_was_replaced_in_its_inode_is_a_gap() {
    let logs = Logs::new();
    logs.write(long("one"));
    let mut reader = logs.start();
    reader.expect(long("one")).await;
    let (end, tag) = (reader.at, reader.tail.tag());
    fs::write(&logs.path, long("two")).unwrap();
    let mut reader = logs.resume(end, &tag);
    reader.at = end + 1;
    reader.expect(long("two")).await;
}

#[tokio::test]
async fn a_copy_in_another_inode_is_the_same_log() {
    let logs = Logs::new();
    logs.write(long("one"));
    let mut reader = logs.start();
    reader.expect(long("one")).await;
    let (end, tag) = (reader.at, reader.tail.tag());
    let restored = logs.dir.path().join("restored");
    fs::copy(&logs.path, &restored).unwrap();
    fs::rename(restored, &logs.path).unwrap();
    logs.write("two\n");
    let mut reader = logs.resume(end, &tag);
    reader.expect("two\n").await;
}

#[tokio::test]
async fn a_path_that_is_missing_at_a_restart_is_no_gap_yet() {
    let logs = Logs::new();
    logs.write("one\n");
    let mut reader = logs.start();
    reader.expect("one\n").await;
    let elsewhere = logs.dir.path().join("elsewhere");
    fs::rename(&logs.path, &elsewhere).unwrap();
    let mut reader = logs.resume(reader.at, &reader.tail.tag());
    reader.nothing().await;
    fs::rename(&elsewhere, &logs.path).unwrap();
    logs.write("two\n");
    reader.expect("two\n").await;
}

#[tokio::test]
async fn a_tag_that_cannot_be_read_is_a_gap() {
    let logs = Logs::new();
    logs.write("one\n");
    let mut reader = logs.resume(100, "v9 of the future");
    reader.at = 101;
    reader.expect("one\n").await;
    assert_eq!(reader.at, 105);
}

/// What lies between the snapshot and the commit had offsets, which no other byte may get.
#[tokio::test]
async fn without_a_tag_no_committed_offset_is_used_twice() {
    let logs = Logs::new();
    logs.write("one\n");
    let position = TailPosition { offset: 100, committed: 500, tag: "v9 of the future".to_owned() };
    let batch = timeout(DEADLINE, logs.open(Some(position)).next_batch()).await.unwrap().unwrap().unwrap();
    assert_eq!((batch.span.from, batch.span.to), (501, 505));
}

#[test]
fn tags_round_trip_and_remember_sixteen_generations() {
    let generation =
        |start| Generation { start, id: FileId { device: 0xfe01, inode: start * 7 }, head_len: 9, hash: !start };
    let mut generations: Vec<_> = (0..20).map(generation).collect();
    Tag::trim(&mut generations);
    assert_eq!((generations.len(), generations[0].start), (16, 4));
    let tag = Tag { end: 77, modified: -5, generations };
    assert_eq!(tag.to_string().parse(), Ok(tag));
    for bad in ["", "v1", "v1 1", "v2 1 1", "v1 1 1 x", "v1 1 1 0:1:1:1025:0", "v1 1 1 0:1:1:1:0:9"] {
        assert!(bad.parse::<Tag>().is_err(), "{bad}");
    }
}

#[derive(Debug, Clone)]
enum Move {
    Write(String),
    Rotate,
    /// Reads one batch, if one is due.
    Read,
    /// Starts again with the newest tag, at one of the batches before it.
    Restart(prop::sample::Index),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => "[ab\n]{1,20}".prop_map(Move::Write),
        2 => Just(Move::Rotate),
        3 => Just(Move::Read),
        1 => any::<prop::sample::Index>().prop_map(Move::Restart),
    ];
    prop::collection::vec(one, 1..40)
}

/// Runs `moves` and checks that every byte is delivered, in order, at the offset it has in the logical log.
async fn run(moves: Vec<Move>) {
    let logs = Logs::new();
    let mut reader = logs.start();
    let (mut log, mut rotations, mut file, mut batches) = (Vec::new(), 0, String::new(), vec![0]);
    let end = [Move::Write("end\n".to_owned())];
    for step in std::iter::once(Move::Write("start\n".to_owned())).chain([Move::Read]).chain(moves).chain(end) {
        match step {
            Move::Write(text) => {
                logs.write(&text);
                log.extend_from_slice(text.as_bytes());
                file.push_str(&text);
            }
            Move::Rotate if file.is_empty() => {}
            Move::Rotate => {
                rotations += 1;
                logs.rotate(&format!("{rotations:03}"));
                file.clear();
            }
            Move::Read => {
                let whole = log.len() - file.len() + file.rfind('\n').map_or(0, |at| at + 1);
                // The last line of a file that was rotated away is due when its successor has bytes.
                let due =
                    if file.is_empty() { log.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1) } else { whole };
                if reader.at < due as u64 {
                    check(&mut reader, &log, &mut batches).await;
                }
            }
            Move::Restart(index) => {
                let tag = reader.tail.tag();
                reader = logs.resume(batches[index.index(batches.len())], &tag);
            }
        }
    }
    while reader.at < log.len() as u64 {
        check(&mut reader, &log, &mut batches).await;
    }
}

async fn check(reader: &mut super::Reader, log: &[u8], batches: &mut Vec<u64>) {
    let mut at = reader.at;
    let batch = reader.batch().await;
    let committed = batches.last().copied().unwrap_or_default();
    for record in batch.records {
        assert_eq!(record.offset, at, "no hole");
        let end = at + record.bytes.len() as u64;
        assert!(at >= committed || end <= committed, "no record on both sides of what was committed");
        assert_eq!(record.bytes, log[at as usize..end as usize]);
        at = end;
    }
    assert_eq!(at, batch.span.to);
    if at > committed {
        batches.push(at);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_writes_rotations_and_restarts_deliver_every_byte_at_its_offset(moves in moves()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(run(moves));
    }
}
