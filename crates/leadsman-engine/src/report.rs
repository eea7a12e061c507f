use leadsman_detect::Detectors;
use leadsman_detect::action::{resource_hijacking, valid_accounts};
use leadsman_detect::calibration::Rareness;
use leadsman_detect::evidence::{Evidence, score};
use leadsman_detect::explain::{
    Share, StrangeEvent, actor_sentence, forest_shares, novelty_shares, rollout_sentence, rule_share, to_points,
    usage_sentence, usage_shares,
};
use leadsman_detect::novelty::KeyFamily;
use leadsman_detect::usage::{STRATUM, UsageModel};
use leadsman_domain::{
    ContentHash, Entity, EntityType, EventId, EvidenceRef, FeatureSchema, Finding, FindingId, FindingKind, IncidentId,
    ModelRef, Rarity, RowKey, Severity, Technique, Timestamp, Window, WindowRef, identifier, service_account,
};

use crate::shard::EntityKey;
use crate::windows::{MAX_EVIDENCE, OpenWindow, TOP_ACTIONS, rank_weights};

/// Writes findings.
#[derive(Debug, Clone)]
pub(crate) struct Reporter {
    pub(crate) cluster: String,
    pub(crate) model: ModelRef,
    pub(crate) detectors: Detectors,
}

/// What is known of an actor's window once it closed.
pub(crate) struct ActorWindow<'a> {
    pub(crate) schema: &'a FeatureSchema,
    pub(crate) values: Vec<f64>,
    pub(crate) by_feature: Vec<f64>,
    pub(crate) strangeness: Rareness,
}

/// What is known of a workload's window.
pub(crate) struct UsageWindow<'a> {
    pub(crate) schema: &'a FeatureSchema,
    pub(crate) key: &'a RowKey,
    pub(crate) values: Vec<f64>,
    pub(crate) deviations: Vec<f64>,
    pub(crate) by_feature: Vec<f64>,
    pub(crate) habit: Rareness,
    pub(crate) strangeness: Rareness,
    pub(crate) incident: IncidentId,
}

impl Reporter {
    pub(crate) fn incident_id(&self, kind: EntityKey, entity: &str, start: Timestamp) -> IncidentId {
        IncidentId::new(self.hash("leadsman incident v1", kind, entity, start))
    }

    fn finding_id(&self, kind: EntityKey, entity: &str, start: Timestamp) -> FindingId {
        FindingId::new(self.hash("leadsman finding v1", kind, entity, start))
    }

    fn hash(&self, context: &str, kind: EntityKey, entity: &str, start: Timestamp) -> u128 {
        let kind = match kind {
            EntityKey::Actor => "actor",
            EntityKey::Workload => "workload",
        };
        let hash = ContentHash::new(context).field(&self.cluster).field(kind).field(entity);
        hash.field(start.as_micros().to_le_bytes()).finish()
    }

    #[expect(clippy::too_many_arguments, reason = "one call site; a struct would only rename the arguments")]
    pub(crate) fn actor(
        &self,
        entity: &str,
        window: Window,
        open: &OpenWindow,
        evidence: Evidence,
        habit: Rareness,
        closed: Option<&ActorWindow<'_>>,
        (calibration_n, stratum): (u64, &str),
    ) -> Finding {
        let events: Vec<StrangeEvent<'_>> = open
            .actions
            .iter()
            .take(TOP_ACTIONS)
            .zip(rank_weights())
            .map(|(a, weight)| StrangeEvent { id: a.event, weight, parts: &a.parts })
            .collect();
        let event_ids = event_ids(open);
        let (of_habit, of_forest) = evidence.shares();
        let mut shares: Vec<Share> = novelty_shares(&events, of_habit);
        if let Some(w) = closed {
            shares.extend(forest_shares(w.schema, &w.by_feature, &w.values, of_forest, &event_ids));
        }
        let rule = open.hits.strongest();
        shares.extend(rule.map(|hit| rule_share(&hit.rule, evidence.rules, hit.event)));
        let score = score(evidence.total());
        let mut explanation = actor_sentence(entity, &events, rule.map(|hit| &hit.rule), to_points(shares, score));
        let rollout = open.rollout.as_ref().filter(|_| !open.from_elsewhere);
        if let (Some((rollout, new_at)), Some((home, _))) = (rollout, service_account(entity)) {
            let minutes = (new_at.seconds_since(rollout.at) / 60.0) as u64;
            explanation.sentence.push_str(&rollout_sentence(home, &rollout.by, minutes));
        }
        let (kind, techniques) = judge(open);
        let rareness = self.detectors.rarest(habit, closed.map(|w| w.strangeness));
        Finding {
            id: self.finding_id(EntityKey::Actor, entity, window.start),
            rev: open.count + u64::from(closed.is_some()),
            incident_id: open.incident.unwrap_or(self.incident_id(EntityKey::Actor, entity, window.start)),
            cluster: self.cluster.clone(),
            kind,
            entity: Entity { kind: EntityType::Actor, id: entity.to_owned(), class: Some(open.class) },
            title: format!("{}: {}", identifier(entity), headline(kind)),
            score,
            severity: Severity::of(score),
            rarity: rarity(rareness, calibration_n, stratum),
            explanation,
            techniques,
            model: self.model.clone(),
            evidence: EvidenceRef { event_ids, total: open.count },
            window: WindowRef { from: window.start, to: window.end },
            first_seen: open.first_seen,
            last_seen: open.last_seen,
            detected_at: open.detected_at.unwrap_or(window.end),
            limits: limits(open),
            links: open.links.clone(),
            rules: open.hits.iter().map(|hit| hit.rule.clone()).collect(),
        }
    }

    pub(crate) fn usage(&self, usage: &UsageModel, w: &UsageWindow<'_>, evidence: Evidence) -> Finding {
        let entity = w.key.entity.as_ref();
        let habits: Vec<_> = (0..w.values.len()).filter_map(|f| usage.habits.habit(w.key, f)).collect();
        let (of_habit, of_forest) = evidence.shares();
        let days = usage.habits.history_days;
        let mut shares = usage_shares(w.schema, &w.deviations, &w.values, &habits, days, of_habit);
        shares.extend(forest_shares(w.schema, &w.by_feature, &w.deviations, of_forest, &[]));
        let score = score(evidence.total());
        let rareness = self.detectors.of_usage().rarest(w.habit, Some(w.strangeness));
        let known = usage.habits.knows(entity);
        Finding {
            id: self.finding_id(EntityKey::Workload, entity, w.key.window.start),
            rev: w.key.count + 1,
            incident_id: w.incident,
            cluster: self.cluster.clone(),
            kind: FindingKind::ResourceUsage,
            entity: Entity { kind: EntityType::Workload, id: entity.to_owned(), class: None },
            title: format!("{}: {}", identifier(entity), headline(FindingKind::ResourceUsage)),
            score,
            severity: Severity::of(score),
            rarity: rarity(rareness, usage.deviation.n(), STRATUM),
            explanation: usage_sentence(entity, known, to_points(shares, score)),
            techniques: vec![resource_hijacking()],
            model: self.model.clone(),
            evidence: EvidenceRef { event_ids: Vec::new(), total: w.key.count },
            window: WindowRef { from: w.key.window.start, to: w.key.window.end },
            first_seen: w.key.window.start,
            last_seen: w.key.window.end,
            detected_at: w.key.window.end,
            limits: Vec::new(),
            links: Vec::new(),
            rules: Vec::new(),
        }
    }
}

/// What rules matched, then the strangest; at most [`MAX_EVIDENCE`].
fn event_ids(open: &OpenWindow) -> Vec<EventId> {
    let mut ids: Vec<EventId> = open.hits.iter().filter(|h| h.evidence > 0.0).map(|h| h.event).collect();
    ids.dedup();
    let others: Vec<EventId> = open.evidence.iter().map(|(_, id)| *id).filter(|id| !ids.contains(id)).collect();
    ids.extend(others);
    ids.truncate(MAX_EVIDENCE);
    ids
}

/// The kind of what is always reported, else of the strangest action that has one; the techniques of all strange actions
/// and of the rules that count.
fn judge(open: &OpenWindow) -> (FindingKind, Vec<Technique>) {
    let strange: Vec<_> = open.strange().collect();
    let new_place = strange.iter().flat_map(|a| &a.parts).any(|p| {
        p.first_seen && matches!(p.family, Some(KeyFamily::Source | KeyFamily::Client)) && p.baseline.own_days > 0.0
    });
    let reported = open.hits.iter().filter(|h| h.rule.level.always_reports()).map(|h| h.kind);
    let named = reported.chain(strange.iter().map(|a| a.kind)).find(|k| *k != FindingKind::UnusualActivity);
    let kind = match named {
        Some(kind) => kind,
        None if new_place => FindingKind::NewSourceOrClient,
        None => FindingKind::UnusualActivity,
    };
    let mut techniques: Vec<Technique> = strange.iter().flat_map(|a| a.techniques.clone()).collect();
    techniques.extend(open.hits.iter().filter(|h| h.evidence > 0.0).flat_map(|h| h.techniques.clone()));
    if new_place {
        techniques.push(valid_accounts());
    }
    techniques.sort();
    techniques.dedup();
    (kind, techniques)
}

pub(crate) fn headline(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::SecretsAccess => "unusual access to secrets",
        FindingKind::ExecAttachPortforward => "unusual command or tunnel into a pod",
        FindingKind::RbacBindingChange => "unusual role binding",
        FindingKind::RbacRoleChange => "unusual role change",
        FindingKind::WorkloadPrivileged => "unusual privileged workload",
        FindingKind::WorkloadSensitiveMount => "unusual workload with a sensitive host path",
        FindingKind::WorkloadChange => "unusual workload change",
        FindingKind::PermissionProbe => "unusual probing of permissions",
        FindingKind::TokenRequest => "unusual token minted",
        FindingKind::Impersonation => "unusual impersonation",
        FindingKind::MassDelete => "unusual deletions",
        FindingKind::DeniedBurst => "unusual refused requests",
        FindingKind::NewSourceOrClient => "known account from a new place or client",
        FindingKind::ResourceUsage => "unusual resource usage",
        FindingKind::AuditSilence => "no audit events",
        FindingKind::DataGap => "audit events lost unread",
        FindingKind::DetectorBlinded => "request bodies are no longer logged",
        FindingKind::AuditIdCollision => "two requests under one audit id",
        FindingKind::UnusualActivity => "unusual activity",
    }
}

fn limits(open: &OpenWindow) -> Vec<String> {
    if open.bodies_hidden {
        vec!["the audit level hid request bodies: pod and role settings are unknown".to_owned()]
    } else {
        Vec::new()
    }
}

fn rarity(r: Rareness, calibration_n: u64, stratum: &str) -> Rarity {
    Rarity {
        p: one_digit(r.p),
        per_day: one_digit(r.per_day),
        calibration_n,
        stratum: stratum.to_owned(),
        extrapolated: r.extrapolated,
    }
}

/// Rounds up to one significant digit: more would tell an attacker where the threshold is.
fn one_digit(x: f64) -> f64 {
    if x <= 0.0 || !x.is_finite() {
        return x;
    }
    let exponent = x.log10().floor() as i32;
    // The margin keeps 0.07 from becoming 0.08 by the division's last bit.
    let digit = (x / 10f64.powi(exponent) - 1e-9).ceil();
    // Through text, so that 3e-5 is exactly the nearest double to 3e-5.
    format!("{digit}e{exponent}").parse().unwrap_or(x)
}
