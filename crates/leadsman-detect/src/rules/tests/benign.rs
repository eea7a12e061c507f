//! How often rules match where nothing is wrong.

use std::collections::BTreeMap;
use std::path::PathBuf;

use leadsman_decode::{Limits, record};
use leadsman_domain::{AuditEvent, PayloadKind, RawRecord, Timestamp};
use leadsman_sim::{Payload, SimConfig, Simulation};

use super::super::RuleLevel;
use super::{context, shipped};
use crate::action::is_routine;

fn decode(bytes: &[u8], at: Timestamp) -> Vec<AuditEvent> {
    let raw = RawRecord { offset: 0, received_at: at, kind: PayloadKind::K8sAudit, bytes: bytes.to_vec() };
    record(&context(), &Limits::default(), &raw).events
}

/// Hits by level, and by title of those that always report. Bookkeeping never reaches the rules.
fn hits(events: impl Iterator<Item = AuditEvent>) -> (u64, BTreeMap<RuleLevel, u64>, BTreeMap<String, u64>) {
    let rules = shipped();
    let (mut n, mut by_level, mut high) = (0, BTreeMap::new(), BTreeMap::new());
    for event in events.filter(|e| !is_routine(e)) {
        n += 1;
        for rule in rules.matching(&event) {
            *by_level.entry(rule.level).or_default() += 1;
            if rule.level.always_reports() {
                *high.entry(format!("{} by {}", rule.title, event.actor.name)).or_default() += 1;
            }
        }
    }
    (n, by_level, high)
}

#[test]
fn a_simulated_week_has_no_high_hit() {
    let config = SimConfig { seed: 11, from_day: 7, days: 7, ..SimConfig::default() };
    let records = Simulation::new(&config).unwrap();
    let events = records.filter_map(|r| match r.payload {
        Payload::Audit(bytes) => Some(decode(&bytes, r.time)),
        Payload::Metric(_) => None,
    });
    let (n, by_level, high) = hits(events.flatten());
    println!("{n} events of a simulated benign week: {by_level:?}");
    assert!(n > 10_000, "{n}");
    assert!(high.is_empty(), "{high:?}");
    // The week does have what rules look at: a set that matches nothing would pass the line above.
    assert!(by_level.get(&RuleLevel::Medium).is_some_and(|m| *m > 0), "{by_level:?}");
}

#[test]
fn a_real_benign_log_has_no_high_hit() {
    let Some(root) = std::env::var_os("LEADSMAN_DATASETS").map(PathBuf::from) else {
        println!("SKIPPED: set LEADSMAN_DATASETS to the folder that holds k8s-audit-benign");
        assert!(std::env::var_os("CI").is_none(), "nothing is skipped with CI set");
        return;
    };
    let text = std::fs::read(root.join("k8s-audit-benign/audit.jsonl")).unwrap();
    let (n, by_level, high) = hits(decode(&text, Timestamp::parse("2026-01-01T00:00:00Z").unwrap()).into_iter());
    println!("{n} events of k8s-audit-benign: {by_level:?}");
    assert!(n > 3_000, "{n}");
    assert!(high.is_empty(), "{high:?}");
}
