use std::collections::BTreeMap;

use leadsman_domain::AuditEvent;
use serde::{Deserialize, Serialize};

use super::{FAMILIES, KeyFamily, Keys, MAX_KEYS};

/// A new key counts as the actor's own only after it was seen on this many distinct days, so that an attack
/// does not become normal by being repeated in an hour.
const DAYS_UNTIL_KNOWN: u16 = 3;

/// What actors did since the model was trained, and only that. Each actor's part depends on its own events
/// alone, so a stream may be split by actor without changing a single score.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NoveltyState {
    actors: BTreeMap<Box<str>, BTreeMap<(KeyFamily, u64), Recent>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Recent {
    hours: u32,
    last_hour: i64,
    days: u16,
    last_day: i64,
}

/// Most recent keys per actor over all families.
const MAX_RECENT: usize = MAX_KEYS * FAMILIES;
/// Most actors with recent keys. Names in authenticated requests are bounded by the cluster's accounts.
const MAX_ACTORS: usize = 100_000;

impl NoveltyState {
    /// Distinct hours in which the actor showed the key, once it is known; 0 before.
    #[must_use]
    pub fn known_hours(&self, actor: &str, family: KeyFamily, key: u64) -> u32 {
        let recent = self.actors.get(actor).and_then(|keys| keys.get(&(family, key)));
        recent.filter(|r| r.days >= DAYS_UNTIL_KNOWN).map_or(0, |r| r.hours)
    }

    /// Distinct days before `day` on which the actor showed a key that is not known yet; 0 once it is.
    pub(super) fn earlier_days(&self, actor: &str, family: KeyFamily, key: u64, day: i64) -> u16 {
        let recent = self.actors.get(actor).and_then(|keys| keys.get(&(family, key)));
        let unknown = recent.filter(|r| r.days < DAYS_UNTIL_KNOWN);
        unknown.map_or(0, |r| r.days - u16::from(r.last_day >= day && r.days > 0))
    }

    /// Takes a key for known, over as many days as it takes.
    pub(super) fn assume(&mut self, actor: &str, family: KeyFamily, key: u64, hours: u32) {
        let known = Recent { hours, last_hour: i64::MIN, days: DAYS_UNTIL_KNOWN, last_day: i64::MIN };
        self.actors.entry(actor.into()).or_default().insert((family, key), known);
    }

    /// Remembers the keys of an event; at most one count a key and hour. `trained` tells which keys the
    /// model holds already: they are not kept twice. At an actor's cap the key that was not seen for longest is
    /// forgotten; at the cap of actors nothing is added. What is not remembered looks new again: strange, never
    /// normal.
    pub(super) fn learn(&mut self, event: &AuditEvent, keys: &Keys, trained: impl Fn(KeyFamily, u64) -> bool) {
        let (hour, day) = (event.event_time.hour(), event.event_time.day());
        let may_add_actor = self.actors.len() < MAX_ACTORS;
        for family in KeyFamily::ALL {
            let Some(key) = keys.get(family) else { continue };
            if trained(family, key) {
                continue;
            }
            let known_actor = self.actors.contains_key(event.actor.name.as_ref());
            if !known_actor && !may_add_actor {
                return;
            }
            let recent = self.actors.entry(event.actor.name.clone()).or_default();
            if let Some(r) = recent.get_mut(&(family, key)) {
                if hour > r.last_hour {
                    r.hours = r.hours.saturating_add(1);
                    r.last_hour = hour;
                }
                if day > r.last_day {
                    r.days = r.days.saturating_add(1);
                    r.last_day = day;
                }
            } else {
                if recent.len() >= MAX_RECENT {
                    let oldest = recent.iter().min_by_key(|(key, r)| (r.last_hour, **key)).map(|(key, _)| *key);
                    oldest.and_then(|key| recent.remove(&key));
                }
                recent.insert((family, key), Recent { hours: 1, last_hour: hour, days: 1, last_day: day });
            }
        }
    }
}
