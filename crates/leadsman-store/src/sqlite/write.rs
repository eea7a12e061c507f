use leadsman_domain::{Checkpoint, Commit, DeadLetter, DeadLetterKey, OutboxItem, SourceId, StoreError};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::convert::{finding_to_json, from_db, severity_rank, sql_error, to_db};

/// Takes ownership: raises the epoch, so that the previous owner's next commit matches no row.
pub(super) fn claim(conn: &mut Connection, source: SourceId, partition: i32) -> Result<Checkpoint, StoreError> {
    const CLAIM: &str = "INSERT INTO partition_ckpt(source, part, epoch, next_offset, state_offset)
         VALUES (?1, ?2, 1, 0, 0)
         ON CONFLICT(source, part) DO UPDATE SET epoch = epoch + 1
         RETURNING epoch, next_offset, state_offset, roll_to, source_tag";
    const SNAPSHOT: &str = "SELECT body FROM partition_snapshot WHERE source = ?1 AND part = ?2";

    let tx = begin(conn)?;
    let key = params![source.as_str(), partition];
    let (epoch, next_offset, state_offset, roll_to, source_tag) = tx
        .query_row(CLAIM, key, |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, row.get::<_, Option<i64>>(3)?, row.get(4)?))
        })
        .map_err(sql_error)?;
    let snapshot = tx.query_row(SNAPSHOT, key, |row| row.get(0)).optional().map_err(sql_error)?;
    let checkpoint = Checkpoint {
        partition,
        epoch,
        next_offset: from_db(next_offset, "next_offset")?,
        state_offset: from_db(state_offset, "state_offset")?,
        snapshot,
        roll_to: roll_to.map(|at| from_db(at, "roll_to")).transpose()?,
        source_tag,
        source,
    };
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
    const BIND: &str = "INSERT INTO stream_meta(source, partitions) VALUES (?1, ?2)
         ON CONFLICT(source) DO UPDATE SET partitions = CASE WHEN ?3 THEN excluded.partitions ELSE partitions END
         RETURNING partitions";

    let tx = begin(conn)?;
    let stored: u32 =
        tx.query_row(BIND, params![source.as_str(), partitions, accept], |row| row.get(0)).map_err(sql_error)?;
    if stored != partitions {
        return Err(StoreError::Repartitioned { source_id: source.clone(), found: partitions, stored });
    }
    tx.commit().map_err(sql_error)
}

/// Writes one micro-batch's outcome, or nothing.
///
/// Replay: an owner restarts from the snapshot at `state_offset`, which is at or before `next_offset`. It
/// re-derives what lies between and commits nothing until it is back at `next_offset`; a batch that reaches
/// across is cut there. So a replayed span never gets here: its `from` would match no row and read as fenced.
pub(super) fn commit(conn: &mut Connection, commit: &Commit) -> Result<(), StoreError> {
    let rows = commit.findings.iter().map(FindingRow::of).collect::<Result<Vec<_>, _>>()?;
    let tx = begin(conn)?;
    // First, so that an owner that lost the partition writes nothing; returning drops and rolls back `tx`.
    advance(&tx, commit)?;
    upsert_findings(&tx, &rows, &commit.sinks)?;
    insert_dead_letters(&tx, &commit.dead_letters)?;
    tx.commit().map_err(sql_error)
}

/// What identifies a row of the outbox.
pub(super) struct OutboxKey {
    id: String,
    rev: i64,
    sink: String,
}

impl OutboxKey {
    pub(super) fn of(item: &OutboxItem) -> Result<Self, StoreError> {
        Ok(Self { id: item.id.to_string(), rev: to_db(item.rev, "rev")?, sink: item.sink.clone() })
    }
}

/// Deletes published rows; a row that is gone already was acknowledged before.
pub(super) fn ack_outbox(conn: &mut Connection, keys: &[OutboxKey]) -> Result<(), StoreError> {
    let tx = begin(conn)?;
    {
        let mut delete =
            tx.prepare("DELETE FROM outbox WHERE item_id = ?1 AND rev = ?2 AND sink = ?3").map_err(sql_error)?;
        for key in keys {
            delete.execute(params![key.id, key.rev, key.sink]).map_err(sql_error)?;
        }
    }
    tx.commit().map_err(sql_error)
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
fn begin(conn: &mut Connection) -> Result<Transaction<'_>, StoreError> {
    conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql_error)
}

/// The compare-and-set. Without `epoch` in it, `fences_the_older_of_two_owners` fails; without
/// `next_offset`, `refuses_gaps_and_overlaps` does; without the row count, both and
/// `a_fenced_commit_leaves_no_row`.
fn advance(tx: &Transaction<'_>, commit: &Commit) -> Result<(), StoreError> {
    const ADVANCE: &str = "UPDATE partition_ckpt SET next_offset = ?1,
           state_offset = coalesce(?2, state_offset),
           roll_to = CASE WHEN roll_to <= ?2 THEN NULL ELSE coalesce(?3, roll_to) END,
           source_tag = coalesce(?4, source_tag)
         WHERE source = ?5 AND part = ?6 AND epoch = ?7 AND next_offset = ?8";
    const SNAPSHOT: &str = "INSERT INTO partition_snapshot(source, part, body) VALUES (?1, ?2, ?3)
         ON CONFLICT(source, part) DO UPDATE SET body = excluded.body";

    let span = &commit.span;
    let fenced = || StoreError::Fenced { partition: format!("{}/{}", span.source, span.partition) };
    // A state from beyond what is stored would hide what lies between for ever.
    if span.to < span.from || commit.snapshot.as_ref().is_some_and(|s| s.at > span.to) {
        return Err(fenced());
    }
    let to = to_db(span.to, "offset")?;
    let from = to_db(span.from, "offset")?;
    let source = span.source.as_str();
    let offset = |at: Option<u64>| at.map(|at| to_db(at, "offset")).transpose();
    let (state, roll) = (offset(commit.snapshot.as_ref().map(|s| s.at))?, offset(commit.roll_to)?);
    let updated = tx
        .execute(ADVANCE, params![to, state, roll, commit.source_tag, source, span.partition, commit.epoch, from])
        .map_err(sql_error)?;
    if updated == 0 {
        return Err(fenced());
    }
    if let Some(snapshot) = &commit.snapshot {
        tx.execute(SNAPSHOT, params![source, span.partition, snapshot.body]).map_err(sql_error)?;
    }
    Ok(())
}

struct FindingRow<'a> {
    id: String,
    rev: i64,
    entity: &'a str,
    severity: i64,
    score: u8,
    first_seen: i64,
    last_seen: i64,
    body: String,
}

impl<'a> FindingRow<'a> {
    fn of(finding: &'a leadsman_domain::Finding) -> Result<Self, StoreError> {
        Ok(Self {
            id: finding.id.to_string(),
            rev: to_db(finding.rev, "rev")?,
            entity: &finding.entity.id,
            severity: severity_rank(finding.severity),
            score: finding.score,
            first_seen: finding.first_seen.as_micros(),
            last_seen: finding.last_seen.as_micros(),
            body: finding_to_json(finding)?,
        })
    }
}

/// Upserts in order. A finding that is stored already at this revision or a later one changes nothing, draws
/// no sequence number and is not published again.
fn upsert_findings(tx: &Transaction<'_>, rows: &[FindingRow<'_>], sinks: &[String]) -> Result<(), StoreError> {
    const UPSERT: &str =
        "INSERT INTO finding(id, commit_seq, rev, entity, severity, score, first_seen, last_seen, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT(id) DO UPDATE SET commit_seq = excluded.commit_seq, rev = excluded.rev,
           entity = excluded.entity, severity = excluded.severity, score = excluded.score,
           first_seen = excluded.first_seen, last_seen = excluded.last_seen, body = excluded.body
         WHERE excluded.rev > finding.rev";
    // A sink named twice gets the finding once.
    const ENQUEUE: &str = "INSERT INTO outbox(item_id, rev, sink, commit_seq, key, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT(item_id, rev, sink) DO NOTHING";

    if rows.is_empty() {
        return Ok(());
    }
    // The write lock is held from here to the end: sequence numbers become visible in their order.
    let drawn: i64 =
        tx.query_row("SELECT value FROM counter WHERE name = 'commit_seq'", (), |row| row.get(0)).map_err(sql_error)?;
    let mut upsert = tx.prepare(UPSERT).map_err(sql_error)?;
    let mut enqueue = tx.prepare(ENQUEUE).map_err(sql_error)?;
    let mut last = drawn;
    for row in rows {
        let seq = last + 1;
        let values =
            params![row.id, seq, row.rev, row.entity, row.severity, row.score, row.first_seen, row.last_seen, row.body];
        if upsert.execute(values).map_err(sql_error)? == 0 {
            continue;
        }
        last = seq;
        for sink in sinks {
            enqueue.execute(params![row.id, row.rev, sink, seq, row.entity, row.body.as_bytes()]).map_err(sql_error)?;
        }
    }
    if last > drawn {
        tx.execute("UPDATE counter SET value = ?1 WHERE name = 'commit_seq'", [last]).map_err(sql_error)?;
    }
    Ok(())
}

/// `DO NOTHING` covers the key alone; `INSERT OR IGNORE` would also swallow a broken row.
fn insert_dead_letters(tx: &Transaction<'_>, letters: &[DeadLetter]) -> Result<(), StoreError> {
    const INSERT: &str = "INSERT INTO dead_letter(source, part, off, item, line, reason, detail, payload)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT(source, part, off, item) DO NOTHING";

    let mut insert = tx.prepare(INSERT).map_err(sql_error)?;
    for letter in letters {
        let reject = &letter.reject;
        let values = params![
            letter.source.as_str(),
            letter.partition,
            to_db(letter.offset, "offset")?,
            to_db(reject.item, "item")?,
            to_db(reject.line, "line")?,
            reject.reason.as_str(),
            reject.detail,
            reject.payload
        ];
        insert.execute(values).map_err(sql_error)?;
    }
    Ok(())
}
