//! The model, its rules, and whether it finds an outlier strange.

use anyhow::Result;
use leadsman_detect::rules::RuleSet;
use leadsman_domain::{
    Actor, ActorClass, AuditEvent, EventId, Level, ObjectRef, RequestKey, RiskFlags, Stage, Timestamp, Untrusted, Verb,
};
use leadsman_engine::{Engine, EngineSettings, Polarity};

use super::{Check, Verdict, check};
use crate::config::Config;
use crate::model::{self, ReadyModel};
use crate::pipeline::{Outcome, Shard};

pub(super) fn model_health(m: &ReadyModel) -> Check {
    let what = format!("{} v{}, trained on {} events", m.manifest.name, m.manifest.version, m.manifest.events);
    if m.fitted.is_learning() {
        let why = "less than a day calibrates it: scores stay low; train on at least two weeks";
        check("model", Verdict::Warn, format!("{what}: {why}"))
    } else {
        check("model", Verdict::Ok, what)
    }
}

pub(super) fn rules(m: &ReadyModel, config: &Config) -> Check {
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
pub(super) fn polarity(m: &ReadyModel) -> Check {
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
