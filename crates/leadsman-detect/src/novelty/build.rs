use std::collections::{BTreeMap, BTreeSet};

use leadsman_domain::{ActorClass, AuditEvent, Timestamp};

use super::{ActorProfile, Counts, FAMILIES, KeyCount, KeyFamily, KeyHasher, Keys, MAX_KEYS, NoveltyModel, PeerGroup};
use crate::DetectError;
use crate::peers::{self, ActorActivity, Grouping};

/// Counts what actors do over a training period. Cost: O(families) an event.
#[derive(Debug, Clone)]
pub struct NoveltyBuilder {
    hasher: KeyHasher,
    seed: u64,
    peers: bool,
    actors: BTreeMap<Box<str>, ActorHistory>,
    span: Option<(Timestamp, Timestamp)>,
}

#[derive(Debug, Clone)]
struct ActorHistory {
    class: ActorClass,
    days: BTreeSet<i64>,
    families: [BTreeMap<u64, KeyHours>; FAMILIES],
}

#[derive(Debug, Clone, Copy)]
struct KeyHours {
    hours: u32,
    last_hour: i64,
}

impl NoveltyBuilder {
    /// An empty builder; without `peers`, actors are judged by their own history and the cluster alone.
    #[must_use]
    pub fn new(seed: u64, peers: bool) -> Self {
        Self { hasher: KeyHasher::new(seed), seed, peers, actors: BTreeMap::new(), span: None }
    }

    /// Counts one event: at most once an actor, key and hour, so that volume does not make a habit.
    pub fn add(&mut self, event: &AuditEvent) {
        let time = event.event_time;
        self.span = Some(self.span.map_or((time, time), |(from, to)| (from.min(time), to.max(time))));
        let keys = Keys::of(event, &self.hasher);
        let history = self.actors.entry(event.actor.name.clone()).or_insert_with(|| ActorHistory {
            class: event.actor.class,
            days: BTreeSet::new(),
            families: std::array::from_fn(|_| BTreeMap::new()),
        });
        history.days.insert(time.day());
        for family in KeyFamily::ALL {
            let Some(key) = keys.get(family) else { continue };
            let seen =
                history.families[family as usize].entry(key).or_insert(KeyHours { hours: 0, last_hour: i64::MIN });
            if time.hour() > seen.last_hour {
                seen.hours = seen.hours.saturating_add(1);
                seen.last_hour = time.hour();
            }
        }
    }

    /// The model of everything counted so far.
    ///
    /// Errors: [`DetectError::NoData`] without a single event; [`DetectError::Clustering`] when peers cannot
    /// be formed.
    pub fn finish(&self) -> Result<NoveltyModel, DetectError> {
        let (from, to) = self.span.ok_or(DetectError::NoData { what: "audit events" })?;
        let activity: Vec<ActorActivity<'_>> = self
            .actors
            .iter()
            .map(|(name, h)| ActorActivity {
                name,
                class: h.class,
                actions: h.families[KeyFamily::Action as usize].iter().map(|(k, v)| (*k, v.hours)).collect(),
            })
            .collect();
        let grouping = if self.peers { peers::group(&activity, self.seed)? } else { Grouping::none(activity.len()) };
        let mut groups: Vec<PeerGroup> = grouping
            .names
            .into_iter()
            .map(|name| PeerGroup { name, members: 0, families: Default::default() })
            .collect();
        let mut cluster: [Counts; FAMILIES] = Default::default();
        let mut actors = BTreeMap::new();
        for ((name, history), &index) in self.actors.iter().zip(&grouping.of_actor) {
            let mut profile = ActorProfile {
                class: history.class,
                group: index,
                active_days: u32::try_from(history.days.len()).unwrap_or(u32::MAX),
                families: Default::default(),
            };
            if let Some(group) = groups.get_mut(index as usize) {
                group.members += 1;
            }
            for (i, keys) in history.families.iter().enumerate() {
                for (key, hours) in most_frequent(keys) {
                    count(&mut profile.families[i], key, hours);
                    count(&mut cluster[i], key, hours);
                    if let Some(group) = groups.get_mut(index as usize) {
                        count(&mut group.families[i], key, hours);
                    }
                }
            }
            actors.insert(name.clone(), profile);
        }
        Ok(NoveltyModel {
            hasher: self.hasher.clone(),
            history_days: to.seconds_since(from) / 86_400.0,
            actors,
            groups,
            class_group: grouping.of_class,
            cluster,
            last_event: to,
        })
    }
}

fn count(counts: &mut Counts, key: u64, hours: u32) {
    counts.total += u64::from(hours);
    let entry: &mut KeyCount = counts.keys.entry(key).or_default();
    entry.hours = entry.hours.saturating_add(hours);
    entry.actors += 1;
}

fn most_frequent(keys: &BTreeMap<u64, KeyHours>) -> Vec<(u64, u32)> {
    let mut all: Vec<(u64, u32)> = keys.iter().map(|(k, v)| (*k, v.hours)).collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    all.truncate(MAX_KEYS);
    all
}
