use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use leadsman_domain::{AuditEvent, Stage, TableHash, Timestamp};
use serde::{Deserialize, Serialize};

use crate::in_order;

/// What became of an event before scoring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// First scored stage of its request.
    New,
    /// A later stage of a request that was scored already.
    Joined,
    /// The same stage of the same request, again.
    Duplicate,
    /// `RequestReceived`: says only that the server lives.
    NotScored,
}

/// Requests seen lately, so that one request is one observation and a replayed event is none.
///
/// Exact, not probabilistic: a false positive would lose an event. Bounded: identities older than the
/// watermark by [`RETENTION`] are forgotten, and events that old are late anyway; at [`MAX_REQUESTS`] the
/// oldest go first, and with them what is as old counts as late: it might have been seen.
///
/// A request has one time, which its identity holds, so that all of its events meet in one slot. To forget is to drop a
/// slot: every event passes here, and what has an order of its own would be a tenth of the cost of the whole line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub(crate) struct Requests {
    /// By [`SLOT`] of their time.
    slots: BTreeMap<i64, Slot>,
    /// How many requests there are in all.
    #[serde(skip_serializing)]
    count: usize,
    /// What comes of a time before this may have been forgotten for want of room.
    forgotten: Option<Timestamp>,
}

/// The requests of one slot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Slot(#[serde(with = "in_order")] HashMap<Key, Stages, TableHash>);

/// Identity of a request, in bytes: with what stands beside it a number of 128 bits would take twice the room.
type Key = [u8; 16];
/// Those of a request's stages that came, a bit each.
type Stages = u8;

/// How far behind the watermark identities stay.
pub(crate) const RETENTION: Duration = Duration::from_secs(600);
/// Requests are forgotten by so much of their time at once.
const SLOT: Duration = Duration::from_secs(10);
/// Most requests remembered.
pub(crate) const MAX_REQUESTS: usize = 1_000_000;

impl Requests {
    /// Admits an event. Exec, attach, port-forward and watch log `ResponseStarted` first: that one counts.
    pub(crate) fn admit(&mut self, event: &AuditEvent) -> Admission {
        let stage: Stages = match event.stage {
            Stage::RequestReceived => return Admission::NotScored,
            Stage::ResponseStarted => 1,
            Stage::ResponseComplete => 2,
            Stage::Panic => 4,
        };
        if self.count >= MAX_REQUESTS && !self.knows(event) {
            self.make_room(event.event_time);
        }
        let slot = self.slots.entry(slot(event.event_time)).or_default();
        let stages = slot.0.entry(key(event)).or_default();
        let admission = match *stages {
            0 => Admission::New,
            seen if seen & stage == 0 => Admission::Joined,
            _ => Admission::Duplicate,
        };
        *stages |= stage;
        self.count += usize::from(admission == Admission::New);
        admission
    }

    /// Forgets what lies too far behind `watermark`.
    pub(crate) fn expire(&mut self, watermark: Timestamp) {
        let horizon = slot(watermark.minus(RETENTION));
        while self.slots.first_key_value().is_some_and(|(slot, _)| *slot < horizon) {
            self.forget_oldest();
        }
        // What is late anyway says nothing, and would depend on how the log was cut.
        self.forgotten = self.forgotten.filter(|bound| bound.as_micros() > horizon);
    }

    /// Whether an event of this time may have been seen and forgotten.
    pub(crate) fn may_have_forgotten(&self, time: Timestamp) -> bool {
        self.forgotten.is_some_and(|bound| time < bound)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    fn knows(&self, event: &AuditEvent) -> bool {
        self.slots.get(&slot(event.event_time)).is_some_and(|slot| slot.0.contains_key(&key(event)))
    }

    /// Forgets the oldest for an event of this time.
    fn make_room(&mut self, time: Timestamp) {
        if let Some(oldest) = self.forget_oldest() {
            let start = Timestamp::from_micros(oldest);
            // Should all be of one time, as from a source without a clock, then what goes on coming is not late for that.
            let bound = if oldest == slot(time) { start } else { start.plus(SLOT) };
            self.forgotten = self.forgotten.max(Some(bound));
        }
    }

    fn forget_oldest(&mut self) -> Option<i64> {
        let (start, slot) = self.slots.pop_first()?;
        self.count -= slot.0.len();
        Some(start)
    }
}

fn key(event: &AuditEvent) -> Key {
    event.request.get().to_be_bytes()
}

fn slot(time: Timestamp) -> i64 {
    time.window(SLOT).start.as_micros()
}

/// As it is written: what is counted follows from the rest.
#[derive(Deserialize)]
struct Written {
    slots: BTreeMap<i64, Slot>,
    forgotten: Option<Timestamp>,
}

impl From<Written> for Requests {
    fn from(Written { slots, forgotten }: Written) -> Self {
        let count = slots.values().map(|slot| slot.0.len()).sum();
        Self { slots, count, forgotten }
    }
}
