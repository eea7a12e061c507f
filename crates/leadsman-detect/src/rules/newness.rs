use leadsman_domain::{ActorClass, RuleLevel};

use crate::novelty::{EventNovelty, KeyFamily, NoveltyModel};

/// Decades of evidence of a hit that is always reported.
const ALWAYS: f64 = 3.0;
/// Decades of evidence of a medium hit by an account that never did the like.
const MEDIUM: f64 = 1.5;

/// Evidence of a hit, in decades: 3 for what is always reported, up to 1.5 for a medium rule by how new the action is
/// (`newness`, in [0, 1]), 0 for context.
///
/// Source: the weights w_R of the rule floor; chosen, not fitted.
#[must_use]
pub fn evidence(level: RuleLevel, newness: f64) -> f64 {
    match level {
        RuleLevel::Informational | RuleLevel::Low => 0.0,
        RuleLevel::Medium => MEDIUM * newness,
        RuleLevel::High | RuleLevel::Critical => ALWAYS,
    }
}

/// How new what an event does is for its actor: the share, in [0, 1], of its action and its place that the actor never
/// showed. A failed request proves no action; its result stands for both. `known` is taken for shown.
#[must_use]
pub fn newness(
    novelty: &NoveltyModel,
    actor: &str,
    class: ActorClass,
    judged: &EventNovelty,
    known: &[(KeyFamily, u64)],
) -> f64 {
    let keys = judged.keys();
    let key = |family| keys.get(family).map(|key| (family, key));
    let done = [key(KeyFamily::Action), key(KeyFamily::Namespace)];
    let proved = done.iter().any(Option::is_some);
    let counted: Vec<_> = if proved { done } else { [key(KeyFamily::Outcome), None] }.into_iter().flatten().collect();
    if counted.is_empty() {
        return 0.0;
    }
    // What is no longer first seen once it counts as known was first seen.
    let before = novelty.if_known(actor, class, judged, known);
    let after = novelty.if_known(actor, class, &before, &counted);
    f64::from(before.first_seen() - after.first_seen()) / counted.len() as f64
}
