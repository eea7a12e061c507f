//! Waiting until Kafka lets us read.
//!
//! A wrong password, a missing right or topic, a certificate that has expired: somebody has to mend it, and until then
//! a process that ends is only started again. So it waits, says what is missing, and goes on by itself. Certificates
//! are read anew at each attempt; the configuration is not.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use leadsman_kafka::diagnose::{Obstacle, Subject, obstacle};
use leadsman_kafka::{ExactlyOnceSink, KafkaError};
use tokio::sync::oneshot;

use super::events::{KafkaObstructed, KafkaOpened};
use super::kafka;
use crate::config::KafkaSettings;

/// Pause between attempts.
pub const AGAIN: Duration = Duration::from_secs(3);
/// How often what has not changed is told.
const TELL_AGAIN: Duration = Duration::from_secs(300);

/// Returns when every topic can be read and every group be joined.
///
/// Errors: when a setting is refused, which no waiting mends.
pub async fn wait(settings: &KafkaSettings) -> Result<()> {
    let mut told: Option<(Obstacle, Instant)> = None;
    loop {
        let Some(found) = look(settings.subject()).await? else {
            if told.is_some() {
                KafkaOpened.emit();
            }
            return Ok(());
        };
        let is_news = told.as_ref().is_none_or(|(last, at)| *last != found || at.elapsed() >= TELL_AGAIN);
        if is_news {
            KafkaObstructed { obstacle: &found }.emit();
            told = Some((found, Instant::now()));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Asks on a thread of its own: a runtime waits for its threads to end, and a stop must not wait for an answer.
async fn look(subject: Subject) -> Result<Option<Obstacle>> {
    let (answer, answered) = oneshot::channel::<Result<Option<Obstacle>, KafkaError>>();
    std::thread::Builder::new().name("kafka-access".to_owned()).spawn(move || {
        // Nobody waits any more when the process is ending.
        drop(answer.send(obstacle(&subject)));
    })?;
    Ok(answered.await.context("the thread that asks Kafka ended by itself; it may have panicked")??)
}

impl KafkaSettings {
    /// What is looked at: every topic that is read or written and every group, those of the re-key stage among them.
    #[must_use]
    pub fn subject(&self) -> Subject {
        Subject {
            bootstrap_servers: self.bootstrap_servers.clone(),
            group_id: self.group_id.clone(),
            stage_group: self.rekey.then(|| kafka::ingest_group(self)),
            publishing_group: self.exactly_once.then(|| ExactlyOnceSink::group(&self.group_id)),
            topics: kafka::read(self),
            written: kafka::written(self),
            extra: self.properties.clone(),
        }
    }
}
