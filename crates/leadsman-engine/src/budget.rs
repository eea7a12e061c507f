//! What an alert budget counts: incidents, not windows, and of one entity no more than its share.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leadsman_domain::Timestamp;

use crate::incidents::{GAP, PER_DAY};

/// A benign window and its evidence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Benign<'a> {
    pub(crate) entity: &'a str,
    pub(crate) start: Timestamp,
    pub(crate) evidence: f64,
}

/// The evidence of the windows that would each open an incident, whatever the alert line: of windows of an entity
/// within an incident's gap the strongest, and of an entity's day the strongest [`PER_DAY`].
///
/// A line that lets n of these through gives n incidents, or fewer where a weak window joins two strong ones.
/// `length` is that of a window.
pub(crate) fn incidents(mut windows: Vec<Benign<'_>>, length: Duration) -> Vec<(&str, f64)> {
    // From the end of one window to the start of the next.
    let gap = GAP + length;
    windows.retain(|w| w.evidence > 0.0);
    windows
        .sort_by(|a, b| b.evidence.total_cmp(&a.evidence).then_with(|| (a.start, a.entity).cmp(&(b.start, b.entity))));
    let mut seen: BTreeMap<&str, BTreeSet<Timestamp>> = BTreeMap::new();
    let mut on_day: BTreeMap<(&str, i64), usize> = BTreeMap::new();
    let mut opening = Vec::new();
    for window in windows {
        let of_entity = seen.entry(window.entity).or_default();
        let joins = of_entity.range(window.start.minus(gap)..=window.start.plus(gap)).next().is_some();
        of_entity.insert(window.start);
        if joins {
            continue;
        }
        let today = on_day.entry((window.entity, window.start.day())).or_default();
        *today += 1;
        if *today <= PER_DAY {
            opening.push((window.entity, window.evidence));
        }
    }
    opening
}

/// An entity may make up this share of what is at least as strange, or as much as the others do on average.
const SHARE: f64 = 0.25;
/// And this many, however few there are.
const FREE: usize = 2;

/// The values of `all` without what one entity shows beyond its share of everything at least as strange, so that nobody
/// can make strange things look common to the calibration, or the budget look spent, by doing them all along.
pub(crate) fn shared(mut all: Vec<(&str, f64)>) -> Vec<f64> {
    let entities = all.iter().map(|(entity, _)| *entity).collect::<BTreeSet<_>>().len();
    if entities < 2 {
        return all.into_iter().map(|(_, value)| value).collect();
    }
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    let most = SHARE.max(1.0 / (entities as f64 - 1.0));
    let (mut of_entity, mut kept) = (BTreeMap::<&str, usize>::new(), 0usize);
    let mut out = Vec::with_capacity(all.len());
    for (entity, value) in all {
        let own = of_entity.entry(entity).or_default();
        if (*own as f64) < (most * (kept - *own) as f64).max(FREE as f64) {
            *own += 1;
            kept += 1;
            out.push(value);
        }
    }
    out
}

/// So many other entities have to be as strange at least once.
const WITNESSES: usize = 3;

/// As [`shared`], and without what is stranger than anything that [`WITNESSES`] others ever showed (all others, if they
/// are fewer): what only one or two do says nothing about what is common, but would make it look so. Nobody who does an
/// attack all along can lend its strangeness to those who do it later (docs/adr/0011).
pub(crate) fn corroborated(mut all: Vec<(&str, f64)>) -> Vec<f64> {
    let entities = all.iter().map(|(entity, _)| *entity).collect::<BTreeSet<_>>().len();
    let wanted = WITNESSES.min(entities.saturating_sub(1));
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    let mut reached = BTreeSet::new();
    all.retain(|(entity, _)| {
        reached.insert(*entity);
        reached.len() > wanted
    });
    shared(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WINDOW: Duration = Duration::from_secs(300);

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_millis(1_772_409_600_000 + minutes * 60_000)
    }

    #[test]
    fn windows_of_one_entity_within_an_hour_are_one() {
        let window = |entity, minutes, evidence| Benign { entity, start: at(minutes), evidence };
        let windows = vec![
            window("a", 0, 1.0),
            window("a", 30, 2.0),
            window("b", 30, 0.5),
            window("a", 300, 0.7),
            // The third of a day, and one that is no evidence at all.
            window("a", 600, 0.6),
            window("c", 0, 0.0),
        ];
        assert_eq!(incidents(windows, WINDOW), [("a", 2.0), ("a", 0.7), ("b", 0.5)]);
    }

    #[test]
    fn nobody_makes_up_more_than_a_share() {
        let others: Vec<String> = (0..20).map(|i| format!("other-{i}")).collect();
        let mut all: Vec<(&str, f64)> = others.iter().map(|o| (o.as_str(), 1.0)).collect();
        all.extend((0..1_000).map(|_| ("loud", 9.0)));
        let kept = shared(all);
        assert_eq!(kept.iter().filter(|v| **v > 5.0).count(), 2, "of what is that strange there is nothing else");
        assert_eq!(kept.len(), 22);
        let alone = shared(vec![("loud", 9.0); 30]);
        assert_eq!(alone.len(), 30, "who is alone is all there is");
    }

    #[test]
    fn what_few_reach_is_no_measure() {
        let others: Vec<String> = (0..20).map(|i| format!("other-{i}")).collect();
        let all = |loud: &[f64]| {
            let mut all: Vec<(&str, f64)> = others.iter().zip(1..).map(|(o, i)| (o.as_str(), f64::from(i))).collect();
            all.extend(loud.iter().map(|v| ("loud", *v)));
            corroborated(all)
        };
        let largest = |kept: Vec<f64>| kept.into_iter().fold(0.0, f64::max);
        assert!((largest(all(&[])) - 17.0).abs() < 1e-9, "what three others reach");
        assert!((largest(all(&[99.0; 500])) - 18.0).abs() < 1e-9, "whoever is loud is one witness, and no more");
        assert_eq!(corroborated(vec![("alone", 9.0); 30]).len(), 30, "who is alone is all there is");
        assert_eq!(corroborated(vec![("a", 9.0), ("b", 8.0), ("b", 7.0)]), [8.0, 7.0], "of two, both have to");
        assert!(corroborated(Vec::new()).is_empty());
    }

    proptest! {
        #[test]
        fn the_strongest_window_always_opens_one(evidence in prop::collection::vec(0.01..6.0f64, 1..60)) {
            let windows = evidence.iter().enumerate().map(|(i, e)| Benign { entity: "a", start: at(7 * i as i64), evidence: *e });
            let opening = incidents(windows.collect(), WINDOW);
            let strongest = evidence.iter().copied().fold(0.0, f64::max);
            prop_assert!((opening[0].1 - strongest).abs() < 1e-12);
            prop_assert!(opening.len() <= evidence.len());
        }
    }
}
