//! How often rules match where nothing is wrong.

use std::collections::{BTreeMap, BTreeSet};

use leadsman_decode::{DecodeContext, Limits, record};
use leadsman_domain::{AuditEvent, PayloadKind, RawRecord, RuleLevel, Timestamp};
use leadsman_sim::{Payload, SimConfig, Simulation};

use super::super::{evidence, newness};
use super::{context, shipped};
use crate::action::is_routine;
use crate::novelty::{NoveltyBuilder, NoveltyState};

fn decode(context: &DecodeContext, bytes: &[u8], at: Timestamp) -> Vec<AuditEvent> {
    let raw = RawRecord { offset: 0, received_at: at, kind: PayloadKind::K8sAudit, bytes: bytes.to_vec().into() };
    record(context, &Limits::default(), &raw).events
}

/// Events of a simulated cluster that reach the rules, with its controllers and its CI declared.
fn simulated(from_day: u32, days: u32) -> Vec<AuditEvent> {
    let simulation = Simulation::new(&SimConfig { seed: 11, from_day, days, ..SimConfig::default() }).unwrap();
    let context = DecodeContext { rules: simulation.actor_rules(), ..context() };
    let events = simulation.flat_map(|r| match r.payload {
        Payload::Audit(bytes) => decode(&context, &bytes, r.time),
        Payload::Metric(_) => Vec::new(),
    });
    events.filter(|e| !is_routine(e)).collect()
}

/// Hits by level, and by title of those that always report. Bookkeeping never reaches the rules.
fn hits(events: &[AuditEvent]) -> (BTreeMap<RuleLevel, u64>, BTreeMap<String, u64>) {
    let rules = shipped();
    let (mut by_level, mut high) = (BTreeMap::new(), BTreeMap::new());
    for event in events {
        for rule in rules.matching(event) {
            *by_level.entry(rule.level).or_default() += 1;
            if rule.level.always_reports() {
                *high.entry(format!("{} by {}", rule.title, event.actor.name)).or_default() += 1;
            }
        }
    }
    (by_level, high)
}

#[test]
fn a_simulated_week_has_no_high_hit() {
    let events = simulated(7, 7);
    let (by_level, high) = hits(&events);
    println!("{} events of a simulated benign week: {by_level:?}", events.len());
    assert!(events.len() > 10_000, "{}", events.len());
    assert!(high.is_empty(), "{high:?}");
    // The week does have what rules look at: a set that matches nothing would pass the line above.
    assert!(by_level.get(&RuleLevel::Medium).is_some_and(|m| *m > 0), "{by_level:?}");
}

/// Hours of an account in which a medium rule gives evidence: what could become a false incident.
#[test]
fn few_medium_hits_of_a_simulated_week_are_new() {
    let mut builder = NoveltyBuilder::new(1, true);
    simulated(0, 7).iter().for_each(|event| builder.add(event));
    let (novelty, mut state, rules) = (builder.finish().unwrap(), NoveltyState::default(), shipped());
    let (mut n, mut new) = (0, BTreeSet::new());
    for event in &simulated(7, 7) {
        let judged = novelty.judge(event, &state);
        for rule in rules.matching(event).filter(|rule| rule.level == RuleLevel::Medium) {
            n += 1;
            let newness = newness(&novelty, &event.actor.name, event.actor.class, &judged, &[]);
            if evidence(rule.level, newness) > 0.0 {
                new.insert((rule.title.clone(), event.actor.name.clone(), event.event_time.hour()));
            }
        }
        novelty.learn(event, &judged, &mut state);
    }
    let mut by_rule: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    new.iter().for_each(|(title, actor, _)| *by_rule.entry((title, actor)).or_default() += 1);
    println!("{n} medium hits of a simulated week, new in {} hours: {by_rule:?}", new.len());
    assert!(n > 1_000, "{n}");
    assert!(new.len() <= 35, "more than five a day: {by_rule:?}");
}
