//! `just bench rules`: what matching the built-in rules costs an event, on one core, against a limit.
//!
//! Events of a simulated week with an attack, decoded beforehand; CPU time of the thread, the median of the
//! repetitions after the first. Fails above the limit: at 500,000 events a second a whole event has 2 µs.

use std::hint::black_box;
use std::process::ExitCode;

use cpu_time::ThreadTime;
use leadsman_decode::{DecodeContext, Limits, record};
use leadsman_detect::action::is_routine;
use leadsman_detect::rules::{RuleSet, SHIPPED};
use leadsman_domain::{AuditEvent, PayloadKind, RawRecord};
use leadsman_sim::{AttackPlan, Payload, Scenario, SimConfig, Simulation, Style};

/// Most nanoseconds an event may take.
const LIMIT: f64 = 500.0;
const REPETITIONS: usize = 7;

fn main() -> ExitCode {
    match events().and_then(|events| measure(&events)) {
        Ok(ns) if ns <= LIMIT => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

type Failure = Box<dyn std::error::Error>;

fn events() -> Result<Vec<AuditEvent>, Failure> {
    let start = SimConfig::default().start;
    let at = start.plus(std::time::Duration::from_secs(3 * 86_400 + 36_000));
    let attack = Some(AttackPlan { scenario: Scenario::TokenTheft, style: Style::Noisy, at });
    let config = SimConfig { days: 7, attack, ..SimConfig::default() };
    let mut events = Vec::new();
    for item in Simulation::new(&config)? {
        if let Payload::Audit(bytes) = item.payload {
            let raw = RawRecord { offset: 0, received_at: item.time, kind: PayloadKind::K8sAudit, bytes: bytes.into() };
            events.extend(record(&DecodeContext::default(), &Limits::default(), &raw).events);
        }
    }
    events.retain(|e| !is_routine(e));
    Ok(events)
}

fn measure(events: &[AuditEvent]) -> Result<f64, Failure> {
    let rules = RuleSet::compile(&[SHIPPED])?;
    let mut times = Vec::new();
    let mut hits = 0;
    for _ in 0..=REPETITIONS {
        let start = ThreadTime::now();
        hits = events.iter().map(|e| black_box(&rules).matching(e).count()).sum();
        times.push(start.elapsed().as_secs_f64() * 1e9 / events.len() as f64);
    }
    times.remove(0);
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    let verdict = if median <= LIMIT { "within" } else { "ABOVE" };
    let (worst, n) = (times[times.len() - 1], events.len());
    eprintln!(
        "{} rules, {n} events, {hits} hits: {median:.0} ns an event (worst {worst:.0}), {verdict} the limit of {LIMIT:.0} ns",
        rules.rules().len()
    );
    Ok(median)
}
