//! Why a window has its score: contributions whose points sum to it, and one sentence.
//!
//! Points are integer shares of the score by the largest-remainder method, so they always sum exactly.
//! Every clause of a sentence maps to a contribution. Sentences are built from templates and checked
//! identifiers only: telemetry is hostile text.

use leadsman_domain::{Baseline, Change, Contribution, EventId, Explanation, FeatureSchema, RuleHit, identifier};

use crate::novelty::{ACROSS, KeyFamily, KeyPart};
use crate::usage::Habit;

/// One strange event of a window, with its share in the window's novelty.
#[derive(Debug, Clone, Copy)]
pub struct StrangeEvent<'a> {
    /// The event.
    pub id: EventId,
    /// Its rank weight in the window's novelty: 1, ½, ¼, …
    pub weight: f64,
    /// Its parts.
    pub parts: &'a [KeyPart],
}

/// A contribution before its points are known.
#[derive(Debug, Clone)]
pub struct Share {
    share: f64,
    contribution: Contribution,
}

/// Features named one by one; the others are summed up.
const TOP_FEATURES: usize = 5;
/// Events listed per contribution.
const MAX_EVENTS: usize = 10;

/// Shares of the novelty detector: `total` evidence split over key families in proportion to their nats.
#[must_use]
pub fn novelty_shares(events: &[StrangeEvent<'_>], total: f64) -> Vec<Share> {
    let mut shares: Vec<Share> = Vec::new();
    let mut nats = 0.0;
    for event in events {
        for part in event.parts {
            let amount = event.weight * part.nats;
            nats += amount;
            let id = part_id(part);
            match shares.iter_mut().find(|s| s.contribution.id == id) {
                Some(s) => {
                    s.share += amount;
                    if s.contribution.event_ids.len() < MAX_EVENTS && !s.contribution.event_ids.contains(&event.id) {
                        s.contribution.event_ids.push(event.id);
                    }
                }
                None => shares.push(Share {
                    share: amount,
                    contribution: Contribution {
                        id,
                        detector: "novelty".to_owned(),
                        points: 0,
                        observed: part.observed.clone(),
                        baseline: Some(part.baseline.clone()),
                        event_ids: vec![event.id],
                    },
                }),
            }
        }
    }
    scale(&mut shares, nats, total);
    shares
}

fn part_id(part: &KeyPart) -> String {
    match part.family {
        None => "sensitive_action".to_owned(),
        Some(family) if part.first_seen => format!("new_{}", family.id()),
        Some(family) => format!("rare_{}", family.id()),
    }
}

/// Shares of a forest: `total` evidence split in proportion to path-length attributions; the sum over all
/// features is the whole, so features that speak for normal have negative shares.
#[must_use]
pub fn forest_shares(
    schema: &FeatureSchema,
    by_feature: &[f64],
    values: &[f64],
    total: f64,
    ids: &[EventId],
) -> Vec<Share> {
    let sum: f64 = by_feature.iter().sum();
    let mut order: Vec<usize> = (0..by_feature.len()).collect();
    order.sort_by(|&a, &b| by_feature[b].abs().total_cmp(&by_feature[a].abs()).then(a.cmp(&b)));
    let event_ids: Vec<EventId> = ids.iter().copied().take(MAX_EVENTS).collect();
    let share = |id: String, amount: f64, observed: String| Share {
        share: amount,
        contribution: Contribution {
            id,
            detector: "forest".to_owned(),
            points: 0,
            observed,
            baseline: None,
            event_ids: event_ids.clone(),
        },
    };
    let mut shares: Vec<Share> = order
        .iter()
        .take(TOP_FEATURES)
        .map(|&i| {
            let name = schema.names().get(i).cloned().unwrap_or_default();
            share(name, by_feature[i], format!("{:.3}", values.get(i).copied().unwrap_or_default()))
        })
        .collect();
    let others: f64 = order.iter().skip(TOP_FEATURES).map(|&i| by_feature[i]).sum();
    shares.push(share("other_features".to_owned(), others, String::new()));
    let moved: f64 = by_feature.iter().map(|a| a.abs()).sum();
    if sum > 0.05 * moved {
        scale(&mut shares, sum, total);
    } else {
        // Where pros and cons cancel there is nothing to split by: the forest as a whole is the reason.
        shares = vec![share("window_as_a_whole".to_owned(), total, String::new())];
    }
    shares
}

/// The share of the rule whose hit counts most: `total` evidence, by `event`.
#[must_use]
pub fn rule_share(rule: &RuleHit, total: f64, event: EventId) -> Share {
    Share {
        share: total,
        contribution: Contribution {
            id: format!("rule {}", rule.id),
            detector: "rules".to_owned(),
            points: 0,
            observed: identifier(&rule.title).into_owned(),
            baseline: None,
            event_ids: vec![event],
        },
    }
}

/// Shares of the usage detector: the features that stray furthest from the workload's habit.
#[must_use]
pub fn usage_shares(
    schema: &FeatureSchema,
    deviations: &[f64],
    values: &[f64],
    habits: &[Habit],
    days: f64,
    total: f64,
) -> Vec<Share> {
    let mut order: Vec<usize> = (0..deviations.len()).collect();
    order.sort_by(|&a, &b| deviations[b].abs().total_cmp(&deviations[a].abs()).then(a.cmp(&b)));
    let mut shares: Vec<Share> = order
        .iter()
        .take(3)
        .filter(|&&i| deviations[i].abs() > 0.0)
        .map(|&i| Share {
            share: deviations[i].abs(),
            contribution: Contribution {
                id: format!("usage {}", schema.names().get(i).map_or("", String::as_str)),
                detector: "usage".to_owned(),
                points: 0,
                observed: format!("{:.3}", unlog(values[i])),
                baseline: habits.get(i).map(|h| Baseline {
                    own: unlog(h.median),
                    own_days: days,
                    peers: 0,
                    peers_of: 0,
                    cluster_rate: 0.0,
                }),
                event_ids: Vec::new(),
            },
        })
        .collect();
    let sum = shares.iter().map(|s| s.share).sum();
    scale(&mut shares, sum, total);
    shares
}

/// Metric features are compressed by `ln(1 + |x|)`; people read them in the metric's own unit.
#[must_use]
pub fn unlog(x: f64) -> f64 {
    x.abs().exp_m1().copysign(x)
}

fn scale(shares: &mut [Share], from: f64, to: f64) {
    for s in shares {
        s.share = if from > 0.0 { s.share / from * to } else { 0.0 };
    }
}

/// Turns shares into integer points that sum to `score`; reasons without a point are left out.
#[must_use]
pub fn to_points(mut shares: Vec<Share>, score: u8) -> Vec<Contribution> {
    let sum: f64 = shares.iter().map(|s| s.share).sum();
    if sum <= 0.0 || shares.is_empty() {
        return Vec::new();
    }
    let exact: Vec<f64> = shares.iter().map(|s| s.share / sum * f64::from(score)).collect();
    let mut missing = i32::from(score);
    for (s, e) in shares.iter_mut().zip(&exact) {
        s.contribution.points = e.floor() as i32;
        missing -= s.contribution.points;
    }
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by(|&a, &b| (exact[b] - exact[b].floor()).total_cmp(&(exact[a] - exact[a].floor())).then(a.cmp(&b)));
    for &i in order.iter().cycle().take(usize::try_from(missing).unwrap_or(0)) {
        shares[i].contribution.points += 1;
    }
    let mut out: Vec<Contribution> = shares.into_iter().map(|s| s.contribution).filter(|c| c.points != 0).collect();
    out.sort_by(|a, b| b.points.cmp(&a.points).then(a.id.cmp(&b.id)));
    out
}

/// The sentence about an actor: its strangest event first, then what else was new about it, then the rule that counted.
#[must_use]
pub fn actor_sentence(
    actor: &str,
    events: &[StrangeEvent<'_>],
    rule: Option<&RuleHit>,
    contributions: Vec<Contribution>,
) -> Explanation {
    let who = identifier(actor);
    let strangest = events.first().map_or(&[][..], |e| e.parts);
    // What was done leads, unless doing it was the least of it.
    let most = strangest.iter().map(|p| p.nats).fold(0.0, f64::max);
    let action =
        strangest.iter().find(|p| p.family == Some(KeyFamily::Action) && (p.first_seen || p.nats >= 0.5 * most));
    let mut sentence = match (action, strangest.first()) {
        (Some(action), _) => format!("{who} did {}, which {}", action.observed, history(action)),
        (None, Some(part)) => format!("{who} showed {}, which {}", clause(part), history(part)),
        (None, None) if rule.is_some() => format!("{who} did nothing that is unusual for it"),
        (None, None) => format!("{who} behaved unlike itself in this window as a whole"),
    };
    let mut told = vec![Some(KeyFamily::Action), None, action.or(strangest.first()).and_then(|p| p.family)];
    let mut also = Vec::new();
    for part in events.iter().flat_map(|e| e.parts) {
        // "Across the cluster" says no more than the action itself did.
        let nowhere = part.family == Some(KeyFamily::Namespace) && part.observed.ends_with(ACROSS);
        if also.len() < MAX_ALSO && part.first_seen && !nowhere && !told.contains(&part.family) {
            told.push(part.family);
            also.push(clause(part));
        }
    }
    if !also.is_empty() {
        sentence.push_str("; also new for it: ");
        sentence.push_str(&also.join(", "));
    }
    if let Some(rule) = rule {
        sentence.push_str(&format!("; the {} rule {} matches", rule.level.as_str(), identifier(&rule.title)));
    }
    sentence.push('.');
    Explanation { sentence, contributions, counterfactual: None }
}

/// What is said when new behaviour of an account follows a change of the workloads beside it. It starts with a space.
#[must_use]
pub fn rollout_sentence(namespace: &str, by: &str, minutes: u64) -> String {
    let ago = match minutes {
        0 => "within a minute".to_owned(),
        1 => "1 minute".to_owned(),
        n => format!("{n} minutes"),
    };
    format!(
        " A rollout may explain it: {} changed workloads in {} {ago} before.",
        identifier(by),
        identifier(namespace)
    )
}

/// The sentence about what would have made a window normal; a family for what would have to be a habit, none for a
/// feature that would have to be as usual.
#[must_use]
pub fn counterfactual_sentence(entity: &str, changes: &[(Option<KeyFamily>, Change)]) -> String {
    let used_to: Vec<String> =
        changes.iter().filter_map(|(family, c)| family.map(|f| clause_of(Some(f), &c.observed))).collect();
    let usual: Vec<String> = changes
        .iter()
        .filter(|(family, _)| family.is_none())
        .map(|(_, c)| format!("{} had been {} instead of {}", identifier(&c.id), c.would_be, c.observed))
        .collect();
    let mut conditions = Vec::new();
    if !used_to.is_empty() {
        conditions.push(format!("{} had been used to {}", identifier(entity), some(used_to, ", ")));
    }
    if !usual.is_empty() {
        conditions.push(some(usual, " and "));
    }
    format!("It would have stayed below the alert line if {}.", conditions.join(" and "))
}

/// The first few, and how many more there are.
fn some(mut all: Vec<String>, separator: &str) -> String {
    let more = all.len().saturating_sub(MAX_TOLD);
    all.truncate(MAX_TOLD);
    let told = all.join(separator);
    if more > 0 { format!("{told} and {more} more of the changes listed") } else { told }
}

/// Most changes of one kind that a sentence names.
const MAX_TOLD: usize = 5;

/// Most novelties named after the first.
const MAX_ALSO: usize = 3;

fn clause(part: &KeyPart) -> String {
    clause_of(part.family, &part.observed)
}

fn clause_of(family: Option<KeyFamily>, what: &str) -> String {
    match family {
        None | Some(KeyFamily::Action) => what.to_owned(),
        Some(KeyFamily::Namespace) => format!("use of {what}"),
        Some(KeyFamily::Client) => format!("client {what}"),
        Some(KeyFamily::Source) => format!("source address {what}"),
        Some(KeyFamily::Outcome) => format!("result {what}"),
        Some(KeyFamily::SecretName) => format!("object {what}"),
        Some(KeyFamily::Identity) => format!("identity {what}"),
        Some(KeyFamily::HourOfWeek) => format!("activity at {what} UTC"),
    }
}

fn history(part: &KeyPart) -> String {
    let b = &part.baseline;
    let own = if b.own_days <= 0.0 {
        "is new for an account without history".to_owned()
    } else if b.own <= 0.0 {
        format!("is new in its {} of history", days(b.own_days))
    } else if b.own < b.own_days {
        format!("is rare for it ({} hours in {})", b.own, days(b.own_days))
    } else {
        format!("is no novelty for it ({} hours in {})", b.own, days(b.own_days))
    };
    match b.peers_of {
        0 => own,
        n => format!("{own} and which {} of {n} similar accounts ever did", b.peers),
    }
}

fn days(n: f64) -> String {
    if n <= 1.0 { "1 day".to_owned() } else { format!("{n:.0} days") }
}

/// The sentence about a workload.
#[must_use]
pub fn usage_sentence(workload: &str, known: bool, contributions: Vec<Contribution>) -> Explanation {
    let who = identifier(workload);
    let sentence = match contributions.iter().find(|c| c.detector == "usage") {
        Some(c) => {
            let (metric, statistic) = c.id.trim_start_matches("usage ").rsplit_once(':').unwrap_or((&c.id, "value"));
            let usual = c.baseline.as_ref().map_or(0.0, |b| b.own);
            let days = c.baseline.as_ref().map_or(0.0, |b| b.own_days);
            let whose = if known { "for it" } else { "for workloads here" };
            // A counter is judged by its rate, and people should read it so.
            let rate = if metric.ends_with("_total") { " per second" } else { "" };
            format!(
                "Workload {who} had a {statistic} {} of {}{rate}, where {usual:.3} is usual {whose} at this hour over \
                 {} of history.",
                identifier(metric),
                c.observed,
                self::days(days)
            )
        }
        None => format!("Workload {who} used resources in an unusual combination."),
    };
    Explanation { sentence, contributions, counterfactual: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn share(id: usize, share: f64) -> Share {
        Share {
            share,
            contribution: Contribution {
                id: format!("c{id}"),
                detector: "novelty".into(),
                points: 0,
                observed: String::new(),
                baseline: None,
                event_ids: Vec::new(),
            },
        }
    }

    proptest! {
        #[test]
        fn points_sum_to_the_score(amounts in prop::collection::vec(-3.0..10.0f64, 1..12), score in 1u8..=100) {
            prop_assume!(amounts.iter().sum::<f64>() > 0.1);
            let shares = amounts.iter().enumerate().map(|(i, a)| share(i, *a)).collect();
            let sum: i32 = to_points(shares, score).iter().map(|c| c.points).sum();
            prop_assert_eq!(sum, i32::from(score));
        }
    }

    #[test]
    fn features_that_speak_for_normal_get_negative_points() {
        let schema = FeatureSchema::new(vec!["a".into(), "b".into()]);
        let points = to_points(forest_shares(&schema, &[3.0, -1.0], &[9.0, 0.0], 2.0, &[]), 50);
        assert_eq!(points.iter().map(|c| (c.id.as_str(), c.points)).collect::<Vec<_>>(), [("a", 75), ("b", -25)]);
    }
}
