use leadsman_domain::StoreError;
use rusqlite::{Connection, TransactionBehavior};

use super::error::sql_error;

/// `LDSM`: tells our files from another program's, whose `user_version` means something else.
const APPLICATION_ID: i64 = 0x4c44_534d;

/// Step `n` leads from schema version `n` to `n + 1`. Released steps never change; new ones are appended.
///
/// - Snapshots have a table of their own: SQLite rewrites a row as a whole, and the checkpoint changes with
///   each batch, the snapshot every thirty seconds.
/// - `commit_seq` is a counter, not `max(commit_seq) + 1`: a cursor must stay below every later commit even
///   when findings are deleted.
/// - `dead_letter.seq` gives "newest first"; its identity is the UNIQUE key.
const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE partition_ckpt(
  source TEXT NOT NULL, part INTEGER NOT NULL, epoch INTEGER NOT NULL,
  next_offset INTEGER NOT NULL, state_offset INTEGER NOT NULL, source_tag TEXT,
  PRIMARY KEY(source, part)) STRICT;
CREATE TABLE partition_snapshot(
  source TEXT NOT NULL, part INTEGER NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY(source, part),
  FOREIGN KEY(source, part) REFERENCES partition_ckpt(source, part)) STRICT;
CREATE TABLE counter(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
INSERT INTO counter(name, value) VALUES ('commit_seq', 0);
CREATE TABLE finding(
  id TEXT PRIMARY KEY, commit_seq INTEGER NOT NULL UNIQUE, rev INTEGER NOT NULL, entity TEXT NOT NULL,
  severity INTEGER NOT NULL, score INTEGER NOT NULL, first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL,
  body TEXT NOT NULL) STRICT;
CREATE INDEX finding_entity ON finding(entity, commit_seq);
CREATE INDEX finding_severity ON finding(severity);
CREATE INDEX finding_last_seen ON finding(last_seen);
CREATE TABLE outbox(
  item_id TEXT NOT NULL, rev INTEGER NOT NULL, sink TEXT NOT NULL, commit_seq INTEGER NOT NULL,
  key TEXT NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY(item_id, rev, sink)) STRICT;
CREATE INDEX outbox_order ON outbox(sink, commit_seq);
CREATE TABLE dead_letter(
  seq INTEGER PRIMARY KEY, source TEXT NOT NULL, part INTEGER NOT NULL, off INTEGER NOT NULL,
  item INTEGER NOT NULL, line INTEGER NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, payload BLOB NOT NULL,
  UNIQUE(source, part, off, item)) STRICT;
",
    "
ALTER TABLE partition_ckpt ADD COLUMN roll_to INTEGER;
CREATE TABLE stream_meta(source TEXT PRIMARY KEY, partitions INTEGER NOT NULL) STRICT;
",
];

/// The schema version this release writes.
const KNOWN: i64 = MIGRATIONS.len() as i64;

/// Reads the schema version and writes nothing.
///
/// Errors: `NewerSchema`; `Corrupt` when another program made the database.
pub(super) fn check(conn: &Connection) -> Result<i64, StoreError> {
    let number = |sql: &str| conn.query_row(sql, (), |row| row.get::<_, i64>(0)).map_err(sql_error);
    let found = number("PRAGMA user_version")?;
    if found > KNOWN {
        return Err(StoreError::NewerSchema { found, known: KNOWN });
    }
    let is_empty = number("SELECT count(*) FROM sqlite_schema")? == 0;
    if !is_empty && number("PRAGMA application_id")? != APPLICATION_ID {
        return Err(StoreError::Corrupt("this is a database of another program: name another file".to_owned()));
    }
    Ok(found)
}

/// Brings the schema to the version of this release, in one transaction.
pub(super) fn migrate(conn: &mut Connection) -> Result<(), StoreError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql_error)?;
    // Again, under the write lock: another process may have migrated in between.
    let found = check(&tx)?;
    let done = usize::try_from(found)
        .map_err(|_| StoreError::Corrupt(format!("schema version {found} does not exist: restore a backup")))?;
    for step in MIGRATIONS.iter().skip(done) {
        tx.execute_batch(step).map_err(sql_error)?;
    }
    if found < KNOWN {
        tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(sql_error)?;
        tx.pragma_update(None, "user_version", KNOWN).map_err(sql_error)?;
    }
    tx.commit().map_err(sql_error)
}
