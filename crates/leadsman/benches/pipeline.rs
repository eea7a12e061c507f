//! `just bench pipeline`: what each stage of the straight line costs, and that cost and memory do not grow.
//!
//! Rates are events per second of CPU time of this process, so they are per core. Stages and their peer are
//! interleaved, repetition by repetition; the median counts. Results go to `target/bench/pipeline.json` and, as a
//! table, to stdout.

#[path = "../../../tests/bench/child.rs"]
mod child;
#[path = "../../../tests/bench/report.rs"]
mod report;

use std::process::Command;
use std::time::Duration;

use leadsman::model;
use leadsman::pipeline::{Outcome, Shard};
use leadsman_decode::{DecodeContext, Limits};
use leadsman_detect::rules::RuleSet;
use leadsman_domain::{AuditEvent, PayloadKind, RawRecord, Surprise, Timestamp};
use leadsman_engine::{Engine, EngineSettings, Polarity};
use leadsman_features::ActivityBuffer;
use leadsman_sim::{Payload, SimConfig, Simulation};
use serde::Deserialize;

use child::measure;
use cpu_time::ProcessTime;
use report::{Failure, Row, median};

const REPETITIONS: usize = 5;
const EVENTS: usize = 100_000;
/// Saturated resident set that the service may have. Source: the performance budget.
const MEMORY_LIMIT_MIB: f64 = 256.0;

/// The same fields as ours, borrowed where they can be, without canonicalisation: what the parser alone costs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "the peer only has to fill it")]
struct Plain<'a> {
    kind: &'a str,
    api_version: &'a str,
    level: &'a str,
    #[serde(rename = "auditID")]
    audit_id: &'a str,
    stage: &'a str,
    #[serde(rename = "requestURI", borrow)]
    request_uri: std::borrow::Cow<'a, str>,
    verb: &'a str,
    #[serde(borrow)]
    user: User<'a>,
    #[serde(rename = "sourceIPs", borrow, default)]
    source_ips: Vec<&'a str>,
    #[serde(borrow, default)]
    user_agent: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    object_ref: Option<Object<'a>>,
    response_status: Option<Status>,
    #[serde(borrow)]
    request_object: Option<&'a serde_json::value::RawValue>,
    #[serde(borrow)]
    response_object: Option<&'a serde_json::value::RawValue>,
    request_received_timestamp: &'a str,
    stage_timestamp: &'a str,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "the peer only has to fill it")]
struct User<'a> {
    #[serde(borrow)]
    username: Option<std::borrow::Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "the peer only has to fill it")]
struct Object<'a> {
    resource: Option<&'a str>,
    namespace: Option<&'a str>,
    name: Option<&'a str>,
    api_group: Option<&'a str>,
    subresource: Option<&'a str>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "the peer only has to fill it")]
struct Status {
    code: Option<u16>,
}

fn rate(events: usize, work: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let begun = ProcessTime::now();
    work()?;
    Ok(events as f64 / begun.elapsed().as_secs_f64())
}

fn main() -> Result<(), Failure> {
    let model = model::demo()?;
    let rules = RuleSet::shipped()?;
    let settings =
        EngineSettings { cluster: "bench".to_owned(), budget_per_day: 1.0, polarity: Polarity::Normal, rules };
    let engine = Engine::new(model.fitted.clone(), model.reference(), settings);
    let context = DecodeContext { cluster: "bench".to_owned(), rules: model.fitted.rules.clone(), redaction_key: None };
    let simulation = Simulation::new(&SimConfig { from_day: 28, days: 7, ..SimConfig::default() })?;
    let lines = simulation.filter_map(|r| match r.payload {
        Payload::Audit(line) => Some(line),
        Payload::Metric(_) => None,
    });
    let records: Vec<RawRecord> = lines
        .take(EVENTS)
        .map(|bytes| RawRecord {
            offset: 0,
            received_at: Timestamp::from_micros(i64::MAX / 2),
            kind: PayloadKind::K8sAudit,
            bytes: bytes.into(),
        })
        .collect();
    let limits = Limits::default();
    let decode = || -> Vec<AuditEvent> {
        records.iter().flat_map(|r| leadsman_decode::record(&context, &limits, r).events).collect()
    };
    let events = decode();
    let surprises: Vec<Surprise> =
        (0..events.len()).map(|index| Surprise { index, total: 1.0, first_seen: 0 }).collect();
    let window = Duration::from_secs(300);

    let mut rates: [Vec<f64>; 5] = Default::default();
    // The first repetition warms caches and is dropped.
    for repetition in 0..=REPETITIONS {
        let peer = rate(EVENTS, || {
            // A 401 has no user name and so on: what the plain struct cannot take still costs its parse.
            let parsed = records.iter().filter(|r| serde_json::from_slice::<Plain<'_>>(&r.bytes).is_ok()).count();
            if parsed * 100 > records.len() * 95 { Ok(()) } else { Err(format!("the peer read only {parsed}").into()) }
        })?;
        let decoded =
            rate(EVENTS, || if decode().len() == events.len() { Ok(()) } else { Err("events were lost".into()) })?;
        let features = rate(EVENTS, || {
            for chunk in 0..EVENTS / 2_000 {
                let part = chunk * 2_000..(chunk + 1) * 2_000;
                let local: Vec<Surprise> = (0..2_000).map(|i| surprises[i]).collect();
                let mut buffer = ActivityBuffer::new(window);
                buffer.push(&events[part], &local);
                std::hint::black_box(buffer.take_closed(Timestamp::from_micros(i64::MAX))?);
            }
            Ok(())
        })?;
        let score = rate(EVENTS, || push(&engine, &model.manifest.weights_digest, std::iter::once(events.as_slice())))?;
        let whole = rate(EVENTS, || {
            let batches: Vec<Vec<AuditEvent>> = records
                .chunks(2_000)
                .map(|c| c.iter().flat_map(|r| leadsman_decode::record(&context, &limits, r).events).collect())
                .collect();
            push(&engine, &model.manifest.weights_digest, batches.iter().map(Vec::as_slice))
        })?;
        if repetition > 0 {
            for (all, one) in rates.iter_mut().zip([peer, decoded, features, score, whole]) {
                all.push(one);
            }
        }
    }
    let [peer, decoded, features, score, whole] = rates.map(median);
    const RATE: &str = "events/s/core, more is better";
    let parser = "serde_json into a borrowed struct, nothing else";
    let mut rows = vec![
        Row::beside("decode", decoded, RATE, parser, peer),
        Row::beside("features", features, RATE, "our decode", decoded),
        Row::beside("observe, features and score", score, RATE, "our decode", decoded),
        Row::beside("end to end, bytes to findings", whole, RATE, parser, peer),
    ];
    let mut costs = Vec::new();
    for (name, days) in [("10^5", 4), ("10^6", 37)] {
        let (peak, rate) = score_file(days)?;
        let memory = format!("peak memory at {name} events");
        rows.push(Row::beside(memory, peak, "MiB, less is better", "limit", MEMORY_LIMIT_MIB));
        let scored = format!("leadsman score, file of {name} events");
        rows.push(Row::alone(scored, rate, "events/s of wall time, more is better"));
        costs.push(1.0 / rate);
    }
    let growth = costs[1] / costs[0];
    rows.push(Row::beside("cost per event, 10^6 against 10^5", growth, "ratio, 1 is linear", "linear", 1.0));
    report::write("pipeline", &rows)
}

fn push<'a>(engine: &Engine, digest: &str, batches: impl Iterator<Item = &'a [AuditEvent]>) -> Result<(), Failure> {
    let mut shard = Shard::new(engine, digest);
    let mut outcome = Outcome::default();
    for batch in batches {
        shard.push(engine, batch, &[], &mut outcome)?;
    }
    Ok(shard.close_all(engine, &mut outcome)?)
}

/// Peak resident set in MiB of `leadsman score` over a file of some simulated days, and its events a second.
fn score_file(days: u32) -> Result<(f64, f64), Failure> {
    let data = report::scratch()?.join(format!("days-{days}"));
    let binary = env!("CARGO_BIN_EXE_leadsman");
    if !data.join("audit.jsonl.zst").exists() {
        let days = days.to_string();
        let args = ["datasets", "generate", "--no-metrics", "--progress", "none", "--days", &days, "--out"];
        measure(Command::new(binary).args(args).arg(&data))?;
    }
    let args = ["score", "--model", "builtin:demo", "--json", "--progress", "none"];
    let scored = measure(Command::new(binary).args(args).arg(&data))?;
    let document: serde_json::Value = serde_json::from_slice(&scored.stdout)?;
    Ok((scored.peak, document["events"].as_f64().ok_or("no events")? / scored.seconds))
}
