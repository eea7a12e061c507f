use leadsman_domain::{
    ActorClass, Baseline, Change, Contribution, Counterfactual, Entity, EntityType, EvidenceRef, Explanation, Finding,
    FindingKind, Link, LinkKind, ModelRef, Rarity, RuleHit, RuleLevel, Severity, Technique, WindowRef,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{mirror, time};

const SCHEMA: &str = "leadsman.finding/v1";

/// One entity-window worth a human's look, with its why.
#[derive(Serialize, ToSchema)]
#[schema(as = Finding)]
pub(crate) struct FindingDto {
    /// `leadsman.finding/v1`.
    #[schema(example = "leadsman.finding/v1")]
    schema: &'static str,
    /// Deterministic identity: a replay yields the same.
    #[schema(pattern = "^fnd_[0-9a-f]{32}$")]
    id: String,
    /// Global number in commit order; a changed finding gets a new one.
    commit_seq: i64,
    /// Score revision; higher is newer.
    rev: u64,
    /// The incident it belongs to.
    #[schema(pattern = "^inc_[0-9a-f]{32}$")]
    incident_id: String,
    /// Cluster the telemetry came from.
    cluster: String,
    /// What it is about.
    kind: FindingKindDto,
    /// Whose behaviour it is.
    entity: EntityDto,
    /// One plain sentence.
    title: String,
    /// Calibrated, higher is stranger.
    #[schema(minimum = 0, maximum = 100)]
    score: u8,
    /// The band of the score.
    severity: SeverityDto,
    /// How often benign behaviour looks this strange.
    rarity: RarityDto,
    /// Why.
    explanation: ExplanationDto,
    /// ATT&CK techniques that the evidence matches.
    techniques: Vec<TechniqueDto>,
    /// What scored it.
    model: ModelRefDto,
    /// The events behind it.
    evidence: EvidenceDto,
    /// The window, half-open.
    window: WindowDto,
    /// Event time of the first contributing event.
    #[schema(format = DateTime)]
    first_seen: String,
    /// Event time of the last contributing event.
    #[schema(format = DateTime)]
    last_seen: String,
    /// Event time at which the score first crossed the alert line.
    #[schema(format = DateTime)]
    detected_at: String,
    /// What could not be seen.
    limits: Vec<String>,
    /// Why it belongs to an incident that another entity began.
    links: Vec<LinkDto>,
    /// Rules that matched its events, what counted most first.
    rules: Vec<RuleHitDto>,
}

impl From<(i64, Finding)> for FindingDto {
    fn from((commit_seq, finding): (i64, Finding)) -> Self {
        let Finding {
            id,
            rev,
            incident_id,
            cluster,
            kind,
            entity,
            title,
            score,
            severity,
            rarity,
            explanation,
            techniques,
            model,
            evidence,
            window,
            first_seen,
            last_seen,
            detected_at,
            limits,
            links,
            rules,
        } = finding;
        Self {
            schema: SCHEMA,
            id: id.to_string(),
            commit_seq,
            rev,
            incident_id: incident_id.to_string(),
            cluster,
            kind: kind.into(),
            entity: entity.into(),
            title,
            score,
            severity: severity.into(),
            rarity: rarity.into(),
            explanation: explanation.into(),
            techniques: techniques.into_iter().map(Into::into).collect(),
            model: model.into(),
            evidence: evidence.into(),
            window: window.into(),
            first_seen: time(first_seen),
            last_seen: time(last_seen),
            detected_at: time(detected_at),
            limits,
            links: links.into_iter().map(Into::into).collect(),
            rules: rules.into_iter().map(Into::into).collect(),
        }
    }
}

mirror! {
    /// The action a finding is named after.
    FindingKindDto as FindingKind from FindingKind {
        SecretsAccess, ExecAttachPortforward, RbacBindingChange, RbacRoleChange, WorkloadPrivileged,
        WorkloadSensitiveMount, WorkloadChange, PermissionProbe, TokenRequest, Impersonation, MassDelete,
        DeniedBurst, NewSourceOrClient, ResourceUsage, AuditSilence, DataGap, DetectorBlinded, AuditIdCollision,
        UnusualActivity,
    }
}

/// What ties a finding to the rest of its incident.
#[derive(Serialize, ToSchema)]
#[schema(as = Link)]
struct LinkDto {
    /// What they have in common.
    kind: LinkKindDto,
    /// Account, source address, or merged incident. Untrusted text: escape it wherever it is shown.
    id: String,
}

impl From<Link> for LinkDto {
    fn from(Link { kind, id }: Link) -> Self {
        Self { kind: kind.into(), id }
    }
}

mirror! {
    /// What findings of several entities can have in common.
    LinkKindDto as LinkKind from LinkKind {
        MintedToken, Impersonation, BoundSubject, WorkloadAccount, Source, Incident,
    }
}

/// A rule that matched an event of a finding.
#[derive(Serialize, ToSchema)]
#[schema(as = RuleHit)]
pub(super) struct RuleHitDto {
    /// UUID of the rule.
    id: String,
    /// What it finds.
    title: String,
    /// How much a hit means.
    level: RuleLevelDto,
}

impl From<RuleHit> for RuleHitDto {
    fn from(RuleHit { id, title, level }: RuleHit) -> Self {
        Self { id, title, level: level.into() }
    }
}

mirror! {
    /// high and critical are always reported, medium counts by how new the action is, the others are context.
    RuleLevelDto as RuleLevel from RuleLevel { Informational, Low, Medium, High, Critical }
}

mirror! {
    /// Band of the score: info 0–24, low 25–49, medium 50–74, high 75–89, critical 90–100.
    SeverityDto as Severity from Severity { Info, Low, Medium, High, Critical }
}

mirror! {
    /// Kind of entity.
    EntityTypeDto as EntityType from EntityType { Actor, Workload, Cluster }
}

mirror! {
    /// Kind of principal.
    ActorClassDto as ActorClass from ActorClass { Anonymous, Node, SaController, SaWorkload, Ci, System, Human }
}

/// Whose behaviour it is.
#[derive(Serialize, ToSchema)]
#[schema(as = Entity)]
pub(super) struct EntityDto {
    /// Actor or workload.
    #[serde(rename = "type")]
    kind: EntityTypeDto,
    /// User name, or `namespace/workload`. Untrusted text: escape it wherever it is shown.
    id: String,
    /// Class of an actor.
    class: Option<ActorClassDto>,
}

impl From<Entity> for EntityDto {
    fn from(Entity { kind, id, class }: Entity) -> Self {
        Self { kind: kind.into(), id, class: class.map(Into::into) }
    }
}

/// How often benign windows of the same stratum look at least this strange.
#[derive(Serialize, ToSchema)]
#[schema(as = Rarity)]
pub(super) struct RarityDto {
    /// Conformal p-value of the strongest detector, to one significant digit.
    p: f64,
    /// The same as expected benign recurrences per day.
    per_day: f64,
    /// Benign windows the calibration rests on.
    calibration_n: u64,
    /// Which windows it was compared with.
    stratum: String,
    /// True when the score lies beyond every calibration window.
    extrapolated: bool,
}

impl From<Rarity> for RarityDto {
    fn from(Rarity { p, per_day, calibration_n, stratum, extrapolated }: Rarity) -> Self {
        Self { p, per_day, calibration_n, stratum, extrapolated }
    }
}

/// Why a finding has its score.
#[derive(Serialize, ToSchema)]
#[schema(as = Explanation)]
pub(super) struct ExplanationDto {
    /// One sentence; every clause maps to a contribution.
    sentence: String,
    /// Shares of the score; the points sum to it exactly.
    contributions: Vec<ContributionDto>,
    /// What would have made it normal; absent when no 32 changes would.
    counterfactual: Option<CounterfactualDto>,
}

/// A set of changes, none of them needless, that would have kept the window below the alert line.
#[derive(Serialize, ToSchema)]
#[schema(as = Counterfactual)]
struct CounterfactualDto {
    /// The changes.
    changes: Vec<ChangeDto>,
    /// Score of the window with all of them.
    #[schema(minimum = 0, maximum = 100)]
    score_after: u8,
    /// The same as one sentence.
    sentence: String,
}

impl From<Counterfactual> for CounterfactualDto {
    fn from(Counterfactual { changes, score_after, sentence }: Counterfactual) -> Self {
        Self { changes: changes.into_iter().map(Into::into).collect(), score_after, sentence }
    }
}

/// One thing that would have to be different.
#[derive(Serialize, ToSchema)]
#[schema(as = Change)]
struct ChangeDto {
    /// A novelty key or a feature name.
    id: String,
    /// What was observed.
    observed: String,
    /// What it would have to be.
    would_be: String,
}

impl From<Change> for ChangeDto {
    fn from(Change { id, observed, would_be }: Change) -> Self {
        Self { id, observed, would_be }
    }
}

impl From<Explanation> for ExplanationDto {
    fn from(Explanation { sentence, contributions, counterfactual }: Explanation) -> Self {
        Self {
            sentence,
            contributions: contributions.into_iter().map(Into::into).collect(),
            counterfactual: counterfactual.map(Into::into),
        }
    }
}

/// One reason, with its share of the score.
#[derive(Serialize, ToSchema)]
#[schema(as = Contribution)]
pub(super) struct ContributionDto {
    /// A novelty key or a feature name.
    id: String,
    /// Which detector says so.
    detector: String,
    /// Share of the score; negative when it speaks for normal.
    points: i32,
    /// What was observed.
    observed: String,
    /// What is usual.
    baseline: Option<BaselineDto>,
    /// Events behind it.
    event_ids: Vec<String>,
}

impl From<Contribution> for ContributionDto {
    fn from(Contribution { id, detector, points, observed, baseline, event_ids }: Contribution) -> Self {
        let event_ids = event_ids.iter().map(ToString::to_string).collect();
        Self { id, detector, points, observed, baseline: baseline.map(Into::into), event_ids }
    }
}

/// What is usual for the entity, its peers and the cluster.
#[derive(Serialize, ToSchema)]
#[schema(as = Baseline)]
struct BaselineDto {
    /// Times the entity did it before, in distinct hours; or its typical value.
    own: f64,
    /// Days of history of the entity.
    own_days: f64,
    /// How many peers ever did it.
    peers: u64,
    /// How many peers there are.
    peers_of: u64,
    /// Share of the cluster's activity.
    cluster_rate: f64,
}

impl From<Baseline> for BaselineDto {
    fn from(Baseline { own, own_days, peers, peers_of, cluster_rate }: Baseline) -> Self {
        Self { own, own_days, peers, peers_of, cluster_rate }
    }
}

/// A technique of MITRE ATT&CK.
#[derive(Serialize, ToSchema)]
#[schema(as = Technique)]
pub(super) struct TechniqueDto {
    /// `attack`.
    framework: String,
    /// Version of the framework the ids belong to.
    version: String,
    /// Tactic name.
    tactic: String,
    /// Technique id.
    id: String,
    /// Technique name.
    name: String,
}

impl From<Technique> for TechniqueDto {
    fn from(Technique { framework, version, tactic, id, name }: Technique) -> Self {
        Self { framework, version, tactic, id, name }
    }
}

/// The model that scored.
#[derive(Serialize, ToSchema)]
#[schema(as = ModelRef)]
pub(super) struct ModelRefDto {
    /// Model name.
    name: String,
    /// Version.
    version: u64,
    /// Digest of the weights, hexadecimal.
    digest: String,
}

impl From<ModelRef> for ModelRefDto {
    fn from(ModelRef { name, version, digest }: ModelRef) -> Self {
        Self { name, version, digest }
    }
}

/// The events behind a finding.
#[derive(Serialize, ToSchema)]
#[schema(as = Evidence)]
struct EvidenceDto {
    /// The strangest first, at most 50.
    event_ids: Vec<String>,
    /// How many events the window holds.
    total: u64,
}

impl From<EvidenceRef> for EvidenceDto {
    fn from(EvidenceRef { event_ids, total }: EvidenceRef) -> Self {
        Self { event_ids: event_ids.iter().map(ToString::to_string).collect(), total }
    }
}

/// A half-open window.
#[derive(Serialize, ToSchema)]
#[schema(as = Window)]
pub(super) struct WindowDto {
    /// First instant inside.
    #[schema(format = DateTime)]
    from: String,
    /// First instant outside.
    #[schema(format = DateTime)]
    to: String,
}

impl From<WindowRef> for WindowDto {
    fn from(WindowRef { from, to }: WindowRef) -> Self {
        Self { from: time(from), to: time(to) }
    }
}
