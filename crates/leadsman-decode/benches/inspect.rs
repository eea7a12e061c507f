//! `just bench inspect`: `leadsman datasets inspect` over a log of more than a gigabyte, beside the fast reader of
//! `just bench decode`.
//!
//! The reader has the same log in memory and uses one core. The command opens the file, reads it through the page
//! cache, decodes and counts every event, and uses two threads. Both are interleaved, repetition by repetition; the
//! first one is dropped and the median counts. For the command the time is that on the clock, from its start to its
//! end, so nothing else may run; its CPU time stands beside it. Results go to `target/bench/inspect.json` and, as a
//! table, to stdout.
//!
//! `LEADSMAN_BIN` names the binary. Events come from the bench kit (see `events`).

#[path = "../../../tests/bench/child.rs"]
mod child;
mod events;
#[path = "../../../tests/bench/report.rs"]
mod report;

use std::process::Command;

use cpu_time::ThreadTime;
use leadsman_decode::envelope::Kernel;
use report::{Failure, Row, median};

/// More than a gigabyte.
const EVENTS: usize = 500_000;
const REPETITIONS: usize = 7;
/// Part of the reader's rate that the command must reach, and what it may have resident. Source: the requirements.
const RATE_LIMIT: f64 = 0.8;
const MEMORY_LIMIT_MIB: f64 = 256.0;
const RATE: &str = "GB/s, more is better";

#[expect(clippy::disallowed_methods, reason = "a benchmark is its own main")]
fn main() -> Result<(), Failure> {
    let binary = std::env::var("LEADSMAN_BIN").map_err(|_| "set LEADSMAN_BIN to a release build of leadsman")?;
    let file = events::file(&report::scratch()?, EVENTS)?;
    let bytes = std::fs::read(&file)?;
    let events = events::of(&bytes, &file, EVENTS)?;
    let (kernel, mut room) = (Kernel::best(), Vec::new());
    let (mut reader, mut wall, mut cpu, mut peak) = (Vec::new(), Vec::new(), Vec::new(), 0.0f64);
    for repetition in 0..=REPETITIONS {
        let begun = ThreadTime::now();
        for event in &events {
            std::hint::black_box(events::read(kernel, event, &mut room)?);
        }
        let read = begun.elapsed().as_secs_f64();
        let arguments = ["datasets", "inspect", "--json", "--progress", "none"];
        let measured = child::measure(Command::new(&binary).args(arguments).arg(&file))?;
        let inspection: serde_json::Value = serde_json::from_slice(&measured.stdout)?;
        if inspection["events"] != EVENTS {
            return Err(format!("not the same job: {} of {EVENTS} events were seen", inspection["events"]).into());
        }
        if repetition > 0 {
            reader.push(read);
            wall.push(measured.seconds);
            cpu.push(measured.cpu);
            peak = peak.max(measured.peak);
        }
    }
    let rate = |seconds: Vec<f64>| bytes.len() as f64 / median(seconds) / 1e9;
    let (reader, wall, cpu) = (rate(reader), rate(wall), rate(cpu));
    let peer = format!("envelope, {}, one core", kernel.name());
    report::write(
        "inspect",
        &[
            Row::beside("datasets inspect, on the clock", wall, RATE, &*peer, reader),
            Row::beside("datasets inspect, by CPU time of both threads", cpu, RATE, &*peer, reader),
            Row::beside("part of the reader's rate", wall / reader, "more is better", "limit", RATE_LIMIT),
            Row::beside("peak resident set", peak, "MiB, less is better", "limit", MEMORY_LIMIT_MIB),
        ],
    )
}
