//! Hierarchical novelty: how surprising is this value for this actor, backing off to its peers and then to
//! the cluster (Witten–Bell).
//!
//! For each key family (what was done, where, with which client, from where, …):
//!
//! ```text
//! p_c = (t_c + 0.5) / (n_c + 0.5·V)            V = distinct values + 1
//! p_g = (t_g + m_g·p_c) / (n_g + m_g)          m = distinct values + 1
//! p_a = (t_a + m_a·p_g) / (n_a + m_a)          t = count of all values that are no more frequent than this one
//! s   = min(−ln p_a, 14) / (1 + d)             d = earlier days on which it was seen without being known yet
//! event: S = s(1) + s(2)/2 + s(3)/4 + w(action)/(1 + c_a(action))
//! ```
//!
//! An unseen name of a secret counts as any unseen name (0.5·V instead of 0.5 in p_c). A node is judged by p_g where that is
//! larger. An account without history has half the surprise that its peers would have. Reasons: docs/adr/0009.
//!
//! The weight of a sensitive action fades with the actor's own history of that action, so that a nightly
//! backup that reads every secret does not carry the weight for ever.
//!
//! Cost: O(families) map look-ups an event. Memory: at most [`MAX_KEYS`] known keys and as many
//! glimpsed ones per actor and family.

mod assume;
mod build;
mod keys;
mod levels;
mod state;

pub use assume::{KNOWN_HOURS, habit_keys, tell};
pub use build::NoveltyBuilder;
pub(crate) use keys::ACROSS;
pub use keys::{FAMILIES, KeyFamily, KeyHasher, Keys, observed};
pub use state::NoveltyState;
use state::Recents;

use std::collections::BTreeMap;

use leadsman_domain::{ActorClass, AuditEvent, Baseline};
use serde::{Deserialize, Serialize};

use crate::action::sensitivity;

/// Most keys remembered per actor and family; beyond it the rarest are forgotten, and so look new again.
pub const MAX_KEYS: usize = 256;
/// Cap of one key's surprise, in nats.
pub const MAX_SURPRISE: f64 = 14.0;

/// How often a level of the hierarchy saw each value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Weight of all values.
    total: f64,
    /// Distinct values; on upper levels one counts by how far it is shared.
    values: f64,
    keys: BTreeMap<u64, KeyCount>,
}

/// Count of one value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct KeyCount {
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
    /// Fills in the tails, once all values are counted.
    fn with_tails(mut self) -> Self {
        let mut order: Vec<(f64, u64)> = self.keys.iter().map(|(key, count)| (count.weight, *key)).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut below = 0.0;
        for equal in order.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
            below += equal.iter().map(|(weight, _)| weight).sum::<f64>();
            for (_, key) in equal {
                if let Some(count) = self.keys.get_mut(key) {
                    count.tail = below;
                }
            }
        }
        self
    }

    fn get(&self, key: u64) -> KeyCount {
        self.keys.get(&key).copied().unwrap_or_default()
    }

    fn distinct(&self) -> f64 {
        self.values + 1.0
    }
}

/// One actor's learned history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActorProfile {
    /// Its class.
    pub class: ActorClass,
    /// Index of its peer group.
    pub group: u32,
    /// Distinct days on which it was active.
    pub active_days: u32,
    families: [Counts; FAMILIES],
}

/// Actors that are judged by each other's habits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerGroup {
    /// What they are called in explanations.
    pub name: String,
    /// How many they are.
    pub members: u32,
    families: [Counts; FAMILIES],
}

/// What was normal during training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoveltyModel {
    hasher: KeyHasher,
    /// Days of history behind the model.
    pub history_days: f64,
    actors: BTreeMap<Box<str>, ActorProfile>,
    groups: Vec<PeerGroup>,
    /// Whether actors are judged by their group as well, or only compared with it in explanations.
    peers: bool,
    /// Peer group of an actor that was never seen, by class.
    class_group: BTreeMap<ActorClass, u32>,
    cluster: [Counts; FAMILIES],
}

/// One key family's part in an event's surprise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyPart {
    /// The family; `None` for the weight of a sensitive action.
    pub family: Option<KeyFamily>,
    /// Nats, already weighted: the parts of an event sum to its surprise.
    pub nats: f64,
    /// Whether the actor never showed this value before.
    pub first_seen: bool,
    /// What was observed, rendered safe.
    pub observed: String,
    /// What is usual.
    pub baseline: Baseline,
}

/// How surprising an event is, before explanation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventNovelty {
    keys: Keys,
    nats: [f64; FAMILIES],
    first: [bool; FAMILIES],
    /// Weight of the action before it fades.
    weight: f64,
    /// Weight of a sensitive action, already faded by history.
    sensitivity: f64,
    /// Total surprise S in nats.
    pub total: f64,
    /// Strongest single key in nats.
    pub strongest: f64,
}

/// What the surprise of an account without history counts for. To a newcomer everything is new; a new operator or
/// pipeline would outdo every stolen credential. Whoever creates the account and binds its rights has a history.
const NEWCOMER: f64 = 0.5;

/// Weights of the strongest, second and third key.
const RANK_WEIGHTS: [f64; 3] = [1.0, 0.5, 0.25];

impl EventNovelty {
    fn new(keys: Keys, nats: [f64; FAMILIES], first: [bool; FAMILIES], weight: f64, known_action: f64) -> Self {
        let sensitivity = weight / (1.0 + known_action);
        let mut novelty = Self { keys, nats, first, weight, sensitivity, total: 0.0, strongest: 0.0 };
        let order = novelty.ranked();
        novelty.strongest = nats[order[0]];
        novelty.total = sensitivity + RANK_WEIGHTS.iter().zip(order).map(|(w, i)| w * nats[i]).sum::<f64>();
        novelty
    }

    /// The keys it was judged by.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// How many families saw a value that is new for the actor.
    #[must_use]
    pub fn first_seen(&self) -> u32 {
        self.first.iter().map(|&f| u32::from(f)).sum()
    }

    /// Families by descending surprise; ties by declaration order.
    fn ranked(&self) -> [usize; FAMILIES] {
        let mut order = std::array::from_fn(|i| i);
        order.sort_by(|&a: &usize, &b: &usize| self.nats[b].total_cmp(&self.nats[a]).then(a.cmp(&b)));
        order
    }
}

impl NoveltyModel {
    /// The peer group of an actor.
    #[must_use]
    pub fn group_of(&self, name: &str, class: ActorClass) -> Option<&PeerGroup> {
        let index = self.actors.get(name).map(|a| a.group).or_else(|| self.class_group.get(&class).copied())?;
        self.groups.get(index as usize)
    }

    /// The peer group that an actor's surprise backs off to, if it does.
    fn judging_group(&self, name: &str, class: ActorClass) -> Option<&PeerGroup> {
        if self.peers { self.group_of(name, class) } else { None }
    }

    /// The learned history of an actor.
    #[must_use]
    pub fn actor(&self, name: &str) -> Option<&ActorProfile> {
        self.actors.get(name)
    }

    /// How many actors were learned.
    #[must_use]
    pub fn actor_count(&self) -> usize {
        self.actors.len()
    }

    /// The learned peer groups.
    #[must_use]
    pub fn groups(&self) -> &[PeerGroup] {
        &self.groups
    }

    /// How many actors were seen in training from the network that an event came from; 0 when it names none.
    #[must_use]
    pub fn source_sharing(&self, novelty: &EventNovelty) -> u32 {
        let source = KeyFamily::Source;
        novelty.keys.get(source).map_or(0, |key| self.cluster[source as usize].get(key).actors)
    }

    /// How surprising `event` is, given the model and what `state` learned since. Learns nothing.
    #[must_use]
    pub fn judge(&self, event: &AuditEvent, state: &NoveltyState) -> EventNovelty {
        let keys = Keys::of(event, &self.hasher);
        let profile = self.actors.get(event.actor.name.as_ref());
        let group = self.judging_group(&event.actor.name, event.actor.class);
        let mut nats = [0.0; FAMILIES];
        let mut first = [false; FAMILIES];
        let trust = if profile.is_some() { 1.0 } else { NEWCOMER };
        let recents = state.of(&event.actor.name, event.event_time.hour());
        for family in KeyFamily::ALL {
            let i = family as usize;
            if let Some(key) = keys.get(family) {
                let own = own_count(profile, recents, family, key);
                // What was new yesterday is not known yet, but it is no news either: whoever looks has seen it.
                let trained = profile.map_or(0, |p| p.families[i].get(key).days);
                let since = recents.map_or(0, |r| r.earlier_days(family, key, event.event_time.day()));
                let earlier = if own > 0.0 { 0 } else { trained + since };
                nats[i] = trust * self.surprise(profile, group, family, key, own) / (1.0 + f64::from(earlier));
                first[i] = own <= 0.0 && earlier == 0;
            }
        }
        let known_action =
            keys.get(KeyFamily::Action).map_or(0.0, |key| own_count(profile, recents, KeyFamily::Action, key));
        let weight = if event.succeeded() { sensitivity(event) } else { 0.0 };
        EventNovelty::new(keys, nats, first, weight, known_action)
    }

    /// The parts of an event's surprise, strongest first; their nats sum to `novelty.total`.
    #[must_use]
    pub fn parts(&self, event: &AuditEvent, novelty: &EventNovelty, state: &NoveltyState) -> Vec<KeyPart> {
        let profile = self.actors.get(event.actor.name.as_ref());
        let mut parts: Vec<KeyPart> = RANK_WEIGHTS
            .iter()
            .zip(novelty.ranked())
            .filter_map(|(weight, i)| {
                let family = KeyFamily::ALL[i];
                let key = novelty.keys.get(family)?;
                Some(KeyPart {
                    family: Some(family),
                    nats: weight * novelty.nats[i],
                    first_seen: novelty.first[i],
                    observed: observed(event, family),
                    baseline: self.baseline(event, profile, state, family, key),
                })
            })
            .filter(|p| p.nats > 0.0)
            .collect();
        if let (true, Some(key)) = (novelty.sensitivity > 0.0, novelty.keys.get(KeyFamily::Action)) {
            parts.push(KeyPart {
                family: None,
                nats: novelty.sensitivity,
                first_seen: false,
                observed: observed(event, KeyFamily::Action),
                baseline: self.baseline(event, profile, state, KeyFamily::Action, key),
            });
        }
        parts
    }

    /// Lets `state` learn from an event that was judged before.
    pub fn learn(&self, event: &AuditEvent, novelty: &EventNovelty, state: &mut NoveltyState) {
        state.learn(event, &novelty.keys, |family, key| {
            self.actors
                .get(event.actor.name.as_ref())
                .is_some_and(|a| a.families[family as usize].get(key).weight > 0.0)
        });
    }

    /// Surprise of one key, in nats.
    fn surprise(
        &self,
        profile: Option<&ActorProfile>,
        group: Option<&PeerGroup>,
        family: KeyFamily,
        key: u64,
        own: f64,
    ) -> f64 {
        let i = family as usize;
        let cluster = &self.cluster[i];
        // Names are made up all the time: what counts is how often one is new, not that it is this one.
        let unseen =
            if family == KeyFamily::SecretName && cluster.get(key).weight <= 0.0 { cluster.distinct() } else { 1.0 };
        let p_c = (cluster.get(key).tail + 0.5 * unseen) / (cluster.total + 0.5 * cluster.distinct());
        let back_off = |counts: &Counts, tail: f64, parent: f64| {
            let m = counts.distinct();
            (tail + m * parent) / (counts.total + m).max(tail + m)
        };
        let p_g = group.map_or(p_c, |g| {
            let counts = &g.families[i];
            back_off(counts, counts.get(key).tail, p_c)
        });
        let p = match profile {
            Some(p) => {
                let p_a = back_off(&p.families[i], p.families[i].get(key).tail.max(own), p_g);
                // Machines of one kind are interchangeable: neither what a node does nor what others do is news.
                if p.class == ActorClass::Node { p_a.max(p_g) } else { p_a }
            }
            // An actor without history is judged by its peers; what it did since training counts as its own.
            None => (own + p_g) / (own + 1.0),
        };
        (-p.ln()).clamp(0.0, MAX_SURPRISE)
    }

    fn baseline(
        &self,
        event: &AuditEvent,
        profile: Option<&ActorProfile>,
        state: &NoveltyState,
        family: KeyFamily,
        key: u64,
    ) -> Baseline {
        let i = family as usize;
        let group = self.group_of(&event.actor.name, event.actor.class);
        let own = profile.map_or(0, |p| p.families[i].get(key).hours);
        let members = group.map_or(0, |g| g.members);
        let with_key = group.map_or(0, |g| g.families[i].get(key).actors);
        let (others, others_with_key) = match profile {
            Some(_) => (members.saturating_sub(1), with_key.saturating_sub(u32::from(own > 0))),
            None => (members, with_key),
        };
        let cluster = &self.cluster[i];
        Baseline {
            own: own_count(profile, state.of(&event.actor.name, event.event_time.hour()), family, key),
            own_days: f64::from(profile.map_or(0, |p| p.active_days)),
            peers: u64::from(others_with_key),
            peers_of: u64::from(others),
            cluster_rate: cluster.get(key).weight / cluster.total.max(1.0),
        }
    }
}

/// Hours for which an actor is known for a key.
fn own_count(profile: Option<&ActorProfile>, recents: Option<&Recents>, family: KeyFamily, key: u64) -> f64 {
    let trained = profile.map_or(0.0, |p| p.families[family as usize].get(key).weight);
    trained + f64::from(recents.map_or(0, |r| r.known_hours(family, key)))
}

#[cfg(test)]
mod tests;
