//! Which groups read which topics.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use leadsman_domain::{PayloadKind, SourceId, Store};
use leadsman_kafka::{BatchLimits, KafkaConfig, KafkaProducer, KafkaSinkConfig, KafkaSource, source_id};
use tokio::sync::watch;

use super::events::TopicsUnknown;
use super::partition::insist;
use super::rekey::{self, Output};
use super::{Service, access};
use crate::config::{KafkaSettings, Topic};

/// Records that may wait for the store; decoded they are several times as large.
const BYTES_UNDER_WAY: usize = 16 << 20;
/// Records that may wait in the re-key stage for the turn of their partition.
pub const INGEST_BYTES_UNDER_WAY: usize = 32 << 20;
/// After so long without a record a partition that was read to its end holds up no other.
const INGEST_IDLE: Duration = Duration::from_millis(200);

/// Topics that telemetry is produced to.
fn inputs(settings: &KafkaSettings) -> impl Iterator<Item = (&Topic, PayloadKind)> {
    let audit = settings.audit_topics.iter().map(|topic| (topic, PayloadKind::K8sAudit));
    audit.chain(settings.metrics_topics.iter().map(|topic| (topic, PayloadKind::MetricJson)))
}

/// Where the items of a topic go that is re-keyed: each cluster has an events topic of its own, because the topic is
/// what tells the cluster.
#[must_use]
pub fn events_topic(settings: &KafkaSettings, cluster: Option<&str>) -> String {
    let base = &settings.events_topic;
    cluster.map_or_else(|| base.clone(), |cluster| format!("{base}.{cluster}"))
}

/// Topics that are scored, and what they hold.
#[must_use]
pub fn scored(settings: &KafkaSettings) -> Vec<(String, PayloadKind)> {
    if !settings.rekey {
        return inputs(settings).map(|(topic, kind)| (topic.name.clone(), kind)).collect();
    }
    let topics: BTreeSet<String> =
        inputs(settings).map(|(topic, _)| events_topic(settings, topic.cluster.as_deref())).collect();
    topics.into_iter().map(|topic| (topic, PayloadKind::Canonical)).collect()
}

/// Every topic that is read, by whichever stage.
#[must_use]
pub fn read(settings: &KafkaSettings) -> Vec<(String, PayloadKind)> {
    let mut topics: Vec<_> = inputs(settings).map(|(topic, kind)| (topic.name.clone(), kind)).collect();
    if settings.rekey {
        topics.extend(scored(settings));
    }
    topics
}

/// Every topic that is written to, by whichever stage.
#[must_use]
pub fn written(settings: &KafkaSettings) -> Vec<String> {
    let mut topics = vec![settings.findings_topic.clone()];
    if settings.rekey {
        topics.extend(scored(settings).into_iter().map(|(topic, _)| topic));
    }
    topics
}

/// The group of the re-key stage.
#[must_use]
pub fn ingest_group(settings: &KafkaSettings) -> String {
    format!("{}-ingest", settings.group_id)
}

/// The name under which the store knows where reading a topic stands.
#[must_use]
pub fn checkpoint_of(settings: &KafkaSettings, topic: &str) -> SourceId {
    let is_input = inputs(settings).any(|(input, _)| input.name == topic);
    if settings.rekey && is_input { rekey::checkpoint_of(&source_id(topic)) } else { source_id(topic) }
}

/// Sources that another cluster than the configured one writes, with its name.
#[must_use]
pub fn clusters(settings: &KafkaSettings) -> BTreeMap<SourceId, String> {
    let mut named = BTreeMap::new();
    for (topic, _) in inputs(settings) {
        let Some(cluster) = &topic.cluster else { continue };
        named.insert(source_id(&topic.name), cluster.clone());
        if settings.rekey {
            named.insert(source_id(&events_topic(settings, Some(cluster))), cluster.clone());
        }
    }
    named
}

/// Joins the group that scores, as soon as Kafka and the store let us; `None` when it is time to stop. The number of
/// partitions of what it reads must be the one that state was built with.
///
/// Errors: when the partitions changed or a setting is refused.
pub async fn join_scoring(
    service: &Service,
    settings: &KafkaSettings,
    idle_after: Duration,
    accept_partitions: bool,
    stop: &watch::Receiver<bool>,
) -> Result<Option<KafkaSource>> {
    let config = KafkaConfig {
        bootstrap_servers: settings.bootstrap_servers.clone(),
        group_id: settings.group_id.clone(),
        topics: scored(settings),
        batch: BatchLimits {
            max_records: usize::try_from(settings.batch_records).unwrap_or(usize::MAX),
            ..BatchLimits::default()
        },
        idle_after,
        max_bytes_under_way: BYTES_UNDER_WAY,
        extra: settings.properties.clone(),
    };
    for (source, partitions) in discover(settings, &config).await? {
        let bind = || service.store.bind_source(&source, partitions, accept_partitions);
        if insist(service, stop, bind).await?.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(KafkaSource::join(&config)?))
}

/// Joins the group that re-keys, `<group>-ingest`, as soon as Kafka lets us. Its topics may have any number of
/// partitions.
///
/// Errors: when a setting is refused.
pub async fn join_ingest(settings: &KafkaSettings) -> Result<(KafkaSource, Vec<Output>)> {
    let config = KafkaConfig {
        bootstrap_servers: settings.bootstrap_servers.clone(),
        group_id: ingest_group(settings),
        topics: inputs(settings).map(|(topic, kind)| (topic.name.clone(), kind)).collect(),
        batch: BatchLimits::default(),
        idle_after: INGEST_IDLE,
        max_bytes_under_way: INGEST_BYTES_UNDER_WAY,
        extra: settings.properties.clone(),
    };
    discover(settings, &config).await?;
    let mut sources: BTreeMap<String, BTreeSet<SourceId>> = BTreeMap::new();
    for (topic, _) in inputs(settings) {
        let events = events_topic(settings, topic.cluster.as_deref());
        sources.entry(events).or_default().insert(source_id(&topic.name));
    }
    let output = |(topic, sources)| {
        let bootstrap_servers = settings.bootstrap_servers.clone();
        let sink = KafkaSinkConfig { bootstrap_servers, topic, extra: settings.properties.clone() };
        Ok(Output { sources, producer: KafkaProducer::open(sink)? })
    };
    let outputs = sources.into_iter().map(output).collect::<Result<_>>()?;
    Ok((KafkaSource::join(&config)?, outputs))
}

/// How many partitions each topic has. Brokers may go away between the wait and the question: then both begin anew.
async fn discover(settings: &KafkaSettings, config: &KafkaConfig) -> Result<Vec<(SourceId, u32)>> {
    loop {
        access::wait(settings).await?;
        let config = config.clone();
        match tokio::task::spawn_blocking(move || KafkaSource::discover(&config)).await? {
            Err(error) if error.kind().is_retryable() => TopicsUnknown { error: &error }.emit(),
            found => return Ok(found?),
        }
        tokio::time::sleep(access::AGAIN).await;
    }
}
