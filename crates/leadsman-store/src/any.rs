use std::path::{Path, PathBuf};

use leadsman_domain::{
    Checkpoint, Commit, DeadLetter, DeadLetterKey, Finding, FindingId, FindingPage, FindingQuery, OutboxItem, Pruned,
    RejectReason, SourceId, Store, StoreError, StoreStats, Timestamp, Triage, TriageError,
};

use crate::{PostgresSettings, PostgresStore, SqliteStore};

/// Where findings are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreSettings {
    /// In a SQLite file, by one process.
    Sqlite(PathBuf),
    /// In a PostgreSQL database, by any number of processes.
    Postgres(PostgresSettings),
}

/// A store of either kind.
#[derive(Debug, Clone)]
pub enum AnyStore {
    /// SQLite.
    Sqlite(SqliteStore),
    /// PostgreSQL.
    Postgres(PostgresStore),
}

/// Does the same with whichever store it is.
macro_rules! either {
    ($any:ident, $store:ident => $call:expr) => {
        match $any {
            AnyStore::Sqlite($store) => $call,
            AnyStore::Postgres($store) => $call,
        }
    };
}

impl AnyStore {
    /// Opens or creates the store and brings its schema up to date. Blocks while it opens a file.
    ///
    /// Errors: those of [`SqliteStore::open`] and [`PostgresStore::connect`].
    pub async fn open(settings: &StoreSettings) -> Result<Self, StoreError> {
        Ok(match settings {
            StoreSettings::Sqlite(path) => Self::Sqlite(SqliteStore::open(path)?),
            StoreSettings::Postgres(settings) => Self::Postgres(PostgresStore::connect(settings).await?),
        })
    }

    /// Opens the store as it is, for commands beside a service: makes none, and leaves an older schema to the service.
    ///
    /// Errors: those of [`SqliteStore::attach`] and [`PostgresStore::attach`].
    pub async fn attach(settings: &StoreSettings) -> Result<Self, StoreError> {
        Ok(match settings {
            StoreSettings::Sqlite(path) => Self::Sqlite(SqliteStore::attach(path)?),
            StoreSettings::Postgres(settings) => Self::Postgres(PostgresStore::attach(settings).await?),
        })
    }

    /// Where every partition stands, by source and partition. Claims nothing; `snapshot` is always `None`.
    pub async fn checkpoints(&self) -> Result<Vec<Checkpoint>, StoreError> {
        either!(self, store => store.checkpoints().await)
    }
}

// === impl Store ===

impl Store for AnyStore {
    async fn claim(&self, source: &SourceId, partition: i32) -> Result<Checkpoint, StoreError> {
        either!(self, store => store.claim(source, partition).await)
    }

    async fn bind_source(&self, source: &SourceId, partitions: u32, accept: bool) -> Result<(), StoreError> {
        either!(self, store => store.bind_source(source, partitions, accept).await)
    }

    async fn shared_secret(&self, name: &str, fresh: &str) -> Result<String, StoreError> {
        either!(self, store => store.shared_secret(name, fresh).await)
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        either!(self, store => store.commit(commit).await)
    }

    async fn lease_outbox(
        &self,
        sink: &str,
        limit: usize,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<OutboxItem>, StoreError> {
        either!(self, store => store.lease_outbox(sink, limit, now, until).await)
    }

    async fn hold_outbox(&self, items: &[OutboxItem], until: Timestamp, to: Timestamp) -> Result<(), StoreError> {
        either!(self, store => store.hold_outbox(items, until, to).await)
    }

    async fn ack_outbox(&self, items: &[OutboxItem]) -> Result<(), StoreError> {
        either!(self, store => store.ack_outbox(items).await)
    }

    async fn finding(&self, id: FindingId) -> Result<Option<(i64, Finding)>, StoreError> {
        either!(self, store => store.finding(id).await)
    }

    async fn findings(&self, query: FindingQuery) -> Result<FindingPage, StoreError> {
        either!(self, store => store.findings(query).await)
    }

    async fn triage(&self, id: FindingId) -> Result<Option<Triage>, StoreError> {
        either!(self, store => store.triage(id).await)
    }

    async fn set_triage(&self, id: FindingId, triage: Triage) -> Result<Triage, TriageError> {
        either!(self, store => store.set_triage(id, triage).await)
    }

    async fn prune(
        &self,
        findings_before: Timestamp,
        dead_letters_before: Timestamp,
        limit: usize,
    ) -> Result<Pruned, StoreError> {
        either!(self, store => store.prune(findings_before, dead_letters_before, limit).await)
    }

    async fn dead_letters(&self, limit: usize, reason: Option<RejectReason>) -> Result<Vec<DeadLetter>, StoreError> {
        either!(self, store => store.dead_letters(limit, reason).await)
    }

    async fn delete_dead_letters(&self, keys: &[DeadLetterKey]) -> Result<u64, StoreError> {
        either!(self, store => store.delete_dead_letters(keys).await)
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        either!(self, store => store.stats().await)
    }
}

// === impl StoreSettings ===

impl StoreSettings {
    /// The file of the store; `None` when it is in no file.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }
}

/// The path, or the address without its password.
impl std::fmt::Display for StoreSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(settings) => settings.fmt(f),
        }
    }
}
