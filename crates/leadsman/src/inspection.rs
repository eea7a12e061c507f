//! What a log holds, in bounded memory: its formats, period, actors, levels and verbs.

mod blind;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

use leadsman_decode::{EventView, redacted};
use leadsman_domain::{ActorClass, Decoded, Level, Stage, Timestamp, Verb};

use crate::account::Account;

pub use blind::Blind;
pub(crate) use blind::length;

/// Most actors, and most resources, that are counted by name; what comes later is counted together.
const MAX_NAMES: usize = 100_000;
/// Most bytes that names may take.
const MAX_NAME_BYTES: usize = 32 << 20;

/// Names of many, and what was counted of each.
///
/// A name is found by 64 bits of a hash whose key is drawn anew each time: that costs one access to memory, where
/// comparing the names costs three. Nobody can choose two names that are taken for one, and by chance 100,000 names
/// hold such a pair once in four billion runs.
#[derive(Debug, Clone)]
pub struct Named<T> {
    key: RandomState,
    places: HashMap<u64, usize, BuildHasherDefault<Hashed>>,
    names: Vec<Box<str>>,
    counts: Vec<T>,
    bytes: usize,
    /// Events whose name came after the bound.
    pub beyond: u64,
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self {
            key: RandomState::new(),
            places: HashMap::default(),
            names: Vec::new(),
            counts: Vec::new(),
            bytes: 0,
            beyond: 0,
        }
    }
}

impl<T: Default> Named<T> {
    /// The entry of `name`, without secrets; `None` when it is new and there is no room.
    fn entry(&mut self, name: &str) -> Option<&mut T> {
        let place = match self.places.get(&self.key.hash_one(name)) {
            Some(place) => *place,
            // What was kept holds no secret, so only new names are looked at.
            None => self.place_of(&redacted(name, None))?,
        };
        self.counts.get_mut(place)
    }

    /// The place of a name without secrets, made if need be.
    fn place_of(&mut self, name: &str) -> Option<usize> {
        let hash = self.key.hash_one(name);
        if let Some(place) = self.places.get(&hash) {
            return Some(*place);
        }
        if self.counts.len() == MAX_NAMES || self.bytes + name.len() > MAX_NAME_BYTES {
            self.beyond += 1;
            return None;
        }
        self.bytes += name.len();
        self.counts.push(T::default());
        self.names.push(name.into());
        self.places.insert(hash, self.counts.len() - 1);
        Some(self.counts.len() - 1)
    }

    /// Adds what `other` counted: `add` adds one count to another, `events` says how many events are in one.
    fn merge(&mut self, other: &Self, events: impl Fn(&T) -> u64, add: impl Fn(&mut T, &T)) {
        self.beyond += other.beyond;
        // In the order of names, so that the same ones are beyond the bound each time.
        let mut names: Vec<_> = other.names.iter().zip(&other.counts).collect();
        names.sort_unstable_by_key(|(name, _)| *name);
        for (name, count) in names {
            match self.place_of(name).and_then(|place| self.counts.get_mut(place)) {
                Some(to) => add(to, count),
                // One event was counted as beyond already.
                None => self.beyond += events(count).saturating_sub(1),
            }
        }
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
        let mut all: Vec<_> = self.names.iter().map(|name| &**name).zip(&self.counts).collect();
        all.sort_by(|(a, x), (b, y)| events(y).cmp(&events(x)).then(a.cmp(b)));
        all.truncate(n);
        all
    }
}

/// Passes a hash on as it is.
#[derive(Debug, Clone, Copy, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
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
    /// Memory for the name of a resource.
    name: String,
}

impl Inspection {
    /// Takes what was decoded.
    pub fn add(&mut self, decoded: &Decoded) {
        self.account.add(decoded);
        let times = decoded.samples.iter().map(|s| s.event_time);
        let times = times.chain(decoded.runtime.iter().map(|r| r.event_time));
        for time in times.chain(decoded.flows.iter().map(|f| f.event_time)) {
            self.time(time);
        }
        decoded.events.iter().for_each(|event| self.look(&EventView::from(event)));
    }

    /// Takes an audit event that is not kept.
    pub fn event(&mut self, event: &EventView<'_>) {
        self.account.events += 1;
        self.look(event);
    }

    fn look(&mut self, event: &EventView<'_>) {
        self.time(event.event_time);
        if let Some(actor) = self.actors.entry(event.actor) {
            actor.class = Some(event.class);
            actor.events += 1;
        }
        self.name.clear();
        event.write_api(&mut self.name);
        if let Some(levels) = self.resources.entry(&self.name) {
            *levels.entry(event.level).or_default() += 1;
        }
        *self.classes.entry(event.class).or_default() += 1;
        *self.levels.entry(event.level).or_default() += 1;
        *self.verbs.entry(event.verb).or_default() += 1;
        *self.stages.entry(event.stage).or_default() += 1;
        self.gaps.event(event);
    }

    fn time(&mut self, time: Timestamp) {
        let (from, to) = self.period.unwrap_or((time, time));
        self.period = Some((from.min(time), to.max(time)));
    }

    /// Adds what another inspection saw.
    pub fn merge(&mut self, other: &Self) {
        self.account.merge(&other.account);
        for time in other.period.into_iter().flat_map(|(from, to)| [from, to]) {
            self.time(time);
        }
        self.actors.merge(
            &other.actors,
            |actor| actor.events,
            |to, actor| {
                to.class = actor.class;
                to.events += actor.events;
            },
        );
        let events = |levels: &Levels| levels.values().sum();
        self.resources.merge(&other.resources, events, merge);
        merge(&mut self.classes, &other.classes);
        merge(&mut self.levels, &other.levels);
        merge(&mut self.verbs, &other.verbs);
        merge(&mut self.stages, &other.stages);
        self.gaps.merge(&other.gaps);
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
        for class in self.actors.counts.iter().filter_map(|a| a.class) {
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

fn merge<K: Copy + Ord>(to: &mut BTreeMap<K, u64>, other: &BTreeMap<K, u64>) {
    for (key, n) in other {
        *to.entry(*key).or_default() += n;
    }
}
