//! Counts by name, in bounded memory.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::mem;

use leadsman_decode::redacted;

/// Most actors, and most resources, that are counted by name; what comes later is counted together.
pub(super) const MAX_NAMES: usize = 100_000;
/// Most bytes that names may take.
pub(super) const MAX_NAME_BYTES: usize = 32 << 20;

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
    /// Names that were not looked up yet: the hash of each, where it ends in `texts`, and what it counts.
    waiting: Vec<(u64, usize, T)>,
    texts: String,
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
            waiting: Vec::new(),
            texts: String::new(),
            beyond: 0,
        }
    }
}

impl<T: Default> Named<T> {
    /// Puts `count` of `name` off until [`Self::settle`]; returns how many wait.
    ///
    /// Names are spread over more memory than the cache keeps from one event to the next. Looked up behind each other,
    /// many of these accesses run at a time; among the work on an event each is waited for.
    pub(super) fn wait(&mut self, name: &str, count: T) -> usize {
        self.texts.push_str(name);
        self.waiting.push((self.key.hash_one(name), self.texts.len(), count));
        self.waiting.len()
    }

    /// Counts what waits: `add` adds one count to another.
    pub(super) fn settle(&mut self, add: impl Fn(&mut T, &T)) {
        let (mut waiting, mut texts) = (mem::take(&mut self.waiting), mem::take(&mut self.texts));
        let mut from = 0;
        for (hash, end, count) in &waiting {
            let place = match self.places.get(hash) {
                Some(place) => Some(*place),
                None => texts.get(from..*end).and_then(|name| self.place_of(&redacted(name, None))),
            };
            if let Some(to) = place.and_then(|place| self.counts.get_mut(place)) {
                add(to, count);
            }
            from = *end;
        }
        waiting.clear();
        texts.clear();
        (self.waiting, self.texts) = (waiting, texts);
    }

    /// The entry of `name`, without secrets; `None` when it is new and there is no room.
    pub(super) fn entry(&mut self, name: &str) -> Option<&mut T> {
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
    pub(super) fn merge(&mut self, other: &Self, events: impl Fn(&T) -> u64, add: impl Fn(&mut T, &T)) {
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

    /// What was counted of each name.
    pub(super) fn counts(&self) -> &[T] {
        &self.counts
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
