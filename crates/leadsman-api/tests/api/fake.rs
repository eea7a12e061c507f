//! A backend in memory and a client without a socket.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, Response, StatusCode};
use leadsman_api::{
    ApiConfig, ApiError, Backend, BoxFuture, DatasetId, Job, JobId, JobProgress, JobSpec, JobState, JobStream,
    MAX_SCORE_EVENTS, ScoreReport, ScoredWindow, Token, TrainSpec, VersionInfo, router,
};
use leadsman_domain::{
    ActorClass, Contribution, Entity, EntityType, EventId, EvidenceRef, Explanation, Finding, FindingId, FindingKind,
    FindingPage, FindingQuery, IncidentId, ModelAlias, ModelManifest, ModelRef, ModelSummary, PayloadKind, Rarity,
    Reject, RejectReason, Severity, Technique, Timestamp, WindowRef,
};
use serde_json::Value;
use tokio::sync::oneshot;
use tower::ServiceExt;

pub(crate) const TOKEN: &str = "lsm_0123456789abcdef0123456789abcdef";
pub(crate) const JOB: JobId = JobId::new(7);

#[derive(Clone, Copy)]
pub(crate) enum Fault {
    Unavailable,
    Internal,
    Panic,
}

#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) ingested: Mutex<Vec<(PayloadKind, Vec<u8>)>>,
    pub(crate) queries: Mutex<Vec<FindingQuery>>,
    pub(crate) submitted: Mutex<Vec<JobSpec>>,
    /// `ingest` waits for this before it returns.
    pub(crate) gate: Mutex<Option<oneshot::Receiver<()>>>,
    /// `ingest` tells this that it was called.
    pub(crate) entered: Mutex<Option<oneshot::Sender<()>>>,
    pub(crate) fault: Option<Fault>,
    pub(crate) not_ready: Vec<String>,
    pub(crate) endless_job: bool,
}

impl Fake {
    pub(crate) fn faulty(fault: Fault) -> Self {
        Self { fault: Some(fault), ..Self::default() }
    }

    fn check(&self) -> Result<(), ApiError> {
        match self.fault {
            None => Ok(()),
            Some(Fault::Unavailable) => Err(ApiError::unavailable("disk /var/secret-path is full")),
            Some(Fault::Internal) => Err(ApiError::internal("row 17 of /var/secret-path is corrupt")),
            Some(Fault::Panic) => panic!("secret-path"),
        }
    }
}

impl Backend for Fake {
    fn ingest(&self, kind: PayloadKind, body: Vec<u8>) -> BoxFuture<'_, Result<(), ApiError>> {
        Box::pin(async move {
            self.check()?;
            let (entered, gate) = (self.entered.lock().unwrap().take(), self.gate.lock().unwrap().take());
            if let Some(entered) = entered {
                entered.send(()).unwrap();
            }
            if let Some(gate) = gate {
                gate.await.unwrap();
            }
            self.ingested.lock().unwrap().push((kind, body));
            Ok(())
        })
    }

    /// Five findings, with commit sequences 5 to 1.
    fn findings(&self, query: FindingQuery) -> BoxFuture<'_, Result<FindingPage, ApiError>> {
        Box::pin(async move {
            self.check()?;
            self.queries.lock().unwrap().push(query.clone());
            let all = (1..=5).rev().filter(|seq| query.before.is_none_or(|b| *seq < b));
            let items: Vec<_> = all.take(query.limit).map(|seq| (seq, finding(seq))).collect();
            let next = items.last().map(|(seq, _)| *seq).filter(|seq| *seq > 1);
            Ok(FindingPage { items, next, total: 5 })
        })
    }

    fn finding(&self, id: FindingId) -> BoxFuture<'_, Result<Option<(i64, Finding)>, ApiError>> {
        Box::pin(async move {
            self.check()?;
            Ok((id == FindingId::new(3)).then(|| (3, finding(3))))
        })
    }

    fn score(&self, body: Vec<u8>) -> BoxFuture<'_, Result<ScoreReport, ApiError>> {
        Box::pin(async move {
            self.check()?;
            let events = body.split(|b| *b == b'\n').filter(|line| !line.is_empty()).count();
            if events > MAX_SCORE_EVENTS {
                return Err(ApiError::invalid("more than 10000 events: send them in parts"));
            }
            Ok(report(events as u64))
        })
    }

    fn models(&self) -> BoxFuture<'_, Result<Vec<ModelSummary>, ApiError>> {
        Box::pin(async { Ok(vec![model()]) })
    }

    fn submit_job(&self, spec: JobSpec) -> BoxFuture<'_, Result<Job, ApiError>> {
        Box::pin(async move {
            self.check()?;
            self.submitted.lock().unwrap().push(spec.clone());
            Ok(Job { spec, ..job() })
        })
    }

    fn job(&self, id: JobId) -> BoxFuture<'_, Result<Option<Job>, ApiError>> {
        Box::pin(async move { Ok((id == JOB).then(job)) })
    }

    fn jobs(&self) -> BoxFuture<'_, Result<Vec<Job>, ApiError>> {
        Box::pin(async { Ok(vec![job()]) })
    }

    fn job_events(&self, id: JobId) -> BoxFuture<'_, Result<Option<JobStream>, ApiError>> {
        Box::pin(async move {
            if id != JOB {
                return Ok(None);
            }
            if self.endless_job {
                return Ok(Some(Box::pin(tokio_stream::pending()) as JobStream));
            }
            let steps = [progress(JobState::Running, 0.5), progress(JobState::Succeeded, 1.0)];
            Ok(Some(Box::pin(tokio_stream::iter(steps)) as JobStream))
        })
    }

    fn metrics(&self) -> BoxFuture<'_, Result<String, ApiError>> {
        Box::pin(async { Ok("leadsman_events_total 1\n".to_owned()) })
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), Vec<String>>> {
        Box::pin(async { if self.not_ready.is_empty() { Ok(()) } else { Err(self.not_ready.clone()) } })
    }

    fn version(&self) -> VersionInfo {
        VersionInfo { version: "0.1.0".into(), commit: None }
    }
}

pub(crate) fn finding(seq: i64) -> Finding {
    let t = Timestamp::parse("2026-03-02T00:05:00.123456Z").unwrap();
    Finding {
        id: FindingId::new(u128::try_from(seq).unwrap()),
        rev: 2,
        incident_id: IncidentId::new(9),
        cluster: "prod".into(),
        kind: FindingKind::SecretsAccess,
        entity: entity(),
        title: "jane read secrets".into(),
        score: 80,
        severity: Severity::High,
        rarity: rarity(),
        explanation: explanation(),
        techniques: vec![technique()],
        model: model_ref(),
        evidence: EvidenceRef { event_ids: vec![EventId::new(1)], total: 1 },
        window: WindowRef { from: t, to: t },
        first_seen: t,
        last_seen: t,
        detected_at: t,
        limits: vec![],
        links: Vec::new(),
        rules: Vec::new(),
    }
}

fn entity() -> Entity {
    Entity { kind: EntityType::Actor, id: "jane".into(), class: Some(ActorClass::Human) }
}

fn rarity() -> Rarity {
    Rarity { p: 0.001, per_day: 0.1, calibration_n: 900, stratum: "human".into(), extrapolated: false }
}

fn technique() -> Technique {
    let [framework, version, tactic, id, name] = ["attack", "v19", "credential-access", "T1552", "Credentials"];
    Technique {
        framework: framework.into(),
        version: version.into(),
        tactic: tactic.into(),
        id: id.into(),
        name: name.into(),
    }
}

fn explanation() -> Explanation {
    let contribution = Contribution {
        id: "new_verb_resource".into(),
        detector: "novelty".into(),
        points: 80,
        observed: "12".into(),
        baseline: None,
        event_ids: vec![EventId::new(1)],
    };
    Explanation { sentence: "never before".into(), contributions: vec![contribution], counterfactual: None }
}

fn model_ref() -> ModelRef {
    ModelRef { name: "default".into(), version: 1, digest: "ab".into() }
}

fn report(events: u64) -> ScoreReport {
    let f = finding(1);
    let window = ScoredWindow {
        window: f.window,
        entity: f.entity,
        kind: f.kind,
        score: 91,
        rarity: f.rarity,
        explanation: f.explanation,
        techniques: f.techniques,
        rules: f.rules,
        events,
    };
    let reject = Reject {
        item: 1,
        line: 2,
        reason: RejectReason::MalformedJson,
        detail: "cut off".into(),
        payload: b"secret-payload".to_vec(),
    };
    ScoreReport {
        model: model_ref(),
        events,
        runtime: 2,
        flows: 1,
        skipped: 3,
        rejects: vec![reject],
        windows: vec![window],
    }
}

fn model() -> ModelSummary {
    let manifest = ModelManifest {
        schema: "leadsman.model/v1".into(),
        name: "default".into(),
        version: 1,
        format: 1,
        weights_digest: "ab".into(),
        weights_bytes: 10,
        feature_schema: "cd".into(),
        data_digest: "ef".into(),
        seed: 42,
        trained_by: "0.1.0".into(),
        data_from: Timestamp::from_micros(0),
        data_to: Timestamp::from_micros(1),
        events: 3,
    };
    ModelSummary { manifest, aliases: vec![ModelAlias::Champion] }
}

fn progress(state: JobState, fraction: f64) -> JobProgress {
    JobProgress { id: JOB, state, step: "fit".into(), fraction }
}

fn job() -> Job {
    let dataset: DatasetId = "base".parse().unwrap();
    Job {
        id: JOB,
        spec: JobSpec::Train(TrainSpec { dataset, name: None, seed: None }),
        submitted_at: Timestamp::from_micros(0),
        progress: progress(JobState::Queued, 0.0),
        result: None,
        error: None,
    }
}

pub(crate) fn config() -> ApiConfig {
    ApiConfig::new(Some(Token::new(TOKEN).unwrap()))
}

/// The API over `fake`, and a handle to look into it.
pub(crate) fn api(fake: Fake, config: ApiConfig) -> (Router, Arc<Fake>) {
    let fake = Arc::new(fake);
    (router(fake.clone(), config), fake)
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// Checks that this is a well-formed problem and returns it.
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let body = self.json();
        assert_eq!(body["status"], status);
        assert_eq!(body["code"], code);
        assert_eq!(body["type"], format!("urn:leadsman:problem:{code}"));
        for member in ["title", "detail", "instance"] {
            assert!(body[member].as_str().is_some_and(|t| !t.is_empty()), "{member}: {body}");
        }
        assert_eq!(body["request_id"], self.header("x-request-id"));
        assert!(!self.text.contains("secret-"), "internal text leaked: {}", self.text);
        body
    }
}

/// Sends a request that carries the token and a loopback host, unless `headers` say otherwise.
pub(crate) async fn send(
    api: &Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in [("host", "localhost"), ("authorization", &format!("Bearer {TOKEN}"))] {
        if !headers.iter().any(|(n, _)| *n == name) {
            request = request.header(name, value);
        }
    }
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        request = request.header(*name, *value);
    }
    answer(api.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap()).await
}

async fn answer(response: Response<Body>) -> Answer {
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
}

pub(crate) async fn get(api: &Router, path: &str) -> Answer {
    send(api, "GET", path, &[], "").await
}
