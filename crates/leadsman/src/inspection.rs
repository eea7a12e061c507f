//! What a log holds, in bounded memory: its formats, period, actors, levels and verbs.

mod blind;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use leadsman_domain::{ActorClass, AuditEvent, Decoded, Level, Stage, Timestamp, Verb};

use crate::account::Account;

pub use blind::Blind;
pub(crate) use blind::length;

/// Most actors, and most resources, that are counted by name; what comes later is counted together.
const MAX_NAMES: usize = 100_000;
/// Most bytes that names may take.
const MAX_NAME_BYTES: usize = 32 << 20;

/// One name of many.
#[derive(Debug, Clone)]
pub struct Named<T> {
    counts: HashMap<Box<str>, T>,
    bytes: usize,
    /// Events whose name came after the bound.
    pub beyond: u64,
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self { counts: HashMap::new(), bytes: 0, beyond: 0 }
    }
}

impl<T: Default> Named<T> {
    /// The entry of `name`; `None` when it is new and there is no room.
    fn entry(&mut self, name: &str) -> Option<&mut T> {
        if !self.counts.contains_key(name) {
            if self.counts.len() == MAX_NAMES || self.bytes + name.len() > MAX_NAME_BYTES {
                self.beyond += 1;
                return None;
            }
            self.bytes += name.len();
            self.counts.insert(name.into(), T::default());
        }
        self.counts.get_mut(name)
    }

    /// How many different names were counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether no name was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The `n` entries with the most events, as `events` counts them.
    pub fn top(&self, n: usize, events: impl Fn(&T) -> u64) -> Vec<(&str, &T)> {
        let mut all: Vec<_> = self.counts.iter().map(|(name, t)| (&**name, t)).collect();
        all.sort_by(|(a, x), (b, y)| events(y).cmp(&events(x)).then(a.cmp(b)));
        all.truncate(n);
        all
    }
}

/// Events of one actor.
#[derive(Debug, Clone, Copy, Default)]
pub struct ActorCount {
    /// Its class, once it was seen.
    pub class: Option<ActorClass>,
    /// How many.
    pub events: u64,
}

/// Events by audit level.
pub type Levels = BTreeMap<Level, u64>;

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Inspection {
    /// Every item.
    pub account: Account,
    /// The earliest and the latest time of anything decoded.
    pub period: Option<(Timestamp, Timestamp)>,
    /// Actors by name.
    pub actors: Named<ActorCount>,
    /// Events by class of actor.
    pub classes: BTreeMap<ActorClass, u64>,
    /// Events by audit level.
    pub levels: Levels,
    /// The same by resource.
    pub resources: Named<Levels>,
    /// Events by verb.
    pub verbs: BTreeMap<Verb, u64>,
    /// Events by stage.
    pub stages: BTreeMap<Stage, u64>,
    /// What detectors look for and some logs leave out.
    gaps: blind::Gaps,
}

impl Inspection {
    /// Takes what was decoded.
    pub fn add(&mut self, decoded: &Decoded) {
        self.account.add(decoded);
        let times = decoded.events.iter().map(|e| e.event_time);
        let times = times.chain(decoded.samples.iter().map(|s| s.event_time));
        let times = times.chain(decoded.runtime.iter().map(|r| r.event_time));
        for time in times.chain(decoded.flows.iter().map(|f| f.event_time)) {
            let (from, to) = self.period.unwrap_or((time, time));
            self.period = Some((from.min(time), to.max(time)));
        }
        decoded.events.iter().for_each(|e| self.event(e));
    }

    fn event(&mut self, event: &AuditEvent) {
        if let Some(actor) = self.actors.entry(&event.actor.name) {
            actor.class = Some(event.actor.class);
            actor.events += 1;
        }
        if let Some(levels) = self.resources.entry(&event.object.api()) {
            *levels.entry(event.level).or_default() += 1;
        }
        *self.classes.entry(event.actor.class).or_default() += 1;
        *self.levels.entry(event.level).or_default() += 1;
        *self.verbs.entry(event.verb).or_default() += 1;
        *self.stages.entry(event.stage).or_default() += 1;
        self.gaps.event(event);
    }

    /// Seconds between the first and the last item.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.period.map_or(0.0, |(from, to)| to.seconds_since(from))
    }

    /// Different actors by class, of those counted by name.
    #[must_use]
    pub fn actors_by_class(&self) -> BTreeMap<ActorClass, u64> {
        let mut classes = BTreeMap::new();
        for class in self.actors.counts.values().filter_map(|a| a.class) {
            *classes.entry(class).or_default() += 1;
        }
        classes
    }

    /// What detectors cannot see in this log.
    #[must_use]
    pub fn blind(&self) -> Vec<Blind> {
        self.gaps.blind(self)
    }
}
