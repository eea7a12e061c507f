//! `leadsman doctor`: what is wrong with the set-up, in one list.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use leadsman_detect::rules::RuleSet;
use leadsman_domain::{
    Actor, ActorClass, AuditEvent, EventId, Level, ObjectRef, RequestKey, RiskFlags, Stage, Timestamp, Untrusted, Verb,
};
use leadsman_engine::{Engine, EngineSettings, Polarity};
use leadsman_kafka::{BatchLimits, KafkaConfig, KafkaSource};
use leadsman_store::SqliteStore;
use serde::Serialize;
use serde_json::json;

use super::score::DEFAULT_MODEL;
use crate::cli::Global;
use crate::config::Config;
use crate::exit::Exit;
use crate::model::{self, ReadyModel};
use crate::output;
use crate::pipeline::{Outcome, Shard};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

#[derive(Debug, Serialize)]
struct Check {
    check: &'static str,
    verdict: Verdict,
    detail: String,
}

/// Checks the set-up. The only thing it leaves behind is the data directory, if there was none.
///
/// Errors: [`Exit::Failed`] when a check fails.
pub fn run(global: &Global, config: &Config) -> Result<()> {
    let mut checks = vec![data_dir(&config.data_dir), port(config), store(&config.data_dir)];
    let spec = config.detect.model.as_deref().unwrap_or(DEFAULT_MODEL);
    match model::load(spec, &config.data_dir.join("models")) {
        Ok(m) => {
            checks.push(model_health(&m));
            checks.push(polarity(&m));
            checks.push(rules(&m, config));
        }
        Err(e) => checks.push(check("model", Verdict::Fail, format!("`{spec}`: {e:#}"))),
    }
    checks.extend(config.sources.files.iter().map(|f| tail(f)));
    if config.kafka.is_some() {
        checks.push(kafka(config));
    }
    if global.json {
        output::json(&json!({"schema": "leadsman.doctor/v1", "checks": checks}))?;
    } else {
        for c in &checks {
            let verdict = match c.verdict {
                Verdict::Ok => "ok  ",
                Verdict::Warn => "warn",
                Verdict::Fail => "fail",
            };
            output::text(&format!("{verdict}  {:<10} {}", c.check, c.detail))?;
        }
    }
    let failed = checks.iter().filter(|c| c.verdict == Verdict::Fail).count();
    if failed == 0 { Ok(()) } else { Err(Exit::Failed(format!("{failed} checks failed")).into()) }
}

fn check(name: &'static str, verdict: Verdict, detail: impl Into<String>) -> Check {
    Check { check: name, verdict, detail: detail.into() }
}

fn data_dir(path: &Path) -> Check {
    let probe = path.join(".doctor");
    let written = std::fs::create_dir_all(path)
        .and_then(|()| std::fs::File::create(&probe))
        .and_then(|mut f| f.write_all(b"probe").and_then(|()| f.sync_all()))
        .and_then(|()| std::fs::remove_file(&probe));
    match written {
        Ok(()) => check("data", Verdict::Ok, format!("{} can be written", path.display())),
        Err(e) => check("data", Verdict::Fail, format!("{} cannot be written: {e}", path.display())),
    }
}

fn port(config: &Config) -> Check {
    match std::net::TcpListener::bind(config.server.listen) {
        Ok(_) => check("listen", Verdict::Ok, format!("{} is free", config.server.listen)),
        Err(e) => check(
            "listen",
            Verdict::Warn,
            format!("{} cannot be taken ({e}); fine if leadsman is running there", config.server.listen),
        ),
    }
}

fn store(data_dir: &Path) -> Check {
    let path = data_dir.join("leadsman.db");
    if !path.exists() {
        return check("store", Verdict::Ok, format!("{} will be made at the first start", path.display()));
    }
    match SqliteStore::open(&path) {
        Ok(_) => check("store", Verdict::Ok, format!("{} opens", path.display())),
        Err(e) => check("store", Verdict::Fail, format!("{}: {e}", path.display())),
    }
}

fn model_health(m: &ReadyModel) -> Check {
    let what = format!("{} v{}, trained on {} events", m.manifest.name, m.manifest.version, m.manifest.events);
    if m.fitted.is_learning() {
        let why = "less than a day calibrates it: scores stay low; train on at least two weeks";
        check("model", Verdict::Warn, format!("{what}: {why}"))
    } else {
        check("model", Verdict::Ok, what)
    }
}

fn rules(m: &ReadyModel, config: &Config) -> Check {
    match config.detect.rule_set() {
        Ok(rules) if m.fitted.is_calibrated_with(&rules) => {
            check("rules", Verdict::Ok, format!("{} rules, which the model knows", rules.rules().len()))
        }
        Ok(_) => check("rules", Verdict::Warn, model::OTHER_RULES),
        Err(e) => check("rules", Verdict::Fail, e.to_string()),
    }
}

/// A planted outlier must outrank ordinary behaviour with the model as it is, and must not with its scores
/// negated. Detectors that were inverted or inert have shipped under green tests before.
fn polarity(m: &ReadyModel) -> Check {
    let p_value = |polarity, events: &[AuditEvent]| -> Result<f64> {
        let rules = RuleSet::shipped()?;
        let settings = EngineSettings { cluster: "doctor".to_owned(), budget_per_day: 5.0, polarity, rules };
        let engine = Engine::new(m.fitted.clone(), m.reference(), settings);
        let mut shard = Shard::new(&engine, &m.manifest.weights_digest);
        let mut outcome = Outcome::default();
        shard.push(&engine, events, &[], &mut outcome)?;
        shard.close_all(&engine, &mut outcome)?;
        Ok(outcome.strangest.first().map_or(1.0, |w| w.p))
    };
    let (calm, strange) = (planted(false), planted(true));
    let compare = |p| Ok::<_, anyhow::Error>((p_value(p, &calm)?, p_value(p, &strange)?));
    match (compare(Polarity::Normal), compare(Polarity::Negated)) {
        // A model that is still learning can tie, but never rank the outlier as the more ordinary one.
        (Ok((calm, strange)), Ok((negated_calm, negated_strange)))
            if strange <= calm && negated_strange >= negated_calm && (strange < calm || m.fitted.is_learning()) =>
        {
            check(
                "polarity",
                Verdict::Ok,
                format!("a planted outlier outranks normal (p {strange:.0e} against {calm:.0e})"),
            )
        }
        (Ok((calm, strange)), Ok(_)) => check(
            "polarity",
            Verdict::Fail,
            format!(
                "a planted outlier does not outrank normal (p {strange:.0e} against {calm:.0e}): retrain the model"
            ),
        ),
        (Err(e), _) | (_, Err(e)) => check("polarity", Verdict::Fail, format!("{e:#}")),
    }
}

/// A node reading its pods; or the same node reading every secret of the cluster from a foreign address.
fn planted(strange: bool) -> Vec<AuditEvent> {
    let event = |i: u128| AuditEvent {
        id: EventId::new(i),
        request: RequestKey::new(i),
        audit_id: Untrusted::new(i.to_string()),
        stage: Stage::ResponseComplete,
        level: Level::Metadata,
        event_time: Timestamp::from_micros(1_700_000_000_000_000 + i as i64),
        actor: Actor { name: "system:node:doctor".into(), class: ActorClass::Node, impersonated: None },
        verb: if strange { Verb::List } else { Verb::Get },
        object: ObjectRef {
            resource: Untrusted::new(if strange { "secrets" } else { "pods" }),
            namespace: (!strange).then(|| Untrusted::new("kube-system")),
            ..ObjectRef::default()
        },
        request_uri: Untrusted::new("/api/v1/"),
        source_ip: strange.then(|| Untrusted::new("203.0.113.250")),
        user_agent: strange.then(|| Untrusted::new("curl/8.0")),
        code: Some(200),
        forbidden: false,
        risk: RiskFlags::UNKNOWN,
        accounts: Box::default(),
    };
    (1..=3).map(event).collect()
}

fn tail(path: &Path) -> Check {
    match std::fs::metadata(path) {
        Ok(_) => check("tail", Verdict::Ok, format!("{} can be read", path.display())),
        Err(e) => check("tail", Verdict::Warn, format!("{} is not there yet: {e}", path.display())),
    }
}

fn kafka(config: &Config) -> Check {
    let Some(k) = &config.kafka else { return check("kafka", Verdict::Ok, "off") };
    let wanted = KafkaConfig {
        bootstrap_servers: k.bootstrap_servers.clone(),
        group_id: k.group_id.clone(),
        topics: k
            .audit_topics
            .iter()
            .chain(&k.metrics_topics)
            .map(|t| (t.name.clone(), leadsman_domain::PayloadKind::K8sAudit))
            .collect(),
        batch: BatchLimits::default(),
        idle_after: config.sources.idle_after,
        max_bytes_under_way: 0,
        extra: k.properties.clone(),
    };
    match KafkaSource::discover(&wanted) {
        Ok(found) => {
            let partitions: u32 = found.iter().map(|(_, n)| n).sum();
            check("kafka", Verdict::Ok, format!("{partitions} partitions at {}", k.bootstrap_servers))
        }
        Err(e) => check("kafka", Verdict::Fail, e.to_string()),
    }
}
