use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leadsman_domain::{AuditEvent, EventId, RequestKey, Stage, Timestamp};
use serde::{Deserialize, Serialize};

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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Requests {
    stages: BTreeMap<RequestKey, Vec<EventId>>,
    by_time: BTreeSet<(Timestamp, RequestKey)>,
}

/// How far behind the watermark identities stay.
const RETENTION: Duration = Duration::from_secs(600);
/// Most requests remembered.
const MAX_REQUESTS: usize = 1_000_000;

impl Requests {
    /// Admits an event. Exec, attach, port-forward and watch log `ResponseStarted` first: that one counts.
    pub(crate) fn admit(&mut self, event: &AuditEvent) -> Admission {
        match event.stage {
            Stage::RequestReceived => return Admission::NotScored,
            Stage::ResponseStarted | Stage::ResponseComplete | Stage::Panic => {}
        }
        match self.stages.get_mut(&event.request) {
            Some(seen) if seen.contains(&event.id) => Admission::Duplicate,
            Some(seen) => {
                seen.push(event.id);
                Admission::Joined
            }
            None => {
                self.stages.insert(event.request, vec![event.id]);
                self.by_time.insert((event.event_time, event.request));
                if self.by_time.len() > MAX_REQUESTS {
                    self.forget_oldest();
                }
                Admission::New
            }
        }
    }

    /// Forgets what lies too far behind `watermark`.
    pub(crate) fn expire(&mut self, watermark: Timestamp) {
        let horizon = watermark.minus(RETENTION);
        while self.by_time.first().is_some_and(|(time, _)| *time < horizon) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, request)) = self.by_time.pop_first() {
            self.stages.remove(&request);
        }
    }
}
