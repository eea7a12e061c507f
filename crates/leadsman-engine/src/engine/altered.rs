//! Windows of actors and workloads as if they had been different.

use std::collections::BTreeSet;
use std::convert::Infallible;

use leadsman_detect::DetectError;
use leadsman_detect::evidence::{Evidence, score};
use leadsman_detect::explain::{counterfactual_sentence, unlog};
use leadsman_detect::novelty::{EventNovelty, KNOWN_HOURS, KeyFamily, habit_keys};
use leadsman_detect::usage::{STRATUM, UsageModel};
use leadsman_domain::{Change, Counterfactual, FeatureSchema, RowKey};
use ndarray::ArrayView2;

use super::Engine;
use crate::counterfactual::{Alteration, Altered, MAX_HABIT_KEYS, Raw, smallest};
use crate::windows::{Judged, OpenWindow, StrangeAction, TOP_ACTIONS, rank_weights};

impl Engine {
    /// What would have kept an actor's open window below the alert line; nothing would where a rule always reports.
    pub(super) fn counterfactual_open(&self, entity: &str, open: &OpenWindow) -> Option<Counterfactual> {
        if open.hits.always_reports() {
            return None;
        }
        let window = OpenActor { engine: self, entity, open };
        let Ok(found) = smallest(&window, self.line);
        found.and_then(|(changes, left)| {
            let told = changes.iter().filter_map(|c| window.tell(*c)).collect();
            counterfactual(entity, told, left)
        })
    }

    /// The same for a closed window with features `row`.
    pub(super) fn counterfactual_closed(
        &self,
        entity: &str,
        open: &OpenWindow,
        schema: &FeatureSchema,
        row: &[f64],
    ) -> Result<Option<Counterfactual>, DetectError> {
        if open.hits.always_reports() {
            return Ok(None);
        }
        let window = ClosedActor {
            habit: OpenActor { engine: self, entity, open },
            row,
            typical: self.model.forest.typical(open.class.as_str()),
        };
        Ok(smallest(&window, self.line)?.and_then(|(changes, left)| {
            let told = changes.iter().filter_map(|c| window.tell(*c, schema)).collect();
            counterfactual(entity, told, left)
        }))
    }

    /// The same for a workload's window with deviations `z`.
    pub(super) fn counterfactual_usage(
        &self,
        usage: &UsageModel,
        schema: &FeatureSchema,
        key: &RowKey,
        (values, z): (&[f64], &[f64]),
    ) -> Result<Option<Counterfactual>, DetectError> {
        let window = Usage { engine: self, usage, z };
        let tell = |change: &Alteration| match *change {
            Alteration::Known(..) => None,
            Alteration::Usual(i) => {
                let usual = usage.habits.habit(key, i)?;
                Some((None, feature(schema, i, unlog(values[i]), unlog(usual.median))))
            }
        };
        Ok(smallest(&window, self.line)?
            .and_then(|(changes, left)| counterfactual(&key.entity, changes.iter().filter_map(tell).collect(), left)))
    }
}

type Told = (Option<KeyFamily>, Change);

fn counterfactual(entity: &str, told: Vec<Told>, left: f64) -> Option<Counterfactual> {
    // Without a change there is nothing to tell: the line lies at zero.
    (!told.is_empty()).then(|| Counterfactual {
        sentence: counterfactual_sentence(entity, &told),
        changes: told.into_iter().map(|(_, change)| change).collect(),
        score_after: score(left),
    })
}

fn feature(schema: &FeatureSchema, i: usize, observed: f64, would_be: f64) -> Change {
    let id = schema.names().get(i).cloned().unwrap_or_default();
    Change { id, observed: format!("{observed:.3}"), would_be: format!("{would_be:.3}") }
}

/// An actor's window by its habit alone.
struct OpenActor<'a> {
    engine: &'a Engine,
    entity: &'a str,
    open: &'a OpenWindow,
}

impl OpenActor<'_> {
    /// What would be left of each action's surprise, strangest first.
    fn ranked(&self, changes: &[Alteration]) -> Vec<(f64, &StrangeAction)> {
        let known: Vec<(KeyFamily, u64)> = changes.iter().flat_map(known).collect();
        let novelty = &self.engine.model.novelty;
        let left = |j: &Judged| {
            let concerned = known.iter().any(|(family, key)| j.novelty.keys().get(*family) == Some(*key));
            let total = |n: &EventNovelty| novelty.if_known(self.entity, self.open.class, n, &known).total;
            if concerned { total(&j.novelty) } else { j.novelty.total }
        };
        let mut ranked: Vec<_> =
            self.open.actions.iter().map(|a| (a.judged.iter().map(left).fold(0.0, f64::max), a)).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        ranked
    }

    fn raw(&self, changes: &[Alteration], forest: f64) -> Raw {
        let habit = self.ranked(changes).iter().take(TOP_ACTIONS).zip(rank_weights()).map(|((s, _), w)| w * s).sum();
        let known: Vec<(KeyFamily, u64)> = changes.iter().flat_map(known).collect();
        let who = (self.entity, self.open.class);
        let rules = self.open.hits.evidence_if_known(&self.engine.model.novelty, who, &known);
        Raw { habit, forest, rules }
    }

    fn keys(&self, changes: &[Alteration]) -> Vec<Alteration> {
        let ranked = self.ranked(changes);
        let judged = ranked.into_iter().take(TOP_ACTIONS).flat_map(|(_, action)| &action.judged);
        let keys = judged.flat_map(|j| j.seen.iter().map(|(habit, _)| as_known(&j.novelty, *habit)));
        let distinct: BTreeSet<Alteration> = keys.filter(|c| !changes.contains(c)).collect();
        distinct.into_iter().collect()
    }

    fn evidence(&self, raw: Raw, closed: bool) -> Evidence {
        let (calibration, _) = self.engine.model.stratum(self.open.class);
        let habit = self.engine.habit_rareness(self.open.class, raw.habit);
        let rules = self.engine.polarity.rules(raw.rules);
        let detectors = self.engine.model.detectors;
        if closed {
            detectors.closed(habit, self.engine.rareness(&calibration.strangeness, raw.forest), rules)
        } else {
            detectors.open(habit, rules)
        }
    }

    fn tell(&self, change: Alteration) -> Option<Told> {
        let Alteration::Known(habit, _) = change else { return None };
        let mut judged = self.open.actions.iter().flat_map(|a| &a.judged);
        let shows =
            judged.find(|j| as_known(&j.novelty, habit) == change && j.seen.iter().any(|(h, _)| *h == habit))?;
        let observed = shows.seen.iter().find(|(h, _)| *h == habit)?.1.clone();
        let would_be = format!("known to it from {KNOWN_HOURS} hours");
        Some((Some(habit), Change { id: habit.id().to_owned(), observed, would_be }))
    }
}

fn as_known(judged: &EventNovelty, habit: KeyFamily) -> Alteration {
    let mut keys = [None; MAX_HABIT_KEYS];
    keys.iter_mut().zip(habit_keys(judged.keys(), habit)).for_each(|(slot, key)| *slot = Some(key));
    Alteration::Known(habit, keys)
}

fn known(change: &Alteration) -> impl Iterator<Item = (KeyFamily, u64)> {
    let keys = match *change {
        Alteration::Known(_, keys) => keys,
        Alteration::Usual(_) => [None; MAX_HABIT_KEYS],
    };
    keys.into_iter().flatten()
}

impl Altered for OpenActor<'_> {
    type Error = Infallible;

    fn candidates(&self, changes: &[Alteration]) -> Vec<Alteration> {
        self.keys(changes)
    }

    fn raw(&self, changes: &[Alteration]) -> Result<Raw, Infallible> {
        Ok(Self::raw(self, changes, 0.0))
    }

    fn evidence(&self, raw: Raw) -> Evidence {
        Self::evidence(self, raw, false)
    }
}

/// An actor's window with its features.
struct ClosedActor<'a> {
    habit: OpenActor<'a>,
    row: &'a [f64],
    typical: &'a [f64],
}

impl ClosedActor<'_> {
    fn tell(&self, change: Alteration, schema: &FeatureSchema) -> Option<Told> {
        match change {
            Alteration::Known(..) => self.habit.tell(change),
            Alteration::Usual(i) => Some((None, feature(schema, i, *self.row.get(i)?, *self.typical.get(i)?))),
        }
    }
}

impl Altered for ClosedActor<'_> {
    type Error = DetectError;

    fn candidates(&self, changes: &[Alteration]) -> Vec<Alteration> {
        let mut all = self.habit.keys(changes);
        if self.habit.engine.model.detectors.forest {
            all.extend(unusual(self.row, self.typical, changes));
        }
        all
    }

    fn raw(&self, changes: &[Alteration]) -> Result<Raw, DetectError> {
        if !self.habit.engine.model.detectors.forest {
            return Ok(self.habit.raw(changes, 0.0));
        }
        let row = altered(self.row, self.typical, changes);
        let forest = self.habit.engine.model.forest.score(one_row(&row)?, self.habit.open.class.as_str())?;
        Ok(self.habit.raw(changes, forest[0]))
    }

    fn evidence(&self, raw: Raw) -> Evidence {
        self.habit.evidence(raw, true)
    }
}

/// A workload's window by its deviations from habit; no deviation is usual.
struct Usage<'a> {
    engine: &'a Engine,
    usage: &'a UsageModel,
    z: &'a [f64],
}

impl Altered for Usage<'_> {
    type Error = DetectError;

    fn candidates(&self, changes: &[Alteration]) -> Vec<Alteration> {
        unusual(self.z, &vec![0.0; self.z.len()], changes)
    }

    fn raw(&self, changes: &[Alteration]) -> Result<Raw, DetectError> {
        let z = altered(self.z, &vec![0.0; self.z.len()], changes);
        let furthest = z.iter().fold(0.0, |most: f64, d| most.max(d.abs()));
        Ok(Raw { habit: furthest, forest: self.usage.forest.score(one_row(&z)?, STRATUM)?[0], rules: 0.0 })
    }

    fn evidence(&self, raw: Raw) -> Evidence {
        let habit = self.engine.rareness(&self.usage.deviation, raw.habit);
        self.engine.model.detectors.usage(habit, self.engine.rareness(&self.usage.strangeness, raw.forest))
    }
}

fn unusual(row: &[f64], typical: &[f64], changes: &[Alteration]) -> Vec<Alteration> {
    let differs = |i: &usize| (row[*i] - typical[*i]).abs() > 1e-9;
    let all = (0..row.len().min(typical.len())).filter(differs).map(Alteration::Usual);
    all.filter(|c| !changes.contains(c)).collect()
}

fn altered(row: &[f64], typical: &[f64], changes: &[Alteration]) -> Vec<f64> {
    let as_usual = |(i, (value, usual)): (usize, (&f64, &f64))| {
        if changes.contains(&Alteration::Usual(i)) { *usual } else { *value }
    };
    row.iter().zip(typical).enumerate().map(as_usual).collect()
}

fn one_row(row: &[f64]) -> Result<ArrayView2<'_, f64>, DetectError> {
    ArrayView2::from_shape((1, row.len()), row).map_err(|_| DetectError::SchemaMismatch)
}
