//! Opening a database: whose it is, which release wrote it, and who may.

use leadsman_domain::{ErrorKind, Store, StoreError};
use leadsman_store::{PostgresSettings, PostgresStore};
use libtest_mimic::Trial;

use crate::conformance::{batch, finding, source};
use crate::{connect, fresh, shared, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("set_up::reopening_keeps_everything", reopening_keeps_everything),
        trial("set_up::processes_may_start_together", processes_may_start_together),
        trial("set_up::a_newer_schema_is_refused_and_left_alone", a_newer_schema_is_refused_and_left_alone),
        trial("set_up::attaching_makes_and_changes_nothing", attaching_makes_and_changes_nothing),
        trial("set_up::tables_of_another_program_are_left_alone", tables_of_another_program_are_left_alone),
        trial("set_up::an_unfit_database_is_named", an_unfit_database_is_named),
        trial("set_up::refusals_say_what_to_do_and_no_password", refusals_say_what_to_do_and_no_password),
        trial("set_up::a_server_that_does_not_answer_is_given_up", a_server_that_does_not_answer_is_given_up),
    ]
}

async fn refused(url: &str) -> StoreError {
    PostgresStore::connect(&PostgresSettings::parse(url).unwrap()).await.unwrap_err()
}

async fn reopening_keeps_everything() {
    let url = fresh();
    let store = connect(&url).await;
    let epoch = store.claim(&source(), 3).await.unwrap().epoch;
    let mut commit = batch(epoch, 0, 5, vec![finding(1, 1, 50)]);
    commit.span.partition = 3;
    commit.source_tag = Some("tag".into());
    store.commit(commit).await.unwrap();
    drop(store);

    let store = connect(&url).await;
    assert_eq!(store.stats().await.unwrap().findings, 1);
    let seen = store.checkpoints().await.unwrap();
    assert_eq!((seen.len(), seen[0].partition, seen[0].epoch, seen[0].next_offset), (1, 3, epoch, 5));
    assert_eq!((&seen[0].source, seen[0].source_tag.as_deref()), (&source(), Some("tag")));
}

async fn processes_may_start_together() {
    let url = fresh();
    let starts: Vec<_> = (0..5)
        .map(|partition| {
            let url = url.clone();
            tokio::spawn(async move {
                let store = connect(&url).await;
                store.claim(&source(), partition).await.unwrap();
            })
        })
        .collect();
    for start in starts {
        start.await.unwrap();
    }
    assert_eq!(connect(&url).await.checkpoints().await.unwrap().len(), 5);
}

async fn a_newer_schema_is_refused_and_left_alone() {
    let server = shared();
    let schema = server.schema().unwrap();
    let url = server.url(&schema);
    drop(connect(&url).await);
    server.sql(&format!("UPDATE {schema}.schema_version SET version = 99")).unwrap();
    let error = refused(&url).await;
    assert!(matches!(error, StoreError::NewerSchema { found: 99, .. }), "{error}");
    assert_eq!(server.sql(&format!("SELECT version FROM {schema}.schema_version")).unwrap(), "99");
}

async fn attaching_makes_and_changes_nothing() {
    let server = shared();
    let schema = server.schema().unwrap();
    let url = server.url(&schema);
    server
        .sql(&format!("CREATE ROLE {schema} LOGIN PASSWORD 'x'; GRANT USAGE ON SCHEMA {schema} TO {schema}"))
        .unwrap();
    let powerless = url.replace("leadsman:not%20a%20secret@", &format!("{schema}:x@"));
    let error = PostgresStore::attach(&PostgresSettings::parse(&powerless).unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("GRANT CREATE ON SCHEMA"), "{error}");
    let attach = async || PostgresStore::attach(&PostgresSettings::parse(&url).unwrap()).await;
    let error = attach().await.unwrap_err();
    assert!(matches!(error, StoreError::OlderSchema { found: 0, .. }), "{error}");
    let tables = format!("SELECT count(*) FROM pg_tables WHERE schemaname = '{schema}'");
    assert_eq!(server.sql(&tables).unwrap(), "0");
    drop(connect(&url).await);
    assert_eq!(attach().await.unwrap().checkpoints().await.unwrap(), []);
    server.sql(&format!("UPDATE {schema}.schema_version SET version = 0")).unwrap();
    let error = attach().await.unwrap_err();
    assert!(matches!(error, StoreError::OlderSchema { found: 0, .. }), "{error}");
    assert_eq!(server.sql(&format!("SELECT version FROM {schema}.schema_version")).unwrap(), "0");
}

async fn tables_of_another_program_are_left_alone() {
    let server = shared();
    let schema = server.schema().unwrap();
    server.sql(&format!("CREATE TABLE {schema}.finding(x INT); INSERT INTO {schema}.finding VALUES (7)")).unwrap();
    let error = refused(&server.url(&schema)).await;
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    assert!(error.to_string().contains("another program"), "{error}");
    assert_eq!(server.sql(&format!("SELECT x FROM {schema}.finding")).unwrap(), "7");
    let tables = format!("SELECT count(*) FROM pg_tables WHERE schemaname = '{schema}'");
    assert_eq!(server.sql(&tables).unwrap(), "1", "nothing was begun");
}

async fn an_unfit_database_is_named() {
    let server = shared();
    server.sql("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0").unwrap();
    let error = refused(&server.url("public").replace("/postgres?", "/ascii?")).await;
    assert!(error.to_string().contains("ENCODING 'UTF8'"), "{error}");
    let error = refused(&server.url("no_such_schema")).await;
    assert!(error.to_string().contains("search_path"), "{error}");
}

async fn refusals_say_what_to_do_and_no_password() {
    let server = shared();
    let url = server.url("public");
    let wrong = PostgresSettings::parse(&url).unwrap().with_password("hunter2");
    let error = PostgresStore::connect(&wrong).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("pg_hba.conf") && !error.to_string().contains("hunter2"), "{error}");
    let error = refused(&url.replace("/postgres?", "/nowhere?")).await;
    assert!(error.to_string().contains("create the database"), "{error}");
}

async fn a_server_that_does_not_answer_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = shared().url_through(silent.local_addr().unwrap(), "public");
    let error = refused(&format!("{url}&connect_timeout=1")).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}
