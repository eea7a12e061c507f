//! Hierarchical novelty: how surprising is this value for this actor, backing off to its peers, where they judge, and
//! then to the cluster (Witten–Bell).
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
mod counts;
mod keys;
mod levels;
mod memo;
mod parts;
mod state;

pub use assume::{KNOWN_HOURS, habit_keys, tell};
pub use build::NoveltyBuilder;
use counts::{Counts, KeyCount};
pub(crate) use keys::ACROSS;
pub use keys::{FAMILIES, KeyFamily, KeyHasher, Keys, observed};
pub use memo::KeyMemo;
pub use parts::KeyPart;
pub use state::NoveltyState;
use state::{Recent, Recents};

use std::collections::BTreeMap;

use leadsman_domain::{ActorClass, AuditEvent};
use serde::{Deserialize, Serialize};

use crate::action::sensitivity;

/// Most keys remembered per actor and family; beyond it the rarest are forgotten, and so look new again.
pub const MAX_KEYS: usize = 256;
/// Cap of one key's surprise, in nats.
pub const MAX_SURPRISE: f64 = 14.0;

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
    /// Surprise of each key of `families` to an actor that did nothing since training but what it was known for. Most
    /// events show such keys only.
    #[serde(skip)]
    usual: [Vec<f64>; FAMILIES],
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
#[serde(from = "Learned")]
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

/// The model as it is stored: without what follows from the rest.
#[derive(Deserialize)]
struct Learned {
    hasher: KeyHasher,
    history_days: f64,
    actors: BTreeMap<Box<str>, ActorProfile>,
    groups: Vec<PeerGroup>,
    peers: bool,
    class_group: BTreeMap<ActorClass, u32>,
    cluster: [Counts; FAMILIES],
}

impl From<Learned> for NoveltyModel {
    fn from(learned: Learned) -> Self {
        let Learned { hasher, history_days, actors, groups, peers, class_group, cluster } = learned;
        let mut model = Self { hasher, history_days, actors, groups, peers, class_group, cluster };
        let usual: Vec<_> = model.actors.values().map(|profile| model.usual(profile)).collect();
        for (profile, usual) in model.actors.values_mut().zip(usual) {
            profile.usual = usual;
        }
        model
    }
}

/// What is known of the actor of an event: looked up once, because names are long.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'m, 's> {
    /// Its learned history.
    pub profile: Option<&'m ActorProfile>,
    group: Option<&'m PeerGroup>,
    recents: Option<&'s Recents>,
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
}

/// What the surprise of an account without history counts for. To a newcomer everything is new; a new operator or
/// pipeline would outdo every stolen credential. Whoever creates the account and binds its rights has a history.
const NEWCOMER: f64 = 0.5;

/// Weights of the strongest, second and third key.
const RANK_WEIGHTS: [f64; 3] = [1.0, 0.5, 0.25];

impl EventNovelty {
    fn new(keys: Keys, nats: [f64; FAMILIES], first: [bool; FAMILIES], weight: f64, known_action: f64) -> Self {
        let sensitivity = weight / (1.0 + known_action);
        let mut novelty = Self { keys, nats, first, weight, sensitivity, total: sensitivity };
        let strongest = RANK_WEIGHTS.iter().zip(novelty.strongest_families());
        novelty.total += strongest.map(|(w, i)| w * nats[i]).sum::<f64>();
        novelty
    }

    /// The keys it was judged by.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Whether the actor came with a client or from a network that is new for it, which no change of its workload explains.
    #[must_use]
    pub fn is_from_elsewhere(&self) -> bool {
        self.first[KeyFamily::Client as usize] || self.first[KeyFamily::Source as usize]
    }

    /// How many families saw a value that is new for the actor.
    #[must_use]
    pub fn first_seen(&self) -> u32 {
        self.first.iter().map(|&f| u32::from(f)).sum()
    }

    /// The families with the most surprise, in descending order; ties by declaration order.
    fn strongest_families(&self) -> [usize; RANK_WEIGHTS.len()] {
        let mut taken = [false; FAMILIES];
        std::array::from_fn(|_| {
            let stranger = |a: usize, b: usize| if self.nats[b].total_cmp(&self.nats[a]).is_gt() { b } else { a };
            let strongest = (0..FAMILIES).filter(|i| !taken[*i]).reduce(stranger).unwrap_or_default();
            taken[strongest] = true;
            strongest
        })
    }
}

impl NoveltyModel {
    /// The peer group of an actor.
    #[must_use]
    pub fn group_of(&self, name: &str, class: ActorClass) -> Option<&PeerGroup> {
        self.group(self.actors.get(name), class)
    }

    fn group(&self, profile: Option<&ActorProfile>, class: ActorClass) -> Option<&PeerGroup> {
        let index = profile.map(|p| p.group).or_else(|| self.class_group.get(&class).copied())?;
        self.groups.get(index as usize)
    }

    /// The peer group that an actor's surprise backs off to, if it does, of the one it belongs to.
    fn judging<'m>(&self, group: Option<&'m PeerGroup>) -> Option<&'m PeerGroup> {
        group.filter(|_| self.peers)
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

    /// What is known of the actor of `event`, at its time.
    #[must_use]
    pub fn standing<'m, 's>(&'m self, event: &AuditEvent, state: &'s NoveltyState) -> Standing<'m, 's> {
        let profile = self.actor(&event.actor.name);
        let recents = state.of(&event.actor.name, event.event_time.hour());
        Standing { profile, group: self.group(profile, event.actor.class), recents }
    }

    /// The keys of `event`.
    #[must_use]
    pub fn keys(&self, event: &AuditEvent, memo: &mut KeyMemo) -> Keys {
        Keys::remembering(event, &self.hasher, memo)
    }

    /// How surprising `event` is, given the model and what `state` learned since. Learns nothing.
    #[must_use]
    pub fn judge(&self, event: &AuditEvent, state: &NoveltyState) -> EventNovelty {
        self.judge_by(Keys::of(event, &self.hasher), event, &self.standing(event, state))
    }

    /// The same, by the keys of `event` and what is known of its actor.
    #[must_use]
    pub fn judge_by(&self, keys: Keys, event: &AuditEvent, actor: &Standing<'_, '_>) -> EventNovelty {
        let Standing { profile, group, recents } = *actor;
        let group = self.judging(group);
        let mut nats = [0.0; FAMILIES];
        let mut first = [false; FAMILIES];
        let mut known_action = 0.0;
        let trust = if profile.is_some() { 1.0 } else { NEWCOMER };
        for family in KeyFamily::ALL {
            let i = family as usize;
            let Some(key) = keys.get(family) else { continue };
            let position = profile.and_then(|p| p.families[i].position(key));
            let trained = profile.zip(position).map_or_else(KeyCount::default, |(p, at)| p.families[i].at(at));
            let recent = recents.and_then(|r| r.get(family, key));
            let own = trained.weight + f64::from(recent.map_or(0, Recent::known_hours));
            // What was new yesterday is not known yet, but it is no news either: whoever looks has seen it.
            let since = recent.map_or(0, |r| r.earlier_days(event.event_time.day()));
            let earlier = if own > 0.0 { 0 } else { trained.days + since };
            let surprise = match profile.zip(position) {
                Some((p, at)) if recent.is_none() => p.usual[i].get(at).copied().unwrap_or_default(),
                Some(_) | None => self.surprise(profile, group, family, key, own),
            };
            nats[i] = trust * surprise / (1.0 + f64::from(earlier));
            first[i] = own <= 0.0 && earlier == 0;
            if family == KeyFamily::Action {
                known_action = own;
            }
        }
        let weight = if event.succeeded() { sensitivity(event) } else { 0.0 };
        EventNovelty::new(keys, nats, first, weight, known_action)
    }

    /// Surprise of each key of an actor that did nothing since training but what it was known for.
    fn usual(&self, profile: &ActorProfile) -> [Vec<f64>; FAMILIES] {
        let group = self.judging(self.group(Some(profile), profile.class));
        KeyFamily::ALL.map(|family| {
            let keys = profile.families[family as usize].iter();
            keys.map(|(key, count)| self.surprise(Some(profile), group, family, key, count.weight)).collect()
        })
    }

    /// Lets `state` learn from an event that was judged before.
    pub fn learn(&self, event: &AuditEvent, novelty: &EventNovelty, state: &mut NoveltyState) {
        Self::learn_of(self.actor(&event.actor.name), event, novelty, state);
    }

    /// The same, when the trained history of the actor is at hand.
    pub fn learn_of(
        profile: Option<&ActorProfile>,
        event: &AuditEvent,
        novelty: &EventNovelty,
        state: &mut NoveltyState,
    ) {
        state.learn(event, &novelty.keys, |family, key| {
            profile.is_some_and(|p| p.families[family as usize].get(key).weight > 0.0)
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
        let count = cluster.get(key);
        // Names are made up all the time: what counts is how often one is new, not that it is this one.
        let unseen = if family == KeyFamily::SecretName && count.weight <= 0.0 { cluster.distinct() } else { 1.0 };
        let p_c = (count.tail + 0.5 * unseen) / (cluster.total + 0.5 * cluster.distinct());
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
}

#[cfg(test)]
mod tests;
