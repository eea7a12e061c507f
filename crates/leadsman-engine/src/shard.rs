use std::io::{BufWriter, Read};
use std::time::Duration;

use leadsman_detect::novelty::{KeyMemo, NoveltyState};
use leadsman_domain::{IncidentId, MetricSample, Timestamp};
use serde::{Deserialize, Serialize};

use crate::audit_ids::AuditIds;
use crate::incidents::{Claim, Incidents};
use crate::requests::Requests;
use crate::rollouts::Rollouts;
use crate::sight::Watch;
use crate::windows::OpenWindows;
use crate::{ALLOWED_LATENESS, EngineError};

/// Most reasons why a finding was joined to an incident.
const MAX_LINKS: usize = 8;
/// Most bytes a snapshot may unpack to.
const MAX_SNAPSHOT: u64 = 2 << 30;
/// Format of the snapshot.
const SNAPSHOT_FORMAT: u8 = 10;

/// Everything remembered of one partition of one source. Partitions share nothing that changes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ShardState {
    pub(crate) novelty: NoveltyState,
    #[serde(skip)]
    pub(crate) memo: KeyMemo,
    pub(crate) requests: Requests,
    pub(crate) audit_ids: AuditIds,
    /// Largest event time seen.
    newest: Option<Timestamp>,
    /// Windows that end here or before were closed, by the watermark or because the source fell idle.
    closed_through: Option<Timestamp>,
    newest_sample: Option<Timestamp>,
    samples_closed_through: Option<Timestamp>,
    pub(crate) open: OpenWindows,
    /// Of actors.
    pub(crate) incidents: Incidents,
    /// Of workloads: events and samples are read apart, so their order among each other means nothing.
    pub(crate) usage_incidents: Incidents,
    pub(crate) watch: Watch,
    pub(crate) rollouts: Rollouts,
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
    /// Older than the watermark: their window was closed; or than what is remembered of requests.
    pub late: u64,
    /// `RequestReceived`.
    pub not_scored: u64,
    /// Metric samples taken into windows.
    pub samples: u64,
    /// Metric samples that came too late.
    pub late_samples: u64,
}

impl ObserveCounts {
    /// Adds what another state counted.
    pub fn add(&mut self, other: &Self) {
        let Self { scored, routine, joined, duplicates, late, not_scored, samples, late_samples } = other;
        self.scored += scored;
        self.routine += routine;
        self.joined += joined;
        self.duplicates += duplicates;
        self.late += late;
        self.not_scored += not_scored;
        self.samples += samples;
        self.late_samples += late_samples;
    }
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

    /// Whether an event of this time is too late for its window, or so old that nobody knows any more whether it came
    /// before.
    pub(crate) fn is_late(&self, time: Timestamp) -> bool {
        self.watermark().is_some_and(|w| time < w) || self.requests.may_have_forgotten(time)
    }

    /// Forgets requests that lie too far back.
    pub(crate) fn forget_requests(&mut self) {
        if let Some(watermark) = self.watermark() {
            self.requests.expire(watermark);
            self.audit_ids.expire(watermark);
        }
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
    pub(crate) fn settle(&mut self, (start, entity): (Timestamp, &str), window: Duration, new: IncidentId) {
        let Some(open) = self.open.get_mut(start, entity) else { return };
        // What only the ordinary part of a window touches links nothing.
        let ties = open.strange_ties();
        let claim = Claim { entity, window: start.window(window), ties: &ties, current: open.incident, new };
        let joined = self.incidents.join(&claim);
        open.settled(joined.incident);
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
        let encoder = zstd::Encoder::new(vec![SNAPSHOT_FORMAT], 1).map_err(|e| failed(&e))?;
        // Never whole and unpacked: a busy partition's requests are a hundred megabytes.
        let body = postcard::to_io(self, BufWriter::new(encoder)).map_err(|e| failed(&e))?;
        let encoder = body.into_inner().map_err(|e| failed(&e))?;
        encoder.finish().map_err(|e| failed(&e))
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
