use std::collections::HashMap;
use std::fmt;

use crate::TableHash;

/// What follows from texts and was worked out before. Logs repeat themselves: looking up takes a fraction of what working
/// out takes.
///
/// Bounded: when it is full, all is forgotten, so that a client that invents texts costs what it would cost without. Its
/// hash has another seed in each process, because clients choose the texts.
#[derive(Clone)]
pub struct Memo<V> {
    known: HashMap<Box<[u8]>, V, TableHash>,
    most: usize,
}

impl<V> Memo<V> {
    /// An empty one for at most so many texts.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { known: HashMap::default(), most }
    }

    /// What is known of a text.
    #[must_use]
    pub fn get(&self, text: &[u8]) -> Option<&V> {
        self.known.get(text)
    }

    /// Remembers what follows from a text.
    pub fn insert(&mut self, text: &[u8], value: V) {
        if self.known.len() >= self.most {
            self.known.clear();
        }
        self.known.insert(text.into(), value);
    }

    /// The texts, in no order.
    pub fn texts(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.known.keys().map(AsRef::as_ref)
    }
}

/// Shows nothing that a client sent.
impl<V> fmt::Debug for Memo<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memo(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut memo = Memo::new(10);
        for n in 0..95_u32 {
            memo.insert(&n.to_le_bytes(), n);
            assert_eq!(memo.get(&n.to_le_bytes()), Some(&n));
            assert!(memo.texts().len() <= 10);
        }
        assert_eq!((memo.texts().len(), memo.get(&89_u32.to_le_bytes())), (5, None));
    }
}
