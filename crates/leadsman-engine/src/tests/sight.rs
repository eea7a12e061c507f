use std::time::Duration;

use leadsman_domain::{AuditEvent, EntityType, Finding, FindingKind, Level, RiskFlags, Timestamp, Verb};

use super::world::{DAY, MORNING, Run, TRAIN_DAYS, account, day_with, engine, event, habits, train};
use crate::{Engine, Polarity, ShardState};

/// Account 2 changes a deployment four times a day, logged with its body or without.
fn deployments(from: i64, to: i64, level: Level) -> Vec<AuditEvent> {
    let write = |n: i64| AuditEvent {
        level,
        risk: if level > Level::Metadata { RiskFlags::observed() } else { RiskFlags::UNKNOWN },
        object: leadsman_domain::ObjectRef {
            group: leadsman_domain::Untrusted::new("apps"),
            ..event(&account(2), 0, Verb::Patch, "deployments", "ns-2").object
        },
        ..event(&account(2), n, Verb::Patch, "deployments", "ns-2")
    };
    (from * 4..to * 4).map(|n| write(n * DAY / 4 + 777)).collect()
}

fn with_deployments(mut events: Vec<AuditEvent>, more: Vec<AuditEvent>) -> Vec<AuditEvent> {
    events.extend(more);
    events.sort_by_key(|e| e.event_time);
    events
}

fn watching() -> Engine {
    let training = with_deployments(habits(0, TRAIN_DAYS), deployments(0, TRAIN_DAYS, Level::Request));
    engine(&std::sync::Arc::new(train(&training, leadsman_detect::Detectors::default())), Polarity::Normal)
}

fn blinded(engine: &Engine, events: &[AuditEvent]) -> Vec<Finding> {
    let mut run = Run::default();
    run.push(engine, events);
    run.findings.into_values().filter(|f| f.kind == FindingKind::DetectorBlinded).collect()
}

#[test]
fn a_log_that_stops_is_one_finding_under_one_id() {
    let engine = watching();
    let mut run = Run::default();
    let log = day_with(Vec::new());
    run.push(&engine, &log);
    let newest = run.state.newest_event().unwrap();
    let quiet = engine.model().sight.longest_quiet.unwrap();
    assert!(quiet > Duration::from_secs(60) && quiet < Duration::from_secs(3600), "{quiet:?}");
    let again = |state: &mut ShardState, d: Duration| engine.silence(state, newest.plus(d));
    assert_eq!(again(&mut run.state, quiet * 2), None, "such quiet was seen");
    let found = again(&mut run.state.clone(), quiet * 4).unwrap();
    assert_eq!((found.kind, found.entity.kind), (FindingKind::AuditSilence, EntityType::Cluster));
    assert_eq!(found.explanation.contributions.iter().map(|c| c.points).sum::<i32>(), i32::from(found.score));
    assert_eq!(Some(found), again(&mut run.state, quiet * 9), "when it is looked at changes nothing");
    assert_eq!(again(&mut run.state, quiet * 20), None, "told once");
    // It comes back, stops again, and the outage has not made silence normal.
    let resumed = newest.plus(Duration::from_secs(DAY as u64));
    let mut back = event(&account(1), 0, Verb::List, "pods", "ns-1");
    back.event_time = resumed;
    run.push(&engine, &[back]);
    let second = engine.silence(&mut run.state, resumed.plus(quiet * 4)).unwrap();
    assert_eq!(second.first_seen, resumed);
}

#[test]
fn an_empty_log_is_not_silent() {
    let far = Timestamp::from_millis(MORNING * 1_000_000);
    assert_eq!(watching().silence(&mut ShardState::default(), far), None);
}

#[test]
fn bodies_that_go_missing_are_one_finding() {
    let engine = watching();
    let day = habits(TRAIN_DAYS, TRAIN_DAYS + 1);
    let with = |level| with_deployments(day.clone(), deployments(TRAIN_DAYS, TRAIN_DAYS + 1, level));
    assert_eq!(blinded(&engine, &with(Level::Request)), []);
    let found = blinded(&engine, &with(Level::Metadata));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].explanation.sentence.contains("apps/deployments"), "{}", found[0].explanation.sentence);
    assert!(found[0].limits[0].contains("apps/deployments"));
    let few: Vec<_> = with(Level::Metadata).into_iter().filter(|e| e.event_time.hour() % 24 < 12).collect();
    assert_eq!(blinded(&engine, &few), [], "two are not yet certain");
}

#[test]
fn what_never_had_a_body_cannot_lose_it() {
    let training = with_deployments(habits(0, TRAIN_DAYS), deployments(0, TRAIN_DAYS, Level::Metadata));
    let model = train(&training, leadsman_detect::Detectors::default());
    let log =
        with_deployments(habits(TRAIN_DAYS, TRAIN_DAYS + 1), deployments(TRAIN_DAYS, TRAIN_DAYS + 1, Level::Metadata));
    assert_eq!(blinded(&engine(&std::sync::Arc::new(model), Polarity::Normal), &log), []);
}
