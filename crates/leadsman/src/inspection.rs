//! What a log holds, in bounded memory: its formats, period, actors, levels and verbs.

mod blind;
mod counts;
mod named;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use leadsman_decode::EventView;
use leadsman_domain::{ActorClass, Decoded, Level, Stage, Timestamp, Verb};

use crate::account::Account;

pub use blind::Blind;
pub(crate) use blind::length;
pub use counts::Counts;
pub use named::Named;

/// Names that wait, before they are looked up.
const WAITING: usize = 512;

/// Events of one actor.
#[derive(Debug, Clone, Copy, Default)]
pub struct ActorCount {
    /// Its class, once it was seen.
    pub class: Option<ActorClass>,
    /// How many.
    pub events: u64,
}

impl ActorCount {
    fn add(&mut self, more: &Self) {
        self.class = more.class;
        self.events += more.events;
    }
}

/// Events by audit level.
pub type Levels = Counts<Level>;

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Inspection {
    /// Every item.
    pub account: Account,
    /// The earliest and the latest time of anything decoded.
    pub period: Option<(Timestamp, Timestamp)>,
    /// Actors by name.
    pub actors: Named<ActorCount>,
    /// Events by class of actor.
    pub classes: Counts<ActorClass>,
    /// Events by audit level.
    pub levels: Levels,
    /// The same by resource.
    pub resources: Named<Levels>,
    /// Events by verb.
    pub verbs: Counts<Verb>,
    /// Events by stage.
    pub stages: Counts<Stage>,
    /// What detectors look for and some logs leave out.
    gaps: blind::Gaps,
    /// Memory for the name of a resource.
    name: String,
}

impl Inspection {
    /// Takes what was decoded.
    pub fn add(&mut self, decoded: &Decoded) {
        self.account.add(decoded);
        let times = decoded.samples.iter().map(|s| s.event_time);
        let times = times.chain(decoded.runtime.iter().map(|r| r.event_time));
        for time in times.chain(decoded.flows.iter().map(|f| f.event_time)) {
            self.time(time);
        }
        decoded.events.iter().for_each(|event| self.look(&EventView::from(event)));
        self.actors.settle(ActorCount::add);
    }

    /// Takes an audit event that is not kept. Its actor is counted when [`Self::add`] takes what was decoded beside it.
    pub fn event(&mut self, event: &EventView<'_>) {
        self.account.events += 1;
        self.look(event);
    }

    fn look(&mut self, event: &EventView<'_>) {
        self.time(event.event_time);
        if self.actors.wait(event.actor, ActorCount { class: Some(event.class), events: 1 }) == WAITING {
            self.actors.settle(ActorCount::add);
        }
        self.name.clear();
        event.write_api(&mut self.name);
        if let Some(levels) = self.resources.entry(&self.name) {
            levels.add(event.level, 1);
        }
        self.classes.add(event.class, 1);
        self.levels.add(event.level, 1);
        self.verbs.add(event.verb, 1);
        self.stages.add(event.stage, 1);
        self.gaps.event(event);
    }

    fn time(&mut self, time: Timestamp) {
        let (from, to) = self.period.unwrap_or((time, time));
        self.period = Some((from.min(time), to.max(time)));
    }

    /// Adds what another inspection saw.
    pub fn merge(&mut self, other: &Self) {
        self.account.merge(&other.account);
        for time in other.period.into_iter().flat_map(|(from, to)| [from, to]) {
            self.time(time);
        }
        self.actors.merge(&other.actors, |actor| actor.events, ActorCount::add);
        self.resources.merge(&other.resources, Levels::total, Levels::merge);
        self.classes.merge(&other.classes);
        self.levels.merge(&other.levels);
        self.verbs.merge(&other.verbs);
        self.stages.merge(&other.stages);
        self.gaps.merge(&other.gaps);
    }

    /// Seconds between the first and the last item.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.period.map_or(0.0, |(from, to)| to.seconds_since(from))
    }

    /// Different actors by class, of those counted by name.
    #[must_use]
    pub fn actors_by_class(&self) -> BTreeMap<ActorClass, u64> {
        let mut classes = BTreeMap::new();
        for class in self.actors.counts().iter().filter_map(|a| a.class) {
            *classes.entry(class).or_default() += 1;
        }
        classes
    }

    /// What detectors cannot see in this log.
    #[must_use]
    pub fn blind(&self) -> Vec<Blind> {
        self.gaps.blind(self)
    }
}
