use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use leadsman_detect::novelty::{EventNovelty, KeyFamily, KeyPart, NoveltyState};
use leadsman_domain::{ActorClass, EventId, FindingKind, IncidentId, Link, MetricSample, Technique, Timestamp};
use serde::{Deserialize, Serialize};

use crate::hits::Hits;
use crate::incidents::{Claim, Incidents};
use crate::requests::Requests;
use crate::sight::Watch;
use crate::{ALLOWED_LATENESS, EngineError};

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
/// Most reasons why a finding was joined to an incident.
const MAX_LINKS: usize = 8;
/// Most bytes a snapshot may unpack to.
const MAX_SNAPSHOT: u64 = 2 << 30;
/// Format of the snapshot.
const SNAPSHOT_FORMAT: u8 = 3;

/// Everything remembered of one partition of one source. Partitions share nothing that changes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ShardState {
    pub(crate) novelty: NoveltyState,
    pub(crate) requests: Requests,
    /// Largest event time seen.
    newest: Option<Timestamp>,
    /// Windows that end here or before were closed, by the watermark or because the source fell idle.
    closed_through: Option<Timestamp>,
    newest_sample: Option<Timestamp>,
    samples_closed_through: Option<Timestamp>,
    pub(crate) open: BTreeMap<(Timestamp, Box<str>), OpenWindow>,
    /// Of actors.
    pub(crate) incidents: Incidents,
    /// Of workloads: events and samples are read apart, so their order among each other means nothing.
    pub(crate) usage_incidents: Incidents,
    pub(crate) watch: Watch,
    /// What was counted since the state began.
    pub counts: ObserveCounts,
}

/// Entity kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntityKey {
    Actor,
    Workload,
}

/// What became of the events of a shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObserveCounts {
    /// Scored.
    pub scored: u64,
    /// Bookkeeping of the cluster: counted, not scored.
    pub routine: u64,
    /// Later stages of scored requests.
    pub joined: u64,
    /// Exact repetitions.
    pub duplicates: u64,
    /// Older than the watermark: their window was closed.
    pub late: u64,
    /// `RequestReceived`.
    pub not_scored: u64,
    /// Metric samples taken into windows.
    pub samples: u64,
    /// Metric samples that came too late.
    pub late_samples: u64,
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
}

/// The strangest event of one action (verb, API, namespace) in a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StrangeAction {
    pub(crate) action: String,
    pub(crate) surprise: f64,
    pub(crate) event: EventId,
    pub(crate) kind: FindingKind,
    pub(crate) techniques: Vec<Technique>,
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
            detected_at: None,
            incident: None,
            ties: Vec::new(),
            retied: false,
            links: Vec::new(),
            bodies_hidden: false,
            hits: Hits::default(),
        }
    }

    /// Whether an event this surprising changes what the window remembers of `action`.
    pub(crate) fn would_remember(&self, action: &str, surprise: f64) -> bool {
        match self.actions.iter().find(|a| a.action == action) {
            Some(a) => surprise > a.surprise,
            None => self.actions.len() < MAX_ACTIONS || self.actions.last().is_some_and(|a| surprise > a.surprise),
        }
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

impl ShardState {
    /// Everything up to here was seen: windows that end at or before it are complete.
    #[must_use]
    pub fn watermark(&self) -> Option<Timestamp> {
        latest(self.newest.map(|t| t.minus(ALLOWED_LATENESS)), self.closed_through)
    }

    /// Time of the newest audit event.
    #[must_use]
    pub fn newest_event(&self) -> Option<Timestamp> {
        self.watch.newest()
    }

    /// As [`Self::watermark`], for metric samples.
    #[must_use]
    pub fn sample_watermark(&self) -> Option<Timestamp> {
        latest(self.newest_sample.map(|t| t.minus(ALLOWED_LATENESS)), self.samples_closed_through)
    }

    /// Whether an event of this time is too late for its window.
    pub(crate) fn is_late(&self, time: Timestamp) -> bool {
        self.watermark().is_some_and(|w| time < w)
    }

    pub(crate) fn saw(&mut self, time: Timestamp) {
        self.newest = latest(self.newest, Some(time));
    }

    /// Takes samples into account; the indices of those that are in time.
    pub(crate) fn admit_samples(&mut self, samples: &[MetricSample]) -> Vec<usize> {
        let mut in_time = Vec::with_capacity(samples.len());
        for (i, sample) in samples.iter().enumerate() {
            if self.sample_watermark().is_some_and(|w| sample.event_time < w) {
                self.counts.late_samples += 1;
                continue;
            }
            self.newest_sample = latest(self.newest_sample, Some(sample.event_time));
            self.counts.samples += 1;
            in_time.push(i);
        }
        in_time
    }

    pub(crate) fn closed(&mut self, through: Timestamp) {
        self.closed_through = latest(self.closed_through, Some(through));
    }

    pub(crate) fn closed_samples(&mut self, through: Timestamp) {
        self.samples_closed_through = latest(self.samples_closed_through, Some(through));
    }

    /// Settles the incident of an open window that is a finding; `new` is the id if it begins one. Other open windows
    /// follow when incidents turn out to be one.
    pub(crate) fn settle(&mut self, key: &(Timestamp, Box<str>), window: Duration, new: IncidentId) {
        let Some(open) = self.open.get_mut(key) else { return };
        // What only the ordinary part of a window touches links nothing.
        let least = open.least_strange();
        let ties: Vec<Link> = open.ties.iter().filter(|(s, _)| *s >= least).map(|(_, link)| link.clone()).collect();
        let claim = Claim { entity: &key.1, window: key.0.window(window), ties: &ties, current: open.incident, new };
        let joined = self.incidents.join(&claim);
        open.incident = Some(joined.incident);
        open.retied = false;
        open.links.extend(joined.links);
        open.links.sort();
        open.links.dedup();
        open.links.truncate(MAX_LINKS);
        if !joined.merged.is_empty() {
            for incident in self.open.values_mut().filter_map(|o| o.incident.as_mut()) {
                if joined.merged.contains(incident) {
                    *incident = joined.incident;
                }
            }
        }
    }

    /// The state as bytes, for a checkpoint.
    ///
    /// Errors: [`EngineError::Snapshot`] when it cannot be encoded.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EngineError> {
        let failed = |e: &dyn std::fmt::Display| EngineError::Snapshot(e.to_string());
        let body = postcard::to_stdvec(self).map_err(|e| failed(&e))?;
        let mut out = vec![SNAPSHOT_FORMAT];
        out.extend(zstd::bulk::compress(&body, 1).map_err(|e| failed(&e))?);
        Ok(out)
    }

    /// Reads a checkpointed state.
    ///
    /// Errors: [`EngineError::Snapshot`] when it is damaged or of another format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EngineError> {
        let failed = |e: &dyn std::fmt::Display| EngineError::Snapshot(e.to_string());
        let Some((&SNAPSHOT_FORMAT, body)) = bytes.split_first() else {
            return Err(EngineError::Snapshot("another format".to_owned()));
        };
        let mut unpacked = Vec::new();
        let decoder = zstd::stream::read::Decoder::new(body).map_err(|e| failed(&e))?;
        decoder.take(MAX_SNAPSHOT).read_to_end(&mut unpacked).map_err(|e| failed(&e))?;
        postcard::from_bytes(&unpacked).map_err(|e| failed(&e))
    }
}

fn latest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    a.max(b)
}
