//! `just bench pipeline`: what each stage of the straight line costs, and that cost and memory do not grow.
//!
//! Rates are events per second of CPU time of this process, so they are per core. Stages and their peer are
//! interleaved, repetition by repetition; the median counts. Results go to `target/bench/pipeline.json` as a
//! list of `{name, value, unit, peer, peer_value, ratio}`, and to stdout as a table.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use leadsman::model;
use leadsman::pipeline::{Outcome, Shard};
use leadsman_decode::{DecodeContext, Limits};
use leadsman_detect::rules::RuleSet;
use leadsman_domain::{AuditEvent, PayloadKind, RawRecord, Surprise, Timestamp};
use leadsman_engine::{Engine, EngineSettings, Polarity};
use leadsman_features::{EventBuffer, extract_audit};
use leadsman_sim::{Payload, SimConfig, Simulation};
use serde::{Deserialize, Serialize};

type Failure = Box<dyn std::error::Error>;

#[derive(Serialize)]
struct Row {
    name: String,
    value: f64,
    unit: &'static str,
    peer: Option<&'static str>,
    peer_value: Option<f64>,
    ratio: Option<f64>,
}

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

/// CPU time of this process so far, in seconds. Linux counts in hundredths.
fn cpu() -> Result<f64, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().ok_or("an odd /proc/self/stat")?.split(' ').collect();
    let ticks: f64 =
        fields.get(11).ok_or("no utime")?.parse::<f64>()? + fields.get(12).ok_or("no stime")?.parse::<f64>()?;
    Ok(ticks / 100.0)
}

fn rate(events: usize, work: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let begun = cpu()?;
    work()?;
    Ok(events as f64 / (cpu()? - begun).max(0.01))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its table")]
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
            bytes,
        })
        .collect();
    let limits = Limits::default();
    let decode = || -> Vec<AuditEvent> {
        records.iter().flat_map(|r| leadsman_decode::record(&context, &limits, r).events).collect()
    };
    let events = decode();
    let surprises: Vec<Surprise> =
        (0..events.len()).map(|index| Surprise { index, total: 1.0, strongest: 1.0, first_seen: 0 }).collect();
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
                let mut buffer = EventBuffer::new(window);
                buffer.push(&events[part], &local);
                if let Some(frame) = buffer.take_closed(Timestamp::from_micros(i64::MAX))? {
                    extract_audit(&frame, window)?;
                }
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
    let row = |name: &str, value: f64, unit, peer: Option<(&'static str, f64)>| Row {
        name: name.to_owned(),
        value,
        unit,
        peer: peer.map(|p| p.0),
        peer_value: peer.map(|p| p.1),
        ratio: peer.map(|p| value / p.1),
    };
    const RATE: &str = "events/s/core, more is better";
    let parser = "serde_json into a borrowed struct, nothing else";
    let mut rows = vec![
        row("decode", decoded, RATE, Some((parser, peer))),
        row("features", features, RATE, Some(("our decode", decoded))),
        row("observe, features and score", score, RATE, Some(("our decode", decoded))),
        row("end to end, bytes to findings", whole, RATE, Some((parser, peer))),
    ];
    for (name, days) in [("10^5", 4), ("10^6", 37)] {
        let (peak, count, seconds) = score_file(days)?;
        rows.push(row(
            &format!("peak memory at {name} events"),
            peak,
            "MiB, less is better",
            Some(("limit", MEMORY_LIMIT_MIB)),
        ));
        rows.push(row(
            &format!("leadsman score, file of {name} events"),
            count / seconds,
            "events/s of wall time, more is better",
            None,
        ));
    }
    let (small, large) = (rows[5].value, rows[7].value);
    rows.push(row("cost per event, 10^6 against 10^5", small / large, "ratio, 1 is linear", Some(("linear", 1.0))));

    let out = target().join("bench");
    std::fs::create_dir_all(&out)?;
    std::fs::write(out.join("pipeline.json"), serde_json::to_vec_pretty(&rows)?)?;
    for r in &rows {
        let against = r.peer.zip(r.ratio).map_or(String::new(), |(p, x)| format!("{x:.2} of {p}"));
        println!("{:<40} {:>12.1} {:<38} {against}", r.name, r.value, r.unit);
    }
    Ok(())
}

fn push<'a>(engine: &Engine, digest: &str, batches: impl Iterator<Item = &'a [AuditEvent]>) -> Result<(), Failure> {
    let mut shard = Shard::new(engine, digest);
    let mut outcome = Outcome::default();
    for batch in batches {
        shard.push(engine, batch, &[], &mut outcome)?;
    }
    Ok(shard.close_all(engine, &mut outcome)?)
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target")
}

/// Peak resident set in MiB, events and seconds of `leadsman score` over a file of some simulated days.
fn score_file(days: u32) -> Result<(f64, f64, f64), Failure> {
    let data = target().join(format!("bench/days-{days}"));
    let binary = env!("CARGO_BIN_EXE_leadsman");
    if !data.join("audit.jsonl.zst").exists() {
        let days = days.to_string();
        let args = ["datasets", "generate", "--no-metrics", "--progress", "none", "--days", &days, "--out"];
        let made = Command::new(binary).args(args).arg(&data).stdout(Stdio::null()).status()?;
        if !made.success() {
            return Err("datasets generate failed".into());
        }
    }
    let begun = std::time::Instant::now();
    let args = ["score", "--model", "builtin:demo", "--json", "--progress", "none"];
    let child = Command::new(binary).args(args).arg(&data).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    // The peak only grows, so the last value read before the end is the peak up to then.
    let watcher = std::thread::spawn(move || {
        let mut peak = 0.0f64;
        while let Ok(text) = std::fs::read_to_string(&status) {
            let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
            match line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<f64>().ok()) {
                Some(kib) => peak = peak.max(kib / 1024.0),
                None => break,
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        peak
    });
    let output = child.wait_with_output()?;
    let seconds = begun.elapsed().as_secs_f64();
    let peak = watcher.join().map_err(|_| "the watcher panicked")?;
    let document: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    Ok((peak, document["events"].as_f64().ok_or("no events")?, seconds))
}
