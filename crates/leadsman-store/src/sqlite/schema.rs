use leadsman_domain::StoreError;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::error::sql_error;
use super::words::WordIndex;
use super::write::padded;
use crate::convert::finding_from_json;
use crate::rows::FindingRow;

/// `LDSM`: tells our files from another program's, whose `user_version` means something else.
const APPLICATION_ID: i64 = 0x4c44_534d;

/// Step `n` leads from schema version `n` to `n + 1`. Released steps never change; new ones are appended.
///
/// - Snapshots have a table of their own: SQLite rewrites a row as a whole, and the checkpoint changes with
///   each batch, the snapshot every thirty seconds.
/// - `commit_seq` is a counter, not `max(commit_seq) + 1`: a cursor must stay below every later commit even
///   when findings are deleted.
/// - `dead_letter.seq` gives "newest first"; its identity is the UNIQUE key.
/// - `finding_text` keeps words and no text. Its row id is the finding's `commit_seq`: that of `finding` may change when
///   the file is compacted.
/// - `stored_at` is the clock of this machine, in microseconds since the epoch: retention counts from the last change.
const MIGRATIONS: &[Step] = &[
    Step {
        sql: "
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
        then: nothing,
    },
    Step {
        sql: "
ALTER TABLE partition_ckpt ADD COLUMN roll_to INTEGER;
CREATE TABLE stream_meta(source TEXT PRIMARY KEY, partitions INTEGER NOT NULL) STRICT;
",
        then: nothing,
    },
    Step {
        sql: "
ALTER TABLE finding ADD COLUMN cluster TEXT NOT NULL DEFAULT '';
ALTER TABLE finding ADD COLUMN kind TEXT NOT NULL DEFAULT '';
ALTER TABLE finding ADD COLUMN incident TEXT NOT NULL DEFAULT '';
ALTER TABLE finding ADD COLUMN techniques TEXT NOT NULL DEFAULT '';
ALTER TABLE finding ADD COLUMN stored_at INTEGER NOT NULL DEFAULT 0;
UPDATE finding SET stored_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER);
CREATE INDEX finding_incident ON finding(incident, commit_seq);
CREATE INDEX finding_stored_at ON finding(stored_at);
CREATE VIRTUAL TABLE finding_text USING fts5(words, content='', contentless_delete=1, tokenize='ascii');
CREATE TABLE finding_triage(
  finding_id TEXT PRIMARY KEY REFERENCES finding(id), version INTEGER NOT NULL, status TEXT NOT NULL,
  assignee TEXT, note TEXT NOT NULL) STRICT;
ALTER TABLE outbox ADD COLUMN leased_until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dead_letter ADD COLUMN stored_at INTEGER NOT NULL DEFAULT 0;
UPDATE dead_letter SET stored_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER);
CREATE INDEX dead_letter_stored_at ON dead_letter(stored_at);
CREATE TABLE shared_secret(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
",
        then: index_findings,
    },
];

/// One step: statements, and what statements cannot do.
struct Step {
    sql: &'static str,
    then: fn(&Transaction<'_>) -> Result<(), StoreError>,
}

fn nothing(_: &Transaction<'_>) -> Result<(), StoreError> {
    Ok(())
}

/// Fills the columns that are searched from what is stored.
fn index_findings(tx: &Transaction<'_>) -> Result<(), StoreError> {
    let mut read = tx.prepare("SELECT id, commit_seq, body FROM finding").map_err(sql_error)?;
    let mut index = WordIndex::prepare(tx)?;
    let mut rows = read.query(()).map_err(sql_error)?;
    while let Some(row) = rows.next().map_err(sql_error)? {
        let (id, seq): (String, i64) = (row.get(0).map_err(sql_error)?, row.get(1).map_err(sql_error)?);
        let finding = finding_from_json(&id, &row.get::<_, String>(2).map_err(sql_error)?)?;
        let row = FindingRow::of(&finding)?;
        let update = "UPDATE finding SET cluster = ?2, kind = ?3, incident = ?4, techniques = ?5 WHERE id = ?1";
        tx.execute(update, params![id, row.cluster, row.kind, row.incident, padded(&row.techniques)])
            .map_err(sql_error)?;
        index.add(seq, &row.words)?;
    }
    Ok(())
}

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

/// Reads the schema version, which must be that of this release, and writes nothing.
///
/// Errors: as [`check`]; `OlderSchema`.
pub(super) fn check_current(conn: &Connection) -> Result<(), StoreError> {
    let found = check(conn)?;
    if found < KNOWN { Err(StoreError::OlderSchema { found, known: KNOWN }) } else { Ok(()) }
}

/// Brings the schema to the version of this release, in one transaction.
pub(super) fn migrate(conn: &mut Connection) -> Result<(), StoreError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql_error)?;
    // Again, under the write lock: another process may have migrated in between.
    let found = check(&tx)?;
    let done = usize::try_from(found)
        .map_err(|_| StoreError::Corrupt(format!("schema version {found} does not exist: restore a backup")))?;
    for step in MIGRATIONS.iter().skip(done) {
        tx.execute_batch(step.sql).map_err(sql_error)?;
        (step.then)(&tx)?;
    }
    if found < KNOWN {
        tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(sql_error)?;
        tx.pragma_update(None, "user_version", KNOWN).map_err(sql_error)?;
    }
    tx.commit().map_err(sql_error)
}

#[cfg(test)]
mod tests {
    use leadsman_domain::{FindingQuery, Store, Timestamp, TriageStatus};
    use tempfile::TempDir;

    use super::*;
    use crate::SqliteStore;
    use crate::conformance::{dead_letter, finding};

    /// What releases before searching stored is found, is not taken for old, and is published.
    #[tokio::test]
    async fn an_older_file_is_brought_up_to_date() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("leadsman.db");
        let conn = Connection::open(&path).unwrap();
        for step in &MIGRATIONS[..2] {
            conn.execute_batch(step.sql).unwrap();
        }
        conn.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        conn.pragma_update(None, "user_version", 2).unwrap();
        let body = serde_json::to_string(&finding(1, 1, 50)).unwrap();
        let id = finding(1, 1, 50).id;
        conn.execute(
            "INSERT INTO finding(id, commit_seq, rev, entity, severity, score, first_seen, last_seen, body)
             VALUES (?1, 7, 1, 'user-1', 2, 50, 0, 0, ?2)",
            params![id.to_string(), body],
        )
        .unwrap();
        conn.execute("UPDATE counter SET value = 7", ()).unwrap();
        conn.execute(
            "INSERT INTO outbox VALUES (?1, 1, 'kafka', 7, 'user-1', ?2)",
            params![id.to_string(), body.as_bytes()],
        )
        .unwrap();
        conn.execute(
            "INSERT INTO dead_letter VALUES (1, 'kafka:audit', 0, 3, 0, 1, 'malformed_json', 'bad', x'00ff')",
            (),
        )
        .unwrap();
        drop(conn);

        let store = SqliteStore::open(&path).unwrap();
        let query = FindingQuery {
            limit: 9,
            text: Some("secrets user".into()),
            cluster: Some("demo".into()),
            kind: Some(finding(1, 1, 50).kind),
            incident: Some(finding(1, 1, 50).incident_id),
            ..FindingQuery::default()
        };
        assert_eq!(store.findings(query).await.unwrap().items, [(7, finding(1, 1, 50))]);
        assert_eq!(store.triage(id).await.unwrap().unwrap().status, TriageStatus::New);
        let at = Timestamp::from_micros;
        store.ack_outbox(&store.lease_outbox("kafka", 9, at(0), at(1)).await.unwrap()).await.unwrap();
        let yesterday = at(1_600_000_000_000_000);
        assert_eq!(store.prune(yesterday, yesterday, 9).await.unwrap(), leadsman_domain::Pruned::default());
        assert_eq!(store.dead_letters(9, None).await.unwrap(), [dead_letter(3, 0, "bad")]);
    }
}
