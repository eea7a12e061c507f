//! `just bench detect`: from decoded events to evidence on one core, and that memory stays bounded: over accounts that
//! appear, and over a year.
//!
//! Rates are events per second of CPU time. Memory is the resident set of a child process that does nothing else.

#[path = "../../../tests/bench/report.rs"]
mod report;

use std::process::Command;
use std::time::Duration;

use leadsman::model;
use leadsman::pipeline::{Outcome, Shard};
use leadsman_decode::{DecodeContext, Limits};
use leadsman_detect::action::is_routine;
use leadsman_detect::rules::RuleSet;
use leadsman_domain::{AuditEvent, PayloadKind, RawRecord, Timestamp};
use leadsman_engine::{Engine, EngineSettings, Polarity};
use leadsman_sim::{Payload, SimConfig, Simulation};

use cpu_time::ProcessTime;
use report::{Failure, Row, median, write};

const REPETITIONS: usize = 5;
const BATCH: usize = 2_000;
/// Events a second and core that the path must carry, and what it may hold in memory at 50,000 active accounts.
const RATE_LIMIT: f64 = 500_000.0;
const MEMORY_LIMIT_MIB: f64 = 1_024.0;
const ACTIVE: usize = 50_000;

fn main() -> Result<(), Failure> {
    // The measured child: `detect actors N`, `detect active N` or `detect days N` prints its resident set in MiB.
    let mut arguments = std::env::args().skip(1).filter(|a| a != "--bench");
    if let (Some(what), Some(n)) = (arguments.next(), arguments.next()) {
        return child(&what, n.parse()?);
    }
    let engine = engine()?;
    let mut rates = Vec::new();
    let events = week(7)?;
    for repetition in 0..=REPETITIONS {
        let (mut shard, mut outcome) = (Shard::new(&engine, ""), Outcome::default());
        let begun = ProcessTime::now();
        for batch in events.chunks(BATCH) {
            shard.push(&engine, batch, &[], &mut outcome)?;
        }
        shard.close_all(&engine, &mut outcome)?;
        // The first repetition warms caches and is dropped.
        if repetition > 0 {
            rates.push(events.len() as f64 / begun.elapsed().as_secs_f64());
        }
    }
    let mut rows = vec![Row::beside(
        "decoded event to evidence",
        median(rates),
        "events/s/core, more is better",
        "limit",
        RATE_LIMIT,
    )];
    let empty = resident("actors", 0)?;
    rows.push(Row::alone("resident set, the model alone", empty, "MiB"));
    for actors in [10_000, 100_000, 1_000_000] {
        let name = format!("resident set, {actors} accounts in a day");
        rows.push(Row::beside(name, resident("actors", actors)?, "MiB, less is better", "limit", MEMORY_LIMIT_MIB));
    }
    let active = resident("active", ACTIVE)?;
    let name = format!("resident set, {ACTIVE} active accounts of 256 habits");
    rows.push(Row::beside(name, active, "MiB, less is better", "limit", MEMORY_LIMIT_MIB));
    let month = resident("days", 30)?;
    rows.push(Row::alone("resident set after 30 days of one cluster", month, "MiB"));
    let year = resident("days", 365)?;
    rows.push(Row::beside("resident set after 365 days", year, "MiB, 1 is no growth", "30 days", month));
    write("detect", &rows)
}

fn engine() -> Result<Engine, Failure> {
    let model = model::demo()?;
    let rules = RuleSet::shipped()?;
    let settings =
        EngineSettings { cluster: "bench".to_owned(), budget_per_day: 1.0, polarity: Polarity::Normal, rules };
    Ok(Engine::new(model.fitted.clone(), model.reference(), settings))
}

/// Events of the simulated cluster from the day after the model's training on.
fn telemetry(days: u32) -> Result<impl Iterator<Item = AuditEvent>, Failure> {
    let simulation = Simulation::new(&SimConfig { from_day: 28, days, ..SimConfig::default() })?;
    let rules = simulation.actor_rules();
    let context = DecodeContext { cluster: "bench".to_owned(), rules, redaction_key: None };
    let lines = simulation.filter_map(|r| match r.payload {
        Payload::Audit(line) => Some((r.time, line)),
        Payload::Metric(_) => None,
    });
    Ok(lines.flat_map(move |(received_at, bytes)| {
        let record = RawRecord { offset: 0, received_at, kind: PayloadKind::K8sAudit, bytes: bytes.into() };
        leadsman_decode::record(&context, &Limits::default(), &record).events
    }))
}

fn week(days: u32) -> Result<Vec<AuditEvent>, Failure> {
    Ok(telemetry(days)?.collect())
}

fn resident(what: &str, n: usize) -> Result<f64, Failure> {
    let output = Command::new(std::env::current_exe()?).args([what, &n.to_string()]).output()?;
    let text = String::from_utf8(output.stdout)?;
    text.trim().parse().map_err(|_| format!("{what} {n}: {text}{}", String::from_utf8_lossy(&output.stderr)).into())
}

#[expect(clippy::print_stdout, reason = "what the parent reads")]
fn child(what: &str, n: usize) -> Result<(), Failure> {
    let engine = engine()?;
    let (mut shard, mut outcome) = (Shard::new(&engine, ""), Outcome::default());
    let mut take = |batch: &[AuditEvent]| -> Result<(), Failure> {
        shard.push(&engine, batch, &[], &mut outcome)?;
        // Findings go to a store and are not the detectors' memory.
        outcome = Outcome::default();
        Ok(())
    };
    match what {
        "actors" | "active" => {
            let scored = |e: &AuditEvent| e.succeeded() && !is_routine(e) && e.object.namespace.is_some();
            let template = telemetry(1)?.find(scored).ok_or("no event")?;
            let habits = if what == "active" { 256 } else { 1 };
            let step = Duration::from_micros(86_400_000_000 / (n.max(1) * habits) as u64);
            let mut time = template.event_time;
            let mut batch = Vec::with_capacity(BATCH);
            for habit in 0..habits {
                for actor in 0..n {
                    batch.push(stranger(&template, actor, habit, time));
                    time = time.plus(step);
                    if batch.len() == BATCH {
                        take(&batch)?;
                        batch.clear();
                    }
                }
            }
            take(&batch)?;
            if shard.state.counts.scored < (n * habits) as u64 {
                return Err(format!("only {} of {} events were scored", shard.state.counts.scored, n * habits).into());
            }
        }
        "days" => {
            let mut batch = Vec::with_capacity(BATCH);
            for event in telemetry(u32::try_from(n)?)? {
                batch.push(event);
                if batch.len() == BATCH {
                    take(&batch)?;
                    batch.clear();
                }
            }
            take(&batch)?;
        }
        other => return Err(format!("unknown measurement {other}").into()),
    }
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    println!("{:.1}", line.trim().trim_end_matches(" kB").parse::<f64>()? / 1_024.0);
    Ok(())
}

/// An event of an account that the model never saw, with one habit of its own.
fn stranger(template: &AuditEvent, actor: usize, habit: usize, time: Timestamp) -> AuditEvent {
    let mut event = template.clone();
    event.actor.name = format!("system:serviceaccount:tenant-{}:worker-{actor}", actor % 1_000).into();
    event.object.namespace = Some(leadsman_domain::Untrusted::new(format!("tenant-{habit}")));
    event.event_time = time;
    let identity = (actor as u128) << 64 | habit as u128;
    event.id = leadsman_domain::EventId::new(identity);
    event.request = leadsman_domain::RequestKey::new(identity);
    event
}
