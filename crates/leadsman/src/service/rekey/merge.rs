//! Several logs as one, in the order of time.

use std::collections::{BTreeMap, VecDeque};

use leadsman_domain::Timestamp;

/// Something with a place in time.
pub trait Timed {
    /// When it happened; the beginning of 1970 for what can go at any time.
    fn time(&self) -> Timestamp;
}

/// Logs that are read side by side. What is next is the oldest of their heads, once each of them has one or is known
/// to have been read to its end: partitions of a backlog are read at different speeds, and an event that came out far
/// behind later ones would be late for its window.
#[derive(Debug)]
pub struct Merge<K, P> {
    logs: BTreeMap<K, Log<P>>,
}

#[derive(Debug)]
struct Log<P> {
    waiting: VecDeque<P>,
    at_end: bool,
}

impl<K, P> Default for Merge<K, P> {
    fn default() -> Self {
        Self { logs: BTreeMap::new() }
    }
}

impl<K: Ord + Clone, P: Timed> Merge<K, P> {
    /// Reads one log more.
    pub fn add(&mut self, key: K) {
        self.logs.insert(key, Log { waiting: VecDeque::new(), at_end: false });
    }

    /// Stops reading a log and forgets what waits of it.
    pub fn remove(&mut self, key: &K) {
        self.logs.remove(key);
    }

    /// More of a log; nothing says that it was read to its end.
    pub fn push(&mut self, key: &K, pieces: Vec<P>) {
        if let Some(log) = self.logs.get_mut(key) {
            log.at_end = pieces.is_empty();
            log.waiting.extend(pieces);
        }
    }

    /// Logs that something waits for: they have no head and may have one yet.
    pub fn awaited(&self) -> Vec<K> {
        if self.logs.values().all(|log| log.waiting.is_empty()) {
            return Vec::new();
        }
        let awaited = self.logs.iter().filter(|(_, log)| log.waiting.is_empty() && !log.at_end);
        awaited.map(|(key, _)| key.clone()).collect()
    }

    /// The next in time, if it is certain, or if `forced` to do without certainty.
    pub fn next(&mut self, forced: bool) -> Option<(K, P)> {
        if !forced && self.logs.values().any(|log| log.waiting.is_empty() && !log.at_end) {
            return None;
        }
        let heads = self.logs.iter().filter_map(|(key, log)| Some((log.waiting.front()?.time(), key)));
        let key = heads.min()?.1.clone();
        let piece = self.logs.get_mut(&key)?.waiting.pop_front()?;
        Some((key, piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct At(i64);

    impl Timed for At {
        fn time(&self) -> Timestamp {
            Timestamp::from_millis(self.0)
        }
    }

    fn drain(merge: &mut Merge<&str, At>, forced: bool) -> Vec<i64> {
        std::iter::from_fn(|| merge.next(forced)).map(|(_, At(time))| time).collect()
    }

    fn at(times: &[i64]) -> Vec<At> {
        times.iter().copied().map(At).collect()
    }

    #[test]
    fn what_comes_out_is_in_order_whatever_the_logs_deliver_first() {
        let mut merge = Merge::default();
        ["a", "b", "c"].into_iter().for_each(|key| merge.add(key));
        assert!(merge.awaited().is_empty(), "nothing waits");
        merge.push(&"a", at(&[1, 4, 7]));
        merge.push(&"b", at(&[2, 5]));
        assert_eq!(merge.awaited(), ["c"]);
        assert_eq!(drain(&mut merge, false), [0i64; 0], "c may hold something older");
        merge.push(&"c", at(&[3, 6]));
        assert_eq!(drain(&mut merge, false), [1, 2, 3, 4, 5], "b ran dry, and is not at its end");
        merge.push(&"b", Vec::new());
        assert_eq!(drain(&mut merge, false), [6], "now c did");
        merge.push(&"c", Vec::new());
        assert!(merge.awaited().is_empty());
        assert_eq!(drain(&mut merge, false), [7]);
    }

    #[test]
    fn a_log_that_ends_or_goes_holds_nobody_up() {
        let mut merge = Merge::default();
        ["a", "b", "c"].into_iter().for_each(|key| merge.add(key));
        merge.push(&"a", at(&[1, 2]));
        merge.push(&"b", Vec::new());
        merge.remove(&"c");
        assert_eq!(drain(&mut merge, false), [1, 2]);
        merge.push(&"a", at(&[3]));
        merge.push(&"b", at(&[0]));
        merge.push(&"gone", at(&[9]));
        assert_eq!(drain(&mut merge, true), [0, 3], "forced, the oldest of what is there");
    }
}
