//! `just bench stream`: the service between a real broker and a real store, beside what bounds it in the same run.
//!
//! - Kafka: a bare consumer with our settings that polls and drops, then the service, over the same topic, one event a
//!   record and twenty. The scoring path keeps its store in memory (`/dev/shm`) and no lake; the full path keeps SQLite
//!   and the lake on the disk.
//! - Between the two, what reading as the service does and decoding leave of the bare consumer's rate by themselves.
//! - A dense log: the same events within three hours, as a fleet writes them. A log of a small cluster that is read as a
//!   backlog makes many small files of the lake, a large cluster does not.
//! - A large log: the dense one with response bodies, so that an event is about as large as those that the targets were set for.
//! - Workers: one, two and three processes on one PostgreSQL, with what the processes and the broker had of the cores.
//! - Webhook: batches of 400 events posted by several clients to a sink that answers 200 and keeps nothing, to one that
//!   writes each body and waits for the disk, then to the service, which does that, too, and scores meanwhile.
//!
//! - Soak (`just soak MINUTES`, never by itself): memory over time at half as much again as the rated load.
//!
//! `LEADSMAN_BIN` names a release build, `LEADSMAN_BENCH_EVENTS` the number of events (default 1,000,000). Arguments
//! choose parts, as in `just bench stream dense workers`: see [`PARTS`].
//! Results go to `target/bench/stream.json` and, as a table, to stdout. Nothing else may run.

#![allow(dead_code, reason = "the support code is shared with the end-to-end tests, which use the rest of it")]

mod floor;
mod kafka;
mod log;
#[path = "../report.rs"]
mod report;
mod soak;
#[path = "../../support/mod.rs"]
mod support;
mod webhook;

use std::time::Duration;

use log::{Kind, Log};
use report::Row;
use support::environment;

/// Part of the bare consumer's rate that the service must reach, and the memory it may take. Source: the requirements.
const SCORING: f64 = 0.85;
const FULL: f64 = 0.5;
const WEBHOOK: f64 = 0.5;
const MEMORY_LIMIT_MIB: f64 = 256.0;
/// What can be asked for by name.
const PARTS: [&str; 6] = ["single", "batched", "dense", "large", "workers", "webhook"];
/// How long the dense log lasts.
const DENSE: Duration = Duration::from_secs(3 * 3600);

/// The log of a small cluster, one event a record.
const SINGLE: Kind = Kind { batched: 1, within: None, bodies: false };

fn main() -> support::Result<()> {
    let events = environment("LEADSMAN_BENCH_EVENTS").map_or(Ok(1_000_000), |n| n.parse::<usize>())?;
    // Cargo adds an option that says what it knows already.
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let Some(unknown) = chosen.iter().find(|part| !PARTS.contains(&part.as_str())) {
        return Err(format!("{unknown} is none of {}", PARTS.join(", ")).into());
    }
    if let Some(minutes) = environment("LEADSMAN_SOAK_MINUTES") {
        let rows = soak::rows(minutes.parse()?)?;
        support::broker::stop_shared();
        return Ok(report::write("soak", &rows).map_err(|e| e.to_string())?);
    }
    let is_chosen = |part: &str| chosen.is_empty() || chosen.iter().any(|chosen| chosen == part);
    let mut rows = Vec::new();
    let dense = Kind { within: Some(DENSE), ..SINGLE };
    for (part, form, kind) in [
        ("single", "one event a record", SINGLE),
        ("batched", "twenty events a record", Kind { batched: 20, ..SINGLE }),
        ("dense", "dense log", dense),
        ("large", "large log", Kind { bodies: true, ..dense }),
    ] {
        if is_chosen(part) {
            rows.extend(paths(form, &Log::produce(&format!("bench.{part}"), events, kind)?)?);
        }
    }
    if is_chosen("workers") {
        rows.extend(workers(3 * events)?);
    }
    if is_chosen("webhook") {
        rows.extend(webhook::rows(WEBHOOK)?);
    }
    support::broker::stop_shared();
    support::postgres::stop_shared();
    report::write("stream", &rows).map_err(|e| e.to_string())?;
    Ok(())
}

fn workers(events: usize) -> support::Result<Vec<Row>> {
    let log = Log::produce("bench.workers", events, SINGLE)?;
    let mut rows = Vec::new();
    for workers in 1..=3 {
        let measured = kafka::workers(&log, workers)?;
        let name = format!("{workers} workers on PostgreSQL, events/s");
        rows.push(Row::alone(name, measured.rate, "events/s, more is better"));
        for (whose, cores) in ["service", "broker", "database"].into_iter().zip(measured.cores) {
            rows.push(Row::alone(format!("{workers} workers: cores of the {whose}"), cores, "cores"));
        }
    }
    Ok(rows)
}

fn paths(form: &str, log: &Log) -> support::Result<Vec<Row>> {
    let bare = kafka::bare(log)?;
    let mut rows = vec![
        Row::alone(format!("{form}: an event"), log.bytes as f64 / log.events as f64, "bytes in the mean"),
        Row::alone(format!("{form}: poll and drop"), bare, "events/s, more is better"),
    ];
    for (name, decoding) in [("read as the service reads", false), ("read and decoded, and no more", true)] {
        let rate = floor::rate(log, decoding)?;
        let name = format!("{form}: {name}");
        rows.push(Row::beside(name, rate, "events/s, more is better", "poll and drop", bare));
    }
    for (name, full, limit) in [("scoring path", false, SCORING), ("with store and lake on the disk", true, FULL)] {
        let measured = kafka::service(log, full)?;
        let label = format!("poll and drop, limit {limit}");
        rows.push(Row::beside(format!("{form}: {name}"), measured.rate, "events/s, more is better", label, bare));
        rows.push(Row::alone(format!("{form}: {name}, slowest tenth"), measured.slowest, "events/s, more is better"));
        rows.push(Row::beside(
            format!("{form}: {name}, peak memory"),
            measured.peak_mib,
            "MiB, less is better",
            "the limit",
            MEMORY_LIMIT_MIB,
        ));
        rows.push(Row::alone(format!("{form}: {name}, cores of the service"), measured.cores[0], "cores"));
        rows.push(Row::alone(format!("{form}: {name}, cores of the broker"), measured.cores[1], "cores"));
    }
    Ok(rows)
}
