use leadsman_domain::{Checkpoint, Commit, DeadLetterKey, SourceId, StoreError};
use rusqlite::{Connection, OptionalExtension, Params, Transaction, TransactionBehavior, params};

use super::error::sql_error;
use super::outbox::Enqueue;
use super::read;
use super::words::WordIndex;
use crate::convert::to_db;
use crate::failpoint::reach;
use crate::rows::{DeadLetterRow, FindingRow, Step, fenced};
use crate::sql;

pub(super) fn claim(conn: &mut Connection, source: SourceId, partition: i32) -> Result<Checkpoint, StoreError> {
    let tx = begin(conn)?;
    let key = params![source.as_str(), partition];
    let row = tx.query_row(sql::CLAIM, key, |row| read::checkpoint_row(row, 0)).map_err(sql_error)?;
    let snapshot = tx.query_row(sql::READ_SNAPSHOT, key, |row| row.get(0)).optional().map_err(sql_error)?;
    let checkpoint = row.into_checkpoint(source, partition, snapshot)?;
    tx.commit().map_err(sql_error)?;
    Ok(checkpoint)
}

/// Remembers the number of partitions, or refuses another one.
pub(super) fn bind_source(
    conn: &mut Connection,
    source: &SourceId,
    partitions: u32,
    accept: bool,
) -> Result<(), StoreError> {
    let tx = begin(conn)?;
    let stored: u32 = tx
        .query_row(sql::BIND_SOURCE, params![source.as_str(), partitions, accept], |row| row.get(0))
        .map_err(sql_error)?;
    if stored != partitions {
        return Err(StoreError::Repartitioned { source_id: source.clone(), found: partitions, stored });
    }
    tx.commit().map_err(sql_error)
}

/// The stored secret, or `fresh` from now on.
pub(super) fn shared_secret(conn: &mut Connection, name: &str, fresh: &str) -> Result<String, StoreError> {
    conn.query_row(sql::SHARED_SECRET, params![name, fresh], |row| row.get(0)).map_err(sql_error)
}

/// Writes one micro-batch's outcome, or nothing.
///
/// Replay: an owner restarts from the snapshot at `state_offset`, which is at or before `next_offset`. It
/// re-derives what lies between and commits nothing until it is back at `next_offset`; a batch that reaches
/// across is cut there. So a replayed span never gets here: its `from` would match no row and read as fenced.
pub(super) fn commit(conn: &mut Connection, commit: &Commit) -> Result<(), StoreError> {
    let step = Step::of(commit)?;
    let findings = FindingRow::all(&commit.findings)?;
    let letters = DeadLetterRow::all(&commit.dead_letters)?;
    let tx = begin(conn)?;
    // First, so that an owner that lost the partition writes nothing; returning drops and rolls back `tx`.
    advance(&tx, commit, &step)?;
    reach("commit-advanced");
    upsert_findings(&tx, &findings, &commit.sinks)?;
    reach("commit-findings");
    insert_dead_letters(&tx, &letters)?;
    reach("commit-written");
    tx.commit().map_err(sql_error)?;
    reach("commit-durable");
    Ok(())
}

/// Deletes dead letters; the number of those that were there.
pub(super) fn delete_dead_letters(conn: &mut Connection, keys: &[DeadLetterKey]) -> Result<u64, StoreError> {
    const DELETE: &str = "DELETE FROM dead_letter WHERE source = ?1 AND part = ?2 AND off = ?3 AND item = ?4";

    let tx = begin(conn)?;
    let mut deleted = 0;
    {
        let mut delete = tx.prepare(DELETE).map_err(sql_error)?;
        for key in keys {
            let (offset, item) = (to_db(key.offset, "offset")?, to_db(key.item, "item")?);
            let values = params![key.source.as_str(), key.partition, offset, item];
            deleted += delete.execute(values).map_err(sql_error)? as u64;
        }
    }
    tx.commit().map_err(sql_error)?;
    Ok(deleted)
}

/// `IMMEDIATE` takes the write lock at once: a deferred transaction that reads first could not upgrade
/// after another process wrote.
pub(super) fn begin(conn: &mut Connection) -> Result<Transaction<'_>, StoreError> {
    conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql_error)
}

/// Runs a statement that every commit has; it is prepared the first time.
fn execute(tx: &Transaction<'_>, sql: &str, values: impl Params) -> Result<usize, StoreError> {
    tx.prepare_cached(sql).and_then(|mut statement| statement.execute(values)).map_err(sql_error)
}

fn advance(tx: &Transaction<'_>, commit: &Commit, step: &Step) -> Result<(), StoreError> {
    let span = &commit.span;
    let (source, part) = (span.source.as_str(), span.partition);
    let values =
        params![step.to, step.state_offset, step.roll_to, commit.source_tag, source, part, commit.epoch, step.from];
    if execute(tx, sql::ADVANCE, values)? == 0 {
        return Err(fenced(span));
    }
    if let Some(snapshot) = &commit.snapshot {
        execute(tx, sql::WRITE_SNAPSHOT, params![source, part, snapshot.body])?;
    }
    Ok(())
}

/// Upserts in order. A finding that is stored already at this revision or a later one changes nothing, draws
/// no sequence number and is not published again.
fn upsert_findings(tx: &Transaction<'_>, rows: &[FindingRow<'_>], sinks: &[String]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    // The write lock is held from here to the end: sequence numbers become visible in their order.
    let mut counter = tx.prepare_cached("SELECT value FROM counter WHERE name = 'commit_seq'").map_err(sql_error)?;
    let drawn: i64 = counter.query_row((), |row| row.get(0)).map_err(sql_error)?;
    let mut stored = tx.prepare_cached("SELECT commit_seq FROM finding WHERE id = ?1").map_err(sql_error)?;
    let mut upsert = tx.prepare_cached(UPSERT).map_err(sql_error)?;
    let mut enqueue = Enqueue::prepare(tx)?;
    let mut index = WordIndex::prepare(tx)?;
    let mut last = drawn;
    for row in rows {
        let seq = last + 1;
        let before: Option<i64> = stored.query_row([&row.id], |row| row.get(0)).optional().map_err(sql_error)?;
        let values = params![
            row.id,
            seq,
            row.rev,
            row.entity,
            row.severity,
            row.score,
            row.first_seen,
            row.last_seen,
            row.body,
            row.cluster,
            row.kind,
            row.incident,
            padded(&row.techniques)
        ];
        if upsert.execute(values).map_err(sql_error)? == 0 {
            continue;
        }
        last = seq;
        if let Some(before) = before {
            index.remove(before)?;
        }
        index.add(seq, &row.words)?;
        enqueue.row(row, seq, sinks)?;
    }
    if last > drawn {
        execute(tx, "UPDATE counter SET value = ?1 WHERE name = 'commit_seq'", [last])?;
    }
    Ok(())
}

const UPSERT: &str = "INSERT INTO finding(id, commit_seq, rev, entity, severity, score, first_seen, last_seen, body,
       cluster, kind, incident, techniques, stored_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, CAST(unixepoch('subsec') * 1000000 AS INTEGER))
     ON CONFLICT(id) DO UPDATE SET commit_seq = excluded.commit_seq, rev = excluded.rev,
       entity = excluded.entity, severity = excluded.severity, score = excluded.score,
       first_seen = excluded.first_seen, last_seen = excluded.last_seen, body = excluded.body,
       cluster = excluded.cluster, kind = excluded.kind, incident = excluded.incident,
       techniques = excluded.techniques, stored_at = excluded.stored_at
     WHERE excluded.rev > finding.rev";

/// With a space on both sides of every technique, so that each can be looked for as a whole.
pub(super) fn padded(techniques: &str) -> String {
    format!(" {techniques} ")
}

/// `DO NOTHING` covers the key alone; `INSERT OR IGNORE` would also swallow a broken row.
fn insert_dead_letters(tx: &Transaction<'_>, letters: &[DeadLetterRow]) -> Result<(), StoreError> {
    const INSERT: &str = "INSERT INTO dead_letter(source, part, off, item, line, reason, detail, payload, stored_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, CAST(unixepoch('subsec') * 1000000 AS INTEGER)) ON CONFLICT(source, part, off, item) DO NOTHING";

    let mut insert = tx.prepare_cached(INSERT).map_err(sql_error)?;
    for l in letters {
        let values = params![l.source, l.partition, l.offset, l.item, l.line, l.reason, l.detail, l.payload];
        insert.execute(values).map_err(sql_error)?;
    }
    Ok(())
}
