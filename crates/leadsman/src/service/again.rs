//! Partitions that Kafka takes for ours and that nobody here works on: their commit was fenced, or the lake was out of
//! reach. Most are taken away soon, because another member owns them; what is not is claimed anew.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use leadsman_domain::SourceId;

use super::Service;
use super::events::LakeWaits;
use super::partition::{is_fenced, lake_error};

/// A source and its partition.
pub type Key = (SourceId, i32);

/// How long a fenced partition waits for the group to take it away: a session and a rebalance. One that is claimed too
/// early would fence its new owner.
const FENCED: Duration = Duration::from_secs(30);

/// How long a partition waits for the lake.
pub const LAKE: Duration = Duration::from_secs(5);

/// After how long whoever worked on a partition and ended with `error` may claim it anew.
///
/// Errors: with any other than a fenced commit or a lake out of reach.
pub fn after(service: &Service, key: &Key, error: anyhow::Error) -> Result<Duration> {
    if is_fenced(&error) {
        return Ok(FENCED);
    }
    let Some(lake) = lake_error(&error) else { return Err(error) };
    LakeWaits { source: &key.0, partition: key.1, error: lake }.emit(&service.metrics);
    Ok(LAKE)
}

/// What is to be assigned again, and when.
#[derive(Debug, Default)]
pub struct Again {
    due: BTreeMap<Key, Instant>,
}

impl Again {
    /// A partition lost whoever worked on it.
    pub fn at(&mut self, key: Key, due: Instant) {
        self.due.insert(key, due);
    }

    /// The group took it away, or gave it to us.
    pub fn forget<'a>(&mut self, keys: impl IntoIterator<Item = &'a Key>) {
        for key in keys {
            self.due.remove(key);
        }
    }

    /// Those whose time has come.
    pub fn take_due(&mut self, now: Instant) -> Vec<Key> {
        self.due.extract_if(.., |_, due| *due <= now).map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_taken_away_is_due_in_its_time() {
        let (mut again, now) = (Again::default(), Instant::now());
        let key = |n| (SourceId::new("kafka:t"), n);
        for n in 0..3 {
            again.at(key(n), now + Duration::from_secs(10 * n as u64));
        }
        again.forget(&[key(1)]);
        assert_eq!(again.take_due(now), [key(0)]);
        assert_eq!(again.take_due(now + Duration::from_secs(15)), []);
        assert_eq!(again.take_due(now + FENCED), [key(2)]);
        assert_eq!(again.take_due(now + FENCED), [], "once");
    }
}
