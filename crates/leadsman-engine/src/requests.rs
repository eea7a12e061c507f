use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
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
/// oldest go first.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Requests {
    /// Never iterated: its order is another in every process.
    stages: HashMap<RequestKey, Stages>,
    /// What `stages` holds, by [`SLOT`] of its time and in order of arrival. Every event passes here, so that a tree of
    /// single requests would be a tenth of the cost of the whole line.
    by_time: BTreeMap<i64, VecDeque<RequestKey>>,
}

/// The stages of a request that were seen; most are logged in one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Stages {
    first: EventId,
    others: Vec<EventId>,
}

/// How far behind the watermark identities stay.
const RETENTION: Duration = Duration::from_secs(600);
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
        match self.stages.entry(event.request) {
            Entry::Occupied(seen) => {
                let seen = seen.into_mut();
                if seen.first == event.id || seen.others.contains(&event.id) {
                    return Admission::Duplicate;
                }
                seen.others.push(event.id);
                Admission::Joined
            }
            Entry::Vacant(new) => {
                new.insert(Stages { first: event.id, others: Vec::new() });
                self.by_time.entry(slot(event.event_time)).or_default().push_back(event.request);
                if self.stages.len() > MAX_REQUESTS {
                    self.forget_oldest();
                }
                Admission::New
            }
        }
    }

    /// Forgets what lies too far behind `watermark`.
    pub(crate) fn expire(&mut self, watermark: Timestamp) {
        let horizon = slot(watermark.minus(RETENTION));
        while let Some(first) = self.by_time.first_entry()
            && *first.key() < horizon
        {
            for request in first.remove() {
                self.stages.remove(&request);
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.stages.len()
    }

    fn forget_oldest(&mut self) {
        let Some(mut first) = self.by_time.first_entry() else { return };
        if let Some(request) = first.get_mut().pop_front() {
            self.stages.remove(&request);
        }
        if first.get().is_empty() {
            first.remove();
        }
    }
}

fn slot(time: Timestamp) -> i64 {
    time.window(SLOT).start.as_micros()
}

/// In the order of `by_time`, so that equal states give equal bytes.
impl Serialize for Requests {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let all = self.by_time.iter().flat_map(|(slot, requests)| requests.iter().map(move |r| (slot, r)));
        let all: Vec<_> = all.filter_map(|(slot, r)| Some((slot, r, self.stages.get(r)?))).collect();
        all.serialize(s)
    }
}

impl<'de> Deserialize<'de> for Requests {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let mut requests = Self::default();
        for (slot, request, stages) in Vec::<(i64, RequestKey, Stages)>::deserialize(d)? {
            if requests.stages.insert(request, stages).is_none() {
                requests.by_time.entry(slot).or_default().push_back(request);
            }
        }
        Ok(requests)
    }
}
