//! Findings of linked entities are one incident: the account that mints a token and the account whose token it is tell
//! one story, and are shown as one.
//!
//! Incidents are joined in the order of the log and by event time only, so they do not depend on how a log was cut
//! into batches. Everything is bounded; what is forgotten costs a link, never a finding.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leadsman_domain::{IncidentId, Link, LinkKind, Timestamp, Window};
use serde::{Deserialize, Serialize};

/// Findings further apart than this are different incidents.
pub(crate) const GAP: Duration = Duration::from_secs(3600);
/// An incident takes no finding after this, however steadily they come.
const LIFE: Duration = Duration::from_secs(24 * 3600);
/// Incidents one entity may be in on one day; what it does beyond joins the last one.
pub(crate) const PER_DAY: usize = 2;
/// A source address that more accounts share links none of them.
pub(crate) const MAX_SHARING: usize = 3;
/// Nothing older than this is of any use, whatever the order events came in.
const RETENTION: Duration = Duration::from_secs(48 * 3600);
/// Most ties, and most entities, remembered; the oldest go first.
const MAX_KEPT: usize = 65_536;

/// The incidents of one partition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Incidents {
    open: BTreeMap<IncidentId, Span>,
    ties: BTreeMap<Tie, Tied>,
    days: BTreeMap<Box<str>, EntityDay>,
    /// Hour in which old entries were last dropped.
    swept: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Span {
    opened: Timestamp,
    until: Timestamp,
}

/// What leads to an incident.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Tie {
    Entity(Box<str>),
    Source(Box<str>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Tied {
    incident: IncidentId,
    until: Timestamp,
    /// How it came to be tied; `None` for an entity by its own findings.
    kind: Option<LinkKind>,
    /// The entity whose finding tied it.
    by: Box<str>,
    /// Entities with findings from a source.
    sharing: BTreeSet<Box<str>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct EntityDay {
    day: i64,
    /// At most [`PER_DAY`], the last one last.
    incidents: Vec<IncidentId>,
}

/// What a finding asks for.
pub(crate) struct Claim<'a> {
    /// Actor or workload.
    pub(crate) entity: &'a str,
    /// Of the finding.
    pub(crate) window: Window,
    /// Accounts and sources that its strange events touch.
    pub(crate) ties: &'a [Link],
    /// The incident it was in so far.
    pub(crate) current: Option<IncidentId>,
    /// The id of a new incident, if it begins one.
    pub(crate) new: IncidentId,
}

/// Where a finding belongs.
#[derive(Debug, PartialEq)]
pub(crate) struct Joined {
    pub(crate) incident: IncidentId,
    /// Why, if not for its own sake.
    pub(crate) links: Vec<Link>,
    /// Incidents that turned out to be this one.
    pub(crate) merged: Vec<IncidentId>,
}

impl Incidents {
    /// The incident of a finding: the oldest that it is tied to, into which the others are merged, or a new one.
    pub(crate) fn join(&mut self, claim: &Claim<'_>) -> Joined {
        let from = claim.window.start;
        self.sweep(from);
        let mut found: BTreeMap<IncidentId, Vec<Link>> = BTreeMap::new();
        for (tie, kind) in ties(claim) {
            let Some(tied) = self.ties.get(&tie).filter(|t| self.is_live(t, claim)) else { continue };
            let links = found.entry(tied.incident).or_default();
            // What an entity said itself explains nothing about it.
            let kind = kind.or(tied.kind).filter(|_| *tied.by != *claim.entity);
            links.extend(kind.map(|kind| Link { kind, id: tie.name().to_owned() }));
        }
        if let Some(current) = claim.current {
            found.entry(current).or_default();
        }
        let oldest = found.keys().copied().min_by_key(|id| (self.open.get(id).map_or(from, |s| s.opened), *id));
        let incident = oldest.unwrap_or_else(|| self.begin(claim));
        let mut links: Vec<Link> = found.values().flatten().cloned().collect();
        let merged: Vec<IncidentId> = found.into_keys().filter(|id| *id != incident).collect();
        for loser in &merged {
            links.push(Link { kind: LinkKind::Incident, id: loser.to_string() });
            self.merge(*loser, incident);
        }
        links.sort();
        links.dedup();
        self.extend(incident, claim);
        Joined { incident, links, merged }
    }

    /// Whether a finding can still be joined by this tie.
    fn is_live(&self, tied: &Tied, claim: &Claim<'_>) -> bool {
        let from = claim.window.start;
        let few = tied.sharing.len() < MAX_SHARING || tied.sharing.contains(claim.entity);
        let open = self.open.get(&tied.incident).is_some_and(|span| from < span.opened.plus(LIFE));
        open && few && tied.sharing.len() <= MAX_SHARING && from <= tied.until.plus(GAP)
    }

    /// A new incident, unless the entity had its share of today's.
    fn begin(&self, claim: &Claim<'_>) -> IncidentId {
        let today = self.days.get(claim.entity).filter(|d| d.day == claim.window.start.day());
        let full = today.filter(|d| d.incidents.len() >= PER_DAY);
        full.and_then(|d| d.incidents.last().copied()).unwrap_or(claim.new)
    }

    fn extend(&mut self, incident: IncidentId, claim: &Claim<'_>) {
        let Window { start, end } = claim.window;
        let span = self.open.entry(incident).or_insert(Span { opened: start, until: end });
        span.until = span.until.max(end);
        for (tie, kind) in ties(claim) {
            let is_source = matches!(tie, Tie::Source(_));
            let by = || Box::from(claim.entity);
            let fresh = || Tied { incident, until: end, kind, by: by(), sharing: BTreeSet::new() };
            let tied = self.ties.entry(tie).or_insert_with(fresh);
            if tied.incident != incident {
                // Its incident is over. Who used a source is remembered beyond that.
                *tied = Tied { sharing: std::mem::take(&mut tied.sharing), ..fresh() };
            }
            tied.until = tied.until.max(end);
            if tied.kind.is_none() && kind.is_some() {
                (tied.kind, tied.by) = (kind, by());
            }
            // One more than may share it is enough to know.
            if is_source && tied.sharing.len() <= MAX_SHARING {
                tied.sharing.insert(by());
            }
        }
        let day = start.day();
        let entity = self.days.entry(claim.entity.into());
        let today = entity.or_insert_with(|| EntityDay { day, incidents: Vec::new() });
        if day > today.day {
            *today = EntityDay { day, incidents: Vec::new() };
        }
        if !today.incidents.contains(&incident) {
            today.incidents.truncate(PER_DAY - 1);
            today.incidents.push(incident);
        }
        self.bound();
    }

    fn merge(&mut self, loser: IncidentId, winner: IncidentId) {
        if let Some(span) = self.open.remove(&loser) {
            let until = span.until;
            let kept = self.open.entry(winner).or_insert(span);
            kept.until = kept.until.max(until);
        }
        self.ties.values_mut().filter(|t| t.incident == loser).for_each(|t| t.incident = winner);
        for day in self.days.values_mut() {
            day.incidents.iter_mut().filter(|i| **i == loser).for_each(|i| *i = winner);
            day.incidents.dedup();
        }
    }

    /// Drops what is too old to matter, once an hour of event time.
    fn sweep(&mut self, now: Timestamp) {
        if now.hour() <= self.swept {
            return;
        }
        self.swept = now.hour();
        let horizon = now.minus(RETENTION);
        self.open.retain(|_, s| s.until >= horizon);
        self.ties.retain(|_, t| t.until >= horizon);
        self.days.retain(|_, d| d.day >= horizon.day());
    }

    fn bound(&mut self) {
        while self.ties.len() > MAX_KEPT {
            let oldest = self.ties.iter().min_by_key(|(_, t)| t.until).map(|(tie, _)| tie.clone());
            oldest.and_then(|tie| self.ties.remove(&tie));
        }
        while self.open.len() > MAX_KEPT {
            let oldest = self.open.iter().min_by_key(|(_, s)| s.until).map(|(id, _)| *id);
            oldest.and_then(|id| self.open.remove(&id));
        }
        while self.days.len() > MAX_KEPT {
            let oldest = self.days.iter().min_by_key(|(_, d)| d.day).map(|(entity, _)| entity.clone());
            oldest.and_then(|entity| self.days.remove(&entity));
        }
    }
}

impl Tie {
    fn name(&self) -> &str {
        match self {
            Self::Entity(name) | Self::Source(name) => name,
        }
    }
}

/// The entity itself, and what its strange events touch.
fn ties<'a>(claim: &'a Claim<'_>) -> impl Iterator<Item = (Tie, Option<LinkKind>)> + 'a {
    let own = (Tie::Entity(claim.entity.into()), None);
    let others = claim.ties.iter().filter_map(|link| {
        let tie = match link.kind {
            LinkKind::MintedToken | LinkKind::Impersonation | LinkKind::BoundSubject | LinkKind::WorkloadAccount => {
                Tie::Entity(link.id.as_str().into())
            }
            LinkKind::Source => Tie::Source(link.id.as_str().into()),
            LinkKind::Incident => return None,
        };
        (tie.name() != claim.entity).then_some((tie, Some(link.kind)))
    });
    std::iter::once(own).chain(others)
}

#[cfg(test)]
mod tests;
