//! Audit ids that requests had lately.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use foldhash::quality::RandomState;
use leadsman_domain::{AuditEvent, EventId, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::requests::{MAX_REQUESTS, RETENTION};

/// Tells when a request comes under the audit id of another one.
///
/// The API server takes the id of the header `Audit-ID` where a request has one. Whoever gives theirs that of a request
/// which was logged may hope that it is taken for a repetition; here it is not ([`EventId`] covers the content), and it is
/// told. One id a request, kept as long as requests are, in eight bytes. Each partition has its own: they share nothing.
///
/// What is told depends on the order of the log and not on how it is cut: what the watermark has left behind is not
/// asked, whether it was forgotten already or not.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct AuditIds {
    /// By [`GENERATION`] of their time. Never iterated but to be sorted.
    generations: BTreeMap<i64, Generation>,
    /// How many there are in all.
    count: usize,
    /// The last day on which a collision was told: one who does so often is told once a day.
    told: Option<i64>,
    /// Not told yet.
    found: Vec<Collision>,
}

/// Its hash has another seed in each process, because clients choose the ids.
type Generation = HashSet<u64, RandomState>;

/// A request that came under the audit id of another one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Collision {
    pub(crate) event: EventId,
    pub(crate) audit_id: String,
    pub(crate) actor: String,
    pub(crate) time: Timestamp,
}

/// Ids are forgotten by so much of their time at once.
const GENERATION: Duration = Duration::from_secs(300);

impl AuditIds {
    /// Takes the first event of a request into account; none that is late.
    pub(crate) fn see(&mut self, event: &AuditEvent, watermark: Option<Timestamp>) {
        let (id, time) = (digest(event.audit_id.raw()), event.event_time);
        let from = watermark.map_or(i64::MIN, horizon);
        let is_known = self.generations.range(from..).any(|(_, ids)| ids.contains(&id));
        if is_known && self.told.is_none_or(|day| day < time.day()) {
            self.told = Some(time.day());
            let (audit_id, actor) = (event.audit_id.raw().to_owned(), event.actor.name.to_string());
            self.found.push(Collision { event: event.id, audit_id, actor, time });
        }
        if self.count >= MAX_REQUESTS {
            self.forget_oldest();
        }
        let is_new = self.generations.entry(start(time)).or_default().insert(id);
        self.count += usize::from(is_new);
    }

    /// Collisions that were not told yet.
    pub(crate) fn take_found(&mut self) -> Vec<Collision> {
        std::mem::take(&mut self.found)
    }

    /// Forgets what lies too far behind `watermark`.
    pub(crate) fn expire(&mut self, watermark: Timestamp) {
        let from = horizon(watermark);
        while self.generations.first_key_value().is_some_and(|(start, _)| *start < from) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        self.count -= self.generations.pop_first().map_or(0, |(_, ids)| ids.len());
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.count
    }
}

/// The first generation of which all requests are remembered: a repetition of theirs is known for one.
fn horizon(watermark: Timestamp) -> i64 {
    watermark.minus(RETENTION).as_micros()
}

fn start(time: Timestamp) -> i64 {
    time.window(GENERATION).start.as_micros()
}

/// 64 bits of an id, the same in every process. Who makes up two of one digest tells on themselves alone.
fn digest(id: &str) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| {
        let mixed = (hash ^ word).wrapping_mul(FACTOR);
        mixed ^ (mixed >> 29)
    };
    let words = id.as_bytes().chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    });
    mix(words.fold(id.len() as u64, mix), FACTOR)
}

impl Serialize for AuditIds {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        (self.told, Sorted(&self.generations)).serialize(s)
    }
}

/// In the order of the ids, so that equal states give equal bytes.
struct Sorted<'a>(&'a BTreeMap<i64, Generation>);

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.0.iter().map(|(start, ids)| {
            let mut ids: Vec<u64> = ids.iter().copied().collect();
            ids.sort_unstable();
            (start, ids)
        }))
    }
}

impl<'de> Deserialize<'de> for AuditIds {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let (told, generations) = <(_, Vec<(i64, Vec<u64>)>)>::deserialize(d)?;
        let generations: BTreeMap<i64, Generation> =
            generations.into_iter().map(|(start, ids)| (start, ids.into_iter().collect())).collect();
        let count = generations.values().map(HashSet::len).sum();
        Ok(Self { generations, count, told, found: Vec::new() })
    }
}
