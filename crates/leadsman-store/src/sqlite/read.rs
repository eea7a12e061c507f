use leadsman_domain::{
    Checkpoint, DeadLetter, Finding, FindingId, FindingPage, FindingQuery, OutboxItem, Reject, SourceId, StoreError,
    StoreStats,
};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::convert::{finding_from_json, from_db, reject_reason, row_limit, severity_rank, sql_error};

pub(super) fn checkpoints(conn: &Connection) -> Result<Vec<Checkpoint>, StoreError> {
    const SQL: &str = "SELECT source, part, epoch, next_offset, state_offset, roll_to, source_tag
         FROM partition_ckpt ORDER BY source, part";
    collect(conn, SQL, Vec::new(), |row| {
        Ok(Checkpoint {
            source: SourceId::new(get::<String>(row, 0)?),
            partition: get(row, 1)?,
            epoch: get(row, 2)?,
            next_offset: from_db(get(row, 3)?, "next_offset")?,
            state_offset: from_db(get(row, 4)?, "state_offset")?,
            snapshot: None,
            roll_to: get::<Option<i64>>(row, 5)?.map(|at| from_db(at, "roll_to")).transpose()?,
            source_tag: get(row, 6)?,
        })
    })
}

/// In commit order, so that revisions of a finding arrive in theirs.
pub(super) fn pending_outbox(conn: &Connection, sink: &str, limit: usize) -> Result<Vec<OutboxItem>, StoreError> {
    const SQL: &str = "SELECT item_id, rev, key, body FROM outbox WHERE sink = ? ORDER BY commit_seq LIMIT ?";
    let values = vec![Value::from(sink.to_owned()), Value::from(row_limit(limit))];
    collect(conn, SQL, values, |row| {
        let id: String = get(row, 0)?;
        Ok(OutboxItem {
            id: id.parse().map_err(|error| StoreError::Corrupt(format!("outbox item {id:?}: {error}")))?,
            rev: from_db(get(row, 1)?, "rev")?,
            sink: sink.to_owned(),
            key: get(row, 2)?,
            body: get(row, 3)?,
        })
    })
}

pub(super) fn finding(conn: &Connection, id: FindingId) -> Result<Option<(i64, Finding)>, StoreError> {
    let id = id.to_string();
    let row: Option<(i64, String)> = conn
        .query_row("SELECT commit_seq, body FROM finding WHERE id = ?1", params![id], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
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
    let (mut filter, mut values) = conditions(query);
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
    let mut items = collect(&tx, &page, values, |row| {
        let body: String = get(row, 2)?;
        Ok((get::<i64>(row, 0)?, finding_from_json(&get::<String>(row, 1)?, &body)?))
    })?;
    let more = items.len() > query.limit;
    items.truncate(query.limit);
    let next = if more { items.last().map(|(seq, _)| *seq) } else { None };
    Ok(FindingPage { items, next, total })
}

/// The filters as SQL; text from the query only ever travels as a bound value.
fn conditions(query: &FindingQuery) -> (String, Vec<Value>) {
    let FindingQuery { limit: _, before: _, min_severity, min_score, entity, from, to } = query;
    let parts = [
        ("severity >= ?", min_severity.map(|s| Value::from(severity_rank(s)))),
        ("score >= ?", min_score.map(Value::from)),
        ("entity = ?", entity.clone().map(Value::from)),
        ("last_seen >= ?", from.map(|t| Value::from(t.as_micros()))),
        ("last_seen < ?", to.map(|t| Value::from(t.as_micros()))),
    ];
    let mut filter = "TRUE".to_owned();
    let mut values = Vec::new();
    for (condition, value) in parts {
        if let Some(value) = value {
            filter.push_str(" AND ");
            filter.push_str(condition);
            values.push(value);
        }
    }
    (filter, values)
}

pub(super) fn dead_letters(conn: &Connection, limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
    const SQL: &str = "SELECT source, part, off, item, line, reason, detail, payload
         FROM dead_letter ORDER BY seq DESC LIMIT ?";
    collect(conn, SQL, vec![row_limit(limit).into()], |row| {
        Ok(DeadLetter {
            source: SourceId::new(get::<String>(row, 0)?),
            partition: get(row, 1)?,
            offset: from_db(get(row, 2)?, "offset")?,
            reject: Reject {
                item: from_db(get(row, 3)?, "item")?,
                line: from_db(get(row, 4)?, "line")?,
                reason: reject_reason(&get::<String>(row, 5)?)?,
                detail: get(row, 6)?,
                payload: get(row, 7)?,
            },
        })
    })
}

pub(super) fn stats(conn: &Connection) -> Result<StoreStats, StoreError> {
    const SQL: &str = "SELECT (SELECT count(*) FROM finding), (SELECT count(*) FROM dead_letter),
         (SELECT count(*) FROM outbox)";
    let counts: (i64, i64, i64) =
        conn.query_row(SQL, (), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).map_err(sql_error)?;
    Ok(StoreStats {
        findings: from_db(counts.0, "count")?,
        dead_letters: from_db(counts.1, "count")?,
        outbox: from_db(counts.2, "count")?,
    })
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
