//! A worker that reaches Kafka and not the store that others share: it leaves its groups, so that others go on with its
//! partitions, and comes back when the store answers.

use std::time::Duration;

use anyhow::Result;
use leadsman_kafka::KafkaSource;

use super::Service;
use super::events::{StoreAnswers, StoreCommitError, StoreSilent};

/// The store was out of reach for as long as others are expected to wait for it.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the store has been out of reach for {} s", .0.as_secs())]
pub struct Silent(Duration);

/// Whether `error` says that the store was out of reach for too long.
#[must_use]
pub fn is_silent(error: &anyhow::Error) -> bool {
    error.is::<Silent>()
}

/// Waits for what the store does; without a worker that could do better, for ever.
///
/// Errors: [`Silent`] after as long as configured, and those of `work`.
pub async fn patiently<T>(service: &Service, work: impl Future<Output = Result<T>>) -> Result<T> {
    let Some(patience) = service.patience else { return work.await };
    tokio::time::timeout(patience, work).await.unwrap_or_else(|_| Err(Silent(patience).into()))
}

/// Whether a member of a group has left it.
#[derive(Debug, Default)]
pub struct Aside(bool);

impl Aside {
    /// Leaves the group. Its partitions go to others, so whoever works on them here has to end.
    pub fn leave(&mut self, source: &KafkaSource, error: &anyhow::Error) {
        StoreSilent { error }.emit();
        source.step_aside();
        self.0 = true;
    }

    /// Whether it has left.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.0
    }

    /// Joins again once the store answers.
    pub async fn look(&mut self, service: &Service, source: &KafkaSource) {
        if !self.0 {
            return;
        }
        match service.stats().await {
            Ok(_) => {
                StoreAnswers.emit();
                source.come_back();
                self.0 = false;
            }
            // Whoever watches for that must not take silence for its end.
            Err(error) => StoreCommitError { error: &error }.emit(&service.metrics),
        }
    }
}
