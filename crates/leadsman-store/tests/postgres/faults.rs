//! Lost answers, lost connections, a killed server, an owner that stands still.

use std::path::Path;
use std::process::Command;

use leadsman_domain::{ErrorKind, FindingId, Snapshot, SourceId, Store, StoreError};
use leadsman_store::PostgresStore;
use libtest_mimic::Trial;
use tempfile::TempDir;
use tokio_postgres::NoTls;

use crate::conformance::{batch, finding, source};
use crate::proxy::{Fate, Proxy};
use crate::support::postgres::Postgres;
use crate::{connect, shared, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("faults::a_commit_whose_answer_is_lost_is_not_refused_again", lost_answer),
        trial("faults::a_commit_that_never_arrived_is_made_again", lost_commit),
        trial("faults::a_lost_answer_does_not_hide_a_new_owner", lost_answer_and_new_owner),
        trial("faults::an_owner_that_stands_still_does_not_hold_its_successor_up", stalled_owner),
        trial("faults::a_busy_store_is_tried_again", busy),
        trial("faults::ended_connections_are_replaced", ended_connections),
        full_disk_trial(),
        trial("faults::a_killed_server_keeps_what_was_committed", killed_server),
    ]
}

/// A store behind a proxy, another one straight to the same schema, and the owner's epoch.
async fn behind_proxy(options: &str) -> (PostgresStore, Proxy, PostgresStore, i64) {
    let server = shared();
    let proxy = Proxy::to(server.port()).await;
    let schema = server.schema().unwrap();
    let store = connect(&format!("{}{options}", server.url_through(proxy.address, &schema))).await;
    let straight = connect(&server.url(&schema)).await;
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    (store, proxy, straight, epoch)
}

async fn next_offset(store: &PostgresStore) -> u64 {
    store.checkpoints().await.unwrap()[0].next_offset
}

async fn lost_answer() {
    let (store, proxy, straight, epoch) = behind_proxy("").await;
    let first = batch(epoch, 0, 5, vec![finding(1, 1, 50)]);
    proxy.next_commit(Fate::LoseAnswer);
    let error = store.commit(first.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(next_offset(&straight).await, 5, "it was committed");

    store.commit(first.clone()).await.unwrap();
    assert_eq!(straight.stats().await.unwrap().outbox, 1);
    // Once answered, the same span again is a mistake of the caller.
    assert!(matches!(store.commit(first).await, Err(StoreError::Fenced { .. })));
    store.commit(batch(epoch, 5, 6, vec![finding(2, 1, 50)])).await.unwrap();
    assert_eq!(straight.finding(FindingId::new(2)).await.unwrap().unwrap().0, 2);
}

async fn lost_commit() {
    let (store, proxy, straight, epoch) = behind_proxy("").await;
    let first = batch(epoch, 0, 5, vec![finding(1, 1, 50)]);
    proxy.next_commit(Fate::LoseCommit);
    let error = store.commit(first.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(next_offset(&straight).await, 0, "it never arrived");
    store.commit(first).await.unwrap();
    assert_eq!((next_offset(&straight).await, straight.stats().await.unwrap().findings), (5, 1));
}

async fn lost_answer_and_new_owner() {
    let (store, proxy, straight, epoch) = behind_proxy("").await;
    let first = batch(epoch, 0, 5, vec![]);
    proxy.next_commit(Fate::LoseAnswer);
    store.commit(first.clone()).await.unwrap_err();
    straight.claim(&source(), 0).await.unwrap();
    assert!(matches!(store.commit(first).await, Err(StoreError::Fenced { .. })));
}

/// The server ends its transaction; without that the claim would wait until the owner moves again, or for ever.
async fn stalled_owner() {
    let (store, proxy, straight, epoch) = behind_proxy("%20-c%20idle_in_transaction_session_timeout%3D1s").await;
    proxy.next_commit(Fate::Stall);
    let stalled = tokio::spawn(async move { store.commit(batch(epoch, 0, 5, vec![finding(1, 1, 50)])).await });
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'";
    while shared().sql(waiting).unwrap() == "0" {
        assert!(!stalled.is_finished());
        tokio::task::yield_now().await;
    }
    let claimed = straight.claim(&source(), 0).await.unwrap();
    assert_eq!((claimed.epoch, claimed.next_offset), (epoch + 1, 0));
    // The counter's lock is gone as well.
    straight.commit(batch(claimed.epoch, 0, 5, vec![finding(1, 1, 50)])).await.unwrap();
    stalled.abort();
}

/// Locks that are held too long, deadlocks and failed serialization look the same to the caller: try again.
async fn busy() {
    let server = shared();
    let schema = server.schema().unwrap();
    let url = server.url(&schema);
    let store = connect(&format!("{url}%20-c%20lock_timeout%3D200ms")).await;
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    let (mut other, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let lock = other.transaction().await.unwrap();
    lock.execute("SELECT 1 FROM partition_ckpt FOR UPDATE", &[]).await.unwrap();
    let error = store.commit(batch(epoch, 0, 5, vec![])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    lock.rollback().await.unwrap();
    store.commit(batch(epoch, 0, 5, vec![])).await.unwrap();

    // A deadlock that PostgreSQL resolves: each side holds what the other wants next.
    store.claim(&SourceId::new("other"), 0).await.unwrap();
    let lock = other.transaction().await.unwrap();
    lock.execute("SELECT value FROM counter FOR UPDATE", &[]).await.unwrap();
    let store = connect(&url).await;
    let commit = batch(epoch, 5, 6, vec![finding(1, 1, 50)]);
    let waiting = {
        let (store, commit) = (store.clone(), commit.clone());
        tokio::spawn(async move { store.commit(commit).await })
    };
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    while server.sql(waits).unwrap() == "0" {
        assert!(!waiting.is_finished());
    }
    let theirs = lock.execute("SELECT 1 FROM partition_ckpt FOR UPDATE", &[]).await;
    drop(lock);
    match waiting.await.unwrap() {
        Ok(()) => assert!(theirs.is_err(), "one of the two was chosen"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            store.commit(commit).await.unwrap();
        }
    }
    assert_eq!(store.stats().await.unwrap().findings, 1);
}

async fn ended_connections() {
    let server = shared();
    let schema = server.schema().unwrap();
    let store = connect(&format!("{}&application_name={schema}", server.url(&schema))).await;
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    let all =
        format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = '{schema}'");
    assert_ne!(server.sql(&all).unwrap(), "0");
    let commit = batch(epoch, 0, 5, vec![]);
    // The end may not have been noticed yet; then one call fails, and may be made again.
    if let Err(error) = store.commit(commit.clone()).await {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        store.commit(commit).await.unwrap();
    }
    assert_eq!(next_offset(&store).await, 5);
}

/// A table space of two megabytes: only root may make one.
fn full_disk_trial() -> Trial {
    const NAME: &str = "faults::a_full_disk_loses_nothing_and_is_told";
    let mounted = Tmpfs::mount("1m");
    match mounted {
        Ok(probe) => {
            drop(probe);
            trial(NAME, full_disk)
        }
        Err(why) => {
            eprintln!("SKIPPED {NAME}: {why}");
            trial(NAME, full_disk).with_kind("skipped: needs to mount a file system").with_ignored_flag(true)
        }
    }
}

async fn full_disk() {
    let server = shared();
    let disk = Tmpfs::mount("2m").unwrap();
    server.own(disk.0.path()).unwrap();
    server.sql(&format!("CREATE TABLESPACE tiny LOCATION '{}'", disk.0.path().display())).unwrap();
    let schema = server.schema().unwrap();
    let store = connect(&format!("{}%20-c%20default_tablespace%3Dtiny", server.url(&schema))).await;
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    store.commit(batch(epoch, 0, 1, vec![finding(1, 1, 50)])).await.unwrap();
    let mut large = batch(epoch, 1, 2, (0..100).map(|id| finding(id, 2, 60)).collect());
    large.snapshot = Some(Snapshot { at: 2, body: vec![7; 4_000_000] });
    let error = store.commit(large.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("free some space"), "{error}");
    assert_eq!(store.finding(FindingId::new(1)).await.unwrap().unwrap().1, finding(1, 1, 50));
    assert_eq!(next_offset(&store).await, 1);
    disk.resize("32m").unwrap();
    store.commit(large).await.unwrap();
    assert_eq!(store.stats().await.unwrap().findings, 100);
    drop(store);
    server.sql(&format!("DROP SCHEMA {schema} CASCADE")).unwrap();
    server.sql("DROP TABLESPACE tiny").unwrap();
}

/// A file system in memory, unmounted when it is dropped.
struct Tmpfs(TempDir);

impl Tmpfs {
    fn mount(size: &str) -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], directory.path())?;
        Ok(Self(directory))
    }

    fn resize(&self, size: &str) -> Result<(), String> {
        run("mount", &["-o", &format!("remount,size={size}")], self.0.path())
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        if let Err(why) = run("umount", &[], self.0.path()) {
            eprintln!("a file system stays mounted: {why}");
        }
    }
}

fn run(program: &str, arguments: &[&str], path: &Path) -> Result<(), String> {
    let output = Command::new(program).args(arguments).arg(path).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

async fn killed_server() {
    let mut server = Postgres::start().unwrap_or_else(|failure| panic!("{}", failure.message().unwrap_or_default()));
    let schema = server.schema().unwrap();
    let store = connect(&server.url(&schema)).await;
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    for n in 0..20 {
        store.commit(batch(epoch, n, n + 1, vec![finding(n.into(), 1, 50)])).await.unwrap();
    }
    server.kill().unwrap();
    let error = store.commit(batch(epoch, 20, 21, vec![])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    server.run().unwrap();
    // Every connection of the pool is dead by now, and each may have to be found out.
    let commit = batch(epoch, 20, 21, vec![finding(20, 1, 50)]);
    while let Err(error) = store.commit(commit.clone()).await {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
    assert_eq!(store.stats().await.unwrap().findings, 21);
    assert_eq!(next_offset(&store).await, 21);
}
