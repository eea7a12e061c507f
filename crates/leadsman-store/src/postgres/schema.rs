use std::cmp::Ordering;
use std::time::Duration;

use deadpool_postgres::{Client, GenericClient};
use leadsman_domain::StoreError;

use super::error::pg_error;

/// Step `n` leads from schema version `n` to `n + 1`. Released steps never change; new ones are appended.
///
/// - `commit_seq` is a counter in a row that is locked until its transaction ends, and not a sequence: numbers of a
///   sequence become visible in another order than they were drawn in, and a cursor would pass over the late ones. A
///   cursor must also stay below every later commit when findings are deleted.
/// - `finding.entity` is what [`indexed`](super::text::indexed) makes of it: an index entry holds 2.7 kB at most.
/// - `stored_at` is the clock of the server: retention counts from the last change.
/// - `outbox.key` is bytes: text cannot hold the character NUL, and the key must reach the sink as it is.
const MIGRATIONS: &[&str] = &["
CREATE TABLE partition_ckpt(
  source TEXT NOT NULL, part INT NOT NULL, epoch BIGINT NOT NULL,
  next_offset BIGINT NOT NULL, state_offset BIGINT NOT NULL, roll_to BIGINT, source_tag TEXT,
  PRIMARY KEY(source, part));
CREATE TABLE partition_snapshot(
  source TEXT NOT NULL, part INT NOT NULL, body BYTEA NOT NULL,
  PRIMARY KEY(source, part),
  FOREIGN KEY(source, part) REFERENCES partition_ckpt(source, part));
-- A snapshot is compressed already.
ALTER TABLE partition_snapshot ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE TABLE shared_secret(name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE stream_meta(source TEXT PRIMARY KEY, partitions BIGINT NOT NULL);
CREATE TABLE counter(name TEXT PRIMARY KEY, value BIGINT NOT NULL);
INSERT INTO counter(name, value) VALUES ('commit_seq', 0);
-- The clock of the server, in microseconds since the epoch.
CREATE FUNCTION micros() RETURNS BIGINT LANGUAGE sql VOLATILE
  AS 'SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint';
CREATE TABLE finding(
  id TEXT PRIMARY KEY, commit_seq BIGINT NOT NULL UNIQUE, rev BIGINT NOT NULL, entity TEXT NOT NULL,
  severity BIGINT NOT NULL, score BIGINT NOT NULL, first_seen BIGINT NOT NULL, last_seen BIGINT NOT NULL,
  body TEXT NOT NULL, cluster TEXT NOT NULL, kind TEXT NOT NULL, incident TEXT NOT NULL, techniques TEXT[] NOT NULL,
  words TSVECTOR NOT NULL, stored_at BIGINT NOT NULL DEFAULT micros());
CREATE INDEX finding_entity ON finding(entity, commit_seq);
CREATE INDEX finding_severity ON finding(severity);
CREATE INDEX finding_last_seen ON finding(last_seen);
CREATE INDEX finding_incident ON finding(incident, commit_seq);
CREATE INDEX finding_stored_at ON finding(stored_at);
CREATE INDEX finding_techniques ON finding USING GIN (techniques);
CREATE INDEX finding_words ON finding USING GIN (words);
CREATE TABLE finding_triage(
  finding_id TEXT PRIMARY KEY REFERENCES finding(id), version BIGINT NOT NULL, status TEXT NOT NULL,
  assignee TEXT, note TEXT NOT NULL);
CREATE TABLE outbox(
  item_id TEXT NOT NULL, rev BIGINT NOT NULL, sink TEXT NOT NULL, commit_seq BIGINT NOT NULL,
  key BYTEA NOT NULL, body BYTEA NOT NULL, leased_until BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY(item_id, rev, sink));
CREATE INDEX outbox_order ON outbox(sink, commit_seq);
CREATE TABLE dead_letter(
  seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, source TEXT NOT NULL, part INT NOT NULL, off BIGINT NOT NULL,
  item BIGINT NOT NULL, line BIGINT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, payload BYTEA NOT NULL,
  stored_at BIGINT NOT NULL DEFAULT micros(), UNIQUE(source, part, off, item));
CREATE INDEX dead_letter_stored_at ON dead_letter(stored_at);
"];

/// The schema version this release writes.
pub(super) const KNOWN: i64 = MIGRATIONS.len() as i64;

/// Processes that start together migrate one after the other. The number is `LDSM`, as in the SQLite files.
const LOCK: i64 = 0x4c44_534d;

const VERSION: &str = "SELECT version FROM schema_version WHERE program = 'leadsman'";

/// Reads the schema version, which must be that of this release, and writes nothing.
///
/// Errors: `NewerSchema` and `OlderSchema`; `Unavailable` for a database that cannot hold every text.
pub(super) async fn check_current(client: &Client) -> Result<(), StoreError> {
    let found: i64 =
        if is_new(client).await? { 0 } else { client.query_one(VERSION, &[]).await.map_err(pg_error)?.get(0) };
    match found.cmp(&KNOWN) {
        Ordering::Less => Err(StoreError::OlderSchema { found, known: KNOWN }),
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(StoreError::NewerSchema { found, known: KNOWN }),
    }
}

/// How long a migration may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(3600);

/// Brings the schema to the version of this release, in one transaction.
///
/// Errors: `NewerSchema`, which leaves everything as it is; `Unavailable` for a database that cannot hold every text.
pub(super) async fn migrate(client: &mut Client) -> Result<(), StoreError> {
    let tx = client.transaction().await.map_err(pg_error)?;
    let patience = format!("SET LOCAL statement_timeout = '{0}s'; SET LOCAL lock_timeout = '{0}s'", PATIENCE.as_secs());
    tx.batch_execute(&patience).await.map_err(pg_error)?;
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(pg_error)?;
    if is_new(&tx).await? {
        tx.batch_execute(
            "CREATE TABLE schema_version(program TEXT PRIMARY KEY, version BIGINT NOT NULL);
             INSERT INTO schema_version(program, version) VALUES ('leadsman', 0)",
        )
        .await
        .map_err(pg_error)?;
    }
    let found: i64 = tx.query_one(VERSION, &[]).await.map_err(pg_error)?.get(0);
    if found > KNOWN {
        return Err(StoreError::NewerSchema { found, known: KNOWN });
    }
    let done = usize::try_from(found)
        .map_err(|_| StoreError::Corrupt(format!("schema version {found} does not exist: restore a backup")))?;
    for step in MIGRATIONS.iter().skip(done) {
        tx.batch_execute(step).await.map_err(pg_error)?;
    }
    if found < KNOWN {
        tx.execute("UPDATE schema_version SET version = $1 WHERE program = 'leadsman'", &[&KNOWN])
            .await
            .map_err(pg_error)?;
    }
    tx.commit().await.map_err(pg_error)
}

/// Whether no release has made its tables here yet, where they can be made.
async fn is_new(client: &impl GenericClient) -> Result<bool, StoreError> {
    let about = "SELECT current_setting('server_encoding'), current_schema(), to_regclass('schema_version') IS NULL,
                 has_schema_privilege(current_schema(), 'CREATE')";
    let row = client.query_one(about, &[]).await.map_err(pg_error)?;
    let (encoding, schema): (String, Option<String>) = (row.get(0), row.get(1));
    let (is_new, may_create): (bool, Option<bool>) = (row.get(2), row.get(3));
    if encoding != "UTF8" {
        return Err(StoreError::Unavailable(format!(
            "the database's encoding is {encoding}: create one with ENCODING 'UTF8' TEMPLATE template0"
        )));
    }
    let Some(schema) = schema else {
        return Err(StoreError::Unavailable("no schema of search_path exists: create it".to_owned()));
    };
    if is_new && may_create != Some(true) {
        return Err(StoreError::Unavailable(format!(
            "this user may not make tables in schema {schema}: GRANT CREATE ON SCHEMA {schema} to it"
        )));
    }
    Ok(is_new)
}
