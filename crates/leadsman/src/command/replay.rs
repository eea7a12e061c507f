//! `leadsman replay`: what a stretch of the log would give, and what dead letters would.

mod feed;
mod letters;
mod range;

use anyhow::Result;
use leadsman_domain::{PayloadKind, SourceId};
use leadsman_store::{AnyStore, StoreSettings};

use crate::cli::{Global, ReplayArgs};
use crate::config::{Config, KafkaSettings};
use crate::exit::Exit;
use crate::service::kafka::events_topic;

/// Replays a range of a topic, or dead letters.
///
/// Errors: when the range, the model or the store cannot be read.
pub fn run(args: &ReplayArgs, global: &Global, config: &Config) -> Result<()> {
    match &args.source {
        Some(source) => range::run(source, args, global, config),
        None => letters::run(args, global, config),
    }
}

/// What the configuration says about a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    kind: PayloadKind,
    /// The cluster that writes it, where it is not the configured one.
    cluster: Option<String>,
    /// Whether its records lie in any partition and are re-keyed before they are scored.
    rekeyed: bool,
}

/// A topic that is not configured is taken for audit events of the configured cluster.
fn known(topic: &str, settings: Option<&KafkaSettings>) -> Known {
    let unknown = Known { kind: PayloadKind::K8sAudit, cluster: None, rekeyed: false };
    let Some(settings) = settings else { return unknown };
    let audit = settings.audit_topics.iter().map(|t| (t, PayloadKind::K8sAudit));
    let mut inputs = audit.chain(settings.metrics_topics.iter().map(|t| (t, PayloadKind::MetricJson)));
    let found = inputs.find_map(|(input, kind)| {
        let cluster = input.cluster.clone();
        if input.name == topic {
            return Some(Known { kind, cluster, rekeyed: settings.rekey });
        }
        let is_events = settings.rekey && events_topic(settings, cluster.as_deref()) == topic;
        is_events.then_some(Known { kind: PayloadKind::Canonical, cluster, rekeyed: false })
    });
    found.unwrap_or(unknown)
}

/// The topic that a source reads, re-keyed or not.
fn topic_of(source: &SourceId) -> Option<&str> {
    let name = source.as_str();
    name.strip_prefix("kafka:").or_else(|| name.strip_prefix("rekey:"))
}

/// The store of the service, which must be there: a replay makes none.
async fn store(config: &Config) -> Result<(StoreSettings, AnyStore)> {
    let settings = config.store.settings(&config.data_dir)?;
    if let Some(path) = settings.path().filter(|path| !path.exists()) {
        let advice = format!("there is no store at {}: name the service's --data-dir", path.display());
        return Err(Exit::Failed(advice).into());
    }
    let store = AnyStore::attach(&settings).await?;
    Ok((settings, store))
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
