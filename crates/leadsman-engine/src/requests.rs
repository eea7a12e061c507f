use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use leadsman_domain::{AuditEvent, EventId, RequestKey, Stage, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Requests {
    /// By [`SLOT`] of their time.
    slots: BTreeMap<i64, Slot>,
    /// How many requests there are in all.
    count: usize,
    /// What comes of a time before this may have been forgotten for want of room.
    forgotten: Option<Timestamp>,
}

/// The requests of one slot. Never iterated but to be sorted: their order is another in every process.
#[derive(Debug, Clone, Default, PartialEq)]
struct Slot {
    /// The first event of each request.
    first: HashMap<RequestKey, EventId>,
    /// Its later ones, where there are any: most requests are logged in one stage.
    later: HashMap<RequestKey, Vec<EventId>>,
}

/// How far behind the watermark identities stay.
pub(crate) const RETENTION: Duration = Duration::from_secs(600);
/// Requests are forgotten by so much of their time at once.
const SLOT: Duration = Duration::from_secs(10);
/// Most requests remembered.
pub(crate) const MAX_REQUESTS: usize = 1_000_000;

impl Requests {
    /// Admits an event. Exec, attach, port-forward and watch log `ResponseStarted` first: that one counts.
    pub(crate) fn admit(&mut self, event: &AuditEvent) -> Admission {
        match event.stage {
            Stage::RequestReceived => return Admission::NotScored,
            Stage::ResponseStarted | Stage::ResponseComplete | Stage::Panic => {}
        }
        if self.count >= MAX_REQUESTS && !self.knows(event) {
            self.make_room(event.event_time);
        }
        let Slot { first, later } = self.slots.entry(slot(event.event_time)).or_default();
        match first.entry(event.request) {
            Entry::Occupied(seen) if *seen.get() == event.id => Admission::Duplicate,
            Entry::Occupied(_) => {
                let later = later.entry(event.request).or_default();
                if later.contains(&event.id) {
                    return Admission::Duplicate;
                }
                later.push(event.id);
                Admission::Joined
            }
            Entry::Vacant(new) => {
                new.insert(event.id);
                self.count += 1;
                Admission::New
            }
        }
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
        self.slots.get(&slot(event.event_time)).is_some_and(|slot| slot.first.contains_key(&event.request))
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
        self.count -= slot.first.len();
        Some(start)
    }
}

fn slot(time: Timestamp) -> i64 {
    time.window(SLOT).start.as_micros()
}

/// A request as it is written: its first event and the later ones.
type Written<L> = (RequestKey, EventId, L);

impl Serialize for Requests {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        (self.forgotten, InOrder(&self.slots)).serialize(s)
    }
}

/// In the order of the requests, so that equal states give equal bytes.
struct InOrder<'a>(&'a BTreeMap<i64, Slot>);

impl Serialize for InOrder<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.0.iter().map(|(slot, Slot { first, later })| {
            let later = |request| later.get(request).map_or(&[][..], Vec::as_slice);
            let mut all: Vec<Written<&[EventId]>> = first.iter().map(|(r, id)| (*r, *id, later(r))).collect();
            all.sort_unstable();
            (slot, all)
        }))
    }
}

impl<'de> Deserialize<'de> for Requests {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let (forgotten, slots) = <(_, Vec<(i64, Vec<Written<Vec<EventId>>>)>)>::deserialize(d)?;
        let mut requests = Self { forgotten, ..Self::default() };
        for (at, seen) in slots {
            let slot = requests.slots.entry(at).or_default();
            for (request, first, later) in seen {
                slot.first.insert(request, first);
                if !later.is_empty() {
                    slot.later.insert(request, later);
                }
            }
        }
        requests.count = requests.slots.values().map(|slot| slot.first.len()).sum();
        Ok(requests)
    }
}
