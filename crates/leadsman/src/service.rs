//! The running service: sources, the loop, the relay and what the API asks of them.

pub mod backend;
pub mod events;
pub mod jobs;
pub mod lake_keeper;
pub mod metrics;
pub mod relay;
pub mod runner;
pub mod stream;
pub mod token;

use std::path::PathBuf;
use std::sync::Arc;

use leadsman_decode::{DecodeContext, Limits};
use leadsman_detect::rules::RuleSet;
use leadsman_engine::Engine;
use leadsman_store::SqliteStore;
use tokio::sync::Notify;

use crate::model::ReadyModel;
use metrics::Metrics;

/// What every part of the service shares.
pub struct Shared {
    /// Findings, checkpoints, outbox.
    pub store: SqliteStore,
    /// Scores with the champion.
    pub engine: Engine,
    /// The champion.
    pub model: ReadyModel,
    /// Rules and decoys.
    pub rules: Arc<RuleSet>,
    /// Cluster and actor classes.
    pub context: DecodeContext,
    /// Bounds of decoding.
    pub limits: Limits,
    /// Counters.
    pub metrics: Metrics,
    /// Sinks that findings go to.
    pub sinks: Vec<String>,
    /// Rung when the outbox may hold something.
    pub outbox: Notify,
    /// Where state, models and datasets lie.
    pub data_dir: PathBuf,
}

/// Shared ownership of it.
pub type Service = Arc<Shared>;
