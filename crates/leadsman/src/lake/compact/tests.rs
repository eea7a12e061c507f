use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::{NamedTempFile, TempDir};

use super::super::storage::{Directory, Storage};
use super::super::tests::{MINUTE, TEN, bytes, ids, lake, roll};
use super::super::{Access, Roll};
use super::*;

/// Long after everything.
fn later() -> Timestamp {
    Timestamp::from_micros(TEN + 1_000_000 * MINUTE)
}

fn compact(lake: &Lake) -> Compacted {
    lake.compact(&Filter::default(), later(), |_, _| {}).unwrap()
}

fn names(lake: &Lake) -> Vec<String> {
    let files = lake.contents(&Filter::default()).unwrap().files;
    files.iter().map(|file| file.name.to_string().rsplit('/').next().unwrap().to_owned()).collect()
}

fn part(first: u64, next: u64) -> String {
    format!("part-kafka%3Aleadsman.audit-0-{first}-{next}.parquet")
}

#[test]
fn files_that_follow_each_other_become_one_and_the_next_time_nothing_happens() {
    let (directory, lake) = lake();
    for first in [0, 3, 6] {
        roll(&lake, first, &[0, 61, 2]);
    }
    let done = compact(&lake);
    assert_eq!((done.hours, done.removed, done.written), (2, 6, 2));
    assert_eq!(names(&lake), [part(0, 9), part(0, 9)]);
    assert_eq!(ids(&lake), (0..9).collect::<Vec<_>>());
    let once = bytes(directory.path());
    let again = compact(&lake);
    assert_eq!((again.removed, again.written), (0, 0));
    assert!(bytes(directory.path()) == once);
}

#[test]
fn a_gap_parts_files_and_an_hour_that_lasts_is_left_alone() {
    let (_directory, lake) = lake();
    roll(&lake, 0, &[0, 1]);
    roll(&lake, 2, &[2]);
    roll(&lake, 10, &[3]);
    roll(&lake, 11, &[4]);
    let soon = Timestamp::from_micros(TEN + 60 * MINUTE).plus(REST);
    let early = lake.compact(&Filter::default(), soon.minus(Duration::from_micros(1)), |_, _| {}).unwrap();
    assert_eq!(early, Compacted::default());
    lake.compact(&Filter::default(), soon, |_, _| {}).unwrap();
    assert_eq!(names(&lake), [part(0, 3), part(10, 12)]);
    assert_eq!(ids(&lake), [0, 1, 2, 10, 11]);
}

#[test]
fn a_damaged_file_is_told_and_keeps_no_other_hour_from_being_merged() {
    let (directory, lake) = lake();
    for first in [0, 3] {
        roll(&lake, first, &[0, 61, 62]);
    }
    let key = lake.contents(&Filter::default()).unwrap().files[0].name.to_string();
    fs::write(directory.path().join("lake").join(&key), b"PAR1 no table PAR1").unwrap();
    let told = lake.compact(&Filter::default(), later(), |_, _| {}).unwrap_err();
    assert!(matches!(&told, LakeError::Damaged { key: told, .. } if *told == key), "{told}");
    assert_eq!(names(&lake).len(), 3, "the other hour was merged: {:?}", names(&lake));
}

#[test]
fn rows_of_ranges_that_overlap_are_kept_once() {
    let (_directory, lake) = lake();
    roll(&lake, 0, &[0, 1, 2]);
    roll(&lake, 3, &[3, 4]);
    // Another cut of the same log, as after the loss of a store.
    roll(&lake, 1, &[1, 2, 3, 4]);
    assert_eq!(ids(&lake), [0, 1, 2, 3, 4]);
    compact(&lake);
    assert_eq!(names(&lake), [part(0, 5)]);
    assert_eq!(ids(&lake), [0, 1, 2, 3, 4]);
}

#[test]
fn rows_of_another_log_of_the_same_name_are_not_lost() {
    let (_directory, lake) = lake();
    roll(&lake, 0, &[0, 1, 2, 3]);
    let mut other = super::super::tests::row(1, 5);
    other.event.id = leadsman_domain::EventId::new(77);
    let of = super::super::tests::span(1, 2);
    lake.write_roll("prod", &of, Roll { events: vec![other], ..Roll::default() }).unwrap();
    for _ in 0..2 {
        assert_eq!(ids(&lake), [0, 1, 77, 2, 3]);
        compact(&lake);
    }
    assert_eq!(names(&lake), [part(0, 4), part(1, 2)]);
}

#[test]
fn large_files_stay_apart() {
    let file = |first: u64, bytes| LakeFile {
        name: FileName {
            kind: Kind::Events,
            cluster: SafeText::of("c"),
            hour: super::super::Hour::of(later()),
            range: Range { source: SafeText::of("s"), partition: 0, first, next: first + 1 },
        },
        bytes,
    };
    let files = [file(0, FULL / 2), file(1, FULL / 2), file(2, 1), file(3, FULL), file(4, 5), file(5, 5)];
    let grouped: Vec<Vec<u64>> =
        groups(files.iter()).iter().map(|group| group.iter().map(|file| file.name.range.first).collect()).collect();
    assert_eq!(grouped, [vec![0, 1], vec![4, 5]]);
}

#[test]
fn a_reader_on_its_way_reads_every_row_once() {
    for before in 0..9 {
        let (_directory, lake) = lake();
        for first in [0, 3, 6] {
            roll(&lake, first, &[0, 61, 2]);
        }
        let contents = lake.contents(&Filter::default()).unwrap();
        let mut reader = lake.read(&contents, &Filter::default()).unwrap();
        let mut read = Vec::new();
        for at in 0.. {
            if at == before {
                compact(&lake);
            }
            let Some(chunk) = reader.next_chunk(1).unwrap() else { break };
            read.extend(chunk.events.iter().map(|event| event.id.get() as u64));
        }
        assert_eq!(read, (0..9).collect::<Vec<_>>(), "compacted after {before}");
    }
}

#[test]
fn a_reader_tells_when_retention_took_what_it_reads() {
    let (_directory, lake) = lake();
    roll(&lake, 0, &[0]);
    roll(&lake, 1, &[61]);
    let contents = lake.contents(&Filter::default()).unwrap();
    let mut reader = lake.read(&contents, &Filter::default()).unwrap();
    lake.prune(&Filter::default(), later(), |_, _| {}).unwrap();
    // The first file is open already.
    let end = std::iter::from_fn(|| reader.next_chunk(1).transpose()).find_map(Result::err);
    assert!(matches!(end, Some(LakeError::Gone { .. })));
}

/// A directory whose owner is killed at one of the calls that change something.
struct Dying {
    inner: Directory,
    calls_left: AtomicU64,
    /// Whether the last call still has its effect.
    effect: bool,
}

impl Dying {
    fn call(&self, work: impl FnOnce() -> Result<(), LakeError>) -> Result<(), LakeError> {
        let left = self.calls_left.load(Ordering::Relaxed);
        if left > 0 {
            self.calls_left.store(left - 1, Ordering::Relaxed);
            return work();
        }
        if self.effect {
            work()?;
        }
        Err(LakeError::io("go on after a kill in", Path::new("lake"))(std::io::Error::other("killed")))
    }
}

impl Storage for Dying {
    fn draft(&self) -> Result<NamedTempFile, LakeError> {
        self.inner.draft()
    }

    fn publish(&self, draft: NamedTempFile, key: &str) -> Result<(), LakeError> {
        self.call(|| self.inner.publish(draft, key))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Stored>, LakeError> {
        self.inner.list(prefix)
    }

    fn open(&self, key: &str) -> Result<Option<File>, LakeError> {
        self.inner.open(key)
    }

    fn remove(&self, key: &str) -> Result<(), LakeError> {
        self.call(|| self.inner.remove(key))
    }

    fn tidy(&self) -> Result<(), LakeError> {
        self.inner.tidy()
    }
}

/// Rolls of two hours, with late events and with ranges that were cut twice.
fn filled() -> (TempDir, Lake) {
    let (directory, lake) = lake();
    for (first, minutes) in [(0, &[0, 61, 2][..]), (3, &[3, 62]), (5, &[63, 5, 6]), (4, &[62, 63, 5]), (9, &[7])] {
        roll(&lake, first, minutes);
    }
    (directory, lake)
}

fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    bytes(directory).into_iter().filter(|(name, _)| !name.contains(".drafts")).collect()
}

#[test]
fn a_kill_at_any_call_loses_and_doubles_nothing() {
    let (reference, lake) = filled();
    let expected = ids(&lake);
    compact(&lake);
    let compacted = files(reference.path());
    let mut kills = 0;
    for effect in [false, true] {
        for calls in 0.. {
            let (directory, healthy) = filled();
            let inner = Directory::new(directory.path().join("lake"));
            let dying = Lake::at(Arc::new(Dying { inner, calls_left: calls.into(), effect }), "dying");
            let died = dying.compact(&Filter::default(), later(), |_, _| {}).is_err();
            assert_eq!(ids(&healthy), expected, "killed at call {calls}");
            compact(&healthy);
            assert_eq!(ids(&healthy), expected, "killed at call {calls}, then compacted");
            assert!(files(directory.path()) == compacted, "killed at call {calls}: other files");
            if !died {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills > 10, "{kills}");
}

#[test]
fn a_roll_killed_at_any_call_is_completed_by_writing_it_again() {
    let write = |lake: &Lake| {
        let events = (0..6).map(|n| super::super::tests::row(n, n as i64 * 30)).collect();
        lake.write_roll("prod", &super::super::tests::span(0, 6), Roll { events, ..Roll::default() })
    };
    let (reference, whole) = lake();
    write(&whole).unwrap();
    for effect in [false, true] {
        for calls in 0..3 {
            let (directory, healthy) = lake();
            let inner = Directory::new(directory.path().join("lake"));
            let dying = Lake::at(Arc::new(Dying { inner, calls_left: calls.into(), effect }), "dying");
            assert!(write(&dying).is_err());
            write(&healthy).unwrap();
            assert!(files(directory.path()) == files(reference.path()), "killed at call {calls}");
        }
    }
}

#[test]
fn a_roll_written_again_after_it_was_merged_is_read_once_and_goes() {
    let (directory, lake) = lake();
    roll(&lake, 0, &[0, 1]);
    roll(&lake, 2, &[2, 3]);
    compact(&lake);
    let once = files(directory.path());
    roll(&lake, 2, &[2, 3]);
    assert_eq!(ids(&lake), [0, 1, 2, 3]);
    compact(&lake);
    assert!(files(directory.path()) == once);
}

#[test]
fn two_who_compact_at_once_agree() {
    let (reference, lake) = filled();
    let expected = ids(&lake);
    compact(&lake);
    for _ in 0..10 {
        let (directory, lake) = filled();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let lake = Lake::open(lake.url(), &Access::default()).unwrap();
                scope.spawn(move || compact(&lake));
            }
        });
        assert_eq!(ids(&lake), expected);
        compact(&lake);
        assert!(files(directory.path()) == files(reference.path()));
    }
    drop(fs::remove_dir_all(reference.path()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn whatever_the_rolls_compaction_changes_no_row(rolls in vec(vec(0i64..200, 1..12), 1..8)) {
        let (_directory, lake) = lake();
        let mut next = 0;
        for minutes in &rolls {
            roll(&lake, next, minutes);
            next += minutes.len() as u64;
        }
        let before = super::super::tests::events(&lake, &Filter::default());
        compact(&lake);
        prop_assert_eq!(super::super::tests::events(&lake, &Filter::default()), before);
    }
}
