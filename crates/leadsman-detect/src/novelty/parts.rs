//! What an event's surprise is made of, for people to read.

use leadsman_domain::{AuditEvent, Baseline};
use serde::{Deserialize, Serialize};

use super::state::Recent;
use super::{EventNovelty, KeyCount, KeyFamily, NoveltyModel, RANK_WEIGHTS, Standing, observed};

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

impl NoveltyModel {
    /// The parts of an event's surprise, strongest first; their nats sum to `novelty.total`.
    #[must_use]
    pub fn parts(&self, event: &AuditEvent, novelty: &EventNovelty, actor: &Standing<'_, '_>) -> Vec<KeyPart> {
        let mut parts = Vec::with_capacity(RANK_WEIGHTS.len() + 1);
        for (weight, i) in RANK_WEIGHTS.iter().zip(novelty.strongest_families()) {
            let (family, nats) = (KeyFamily::ALL[i], weight * novelty.nats[i]);
            let Some(key) = novelty.keys.get(family).filter(|_| nats > 0.0) else { continue };
            parts.push(KeyPart {
                family: Some(family),
                nats,
                first_seen: novelty.first[i],
                observed: observed(event, family),
                baseline: self.baseline(actor, family, key),
            });
        }
        if let (true, Some(key)) = (novelty.sensitivity > 0.0, novelty.keys.get(KeyFamily::Action)) {
            parts.push(KeyPart {
                family: None,
                nats: novelty.sensitivity,
                first_seen: false,
                observed: observed(event, KeyFamily::Action),
                baseline: self.baseline(actor, KeyFamily::Action, key),
            });
        }
        parts
    }

    fn baseline(&self, actor: &Standing<'_, '_>, family: KeyFamily, key: u64) -> Baseline {
        let i = family as usize;
        let Standing { profile, group, recents } = *actor;
        let trained = profile.map_or_else(KeyCount::default, |p| p.families[i].get(key));
        let since = recents.and_then(|r| r.get(family, key)).map_or(0, Recent::known_hours);
        let members = group.map_or(0, |g| g.members);
        let with_key = group.map_or(0, |g| g.families[i].get(key).actors);
        let (others, others_with_key) = match profile {
            Some(_) => (members.saturating_sub(1), with_key.saturating_sub(u32::from(trained.hours > 0))),
            None => (members, with_key),
        };
        let cluster = &self.cluster[i];
        Baseline {
            own: trained.weight + f64::from(since),
            own_days: f64::from(profile.map_or(0, |p| p.active_days)),
            peers: u64::from(others_with_key),
            peers_of: u64::from(others),
            cluster_rate: cluster.get(key).weight / cluster.total.max(1.0),
        }
    }
}
