//! `just bench decode`: the envelope reader beside simdjson, sonic-rs and `serde_json`.
//!
//! 200,000 synthetic audit events, twenty fields of each, one core, CPU time of the thread. All take turns, repetition
//! by repetition; the first is dropped and the median counts. Everybody must come to the same checksum: the sum of
//! the lengths, counts and numbers read. Then the growth with the size of an event.
//!
//! The strings of most events hold escapes. "unescaped" is the same work for all; "spans" leaves them as they stand,
//! which is what our decoder does until a field is used, beside simdjson's raw tokens.

mod peers;
#[path = "../../../../tests/bench/report.rs"]
mod report;

use std::hint::black_box;

use cpu_time::ThreadTime;
use leadsman_decode::{Envelope, Limits, Value};

use peers::{Events, Simdjson};
use report::{Failure, Row, median};

const REPETITIONS: usize = 7;
const UNIT: &str = "ns/event, less is better";

fn main() -> Result<(), Failure> {
    let build = if cfg!(target_feature = "avx2") { "with" } else { "WITHOUT, which slows sonic-rs down," };
    eprintln!("built {build} the vectors of this processor (-C target-cpu=native, as `just bench decode` does)");
    let mut rows = Vec::new();
    match Events::generate()? {
        Some(events) => compare(&events, &mut rows)?,
        None => eprintln!("SKIPPED: the comparison, because the events cannot be generated"),
    }
    growth(&mut rows)?;
    report::write("decode", &rows)
}

/// The twenty fields; `length` says what a string counts.
fn ours(event: &[u8], length: impl Fn(Value<'_>) -> usize) -> Option<usize> {
    let e = Envelope::read(event, &Limits::default())?;
    let code = match e.code {
        Value::Other(number) => number.parse().ok()?,
        Value::Absent | Value::Text(_) | Value::Escaped(_) => 0,
    };
    let texts = [
        e.audit_id,
        e.level,
        e.stage,
        e.verb,
        e.request_uri,
        e.user_agent,
        e.received,
        e.stage_time,
        e.username,
        e.uid,
        e.resource,
        e.namespace,
        e.name,
        e.api_group,
        e.subresource,
        e.decision,
        e.reason,
    ];
    Some(e.groups + e.source_ips + code + texts.into_iter().map(length).sum::<usize>())
}

fn span(value: Value<'_>) -> usize {
    match value {
        Value::Absent => 0,
        Value::Text(text) | Value::Other(text) => text.len(),
        Value::Escaped(quoted) => quoted.len() - 2,
    }
}

fn unescaped(value: Value<'_>) -> usize {
    match value {
        Value::Absent | Value::Other(_) => 0,
        Value::Text(text) => text.len(),
        Value::Escaped(_) => value.text().map_or(0, |text| text.len()),
    }
}

/// Who takes a turn; the checksums of one column must be equal.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Turn {
    Spans,
    Unescaped,
    SimdjsonRaw,
    SimdjsonText,
    Sonic,
    Serde,
    Memcpy,
}

impl Turn {
    const ALL: [Self; 7] =
        [Self::Spans, Self::SimdjsonText, Self::Unescaped, Self::SimdjsonRaw, Self::Sonic, Self::Serde, Self::Memcpy];

    const fn name(self) -> &'static str {
        match self {
            Self::Spans => "envelope reader, spans",
            Self::Unescaped => "envelope reader, unescaped",
            Self::SimdjsonRaw => "simdjson 3.12 on-demand, raw tokens",
            Self::SimdjsonText => "simdjson 3.12 on-demand",
            Self::Sonic => "sonic-rs into a struct",
            Self::Serde => "serde_json into a struct",
            Self::Memcpy => "memcpy",
        }
    }

    const fn keeps_escapes(self) -> bool {
        matches!(self, Self::Spans | Self::SimdjsonRaw)
    }
}

fn compare(events: &Events, rows: &mut Vec<Row>) -> Result<(), Failure> {
    let lines: Vec<&[u8]> = events.lines();
    let mut simdjson = Simdjson::start(events)?;
    let mut copy = vec![0; events.bytes.len()];
    let mut figures = Turn::ALL.map(|turn| (turn, Vec::new()));
    for repetition in 0..=REPETITIONS {
        let mut sums = Vec::new();
        for (turn, all) in &mut figures {
            let (seconds, sum) = match turn {
                Turn::Spans => timed(&lines, |line| ours(line, span))?,
                Turn::Unescaped => timed(&lines, |line| ours(line, unescaped))?,
                Turn::Sonic => timed(&lines, peers::sonic)?,
                Turn::Serde => timed(&lines, peers::serde)?,
                Turn::SimdjsonRaw | Turn::SimdjsonText => match &mut simdjson {
                    Some(peer) => peer.ask(if turn.keeps_escapes() { "raw" } else { "text" })?,
                    None => continue,
                },
                Turn::Memcpy => {
                    let begun = ThreadTime::now();
                    copy.copy_from_slice(black_box(&events.bytes));
                    black_box(&mut copy);
                    all.extend((repetition > 0).then(|| begun.elapsed().as_secs_f64()));
                    continue;
                }
            };
            all.extend((repetition > 0).then_some(seconds));
            sums.push((*turn, sum));
        }
        for (turn, sum) in &sums {
            let first = sums.iter().find(|(other, _)| other.keeps_escapes() == turn.keeps_escapes());
            if first.is_some_and(|(_, first)| first != sum) {
                return Err(format!("not the same work: {} sums to {sum}: {sums:?}", turn.name()).into());
            }
        }
    }
    let figures: Vec<(Turn, f64)> = figures
        .into_iter()
        .filter(|(_, all)| !all.is_empty())
        .map(|(turn, all)| (turn, median(all) / lines.len() as f64 * 1e9))
        .collect();
    for (turn, value) in &figures {
        rows.push(Row::alone(turn.name(), *value, UNIT));
    }
    for ours in [Turn::Spans, Turn::Unescaped] {
        for (peer, theirs) in figures.iter().filter(|(peer, _)| !matches!(peer, Turn::Spans | Turn::Unescaped)) {
            let value = figures.iter().find(|(turn, _)| *turn == ours).map_or(f64::NAN, |(_, value)| *value);
            let rate = |ns: f64| 1e9 / ns;
            rows.push(Row::beside(ours.name(), rate(value), "events/s, more is better", peer.name(), rate(*theirs)));
        }
    }
    Ok(())
}

/// CPU seconds and checksum of one pass.
fn timed(lines: &[&[u8]], read: impl Fn(&[u8]) -> Option<usize>) -> Result<(f64, usize), Failure> {
    let begun = ThreadTime::now();
    let mut sum = 0;
    for line in lines {
        sum += read(black_box(line)).ok_or("an event that is not read")?;
    }
    Ok((begun.elapsed().as_secs_f64(), black_box(sum)))
}

/// Cost per byte of one event with ever larger bodies, over four decades.
fn growth(rows: &mut Vec<Row>) -> Result<(), Failure> {
    const TOTAL: usize = 100_000_000;
    let mut first = None;
    for size in [1_000, 10_000, 100_000, 1_000_000, 10_000_000] {
        let event = peers::event_of(size);
        let times = TOTAL / event.len();
        let lines = vec![event.as_bytes(); times];
        let costs: Result<Vec<f64>, Failure> = (0..5).map(|_| Ok(timed(&lines, |line| ours(line, span))?.0)).collect();
        let cost = median(costs?) / (times * event.len()) as f64 * 1e9;
        let name = format!("envelope reader, one event of {} bytes", event.len());
        rows.push(Row::beside(name, cost, "ns/byte, flat is linear", "the first point", *first.get_or_insert(cost)));
    }
    Ok(())
}
