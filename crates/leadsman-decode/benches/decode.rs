//! `just bench decode`: the envelope readers against the fastest JSON parsers, on one core.
//!
//! Every reader takes the same 20 fields of the same events and checks and unescapes what it takes; the sum of their
//! lengths must be the same, or it is not the same job. Readers are interleaved, repetition by repetition; time is CPU
//! time of the thread, the first repetition is dropped and the median counts. simdjson runs in a process of its own
//! that is driven the same way. Results go to `target/bench/decode.json` and, as a table, to stdout.
//!
//! Events come from the bench kit (see `events`), simdjson from the source package of pysimdjson and stays in `target/bench/simdjson`.

mod events;
mod peers;
#[path = "../../../tests/bench/report.rs"]
mod report;

use cpu_time::ThreadTime;
use std::hint::black_box;

use leadsman_decode::Envelope;
use leadsman_decode::envelope::Kernel;
use peers::{Event, Simdjson};
use report::{Failure, Row, median};

const EVENTS: usize = 200_000;
const REPETITIONS: usize = 7;
const SIZES: [usize; 5] = [2_000, 6_000, 20_000, 60_000, EVENTS];
const RATE: &str = "events/s/core, more is better";

/// Reads events and returns the sum of what it took.
type Read<'a> = Box<dyn FnMut(&[&[u8]]) -> Result<u64, Failure> + 'a>;

/// One way to read events.
struct Mode<'a> {
    name: String,
    read: Read<'a>,
    /// Nanoseconds per event, one per repetition.
    times: Vec<f64>,
}

impl<'a> Mode<'a> {
    fn new(name: impl Into<String>, mut read: impl FnMut(&[u8]) -> Result<u64, Failure> + 'a) -> Self {
        let read = move |events: &[&[u8]]| events.iter().map(|event| read(event)).sum();
        Self { name: name.into(), read: Box::new(read), times: Vec::new() }
    }
}

fn main() -> Result<(), Failure> {
    let out = report::scratch()?;
    let file = events::file(&out, EVENTS)?;
    let bytes = std::fs::read(&file)?;
    let events = events::of(&bytes, &file, EVENTS)?;

    let mut simdjson = Simdjson::start(&out.join("simdjson"), &file)
        .inspect_err(|e| say(&format!("!! simdjson is SKIPPED, nothing is claimed against it: {e}")))
        .ok();
    let mut modes = modes();
    let mut simdjson_times = Vec::new();
    let mut copy = vec![0; bytes.len()];
    let mut copy_times = Vec::new();
    for repetition in 0..=REPETITIONS {
        let mut sums = Vec::new();
        let begun = cpu_seconds();
        copy.copy_from_slice(black_box(&bytes));
        black_box(&copy);
        copy_times.push(per_event(begun));
        for mode in &mut modes {
            let begun = cpu_seconds();
            sums.push((mode.name.clone(), (mode.read)(&events)?));
            mode.times.push(per_event(begun));
        }
        if let Some(peer) = &mut simdjson {
            let (seconds, sum) = peer.read(EVENTS)?;
            sums.push((peer.version.clone(), sum));
            simdjson_times.push(seconds * 1e9 / EVENTS as f64);
        }
        if let Some((name, sum)) = sums.iter().find(|(_, sum)| *sum != sums[0].1) {
            return Err(format!("not the same job: {name} took {sum}, {} took {}", sums[0].0, sums[0].1).into());
        }
        if repetition == 0 {
            modes.iter_mut().for_each(|mode| mode.times.clear());
            simdjson_times.clear();
            copy_times.clear();
        }
    }

    let mut results: Vec<(String, Vec<f64>)> = modes.iter().map(|m| (m.name.clone(), m.times.clone())).collect();
    if let Some(peer) = &simdjson {
        results.push((peer.version.clone(), simdjson_times));
    }
    results.push(("memcpy".to_owned(), copy_times));
    print(&results, bytes.len());
    report::write("decode", &rows(&results, &curve(&mut modes[0], &events)?))
}

/// Ours first, the fastest of ours before all.
fn modes<'a>() -> Vec<Mode<'a>> {
    let mut modes: Vec<Mode<'a>> = Vec::new();
    for kernel in Kernel::all() {
        let mut room = Vec::new();
        modes.push(Mode::new(format!("envelope, {}", kernel.name()), move |event| {
            events::read(kernel, event, &mut room)
        }));
    }
    let mut room = Vec::new();
    modes.push(Mode::new("envelope, plain", move |event| {
        let envelope = Envelope::plain(std::str::from_utf8(event)?)?;
        events::weight(&envelope, &mut room).ok_or_else(|| "a text is none".into())
    }));
    modes.push(Mode::new("sonic-rs struct", |event| Ok(sonic_rs::from_slice::<Event<'_>>(event)?.weight())));
    modes.push(Mode::new("serde_json struct", |event| Ok(serde_json::from_slice::<Event<'_>>(event)?.weight())));
    modes
}

/// Nanoseconds per byte of the first n events, for each n of `SIZES`; each reads about as much in all.
fn curve(mode: &mut Mode<'_>, events: &[&[u8]]) -> Result<Vec<(usize, f64)>, Failure> {
    let mut points = Vec::new();
    for size in SIZES {
        let part = &events[..size];
        let bytes: usize = part.iter().map(|event| event.len() + 1).sum();
        let rounds = EVENTS / size;
        let mut times = Vec::new();
        for _ in 0..3 {
            let begun = cpu_seconds();
            for _ in 0..rounds {
                black_box((mode.read)(part)?);
            }
            times.push((cpu_seconds() - begun) * 1e9 / (bytes * rounds) as f64);
        }
        points.push((size, median(times)));
    }
    Ok(points)
}

fn rows(results: &[(String, Vec<f64>)], curve: &[(usize, f64)]) -> Vec<Row> {
    let mut rows = Vec::new();
    let (peers, ours): (Vec<_>, Vec<_>) = results.iter().partition(|(name, _)| !name.starts_with("envelope"));
    for (name, times) in ours {
        for (peer, peer_times) in &peers {
            let (value, peer_value) = (1e9 / median(times.clone()), 1e9 / median(peer_times.clone()));
            rows.push(Row::beside(name.clone(), value, RATE, peer.clone(), peer_value));
        }
    }
    if let Some((_, largest)) = curve.last() {
        let all = format!("envelope, all {EVENTS} events");
        rows.extend(curve.iter().map(|(size, cost)| {
            Row::beside(format!("envelope, first {size} events"), *cost, "ns/byte, flat is linear", &*all, *largest)
        }));
    }
    rows
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its table")]
fn print(results: &[(String, Vec<f64>)], bytes: usize) {
    println!("{EVENTS} events, mean {} bytes; vector instructions of this build: {}", bytes / EVENTS, built_for());
    println!("{:<34} {:>9} {:>7} {:>7} {:>7}", "reader", "ns/event", "min", "max", "GB/s");
    for (name, times) in results {
        let (low, high) = times.iter().fold((f64::MAX, 0.0f64), |(low, high), t| (low.min(*t), high.max(*t)));
        let middle = median(times.clone());
        let rate = bytes as f64 / EVENTS as f64 / middle;
        println!("{name:<34} {middle:>9.0} {low:>7.0} {high:>7.0} {rate:>7.2}");
    }
    println!();
}

#[expect(clippy::print_stderr, reason = "what is skipped must be seen")]
fn say(text: &str) {
    eprintln!("{text}");
}

/// sonic-rs and serde_json are compiled for one instruction set; our readers and simdjson ask the CPU.
fn built_for() -> &'static str {
    if cfg!(target_feature = "avx512bw") {
        "AVX-512"
    } else if cfg!(target_feature = "avx2") {
        "AVX2"
    } else {
        "the least of the platform: sonic-rs is not at its best"
    }
}

fn cpu_seconds() -> f64 {
    ThreadTime::now().as_duration().as_secs_f64()
}

fn per_event(begun: f64) -> f64 {
    (cpu_seconds() - begun) * 1e9 / EVENTS as f64
}
