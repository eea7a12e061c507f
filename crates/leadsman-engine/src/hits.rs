//! Rules that matched in a window, and what they are worth there.

use leadsman_detect::novelty::{EventNovelty, KeyFamily, NoveltyModel};
use leadsman_detect::rules::{Rule, evidence, newness};
use leadsman_domain::{ActorClass, EventId, FindingKind, RuleHit, Technique};
use serde::{Deserialize, Serialize};

/// Most rules remembered of a window; those that are worth least give way.
const MAX_RULES: usize = 16;
/// Most events of a rule that are remembered as they were judged: its distinct actions, places and results.
const MAX_JUDGED: usize = 32;

/// The rules that matched in a window, what is worth most first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Hits(Vec<Hit>);

/// A rule that matched in a window, by the event it is worth most for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Hit {
    pub(crate) rule: RuleHit,
    pub(crate) techniques: Vec<Technique>,
    /// Decades of evidence.
    pub(crate) evidence: f64,
    pub(crate) event: EventId,
    pub(crate) kind: FindingKind,
    /// Events that are worth something, for what would have made them worth nothing.
    judged: Vec<EventNovelty>,
}

/// An event that a rule matched.
pub(crate) struct Matched<'e> {
    pub(crate) event: EventId,
    pub(crate) kind: FindingKind,
    pub(crate) judged: &'e EventNovelty,
    /// How new it is for its actor, in [0, 1].
    pub(crate) newness: f64,
}

impl Hits {
    /// Takes a match into account.
    pub(crate) fn add(&mut self, rule: &Rule, matched: &Matched<'_>) {
        let worth = evidence(rule.level, matched.newness);
        let mut hit = match self.0.iter().position(|h| h.rule.id == rule.id) {
            Some(at) => self.0.remove(at),
            None => Hit {
                rule: rule.hit(),
                techniques: rule.techniques.clone(),
                evidence: worth,
                event: matched.event,
                kind: matched.kind,
                judged: Vec::new(),
            },
        };
        if worth > hit.evidence {
            (hit.evidence, hit.event, hit.kind) = (worth, matched.event, matched.kind);
        }
        let is_new = |known: &EventNovelty| done(known) != done(matched.judged);
        if worth > 0.0 && hit.judged.len() < MAX_JUDGED && hit.judged.iter().all(is_new) {
            hit.judged.push(matched.judged.clone());
        }
        let rank = |h: &Hit| (h.evidence, h.rule.level);
        let at = self.0.partition_point(|h| rank(h) > rank(&hit) || (rank(h) == rank(&hit) && h.rule.id < hit.rule.id));
        self.0.insert(at, hit);
        self.0.truncate(MAX_RULES);
    }

    /// What is worth most first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Hit> {
        self.0.iter()
    }

    /// The hit that counts, if one is worth anything.
    pub(crate) fn strongest(&self) -> Option<&Hit> {
        self.0.first().filter(|h| h.evidence > 0.0)
    }

    /// Decades of evidence: the most that a hit is worth.
    pub(crate) fn evidence(&self) -> f64 {
        self.strongest().map_or(0.0, |h| h.evidence)
    }

    /// Whether the window is reported whatever its evidence is.
    pub(crate) fn always_reports(&self) -> bool {
        self.0.iter().any(|h| h.rule.level.always_reports())
    }

    /// The same as [`Self::evidence`], had the actor known `known` before.
    pub(crate) fn evidence_if_known(
        &self,
        novelty: &NoveltyModel,
        (actor, class): (&str, ActorClass),
        known: &[(KeyFamily, u64)],
    ) -> f64 {
        let worth = |h: &Hit| {
            let new = h.judged.iter().map(|j| newness(novelty, actor, class, j, known));
            evidence(h.rule.level, new.fold(0.0, f64::max))
        };
        self.0.iter().map(worth).fold(0.0, f64::max)
    }
}

/// What an event did, where, and what came of it.
fn done(judged: &EventNovelty) -> [Option<u64>; 3] {
    [KeyFamily::Action, KeyFamily::Namespace, KeyFamily::Outcome].map(|family| judged.keys().get(family))
}
