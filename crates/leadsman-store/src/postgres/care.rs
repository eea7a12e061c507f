//! What people make of findings, and what goes because of its age.

use deadpool_postgres::Client;
use leadsman_domain::{FindingId, Pruned, StoreError, Timestamp, Triage, TriageError};
use tokio_postgres::types::ToSql;
use tokio_postgres::{GenericClient, Row};

use super::error::pg_error;
use super::read::get;
use super::text::readable;
use super::write::lock_counter;
use crate::convert::{row_limit, to_db};
use crate::rows::TriageRow;
use crate::sql;

pub(super) async fn triage(client: &impl GenericClient, id: FindingId) -> Result<Option<Triage>, StoreError> {
    let row = client.query_opt(sql::READ_TRIAGE, &[&id.to_string()]).await.map_err(pg_error)?;
    row.map(|row| triage_row(&row)?.into_triage()).transpose()
}

fn triage_row(row: &Row) -> Result<TriageRow, StoreError> {
    Ok(TriageRow { version: get(row, 0)?, status: get(row, 1)?, assignee: get(row, 2)?, note: get(row, 3)? })
}

pub(super) async fn set_triage(client: &mut Client, id: FindingId, mut wanted: Triage) -> Result<Triage, TriageError> {
    let tx = client.transaction().await.map_err(pg_error)?;
    // Whoever sets triage at the same time waits here, and then sees the new version; and so does retention, which
    // would delete the finding under it. Without the lock `nothing_ages_away_under_a_decision` fails.
    lock_counter(&tx).await?;
    let stored = triage(&*tx, id).await?.ok_or(TriageError::Missing(id))?;
    wanted.follow(id, &stored)?;
    let version = to_db(wanted.version, "version of triage")?;
    wanted.assignee = wanted.assignee.map(|name| readable(&name).into_owned());
    wanted.note = readable(&wanted.note).into_owned();
    let (id, status) = (id.to_string(), wanted.status.as_str());
    let values: [&(dyn ToSql + Sync); 5] = [&id, &version, &status, &wanted.assignee, &wanted.note];
    tx.execute(sql::WRITE_TRIAGE, &values).await.map_err(pg_error)?;
    tx.execute("UPDATE finding SET stored_at = micros() WHERE id = $1", &[&id]).await.map_err(pg_error)?;
    tx.commit().await.map_err(pg_error)?;
    Ok(wanted)
}

pub(super) async fn prune(
    client: &mut Client,
    findings_before: Timestamp,
    dead_letters_before: Timestamp,
    limit: usize,
) -> Result<Pruned, StoreError> {
    let tx = client.transaction().await.map_err(pg_error)?;
    // Commits change findings under this lock only, so none of those that were chosen changes.
    lock_counter(&tx).await?;
    let limit = row_limit(limit);
    let old = tx.query(sql::OLD_FINDINGS, &[&findings_before.as_micros(), &limit]).await.map_err(pg_error)?;
    let old: Vec<String> = old.iter().map(|row| get(row, 0)).collect::<Result<_, _>>()?;
    for delete in ["DELETE FROM finding_triage WHERE finding_id = ANY($1)", "DELETE FROM finding WHERE id = ANY($1)"] {
        tx.execute(delete, &[&old]).await.map_err(pg_error)?;
    }
    tx.commit().await.map_err(pg_error)?;
    let letters: [&(dyn ToSql + Sync); 2] = [&dead_letters_before.as_micros(), &limit];
    let dead_letters = client.execute(sql::PRUNE_DEAD_LETTERS, &letters).await.map_err(pg_error)?;
    Ok(Pruned { findings: old.len() as u64, dead_letters })
}
