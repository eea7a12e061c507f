use leadsman_domain::{OutboxItem, StoreError, Timestamp};
use rusqlite::{CachedStatement, Connection, Statement, Transaction, params};

use super::error::sql_error;
use super::write::begin;
use crate::convert::row_limit;
use crate::rows::{FindingRow, OutboxKey, outbox_item};

/// Puts findings on their way, within a commit.
pub(super) struct Enqueue<'t>(CachedStatement<'t>);

impl<'t> Enqueue<'t> {
    pub(super) fn prepare(tx: &'t Transaction<'_>) -> Result<Self, StoreError> {
        // A sink named twice gets the finding once.
        const ENQUEUE: &str = "INSERT INTO outbox(item_id, rev, sink, commit_seq, key, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT(item_id, rev, sink) DO NOTHING";
        Ok(Self(tx.prepare_cached(ENQUEUE).map_err(sql_error)?))
    }

    pub(super) fn row(&mut self, row: &FindingRow<'_>, seq: i64, sinks: &[String]) -> Result<(), StoreError> {
        for sink in sinks {
            self.0.execute(params![row.id, row.rev, sink, seq, row.entity, row.body.as_bytes()]).map_err(sql_error)?;
        }
        Ok(())
    }
}

/// In commit order, so that revisions of a finding arrive in theirs.
pub(super) fn lease(
    conn: &mut Connection,
    sink: &str,
    limit: usize,
    now: Timestamp,
    until: Timestamp,
) -> Result<Vec<OutboxItem>, StoreError> {
    // Without the time `leases_keep_other_relays_away_until_they_end` fails.
    const FREE: &str = "SELECT item_id, rev, key, body FROM outbox WHERE sink = ?1 AND leased_until <= ?2
         ORDER BY commit_seq LIMIT ?3";

    let tx = begin(conn)?;
    let mut items = Vec::new();
    {
        let mut free = tx.prepare_cached(FREE).map_err(sql_error)?;
        let mut rows = free.query(params![sink, now.as_micros(), row_limit(limit)]).map_err(sql_error)?;
        while let Some(row) = rows.next().map_err(sql_error)? {
            let read = || Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
            let (id, rev, key, body) = read().map_err(sql_error)?;
            items.push(outbox_item(&id, rev, sink, key, body)?);
        }
    }
    let lease = "UPDATE outbox SET leased_until = ?4 WHERE item_id = ?1 AND rev = ?2 AND sink = ?3";
    let until = until.as_micros();
    each(&tx, lease, &OutboxKey::all(&items)?, |statement, key| {
        statement.execute(params![key.id, key.rev, key.sink, until])
    })?;
    tx.commit().map_err(sql_error)?;
    Ok(items)
}

/// Moves the end of leases that still are the caller's.
pub(super) fn hold(
    conn: &mut Connection,
    keys: &[OutboxKey],
    until: Timestamp,
    to: Timestamp,
) -> Result<(), StoreError> {
    let hold =
        "UPDATE outbox SET leased_until = ?5 WHERE item_id = ?1 AND rev = ?2 AND sink = ?3 AND leased_until = ?4";
    let (until, to) = (until.as_micros(), to.as_micros());
    let tx = begin(conn)?;
    each(&tx, hold, keys, |statement, key| statement.execute(params![key.id, key.rev, key.sink, until, to]))?;
    tx.commit().map_err(sql_error)
}

/// Deletes published rows; a row that is gone already was acknowledged before.
pub(super) fn ack(conn: &mut Connection, keys: &[OutboxKey]) -> Result<(), StoreError> {
    let ack = "DELETE FROM outbox WHERE item_id = ?1 AND rev = ?2 AND sink = ?3";
    let tx = begin(conn)?;
    each(&tx, ack, keys, |statement, key| statement.execute(params![key.id, key.rev, key.sink]))?;
    tx.commit().map_err(sql_error)
}

/// Runs a statement for each key.
fn each(
    tx: &Transaction<'_>,
    sql: &str,
    keys: &[OutboxKey],
    run: impl Fn(&mut Statement<'_>, &OutboxKey) -> rusqlite::Result<usize>,
) -> Result<(), StoreError> {
    let mut statement = tx.prepare_cached(sql).map_err(sql_error)?;
    for key in keys {
        run(&mut statement, key).map_err(sql_error)?;
    }
    Ok(())
}
