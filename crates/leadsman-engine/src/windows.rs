//! Windows of actors that still take events.

use std::collections::BTreeMap;

use leadsman_detect::novelty::{EventNovelty, KeyFamily, KeyPart};
use leadsman_domain::{Actor, ActorClass, EventId, FindingKind, IncidentId, Link, Technique, Timestamp};
use serde::{Deserialize, Serialize};

use crate::hits::Hits;
use crate::rollouts::Rollout;

/// Most events listed as evidence of a window.
pub(crate) const MAX_EVIDENCE: usize = 50;
/// Most distinct actions remembered of an open window; the least surprising give way.
const MAX_ACTIONS: usize = 32;
/// Actions that make up a window's novelty.
pub(crate) const TOP_ACTIONS: usize = 5;
/// Surprise, in nats, below which an event is ordinary in any window.
const ORDINARY: f64 = 1.0;
/// Most events of one action that are remembered as they were judged.
const MAX_JUDGED: usize = 4;
/// Most accounts and sources remembered of an open window.
const MAX_TIES: usize = 16;

/// Every open window, by start and actor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct OpenWindows(BTreeMap<Timestamp, BTreeMap<Box<str>, Box<OpenWindow>>>);

impl OpenWindows {
    /// The window of an actor, opened at `time` if it is not open; never none. Asking for an open one allocates nothing.
    pub(crate) fn of(&mut self, start: Timestamp, actor: &Actor, time: Timestamp) -> Option<&mut OpenWindow> {
        let actors = self.0.entry(start).or_default();
        if !actors.contains_key(&*actor.name) {
            actors.insert((*actor.name).into(), Box::new(OpenWindow::new(actor.class, time)));
        }
        actors.get_mut(&*actor.name).map(Box::as_mut)
    }

    pub(crate) fn get(&self, start: Timestamp, entity: &str) -> Option<&OpenWindow> {
        self.0.get(&start)?.get(entity).map(Box::as_ref)
    }

    pub(crate) fn get_mut(&mut self, start: Timestamp, entity: &str) -> Option<&mut OpenWindow> {
        self.0.get_mut(&start)?.get_mut(entity).map(Box::as_mut)
    }

    pub(crate) fn remove(&mut self, start: Timestamp, entity: &str) -> Option<Box<OpenWindow>> {
        let actors = self.0.get_mut(&start)?;
        let removed = actors.remove(entity);
        if actors.is_empty() {
            self.0.remove(&start);
        }
        removed
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut OpenWindow> {
        self.0.values_mut().flat_map(|actors| actors.values_mut().map(Box::as_mut))
    }
}

/// An actor's window that still takes events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct OpenWindow {
    pub(crate) class: ActorClass,
    pub(crate) count: u64,
    pub(crate) first_seen: Timestamp,
    pub(crate) last_seen: Timestamp,
    /// The strangest event of each distinct action, strangest first.
    pub(crate) actions: Vec<StrangeAction>,
    /// The strangest events, strangest first.
    pub(crate) evidence: Vec<(f64, EventId)>,
    /// Whether it was over the alert line after the last event that could change that.
    pub(crate) over_line: bool,
    pub(crate) detected_at: Option<Timestamp>,
    pub(crate) incident: Option<IncidentId>,
    /// Accounts and sources of its events with their surprise, most surprising first.
    ties: Vec<(f64, Link)>,
    /// Whether `ties` grew since the incident was settled.
    retied: bool,
    /// Why it belongs to its incident.
    pub(crate) links: Vec<Link>,
    /// Some event's body was not logged although its risks would matter.
    pub(crate) bodies_hidden: bool,
    /// Rules that matched its events.
    pub(crate) hits: Hits,
    /// What may explain the first of its events that was new for the actor, and when that was.
    pub(crate) rollout: Option<(Rollout, Timestamp)>,
    /// Some event came with a client or from a network that is new for an actor with history.
    pub(crate) from_elsewhere: bool,
}

/// The strangest event of one action (verb, API, namespace) in a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StrangeAction {
    pub(crate) action: String,
    pub(crate) surprise: f64,
    pub(crate) event: EventId,
    pub(crate) kind: FindingKind,
    /// Empty when it never counted.
    pub(crate) techniques: Vec<Technique>,
    /// Empty when it never counted.
    pub(crate) parts: Vec<KeyPart>,
    /// It and the next strangest events of the action with other keys, for what would have made it normal.
    pub(crate) judged: Vec<Judged>,
}

/// One event as the novelty detector judged it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Judged {
    pub(crate) novelty: EventNovelty,
    /// What was observed, by the families that matter.
    pub(crate) seen: Vec<(KeyFamily, String)>,
}

impl OpenWindow {
    pub(crate) fn new(class: ActorClass, time: Timestamp) -> Self {
        Self {
            class,
            count: 0,
            first_seen: time,
            last_seen: time,
            actions: Vec::new(),
            evidence: Vec::new(),
            over_line: false,
            detected_at: None,
            incident: None,
            ties: Vec::new(),
            retied: false,
            links: Vec::new(),
            bodies_hidden: false,
            hits: Hits::default(),
            rollout: None,
            from_elsewhere: false,
        }
    }

    /// Whether an event this surprising changes what the window remembers of `action`.
    pub(crate) fn would_remember(&self, action: &str, surprise: f64) -> bool {
        match self.actions.iter().find(|a| a.action == action) {
            Some(a) => surprise > a.surprise,
            None => self.actions.len() < MAX_ACTIONS || self.actions.last().is_some_and(|a| surprise > a.surprise),
        }
    }

    /// Whether an event this surprising can count for the novelty of the window. What cannot when it comes never will.
    pub(crate) fn counts(&self, surprise: f64) -> bool {
        self.actions.get(TOP_ACTIONS - 1).is_none_or(|a| surprise > a.surprise)
    }

    /// Remembers an action by its strangest event; what else is known of the action stays.
    pub(crate) fn remember(&mut self, mut action: StrangeAction) {
        if let Some(at) = self.actions.iter().position(|a| a.action == action.action) {
            let before = self.actions.remove(at);
            for judged in before.judged {
                add_judged(&mut action.judged, judged);
            }
        }
        let at = self.actions.partition_point(|a| a.surprise >= action.surprise);
        self.actions.insert(at, action);
        self.actions.truncate(MAX_ACTIONS);
    }

    /// Remembers a further event of a remembered action, if its keys are new there.
    pub(crate) fn add_judged(&mut self, action: &str, novelty: &EventNovelty, judged: impl FnOnce() -> Judged) {
        let known = self.actions.iter_mut().find(|a| a.action == action);
        if let Some(known) = known.filter(|a| a.judged.iter().all(|j| j.novelty.keys() != novelty.keys())) {
            add_judged(&mut known.judged, judged());
        }
    }

    pub(crate) fn add_evidence(&mut self, surprise: f64, event: EventId) {
        let at = self.evidence.partition_point(|(s, _)| *s >= surprise);
        if at < MAX_EVIDENCE {
            self.evidence.insert(at, (surprise, event));
            self.evidence.truncate(MAX_EVIDENCE);
        }
    }

    /// Remembers what an event touches; the least surprising give way.
    pub(crate) fn tie(&mut self, surprise: f64, link: Link) {
        if let Some((most, _)) = self.ties.iter_mut().find(|(_, known)| *known == link) {
            if surprise <= *most {
                return;
            }
            (*most, self.retied) = (surprise, true);
        } else {
            self.ties.push((surprise, link));
            self.retied = true;
        }
        self.ties.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        self.ties.truncate(MAX_TIES);
    }

    /// What its strangest events touch: what only the ordinary part of a window touches links nothing.
    pub(crate) fn strange_ties(&self) -> Vec<Link> {
        let least = self.least_strange();
        self.ties.iter().filter(|(s, _)| *s >= least).map(|(_, link)| link.clone()).collect()
    }

    pub(crate) fn settled(&mut self, incident: IncidentId) {
        self.incident = Some(incident);
        self.retied = false;
    }

    /// Whether its incident has to be looked for, again.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.incident.is_none() || self.retied
    }

    /// S_N = Σ 2^-r · S_(r) over the five strangest distinct actions. It only grows while the window is open.
    pub(crate) fn novelty(&self) -> f64 {
        self.actions.iter().take(TOP_ACTIONS).zip(rank_weights()).map(|(a, w)| w * a.surprise).sum()
    }
}

impl OpenWindow {
    /// Surprise from which on an event counts among the strangest of the window.
    pub(crate) fn least_strange(&self) -> f64 {
        0.5 * self.actions.first().map_or(0.0, |a| a.surprise)
    }

    /// Whether what an event touches and how it was judged are worth remembering.
    pub(crate) fn is_telling(&self, surprise: f64) -> bool {
        surprise >= self.least_strange().max(ORDINARY)
    }

    /// The strangest actions: those at least half as surprising as the most surprising one.
    pub(crate) fn strange(&self) -> impl Iterator<Item = &StrangeAction> {
        let least = self.least_strange();
        self.actions.iter().take(TOP_ACTIONS).filter(move |a| a.surprise >= least)
    }
}

/// Keeps the strangest events, one for each set of keys.
fn add_judged(all: &mut Vec<Judged>, judged: Judged) {
    if all.iter().any(|j| j.novelty.keys() == judged.novelty.keys()) {
        return;
    }
    let at = all.partition_point(|j| j.novelty.total >= judged.novelty.total);
    all.insert(at, judged);
    all.truncate(MAX_JUDGED);
}

/// 1, ½, ¼, …
pub(crate) fn rank_weights() -> impl Iterator<Item = f64> {
    std::iter::successors(Some(1.0), |w| Some(w / 2.0))
}
