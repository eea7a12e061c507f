//! All fitted parts as one file: magic, format, and the compressed parts. Model and calibration switch
//! together because they are one.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::RangeInclusive;
use std::time::Duration;

use leadsman_domain::{ActorClass, ActorRules, ContentHash, FeatureSchema};
use serde::{Deserialize, Serialize};

use crate::calibration::Calibrator;
use crate::evidence::EvidenceTail;
use crate::novelty::NoveltyModel;
use crate::rules::RuleSet;
use crate::sight::Sight;
use crate::strangeness::StratifiedForest;
use crate::usage::UsageModel;
use crate::{DetectError, Detectors};

/// First bytes of a weights file.
pub const MAGIC: [u8; 8] = *b"LDSMODEL";
/// Format that this release writes and reads.
pub const FORMAT: u32 = 6;
/// Most bytes a model may unpack to; checked while unpacking.
const MAX_UNPACKED: u64 = 1 << 30;
/// How long its windows may be, as in the configuration: features keep times within one in four bytes.
const WINDOW_SECONDS: RangeInclusive<u64> = 60..=3_600;

/// A stratum with fewer calibration windows than this borrows the calibration of all.
const MIN_STRATUM: u64 = 100;

/// Everything that turns telemetry into findings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FittedModel {
    /// Length of the tumbling windows, in seconds.
    pub window_seconds: u64,
    /// Which detectors it was calibrated with, and so scores with.
    pub detectors: Detectors,
    /// Which actors were declared CI or controllers when it was trained.
    pub rules: ActorRules,
    /// Hash of the audit feature schema.
    pub audit_schema: u128,
    /// Habits of actors.
    pub novelty: NoveltyModel,
    /// Forests over audit windows.
    pub forest: StratifiedForest,
    /// Calibration by actor class.
    pub strata: BTreeMap<ActorClass, StratumCalibration>,
    /// Calibration over all classes, for one that had no windows.
    pub any: StratumCalibration,
    /// Habits of workloads, if metrics were in the training data.
    pub usage: Option<UsageModel>,
    /// Where the alert line lies for a budget.
    pub tail: EvidenceTail,
    /// Days of calibration data.
    pub calibration_days: f64,
    /// What could be seen in training.
    pub sight: Sight,
    /// Digest of the rules that were in force on the calibration windows.
    pub rule_set: String,
}

/// Calibration of both detectors in one stratum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StratumCalibration {
    /// Of the novelty of a window.
    pub novelty: Calibrator,
    /// Of the forest score.
    pub strangeness: Calibrator,
}

/// The calibration of an actor class and the name of the stratum: its own, or that of all when it has few windows.
#[must_use]
pub fn stratum<'c>(
    strata: &'c BTreeMap<ActorClass, StratumCalibration>,
    any: &'c StratumCalibration,
    class: ActorClass,
) -> (&'c StratumCalibration, &'static str) {
    let own = strata.get(&class).filter(|s| s.novelty.n() >= MIN_STRATUM);
    own.map_or((any, "all actors"), |s| (s, class.as_str()))
}

impl FittedModel {
    /// Length of the tumbling windows.
    #[must_use]
    pub fn window(&self) -> Duration {
        Duration::from_secs(self.window_seconds)
    }

    /// Calibration of an actor class and the name of the stratum.
    #[must_use]
    pub fn stratum(&self, class: ActorClass) -> (&StratumCalibration, &'static str) {
        stratum(&self.strata, &self.any, class)
    }

    /// Whether the model is honest to use: less than a day of calibration cannot say how rare anything is.
    #[must_use]
    pub fn is_learning(&self) -> bool {
        self.calibration_days < 1.0
    }

    /// Whether these rules were in force on the calibration windows, or rules are off.
    #[must_use]
    pub fn is_calibrated_with(&self, rules: &RuleSet) -> bool {
        !self.detectors.rules || self.rule_set == rules.digest()
    }

    /// Refuses a model that was trained on other features than `schema`.
    ///
    /// Errors: [`DetectError::SchemaMismatch`].
    pub fn check_schema(&self, schema: &FeatureSchema) -> Result<(), DetectError> {
        let fits = self.audit_schema == schema.hash() && self.forest.n_features() == schema.names().len();
        if fits { Ok(()) } else { Err(DetectError::SchemaMismatch) }
    }

    /// Digest over the schemas of both matrices.
    #[must_use]
    pub fn schema_digest(&self) -> u128 {
        let hash = ContentHash::new("leadsman model schemas v1").field(self.audit_schema.to_le_bytes());
        let metrics = self.usage.iter().flat_map(|u| &u.habits.metrics);
        metrics.fold(hash, ContentHash::field).finish()
    }

    /// The weights file: the same model always gives the same bytes.
    ///
    /// Errors: [`DetectError::Damaged`] when a part cannot be encoded.
    pub fn to_bytes(&self) -> Result<Vec<u8>, DetectError> {
        let damaged = |e: &dyn std::fmt::Display| DetectError::Damaged(e.to_string());
        let body = postcard::to_stdvec(self).map_err(|e| damaged(&e))?;
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend(zstd::bulk::compress(&body, 9).map_err(|e| damaged(&e))?);
        Ok(out)
    }

    /// Reads a weights file whose digest was verified before.
    ///
    /// Errors: [`DetectError::Foreign`], [`DetectError::Format`], [`DetectError::Damaged`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DetectError> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or(DetectError::Foreign)?;
        let (format, body) = rest.split_first_chunk::<4>().ok_or(DetectError::Foreign)?;
        let found = u32::from_le_bytes(*format);
        if found != FORMAT {
            return Err(DetectError::Format { found, known: FORMAT });
        }
        let damaged = |e: &dyn std::fmt::Display| DetectError::Damaged(e.to_string());
        let mut unpacked = Vec::new();
        let decoder = zstd::stream::read::Decoder::new(body).map_err(|e| damaged(&e))?;
        decoder.take(MAX_UNPACKED).read_to_end(&mut unpacked).map_err(|e| damaged(&e))?;
        let model: Self = postcard::from_bytes(&unpacked).map_err(|e| damaged(&e))?;
        if WINDOW_SECONDS.contains(&model.window_seconds) {
            Ok(model)
        } else {
            Err(damaged(&format_args!("windows of {} seconds, not of 1 to 60 minutes", model.window_seconds)))
        }
    }
}
