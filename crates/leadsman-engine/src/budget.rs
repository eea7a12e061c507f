//! What an alert budget counts: incidents, not windows.

use std::collections::{BTreeMap, BTreeSet};

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
pub(crate) fn incidents(mut windows: Vec<Benign<'_>>) -> Vec<f64> {
    windows.retain(|w| w.evidence > 0.0);
    windows
        .sort_by(|a, b| b.evidence.total_cmp(&a.evidence).then_with(|| (a.start, a.entity).cmp(&(b.start, b.entity))));
    let mut seen: BTreeMap<&str, BTreeSet<Timestamp>> = BTreeMap::new();
    let mut on_day: BTreeMap<(&str, i64), usize> = BTreeMap::new();
    let mut opening = Vec::new();
    for window in windows {
        let of_entity = seen.entry(window.entity).or_default();
        let joins = of_entity.range(window.start.minus(GAP)..=window.start.plus(GAP)).next().is_some();
        of_entity.insert(window.start);
        if joins {
            continue;
        }
        let today = on_day.entry((window.entity, window.start.day())).or_default();
        *today += 1;
        if *today <= PER_DAY {
            opening.push(window.evidence);
        }
    }
    opening
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        assert_eq!(incidents(windows), [2.0, 0.7, 0.5]);
    }

    proptest! {
        #[test]
        fn the_strongest_window_always_opens_one(evidence in prop::collection::vec(0.01..6.0f64, 1..60)) {
            let windows = evidence.iter().enumerate().map(|(i, e)| Benign { entity: "a", start: at(7 * i as i64), evidence: *e });
            let opening = incidents(windows.collect());
            let strongest = evidence.iter().copied().fold(0.0, f64::max);
            prop_assert!((opening[0] - strongest).abs() < 1e-12);
            prop_assert!(opening.len() <= evidence.len());
        }
    }
}
