//! The running service: sources, the loop, the relay and what the API asks of them.

pub mod access;
pub mod again;
pub mod aside;
pub mod backend;
mod compute;
pub mod events;
pub mod group;
pub mod jobs;
pub mod kafka;
pub mod lake_keeper;
pub mod metrics;
pub mod partition;
pub mod recognise;
pub mod redaction;
pub mod rekey;
pub mod relay;
pub mod retention;
pub mod roll;
pub mod rotation;
pub mod runner;
pub mod stream;
pub mod token;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use leadsman_decode::{DecodeContext, Limits};
use leadsman_detect::rules::RuleSet;
use leadsman_domain::{SourceId, Store, StoreError, StoreStats};
use leadsman_engine::Engine;
use leadsman_store::AnyStore;
use tokio::sync::{Notify, Semaphore};

use crate::lake::Lake;
use crate::model::ReadyModel;
use metrics::Metrics;
use roll::Rolls;

/// What every part of the service shares.
pub struct Shared {
    /// Findings, checkpoints, outbox.
    pub store: AnyStore,
    /// The configured cluster.
    pub cluster: Scope,
    /// Other clusters, by the source that they write.
    pub clusters: BTreeMap<SourceId, Scope>,
    /// The champion.
    pub model: ReadyModel,
    /// Rules and decoys.
    pub rules: Arc<RuleSet>,
    /// Bounds of decoding.
    pub limits: Limits,
    /// Counters.
    pub metrics: Metrics,
    /// Where every event is kept, if anywhere.
    pub lake: Option<Lake>,
    /// What is being written into it.
    pub rolls: Rolls,
    /// Sinks that findings go to.
    pub sinks: Vec<String>,
    /// As many computations at a time as there are cores.
    pub cores: Semaphore,
    /// How long a store that others share may be out of reach until they take over; `None` when nobody could.
    pub patience: Option<Duration>,
    /// Rung when the outbox may hold something.
    pub outbox: Notify,
    /// Where state, models and datasets lie.
    pub data_dir: PathBuf,
}

/// How the telemetry of one cluster is read and scored.
pub struct Scope {
    /// Scores with the champion.
    pub engine: Engine,
    /// Cluster and actor classes.
    pub context: DecodeContext,
}

/// How long the store has to say what it holds. A commit is waited for much longer, but who asks whether all is well must
/// hear that it is not.
const ANSWER: Duration = Duration::from_secs(3);

impl Shared {
    /// What the store holds, if it says so in time.
    ///
    /// Errors: when it does not answer within three seconds, or is out of reach.
    pub async fn stats(&self) -> Result<StoreStats, StoreError> {
        let silent = || StoreError::Unavailable(format!("the store did not answer for {} s", ANSWER.as_secs()));
        tokio::time::timeout(ANSWER, self.store.stats()).await.unwrap_or_else(|_| Err(silent()))
    }

    /// The cluster that writes a source: configuration, never payload.
    #[must_use]
    pub fn scope(&self, source: &SourceId) -> &Scope {
        self.clusters.get(source).unwrap_or(&self.cluster)
    }
}

/// Shared ownership of it.
pub type Service = Arc<Shared>;
