//! What a shard no longer sees.

use std::collections::BTreeMap;
use std::time::Duration;

use leadsman_detect::sight::{Sight, body_logged, quiet_between};
use leadsman_domain::{AuditEvent, Timestamp};
use serde::{Deserialize, Serialize};

/// Writes without a body, one after the other, that make a resource one that cannot be seen any more.
const MIN_BLIND: u32 = 3;

/// Liveness of one partition and of the bodies in it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Watch {
    /// Largest event time of any event.
    newest: Option<Timestamp>,
    /// Longest time without an event since training, but for silence that was reported.
    longest_quiet: Duration,
    /// The last event before the silence that was reported last.
    reported: Option<Timestamp>,
    /// Writes in a row without a body, by resource; bounded by what the model knows.
    blind: BTreeMap<String, Blind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Blind {
    since: Timestamp,
    writes: u32,
}

/// A log that fell silent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Silence {
    /// When the last event was.
    pub(crate) since: Timestamp,
    /// How long it may be quiet.
    pub(crate) allowed: Duration,
}

/// A resource whose bodies are no longer logged.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Blindness {
    pub(crate) api: String,
    /// The first write without a body.
    pub(crate) since: Timestamp,
    /// The write that made it certain.
    pub(crate) noticed: Timestamp,
}

impl Watch {
    pub(crate) fn newest(&self) -> Option<Timestamp> {
        self.newest
    }

    /// Takes an event into account; tells when it makes it certain that a resource's bodies are gone.
    pub(crate) fn see(&mut self, event: &AuditEvent, sight: &Sight) -> Option<Blindness> {
        let time = event.event_time;
        if let Some(newest) = self.newest
            && self.reported != Some(newest)
        {
            self.longest_quiet = self.longest_quiet.max(quiet_between(newest, time));
        }
        self.newest = self.newest.max(Some(time));
        let logged = body_logged(event)?;
        let api = event.object.api();
        if logged {
            self.blind.remove(&api);
            return None;
        }
        if !sight.is_bodied(&api) {
            return None;
        }
        let blind = self.blind.entry(api.clone()).or_insert(Blind { since: time, writes: 0 });
        blind.writes = blind.writes.saturating_add(1);
        (blind.writes == MIN_BLIND).then_some(Blindness { api, since: blind.since, noticed: time })
    }

    /// Whether the log is silent at `now`; told once for each silence.
    pub(crate) fn silence(&mut self, sight: &Sight, now: Timestamp) -> Option<Silence> {
        let since = self.newest.filter(|newest| self.reported != Some(*newest))?;
        let allowed = sight.silence_after(self.longest_quiet)?;
        (quiet_between(since, now) > allowed).then(|| {
            self.reported = Some(since);
            Silence { since, allowed }
        })
    }
}
