use std::collections::BTreeMap;

use leadsman_domain::AuditEvent;
use serde::{Deserialize, Serialize};

use super::{FAMILIES, KeyFamily, Keys};

/// A new key counts as the actor's own only after it was seen on this many distinct days, so that an attack
/// does not become normal by being repeated in an hour.
const DAYS_UNTIL_KNOWN: u16 = 3;
/// Most keys remembered of one actor, over all families.
const MAX_RECENT: usize = 256;
/// Most actors remembered, which with their keys is about 1 GiB.
const MAX_ACTORS: usize = 50_000;
/// An actor that was silent for so many hours is forgotten.
const FORGOTTEN_HOURS: i64 = 60 * 24;

/// What actors did since the model was trained, and only that. Each actor's part depends on its own events
/// alone, so a stream may be split by actor without changing a single score.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NoveltyState {
    actors: BTreeMap<Box<str>, Recents>,
    /// Day on which the silent were last dropped. It changes memory, never a score.
    swept: i64,
}

/// What one actor did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Recents {
    last_hour: i64,
    /// Ascending by family and key: a quarter of the memory of a tree, and faster to search.
    keys: Vec<Recent>,
}

/// A key that one actor showed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Recent {
    family: KeyFamily,
    days: u16,
    hours: u32,
    key: u64,
    last_hour: i64,
}

impl Recent {
    /// Distinct hours in which the actor showed the key, once it is known; 0 before.
    pub(super) fn known_hours(&self) -> u32 {
        if self.days >= DAYS_UNTIL_KNOWN { self.hours } else { 0 }
    }

    /// Distinct days before `day` on which the actor showed a key that is not known yet; 0 once it is.
    pub(super) fn earlier_days(&self, day: i64) -> u16 {
        if self.days >= DAYS_UNTIL_KNOWN {
            return 0;
        }
        self.days - u16::from(day_of(self.last_hour) >= day && self.days > 0)
    }
}

/// Days since the epoch of an hour since the epoch.
fn day_of(hour: i64) -> i64 {
    hour.div_euclid(24)
}

impl Recents {
    fn position(&self, family: KeyFamily, key: u64) -> Result<usize, usize> {
        self.keys.binary_search_by_key(&(family, key), |r| (r.family, r.key))
    }

    /// What is remembered of a key.
    pub(super) fn get(&self, family: KeyFamily, key: u64) -> Option<&Recent> {
        self.position(family, key).ok().and_then(|at| self.keys.get(at))
    }

    /// At the cap the key that was not seen for longest gives way. What is not remembered looks new again: strange,
    /// never normal.
    fn learn(&mut self, family: KeyFamily, key: u64, hour: i64) {
        let Err(mut at) = self.position(family, key).map(|at| self.keys[at].saw(hour)) else { return };
        if self.keys.len() >= MAX_RECENT {
            let seen = |i: &usize| (self.keys[*i].last_hour, *i);
            if let Some(oldest) = (0..self.keys.len()).min_by_key(seen) {
                self.keys.remove(oldest);
                at -= usize::from(oldest < at);
            }
        }
        self.keys.insert(at, Recent { family, days: 1, hours: 1, key, last_hour: hour });
    }
}

impl Recent {
    fn saw(&mut self, hour: i64) {
        if hour > self.last_hour {
            self.hours = self.hours.saturating_add(1);
            self.days = self.days.saturating_add(u16::from(day_of(hour) > day_of(self.last_hour)));
            self.last_hour = hour;
        }
    }
}

impl NoveltyState {
    /// What is remembered of an actor at `hour`.
    pub(super) fn of(&self, actor: &str, hour: i64) -> Option<&Recents> {
        self.actors.get(actor).filter(|recents| hour - recents.last_hour <= FORGOTTEN_HOURS)
    }

    /// Takes a key for known, over as many days as it takes.
    pub(super) fn assume(&mut self, actor: &str, family: KeyFamily, key: u64, hours: u32, hour: i64) {
        let known = Recent { family, days: DAYS_UNTIL_KNOWN, hours, key, last_hour: hour };
        let recents = self.actors.entry(actor.into()).or_default();
        recents.last_hour = recents.last_hour.max(hour);
        match recents.position(family, key) {
            Ok(at) => recents.keys[at] = known,
            Err(at) => recents.keys.insert(at, known),
        }
    }

    /// Remembers the keys of an event; at most one count a key and hour. `trained` tells which keys the
    /// model holds already: they are not kept twice.
    pub(super) fn learn(&mut self, event: &AuditEvent, keys: &Keys, trained: impl Fn(KeyFamily, u64) -> bool) {
        let (hour, day) = (event.event_time.hour(), event.event_time.day());
        let new: [Option<u64>; FAMILIES] =
            KeyFamily::ALL.map(|family| keys.get(family).filter(|key| !trained(family, *key)));
        if new.iter().all(Option::is_none) {
            return;
        }
        if day > self.swept {
            self.swept = day;
            self.actors.retain(|_, recents| hour - recents.last_hour <= FORGOTTEN_HOURS);
        }
        let name = event.actor.name.as_ref();
        if !self.actors.contains_key(name) {
            self.make_room();
            self.actors.insert(name.into(), Recents::default());
        }
        let Some(recents) = self.actors.get_mut(name) else { return };
        if hour - recents.last_hour > FORGOTTEN_HOURS {
            recents.keys.clear();
        }
        recents.last_hour = recents.last_hour.max(hour);
        for (family, key) in KeyFamily::ALL.into_iter().zip(new) {
            if let Some(key) = key {
                recents.learn(family, key, hour);
            }
        }
    }

    /// At the cap the tenth part of the actors that was silent for longest is forgotten, at once, so that a flood of new
    /// names costs little for each.
    fn make_room(&mut self) {
        if self.actors.len() < MAX_ACTORS {
            return;
        }
        let mut hours: Vec<i64> = self.actors.values().map(|recents| recents.last_hour).collect();
        let (_, oldest, _) = hours.select_nth_unstable(MAX_ACTORS / 10);
        let (oldest, mut left) = (*oldest, MAX_ACTORS / 10);
        self.actors.retain(|_, recents| {
            let drop = left > 0 && recents.last_hour <= oldest;
            left -= usize::from(drop);
            !drop
        });
    }
}
