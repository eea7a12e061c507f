use std::fs;
use std::path::Path;
use std::time::Duration;

use leadsman_domain::{EventSource, PayloadKind, RawBatch, RawRecord, SourceError, Timestamp};
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Inbox, InboxError, InboxLimits, InboxReader, InboxWriter, frame, segment};

mod damage;

const AT: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
const SOON: Duration = Duration::from_millis(50);
const NEVER: Duration = Duration::from_secs(3600);
const DEADLINE: Duration = Duration::from_secs(20);
const TINY: InboxLimits = InboxLimits { segment_bytes: 132, max_bytes: 1 << 20, max_record: 4096 };

fn open(dir: &Path) -> InboxWriter {
    Inbox::open(dir, InboxLimits::default()).unwrap()
}

async fn put(writer: &InboxWriter, bytes: impl Into<Vec<u8>>) -> u64 {
    writer.append(PayloadKind::K8sAudit, bytes.into(), AT).await.unwrap()
}

async fn batch(reader: &mut InboxReader) -> RawBatch {
    timeout(DEADLINE, reader.next_batch()).await.expect("a batch in time").unwrap().expect("not the end")
}

/// Records `from..to`; checks that batches and numbers are contiguous.
async fn read(writer: &InboxWriter, from: u64, to: u64) -> Vec<RawRecord> {
    let mut reader = writer.reader(from, NEVER).unwrap();
    let (mut at, mut records) = (from, Vec::new());
    while at < to {
        let RawBatch { span, records: more } = batch(&mut reader).await;
        assert_eq!((span.from, span.to), (at, at + more.len() as u64));
        assert!(more.iter().map(|r| r.offset).eq(span.from..span.to));
        at = span.to;
        records.extend(more);
    }
    records
}

async fn texts(writer: &InboxWriter, from: u64) -> Vec<String> {
    read(writer, from, writer.end()).await.into_iter().map(|r| String::from_utf8(r.bytes.to_vec()).unwrap()).collect()
}

fn segments(dir: &Path) -> Vec<u64> {
    segment::list(dir).unwrap()
}

#[tokio::test]
async fn what_was_appended_is_read_back_in_order() {
    let dir = TempDir::new().unwrap();
    let writer = open(dir.path());
    let kinds = [PayloadKind::K8sAudit, PayloadKind::PrometheusRemoteWrite, PayloadKind::MetricJson];
    for (n, kind) in kinds.into_iter().enumerate() {
        let at = Timestamp::from_micros(n as i64);
        assert_eq!(writer.append(kind, vec![n as u8; n], at).await.unwrap(), n as u64);
    }
    let back = read(&writer, 0, 3).await;
    for (n, (record, kind)) in back.into_iter().zip(kinds).enumerate() {
        let received_at = Timestamp::from_micros(n as i64);
        assert_eq!(record, RawRecord { offset: n as u64, received_at, kind, bytes: vec![n as u8; n].into() });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_appends_get_their_own_numbers() {
    let dir = TempDir::new().unwrap();
    let writer = open(dir.path());
    let mut tasks = JoinSet::new();
    for n in 0..100 {
        let writer = writer.clone();
        tasks.spawn(async move { (put(&writer, format!("body {n}")).await, format!("body {n}")) });
    }
    let mut answers = tasks.join_all().await;
    answers.sort();
    let back = texts(&writer, 0).await;
    assert_eq!(answers, (0..100).zip(back).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_answered_append_is_in_the_file() {
    let dir = TempDir::new().unwrap();
    let writer = open(dir.path());
    put(&writer, "first").await;
    put(&writer, "second").await;
    let mut expected = Vec::new();
    for body in ["first", "second"] {
        let durable = expected.len() as u64;
        frame::encode(&mut expected, PayloadKind::K8sAudit, AT, durable, body.as_bytes());
    }
    assert_eq!(fs::read(segment::path(dir.path(), 0)).unwrap(), expected);
}

#[tokio::test]
async fn reopening_continues_the_numbers() {
    let dir = TempDir::new().unwrap();
    for n in 0..3 {
        let writer = open(dir.path());
        assert_eq!(writer.end(), n);
        assert_eq!(put(&writer, format!("{n}")).await, n);
    }
    assert_eq!(texts(&open(dir.path()), 0).await, ["0", "1", "2"]);
}

async fn rolled(dir: &Path) -> InboxWriter {
    let writer = Inbox::open(dir, TINY).unwrap();
    for n in 0..10 {
        put(&writer, format!("record {n}")).await;
    }
    assert_eq!(segments(dir), [0, 4, 8]);
    writer
}

#[tokio::test]
async fn segments_roll_and_reading_goes_over_them() {
    let dir = TempDir::new().unwrap();
    let writer = rolled(dir.path()).await;
    let all: Vec<_> = (0..10).map(|n| format!("record {n}")).collect();
    for from in 0..=10 {
        assert_eq!(texts(&writer, from).await, all[from as usize..]);
    }
    drop(writer);
    assert_eq!(texts(&Inbox::open(dir.path(), TINY).unwrap(), 3).await, all[3..]);
}

#[tokio::test]
async fn batches_are_bounded_and_one_large_record_comes_alone() {
    let dir = TempDir::new().unwrap();
    let writer = open(dir.path());
    put(&writer, "small").await;
    put(&writer, vec![b'x'; 5 << 20]).await;
    let mut more = JoinSet::new();
    for _ in 0..501 {
        let writer = writer.clone();
        more.spawn(async move { put(&writer, "y").await });
    }
    more.join_all().await;
    let mut reader = writer.reader(0, NEVER).unwrap();
    let mut sizes = Vec::new();
    for _ in 0..4 {
        sizes.push(batch(&mut reader).await.records.len());
    }
    assert_eq!(sizes, [1, 1, 500, 1]);
}

#[tokio::test]
async fn the_reader_wakes_up_says_idle_once_and_ends_with_the_writer() {
    let dir = TempDir::new().unwrap();
    let writer = open(dir.path());
    let mut reader = writer.reader(0, SOON).unwrap();
    for n in 0..2 {
        let idle = batch(&mut reader).await;
        assert_eq!((idle.span.from, idle.span.to, idle.records.len()), (n, n, 0));
        assert!(timeout(SOON * 3, reader.next_batch()).await.is_err(), "idle is said once");
        let (next, _) = tokio::join!(batch(&mut reader), put(&writer, "wake up"));
        assert_eq!((next.span.from, next.span.to, next.records.len()), (n, n + 1, 1));
    }
    put(&writer, "last").await;
    drop(writer);
    assert_eq!(batch(&mut reader).await.records[0].bytes, "last");
    assert_eq!(timeout(DEADLINE, reader.next_batch()).await.unwrap().unwrap(), None);
}

#[tokio::test]
async fn deletes_whole_segments_only_and_refuses_to_read_what_is_gone() {
    let dir = TempDir::new().unwrap();
    let writer = rolled(dir.path()).await;
    assert_eq!(writer.delete_before(3).await.unwrap(), 0);
    assert_eq!(writer.delete_before(7).await.unwrap(), 1);
    assert_eq!(segments(dir.path()), [4, 8]);
    let gap = |from| matches!(writer.reader(from, NEVER), Err(SourceError::Gap { .. }));
    assert!(gap(3) && !gap(4) && !gap(10) && gap(11));
    assert_eq!(writer.delete_before(u64::MAX).await.unwrap(), 1);
    assert_eq!(segments(dir.path()), [8], "the last segment carries the numbers on");
    drop(writer);
    let writer = Inbox::open(dir.path(), TINY).unwrap();
    assert_eq!(texts(&writer, 8).await, ["record 8", "record 9"]);
    assert_eq!(writer.end(), 10);
}

#[tokio::test]
async fn a_full_inbox_refuses_until_segments_are_deleted() {
    let dir = TempDir::new().unwrap();
    let writer = Inbox::open(dir.path(), InboxLimits { max_bytes: 300, ..TINY }).unwrap();
    let append = |n: usize| writer.append(PayloadKind::K8sAudit, vec![b'x'; n], AT);
    let (mut taken, mut full) = (0, None);
    while full.is_none() && taken < 50 {
        match append(20).await {
            Ok(_) => taken += 1,
            Err(error) => full = Some(error),
        }
    }
    assert!(matches!(full, Some(InboxError::Full { held, .. }) if held <= 300), "{full:?}");
    assert!(matches!(append(4097).await, Err(InboxError::TooLarge { bytes: 4097, limit: 4096 })));
    writer.delete_before(taken).await.unwrap();
    assert_eq!(append(20).await.unwrap(), taken);
}

#[test]
fn a_second_writer_is_locked_out_until_the_first_is_gone() {
    let dir = TempDir::new().unwrap();
    let first = open(dir.path());
    assert!(matches!(Inbox::open(dir.path(), TINY), Err(InboxError::Locked { .. })));
    drop(first);
    open(dir.path());
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// `None` reopens the inbox; `Some` is one concurrent group of appends.
    #[test]
    fn any_appends_and_reopens_read_back_exactly(
        steps in prop::collection::vec(prop::option::weighted(0.8, prop::collection::vec(
            prop::collection::vec(any::<u8>(), 0..60), 1..6)), 1..12),
        from in any::<prop::sample::Index>(),
    ) {
        let dir = TempDir::new().unwrap();
        runtime().block_on(async {
            let mut writer = Inbox::open(dir.path(), TINY).unwrap();
            let mut model = Vec::new();
            for step in steps {
                let Some(bodies) = step else {
                    drop(writer);
                    writer = Inbox::open(dir.path(), TINY).unwrap();
                    continue;
                };
                let mut tasks = JoinSet::new();
                for body in bodies {
                    let writer = writer.clone();
                    tasks.spawn(async move { (put(&writer, body.clone()).await, body) });
                }
                let mut answers = tasks.join_all().await;
                answers.sort();
                for (number, body) in answers {
                    assert_eq!(number, model.len() as u64);
                    model.push(body);
                }
            }
            assert_eq!(writer.end(), model.len() as u64);
            let from = from.index(model.len() + 1);
            let back: Vec<_> = read(&writer, from as u64, writer.end()).await.into_iter().map(|r| r.bytes).collect();
            assert_eq!(back, model[from..]);
        });
    }
}
