use leadsman_domain::{ErrorKind, FindingId, Snapshot, Store, StoreError};
use rusqlite::Connection;
use tempfile::TempDir;

use super::SqliteStore;
use crate::conformance::{batch, checks, dead_letter, finding, source};

fn on_disk() -> (TempDir, SqliteStore) {
    let dir = TempDir::new().unwrap();
    let store = SqliteStore::open(&dir.path().join("leadsman.db")).unwrap();
    (dir, store)
}

/// Makes one `#[tokio::test]` of each check, for the store that `$make` yields.
macro_rules! conformance {
    ($module:ident $make:expr; $($check:ident),*) => {
        mod $module {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $check() {
                    let (_keep, store) = $make;
                    crate::conformance::$check(store).await;
                }
            )*
        }
    };
}

checks!(conformance, memory((), SqliteStore::in_memory().unwrap()));
checks!(conformance, file on_disk());

#[tokio::test]
async fn reopening_keeps_everything() {
    let (dir, store) = on_disk();
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    let mut commit = batch(epoch, 0, 5, vec![finding(1, 1, 50), finding(2, 1, 90)]);
    commit.dead_letters = vec![dead_letter(3, 0, "bad")];
    commit.snapshot = Some(Snapshot { at: 5, body: vec![1, 2, 3] });
    commit.source_tag = Some("tag".into());
    store.commit(commit).await.unwrap();
    let (stats, stored) = (store.stats().await.unwrap(), store.finding(FindingId::new(2)).await.unwrap());
    drop(store);

    let store = SqliteStore::open(&dir.path().join("leadsman.db")).unwrap();
    assert_eq!(store.stats().await.unwrap(), stats);
    assert_eq!(store.finding(FindingId::new(2)).await.unwrap(), stored);
    let seen = store.checkpoints().await.unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].epoch, seen[0].next_offset, &seen[0].snapshot), (epoch, 5, &None));
    let back = store.claim(&source(), 0).await.unwrap();
    assert_eq!((back.epoch, back.next_offset, back.state_offset), (epoch + 1, 5, 5));
    assert_eq!((back.snapshot, back.source_tag.as_deref()), (Some(vec![1, 2, 3]), Some("tag")));
    assert_eq!(store.dead_letters(9, None).await.unwrap(), [dead_letter(3, 0, "bad")]);
}

#[tokio::test]
async fn a_second_process_fences_the_first() {
    let (dir, first) = on_disk();
    // A second handle shares nothing with the first but the file.
    let second = SqliteStore::open(&dir.path().join("leadsman.db")).unwrap();
    let old = first.claim(&source(), 0).await.unwrap().epoch;
    first.commit(batch(old, 0, 1, vec![])).await.unwrap();
    let new = second.claim(&source(), 0).await.unwrap();
    assert_eq!(new.next_offset, 1);
    let fenced = first.commit(batch(old, 1, 2, vec![finding(1, 1, 50)])).await.unwrap_err();
    assert_eq!(fenced.kind(), ErrorKind::Conflict);
    assert!(fenced.to_string().contains("kafka:audit/0"), "{fenced}");
    second.commit(batch(new.epoch, 1, 2, vec![])).await.unwrap();
    assert_eq!(first.stats().await.unwrap().findings, 0);
}

#[tokio::test]
async fn sequence_numbers_are_not_reused_after_a_deletion() {
    let (dir, store) = on_disk();
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    store.commit(batch(epoch, 0, 1, vec![finding(1, 1, 50), finding(2, 1, 50)])).await.unwrap();
    Connection::open(dir.path().join("leadsman.db")).unwrap().execute("DELETE FROM finding", ()).unwrap();
    store.commit(batch(epoch, 1, 2, vec![finding(3, 1, 50)])).await.unwrap();
    assert_eq!(store.finding(FindingId::new(3)).await.unwrap().unwrap().0, 3);
}

#[test]
fn attaching_makes_and_changes_nothing() {
    let (dir, store) = on_disk();
    let path = dir.path().join("leadsman.db");
    SqliteStore::attach(&path).unwrap();
    drop(store);
    let conn = Connection::open(&path).unwrap();
    conn.pragma_update(None, "user_version", 2).unwrap();
    let refused = SqliteStore::attach(&path).unwrap_err();
    assert!(matches!(refused, StoreError::OlderSchema { found: 2, known: 3 }), "{refused}");
    assert_eq!(conn.query_row("PRAGMA user_version", (), |r| r.get::<_, i64>(0)).unwrap(), 2);
    let missing = dir.path().join("missing.db");
    let refused = SqliteStore::attach(&missing).unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)) && !missing.exists(), "{refused}");
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let (dir, store) = on_disk();
    drop(store);
    let path = dir.path().join("leadsman.db");
    let conn = Connection::open(&path).unwrap();
    conn.pragma_update(None, "user_version", 99).unwrap();
    let refused = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(refused, StoreError::NewerSchema { found: 99, known: 3 }), "{refused}");
    assert_eq!(conn.query_row("PRAGMA user_version", (), |r| r.get::<_, i64>(0)).unwrap(), 99);
}

#[test]
fn what_is_not_ours_is_refused_and_left_alone() {
    let dir = TempDir::new().unwrap();
    let text = dir.path().join("notes.txt");
    std::fs::write(&text, "dear diary, ".repeat(100)).unwrap();
    let other = dir.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE t(x)").unwrap();
    for path in [&text, &other] {
        let before = std::fs::read(path).unwrap();
        let refused = SqliteStore::open(path).unwrap_err();
        assert!(matches!(refused, StoreError::Corrupt(_)), "{refused}");
        assert!(refused.to_string().contains(path.to_str().unwrap()), "{refused}");
        assert_eq!(std::fs::read(path).unwrap(), before);
    }
    let nowhere = SqliteStore::open(&dir.path().join("missing/leadsman.db")).unwrap_err();
    assert_eq!(nowhere.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_damaged_row_is_named() {
    let (dir, store) = on_disk();
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    store.commit(batch(epoch, 0, 1, vec![finding(1, 1, 50)])).await.unwrap();
    let conn = Connection::open(dir.path().join("leadsman.db")).unwrap();
    conn.execute("UPDATE finding SET body = '{}'", ()).unwrap();
    let error = store.finding(FindingId::new(1)).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)));
    assert!(error.to_string().contains(&FindingId::new(1).to_string()), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_and_its_log_are_private_and_fully_synced() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, store) = on_disk();
    store.claim(&source(), 0).await.unwrap();
    for file in ["leadsman.db", "leadsman.db-wal"] {
        let mode = std::fs::metadata(dir.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let conn = store.writer.lock().unwrap();
    let number = |pragma: &str| conn.query_row(&format!("PRAGMA {pragma}"), (), |r| r.get::<_, i64>(0)).unwrap();
    assert_eq!((number("synchronous"), number("foreign_keys")), (2, 1));
}

#[tokio::test]
async fn a_busy_file_is_tried_again() {
    let (dir, store) = on_disk();
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    store.writer.lock().unwrap().busy_timeout(std::time::Duration::from_millis(50)).unwrap();
    let other = Connection::open(dir.path().join("leadsman.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let commit = batch(epoch, 0, 5, vec![finding(1, 1, 50)]);
    let error = store.commit(commit.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(store.stats().await.unwrap().findings, 0, "reading goes on");
    other.execute_batch("ROLLBACK").unwrap();
    store.commit(commit).await.unwrap();
    assert_eq!(store.checkpoints().await.unwrap()[0].next_offset, 5);
}

/// SQLite itself says that there is no room, as it does when the disk has none.
#[tokio::test]
async fn a_full_disk_loses_nothing_and_is_told() {
    let (_dir, store) = on_disk();
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    store.commit(batch(epoch, 0, 1, vec![finding(1, 1, 50)])).await.unwrap();
    let limit = |pages: i64| {
        store.writer.lock().unwrap().pragma_update(None, "max_page_count", pages).unwrap();
    };
    let used: i64 = store.writer.lock().unwrap().query_row("PRAGMA page_count", (), |row| row.get(0)).unwrap();
    limit(used + 2);
    let mut large = batch(epoch, 1, 2, (0..100).map(|id| finding(id, 2, 60)).collect());
    large.snapshot = Some(Snapshot { at: 2, body: vec![7; 100_000] });
    let error = store.commit(large.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("free some space"), "{error}");
    assert_eq!(store.finding(FindingId::new(1)).await.unwrap().unwrap().1, finding(1, 1, 50));
    assert_eq!(store.checkpoints().await.unwrap()[0].next_offset, 1);
    limit(i64::from(u32::MAX) - 1);
    store.commit(large).await.unwrap();
    assert_eq!(store.stats().await.unwrap().findings, 100);
}
