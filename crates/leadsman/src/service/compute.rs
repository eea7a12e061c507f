//! From the records of a batch to what has to be stored: no store, no clock, one partition's state.

use std::iter::repeat_n;

use anyhow::Result;
use leadsman_decode::{BatchDecoder, DecodeMemo};
use leadsman_domain::{DeadLetter, Finding, RawRecord, SourceId};

use super::Service;
use super::roll::{PartitionRoll, Placed};
use crate::account::Account;
use crate::pipeline::{Outcome, Shard};

/// What one batch came to.
pub(super) struct Computed {
    pub(super) shard: Shard,
    pub(super) roll: Option<PartitionRoll>,
    pub(super) findings: Vec<Finding>,
    pub(super) dead_letters: Vec<DeadLetter>,
    pub(super) snapshot: Option<Vec<u8>>,
    pub(super) account: Account,
    pub(super) late: u64,
    pub(super) duplicates: u64,
}

/// What is asked of one computation.
pub(super) struct Work {
    pub(super) source: SourceId,
    pub(super) number: i32,
    /// First offset that the state has not seen.
    pub(super) seen: u64,
    /// First offset whose outcome is not stored.
    pub(super) stored: u64,
    /// The source fell idle: close what is open.
    pub(super) idle: bool,
    /// A snapshot is due.
    pub(super) due: bool,
    /// What the lake gets.
    pub(super) roll: Option<PartitionRoll>,
}

/// Decodes and scores a batch. Blocks.
///
/// Errors: when the lake cannot be written or the pipeline breaks.
pub(super) fn compute(service: &Service, mut shard: Shard, records: &[RawRecord], mut work: Work) -> Result<Computed> {
    let engine = &service.scope(&work.source).engine;
    let below = |offset: u64| records.partition_point(|r| r.offset < offset);
    // What lies below the stored offset was committed before: it only rebuilds state, and what the lake still lacks.
    let (seen, stored) = (below(work.seen), below(work.stored.max(work.seen)));
    let mut outcome = Outcome::default();
    let replayed = decode(service, &records[seen..stored], &work, &mut shard.decoded);
    let surprises = shard.push_scored(engine, &replayed.rows.events, &replayed.rows.samples, &mut outcome)?;
    if let Some(roll) = &mut work.roll {
        roll.push(replayed.rows, surprises)?;
    }
    let before = shard.state.counts;
    let mut outcome = Outcome::default();
    let batch = decode(service, &records[stored..], &work, &mut shard.decoded);
    let surprises = shard.push_scored(engine, &batch.rows.events, &batch.rows.samples, &mut outcome)?;
    if let Some(roll) = &mut work.roll {
        roll.push(batch.rows, surprises)?;
    }
    if work.idle {
        shard.close_all(engine, &mut outcome)?;
    }
    // Closing on idleness is no part of the log, so it must be part of the snapshot.
    let snapshot = if work.idle || (work.due && stored < records.len()) { Some(shard.to_bytes()?) } else { None };
    let after = shard.state.counts;
    Ok(Computed {
        late: (after.late + after.late_samples) - (before.late + before.late_samples),
        duplicates: after.duplicates - before.duplicates,
        shard,
        roll: work.roll,
        findings: outcome.findings.into_values().collect(),
        dead_letters: batch.dead_letters,
        snapshot,
        account: batch.account,
    })
}

/// What several records held.
struct Batch {
    rows: Placed,
    dead_letters: Vec<DeadLetter>,
    account: Account,
}

fn decode(service: &Service, records: &[RawRecord], work: &Work, memo: &mut DecodeMemo) -> Batch {
    let context = &service.scope(&work.source).context;
    let mut decoder = BatchDecoder::new(context, &service.limits, std::mem::take(memo));
    decoder.reserve(records.len());
    let (mut rows, mut refused) = (Placed::default(), Vec::new());
    for record in records {
        let found = decoder.push(record);
        rows.event_offsets.extend(repeat_n(record.offset, found.events));
        rows.sample_offsets.extend(repeat_n(record.offset, found.samples));
        refused.extend(repeat_n(record.offset, found.rejects));
    }
    let decoded;
    (decoded, *memo) = decoder.finish();
    let mut account = Account::default();
    account.add(&decoded);
    (rows.events, rows.samples) = (decoded.events, decoded.samples);
    let dead_letters = refused.into_iter().zip(decoded.rejects).map(|(offset, reject)| {
        let (source, partition) = (work.source.clone(), work.number);
        DeadLetter { source, partition, offset, reject }
    });
    Batch { rows, dead_letters: dead_letters.collect(), account }
}
