//! Counts of the members of a small set.

use leadsman_domain::{ActorClass, Level, Stage, Verb};
use serde::{Serialize, Serializer};

/// A member of a set whose members are numbered from 0.
pub trait Member: Copy {
    /// Its number.
    fn number(self) -> usize;
}

/// How often each member of a set was seen, in the order of the set. Counting searches nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts<K>(Vec<Option<(K, u64)>>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Member> Counts<K> {
    /// Counts `n` more of `member`.
    pub fn add(&mut self, member: K, n: u64) {
        let number = member.number();
        if number >= self.0.len() {
            self.0.resize(number + 1, None);
        }
        if let Some(count) = self.0.get_mut(number) {
            count.get_or_insert((member, 0)).1 += n;
        }
    }

    /// Adds every count of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (member, n) in other.iter() {
            self.add(member, n);
        }
    }

    /// What was seen and how often.
    pub fn iter(&self) -> impl Iterator<Item = (K, u64)> + '_ {
        self.0.iter().flatten().copied()
    }

    /// How often anything was seen.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.iter().map(|(_, n)| n).sum()
    }
}

/// An object of counts by name.
impl<K: Member + Serialize> Serialize for Counts<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

macro_rules! members {
    ($($set:ty),*) => {
        $(impl Member for $set {
            fn number(self) -> usize {
                self as usize
            }
        })*
    };
}

members!(ActorClass, Level, Stage, Verb);
