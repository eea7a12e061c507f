use deadpool_postgres::{Client, Transaction};
use leadsman_domain::{OutboxItem, StoreError, Timestamp};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::error::pg_error;
use super::read::get;
use super::write::{column, execute};
use crate::convert::row_limit;
use crate::rows::{FindingRow, OutboxKey, outbox_item};

/// Puts findings on their way, within a commit.
pub(super) async fn enqueue(
    tx: &Transaction<'_>,
    rows: &[&FindingRow<'_>],
    sinks: &[String],
    seq: &impl Fn(usize) -> i64,
) -> Result<(), StoreError> {
    // A sink named twice gets the finding once.
    const ENQUEUE: &str = "INSERT INTO outbox(item_id, rev, sink, commit_seq, key, body)
         SELECT id, rev, sink, seq, key, body
         FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bytea[]) AS row(id, rev, seq, key, body),
           unnest($6::text[]) AS sinks(sink)
         ON CONFLICT(item_id, rev, sink) DO NOTHING";
    if sinks.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = rows.iter().enumerate().collect();
    let values: [&(dyn ToSql + Sync); 6] = [
        &column(&rows, |(_, r)| r.id.as_str()),
        &column(&rows, |(_, r)| r.rev),
        &column(&rows, |(i, _)| seq(*i)),
        &column(&rows, |(_, r)| r.entity.as_bytes()),
        &column(&rows, |(_, r)| r.body.as_bytes()),
        &sinks,
    ];
    execute(tx, ENQUEUE, &values).await.map(drop)
}

/// In commit order, so that revisions of a finding arrive in theirs. Rows that another relay is taking at this moment
/// are passed over, not waited for.
pub(super) async fn lease(
    client: &Client,
    sink: &str,
    limit: usize,
    now: Timestamp,
    until: Timestamp,
) -> Result<Vec<OutboxItem>, StoreError> {
    // Without the time `leases_keep_other_relays_away_until_they_end` fails.
    const LEASE: &str = "WITH free AS (
           SELECT item_id, rev, sink FROM outbox WHERE sink = $1 AND leased_until <= $2
           ORDER BY commit_seq LIMIT $3 FOR UPDATE SKIP LOCKED),
         leased AS (
           UPDATE outbox SET leased_until = $4 FROM free
           WHERE outbox.item_id = free.item_id AND outbox.rev = free.rev AND outbox.sink = free.sink
           RETURNING outbox.item_id, outbox.rev, outbox.key, outbox.body, outbox.commit_seq)
         SELECT item_id, rev, key, body FROM leased ORDER BY commit_seq";
    let statement = client.prepare_cached(LEASE).await.map_err(pg_error)?;
    let values: [&(dyn ToSql + Sync); 4] = [&sink, &now.as_micros(), &row_limit(limit), &until.as_micros()];
    let rows = client.query(&statement, &values).await.map_err(pg_error)?;
    rows.iter().map(|row| item(row, sink)).collect()
}

fn item(row: &Row, sink: &str) -> Result<OutboxItem, StoreError> {
    let (id, key): (String, Vec<u8>) = (get(row, 0)?, get(row, 2)?);
    let key = String::from_utf8(key).map_err(|error| StoreError::Corrupt(format!("outbox item {id}: key: {error}")))?;
    outbox_item(&id, get(row, 1)?, sink, key, get(row, 3)?)
}

/// Moves the end of leases that still are the caller's.
pub(super) async fn hold(
    client: &Client,
    keys: &[OutboxKey],
    until: Timestamp,
    to: Timestamp,
) -> Result<(), StoreError> {
    const HOLD: &str = "UPDATE outbox SET leased_until = $5
         FROM unnest($1::text[], $2::bigint[], $3::text[]) AS given(id, rev, sink)
         WHERE outbox.item_id = given.id AND outbox.rev = given.rev AND outbox.sink = given.sink AND leased_until = $4";
    let (ids, revs, sinks) = columns(keys);
    let (until, to) = (until.as_micros(), to.as_micros());
    client.execute(HOLD, &[&ids, &revs, &sinks, &until, &to]).await.map_err(pg_error).map(drop)
}

/// Deletes published rows; a row that is gone already was acknowledged before.
pub(super) async fn ack(client: &Client, keys: &[OutboxKey]) -> Result<(), StoreError> {
    const DELETE: &str = "DELETE FROM outbox USING unnest($1::text[], $2::bigint[], $3::text[]) AS done(id, rev, sink)
         WHERE outbox.item_id = done.id AND outbox.rev = done.rev AND outbox.sink = done.sink";
    let (ids, revs, sinks) = columns(keys);
    client.execute(DELETE, &[&ids, &revs, &sinks]).await.map_err(pg_error).map(drop)
}

fn columns(keys: &[OutboxKey]) -> (Vec<&str>, Vec<i64>, Vec<&str>) {
    (column(keys, |k| k.id.as_str()), column(keys, |k| k.rev), column(keys, |k| k.sink.as_str()))
}
