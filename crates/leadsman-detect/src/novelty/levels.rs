//! Counts of the levels of the hierarchy, from what is known of each actor.

use std::collections::BTreeMap;

use super::{Counts, KeyCount};

/// A known key of one actor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) key: u64,
    /// Distinct hours.
    pub(super) hours: u32,
}

/// A key that an actor showed too seldom to be known for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Glimpsed {
    pub(super) key: u64,
    /// Distinct hours, and days.
    pub(super) hours: u32,
    pub(super) days: u32,
}

/// An actor makes up at most this share of an upper level, or as much as the others do on average if that is more.
const MAX_SHARE: f64 = 0.005;

/// Counts of one actor.
pub(super) fn own(known: &[Known], glimpsed: &[Glimpsed]) -> Counts {
    let mut keys = BTreeMap::new();
    let mut total = 0.0;
    for k in known {
        let weight = f64::from(k.hours);
        total += weight;
        keys.insert(k.key, KeyCount { hours: k.hours, weight, actors: 1, ..KeyCount::default() });
    }
    for k in glimpsed {
        let days = u16::try_from(k.days).unwrap_or(u16::MAX);
        keys.insert(k.key, KeyCount { hours: k.hours, days, actors: 1, ..KeyCount::default() });
    }
    Counts::new(total, known.len() as f64, keys)
}

/// Counts of several actors, which none of them can move alone.
///
/// A key of n actors counts for 1 − 1/n of its hours: what only one does is no habit of several, so nobody can teach
/// the others. And an actor that weighs more than the others do on average is scaled down to that, so that of two who
/// collude neither gains by volume or by inventing keys.
pub(super) fn upper(actors: &[&[Known]]) -> Counts {
    let weight = |keys: &[Known]| keys.iter().map(|k| f64::from(k.hours)).sum::<f64>();
    let all: f64 = actors.iter().map(|keys| weight(keys)).sum();
    let mut counts: BTreeMap<u64, KeyCount> = BTreeMap::new();
    let mut values: BTreeMap<u64, f64> = BTreeMap::new();
    for keys in actors {
        let own = weight(keys);
        let others = all - own;
        let most = (MAX_SHARE * others).max(others / (actors.len() as f64 - 1.0).max(1.0));
        let share = if own > most { most / own } else { 1.0 };
        for k in *keys {
            let count = counts.entry(k.key).or_default();
            count.hours = count.hours.saturating_add(k.hours);
            count.weight += share * f64::from(k.hours);
            count.actors += 1;
            let value = values.entry(k.key).or_default();
            *value = (*value + share).min(1.0);
        }
    }
    let (mut total, mut distinct) = (0.0, 0.0);
    for (key, count) in &mut counts {
        let shared = 1.0 - 1.0 / f64::from(count.actors);
        count.weight *= shared;
        total += count.weight;
        distinct += shared * values.get(key).copied().unwrap_or_default();
    }
    Counts::new(total, distinct, counts)
}
