//! What people make of findings, and what goes because of its age.

use leadsman_domain::{FindingId, Pruned, StoreError, Timestamp, Triage, TriageError};
use rusqlite::{Connection, OptionalExtension, params};

use super::error::sql_error;
use super::words::WordIndex;
use super::write::begin;
use crate::convert::{row_limit, to_db};
use crate::rows::TriageRow;
use crate::sql;

pub(super) fn triage(conn: &Connection, id: FindingId) -> Result<Option<Triage>, StoreError> {
    let row = conn
        .query_row(sql::READ_TRIAGE, [id.to_string()], |row| {
            Ok(TriageRow { version: row.get(0)?, status: row.get(1)?, assignee: row.get(2)?, note: row.get(3)? })
        })
        .optional()
        .map_err(sql_error)?;
    row.map(TriageRow::into_triage).transpose()
}

pub(super) fn set_triage(conn: &mut Connection, id: FindingId, mut wanted: Triage) -> Result<Triage, TriageError> {
    let tx = begin(conn)?;
    let stored = triage(&tx, id)?.ok_or(TriageError::Missing(id))?;
    wanted.follow(id, &stored)?;
    let version = to_db(wanted.version, "version of triage")?;
    let values = params![id.to_string(), version, wanted.status.as_str(), wanted.assignee, wanted.note];
    tx.execute(sql::WRITE_TRIAGE, values).map_err(sql_error)?;
    const TOUCH: &str = "UPDATE finding SET stored_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER) WHERE id = ?1";
    tx.execute(TOUCH, [id.to_string()]).map_err(sql_error)?;
    tx.commit().map_err(sql_error)?;
    Ok(wanted)
}

pub(super) fn prune(
    conn: &mut Connection,
    findings_before: Timestamp,
    dead_letters_before: Timestamp,
    limit: usize,
) -> Result<Pruned, StoreError> {
    let tx = begin(conn)?;
    let old: Vec<(String, i64)> = {
        let mut old = tx.prepare(sql::OLD_FINDINGS).map_err(sql_error)?;
        let rows =
            old.query_map(params![findings_before.as_micros(), row_limit(limit)], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.and_then(Iterator::collect).map_err(sql_error)?
    };
    let mut words = WordIndex::prepare(&tx)?;
    for (id, seq) in &old {
        words.remove(*seq)?;
        tx.execute("DELETE FROM finding_triage WHERE finding_id = ?1", [id]).map_err(sql_error)?;
        tx.execute("DELETE FROM finding WHERE id = ?1", [id]).map_err(sql_error)?;
    }
    drop(words);
    let letters = params![dead_letters_before.as_micros(), row_limit(limit)];
    let dead_letters = tx.execute(sql::PRUNE_DEAD_LETTERS, letters).map_err(sql_error)?;
    tx.commit().map_err(sql_error)?;
    Ok(Pruned { findings: old.len() as u64, dead_letters: dead_letters as u64 })
}
