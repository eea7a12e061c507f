use std::time::Duration;

use leadsman_detect::novelty::{EventNovelty, NoveltyModel, NoveltyState, Standing};
use leadsman_detect::rules::{RuleSet, newness};
use leadsman_detect::sight::body_logged;
use leadsman_detect::{Detectors, action};
use leadsman_domain::{AuditEvent, FindingKind, Surprise, Timestamp, Untrusted, write_api};

use crate::ALLOWED_LATENESS;
use crate::audit_ids::Collision;
use crate::hits::Matched;
use crate::links;
use crate::requests::Admission;
use crate::shard::ShardState;
use crate::windows::{Judged, OpenWindow, StrangeAction};

/// Judges events against the novelty model, one by one, before learning from them.
pub(crate) struct Observer<'m> {
    pub(crate) novelty: &'m NoveltyModel,
    pub(crate) window: Duration,
    pub(crate) detectors: Detectors,
    pub(crate) rules: &'m RuleSet,
    /// Name of the action of the event in hand.
    action: String,
    /// Requests that came under the audit id of another one, so far.
    pub(crate) collisions: Vec<Collision>,
}

/// What became of an event.
pub(crate) enum Seen<'s> {
    Scored(Observed<'s>),
    /// It came too late to count; it was not read before, as far as is known.
    Late,
    /// Repeated, or never scored.
    Passed,
}

/// What became of a scored event.
pub(crate) struct Observed<'s> {
    pub(crate) surprise: Surprise,
    /// Its actor's window.
    pub(crate) open: &'s mut OpenWindow,
    /// Whether the evidence of the window may be another than before.
    pub(crate) told_more: bool,
}

impl<'m> Observer<'m> {
    pub(crate) fn new(novelty: &'m NoveltyModel, window: Duration, detectors: Detectors, rules: &'m RuleSet) -> Self {
        Self { novelty, window, detectors, rules, action: String::new(), collisions: Vec::new() }
    }

    /// Judges one event and adds it to its actor's window.
    pub(crate) fn observe<'s>(&mut self, state: &'s mut ShardState, index: usize, event: &AuditEvent) -> Seen<'s> {
        let time = event.event_time;
        let late = state.is_late(time);
        if !late {
            state.saw(time);
        }
        match state.requests.admit(event) {
            Admission::New if late => {}
            Admission::New => {
                let watermark = state.watermark();
                self.collisions.extend(state.audit_ids.see(event, watermark));
            }
            Admission::Joined => {
                state.counts.joined += 1;
                return Seen::Passed;
            }
            Admission::Duplicate => {
                state.counts.duplicates += 1;
                return Seen::Passed;
            }
            Admission::NotScored => {
                state.counts.not_scored += 1;
                return Seen::Passed;
            }
        }
        if late {
            state.counts.late += 1;
            return if action::is_routine(event) { Seen::Passed } else { Seen::Late };
        }
        if action::is_routine(event) {
            state.counts.routine += 1;
            return Seen::Passed;
        }
        state.counts.scored += 1;
        let keys = self.novelty.keys(event, &mut state.memo);
        let actor = self.novelty.standing(event, &state.novelty);
        let judged = self.novelty.judge_by(keys, event, &actor);
        let surprise = self.surprise(index, &judged);
        let Some(open) = state.open.of(time.window(self.window).start, &event.actor, time) else { return Seen::Passed };
        let mut told_more = self.add(event, &judged, &actor, open);
        // To an account without history every place is new.
        open.from_elsewhere |= actor.profile.is_some() && judged.is_from_elsewhere();
        if open.rollout.is_none() && judged.first_seen() > 0 {
            open.rollout = state.rollouts.before(&event.actor.name, time).map(|rollout| (rollout.clone(), time));
        }
        state.rollouts.see(event);
        if self.detectors.rules {
            told_more |= self.match_rules(event, &judged, open);
        }
        NoveltyModel::learn_of(actor.profile, event, &judged, &mut state.novelty);
        Seen::Scored(Observed { surprise, open, told_more })
    }

    /// A window of a late event alone, when a rule matches that is always reported; by what the model and the rules say of
    /// it: neither what was learned since training nor what came before has a part in it, so that it is the same whenever
    /// and however often the event comes.
    pub(crate) fn judge_late(&mut self, state: &mut ShardState, event: &AuditEvent) -> Option<OpenWindow> {
        if !self.detectors.rules || !self.rules.matching(event).any(|rule| rule.level.always_reports()) {
            return None;
        }
        let keys = self.novelty.keys(event, &mut state.memo);
        let nothing = NoveltyState::default();
        let actor = self.novelty.standing(event, &nothing);
        let judged = self.novelty.judge_by(keys, event, &actor);
        let mut open = OpenWindow::new(event.actor.class, event.event_time);
        self.add(event, &judged, &actor, &mut open);
        self.match_rules(event, &judged, &mut open);
        open.detected_at = Some(event.event_time);
        Some(open)
    }

    /// Adds a judged event to a window; tells whether the window's novelty may be another than before.
    fn add(
        &mut self,
        event: &AuditEvent,
        judged: &EventNovelty,
        actor: &Standing<'_, '_>,
        open: &mut OpenWindow,
    ) -> bool {
        let time = event.event_time;
        open.count += 1;
        open.first_seen = open.first_seen.min(time);
        open.last_seen = open.last_seen.max(time);
        open.add_evidence(judged.total, event.id);
        open.bodies_hidden |= body_logged(event) == Some(false);
        if open.is_telling(judged.total) {
            for link in links::of_event(event, self.novelty.source_sharing(judged)) {
                open.tie(judged.total, link);
            }
        }
        name_action(event, &mut self.action);
        let name = self.action.as_str();
        let as_judged = || Judged { novelty: judged.clone(), seen: NoveltyModel::telling(event, judged) };
        if open.would_remember(name, judged.total) {
            let (kind, techniques, parts) = if open.counts(judged.total) {
                let (kind, techniques) = action::classify(event);
                (kind, techniques, self.novelty.parts(event, judged, actor))
            } else {
                (FindingKind::UnusualActivity, Vec::new(), Vec::new())
            };
            open.remember(StrangeAction {
                action: name.to_owned(),
                surprise: judged.total,
                event: event.id,
                kind,
                techniques,
                parts,
                judged: vec![as_judged()],
            });
            return true;
        }
        if open.is_telling(judged.total) {
            open.add_judged(name, judged, as_judged);
        }
        false
    }

    /// Whether a rule matched.
    fn match_rules(&self, event: &AuditEvent, judged: &EventNovelty, open: &mut OpenWindow) -> bool {
        let mut matching = self.rules.matching(event).peekable();
        if matching.peek().is_none() {
            return false;
        }
        let newness = newness(self.novelty, &event.actor.name, event.actor.class, judged, &[]);
        let matched = Matched { event: event.id, kind: action::classify(event).0, judged, newness };
        matching.for_each(|rule| open.hits.add(rule, &matched));
        true
    }

    /// What the features of a window are told: nothing of a detector that is off.
    fn surprise(&self, index: usize, judged: &EventNovelty) -> Surprise {
        if self.detectors.novelty {
            Surprise { index, total: judged.total, first_seen: judged.first_seen() }
        } else {
            Surprise { index, total: 0.0, first_seen: 0 }
        }
    }
}

/// How many leading `events` can be observed before a window has to close, given the end of the earliest
/// open one. At least one, once everything due was closed.
pub(crate) fn run_length(
    window: Duration,
    watermark: Option<Timestamp>,
    earliest_end: Option<Timestamp>,
    times: impl Iterator<Item = Timestamp>,
) -> (usize, Option<Timestamp>) {
    let (mut watermark, mut earliest, mut n) = (watermark, earliest_end, 0);
    for time in times {
        let next = watermark.max(Some(time.minus(ALLOWED_LATENESS)));
        if let (Some(w), Some(end)) = (next, earliest)
            && w >= end
        {
            return (n, Some(w));
        }
        watermark = next;
        let end = time.window(window).end;
        if watermark.is_none_or(|w| end > w) {
            earliest = Some(earliest.map_or(end, |e| e.min(end)));
        }
        n += 1;
    }
    (n, None)
}

/// What tells the actions of a window apart: verb, API and namespace.
fn name_action(event: &AuditEvent, name: &mut String) {
    let object = &event.object;
    name.clear();
    name.push_str(event.verb.as_str());
    name.push(' ');
    write_api(object.group.raw(), object.resource.raw(), object.subresource.as_ref().map(Untrusted::raw), name);
    name.push(' ');
    name.push_str(object.namespace.as_ref().map_or("", Untrusted::raw));
}
