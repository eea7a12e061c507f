use std::future::Future;
use std::pin::Pin;

use leadsman_domain::{
    Entity, Explanation, Finding, FindingId, FindingKind, FindingPage, FindingQuery, ModelRef, ModelSummary,
    PayloadKind, Rarity, Reject, RuleHit, Technique, WindowRef,
};
use tokio_stream::Stream;

use crate::{ApiError, Job, JobId, JobProgress, JobSpec};

/// A boxed future, so that [`Backend`] can be a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Progress of one job, as it happens.
pub type JobStream = Pin<Box<dyn Stream<Item = JobProgress> + Send>>;

/// Most events `POST /v1/score` takes in one request.
pub const MAX_SCORE_EVENTS: usize = 10_000;

/// What the routes need from the rest of the program.
///
/// Contract:
///
/// - A future may be dropped at any await point, because the client left or the deadline passed. That must
///   never corrupt state. A dropped `ingest` may or may not have stored its record; the sender repeats it,
///   so a record can arrive twice.
/// - `ingest` returns `Ok` only once the bytes survive a crash. It does not judge them: what cannot be
///   decoded becomes a dead letter later. When the disk or the broker is full, it returns
///   [`ApiError::unavailable`], and the sender keeps the data.
/// - `score` depends on the posted events and the champion model only, and leaves no trace. It refuses
///   more than [`MAX_SCORE_EVENTS`] events with [`ApiError::invalid`].
/// - Text in an [`ApiError::invalid`], [`ApiError::not_found`] or [`ApiError::conflict`] is shown to the
///   client. Every other error text stays in the log.
pub trait Backend: Send + Sync + 'static {
    /// Stores one undecoded record; returns once it is durable.
    fn ingest(&self, kind: PayloadKind, body: Vec<u8>) -> BoxFuture<'_, Result<(), ApiError>>;

    /// A page of findings, newest change first. `query.limit` is in `1..=1000`.
    fn findings(&self, query: FindingQuery) -> BoxFuture<'_, Result<FindingPage, ApiError>>;

    /// One finding with its commit sequence.
    fn finding(&self, id: FindingId) -> BoxFuture<'_, Result<Option<(i64, Finding)>, ApiError>>;

    /// Scores posted audit events (`Event`, `EventList`, an array or JSON lines) without storing them.
    fn score(&self, body: Vec<u8>) -> BoxFuture<'_, Result<ScoreReport, ApiError>>;

    /// Every model version with its aliases, newest first.
    fn models(&self) -> BoxFuture<'_, Result<Vec<ModelSummary>, ApiError>>;

    /// Queues a job and returns it as queued. An unknown dataset is [`ApiError::invalid`].
    fn submit_job(&self, spec: JobSpec) -> BoxFuture<'_, Result<Job, ApiError>>;

    /// One job.
    fn job(&self, id: JobId) -> BoxFuture<'_, Result<Option<Job>, ApiError>>;

    /// Every remembered job, newest first.
    fn jobs(&self) -> BoxFuture<'_, Result<Vec<Job>, ApiError>>;

    /// Progress of a job: its present state first, then every change, ending after a final state.
    fn job_events(&self, id: JobId) -> BoxFuture<'_, Result<Option<JobStream>, ApiError>>;

    /// The metrics in the Prometheus text format, version 0.0.4.
    fn metrics(&self) -> BoxFuture<'_, Result<String, ApiError>>;

    /// `Err` lists what is not ready, one sentence each, without secrets: probes carry no token.
    fn ready(&self) -> BoxFuture<'_, Result<(), Vec<String>>>;

    /// What is running.
    fn version(&self) -> VersionInfo;
}

/// What is running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionInfo {
    /// Release, for example `0.1.0`.
    pub version: String,
    /// Source revision it was built from, where known.
    pub commit: Option<String>,
}

/// The answer to a stateless scoring request.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreReport {
    /// What scored.
    pub model: ModelRef,
    /// Audit events that were read and scored.
    pub events: u64,
    /// Runtime-security events that were read; no detector looks at them.
    pub runtime: u64,
    /// Network flows that were read, likewise.
    pub flows: u64,
    /// Items that are valid and no telemetry.
    pub skipped: u64,
    /// Items that were refused.
    pub rejects: Vec<Reject>,
    /// One entry for each entity and window, strangest first.
    pub windows: Vec<ScoredWindow>,
}

/// One entity's behaviour in one window, scored.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredWindow {
    /// The window, half-open.
    pub window: WindowRef,
    /// Whose behaviour it is.
    pub entity: Entity,
    /// The action that dominates.
    pub kind: FindingKind,
    /// Calibrated, 0–100, higher is stranger.
    pub score: u8,
    /// How often benign behaviour looks this strange.
    pub rarity: Rarity,
    /// Why.
    pub explanation: Explanation,
    /// ATT&CK techniques that the evidence matches.
    pub techniques: Vec<Technique>,
    /// Rules that matched its events, what counted most first.
    pub rules: Vec<RuleHit>,
    /// Events in the window.
    pub events: u64,
}
