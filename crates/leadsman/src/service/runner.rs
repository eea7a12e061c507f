//! Starts and stops the whole service: load, spawn, wait, drain.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use leadsman_api::{ApiConfig, Token, router};
use leadsman_decode::{DecodeContext, Limits, RedactionKey};
use leadsman_detect::rules::RuleSet;
use leadsman_domain::{PayloadKind, SourceId};
use leadsman_engine::{Engine, EngineSettings, Polarity};
use leadsman_kafka::{BatchLimits, KafkaConfig, KafkaSink, KafkaSinkConfig, KafkaSource, OffsetCommitter, StartOffset};
use leadsman_store::{AnyStore, StoreSettings};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::backend::ServiceBackend;
use super::events::InboxCleanError;
use super::metrics::Metrics;
use super::stream::{self, Durable, Hooks, Partitions, SnapshotPolicy};
use super::{Service, Shared, relay, token};
use crate::clock;
use crate::config::KafkaSettings;
use crate::model::ReadyModel;
use crate::sources::inbox::{Inbox, InboxLimits, InboxReader, InboxWriter};
use crate::sources::tail::{FileTail, TailPosition};

/// Everything a service is made of.
pub struct Setup {
    /// Where state, models and datasets lie.
    pub data_dir: PathBuf,
    /// Where findings and checkpoints are kept.
    pub store: StoreSettings,
    /// Address of the API.
    pub listen: SocketAddr,
    /// Token of the API; `None` leaves it open.
    pub token: Option<String>,
    /// Host names besides the loopback ones that an open API answers to.
    pub allowed_hosts: Vec<String>,
    /// Most bytes of a request body.
    pub max_body: usize,
    /// Name of the cluster.
    pub cluster: String,
    /// The model.
    pub model: ReadyModel,
    /// Incidents a day.
    pub budget_per_day: f64,
    /// Rules and decoys.
    pub rules: Arc<RuleSet>,
    /// Which way round scores are read.
    pub polarity: Polarity,
    /// Whether telemetry may be posted.
    pub webhook: bool,
    /// Audit logs to follow.
    pub files: Vec<PathBuf>,
    /// Kafka, if there is any.
    pub kafka: Option<KafkaSettings>,
    /// When to write detection state down.
    pub snapshots: SnapshotPolicy,
    /// Open windows of a source are closed when nothing came for this long.
    pub idle_after: Duration,
}

/// A running service.
pub struct Running {
    /// What its parts share.
    pub service: Service,
    /// Where its API listens.
    pub address: SocketAddr,
    tasks: JoinSet<Result<()>>,
    stop: watch::Sender<bool>,
}

/// Source name of what the receiver took.
pub use crate::sources::inbox::SOURCE as INBOX;
/// How long a drain may take before the process ends anyway: every commit is crash-safe.
const DRAIN: Duration = Duration::from_secs(20);

/// Opens the store, claims every partition and starts serving.
///
/// Errors: when a file, the port, the store or Kafka cannot be opened.
pub async fn start(setup: Setup) -> Result<Running> {
    std::fs::create_dir_all(&setup.data_dir).with_context(|| format!("cannot make {}", setup.data_dir.display()))?;
    let store = AnyStore::open(&setup.store).await?;
    let settings = EngineSettings {
        cluster: setup.cluster.clone(),
        budget_per_day: setup.budget_per_day,
        polarity: setup.polarity,
        rules: Arc::clone(&setup.rules),
    };
    let redaction_key = RedactionKey::new(&token::read_or_make(&setup.data_dir.join("redaction.key"))?);
    let rules = setup.model.fitted.rules.clone();
    let sink = setup.kafka.as_ref().map(|k| format!("kafka:{}", k.findings_topic));
    let service: Service = Arc::new(Shared {
        store,
        engine: Engine::new(setup.model.fitted.clone(), setup.model.reference(), settings),
        context: DecodeContext { cluster: setup.cluster.clone(), rules, redaction_key: Some(redaction_key) },
        limits: Limits::default(),
        metrics: Metrics::default(),
        sinks: sink.iter().cloned().collect(),
        outbox: Notify::new(),
        data_dir: setup.data_dir.clone(),
        model: setup.model.clone(),
        rules: setup.rules,
    });
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    // The port comes first: nothing is claimed by a process that cannot serve.
    let listener =
        TcpListener::bind(setup.listen).await.with_context(|| format!("cannot listen on {}", setup.listen))?;
    let address = listener.local_addr()?;

    // The inbox's lock comes before the first claim: a second process must not fence off the first.
    let limits = InboxLimits { max_record: setup.max_body, ..InboxLimits::default() };
    let writer = Inbox::open(&setup.data_dir.join("inbox"), limits)?;
    let inbox = SourceId::new(INBOX);
    let (_, partition, start) = stream::claim(&service, &inbox, 0).await?;
    let partitions = BTreeMap::from([((inbox, 0), partition)]);
    let reader = writer.reader(start, setup.idle_after)?;
    let hooks = InboxHooks(writer.clone());
    tasks.spawn(stream::run(service.clone(), reader, partitions, setup.snapshots, hooks, stopped.clone()));
    // The same file twice would be two owners of one log.
    for path in &setup.files.iter().collect::<BTreeSet<_>>() {
        tasks.spawn(tail(service.clone(), path.to_path_buf(), setup.snapshots, setup.idle_after, stopped.clone()));
    }
    if let (Some(kafka), Some(sink)) = (&setup.kafka, sink) {
        start_kafka(&service, kafka, sink, (setup.snapshots, setup.idle_after), &stopped, &mut tasks).await?;
    }

    let token = setup.token.as_deref().map(Token::new).transpose()?;
    let mut api = ApiConfig::new(token);
    api.allowed_hosts = setup.allowed_hosts;
    api.max_body = setup.max_body;
    let backend = Arc::new(ServiceBackend::new(service.clone(), setup.webhook.then_some(writer)));
    let mut api_stop = stopped.clone();
    tasks.spawn(async move {
        let shutdown = async move {
            // An error means that the sender is gone, which is a reason to stop as well.
            drop(api_stop.wait_for(|stop| *stop).await);
        };
        Ok(leadsman_api::serve(listener, router(backend, api), shutdown).await?)
    });
    Ok(Running { service, address, tasks, stop })
}

/// Follows one file.
async fn tail(
    service: Service,
    path: PathBuf,
    snapshots: SnapshotPolicy,
    idle_after: Duration,
    stop: watch::Receiver<bool>,
) -> Result<()> {
    let source = FileTail::source_id(&path);
    let (checkpoint, partition, start) = stream::claim(&service, &source, 0).await?;
    let position = checkpoint.source_tag.map(|tag| TailPosition { offset: start, tag });
    let file = FileTail::open(&path, position, idle_after, clock::now);
    let partitions = BTreeMap::from([((source, 0), partition)]);
    stream::run(service, file, partitions, snapshots, TailHooks, stop).await
}

struct TailHooks;

impl Hooks<FileTail> for TailHooks {
    fn tag(&mut self, source: &mut FileTail) -> Option<String> {
        Some(source.tag())
    }

    fn committed(&mut self, _: &FileTail, _: Durable<'_>) {}
}

/// Gives the inbox's space back: what a snapshot stands behind is never read again.
struct InboxHooks(InboxWriter);

impl Hooks<InboxReader> for InboxHooks {
    fn tag(&mut self, _: &mut InboxReader) -> Option<String> {
        None
    }

    fn committed(&mut self, _: &InboxReader, Durable { span, snapshot }: Durable<'_>) {
        if snapshot {
            let (inbox, record) = (self.0.clone(), span.to);
            tokio::spawn(async move {
                if let Err(error) = inbox.delete_before(record).await {
                    InboxCleanError { error: &error }.emit();
                }
            });
        }
    }
}

struct LagHooks(OffsetCommitter);

impl Hooks<KafkaSource> for LagHooks {
    fn tag(&mut self, _: &mut KafkaSource) -> Option<String> {
        None
    }

    fn committed(&mut self, _: &KafkaSource, Durable { span, .. }: Durable<'_>) {
        self.0.commit(&span.source, span.partition, span.to);
    }
}

async fn start_kafka(
    service: &Service,
    settings: &KafkaSettings,
    sink: String,
    (snapshots, idle_after): (SnapshotPolicy, Duration),
    stop: &watch::Receiver<bool>,
    tasks: &mut JoinSet<Result<()>>,
) -> Result<()> {
    let config = KafkaConfig {
        bootstrap_servers: settings.bootstrap_servers.clone(),
        group_id: settings.group_id.clone(),
        topics: vec![
            (settings.audit_topic.clone(), PayloadKind::K8sAudit),
            (settings.metrics_topic.clone(), PayloadKind::MetricJson),
        ],
        batch: BatchLimits::default(),
        idle_after,
        extra: settings.properties.clone(),
    };
    let discovery = config.clone();
    let found = tokio::task::spawn_blocking(move || KafkaSource::discover(&discovery)).await??;
    let mut partitions = Partitions::new();
    let mut starts = Vec::new();
    for (source, number, _) in found {
        let (_, partition, start) = stream::claim(service, &source, number).await?;
        // Offset 0 may be gone from a log that was never snapshotted; its first record is then further on.
        let offset = if start == 0 { StartOffset::Earliest } else { StartOffset::At(start) };
        starts.push((source.clone(), number, offset));
        partitions.insert((source, number), partition);
    }
    let source = tokio::task::spawn_blocking(move || KafkaSource::start(&config, &starts)).await??;
    let hooks = LagHooks(source.committer());
    tasks.spawn(stream::run(service.clone(), source, partitions, snapshots, hooks, stop.clone()));
    let publisher = KafkaSink::open(KafkaSinkConfig {
        bootstrap_servers: settings.bootstrap_servers.clone(),
        topic: settings.findings_topic.clone(),
        extra: settings.properties.clone(),
    })?;
    let (relay, mut stop) = (relay::run(service.clone(), sink, publisher), stop.clone());
    tasks.spawn(async move {
        tokio::select! {
            ended = relay => ended,
            _ = stop.wait_for(|stop| *stop) => Ok(()),
        }
    });
    Ok(())
}

impl Running {
    /// Waits until a part fails or `end` comes, then drains.
    ///
    /// Errors: of the part that failed.
    pub async fn until(mut self, end: impl Future<Output = ()>) -> Result<()> {
        tokio::pin!(end);
        let failed = loop {
            tokio::select! {
                () = &mut end => break None,
                ended = self.tasks.join_next() => match ended {
                    Some(Ok(Ok(()))) => {}
                    Some(Ok(Err(error))) => break Some(error),
                    Some(Err(error)) => break Some(error.into()),
                    None => break None,
                },
            }
        };
        let drained = self.stop().await;
        failed.map_or(drained, Err)
    }

    /// Stops taking records, writes state down and ends every part.
    ///
    /// Errors: of the first part that failed to end cleanly.
    pub async fn stop(mut self) -> Result<()> {
        self.stop.send_replace(true);
        let drain = async {
            let mut first = Ok(());
            while let Some(ended) = self.tasks.join_next().await {
                let ended = ended.map_err(anyhow::Error::from).and_then(|r| r);
                if first.is_ok() {
                    first = ended;
                }
            }
            first
        };
        tokio::time::timeout(DRAIN, drain).await.context("the drain took too long; what was committed is safe")?
    }
}
