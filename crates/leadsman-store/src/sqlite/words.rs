use leadsman_domain::StoreError;
use rusqlite::{CachedStatement, Transaction, params};

use super::error::sql_error;

/// The words of findings, by `commit_seq`.
pub(super) struct WordIndex<'t> {
    insert: CachedStatement<'t>,
    delete: CachedStatement<'t>,
}

impl<'t> WordIndex<'t> {
    pub(super) fn prepare(tx: &'t Transaction<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            insert: tx.prepare_cached("INSERT INTO finding_text(rowid, words) VALUES (?1, ?2)").map_err(sql_error)?,
            delete: tx.prepare_cached("DELETE FROM finding_text WHERE rowid = ?1").map_err(sql_error)?,
        })
    }

    pub(super) fn add(&mut self, seq: i64, words: &str) -> Result<(), StoreError> {
        self.insert.execute(params![seq, words]).map_err(sql_error).map(drop)
    }

    pub(super) fn remove(&mut self, seq: i64) -> Result<(), StoreError> {
        self.delete.execute([seq]).map_err(sql_error).map(drop)
    }
}
