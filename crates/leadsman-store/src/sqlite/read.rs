use leadsman_domain::{
    Checkpoint, DeadLetter, Finding, FindingId, FindingPage, FindingQuery, RejectReason, SourceId, StoreError,
    StoreStats,
};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::error::sql_error;
use crate::convert::{finding_from_json, from_db, row_limit};
use crate::filter::Dialect;
use crate::rows::{CheckpointRow, DeadLetterRow};
use crate::{filter, sql};

/// Full-text search by FTS5.
const DIALECT: Dialect = Dialect {
    text: "commit_seq IN (SELECT rowid FROM finding_text WHERE finding_text MATCH ?)",
    expression: |words| words.iter().map(|word| format!("\"{word}\"*")).collect::<Vec<_>>().join(" "),
    technique: "instr(techniques, ' ' || ? || ' ') > 0",
};

pub(super) fn checkpoints(conn: &Connection) -> Result<Vec<Checkpoint>, StoreError> {
    collect(conn, sql::CHECKPOINTS, Vec::new(), |row| {
        let stored = checkpoint_row(row, 2).map_err(sql_error)?;
        stored.into_checkpoint(SourceId::new(get::<String>(row, 0)?), get(row, 1)?, None)
    })
}

/// Reads the columns from `first` on.
pub(super) fn checkpoint_row(row: &Row<'_>, first: usize) -> rusqlite::Result<CheckpointRow> {
    Ok(CheckpointRow {
        epoch: row.get(first)?,
        next_offset: row.get(first + 1)?,
        state_offset: row.get(first + 2)?,
        roll_to: row.get(first + 3)?,
        source_tag: row.get(first + 4)?,
    })
}

pub(super) fn finding(conn: &Connection, id: FindingId) -> Result<Option<(i64, Finding)>, StoreError> {
    let id = id.to_string();
    let row: Option<(i64, String)> = conn
        .query_row(sql::FINDING, params![id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .map_err(sql_error)?;
    row.map(|(seq, body)| Ok((seq, finding_from_json(&id, &body)?))).transpose()
}

/// One page and the count behind it, from one snapshot of the store.
///
/// A finding that is revised between two pages moves to the front: the pager misses it there and finds it
/// above the sequence number it began with. One that stays as it is is listed exactly once.
pub(super) fn findings(conn: &mut Connection, query: &FindingQuery) -> Result<FindingPage, StoreError> {
    let tx = conn.transaction().map_err(sql_error)?;
    let (mut filter, values) = filter::conditions(query, &DIALECT);
    let mut values: Vec<Value> = values.into_iter().map(Value::from).collect();
    let count = format!("SELECT count(*) FROM finding WHERE {filter}");
    let total: i64 = tx.query_row(&count, params_from_iter(&values), |row| row.get(0)).map_err(sql_error)?;
    let total = from_db(total, "count")?;
    if query.limit == 0 {
        return Ok(FindingPage { total, ..FindingPage::default() });
    }

    if let Some(before) = query.before {
        filter.push_str(" AND commit_seq < ?");
        values.push(before.into());
    }
    // One more than asked for tells whether there is a next page.
    values.push(row_limit(query.limit.saturating_add(1)).into());
    let page = format!("SELECT commit_seq, id, body FROM finding WHERE {filter} ORDER BY commit_seq DESC LIMIT ?");
    let items = collect(&tx, &page, values, |row| {
        let body: String = get(row, 2)?;
        Ok((get::<i64>(row, 0)?, finding_from_json(&get::<String>(row, 1)?, &body)?))
    })?;
    Ok(filter::page(items, query.limit, total))
}

pub(super) fn dead_letters(
    conn: &Connection,
    limit: usize,
    reason: Option<RejectReason>,
) -> Result<Vec<DeadLetter>, StoreError> {
    let reason = reason.map(|reason| reason.as_str().to_owned());
    collect(conn, sql::DEAD_LETTERS, vec![reason.into(), row_limit(limit).into()], |row| {
        let stored = DeadLetterRow {
            source: get(row, 0)?,
            partition: get(row, 1)?,
            offset: get(row, 2)?,
            item: get(row, 3)?,
            line: get(row, 4)?,
            reason: get(row, 5)?,
            detail: get(row, 6)?,
            payload: get(row, 7)?,
        };
        stored.into_letter()
    })
}

pub(super) fn stats(conn: &Connection) -> Result<StoreStats, StoreError> {
    let counts: (i64, i64, i64) =
        conn.query_row(sql::STATS, (), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).map_err(sql_error)?;
    Ok(StoreStats {
        findings: from_db(counts.0, "count")?,
        dead_letters: from_db(counts.1, "count")?,
        outbox: from_db(counts.2, "count")?,
    })
}

impl From<filter::Value> for Value {
    fn from(value: filter::Value) -> Self {
        match value {
            filter::Value::Number(number) => Self::from(number),
            filter::Value::Text(text) | filter::Value::Words(text) => Self::from(text),
        }
    }
}

fn collect<T>(
    conn: &Connection,
    sql: &str,
    values: Vec<Value>,
    mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = conn.prepare(sql).map_err(sql_error)?;
    let mut rows = statement.query(params_from_iter(values)).map_err(sql_error)?;
    let mut items = Vec::new();
    while let Some(row) = rows.next().map_err(sql_error)? {
        items.push(read(row)?);
    }
    Ok(items)
}

fn get<T: rusqlite::types::FromSql>(row: &Row<'_>, column: usize) -> Result<T, StoreError> {
    row.get(column).map_err(sql_error)
}
