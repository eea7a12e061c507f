//! What the API asks of the service.

use std::sync::{Arc, OnceLock};

use leadsman_api::{
    ApiError, Backend, BoxFuture, Job, JobId, JobSpec, JobStream, MAX_SCORE_EVENTS, ScoreReport, ScoredWindow,
    VersionInfo,
};
use leadsman_domain::{
    ErrorKind, Finding, FindingId, FindingPage, FindingQuery, ModelSummary, PayloadKind, RawRecord, Store, StoreError,
};
use leadsman_kafka::KafkaMonitor;
use leadsman_store::ModelDirectory;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::BroadcastStream;

use super::Service;
use super::jobs::{self, Jobs};
use crate::clock;
use crate::disk;
use crate::pipeline::{Outcome, Shard};
use crate::sources::inbox::{InboxError, InboxWriter};

/// The members of consumer groups, once they have joined.
pub type Members = Arc<OnceLock<Vec<KafkaMonitor>>>;

/// The service behind the API.
pub struct ServiceBackend {
    service: Service,
    inbox: Option<InboxWriter>,
    kafka: Option<Members>,
    jobs: Arc<Jobs>,
}

impl ServiceBackend {
    /// A backend that stores what is ingested in `inbox`; `None` refuses it.
    #[must_use]
    pub fn new(service: Service, inbox: Option<InboxWriter>, kafka: Option<Members>) -> Self {
        Self { service, inbox, kafka, jobs: Arc::default() }
    }
}

fn unavailable(error: StoreError) -> ApiError {
    ApiError::from_kind(error.kind(), error)
}

impl Backend for ServiceBackend {
    fn ingest(&self, kind: PayloadKind, body: Vec<u8>) -> BoxFuture<'_, Result<(), ApiError>> {
        Box::pin(async move {
            let Some(inbox) = &self.inbox else {
                return Err(ApiError::conflict("the receiver is switched off by `sources.webhook`"));
            };
            match inbox.append(kind, body, clock::now()).await {
                Ok(_) => Ok(()),
                Err(error @ InboxError::TooLarge { .. }) => Err(ApiError::from_kind(ErrorKind::InvalidInput, error)),
                Err(error) => Err(ApiError::unavailable(error)),
            }
        })
    }

    fn findings(&self, query: FindingQuery) -> BoxFuture<'_, Result<FindingPage, ApiError>> {
        Box::pin(async move { self.service.store.findings(query).await.map_err(unavailable) })
    }

    fn finding(&self, id: FindingId) -> BoxFuture<'_, Result<Option<(i64, Finding)>, ApiError>> {
        Box::pin(async move { self.service.store.finding(id).await.map_err(unavailable) })
    }

    fn score(&self, body: Vec<u8>) -> BoxFuture<'_, Result<ScoreReport, ApiError>> {
        Box::pin(async move {
            let service = self.service.clone();
            let scored = tokio::task::spawn_blocking(move || score(&service, body)).await;
            scored.map_err(ApiError::internal)?
        })
    }

    fn models(&self) -> BoxFuture<'_, Result<Vec<ModelSummary>, ApiError>> {
        Box::pin(async move {
            let root = self.service.data_dir.join("models");
            let listed = tokio::task::spawn_blocking(move || ModelDirectory::new(root).list()).await;
            let mut models = listed.map_err(ApiError::internal)?.map_err(|e| ApiError::from_kind(e.kind(), e))?;
            models.reverse();
            let active = &self.service.model.manifest;
            if !models.iter().any(|m| m.manifest == *active) {
                // The active model may lie outside the registry: people must see what scores.
                let aliases = vec![leadsman_domain::ModelAlias::Champion];
                models.insert(0, ModelSummary { manifest: active.clone(), aliases });
            }
            Ok(models)
        })
    }

    fn submit_job(&self, spec: JobSpec) -> BoxFuture<'_, Result<Job, ApiError>> {
        Box::pin(async move { jobs::submit(&self.service, &self.jobs, spec) })
    }

    fn job(&self, id: JobId) -> BoxFuture<'_, Result<Option<Job>, ApiError>> {
        Box::pin(async move { Ok(self.jobs.get(id)) })
    }

    fn jobs(&self) -> BoxFuture<'_, Result<Vec<Job>, ApiError>> {
        Box::pin(async move { Ok(self.jobs.all()) })
    }

    fn job_events(&self, id: JobId) -> BoxFuture<'_, Result<Option<JobStream>, ApiError>> {
        Box::pin(async move {
            let Some((present, changes)) = self.jobs.follow(id) else { return Ok(None) };
            if present.state.is_final() {
                let stream: JobStream = Box::pin(tokio_stream::once(present));
                return Ok(Some(stream));
            }
            let mut ended = false;
            // A listener that lags misses steps, never the end: the last change is the newest.
            let rest = BroadcastStream::new(changes).filter_map(Result::ok).take_while(move |p| {
                let more = !ended;
                ended = p.state.is_final();
                more
            });
            let stream: JobStream = Box::pin(tokio_stream::once(present).chain(rest));
            Ok(Some(stream))
        })
    }

    fn metrics(&self) -> BoxFuture<'_, Result<String, ApiError>> {
        Box::pin(async move {
            if let Some(members) = self.kafka.as_ref().and_then(|members| members.get()) {
                self.service.metrics.observe_groups(members, clock::now());
            }
            self.service.metrics.look_at_the_clock(clock::now());
            let mut text = self.service.metrics.render().map_err(ApiError::internal)?;
            // Gauges of the store and the disk are read when asked for; the text ends with `# EOF`.
            let disk = disk::space(&self.service.data_dir).map_err(ApiError::internal)?;
            let mut gauges = vec![
                ("leadsman_disk_size_bytes", "size of the disk that the data directory is on", disk.size),
                ("leadsman_disk_free_bytes", "what can still be written to it", disk.free),
            ];
            // Without a store the rest is worth more than ever: it says that commits are tried again.
            if let Ok(stats) = self.service.stats().await {
                gauges.extend([
                    ("leadsman_stored_findings", "findings in the store", stats.findings),
                    ("leadsman_dead_letters", "refused items in the store", stats.dead_letters),
                    ("leadsman_outbox_findings", "findings not yet published", stats.outbox),
                ]);
            }
            let lines: String = gauges
                .iter()
                .map(|(name, help, value)| format!("# HELP {name} {help}.\n# TYPE {name} gauge\n{name} {value}\n"))
                .collect();
            let end = text.rfind("# EOF").unwrap_or(text.len());
            text.insert_str(end, &lines);
            Ok(text)
        })
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), Vec<String>>> {
        Box::pin(async move {
            match self.service.stats().await {
                Ok(_) if self.kafka.as_ref().is_some_and(|members| members.get().is_none()) => {
                    Err(vec!["kafka is not joined yet".to_owned()])
                }
                Ok(_) => Ok(()),
                Err(error) => {
                    tracing::warn!(%error, "not ready");
                    Err(vec!["the store is out of reach".to_owned()])
                }
            }
        })
    }

    fn version(&self) -> VersionInfo {
        VersionInfo { version: env!("CARGO_PKG_VERSION").to_owned(), commit: None }
    }
}

fn score(service: &Service, body: Vec<u8>) -> Result<ScoreReport, ApiError> {
    let record = RawRecord { offset: 0, received_at: clock::now(), kind: PayloadKind::K8sAudit, bytes: body.into() };
    let decoded = leadsman_decode::record(&service.cluster.context, &service.limits, &record);
    if decoded.events.len() > MAX_SCORE_EVENTS {
        return Err(ApiError::invalid(format!("at most {MAX_SCORE_EVENTS} events can be scored in one request")));
    }
    // Every window is reported, also those far below the alert line.
    let engine = service.cluster.engine.clone().reporting_all();
    let mut shard = Shard::new(&engine, &service.model.manifest.weights_digest);
    let mut outcome = Outcome::default();
    shard.push(&engine, &decoded.events, &[], &mut outcome).map_err(ApiError::internal)?;
    shard.close_all(&engine, &mut outcome).map_err(ApiError::internal)?;
    let mut findings: Vec<Finding> = outcome.findings.into_values().collect();
    findings.sort_by(|a, b| b.score.cmp(&a.score).then(a.id.cmp(&b.id)));
    Ok(ScoreReport {
        model: service.model.reference(),
        events: decoded.events.len() as u64,
        runtime: decoded.runtime.len() as u64,
        flows: decoded.flows.len() as u64,
        skipped: decoded.skipped.total(),
        rejects: decoded.rejects,
        windows: findings
            .into_iter()
            .map(|f| ScoredWindow {
                window: f.window,
                entity: f.entity,
                kind: f.kind,
                score: f.score,
                rarity: f.rarity,
                explanation: f.explanation,
                techniques: f.techniques,
                rules: f.rules,
                events: f.evidence.total,
            })
            .collect(),
    })
}
