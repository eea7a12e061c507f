//! What the detectors could see in training, so that it is noticed when they no longer do: a log that falls silent,
//! and an audit policy that stops logging the bodies they read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leadsman_domain::{AuditEvent, Level, Stage, Timestamp};
use serde::{Deserialize, Serialize};

use crate::action::has_telling_body;

/// Silence is noted after this many times the longest quiet time of training …
const QUIET_FACTOR: u32 = 3;
/// … but never before ten minutes, …
const MIN_SILENCE: Duration = Duration::from_secs(600);
/// … and a log with quiet times longer than this is not steady enough to say anything.
const MAX_QUIET: Duration = Duration::from_secs(6 * 3600);
/// Writes of a resource that have to have had a body, all of them, before a missing one means anything.
const MIN_BODIES: u64 = 20;
/// Most resources whose bodies are counted.
const MAX_RESOURCES: usize = 4_096;

/// What could be seen in training.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sight {
    /// Longest time without any event; `None` with fewer than two events.
    pub longest_quiet: Option<Duration>,
    /// Resources whose writes always came with a body.
    bodied: BTreeSet<Box<str>>,
}

/// Watches a training period.
#[derive(Debug, Clone, Default)]
pub struct SightBuilder {
    newest: Option<Timestamp>,
    longest_quiet: Option<Duration>,
    /// Writes with and without a body, by resource.
    bodies: BTreeMap<String, (u64, u64)>,
}

/// Whether the body of a write was logged; `None` for what is no write, or one whose body holds nothing of interest.
#[must_use]
pub fn body_logged(event: &AuditEvent) -> Option<bool> {
    let written = event.stage == Stage::ResponseComplete && has_telling_body(event);
    written.then(|| event.level > Level::Metadata || event.risk.is_observed())
}

/// Seconds between two times, as a duration; nothing when the later one comes first.
#[must_use]
pub fn quiet_between(before: Timestamp, after: Timestamp) -> Duration {
    Duration::try_from_secs_f64(after.seconds_since(before)).unwrap_or_default()
}

impl SightBuilder {
    /// Takes any event into account, scored or not.
    pub fn add(&mut self, event: &AuditEvent) {
        if let Some(newest) = self.newest {
            let quiet = quiet_between(newest, event.event_time);
            self.longest_quiet = Some(self.longest_quiet.map_or(quiet, |longest| longest.max(quiet)));
        }
        self.newest = self.newest.max(Some(event.event_time));
        if let Some(logged) = body_logged(event) {
            let api = event.object.api();
            if self.bodies.len() < MAX_RESOURCES || self.bodies.contains_key(&api) {
                let (with, without) = self.bodies.entry(api).or_default();
                if logged { *with += 1 } else { *without += 1 }
            }
        }
    }

    /// What was seen.
    #[must_use]
    pub fn finish(&self) -> Sight {
        let always = self.bodies.iter().filter(|(_, (with, without))| *with >= MIN_BODIES && *without == 0);
        Sight { longest_quiet: self.longest_quiet, bodied: always.map(|(api, _)| api.as_str().into()).collect() }
    }
}

impl Sight {
    /// How long a log may be quiet, given the longest quiet time that it had since training; `None` when it was never
    /// steady.
    #[must_use]
    pub fn silence_after(&self, since: Duration) -> Option<Duration> {
        let trained = self.longest_quiet.filter(|longest| *longest <= MAX_QUIET)?;
        // Pauses since training can stretch it, but not by more than once again: whoever can hold up the log must not be
        // able to widen what is allowed pause by pause.
        let longest = trained.max(since.min(2 * trained));
        Some((longest * QUIET_FACTOR).max(MIN_SILENCE))
    }

    /// Whether writes of a resource always came with their body.
    #[must_use]
    pub fn is_bodied(&self, api: &str) -> bool {
        self.bodied.contains(api)
    }
}
