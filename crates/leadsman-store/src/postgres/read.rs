use deadpool_postgres::Client;
use leadsman_domain::{
    Checkpoint, DeadLetter, Finding, FindingId, FindingPage, FindingQuery, RejectReason, SourceId, StoreError,
    StoreStats,
};
use tokio_postgres::types::{FromSql, ToSql};
use tokio_postgres::{IsolationLevel, Row};

use super::error::pg_error;
use super::text::{indexed, numbered};
use crate::convert::{finding_from_json, from_db, row_limit};
use crate::filter::{self, Dialect, Value};
use crate::rows::{CheckpointRow, DeadLetterRow};
use crate::sql;

/// Full-text search by `tsvector`. Words hold letters and digits only, so that no quote can end early.
const DIALECT: Dialect = Dialect {
    text: "words @@ ?::text::tsquery",
    expression: |words| words.iter().map(|word| format!("'{word}':*")).collect::<Vec<_>>().join(" & "),
    technique: "techniques @> ARRAY[?::text]",
};

/// A parameter of a statement that is put together.
type Parameter = Box<dyn ToSql + Sync + Send>;

pub(super) async fn checkpoints(client: &Client) -> Result<Vec<Checkpoint>, StoreError> {
    let rows = client.query(sql::CHECKPOINTS, &[]).await.map_err(pg_error)?;
    rows.iter()
        .map(|row| {
            let stored = checkpoint_row(row, 2)?;
            stored.into_checkpoint(SourceId::new(get::<String>(row, 0)?), get(row, 1)?, None)
        })
        .collect()
}

/// Reads the columns from `first` on.
pub(super) fn checkpoint_row(row: &Row, first: usize) -> Result<CheckpointRow, StoreError> {
    Ok(CheckpointRow {
        epoch: get(row, first)?,
        next_offset: get(row, first + 1)?,
        state_offset: get(row, first + 2)?,
        roll_to: get(row, first + 3)?,
        source_tag: get(row, first + 4)?,
    })
}

pub(super) async fn finding(client: &Client, id: FindingId) -> Result<Option<(i64, Finding)>, StoreError> {
    let id = id.to_string();
    let statement = client.prepare_cached(sql::FINDING).await.map_err(pg_error)?;
    let row = client.query_opt(&statement, &[&id]).await.map_err(pg_error)?;
    row.map(|row| Ok((get(&row, 0)?, finding_from_json(&id, &get::<String>(&row, 1)?)?))).transpose()
}

/// One page and the count behind it, from one snapshot of the store; see the same function of SQLite.
pub(super) async fn findings(client: &mut Client, query: &FindingQuery) -> Result<FindingPage, StoreError> {
    let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let tx = snapshot.start().await.map_err(pg_error)?;
    let (mut filter, values) = filter::conditions(query, &DIALECT);
    let mut values: Vec<Parameter> = values.into_iter().map(parameter).collect();
    let count = numbered(&format!("SELECT count(*) FROM finding WHERE {filter}"));
    let total = tx.query_one(&count, &borrowed(&values)).await.map_err(pg_error)?;
    let total = from_db(get(&total, 0)?, "count")?;
    if query.limit == 0 {
        return Ok(FindingPage { total, ..FindingPage::default() });
    }

    if let Some(before) = query.before {
        filter.push_str(" AND commit_seq < ?");
        values.push(Box::new(before));
    }
    // One more than asked for tells whether there is a next page.
    values.push(Box::new(row_limit(query.limit.saturating_add(1))));
    let page = format!("SELECT commit_seq, id, body FROM finding WHERE {filter} ORDER BY commit_seq DESC LIMIT ?");
    let rows = tx.query(&numbered(&page), &borrowed(&values)).await.map_err(pg_error)?;
    let items = rows.iter().map(|row| {
        let (id, body): (String, String) = (get(row, 1)?, get(row, 2)?);
        Ok((get(row, 0)?, finding_from_json(&id, &body)?))
    });
    Ok(filter::page(items.collect::<Result<_, StoreError>>()?, query.limit, total))
}

pub(super) async fn dead_letters(
    client: &Client,
    limit: usize,
    reason: Option<RejectReason>,
) -> Result<Vec<DeadLetter>, StoreError> {
    let reason = reason.map(RejectReason::as_str);
    let rows = client.query(sql::DEAD_LETTERS, &[&reason, &row_limit(limit)]).await.map_err(pg_error)?;
    rows.iter()
        .map(|row| {
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
        .collect()
}

pub(super) async fn stats(client: &Client) -> Result<StoreStats, StoreError> {
    let row = client.query_one(sql::STATS, &[]).await.map_err(pg_error)?;
    Ok(StoreStats {
        findings: from_db(get(&row, 0)?, "count")?,
        dead_letters: from_db(get(&row, 1)?, "count")?,
        outbox: from_db(get(&row, 2)?, "count")?,
    })
}

fn parameter(value: Value) -> Parameter {
    match value {
        Value::Number(number) => Box::new(number),
        Value::Text(text) => Box::new(indexed(&text).into_owned()),
        Value::Words(expression) => Box::new(expression),
    }
}

fn borrowed(values: &[Parameter]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()
}

pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, StoreError> {
    row.try_get(column).map_err(|error| StoreError::Corrupt(format!("PostgreSQL: {error}: restore a backup")))
}
