//! Simulated telemetry for the tests.

use leadsman_domain::Timestamp;
use leadsman_sim::{AttackPlan, Payload, Scenario, SimConfig, Simulation, Style};

use crate::support::Result;

/// Day 31 of cluster 1 with the demo's attack in it: the built-in model knows its habits.
pub(crate) const ATTACK_DAY: u32 = 31;
const ATTACK_AT: &str = "2026-04-02T09:40:00Z";

/// Audit lines of some days; those of an attacked day hold the attack.
pub(crate) fn audit(from_day: u32, days: u32) -> Result<Vec<Vec<u8>>> {
    let holds = (from_day..from_day + days).contains(&ATTACK_DAY);
    let attack = AttackPlan { scenario: Scenario::TokenTheft, style: Style::Paced, at: Timestamp::parse(ATTACK_AT)? };
    let config = SimConfig { seed: 1, from_day, days, attack: holds.then_some(attack), ..SimConfig::default() };
    let records = Simulation::new(&config)?;
    Ok(records
        .filter_map(|r| match r.payload {
            Payload::Audit(line) => Some(line),
            Payload::Metric(_) => None,
        })
        .collect())
}

/// Lines as one file.
pub(crate) fn lines(all: &[Vec<u8>]) -> Vec<u8> {
    let mut file = all.join(&b"\n"[..]);
    file.push(b'\n');
    file
}

/// Lines as the API server posts them.
pub(crate) fn event_list(all: &[Vec<u8>]) -> Vec<u8> {
    let mut body = br#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":["#.to_vec();
    body.extend(all.join(&b","[..]));
    body.extend_from_slice(b"]}");
    body
}
