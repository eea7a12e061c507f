use std::fmt;

use leadsman_domain::Memo;

use super::keys::BINS;
use super::{KeyFamily, KeyHasher};

/// Most texts remembered of a kind.
pub(super) const MAX_TEXTS: usize = 16_384;
/// No text holds this byte, because it stands nowhere in UTF-8.
const BORDER: u8 = 0xff;

/// Keys that were computed before. Logs repeat themselves, and looking a key up takes a fraction of what hashing takes.
///
/// It changes no key and belongs to no state: everything in it follows from the hasher.
#[derive(Clone)]
pub struct KeyMemo {
    hasher: Option<KeyHasher>,
    /// Action, place and outcome, by what all three are made of.
    done: Memo<[u64; 3]>,
    /// The other keys, by family and value.
    others: Memo<u64>,
    hours: [Option<u64>; BINS],
    text: Vec<u8>,
}

impl Default for KeyMemo {
    fn default() -> Self {
        let (done, others) = (Memo::new(MAX_TEXTS), Memo::new(MAX_TEXTS));
        Self { hasher: None, done, others, hours: [None; BINS], text: Vec::new() }
    }
}

/// Shows nothing that a client sent.
impl fmt::Debug for KeyMemo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyMemo(…)")
    }
}

/// Two memories differ in nothing that counts.
impl PartialEq for KeyMemo {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl KeyMemo {
    /// Forgets the keys of any other hasher.
    pub(super) fn begin(&mut self, hasher: &KeyHasher) {
        if self.hasher.as_ref() != Some(hasher) {
            *self = Self { hasher: Some(hasher.clone()), ..Self::default() };
        }
    }

    /// The three keys of what was done.
    pub(super) fn done(&mut self, fields: &[&str], keys: impl FnOnce() -> [u64; 3]) -> [u64; 3] {
        join(&mut self.text, fields);
        recall(&mut self.done, &self.text, keys)
    }

    /// The key of a bin of the week.
    pub(super) fn hour(&mut self, bin: usize, key: impl FnOnce() -> u64) -> u64 {
        *self.hours[bin].get_or_insert_with(key)
    }

    /// The key of one family.
    pub(super) fn key(&mut self, family: KeyFamily, fields: &[&str], key: impl FnOnce() -> u64) -> u64 {
        join(&mut self.text, fields);
        self.text.push(family as u8);
        recall(&mut self.others, &self.text, key)
    }
}

#[cfg(test)]
impl KeyMemo {
    pub(super) fn len(&self) -> usize {
        self.done.texts().len() + self.others.texts().len()
    }
}

fn join(text: &mut Vec<u8>, fields: &[&str]) {
    text.clear();
    for field in fields {
        text.extend_from_slice(field.as_bytes());
        text.push(BORDER);
    }
}

fn recall<V: Copy>(known: &mut Memo<V>, text: &[u8], value: impl FnOnce() -> V) -> V {
    if let Some(value) = known.get(text) {
        return *value;
    }
    let value = value();
    known.insert(text, value);
    value
}
