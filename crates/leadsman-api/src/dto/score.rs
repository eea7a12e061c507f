use leadsman_domain::{Reject, RejectReason, Severity};
use serde::Serialize;
use utoipa::ToSchema;

use super::finding::{
    EntityDto, ExplanationDto, FindingKindDto, ModelRefDto, RarityDto, RuleHitDto, SeverityDto, TechniqueDto, WindowDto,
};
use super::mirror;
use crate::{ScoreReport, ScoredWindow};

/// Refused items that are listed; the rest is only counted.
const LISTED_REJECTS: usize = 100;

/// The answer to a stateless scoring request.
#[derive(Serialize, ToSchema)]
#[schema(as = ScoreReport)]
pub(crate) struct ScoreReportDto {
    /// `leadsman.score/v1`.
    schema: &'static str,
    /// What scored.
    model: ModelRefDto,
    /// Audit events that were read and scored.
    events: u64,
    /// Runtime-security events that were read; no detector looks at them.
    runtime: u64,
    /// Network flows that were read; no detector looks at them.
    flows: u64,
    /// Items that are valid and no telemetry.
    skipped: u64,
    /// Items that were refused.
    rejected: u64,
    /// The first hundred of them.
    rejects: Vec<RejectDto>,
    /// One entry for each entity and window, strangest first.
    windows: Vec<ScoredWindowDto>,
}

impl From<ScoreReport> for ScoreReportDto {
    fn from(ScoreReport { model, events, runtime, flows, skipped, rejects, windows }: ScoreReport) -> Self {
        Self {
            schema: "leadsman.score/v1",
            model: model.into(),
            events,
            runtime,
            flows,
            skipped,
            rejected: rejects.len() as u64,
            rejects: rejects.into_iter().take(LISTED_REJECTS).map(Into::into).collect(),
            windows: windows.into_iter().map(Into::into).collect(),
        }
    }
}

/// One refused item and why.
#[derive(Serialize, ToSchema)]
#[schema(as = Reject)]
struct RejectDto {
    /// Index of the item in the body.
    item: u64,
    /// Line in the body, from 1.
    line: u64,
    /// Why.
    reason: RejectReasonDto,
    /// What exactly.
    detail: String,
}

impl From<Reject> for RejectDto {
    // The refused bytes stay here: the client has them, and they are nobody else's to see.
    fn from(Reject { item, line, reason, detail, payload: _ }: Reject) -> Self {
        Self { item, line, reason: reason.into(), detail }
    }
}

mirror! {
    /// Why an item was refused.
    RejectReasonDto as RejectReason from RejectReason {
        MalformedJson, InvalidUtf8, TooLarge, TooDeep, UnknownShape, UnknownApiVersion, MissingField, InvalidField,
        Decompression, MalformedProtobuf, FutureEventTime, MalformedBase64, TooNested,
    }
}

/// One entity's behaviour in one window, scored.
#[derive(Serialize, ToSchema)]
#[schema(as = ScoredWindow)]
struct ScoredWindowDto {
    /// The window, half-open.
    window: WindowDto,
    /// Whose behaviour it is.
    entity: EntityDto,
    /// The action that dominates.
    kind: FindingKindDto,
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
    /// Rules that matched its events, what counted most first.
    rules: Vec<RuleHitDto>,
    /// Events in the window.
    events: u64,
}

impl From<ScoredWindow> for ScoredWindowDto {
    fn from(w: ScoredWindow) -> Self {
        let ScoredWindow { window, entity, kind, score, rarity, explanation, techniques, rules, events } = w;
        Self {
            window: window.into(),
            entity: entity.into(),
            kind: kind.into(),
            score,
            severity: Severity::of(score).into(),
            rarity: rarity.into(),
            explanation: explanation.into(),
            techniques: techniques.into_iter().map(Into::into).collect(),
            rules: rules.into_iter().map(Into::into).collect(),
            events,
        }
    }
}
