//! The baselines at work: trained, given their alert lines, and led through the same weeks and attempts.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use leadsman_domain::Timestamp;
use leadsman_engine::{Engine, ShardState};

use super::attempt::Attempt;
use super::baselines::{Baseline, Baselines, Closed, Scorer, Watched, incidents, line};
use super::report::BUDGETS;
use super::timeline::Timeline;
use crate::pipeline::{Live, Outcome, PipelineError, Windows};

/// Trained baselines with the score above which each alerts at each budget.
pub(super) struct Rivals {
    baselines: Baselines,
    scorer: Scorer,
    lines: BTreeMap<(Baseline, u32), f64>,
}

/// What one baseline did at one budget.
#[derive(Debug, Clone, Default)]
pub(super) struct Rivalry {
    /// Of each attempt, whether it was found.
    pub(super) found: Vec<bool>,
    /// Incidents in the quiet week.
    pub(super) false_incidents: u64,
}

/// Share of the watched windows that fits the plain forest; the rest sets the alert lines. Windows are watched from 40 % of
/// the training period on, so that this is the product's own division: 40 % habits, 15 % forest, 45 % calibration.
const FIT_SHARE: f64 = 0.25;

impl Rivals {
    /// Baselines that watched a training period.
    ///
    /// Errors: when it closed no window.
    pub(super) fn new(mut watched: Baselines, seed: u64) -> Result<Self> {
        let mut closed = std::mem::take(&mut watched.closed);
        closed.sort_by_key(|c| c.start);
        let from = closed.first().map_or(0.0, |c| c.start.as_micros() as f64);
        let to = closed.last().map_or(0.0, |c| c.start.as_micros() as f64);
        let split = Timestamp::from_micros((from + FIT_SHARE * (to - from)) as i64);
        let (fit, held_out) = closed.split_at(closed.partition_point(|c| c.start < split));
        let scorer = Scorer::fit(fit.iter(), seed)?;
        let rows: Vec<&Closed> = held_out.iter().collect();
        let days = (1.0 - FIT_SHARE) * (to - from) / 86_400e6;
        let mut lines = BTreeMap::new();
        for baseline in Baseline::ALL {
            let scores = scorer.scores(baseline, &rows)?;
            for budget in BUDGETS {
                lines.insert((baseline, budget), line(&rows, &scores, f64::from(budget) * days));
            }
        }
        Ok(Self { baselines: watched, scorer, lines })
    }

    /// As [`super::attempt::live_through`], for all baselines and budgets at once. `engine` only says when windows
    /// close.
    ///
    /// Errors: when features or scores cannot be computed.
    pub(super) fn live_through(
        &self,
        engine: &Engine,
        week: &Timeline,
        attempts: &[Attempt],
    ) -> Result<BTreeMap<(Baseline, u32), Rivalry>> {
        let mut witness = Witness::new(engine.model().window(), self.baselines.clone());
        let mut rivalries: BTreeMap<(Baseline, u32), Rivalry> = BTreeMap::new();
        let mut quiet: Vec<Closed> = Vec::new();
        let mut ahead = attempts.iter().peekable();
        for (until, events, _) in week.stretches(attempts.iter().map(|a| a.begins)) {
            witness.push(engine, events)?;
            quiet.append(&mut witness.baselines.closed);
            while let Some(attempt) = ahead.next_if(|a| a.begins <= until) {
                let mut fork = witness.clone();
                let mixed = week.part_without_samples(attempt.begins, attempt.ends).with(&attempt.timeline);
                fork.push(engine, mixed.events())?;
                fork.close_all(engine)?;
                let hit: Vec<&Closed> = fork.baselines.closed.iter().filter(|c| attempt.touches(c)).collect();
                for baseline in Baseline::ALL {
                    let highest = self.scorer.scores(baseline, &hit)?.into_iter().fold(f64::NEG_INFINITY, f64::max);
                    for budget in BUDGETS {
                        let found = highest > self.line(baseline, budget);
                        rivalries.entry((baseline, budget)).or_default().found.push(found);
                    }
                }
            }
        }
        witness.close_all(engine)?;
        quiet.append(&mut witness.baselines.closed);
        let rows: Vec<&Closed> = quiet.iter().collect();
        for baseline in Baseline::ALL {
            let scores = self.scorer.scores(baseline, &rows)?;
            for budget in BUDGETS {
                let line = self.line(baseline, budget);
                let above = rows.iter().zip(&scores).filter(|(_, s)| **s > line).map(|(row, _)| *row);
                rivalries.entry((baseline, budget)).or_default().false_incidents = incidents(above);
            }
        }
        Ok(rivalries)
    }

    fn line(&self, baseline: Baseline, budget: u32) -> f64 {
        self.lines.get(&(baseline, budget)).copied().unwrap_or(f64::INFINITY)
    }
}

impl Attempt {
    /// Whether a window holds an event of the attack.
    fn touches(&self, closed: &Closed) -> bool {
        let window = closed.start.as_micros();
        let inside = |time: Timestamp| (window..window + WINDOW_MICROS).contains(&time.as_micros());
        self.timeline.events().iter().any(|e| *e.actor.name == *closed.entity && inside(e.event_time))
    }
}

const WINDOW_MICROS: i64 = super::WINDOW.as_micros() as i64;

/// The baselines beside an engine that tells them when windows close.
#[derive(Clone)]
struct Witness {
    state: ShardState,
    windows: Windows,
    baselines: Baselines,
}

impl Witness {
    fn new(window: Duration, baselines: Baselines) -> Self {
        Self { state: ShardState::default(), windows: Windows::new(window), baselines }
    }

    fn push(&mut self, engine: &Engine, events: &[leadsman_domain::AuditEvent]) -> Result<(), PipelineError> {
        let mut outcome = Outcome::default();
        let mut live = Live { engine, state: &mut self.state, outcome: &mut outcome, surprises: Vec::new() };
        self.windows.events(&mut Watched { judge: &mut live, baselines: &mut self.baselines }, events)
    }

    fn close_all(&mut self, engine: &Engine) -> Result<(), PipelineError> {
        let mut outcome = Outcome::default();
        let mut live = Live { engine, state: &mut self.state, outcome: &mut outcome, surprises: Vec::new() };
        self.windows.close_all(&mut Watched { judge: &mut live, baselines: &mut self.baselines })
    }
}
