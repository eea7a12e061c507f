use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How often a level of the hierarchy saw each value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Counts {
    /// Weight of all values.
    pub(super) total: f64,
    /// Distinct values; on upper levels one counts by how far it is shared.
    values: f64,
    /// Ascending by key: a search in one piece of memory is several times faster than one through a tree.
    keys: Vec<(u64, KeyCount)>,
}

/// Count of one value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct KeyCount {
    /// Distinct actor-hours, for people to read.
    pub hours: u32,
    /// What it counts for; 0 when it was seen but is not known.
    pub weight: f64,
    /// What all values count for that are no more frequent than this one.
    pub tail: f64,
    /// Distinct days on which a value was seen that is not known; 0 when it is.
    pub days: u16,
    /// Distinct actors; 1 at the actor's own level.
    pub actors: u32,
}

impl Counts {
    /// Counts of `keys`, whose tails are filled in.
    pub(super) fn new(total: f64, values: f64, mut keys: BTreeMap<u64, KeyCount>) -> Self {
        let mut order: Vec<(f64, u64)> = keys.iter().map(|(key, count)| (count.weight, *key)).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut below = 0.0;
        for equal in order.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
            below += equal.iter().map(|(weight, _)| weight).sum::<f64>();
            for (_, key) in equal {
                if let Some(count) = keys.get_mut(key) {
                    count.tail = below;
                }
            }
        }
        Self { total, values, keys: keys.into_iter().collect() }
    }

    /// Where a key stands among [`Self::iter`].
    pub(super) fn position(&self, key: u64) -> Option<usize> {
        self.keys.binary_search_by_key(&key, |(k, _)| *k).ok()
    }

    pub(super) fn get(&self, key: u64) -> KeyCount {
        self.position(key).map(|at| self.keys[at].1).unwrap_or_default()
    }

    pub(super) fn at(&self, position: usize) -> KeyCount {
        self.keys.get(position).map(|(_, count)| *count).unwrap_or_default()
    }

    /// Every key and its count, ascending by key.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, KeyCount)> {
        self.keys.iter().copied()
    }

    pub(super) fn distinct(&self) -> f64 {
        self.values + 1.0
    }
}
