//! What a crash, a bad disk or a full one leaves behind.

use std::fs;

use leadsman_domain::{EventSource, PayloadKind, SourceError};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::super::log::{Append, Log};
use super::super::{Damage, Inbox, InboxError, InboxLimits, frame, segment};
use super::{AT, DEADLINE, NEVER, TINY, open, put, rolled, texts};

#[tokio::test]
async fn a_torn_tail_is_cut_wherever_it_ends() {
    let dir = TempDir::new().unwrap();
    let writer = open(dir.path());
    let path = segment::path(dir.path(), 0);
    for body in ["one", "two", "three"] {
        put(&writer, body).await;
    }
    drop(writer);
    let whole = fs::read(&path).unwrap();
    let last = whole.len() - frame::size("three".len()) as usize;
    for cut in last..whole.len() {
        for zeros in [0, 64] {
            // File systems may extend a file before they write its blocks.
            fs::write(&path, [&whole[..cut], &vec![0; zeros][..]].concat()).unwrap();
            let writer = open(dir.path());
            assert_eq!(fs::metadata(&path).unwrap().len(), last as u64, "cut at {cut}");
            assert_eq!(put(&writer, "again").await, 2);
            assert_eq!(texts(&writer, 0).await, ["one", "two", "again"]);
        }
    }
}

#[tokio::test]
async fn a_flipped_byte_before_the_tail_is_corrupt() {
    let dir = TempDir::new().unwrap();
    let writer = open(dir.path());
    let path = segment::path(dir.path(), 0);
    for body in ["one", "two", "three"] {
        put(&writer, body).await;
    }
    drop(writer);
    let whole = fs::read(&path).unwrap();
    let size = frame::size(3) as usize;
    for at in size..2 * size {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        fs::write(&path, &damaged).unwrap();
        let error = Inbox::open(dir.path(), InboxLimits::default()).unwrap_err();
        assert!(matches!(&error, InboxError::Corrupt { offset, .. } if *offset == size as u64), "byte {at}: {error}");
        assert!(error.to_string().contains(path.to_str().unwrap()));
        assert_eq!(fs::read(&path).unwrap(), damaged, "evidence is left alone");
    }
}

/// When the power fails, any pages of a group may be on the disk, and others not.
#[test]
fn a_group_of_which_anything_is_missing_is_cut_there() {
    for before in [&[][..], &["acknowledged", "as well"]] {
        let dir = TempDir::new().unwrap();
        let path = segment::path(dir.path(), 0);
        let reopened = || Log::open(dir.path(), InboxLimits::default());
        let mut log = reopened().unwrap();
        group(&mut log, before);
        let start = log.last.1 as usize;
        let torn = ["one", "two", "three"];
        group(&mut log, &torn);
        drop(log);
        let whole = fs::read(&path).unwrap();
        let starts: Vec<usize> = torn
            .iter()
            .scan(start, |at, body| Some(std::mem::replace(at, *at + frame::size(body.len()) as usize)))
            .collect();
        for from in start..whole.len() {
            let ends = [1, 8, 40, whole.len()].map(|n| whole.len().min(from + n));
            for to in ends.into_iter().filter(|to| whole[from..*to].iter().any(|byte| *byte != 0)) {
                let mut damaged = whole.clone();
                damaged[from..to].fill(0);
                let changed = from + whole[from..].iter().position(|byte| *byte != 0).unwrap();
                let cut = starts.iter().copied().rfind(|start| *start <= changed).unwrap();
                fs::write(&path, &damaged).unwrap();
                drop(reopened().unwrap());
                assert_eq!(fs::read(&path).unwrap(), whole[..cut], "without {from}..{to}");
            }
        }
        // What was written behind the cut proves what lies before it, and is no part of it.
        let mut log = reopened().unwrap();
        let kept = log.last.1 as usize;
        group(&mut log, &["later"]);
        drop(log);
        let later = fs::read(&path).unwrap();
        for at in 0..kept {
            let mut damaged = later.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).unwrap();
            assert!(matches!(reopened().unwrap_err(), InboxError::Corrupt { .. }), "byte {at}");
        }
    }
}

#[tokio::test]
async fn what_was_committed_is_compared_with_what_was_there_at_first() {
    let dir = TempDir::new().unwrap();
    let writer = open(dir.path());
    put(&writer, "one").await;
    put(&writer, "two").await;
    writer.held(2).unwrap_err();
    writer.held(0).unwrap();
    writer.held(2).unwrap();
    drop(writer);
    let path = segment::path(dir.path(), 0);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    for _ in 0..3 {
        let writer = open(dir.path());
        put(&writer, "under a number that was another's").await;
        assert!(matches!(writer.held(2), Err(SourceError::Gap { .. })));
    }
    open(dir.path()).held(1).unwrap();
    open(dir.path()).held(4).unwrap();
}

#[tokio::test]
async fn an_intact_frame_of_a_newer_release_is_no_torn_tail() {
    let dir = TempDir::new().unwrap();
    let mut newer = Vec::new();
    frame::encode(&mut newer, PayloadKind::K8sAudit, AT, 0, b"new");
    newer[8] = 99;
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&newer[..4]), &newer[8..]);
    newer[4..8].copy_from_slice(&checksum.to_le_bytes());
    fs::write(segment::path(dir.path(), 0), newer).unwrap();
    let error = Inbox::open(dir.path(), InboxLimits::default()).unwrap_err();
    assert!(matches!(error, InboxError::Corrupt { damage: Damage::UnknownKind, .. }));
}

#[tokio::test]
async fn a_missing_segment_is_noticed_at_the_start() {
    let dir = TempDir::new().unwrap();
    drop(rolled(dir.path()).await);
    fs::remove_file(segment::path(dir.path(), 4)).unwrap();
    let error = Inbox::open(dir.path(), TINY).unwrap_err();
    assert!(matches!(error, InboxError::Corrupt { damage: Damage::RecordCount, .. }));
}

#[tokio::test]
async fn damage_in_an_older_segment_stops_the_reader_where_it_lies() {
    let dir = TempDir::new().unwrap();
    drop(rolled(dir.path()).await);
    let path = segment::path(dir.path(), 4);
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let writer = Inbox::open(dir.path(), TINY).unwrap();
    let mut reader = writer.reader(0, NEVER).unwrap();
    let error = timeout(DEADLINE, reader.next_batch()).await.unwrap().unwrap_err();
    assert!(matches!(&error, SourceError::Gap { detail, .. } if detail.contains("0004.seg")), "{error}");
    assert_eq!(texts(&writer, 8).await, ["record 8", "record 9"]);
}

/// Appends `bodies` as one group.
fn group(log: &mut Log, bodies: &[&str]) -> Vec<Result<u64, InboxError>> {
    let (group, answers): (Vec<_>, Vec<_>) = bodies
        .iter()
        .map(|body| {
            let (reply, answer) = oneshot::channel();
            let bytes = body.as_bytes().to_vec();
            (Append { kind: PayloadKind::K8sAudit, bytes, received_at: AT, reply }, answer)
        })
        .unzip();
    log.append(group);
    answers.into_iter().map(|a| a.blocking_recv().unwrap()).collect()
}

#[test]
fn after_a_write_that_cannot_be_undone_nothing_is_taken() {
    let dir = TempDir::new().unwrap();
    let mut log = Log::open(dir.path(), InboxLimits::default()).unwrap();
    assert!(matches!(group(&mut log, &["kept"])[..], [Ok(0)]));
    let good = std::mem::replace(&mut log.file, fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    assert!(matches!(
        group(&mut log, &["lost", "too"])[..],
        [Err(InboxError::Full { .. }), Err(InboxError::Full { .. })]
    ));
    log.file = good;
    assert!(matches!(group(&mut log, &["later"])[..], [Err(InboxError::Refused { .. })]));
    assert_eq!(log.kept().borrow().end, 1);
    drop(log);
    assert_eq!(open(dir.path()).end(), 1);
}

#[test]
fn a_group_over_two_segments_is_answered_part_by_part() {
    let dir = TempDir::new().unwrap();
    let mut log = Log::open(dir.path(), TINY).unwrap();
    // The next segment cannot be made: a directory stands in its place.
    fs::create_dir(segment::path(dir.path(), 4)).unwrap();
    let answers = group(&mut log, &["record 0", "record 1", "record 2", "record 3", "record 4"]);
    assert!(matches!(answers[..], [Ok(0), Ok(1), Ok(2), Ok(3), Err(InboxError::Io { .. })]), "{answers:?}");
}
