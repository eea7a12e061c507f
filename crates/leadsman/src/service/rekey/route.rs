//! From a record of an input topic to records of the events topic: one for each item, keyed by who did it.

use leadsman_decode::{DecodeContext, Limits, canonical};
use leadsman_domain::{DeadLetter, Decoded, Finding, RawBatch, RawRecord, SourceId, Timestamp, Untrusted};
use leadsman_kafka::Outgoing;

use super::merge::Timed;
use crate::account::Account;

/// What one record of the input became, or that records are gone.
#[derive(Debug)]
pub struct Piece {
    /// When its first item happened.
    time: Timestamp,
    /// Offset of the record.
    pub offset: u64,
    /// Where the next record may stand.
    pub next: u64,
    /// Its bytes, as they came.
    pub size: usize,
    /// When it was received.
    pub received_at: Timestamp,
    /// An item each.
    pub records: Vec<Outgoing>,
    /// What was refused.
    pub dead_letters: Vec<DeadLetter>,
    /// What became of its items.
    pub account: Account,
    /// What is told of records that were deleted before they were read.
    pub gap: Option<Finding>,
}

impl Piece {
    /// The records before offset `next` are gone, as was `noticed`.
    #[must_use]
    pub fn gap(finding: Finding, next: u64, noticed: Timestamp) -> Self {
        Self {
            time: Timestamp::default(),
            offset: next,
            next,
            size: 0,
            received_at: noticed,
            records: Vec::new(),
            dead_letters: Vec::new(),
            account: Account::default(),
            gap: Some(finding),
        }
    }
}

impl Timed for Piece {
    fn time(&self) -> Timestamp {
        self.time
    }
}

/// Decodes the records of a batch from offset `from` on. Dead letters are those of `source`.
///
/// Errors: when an item cannot be written, which none that was decoded is.
pub fn pieces(
    context: &DecodeContext,
    limits: &Limits,
    source: &SourceId,
    batch: &RawBatch,
    from: u64,
) -> Result<Vec<Piece>, serde_json::Error> {
    let new = batch.records.iter().filter(|record| record.offset >= from);
    let mut pieces =
        new.map(|r| piece(context, limits, source, batch.span.partition, r)).collect::<Result<Vec<_>, _>>()?;
    // Offsets behind the last record may hold no record.
    if let Some(last) = pieces.last_mut() {
        last.next = batch.span.to;
    }
    Ok(pieces)
}

fn piece(
    context: &DecodeContext,
    limits: &Limits,
    source: &SourceId,
    partition: i32,
    record: &RawRecord,
) -> Result<Piece, serde_json::Error> {
    let mut decoded = leadsman_decode::record(context, limits, record);
    let mut account = Account::default();
    account.add(&decoded);
    let dead_letters = std::mem::take(&mut decoded.rejects)
        .into_iter()
        .map(|reject| DeadLetter { source: source.clone(), partition, offset: record.offset, reject })
        .collect();
    let mut lines = Vec::new();
    canonical::write(&decoded, &mut lines)?;
    // Inside of a line every line break is escaped.
    let payloads = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let key = |of: String| format!("{}\0{of}", context.cluster).into_bytes();
    let records = owners(&decoded)
        .into_iter()
        .zip(payloads)
        .map(|(owner, payload)| Outgoing {
            key: key(owner),
            payload: payload.to_vec(),
            received_at: record.received_at,
        })
        .collect();
    Ok(Piece {
        time: time(&decoded),
        offset: record.offset,
        next: record.offset.saturating_add(1),
        size: record.bytes.len(),
        received_at: record.received_at,
        records,
        dead_letters,
        account,
        gap: None,
    })
}

/// Whose state each item belongs to, in the order in which the canonical form is written.
fn owners(decoded: &Decoded) -> Vec<String> {
    let actors = decoded.events.iter().map(|event| format!("actor:{}", event.actor.name));
    let workloads = decoded.samples.iter().map(|sample| format!("workload:{}", sample.entity()));
    let runtime = decoded.runtime.iter().map(|event| pod(&event.workload.namespace, &event.workload.pod));
    let flows = decoded.flows.iter().map(|flow| pod(&flow.source.namespace, &flow.source.pod));
    actors.chain(workloads).chain(runtime).chain(flows).collect()
}

fn pod(namespace: &Option<Untrusted>, pod: &Option<Untrusted>) -> String {
    let part = |text: &Option<Untrusted>| text.as_ref().map_or("", Untrusted::raw).to_owned();
    format!("pod:{}/{}", part(namespace), part(pod))
}

/// When the first item happened. A record without any holds nothing up.
fn time(decoded: &Decoded) -> Timestamp {
    let Decoded { events, samples, runtime, flows, .. } = decoded;
    let first = [
        events.first().map(|e| e.event_time),
        samples.first().map(|s| s.event_time),
        runtime.first().map(|e| e.event_time),
        flows.first().map(|f| f.event_time),
    ];
    first.into_iter().flatten().min().unwrap_or_default()
}

/// Longest text of an item that is too large for the topic, in bytes.
const LONGEST: usize = 4 << 10;
/// How a text ends that was cut.
const CUT: &str = "[cut]";

/// The item with its long texts cut: what somebody made too large to travel is seen all the same, under its identity.
/// `None` when it has no long text.
pub fn cut(payload: &[u8]) -> Option<Vec<u8>> {
    let mut item: serde_json::Value = serde_json::from_slice(payload).ok()?;
    if shorten(&mut item) { serde_json::to_vec(&item).ok() } else { None }
}

fn shorten(value: &mut serde_json::Value) -> bool {
    match value {
        serde_json::Value::String(text) if text.len() > LONGEST => {
            text.truncate(text.floor_char_boundary(LONGEST));
            text.push_str(CUT);
            true
        }
        serde_json::Value::Array(all) => all.iter_mut().fold(false, |any, one| shorten(one) | any),
        serde_json::Value::Object(all) => all.values_mut().fold(false, |any, one| shorten(one) | any),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests;
