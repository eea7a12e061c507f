//! Which detectors are on. A model is trained, calibrated and scored with the same ones.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::calibration::Rareness;
use crate::evidence::Evidence;

/// Which detectors give evidence. The text form is a list such as `novelty,forest`.
///
/// What is off is off in training and in scoring alike, because the model carries it: a calibration that counts evidence
/// which scoring leaves out would put the alert line in the wrong place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detectors {
    /// Habit of the actor; when off, the forest does not see surprise either.
    pub novelty: bool,
    /// Isolation forests over windows, of actors and of workloads.
    pub forest: bool,
    /// Peer groups; when off, actors are compared with their peers in explanations, and judged by their own history and
    /// that of the whole cluster.
    pub peers: bool,
    /// Fixed rules: the floor, and evidence of what is new and matters.
    pub rules: bool,
}

/// A list that names no detector, or one that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DetectorsError {
    /// Nothing is on.
    #[error("no detector is named: give a list of {NAMES}")]
    Empty,
    /// There is no such detector.
    #[error("there is no detector {0:?}: give a list of {NAMES}")]
    Unknown(String),
}

const NAMES: &str = "novelty, forest, peers, rules";

/// Novelty and rules. The forest over actors' windows cost more than half of the recall at one false incident a day: what
/// upsets a cluster honestly fills windows with odd counts, and an attack that takes its time does not (docs/adr/0009).
/// Peers cost one or two points of it (docs/adr/0011).
impl Default for Detectors {
    fn default() -> Self {
        Self { novelty: true, rules: true, ..Self::NONE }
    }
}

impl Detectors {
    /// Every detector.
    pub const ALL: Self = Self { novelty: true, forest: true, peers: true, rules: true };
    /// No detector.
    pub const NONE: Self = Self { novelty: false, forest: false, peers: false, rules: false };

    /// The rules alone.
    pub const RULES: Self = Self { rules: true, ..Self::NONE };

    /// Every detector by its name, with what is left without it, or with what there is together with it where it is off;
    /// without the only one that is on.
    pub fn each_switched(self) -> impl Iterator<Item = (&'static str, Self)> {
        let switched = [
            ("novelty", Self { novelty: !self.novelty, ..self }),
            ("forest", Self { forest: !self.forest, ..self }),
            ("peers", Self { peers: !self.peers, ..self }),
            ("rules", Self { rules: !self.rules, ..self }),
        ];
        switched.into_iter().filter(|(_, detectors)| *detectors != Self::NONE)
    }

    /// Evidence of an actor's open window; `rules` is that of its hits.
    #[must_use]
    pub fn open(self, habit: Rareness, rules: f64) -> Evidence {
        Evidence {
            habit: if self.novelty { habit.evidence() } else { 0.0 },
            forest: None,
            either_leads: !self.novelty,
            rules: if self.rules { rules } else { 0.0 },
        }
    }

    /// Evidence of an actor's closed window.
    #[must_use]
    pub fn closed(self, habit: Rareness, forest: Rareness, rules: f64) -> Evidence {
        Evidence { forest: self.forest.then(|| forest.evidence()), ..self.open(habit, rules) }
    }

    /// Evidence of a workload's closed window: its habit is no matter of novelty, and no rule is about it.
    #[must_use]
    pub fn usage(self, habit: Rareness, forest: Rareness) -> Evidence {
        Evidence { either_leads: true, ..self.of_usage().closed(habit, forest, 0.0) }
    }

    /// The rarer of two results, of those that count.
    #[must_use]
    pub fn rarest(self, habit: Rareness, forest: Option<Rareness>) -> Rareness {
        let forest = forest.filter(|f| self.forest && (!self.novelty || f.p < habit.p));
        forest.unwrap_or(habit)
    }

    /// The same for workloads.
    #[must_use]
    pub fn of_usage(self) -> Self {
        Self { novelty: true, forest: true, ..self }
    }
}

impl fmt::Display for Detectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { novelty, forest, peers, rules } = *self;
        let all = [(novelty, "novelty"), (forest, "forest"), (peers, "peers"), (rules, "rules")];
        let on: Vec<&str> = all.into_iter().filter_map(|(on, name)| on.then_some(name)).collect();
        f.write_str(&on.join(","))
    }
}

impl FromStr for Detectors {
    type Err = DetectorsError;

    fn from_str(text: &str) -> Result<Self, DetectorsError> {
        let mut on = Self::NONE;
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match name {
                "novelty" => on.novelty = true,
                "forest" => on.forest = true,
                "peers" => on.peers = true,
                "rules" => on.rules = true,
                other => return Err(DetectorsError::Unknown(other.to_owned())),
            }
        }
        if on == Self::NONE { Err(DetectorsError::Empty) } else { Ok(on) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_list_is_read_back(novelty: bool, forest: bool, peers: bool, rules: bool) {
            let on = Detectors { novelty, forest, peers, rules };
            let read = on.to_string().parse();
            prop_assert_eq!(read, if on == Detectors::NONE { Err(DetectorsError::Empty) } else { Ok(on) });
        }
    }

    #[test]
    fn what_does_not_exist_is_named() {
        assert_eq!("novelty, forest".parse(), Ok(Detectors { novelty: true, forest: true, ..Detectors::NONE }));
        let error = "novelty,florest".parse::<Detectors>().unwrap_err();
        assert!(error.to_string().contains("\"florest\""), "{error}");
    }

    #[test]
    fn what_is_off_gives_no_evidence() {
        let rare = |per_day| Rareness { p: 0.001, per_day, extrapolated: false };
        let (habit, forest) = (rare(0.1).evidence(), rare(0.01).evidence());
        let total = |d: Detectors| d.closed(rare(0.1), rare(0.01), 1.5).total();
        let all = Detectors::ALL;
        assert!(habit > 0.0 && forest > habit);
        assert!((total(all) - (1.5 * habit + 1.5)).abs() < 1e-9, "habit + half of the lesser + rules");
        assert!((total(Detectors { novelty: false, ..all }) - (forest + 1.5)).abs() < 1e-9);
        assert!((total(Detectors { forest: false, ..all }) - (habit + 1.5)).abs() < 1e-9);
        assert!((total(Detectors { rules: false, ..all }) - 1.5 * habit).abs() < 1e-9);
        assert!((total(Detectors { novelty: false, forest: false, ..all }) - 1.5).abs() < 1e-9);
    }
}
