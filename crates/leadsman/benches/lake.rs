//! `just bench lake`: what an event costs in the lake, in bytes and in time.
//!
//! Rates are events per second of CPU time of this process, so they are per core; the median counts. Results go to
//! `target/bench/lake.json` and, as a table, to stdout.

#[path = "../../../tests/bench/report.rs"]
mod report;

use std::io::Write;

use cpu_time::ProcessTime;
use leadsman::lake::{Access, Filter, Lake, Roll};
use leadsman::model;
use leadsman::pipeline::{Outcome, Shard};
use leadsman_decode::{DecodeContext, Limits};
use leadsman_detect::rules::RuleSet;
use leadsman_domain::{AuditEvent, PayloadKind, RawRecord, SourceId, Span, Timestamp};
use leadsman_engine::{Engine, EngineSettings, Polarity};
use leadsman_features::{LogPlace, ScoredEvent};
use leadsman_sim::{Payload, SimConfig, Simulation};
use report::{Failure, Row, median};

const REPETITIONS: usize = 5;
const EVENTS: usize = 200_000;
/// Events of a small roll: some half a minute of a busy cluster.
const SMALL: usize = 2_000;
const SOURCE: &str = "kafka:leadsman.audit";

fn main() -> Result<(), Failure> {
    let model = model::demo()?;
    let rules = RuleSet::shipped()?;
    let settings =
        EngineSettings { cluster: "bench".to_owned(), budget_per_day: 1.0, polarity: Polarity::Normal, rules };
    let engine = Engine::new(model.fitted.clone(), model.reference(), settings);
    let context = DecodeContext { cluster: "bench".to_owned(), rules: model.fitted.rules.clone(), redaction_key: None };
    let simulation = Simulation::new(&SimConfig { from_day: 28, days: 14, ..SimConfig::default() })?;
    let lines: Vec<Vec<u8>> = simulation
        .filter_map(|record| match record.payload {
            Payload::Audit(line) => Some(line),
            Payload::Metric(_) => None,
        })
        .take(EVENTS)
        .collect();
    let received_at = Timestamp::from_micros(i64::MAX / 2);
    let decode = |bytes: &Vec<u8>| {
        let record = RawRecord { offset: 0, received_at, kind: PayloadKind::K8sAudit, bytes: bytes.clone().into() };
        leadsman_decode::record(&context, &Limits::default(), &record).events
    };
    let events: Vec<AuditEvent> = lines.iter().flat_map(decode).collect();
    let mut shard = Shard::new(&engine, &model.manifest.weights_digest);
    let surprises = shard.push_scored(&engine, &events, &[], &mut Outcome::default())?;
    let place = |offset| LogPlace { source: SOURCE.into(), partition: 0, offset, item: 0 };
    let rows: Vec<ScoredEvent> = (0..)
        .zip(events.iter().zip(surprises))
        .map(|(offset, (event, surprise))| ScoredEvent { place: place(offset), event: event.clone(), surprise })
        .collect();

    let mut rates: [Vec<f64>; 4] = Default::default();
    let mut sizes = [0; 3];
    for repetition in 0..=REPETITIONS {
        let (large_in, small_in) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let open =
            |directory: &tempfile::TempDir| Lake::open(&directory.path().display().to_string(), &Access::default());
        let (large, small) = (open(&large_in)?, open(&small_in)?);
        let one = rate(|| write(&large, &rows, EVENTS))?;
        let many = rate(|| write(&small, &rows, SMALL))?;
        sizes[0] = large.contents(&Filter::default())?.bytes();
        sizes[1] = small.contents(&Filter::default())?.bytes();
        let read = rate(|| read(&large))?;
        let merged = rate(|| {
            let done = small.compact(&Filter::default(), received_at, |_, _| {})?;
            if done.written > 0 { Ok(()) } else { Err("nothing was merged".into()) }
        })?;
        sizes[2] = small.contents(&Filter::default())?.bytes();
        // The first repetition warms caches and is dropped.
        if repetition > 0 {
            for (all, one) in rates.iter_mut().zip([one, many, read, merged]) {
                all.push(one);
            }
        }
    }
    let [one, many, read, merged] = rates.map(median);
    const RATE: &str = "events/s/core, more is better";
    const SIZE: &str = "bytes an event, less is better";
    let gzip = compressed(&lines)? as f64 / EVENTS as f64;
    let size = |name: &str, bytes: u64| Row::beside(name, bytes as f64 / EVENTS as f64, SIZE, "the log in gzip", gzip);
    let rows = [
        Row::alone("write a roll of 200,000 events", one, RATE),
        Row::alone("write rolls of 2,000 events", many, RATE),
        Row::alone("read", read, RATE),
        Row::alone("compact rolls of 2,000 events", merged, RATE),
        size("a roll of 200,000 events", sizes[0]),
        size("rolls of 2,000 events", sizes[1]),
        size("the same, compacted", sizes[2]),
        Row::alone("the log in gzip", gzip, SIZE),
        Row::alone("the log", lines.iter().map(Vec::len).sum::<usize>() as f64 / EVENTS as f64, SIZE),
    ];
    report::write("lake", &rows)
}

fn write(lake: &Lake, rows: &[ScoredEvent], of: usize) -> Result<(), Failure> {
    for (from, part) in (0..).step_by(of).zip(rows.chunks(of)) {
        let span = Span { source: SourceId::new(SOURCE), partition: 0, from, to: from + part.len() as u64 };
        lake.write_roll("bench", &span, Roll { events: part.to_vec(), ..Roll::default() })?;
    }
    Ok(())
}

fn read(lake: &Lake) -> Result<(), Failure> {
    let filter = Filter::default();
    let mut reader = lake.read(&lake.contents(&filter)?, &filter)?;
    let mut count = 0;
    while let Some(chunk) = reader.next_chunk(2_000)? {
        count += chunk.events.len();
    }
    if count == EVENTS { Ok(()) } else { Err(format!("{count} events were read").into()) }
}

fn compressed(lines: &[Vec<u8>]) -> Result<usize, Failure> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    for line in lines {
        gzip.write_all(line)?;
        gzip.write_all(b"\n")?;
    }
    Ok(gzip.finish()?.len())
}

/// Events a second of CPU time.
fn rate(work: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let begun = ProcessTime::now();
    work()?;
    Ok(EVENTS as f64 / begun.elapsed().as_secs_f64())
}
