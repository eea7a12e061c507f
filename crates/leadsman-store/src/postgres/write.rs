use std::collections::HashMap;

use deadpool_postgres::{Client, Transaction};
use leadsman_domain::{Checkpoint, Commit, DeadLetterKey, SourceId, StoreError};
use tokio_postgres::types::ToSql;

use super::error::pg_error;
use super::outbox;
use super::read::{checkpoint_row, get};
use super::text::{indexed, readable};
use crate::convert::to_db;
use crate::failpoint::reach;
use crate::rows::{DeadLetterRow, FindingRow, Step, fenced};
use crate::sql;

pub(super) async fn claim(client: &mut Client, source: SourceId, partition: i32) -> Result<Checkpoint, StoreError> {
    let tx = client.transaction().await.map_err(pg_error)?;
    let name = source.as_str();
    let row = tx.query_one(sql::CLAIM, &[&name, &partition]).await.map_err(pg_error)?;
    let snapshot = tx.query_opt(sql::READ_SNAPSHOT, &[&name, &partition]).await.map_err(pg_error)?;
    let snapshot = snapshot.map(|row| get(&row, 0)).transpose()?;
    let checkpoint = checkpoint_row(&row, 0)?.into_checkpoint(source, partition, snapshot)?;
    tx.commit().await.map_err(pg_error)?;
    Ok(checkpoint)
}

/// Remembers the number of partitions, or refuses another one.
pub(super) async fn bind_source(
    client: &mut Client,
    source: &SourceId,
    partitions: u32,
    accept: bool,
) -> Result<(), StoreError> {
    let tx = client.transaction().await.map_err(pg_error)?;
    let wanted = i64::from(partitions);
    let row = tx.query_one(sql::BIND_SOURCE, &[&source.as_str(), &wanted, &accept]).await.map_err(pg_error)?;
    let stored: i64 = get(&row, 0)?;
    if stored != wanted {
        let stored = u32::try_from(stored)
            .map_err(|_| StoreError::Corrupt(format!("{source} has {stored} partitions: restore a backup")))?;
        return Err(StoreError::Repartitioned { source_id: source.clone(), found: partitions, stored });
    }
    tx.commit().await.map_err(pg_error)
}

/// The stored secret, or `fresh` from now on.
pub(super) async fn shared_secret(client: &mut Client, name: &str, fresh: &str) -> Result<String, StoreError> {
    let row = client.query_one(sql::SHARED_SECRET, &[&name, &fresh]).await.map_err(pg_error)?;
    get(&row, 0)
}

/// Deletes dead letters; the number of those that were there.
pub(super) async fn delete_dead_letters(client: &mut Client, keys: &[DeadLetterKey]) -> Result<u64, StoreError> {
    const DELETE: &str = "DELETE FROM dead_letter WHERE source = $1 AND part = $2 AND off = $3 AND item = $4";

    let tx = client.transaction().await.map_err(pg_error)?;
    let mut deleted = 0;
    for key in keys {
        let (offset, item) = (to_db(key.offset, "offset")?, to_db(key.item, "item")?);
        deleted += execute(&tx, DELETE, &[&key.source.as_str(), &key.partition, &offset, &item]).await?;
    }
    tx.commit().await.map_err(pg_error)?;
    Ok(deleted)
}

/// Writes one micro-batch's outcome, or nothing.
///
/// `unanswered` says that this owner tried this very span before and does not know how that ended. When the
/// compare-and-set then matches no row because the checkpoint stands where the span ends, under this owner's epoch,
/// nobody else can have put it there: the first try was committed and only its answer was lost.
pub(super) async fn commit(client: &mut Client, commit: &Commit, unanswered: bool) -> Result<(), StoreError> {
    let step = Step::of(commit)?;
    let findings = FindingRow::all(&commit.findings)?;
    let letters = DeadLetterRow::all(&commit.dead_letters)?;
    let tx = client.transaction().await.map_err(pg_error)?;
    // First, so that an owner that lost the partition writes nothing; returning drops and rolls back `tx`.
    if !advance(&tx, commit, &step).await? {
        let done = unanswered && stands_at_end(&tx, commit, &step).await?;
        return if done { Ok(()) } else { Err(fenced(&commit.span)) };
    }
    reach("commit-advanced");
    insert_dead_letters(&tx, &letters).await?;
    reach("commit-findings");
    // Last: the counter's row stays locked from here to the end.
    upsert_findings(&tx, &findings, &commit.sinks).await?;
    reach("commit-written");
    tx.commit().await.map_err(pg_error)?;
    reach("commit-durable");
    Ok(())
}

async fn advance(tx: &Transaction<'_>, commit: &Commit, step: &Step) -> Result<bool, StoreError> {
    let (source, part) = (commit.span.source.as_str(), commit.span.partition);
    let values: [&(dyn ToSql + Sync); 8] =
        [&step.to, &step.state_offset, &step.roll_to, &commit.source_tag, &source, &part, &commit.epoch, &step.from];
    if execute(tx, sql::ADVANCE, &values).await? == 0 {
        return Ok(false);
    }
    if let Some(snapshot) = &commit.snapshot {
        execute(tx, sql::WRITE_SNAPSHOT, &[&source, &part, &snapshot.body]).await?;
    }
    Ok(true)
}

/// Whether the checkpoint stands where the span ends, under the owner's epoch.
async fn stands_at_end(tx: &Transaction<'_>, commit: &Commit, step: &Step) -> Result<bool, StoreError> {
    const SQL: &str =
        "SELECT 1 FROM partition_ckpt WHERE source = $1 AND part = $2 AND epoch = $3 AND next_offset = $4";
    let (source, part) = (commit.span.source.as_str(), commit.span.partition);
    let row = tx.query_opt(SQL, &[&source, &part, &commit.epoch, &step.to]).await.map_err(pg_error)?;
    Ok(row.is_some())
}

/// Upserts in order. A finding that is stored already at this revision or a later one changes nothing, draws
/// no sequence number and is not published again.
async fn upsert_findings(tx: &Transaction<'_>, rows: &[FindingRow<'_>], sinks: &[String]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    // Two partitions may hold events of the same entity, so the lock comes before the look at what is stored.
    let drawn = lock_counter(tx).await?;
    let fresh = fresh(tx, rows).await?;
    if fresh.is_empty() {
        return Ok(());
    }
    // A statement may change a row once: of several revisions the last is stored, and each is published.
    let last: HashMap<&str, usize> = fresh.iter().enumerate().map(|(i, row)| (row.id.as_str(), i)).collect();
    let seq = |i: usize| drawn + 1 + i as i64;
    let stored: Vec<_> = fresh.iter().enumerate().filter(|(i, row)| last[row.id.as_str()] == *i).collect();
    write_findings(tx, &stored, &seq).await?;
    outbox::enqueue(tx, &fresh, sinks, &seq).await?;
    execute(tx, "UPDATE counter SET value = $1 WHERE name = 'commit_seq'", &[&seq(fresh.len() - 1)]).await?;
    Ok(())
}

/// Waits until no other transaction can draw sequence numbers before this one ends: they become visible in their order.
/// Without the lock `numbers_become_visible_in_their_order` fails.
pub(super) async fn lock_counter(tx: &Transaction<'_>) -> Result<i64, StoreError> {
    const SQL: &str = "SELECT value FROM counter WHERE name = 'commit_seq' FOR UPDATE";
    let statement = tx.prepare_cached(SQL).await.map_err(pg_error)?;
    get(&tx.query_one(&statement, &[]).await.map_err(pg_error)?, 0)
}

/// Those whose revision is higher than what is stored and than what came before them.
async fn fresh<'r, 'f>(
    tx: &Transaction<'_>,
    rows: &'r [FindingRow<'f>],
) -> Result<Vec<&'r FindingRow<'f>>, StoreError> {
    const SQL: &str = "SELECT id, rev FROM finding WHERE id = ANY($1)";
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let statement = tx.prepare_cached(SQL).await.map_err(pg_error)?;
    let mut revs: HashMap<String, i64> = HashMap::new();
    for row in tx.query(&statement, &[&ids]).await.map_err(pg_error)? {
        revs.insert(get(&row, 0)?, get(&row, 1)?);
    }
    let mut fresh = Vec::new();
    for row in rows {
        if revs.get(&row.id).is_none_or(|stored| row.rev > *stored) {
            revs.insert(row.id.clone(), row.rev);
            fresh.push(row);
        }
    }
    Ok(fresh)
}

async fn write_findings(
    tx: &Transaction<'_>,
    rows: &[(usize, &&FindingRow<'_>)],
    seq: &impl Fn(usize) -> i64,
) -> Result<(), StoreError> {
    const UPSERT: &str =
        "INSERT INTO finding(id, commit_seq, rev, entity, severity, score, first_seen, last_seen, body,
           cluster, kind, incident, techniques, words)
         SELECT id, commit_seq, rev, entity, severity, score, first_seen, last_seen, body, cluster, kind, incident,
           string_to_array(techniques, ' '), array_to_tsvector(string_to_array(words, ' '))
         FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],
             $8::bigint[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[])
           AS row(id, commit_seq, rev, entity, severity, score, first_seen, last_seen, body, cluster, kind, incident,
             techniques, words)
         ON CONFLICT(id) DO UPDATE SET commit_seq = excluded.commit_seq, rev = excluded.rev,
           entity = excluded.entity, severity = excluded.severity, score = excluded.score,
           first_seen = excluded.first_seen, last_seen = excluded.last_seen, body = excluded.body,
           cluster = excluded.cluster, kind = excluded.kind, incident = excluded.incident,
           techniques = excluded.techniques, words = excluded.words, stored_at = excluded.stored_at
         WHERE excluded.rev > finding.rev";
    let values: [&(dyn ToSql + Sync); 14] = [
        &column(rows, |(_, r)| r.id.as_str()),
        &column(rows, |(i, _)| seq(*i)),
        &column(rows, |(_, r)| r.rev),
        &column(rows, |(_, r)| indexed(r.entity)),
        &column(rows, |(_, r)| r.severity),
        &column(rows, |(_, r)| r.score),
        &column(rows, |(_, r)| r.first_seen),
        &column(rows, |(_, r)| r.last_seen),
        &column(rows, |(_, r)| r.body.as_str()),
        &column(rows, |(_, r)| indexed(r.cluster)),
        &column(rows, |(_, r)| r.kind),
        &column(rows, |(_, r)| r.incident.as_str()),
        &column(rows, |(_, r)| r.techniques.as_str()),
        &column(rows, |(_, r)| r.words.as_str()),
    ];
    execute(tx, UPSERT, &values).await.map(drop)
}

/// `DO NOTHING` covers the key alone.
async fn insert_dead_letters(tx: &Transaction<'_>, letters: &[DeadLetterRow]) -> Result<(), StoreError> {
    const INSERT: &str = "INSERT INTO dead_letter(source, part, off, item, line, reason, detail, payload)
         SELECT source, part, off, item, line, reason, detail, payload
         FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[],
           $8::bytea[]) WITH ORDINALITY AS row(source, part, off, item, line, reason, detail, payload, place)
         ORDER BY place ON CONFLICT(source, part, off, item) DO NOTHING";
    if letters.is_empty() {
        return Ok(());
    }
    let values: [&(dyn ToSql + Sync); 8] = [
        &column(letters, |l| l.source.as_str()),
        &column(letters, |l| l.partition),
        &column(letters, |l| l.offset),
        &column(letters, |l| l.item),
        &column(letters, |l| l.line),
        &column(letters, |l| l.reason.as_str()),
        &column(letters, |l| readable(&l.detail)),
        &column(letters, |l| l.payload.as_slice()),
    ];
    execute(tx, INSERT, &values).await.map(drop)
}

pub(super) fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

pub(super) async fn execute(
    tx: &Transaction<'_>,
    sql: &str,
    values: &[&(dyn ToSql + Sync)],
) -> Result<u64, StoreError> {
    let statement = tx.prepare_cached(sql).await.map_err(pg_error)?;
    tx.execute(&statement, values).await.map_err(pg_error)
}
