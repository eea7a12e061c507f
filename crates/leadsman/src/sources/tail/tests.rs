use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use leadsman_domain::{EventSource, PayloadKind, RawBatch, Timestamp};
use tempfile::TempDir;
use tokio::time::timeout;

use super::{FileTail, TailPosition, lines};

mod restart;

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
const NEVER: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(100);
const DEADLINE: Duration = Duration::from_secs(20);

/// A directory with an audit log in it.
struct Logs {
    dir: TempDir,
    path: PathBuf,
}

impl Logs {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("audit.log");
        Self { dir, path }
    }

    fn write(&self, bytes: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path).unwrap();
        file.write_all(bytes.as_ref()).unwrap();
    }

    /// Renames the log as kube-apiserver does.
    fn rotate(&self, timestamp: &str) {
        fs::rename(&self.path, self.rotated(timestamp)).unwrap();
    }

    fn rotated(&self, timestamp: &str) -> PathBuf {
        self.dir.path().join(format!("audit-{timestamp}.log"))
    }

    fn open(&self, from: Option<TailPosition>) -> FileTail {
        FileTail::open(&self.path, from, NEVER, || NOW)
    }

    fn resume(&self, offset: u64, tag: &str) -> Reader {
        Reader {
            tail: self.open(Some(TailPosition { offset, committed: offset, tag: tag.to_owned() })),
            at: offset,
            text: Vec::new(),
        }
    }

    fn start(&self) -> Reader {
        Reader { tail: self.open(None), at: 0, text: Vec::new() }
    }
}

/// Collects a tail and checks the contract of spans and offsets.
struct Reader {
    tail: FileTail,
    at: u64,
    text: Vec<u8>,
}

impl Reader {
    async fn batch(&mut self) -> RawBatch {
        let batch = timeout(DEADLINE, self.tail.next_batch()).await.expect("a batch in time").unwrap().unwrap();
        assert_eq!(batch.span.from, self.at, "spans are contiguous but for what was lost");
        for record in &batch.records {
            assert_eq!((record.kind, record.received_at), (PayloadKind::K8sAudit, NOW));
            assert!(record.offset >= self.at && record.offset < batch.span.to);
            self.at = record.offset;
            self.text.extend_from_slice(&record.bytes);
        }
        self.at = batch.span.to;
        batch
    }

    /// Reads until what came since the last call is as long as `expected`, and compares.
    async fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        while self.text.len() < expected.len() {
            self.batch().await;
        }
        assert_eq!(String::from_utf8_lossy(&self.text), String::from_utf8_lossy(expected));
        self.text.clear();
    }

    /// Looks until the tail is seen to hold something back or to wait.
    async fn nothing(&mut self) {
        let more = timeout(Duration::from_millis(300), self.tail.next_batch()).await;
        assert!(more.is_err(), "nothing is due: {more:?}");
    }
}

/// A line that is longer than the hashed head.
fn long(name: &str) -> String {
    format!("{{\"auditID\":\"{name}\",\"pad\":\"{}\"}}\n", "x".repeat(1500))
}

#[tokio::test]
async fn whole_lines_are_delivered_and_a_partial_one_is_held() {
    let logs = Logs::new();
    logs.write("one\ntw");
    let mut reader = logs.start();
    reader.expect("one\n").await;
    reader.nothing().await;
    logs.write("o");
    reader.nothing().await;
    logs.write("\nthree\nfo");
    reader.expect("two\nthree\n").await;
    assert_eq!(reader.at, 14);
    logs.write("ur\n");
    reader.expect("four\n").await;
}

#[tokio::test]
async fn a_path_that_is_not_there_yet_is_waited_for() {
    let logs = Logs::new();
    let mut reader = logs.start();
    reader.nothing().await;
    logs.write("one\n");
    reader.expect("one\n").await;
}

#[tokio::test]
async fn bytes_that_are_no_utf8_pass_untouched() {
    let logs = Logs::new();
    logs.write(b"\xff\xfe\0{\n\n\x80\n");
    let mut reader = logs.start();
    assert_eq!(reader.batch().await.records[0].bytes, b"\xff\xfe\0{\n\n\x80\n".as_slice());
}

#[tokio::test]
async fn a_rotation_is_read_to_its_end_first() {
    let logs = Logs::new();
    logs.write("one\n");
    let mut reader = logs.start();
    reader.expect("one\n").await;
    logs.write("two\npartial");
    logs.rotate("2026-01-01T00-00-00.000");
    logs.write("three\n");
    reader.expect("two\npartialthree\n").await;
    assert_eq!(reader.at, 21, "offsets go on over generations");
}

#[tokio::test]
async fn several_rotations_between_two_looks_are_read_in_order() {
    let logs = Logs::new();
    // Rotated before the first start: not part of the log.
    logs.write("ancient\n");
    logs.rotate("2025-01-01");
    logs.write("one\n");
    let mut reader = logs.start();
    reader.expect("one\n").await;
    logs.rotate("2026-01-01");
    for day in ["2026-01-02", "2026-01-03"] {
        logs.write(format!("{day}\n"));
        logs.rotate(day);
    }
    fs::write(logs.dir.path().join("audit-webhook.log"), "another log\n").unwrap();
    logs.write("newest\n");
    reader.expect("2026-01-02\n2026-01-03\nnewest\n").await;
}

#[tokio::test]
async fn writers_that_are_slow_to_reopen_lose_nothing() {
    let logs = Logs::new();
    logs.write("one\n");
    let mut old = OpenOptions::new().append(true).open(&logs.path).unwrap();
    let mut reader = logs.start();
    reader.expect("one\n").await;
    logs.rotate("1");
    File::create(&logs.path).unwrap();
    reader.nothing().await;
    old.write_all(b"two\n").unwrap();
    reader.expect("two\n").await;
    logs.write("three\n");
    reader.expect("three\n").await;
}

#[tokio::test]
async fn a_truncated_file_is_read_from_its_start() {
    let logs = Logs::new();
    logs.write(long("one"));
    let mut reader = logs.start();
    reader.expect(long("one")).await;
    File::create(&logs.path).unwrap();
    reader.nothing().await;
    logs.write("two\n");
    reader.expect("two\n").await;
    assert_eq!(reader.at, long("one").len() as u64 + 4);
    // Grown beyond the old place before anybody looked: the head tells.
    fs::write(&logs.path, long("three")).unwrap();
    reader.expect(long("three")).await;
}

#[tokio::test]
async fn records_hold_lines_up_to_a_mebibyte() {
    let logs = Logs::new();
    let line = [vec![b'x'; 400_000], vec![b'\n']].concat();
    let big = [vec![b'y'; 5 << 20], vec![b'\n']].concat();
    logs.write([&line[..], &line, &line, &big, &line].concat());
    let mut reader = logs.start();
    let mut sizes = Vec::new();
    while sizes.iter().sum::<usize>() < 4 * line.len() + big.len() {
        sizes.extend(reader.batch().await.records.iter().map(|r| r.bytes.len()));
    }
    assert_eq!(sizes, [2 * line.len(), line.len(), big.len(), line.len()]);
}

#[tokio::test]
async fn an_over_long_line_is_cut_and_skipped_once_its_newline_comes() {
    let logs = Logs::new();
    logs.write("one\n");
    logs.write(vec![b'x'; lines::LINE + (3 << 20)]);
    let mut reader = logs.start();
    reader.expect("one\n").await;
    reader.nothing().await;
    logs.write("\ntwo\n");
    let long = reader.batch().await;
    assert_eq!((long.records.len(), long.records[0].offset), (1, 4));
    assert_eq!(long.records[0].bytes, vec![b'x'; lines::LINE + 1]);
    reader.text.clear();
    reader.expect("two\n").await;
    assert_eq!(reader.at, (lines::LINE + (3 << 20) + 9) as u64);
}

#[tokio::test]
async fn a_line_at_the_limit_is_whole() {
    let logs = Logs::new();
    logs.write(vec![b'x'; lines::LINE]);
    logs.write("\n");
    assert_eq!(logs.start().batch().await.records[0].bytes.len(), lines::LINE + 1);
}

#[tokio::test]
async fn idle_is_said_once_until_something_comes() {
    let logs = Logs::new();
    let mut reader = Reader { tail: FileTail::open(&logs.path, None, SOON, || NOW), at: 0, text: Vec::new() };
    for n in 0..2 {
        let idle = reader.batch().await;
        assert_eq!((idle.span.from, idle.span.to, idle.records.len()), (n * 4, n * 4, 0));
        reader.nothing().await;
        logs.write("one\n");
        reader.expect("one\n").await;
    }
}

#[tokio::test]
async fn a_directory_is_unavailable_and_says_so() {
    let dir = TempDir::new().unwrap();
    let mut tail = FileTail::open(dir.path(), None, NEVER, || NOW);
    let error = timeout(DEADLINE, tail.next_batch()).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("not a regular file"), "{error}");
}
