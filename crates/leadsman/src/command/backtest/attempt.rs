//! One attack on its own: what it logs, and whether findings point at it.

use std::collections::BTreeSet;

use leadsman_decode::DecodeContext;
use leadsman_domain::{EventId, Finding, Timestamp};
use leadsman_engine::Engine;
use leadsman_sim::{Attack, Trial};

use super::PipelineError;
use super::timeline::Timeline;
use crate::pipeline::{Outcome, Shard};

/// An attack, decoded; which of its events are the attack stays outside of their bytes.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) trial: Trial,
    pub(super) timeline: Timeline,
    pub(super) begins: Timestamp,
    pub(super) ends: Timestamp,
    ids: BTreeSet<EventId>,
    /// The requests without which there is no attack.
    decisive: BTreeSet<EventId>,
    decisive_at: Timestamp,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Verdict {
    /// Seconds of event time from the first decisive request to the first finding that points at the attack.
    pub(super) delay: Option<f64>,
    /// Whether one of the three weightiest reasons of such a finding rests on a decisive request.
    pub(super) explained: bool,
}

impl Attempt {
    pub(super) fn new(attack: Attack, context: &DecodeContext) -> Self {
        let Attack { trial, records, decisive, begins, ends, .. } = attack;
        let mut timeline = Timeline::default();
        let (mut decisive_ids, mut decisive_at) = (BTreeSet::new(), ends);
        for (index, record) in records.into_iter().enumerate() {
            let part = Timeline::of([record], context);
            if decisive.contains(&index) {
                decisive_ids.extend(part.events().iter().map(|e| e.id));
                decisive_at = part.events().iter().map(|e| e.event_time).fold(decisive_at, Ord::min);
            }
            timeline.append(part);
        }
        let ids = timeline.events().iter().map(|e| e.id).collect();
        Self { trial, timeline, begins, ends, ids, decisive: decisive_ids, decisive_at }
    }

    fn verdict(&self, findings: &Outcome) -> Verdict {
        let telling: Vec<&Finding> = findings
            .findings
            .values()
            .filter(|f| f.evidence.event_ids.iter().any(|id| self.ids.contains(id)))
            .collect();
        let first = telling.iter().map(|f| f.detected_at).min();
        Verdict {
            delay: first.map(|at| at.seconds_since(self.decisive_at).max(0.0)),
            explained: telling.iter().any(|f| self.explains(f)),
        }
    }

    /// Reasons of the forest name the whole window and so explain no single request.
    fn explains(&self, finding: &Finding) -> bool {
        let reasons = finding.explanation.contributions.iter().filter(|c| c.points > 0).take(3);
        reasons.filter(|c| c.detector != "forest").any(|c| c.event_ids.iter().any(|id| self.decisive.contains(id)))
    }
}

/// Lives through `weeks` and tries each attempt at its time on a copy of the state, so that none sees another.
/// Returns what became of the attempts, in their order, and the findings of the quiet week.
///
/// `attempts` are ordered by their begin. Errors: [`PipelineError`], never because of what an event holds.
pub(super) fn live_through(
    engine: &Engine,
    week: &Timeline,
    attempts: &[Attempt],
) -> Result<(Vec<Verdict>, Outcome), PipelineError> {
    let mut shard = Shard::new(engine, "");
    let mut outcome = Outcome::default();
    let mut verdicts = Vec::with_capacity(attempts.len());
    let mut ahead = attempts.iter().peekable();
    for (until, events, samples) in week.stretches(attempts.iter().map(|a| a.begins)) {
        shard.push(engine, events, samples, &mut outcome)?;
        while let Some(attempt) = ahead.next_if(|a| a.begins <= until) {
            let mut fork = shard.clone();
            let mut findings = Outcome::default();
            let mixed = week.part_without_samples(attempt.begins, attempt.ends).with(&attempt.timeline);
            fork.push(engine, mixed.events(), &[], &mut findings)?;
            fork.close_all(engine, &mut findings)?;
            verdicts.push(attempt.verdict(&findings));
        }
    }
    shard.close_all(engine, &mut outcome)?;
    Ok((verdicts, outcome))
}
