use std::collections::{BTreeMap, BTreeSet};

use leadsman_domain::{ActorClass, AuditEvent, Timestamp};

use super::levels::{self, Glimpsed, Known};
use super::{
    ActorProfile, Counts, FAMILIES, KeyFamily, KeyHasher, KeyMemo, Keys, Learned, MAX_KEYS, NoveltyModel, PeerGroup,
};
use crate::DetectError;
use crate::peers::{self, ActorActivity};

/// Most keys that are counted per actor and family while training; what is invented beyond that is not learned.
const MAX_COUNTED: usize = 16 * MAX_KEYS;

/// Counts what actors do over a training period. Cost: O(families) an event.
#[derive(Debug, Clone)]
pub struct NoveltyBuilder {
    hasher: KeyHasher,
    seed: u64,
    peers: bool,
    memo: KeyMemo,
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
    first_hour: i64,
    days: u32,
    last_day: i64,
}

impl NoveltyBuilder {
    /// An empty builder; without `peers`, actors are judged by their own history and the cluster alone, and peers are
    /// told of only.
    #[must_use]
    pub fn new(seed: u64, peers: bool) -> Self {
        Self {
            hasher: KeyHasher::new(seed),
            seed,
            peers,
            memo: KeyMemo::default(),
            actors: BTreeMap::new(),
            span: None,
        }
    }

    /// Counts one event: at most once an actor, key and hour, so that volume does not make a habit.
    pub fn add(&mut self, event: &AuditEvent) {
        let time = event.event_time;
        self.span = Some(self.span.map_or((time, time), |(from, to)| (from.min(time), to.max(time))));
        let keys = Keys::remembering(event, &self.hasher, &mut self.memo);
        let history = self.actors.entry((*event.actor.name).into()).or_insert_with(|| ActorHistory {
            class: event.actor.class,
            days: BTreeSet::new(),
            families: std::array::from_fn(|_| BTreeMap::new()),
        });
        history.days.insert(time.day());
        for family in KeyFamily::ALL {
            let Some(key) = keys.get(family) else { continue };
            let keys = &mut history.families[family as usize];
            if keys.len() < MAX_COUNTED || keys.contains_key(&key) {
                keys.entry(key).or_insert(KeyHours::new(time)).add(time);
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
        let grouping = peers::group(&activity, self.seed)?;
        let mut groups: Vec<PeerGroup> = grouping
            .names
            .into_iter()
            .map(|name| PeerGroup { name, members: 0, families: Default::default() })
            .collect();
        let known = KnownKeys::new(&self.actors, from, to);
        let mut cluster: [Counts; FAMILIES] = Default::default();
        let mut actors = BTreeMap::new();
        for ((name, history), &index) in self.actors.iter().zip(&grouping.of_actor) {
            if let Some(group) = groups.get_mut(index as usize) {
                group.members += 1;
            }
            let families = std::array::from_fn(|i| levels::own(&known.of(history, i), &known.glimpsed(history, i)));
            let active_days = u32::try_from(history.days.len()).unwrap_or(u32::MAX);
            let usual = Default::default();
            let profile = ActorProfile { class: history.class, group: index, active_days, families, usual };
            actors.insert(name.clone(), profile);
        }
        for (i, level) in cluster.iter_mut().enumerate() {
            let of_actor: Vec<Vec<Known>> = self.actors.values().map(|history| known.of(history, i)).collect();
            let mut members: Vec<Vec<&[Known]>> = vec![Vec::new(); groups.len()];
            for (keys, group) in of_actor.iter().zip(&grouping.of_actor) {
                members.get_mut(*group as usize).into_iter().for_each(|m| m.push(keys));
            }
            for (group, members) in groups.iter_mut().zip(members) {
                group.families[i] = levels::upper(&members);
            }
            let all: Vec<&[Known]> = of_actor.iter().map(Vec::as_slice).collect();
            *level = levels::upper(&all);
        }
        Ok(NoveltyModel::from(Learned {
            hasher: self.hasher.clone(),
            history_days: to.seconds_since(from) / 86_400.0,
            actors,
            groups,
            peers: self.peers,
            class_group: grouping.of_class,
            cluster,
        }))
    }
}

impl KeyHours {
    fn new(time: Timestamp) -> Self {
        Self { hours: 0, last_hour: i64::MIN, first_hour: time.hour(), days: 0, last_day: i64::MIN }
    }

    fn add(&mut self, time: Timestamp) {
        if time.day() > self.last_day {
            self.days = self.days.saturating_add(1);
            self.last_day = time.day();
        }
        if time.hour() > self.last_hour {
            self.hours = self.hours.saturating_add(1);
            self.last_hour = time.hour();
        }
    }
}

/// Which keys are known: seen on three distinct days, or by a second actor as well for a day.
struct KnownKeys {
    /// Actors that showed a key of a family, and the hour it was first seen.
    sharing: BTreeMap<(usize, u64), (u32, i64)>,
    days_needed: u32,
    now: i64,
}

/// Distinct days after which a key is known; fewer where training is shorter than twice that.
const KNOWN_DAYS: u32 = 3;
/// Actors that make a key known sooner, and the age it has to have.
const KNOWN_ACTORS: u32 = 2;
const KNOWN_AGE_HOURS: i64 = 24;

impl KnownKeys {
    fn new(actors: &BTreeMap<Box<str>, ActorHistory>, from: Timestamp, now: Timestamp) -> Self {
        let mut sharing = BTreeMap::new();
        for (i, keys) in actors.values().flat_map(|h| h.families.iter().enumerate()) {
            for (key, seen) in keys {
                let (actors, first): &mut (u32, i64) = sharing.entry((i, *key)).or_insert((0, i64::MAX));
                *actors += 1;
                *first = seen.first_hour.min(*first);
            }
        }
        let days = (now.hour() - from.hour()) as f64 / 24.0;
        let days_needed = KNOWN_DAYS.min((days / 2.0).ceil() as u32).max(1);
        Self { sharing, days_needed, now: now.hour() }
    }

    fn holds(&self, family: usize, key: u64, seen: &KeyHours) -> bool {
        let sharing = self.sharing.get(&(family, key));
        let shared = sharing.is_some_and(|(actors, first)| {
            *actors >= KNOWN_ACTORS && self.now.saturating_sub(*first) >= KNOWN_AGE_HOURS
        });
        seen.days >= self.days_needed || shared
    }

    /// Keys of an actor in a family that are not known: at most [`MAX_KEYS`], those with the most days.
    fn glimpsed(&self, history: &ActorHistory, family: usize) -> Vec<Glimpsed> {
        let keys = history.families[family].iter().filter(|(key, seen)| !self.holds(family, **key, seen));
        let mut all: Vec<Glimpsed> =
            keys.map(|(key, seen)| Glimpsed { key: *key, hours: seen.hours, days: seen.days }).collect();
        all.sort_by(|a, b| b.days.cmp(&a.days).then(a.key.cmp(&b.key)));
        all.truncate(MAX_KEYS);
        all
    }

    /// The known keys of an actor in a family: the [`MAX_KEYS`] with the most hours.
    fn of(&self, history: &ActorHistory, family: usize) -> Vec<Known> {
        let keys = history.families[family].iter().filter(|(key, seen)| self.holds(family, **key, seen));
        let mut known: Vec<Known> = keys.map(|(key, seen)| Known { key: *key, hours: seen.hours }).collect();
        known.sort_by(|a, b| b.hours.cmp(&a.hours).then(a.key.cmp(&b.key)));
        known.truncate(MAX_KEYS);
        known
    }
}
