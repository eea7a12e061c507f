//! Starts and stops the whole service: load, spawn, wait, drain.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use leadsman_api::{ApiConfig, Token, router};
use leadsman_decode::{DecodeContext, Limits};
use leadsman_detect::rules::RuleSet;
use leadsman_domain::SourceId;
use leadsman_engine::{Engine, EngineSettings, Polarity};
use leadsman_kafka::{ExactlyOnceSink, KafkaSink, KafkaSinkConfig};
use leadsman_store::{AnyStore, StoreSettings};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;

use super::backend::Members;
use super::backend::ServiceBackend;
use super::events::InboxCleanError;
use super::metrics::Metrics;
use super::partition::{Claimed, Durable, SnapshotPolicy};
use super::retention::{self, RetentionPolicy};
use super::roll::Rolls;
use super::stream::{self, Hooks};
use super::{Scope, Service, Shared, group, kafka, lake_keeper, redaction, rekey, relay, token};
use crate::clock;
use crate::config::{KafkaSettings, LakeConfig};
use crate::lake::Lake;
use crate::model::ReadyModel;
use crate::sources::inbox::{Inbox, InboxLimits, InboxReader, InboxWriter};
use crate::sources::tail::{FileTail, TailPosition};

/// Everything a service is made of.
pub struct Setup {
    /// Where state, models and datasets lie.
    pub data_dir: PathBuf,
    /// Where findings and checkpoints are kept.
    pub store: StoreSettings,
    /// How long they are kept.
    pub retention: RetentionPolicy,
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
    /// Where every event is kept, if anywhere.
    pub lake: LakeConfig,
    /// Kafka, if there is any.
    pub kafka: Option<KafkaSettings>,
    /// Whether a topic may have another number of partitions than its state was built with.
    pub accept_partitions: bool,
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

/// Opens the store, claims what this process alone reads, joins the consumer group and starts serving.
///
/// Errors: when a file, the port, the store or Kafka cannot be opened.
pub async fn start(setup: Setup) -> Result<Running> {
    std::fs::create_dir_all(&setup.data_dir).with_context(|| format!("cannot make {}", setup.data_dir.display()))?;
    let store = AnyStore::open(&setup.store).await?;
    let lake = setup.lake.url.as_deref().map(|url| Lake::open(url, &setup.lake.access)).transpose()?;
    let redaction_key = redaction::key(&setup.store, &store, &setup.data_dir).await?;
    let scope = |cluster: &str| Scope {
        engine: Engine::new(
            setup.model.fitted.clone(),
            setup.model.reference(),
            EngineSettings {
                cluster: cluster.to_owned(),
                budget_per_day: setup.budget_per_day,
                polarity: setup.polarity,
                rules: Arc::clone(&setup.rules),
            },
        ),
        context: DecodeContext {
            cluster: cluster.to_owned(),
            rules: setup.model.fitted.rules.clone(),
            redaction_key: Some(redaction_key),
        },
    };
    let clusters = setup.kafka.iter().flat_map(kafka::clusters).map(|(source, cluster)| (source, scope(&cluster)));
    let sink = setup.kafka.as_ref().map(|k| format!("kafka:{}", k.findings_topic));
    let service: Service = Arc::new(Shared {
        store,
        clusters: clusters.collect(),
        cluster: scope(&setup.cluster),
        limits: Limits::default(),
        metrics: Metrics::default(),
        lake: lake.clone(),
        rolls: Rolls::default(),
        sinks: sink.iter().cloned().collect(),
        cores: Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)),
        patience: match &setup.store {
            StoreSettings::Sqlite(_) => None,
            StoreSettings::Postgres(_) => setup.kafka.as_ref().map(|kafka| kafka.leave_after),
        },
        outbox: Notify::new(),
        data_dir: setup.data_dir.clone(),
        model: setup.model.clone(),
        rules: Arc::clone(&setup.rules),
    });
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    if let Some(lake) = lake {
        let keeper = lake_keeper::run(lake, setup.lake.keep_days, stopped.clone());
        tasks.spawn(async move {
            keeper.await;
            Ok(())
        });
    }
    // The port comes first: nothing is claimed by a process that cannot serve.
    let listener =
        TcpListener::bind(setup.listen).await.with_context(|| format!("cannot listen on {}", setup.listen))?;
    let address = listener.local_addr()?;

    // The inbox's lock comes before the first claim: a second process must not fence off the first.
    let limits = InboxLimits { max_record: setup.max_body, ..InboxLimits::default() };
    let writer = Inbox::open(&setup.data_dir.join("inbox"), limits)?;
    let instance = instance(&setup)?;
    let inbox = instance.own(SourceId::new(INBOX));
    let (records, idle_after) = (writer.clone(), setup.idle_after);
    let open = move |claimed: &Claimed| {
        records.held(claimed.next_offset)?;
        Ok(records.reader(claimed.start, idle_after)?)
    };
    let hooks = InboxHooks(writer.clone());
    tasks.spawn(stream::run(service.clone(), inbox, open, setup.snapshots, hooks, stopped.clone()));
    // The same file twice would be two owners of one log.
    for path in &setup.files.iter().collect::<BTreeSet<_>>() {
        let source = instance.own(FileTail::source_id(path));
        let path = path.to_path_buf();
        let open = move |claimed: &Claimed| {
            let (offset, committed) = (claimed.start, claimed.next_offset);
            let position = claimed.source_tag.clone().map(|tag| TailPosition { offset, committed, tag });
            Ok(FileTail::open(&path, position, idle_after, clock::now))
        };
        tasks.spawn(stream::run(service.clone(), source, open, setup.snapshots, TailHooks, stopped.clone()));
    }
    tasks.spawn(retention::run(service.clone(), setup.retention, stopped.clone()));
    let members = setup.kafka.as_ref().map(|_| Members::default());
    if let (Some(settings), Some(sink), Some(members)) = (&setup.kafka, sink, &members) {
        let (settings, members) = (settings.clone(), Arc::clone(members));
        let group = Joining {
            idle_after: setup.idle_after,
            accept_partitions: setup.accept_partitions,
            snapshots: setup.snapshots,
        };
        tasks.spawn(consume(service.clone(), settings, sink, group, members, stopped.clone()));
    }

    let token = setup.token.as_deref().map(Token::new).transpose()?;
    let mut api = ApiConfig::new(token);
    api.allowed_hosts = setup.allowed_hosts;
    api.max_body = setup.max_body;
    let backend = Arc::new(ServiceBackend::new(service.clone(), setup.webhook.then_some(writer), members));
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

/// How the groups are joined.
struct Joining {
    idle_after: Duration,
    accept_partitions: bool,
    snapshots: SnapshotPolicy,
}

/// Waits until Kafka lets us, joins the groups and publishes, until `stop`. The API answers meanwhile: a process that
/// waits for a right is alive, and not ready.
async fn consume(
    service: Service,
    settings: KafkaSettings,
    sink: String,
    group: Joining,
    members: Members,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    let mut parts = JoinSet::new();
    let stopping = stop.clone();
    let joined = tokio::select! {
        joined = kafka::join_scoring(&service, &settings, group.idle_after, group.accept_partitions, &stopping) => joined?,
        _ = stop.wait_for(|stop| *stop) => None,
    };
    let Some(source) = joined else { return Ok(()) };
    let mut monitors = vec![source.monitor()];
    parts.spawn(group::run(service.clone(), source, group.snapshots, stop.clone()));
    if settings.rekey {
        let joined = tokio::select! {
            joined = kafka::join_ingest(&settings) => Some(joined?),
            _ = stop.wait_for(|stop| *stop) => None,
        };
        // Without it, too, what was joined comes to rest in the order of a stop.
        if let Some((source, outputs)) = joined {
            monitors.push(source.monitor());
            parts.spawn(rekey::run(service.clone(), source, outputs, stop.clone()));
        }
    }
    start_relay(&service, &settings, sink, &stop, &mut parts)?;
    members.get_or_init(|| monitors);
    while let Some(ended) = parts.join_next().await {
        // The others end with the process; every commit of theirs is crash-safe.
        ended??;
    }
    Ok(())
}

/// What tells the sources of this process from those of others in the same store.
struct Instance(Option<String>);

/// In a shared store, inbox and files of each data directory are logs of their own.
fn instance(setup: &Setup) -> Result<Instance> {
    let shared = match &setup.store {
        StoreSettings::Sqlite(_) => return Ok(Instance(None)),
        StoreSettings::Postgres(_) => token::read_or_make(&setup.data_dir.join("instance"))?,
    };
    Ok(Instance(Some(shared.chars().skip("lsm_".len()).take(12).collect())))
}

impl Instance {
    fn own(&self, source: SourceId) -> SourceId {
        match &self.0 {
            None => source,
            Some(instance) => SourceId::new(format!("{source}@{instance}")),
        }
    }
}

struct TailHooks;

impl Hooks<FileTail> for TailHooks {
    fn tag(&mut self, source: &mut FileTail) -> Option<String> {
        Some(source.tag())
    }

    fn committed(&mut self, _: &FileTail, _: &Durable) {}
}

/// Gives the inbox's space back: what a snapshot stands behind is never read again.
struct InboxHooks(InboxWriter);

impl Hooks<InboxReader> for InboxHooks {
    fn tag(&mut self, _: &mut InboxReader) -> Option<String> {
        None
    }

    fn committed(&mut self, _: &InboxReader, Durable { span, snapshot }: &Durable) {
        if *snapshot {
            let (inbox, record) = (self.0.clone(), span.to);
            tokio::spawn(async move {
                if let Err(error) = inbox.delete_before(record).await {
                    InboxCleanError { error: &error }.emit();
                }
            });
        }
    }
}

/// Publishes findings to their topic.
fn start_relay(
    service: &Service,
    settings: &KafkaSettings,
    sink: String,
    stop: &watch::Receiver<bool>,
    tasks: &mut JoinSet<Result<()>>,
) -> Result<()> {
    let config = KafkaSinkConfig {
        bootstrap_servers: settings.bootstrap_servers.clone(),
        topic: settings.findings_topic.clone(),
        extra: settings.properties.clone(),
    };
    let (service, stop) = (service.clone(), stop.clone());
    if settings.exactly_once {
        let publisher = ExactlyOnceSink::open(config, &settings.group_id)?;
        tasks.spawn(until(stop, relay::run(service, sink, publisher)));
    } else {
        tasks.spawn(until(stop, relay::run(service, sink, KafkaSink::open(config)?)));
    }
    Ok(())
}

/// Runs something to its end, or until `stop`.
async fn until(mut stop: watch::Receiver<bool>, work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::select! {
        ended = work => ended,
        _ = stop.wait_for(|stop| *stop) => Ok(()),
    }
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
