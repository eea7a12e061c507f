//! Findings about the log itself: what can no longer be seen in it, and what somebody may have tried to hide. They are
//! facts, not scores: nothing suppresses them, and they have fixed evidence.

use std::time::Duration;

use leadsman_detect::FittedModel;
use leadsman_detect::evidence::score;
use leadsman_domain::{
    Baseline, ContentHash, Contribution, Entity, EntityType, EventId, EvidenceRef, Explanation, Finding, FindingId,
    FindingKind, IncidentId, Rarity, Severity, Timestamp, WindowRef, identifier,
};

use crate::audit_ids::Collision;
use crate::report::{Reporter, headline};
use crate::sight::{Blindness, Silence};

/// Evidence of being blind, in decades: a score of 75, the lowest that is `high`.
const EVIDENCE: f64 = 4.0;
/// Evidence of two requests under one id: `medium`, for some logs have such pairs.
const COLLISION: f64 = 2.0;

/// What the offsets of a log count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Records, each of which is missed by its number.
    Records,
    /// Bytes of files; of a file that is gone nobody knows how many it had.
    Bytes,
}

/// Records that nobody will read.
#[derive(Debug, Clone, Copy)]
pub struct Gap<'a> {
    /// Source and partition.
    pub log: &'a str,
    /// What the offsets count.
    pub unit: Unit,
    /// First offset that is missing.
    pub from: u64,
    /// First offset that is there again.
    pub to: u64,
    /// Since when something may be missing: the newest event before the gap, where it is known.
    pub since: Timestamp,
    /// When the first record behind the gap was received.
    pub noticed: Timestamp,
}

/// What is told of a condition of the whole cluster.
struct Condition {
    kind: FindingKind,
    /// Id of the reason.
    reason: &'static str,
    /// What tells conditions of one kind apart.
    subject: String,
    since: Timestamp,
    noticed: Timestamp,
    days: f64,
    sentence: String,
    observed: String,
    baseline: Option<Baseline>,
    limit: String,
    evidence: f64,
    /// Events that show it, where there are any.
    events: Vec<EventId>,
}

impl Reporter {
    pub(crate) fn collision(&self, collision: &Collision) -> Finding {
        let Collision { event, audit_id, actor, time } = collision;
        let (id, actor, cluster) = (identifier(audit_id), identifier(actor), identifier(&self.cluster));
        self.condition(Condition {
            kind: FindingKind::AuditIdCollision,
            reason: "audit_id_collision",
            subject: audit_id.clone(),
            since: *time,
            noticed: *time,
            days: 1.0,
            sentence: format!(
                "A request of {actor} in cluster {cluster} came under the audit id {id}, which another request had within the \
                 quarter of an hour before. Clients choose these ids; who repeats one may hope that the request is taken for \
                 a repetition. It was not: both were read."
            ),
            observed: format!("audit id {id} of two requests"),
            baseline: None,
            limit: "ordinary where a log also holds the events of aggregated API servers, which take over the id; told once a day"
                .to_owned(),
            evidence: COLLISION,
            events: vec![*event],
        })
    }

    pub(crate) fn silence(&self, silence: Silence, model: &FittedModel) -> Finding {
        let Silence { since, allowed } = silence;
        let longest = model.sight.longest_quiet.unwrap_or_default();
        let baseline = Baseline {
            own: longest.as_secs_f64(),
            own_days: model.novelty.history_days,
            peers: 0,
            peers_of: 0,
            cluster_rate: 0.0,
        };
        self.condition(Condition {
            kind: FindingKind::AuditSilence,
            reason: "audit_silence",
            subject: String::new(),
            since,
            noticed: since.plus(allowed),
            days: model.novelty.history_days,
            sentence: format!(
                "No audit event of cluster {} came for more than {}, where {} was the longest quiet time in {:.0} days of \
                 training.",
                identifier(&self.cluster),
                spoken(allowed),
                spoken(longest),
                model.novelty.history_days.max(1.0)
            ),
            observed: format!("nothing for {}", spoken(allowed)),
            baseline: Some(baseline),
            limit: "nothing that happened since then was seen".to_owned(),
            evidence: EVIDENCE,
            events: Vec::new(),
        })
    }

    pub(crate) fn gap(&self, gap: &Gap<'_>) -> Finding {
        let Gap { log, unit, from, to, since, noticed } = *gap;
        let lost = to.saturating_sub(from);
        let (cluster, name) = (identifier(&self.cluster), identifier(log));
        let (sentence, observed, limit) = match unit {
            Unit::Records => (
                format!(
                    "{lost} records of cluster {cluster} were deleted before they were read: offsets {from} to {to} of {name}."
                ),
                format!("{lost} records missing"),
                "nothing that happened in these records was seen: keep the log longer than the service may stand still",
            ),
            Unit::Bytes => (
                format!(
                    "A part of the log of cluster {cluster} was removed or overwritten, and may not have been read before: {name} \
                     from byte {from} on, {lost} bytes or more."
                ),
                format!("{lost} bytes or more missing"),
                "nothing that was written there was seen: keep rotated files, uncompressed, until they were read",
            ),
        };
        self.condition(Condition {
            kind: FindingKind::DataGap,
            reason: "data_gap",
            subject: format!("{log} {from}"),
            since,
            noticed,
            days: 1.0,
            sentence,
            observed,
            baseline: None,
            limit: limit.to_owned(),
            evidence: EVIDENCE,
            events: Vec::new(),
        })
    }

    pub(crate) fn blindness(&self, blindness: &Blindness) -> Finding {
        let api = identifier(&blindness.api).into_owned();
        self.condition(Condition {
            kind: FindingKind::DetectorBlinded,
            reason: "detector_blinded",
            subject: blindness.api.clone(),
            since: blindness.since,
            noticed: blindness.noticed,
            days: 1.0,
            sentence: format!(
                "Writes of {api} in cluster {} are logged without their body, which in training they always had.",
                identifier(&self.cluster)
            ),
            observed: format!("{api} at audit level Metadata"),
            baseline: None,
            limit: format!("risky settings of {api} are unknown: set its audit level to Request again"),
            evidence: EVIDENCE,
            events: Vec::new(),
        })
    }

    fn condition(&self, c: Condition) -> Finding {
        let score = score(c.evidence);
        let id = |context: &str, at: i64| {
            let hash = ContentHash::new(context).field(&self.cluster).field(headline(c.kind)).field(&c.subject);
            hash.field(at.to_le_bytes()).finish()
        };
        let per_day = 1.0 / c.days.max(1.0);
        let (kind, since) = (c.kind, c.since);
        let contribution = Contribution {
            id: c.reason.to_owned(),
            detector: "rules".to_owned(),
            points: i32::from(score),
            observed: c.observed,
            baseline: c.baseline,
            event_ids: c.events.clone(),
        };
        Finding {
            id: FindingId::new(id("leadsman condition v1", since.as_micros())),
            rev: 1,
            // Partitions that fall silent on one day are one incident.
            incident_id: IncidentId::new(id("leadsman condition incident v1", since.day())),
            cluster: self.cluster.clone(),
            kind,
            entity: Entity { kind: EntityType::Cluster, id: self.cluster.clone(), class: None },
            title: format!("{}: {}", identifier(&self.cluster), headline(kind)),
            score,
            severity: Severity::of(score),
            rarity: Rarity {
                p: per_day,
                per_day,
                calibration_n: 0,
                stratum: "audit source".to_owned(),
                extrapolated: true,
            },
            explanation: Explanation { sentence: c.sentence, contributions: vec![contribution], counterfactual: None },
            techniques: Vec::new(),
            model: self.model.clone(),
            evidence: EvidenceRef { total: c.events.len() as u64, event_ids: c.events },
            window: WindowRef { from: since, to: c.noticed },
            first_seen: since,
            last_seen: since,
            detected_at: c.noticed,
            limits: vec![c.limit],
            links: Vec::new(),
            rules: Vec::new(),
        }
    }
}

fn spoken(d: Duration) -> String {
    match d.as_secs() {
        0..120 => format!("{} seconds", d.as_secs()),
        120..7200 => format!("{} minutes", d.as_secs() / 60),
        _ => format!("{} hours", d.as_secs() / 3600),
    }
}
