use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ActorClass, EventId, FindingId, IncidentId, RuleHit, Timestamp};

/// One entity-window worth a human's look, with its why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Deterministic identity.
    pub id: FindingId,
    /// Score revision: the number of events that contributed, plus one once the window closed.
    pub rev: u64,
    /// The incident it belongs to.
    pub incident_id: IncidentId,
    /// Cluster the telemetry came from.
    pub cluster: String,
    /// What it is about.
    pub kind: FindingKind,
    /// Whose behaviour it is.
    pub entity: Entity,
    /// One plain sentence without client text other than checked identifiers.
    pub title: String,
    /// Calibrated, 0–100, higher is stranger.
    pub score: u8,
    /// The band of `score`.
    pub severity: Severity,
    /// How often benign behaviour looks this strange.
    pub rarity: Rarity,
    /// Why.
    pub explanation: Explanation,
    /// ATT&CK techniques that the evidence matches.
    pub techniques: Vec<Technique>,
    /// What scored it.
    pub model: ModelRef,
    /// The events behind it.
    pub evidence: EvidenceRef,
    /// The window, half-open.
    pub window: WindowRef,
    /// Event time of the first contributing event.
    pub first_seen: Timestamp,
    /// Event time of the last contributing event.
    pub last_seen: Timestamp,
    /// Event time at which the score first crossed the alert line.
    pub detected_at: Timestamp,
    /// What could not be seen.
    pub limits: Vec<String>,
    /// Why it belongs to an incident that another entity began.
    #[serde(default)]
    pub links: Vec<Link>,
    /// Rules that matched its events, what counted most first.
    #[serde(default)]
    pub rules: Vec<RuleHit>,
}

/// What ties a finding to the rest of its incident.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Link {
    /// What they have in common.
    pub kind: LinkKind,
    /// The account, the source address, or the incident that was merged.
    pub id: String,
}

/// What findings of several entities can have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    /// A token of the account was minted.
    MintedToken,
    /// Somebody acted as the account.
    Impersonation,
    /// A role was bound to the account.
    BoundSubject,
    /// A workload was started that runs as the account.
    WorkloadAccount,
    /// Requests came from the same address, which few accounts use.
    Source,
    /// Two incidents turned out to be one.
    Incident,
}

impl LinkKind {
    /// The name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MintedToken => "minted_token",
            Self::Impersonation => "impersonation",
            Self::BoundSubject => "bound_subject",
            Self::WorkloadAccount => "workload_account",
            Self::Source => "source",
            Self::Incident => "incident",
        }
    }
}

impl fmt::Display for LinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The action a finding is named after. Source: the working ids of the detection anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// Secrets were read.
    SecretsAccess,
    /// exec, attach or port-forward.
    ExecAttachPortforward,
    /// A role binding was written.
    RbacBindingChange,
    /// A role was written.
    RbacRoleChange,
    /// A privileged workload was started.
    WorkloadPrivileged,
    /// A workload with a hostPath mount was started.
    WorkloadSensitiveMount,
    /// Some other workload was started or changed.
    WorkloadChange,
    /// Permissions were probed.
    PermissionProbe,
    /// A service-account token was minted.
    TokenRequest,
    /// Somebody acted as somebody else.
    Impersonation,
    /// Objects were deleted.
    MassDelete,
    /// Requests were refused in number.
    DeniedBurst,
    /// A known account came from a new place or with a new client.
    NewSourceOrClient,
    /// Resource usage of a workload changed.
    ResourceUsage,
    /// No audit event came for longer than ever in training.
    AuditSilence,
    /// Records were deleted before they were read.
    DataGap,
    /// What a detector reads is no longer logged.
    DetectorBlinded,
    /// Two requests came under one audit id, which clients choose.
    AuditIdCollision,
    /// None of the above dominates.
    UnusualActivity,
}

impl FindingKind {
    /// Every kind.
    pub const ALL: [Self; 19] = [
        Self::SecretsAccess,
        Self::ExecAttachPortforward,
        Self::RbacBindingChange,
        Self::RbacRoleChange,
        Self::WorkloadPrivileged,
        Self::WorkloadSensitiveMount,
        Self::WorkloadChange,
        Self::PermissionProbe,
        Self::TokenRequest,
        Self::Impersonation,
        Self::MassDelete,
        Self::DeniedBurst,
        Self::NewSourceOrClient,
        Self::ResourceUsage,
        Self::AuditSilence,
        Self::DataGap,
        Self::DetectorBlinded,
        Self::AuditIdCollision,
        Self::UnusualActivity,
    ];

    /// The name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SecretsAccess => "secrets_access",
            Self::ExecAttachPortforward => "exec_attach_portforward",
            Self::RbacBindingChange => "rbac_binding_change",
            Self::RbacRoleChange => "rbac_role_change",
            Self::WorkloadPrivileged => "workload_privileged",
            Self::WorkloadSensitiveMount => "workload_sensitive_mount",
            Self::WorkloadChange => "workload_change",
            Self::PermissionProbe => "permission_probe",
            Self::TokenRequest => "token_request",
            Self::Impersonation => "impersonation",
            Self::MassDelete => "mass_delete",
            Self::DeniedBurst => "denied_burst",
            Self::NewSourceOrClient => "new_source_or_client",
            Self::ResourceUsage => "resource_usage",
            Self::AuditSilence => "audit_silence",
            Self::DataGap => "data_gap",
            Self::DetectorBlinded => "detector_blinded",
            Self::AuditIdCollision => "audit_id_collision",
            Self::UnusualActivity => "unusual_activity",
        }
    }

    /// The kind of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// Whose behaviour a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entity {
    /// Actor, workload or cluster.
    #[serde(rename = "type")]
    pub kind: EntityType,
    /// User name, `namespace/workload`, or the name of the cluster.
    pub id: String,
    /// Class of an actor.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub class: Option<ActorClass>,
}

/// Kind of entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntityType {
    /// A principal of the Kubernetes API.
    Actor,
    /// A workload with metrics.
    Workload,
    /// The cluster as a source of telemetry.
    Cluster,
}

/// Band of the score; nobody edits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// 0–24.
    Info,
    /// 25–49.
    Low,
    /// 50–74.
    Medium,
    /// 75–89.
    High,
    /// 90–100.
    Critical,
}

impl Severity {
    /// The band of a score.
    #[must_use]
    pub fn of(score: u8) -> Self {
        match score {
            0..=24 => Self::Info,
            25..=49 => Self::Low,
            50..=74 => Self::Medium,
            75..=89 => Self::High,
            90.. => Self::Critical,
        }
    }

    /// The name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How often benign windows of the same stratum look at least this strange.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rarity {
    /// Conformal p-value of the strongest detector, to one significant digit.
    pub p: f64,
    /// The same as expected benign recurrences per day, to one significant digit.
    pub per_day: f64,
    /// Benign windows the calibration rests on.
    pub calibration_n: u64,
    /// Which windows it was compared with.
    pub stratum: String,
    /// `true` when the score lies beyond every calibration window and the tail was extrapolated.
    pub extrapolated: bool,
}

/// Why a finding has its score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// One sentence; every clause maps to a contribution.
    pub sentence: String,
    /// Shares of the score: the points sum to it exactly.
    pub contributions: Vec<Contribution>,
    /// What would have made it normal; `None` when no 32 changes would.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counterfactual: Option<Counterfactual>,
}

/// A set of changes, none of them needless, that would have kept the window below the alert line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counterfactual {
    /// The changes.
    pub changes: Vec<Change>,
    /// Score of the window with all of them.
    pub score_after: u8,
    /// The same as one sentence.
    pub sentence: String,
}

/// One thing that would have to be different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// A novelty key or a feature name.
    pub id: String,
    /// What was observed, rendered safe.
    pub observed: String,
    /// What it would have to be.
    pub would_be: String,
}

/// One reason, with its share of the score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contribution {
    /// What the reason is, from a closed list: a novelty key or a feature name.
    pub id: String,
    /// Which detector says so.
    pub detector: String,
    /// Share of the score; negative when it speaks for normal.
    pub points: i32,
    /// What was observed, rendered safe.
    pub observed: String,
    /// What is usual.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub baseline: Option<Baseline>,
    /// Events behind it.
    pub event_ids: Vec<EventId>,
}

/// What is usual for the entity, its peers and the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Times the entity did it before, in distinct hours; or its typical value.
    pub own: f64,
    /// Days of history of the entity.
    pub own_days: f64,
    /// How many peers ever did it.
    pub peers: u64,
    /// How many peers there are.
    pub peers_of: u64,
    /// Share of the cluster's activity.
    pub cluster_rate: f64,
}

/// A technique of MITRE ATT&CK.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Technique {
    /// `attack`.
    pub framework: String,
    /// Version of the framework the ids belong to.
    pub version: String,
    /// Tactic name.
    pub tactic: String,
    /// Technique id.
    pub id: String,
    /// Technique name.
    pub name: String,
}

/// The model that scored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRef {
    /// Model name.
    pub name: String,
    /// Version.
    pub version: u64,
    /// Digest of the weights, hexadecimal.
    pub digest: String,
}

/// The events behind a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceRef {
    /// The strangest first, at most 50.
    pub event_ids: Vec<EventId>,
    /// How many events the window holds.
    pub total: u64,
}

/// A half-open window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowRef {
    /// First instant inside.
    pub from: Timestamp,
    /// First instant outside.
    pub to: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_their_name_in_json() {
        for kind in FindingKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(FindingKind::named(kind.as_str()), Some(kind));
        }
    }
}
