//! PostgreSQL: many processes on one store, each with a small pool of connections.
//!
//! Every call has a deadline, on the server and here: a server that is gone ends in `Unavailable`, and the caller tries
//! again.

mod care;
mod error;
mod lease;
mod outbox;
mod read;
mod schema;
mod settings;
mod text;
mod tls;
mod write;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use deadpool_postgres::Pool;
use leadsman_domain::{
    Checkpoint, Commit, DeadLetter, DeadLetterKey, Finding, FindingId, FindingPage, FindingQuery, OutboxItem, Pruned,
    RejectReason, SourceId, Store, StoreError, StoreStats, Timestamp, Triage, TriageError,
};

use crate::rows::OutboxKey;
use lease::Lease;
pub use settings::{PostgresError, PostgresSettings};

/// Findings, checkpoints, outbox and dead letters in a PostgreSQL database.
///
/// Clones share the connections. A commit is durable when it returns, as far as the server's `synchronous_commit` is
/// on; sessions in which it is off switch it on.
///
/// The methods of [`Store`] must be called inside a tokio runtime.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    pool: Pool,
    unanswered: Arc<Mutex<Unanswered>>,
}

/// The last commit of each partition whose outcome is not known.
type Unanswered = HashMap<(SourceId, i32), Attempt>;

/// What one owner tried to commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Attempt {
    epoch: i64,
    from: u64,
    to: u64,
}

impl PostgresStore {
    /// Connects to the database and brings its schema up to date.
    ///
    /// Errors: `NewerSchema` when a newer release wrote it, `Corrupt` when another program did, `Unavailable` when it
    /// cannot be reached.
    pub async fn connect(settings: &PostgresSettings) -> Result<Self, StoreError> {
        let pool = lease::pool(settings)?;
        Lease::of(&pool).await?.run_within(schema::PATIENCE, |client| Box::pin(schema::migrate(client))).await?;
        Ok(Self { pool, unanswered: Arc::default() })
    }

    /// Connects to the database as it is: makes no tables, and leaves an older schema to the service.
    ///
    /// Errors: as [`Self::connect`]; `OlderSchema` when an older release wrote it, or none.
    pub async fn attach(settings: &PostgresSettings) -> Result<Self, StoreError> {
        let pool = lease::pool(settings)?;
        Lease::of(&pool).await?.run(|client| Box::pin(schema::check_current(client))).await?;
        Ok(Self { pool, unanswered: Arc::default() })
    }

    /// Where every partition stands, by source and partition. Claims nothing; `snapshot` is always `None`.
    pub async fn checkpoints(&self) -> Result<Vec<Checkpoint>, StoreError> {
        self.lease().await?.run(|client| Box::pin(read::checkpoints(client))).await
    }

    async fn lease(&self) -> Result<Lease, StoreError> {
        Lease::of(&self.pool).await
    }

    /// Notes that `attempt` begins, and says whether it was tried before without an answer.
    fn begin(&self, key: &(SourceId, i32), attempt: Attempt) -> bool {
        let mut unanswered = self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        unanswered.insert(key.clone(), attempt) == Some(attempt)
    }

    fn answered(&self, key: &(SourceId, i32)) {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

// === impl Store ===

impl Store for PostgresStore {
    async fn claim(&self, source: &SourceId, partition: i32) -> Result<Checkpoint, StoreError> {
        let source = source.clone();
        self.lease().await?.run(|client| Box::pin(write::claim(client, source, partition))).await
    }

    async fn bind_source(&self, source: &SourceId, partitions: u32, accept: bool) -> Result<(), StoreError> {
        let source = source.clone();
        self.lease()
            .await?
            .run(|client| Box::pin(async move { write::bind_source(client, &source, partitions, accept).await }))
            .await
    }

    async fn shared_secret(&self, name: &str, fresh: &str) -> Result<String, StoreError> {
        let (name, fresh) = (name.to_owned(), fresh.to_owned());
        self.lease()
            .await?
            .run(|client| Box::pin(async move { write::shared_secret(client, &name, &fresh).await }))
            .await
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        let key = (commit.span.source.clone(), commit.span.partition);
        let attempt = Attempt { epoch: commit.epoch, from: commit.span.from, to: commit.span.to };
        let lease = self.lease().await?;
        let unanswered = self.begin(&key, attempt);
        let done = lease.run(|client| Box::pin(async move { write::commit(client, &commit, unanswered).await })).await;
        match done {
            Ok(()) | Err(StoreError::Fenced { .. }) => self.answered(&key),
            // The server may have committed and the answer been lost; a dropped future leaves the note as well.
            Err(_) => {}
        }
        done
    }

    async fn lease_outbox(
        &self,
        sink: &str,
        limit: usize,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<OutboxItem>, StoreError> {
        let sink = sink.to_owned();
        self.lease()
            .await?
            .run(|client| Box::pin(async move { outbox::lease(client, &sink, limit, now, until).await }))
            .await
    }

    async fn hold_outbox(&self, items: &[OutboxItem], until: Timestamp, to: Timestamp) -> Result<(), StoreError> {
        let keys = OutboxKey::all(items)?;
        self.lease().await?.run(|client| Box::pin(async move { outbox::hold(client, &keys, until, to).await })).await
    }

    async fn ack_outbox(&self, items: &[OutboxItem]) -> Result<(), StoreError> {
        let keys = OutboxKey::all(items)?;
        self.lease().await?.run(|client| Box::pin(async move { outbox::ack(client, &keys).await })).await
    }

    async fn finding(&self, id: FindingId) -> Result<Option<(i64, Finding)>, StoreError> {
        self.lease().await?.run(|client| Box::pin(read::finding(client, id))).await
    }

    /// A `limit` of 0 asks for `total` alone: no items and no cursor.
    async fn findings(&self, query: FindingQuery) -> Result<FindingPage, StoreError> {
        self.lease().await?.run(|client| Box::pin(async move { read::findings(client, &query).await })).await
    }

    async fn triage(&self, id: FindingId) -> Result<Option<Triage>, StoreError> {
        self.lease().await?.run(|client| Box::pin(async move { care::triage(&***client, id).await })).await
    }

    async fn set_triage(&self, id: FindingId, triage: Triage) -> Result<Triage, TriageError> {
        self.lease().await?.run(|client| Box::pin(care::set_triage(client, id, triage))).await
    }

    async fn prune(
        &self,
        findings_before: Timestamp,
        dead_letters_before: Timestamp,
        limit: usize,
    ) -> Result<Pruned, StoreError> {
        let lease = self.lease().await?;
        lease.run(|client| Box::pin(care::prune(client, findings_before, dead_letters_before, limit))).await
    }

    async fn delete_dead_letters(&self, keys: &[DeadLetterKey]) -> Result<u64, StoreError> {
        let keys = keys.to_vec();
        self.lease().await?.run(|client| Box::pin(async move { write::delete_dead_letters(client, &keys).await })).await
    }

    async fn dead_letters(&self, limit: usize, reason: Option<RejectReason>) -> Result<Vec<DeadLetter>, StoreError> {
        self.lease().await?.run(|client| Box::pin(read::dead_letters(client, limit, reason))).await
    }

    /// `outbox` counts deliveries: a finding on its way to two sinks counts twice.
    async fn stats(&self) -> Result<StoreStats, StoreError> {
        self.lease().await?.run(|client| Box::pin(read::stats(client))).await
    }
}
