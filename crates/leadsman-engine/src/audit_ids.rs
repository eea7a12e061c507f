//! Audit ids that requests had lately.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use leadsman_domain::{AuditEvent, EventId, TableHash, Timestamp, short_hash};
use serde::{Deserialize, Serialize};

use crate::in_order;
use crate::requests::{MAX_REQUESTS, RETENTION};

/// Tells when a request comes under the audit id of another one.
///
/// The API server takes the id of the header `Audit-ID` where a request has one. Whoever gives theirs that of a request
/// which was logged may hope that it is taken for a repetition; here it is not ([`EventId`] covers the content), and it is
/// told. One id a request, kept as long as requests are, in eight bytes. Each partition has its own: they share nothing.
///
/// What is told depends on the order of the log and not on how it is cut: what the watermark has left behind is not
/// asked, whether it was forgotten already or not.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct AuditIds {
    /// By [`GENERATION`] of their time: a handful.
    generations: BTreeMap<i64, Generation>,
    /// The last day on which a collision was told: one who does so often is told once a day.
    told: Option<i64>,
}

/// Hashes of ids.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Generation(#[serde(with = "in_order")] HashSet<u64, TableHash>);

/// A request that came under the audit id of another one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Collision {
    pub(crate) event: EventId,
    pub(crate) audit_id: String,
    pub(crate) actor: String,
    pub(crate) time: Timestamp,
}

/// Ids are forgotten by so much of their time at once.
const GENERATION: Duration = Duration::from_secs(300);

impl AuditIds {
    /// Takes the first event of a request into account, which is not late; the collision, if it is to be told.
    pub(crate) fn see(&mut self, event: &AuditEvent, watermark: Option<Timestamp>) -> Option<Collision> {
        // Who makes up two ids of one hash tells on themselves alone.
        let (id, time) = (short_hash(event.audit_id.raw()), event.event_time);
        let from = watermark.map_or(i64::MIN, horizon);
        let is_known = self.generations.range(from..).any(|(_, ids)| ids.0.contains(&id));
        if self.len() >= MAX_REQUESTS {
            self.generations.pop_first();
        }
        self.generations.entry(time.window(GENERATION).start.as_micros()).or_default().0.insert(id);
        (is_known && self.told.is_none_or(|day| day < time.day())).then(|| {
            self.told = Some(time.day());
            let (audit_id, actor) = (event.audit_id.raw().to_owned(), event.actor.name.to_string());
            Collision { event: event.id, audit_id, actor, time }
        })
    }

    /// Forgets what lies too far behind `watermark`.
    pub(crate) fn expire(&mut self, watermark: Timestamp) {
        self.generations = self.generations.split_off(&horizon(watermark));
    }

    /// How many ids are remembered.
    pub(crate) fn len(&self) -> usize {
        self.generations.values().map(|ids| ids.0.len()).sum()
    }
}

/// Where the first generation begins of which all requests are remembered: a repetition of theirs is known for one.
fn horizon(watermark: Timestamp) -> i64 {
    watermark.minus(RETENTION).as_micros()
}
