//! A small cluster for tests: accounts with habits, windows with a handful of features.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use leadsman_detect::rules::RuleSet;
use leadsman_detect::{Detectors, FittedModel};
use leadsman_domain::{
    Actor, ActorClass, ActorRules, AuditEvent, EventId, FeatureMatrix, FeatureSchema, Finding, FindingId, Level,
    ModelRef, ObjectRef, RequestKey, RiskFlags, RowKey, Stage, Surprise, Timestamp, Untrusted, Verb,
};

use crate::{DataSummary, Engine, EngineSettings, Polarity, ScoredWindow, ShardState, TrainSpec, Trainer};

pub(super) const DAY: i64 = 86_400;
pub(super) const WINDOW: Duration = Duration::from_secs(300);
/// Days of training.
pub(super) const TRAIN_DAYS: i64 = 12;

/// Account `i` of `ns-(i % 3)`.
pub(super) fn account(i: i64) -> String {
    format!("system:serviceaccount:ns-{}:sa-{i}", i % 3)
}

pub(super) fn event(actor: &str, second: i64, verb: Verb, api: &str, namespace: &str) -> AuditEvent {
    let (resource, subresource) = api.split_once('/').map_or((api, None), |(r, s)| (r, Some(s)));
    let id = leadsman_domain::ContentHash::new("test").field(actor).field(second.to_le_bytes()).field(api).finish();
    AuditEvent {
        id: EventId::new(id),
        request: RequestKey::new(id),
        audit_id: Untrusted::new(format!("{id:032x}")),
        stage: Stage::ResponseComplete,
        level: Level::Metadata,
        event_time: Timestamp::from_millis(second * 1000),
        actor: Actor { name: actor.into(), class: ActorRules::default().classify(actor), impersonated: None },
        verb,
        object: ObjectRef {
            resource: Untrusted::new(resource),
            subresource: subresource.map(Untrusted::new),
            namespace: (!namespace.is_empty()).then(|| Untrusted::new(namespace)),
            ..ObjectRef::default()
        },
        request_uri: Untrusted::new("/"),
        source_ip: Some(Untrusted::new("10.244.1.7")),
        user_agent: Some(Untrusted::new("app/1.0")),
        code: Some(200),
        forbidden: false,
        risk: RiskFlags::UNKNOWN,
        accounts: Box::default(),
    }
}

/// What twelve accounts do between two days: each reads pods and config maps of its namespace every hour, at a
/// minute of its own, and once a day something out of the ordinary but usual.
pub(super) fn habits(from: i64, to: i64) -> Vec<AuditEvent> {
    let mut events = Vec::new();
    for hour in from * 24..to * 24 {
        for i in 0..12 {
            let (name, ns) = (account(i), format!("ns-{}", i % 3));
            let at = hour * 3600 + i * 211 + (hour * 37 + i * 13) % 600;
            events.push(event(&name, at, Verb::List, "pods", &ns));
            for n in 0..(hour + i) % 4 {
                events.push(event(&name, at + 1 + n, Verb::Get, "configmaps", &ns));
            }
            if hour % 24 == i {
                events.push(event(&name, at + 10, Verb::Patch, "endpoints", &ns));
            }
        }
    }
    events.sort_by_key(|e| e.event_time);
    events
}

/// Takes the token of account 1 and does with it what it never did.
pub(super) fn intrusion(at: i64) -> Vec<AuditEvent> {
    let mut events: Vec<AuditEvent> = [
        (Verb::Create, "selfsubjectrulesreviews", ""),
        (Verb::List, "secrets", ""),
        (Verb::Exec, "pods/exec", "kube-system"),
        (Verb::Create, "serviceaccounts/token", "kube-system"),
        (Verb::Delete, "events", "ns-0"),
    ]
    .into_iter()
    .zip(0..)
    .map(|((verb, api, ns), i)| event(&account(1), at + i, verb, api, ns))
    .collect();
    for e in &mut events {
        e.source_ip = Some(Untrusted::new("203.0.113.7"));
        e.user_agent = Some(Untrusted::new("kubectl/v1.33.2"));
    }
    events
}

pub(super) fn schema() -> FeatureSchema {
    let names = ["events", "reads", "writes", "distinct_apis", "surprise_top", "first_seen_keys"];
    FeatureSchema::new(names.iter().map(ToString::to_string).collect())
}

type Rows = BTreeMap<(Timestamp, Box<str>), Vec<(AuditEvent, Surprise)>>;

/// The open windows of a test: what `leadsman-features` is to the service.
#[derive(Default)]
pub(super) struct OpenWindows(Rows);

impl OpenWindows {
    pub(super) fn earliest_end(&self) -> Option<Timestamp> {
        self.0.keys().next().map(|(start, _)| start.plus(WINDOW))
    }

    pub(super) fn push(&mut self, events: &[AuditEvent], surprises: &[Surprise]) {
        for s in surprises {
            let e = &events[s.index];
            let key = (e.event_time.window(WINDOW).start, (*e.actor.name).into());
            self.0.entry(key).or_default().push((e.clone(), *s));
        }
    }

    /// Windows that end at or before `watermark`.
    pub(super) fn take(&mut self, watermark: Timestamp) -> Option<FeatureMatrix> {
        let open = self.0.split_off(&(watermark.minus(WINDOW).plus(Duration::from_micros(1)), "".into()));
        let closed = std::mem::replace(&mut self.0, open);
        let log = |n: usize| (n as f64).ln_1p();
        let (mut rows, mut values) = (Vec::new(), Vec::new());
        for ((start, entity), events) in closed {
            rows.push(RowKey { entity, window: start.window(WINDOW), count: events.len() as u64 });
            let reads = events.iter().filter(|(e, _)| e.verb.is_read()).count();
            let apis: std::collections::BTreeSet<String> = events.iter().map(|(e, _)| e.object.api()).collect();
            let mut surprise: Vec<f64> = events.iter().map(|(_, s)| s.total).collect();
            surprise.sort_by(|a, b| b.total_cmp(a));
            let new: u32 = events.iter().map(|(_, s)| s.first_seen).sum();
            values.extend([log(events.len()), log(reads), log(events.len() - reads), log(apis.len())]);
            values.extend([surprise.iter().take(3).sum::<f64>().ln_1p(), f64::from(new).ln_1p()]);
        }
        (!rows.is_empty()).then(|| FeatureMatrix::new(schema(), rows, values).unwrap())
    }
}

pub(super) fn train(events: &[AuditEvent], detectors: Detectors) -> FittedModel {
    let mut summary = DataSummary::default();
    summary.add(events, &[]);
    let spec = TrainSpec { seed: 1, window: WINDOW, rules: ActorRules::default(), detectors };
    let mut trainer = Trainer::new(spec, RuleSet::shipped().unwrap(), summary).unwrap();
    let (mut windows, mut rest) = (OpenWindows::default(), events);
    while !rest.is_empty() {
        let (n, watermark) = trainer.run_length(windows.earliest_end(), rest);
        let (run, later) = rest.split_at(n);
        let surprises = trainer.observe(run).unwrap();
        windows.push(run, &surprises);
        if let Some(matrix) = watermark.and_then(|w| windows.take(w)) {
            trainer.close(&matrix);
        }
        rest = later;
    }
    if let Some(matrix) = windows.take(Timestamp::from_micros(i64::MAX)) {
        trainer.close(&matrix);
    }
    trainer.finish().unwrap().0
}

/// The model of twelve ordinary days.
pub(super) fn model() -> &'static Arc<FittedModel> {
    static MODEL: OnceLock<Arc<FittedModel>> = OnceLock::new();
    MODEL.get_or_init(|| Arc::new(train(&habits(0, TRAIN_DAYS), Detectors::default())))
}

pub(super) fn engine(model: &Arc<FittedModel>, polarity: Polarity) -> Engine {
    engine_with(model, polarity, 1.0, RuleSet::shipped().unwrap())
}

pub(super) fn engine_with(model: &Arc<FittedModel>, polarity: Polarity, budget: f64, rules: Arc<RuleSet>) -> Engine {
    let settings = EngineSettings { cluster: "test".to_owned(), budget_per_day: budget, polarity, rules };
    Engine::new(Arc::clone(model), ModelRef { name: "t".into(), version: 1, digest: String::new() }, settings)
}

/// A shard at work.
#[derive(Default)]
pub(super) struct Run {
    pub(super) state: ShardState,
    pub(super) windows: OpenWindows,
    pub(super) findings: BTreeMap<FindingId, Finding>,
    pub(super) scored: Vec<ScoredWindow>,
}

impl Run {
    pub(super) fn push(&mut self, engine: &Engine, mut events: &[AuditEvent]) {
        while !events.is_empty() {
            let (n, watermark) = engine.run_length(&self.state, self.windows.earliest_end(), events);
            let (run, rest) = events.split_at(n);
            let (surprises, findings) = engine.observe(&mut self.state, run);
            self.add(findings);
            self.windows.push(run, &surprises);
            watermark.into_iter().for_each(|w| self.close(engine, w));
            events = rest;
        }
    }

    pub(super) fn close(&mut self, engine: &Engine, watermark: Timestamp) {
        if let Some(matrix) = self.windows.take(watermark) {
            let (scored, findings) = engine.close(&mut self.state, &matrix).unwrap();
            self.scored.extend(scored);
            self.add(findings);
        }
    }

    fn add(&mut self, findings: Vec<Finding>) {
        for finding in findings {
            if self.findings.get(&finding.id).is_none_or(|known| known.rev < finding.rev) {
                self.findings.insert(finding.id, finding);
            }
        }
    }
}

/// Everything found in `events`, given in batches of `batch`.
pub(super) fn found(engine: &Engine, events: &[AuditEvent], batch: usize) -> Vec<Finding> {
    let mut run = Run::default();
    events.chunks(batch).for_each(|part| run.push(engine, part));
    run.close(engine, Timestamp::from_micros(i64::MAX));
    run.findings.into_values().collect()
}

/// A day after training with `more` in it.
pub(super) fn day_with(more: Vec<AuditEvent>) -> Vec<AuditEvent> {
    let mut events = habits(TRAIN_DAYS, TRAIN_DAYS + 1);
    events.extend(more);
    events.sort_by_key(|e| e.event_time);
    events
}

/// Ten in the morning of the day after training.
pub(super) const MORNING: i64 = TRAIN_DAYS * DAY + 10 * 3600;

pub(super) fn is_by(finding: &Finding, i: i64) -> bool {
    finding.entity.id == account(i) && finding.entity.class == Some(ActorClass::SaWorkload)
}
