use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// A movable name for a model version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelAlias {
    /// The one that scores.
    Champion,
    /// The one that wants to.
    Challenger,
}

impl fmt::Display for ModelAlias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Champion => "champion",
            Self::Challenger => "challenger",
        })
    }
}

/// What a model version is and what it was made from; stands beside the weights as `manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelManifest {
    /// `leadsman.model/v1`.
    pub schema: String,
    /// Model name.
    pub name: String,
    /// Version, from 1.
    pub version: u64,
    /// Format of the weights file.
    pub format: u32,
    /// BLAKE3 digest of the weights file, hexadecimal.
    pub weights_digest: String,
    /// Size of the weights file in bytes.
    pub weights_bytes: u64,
    /// Digest of the feature schemas, hexadecimal.
    pub feature_schema: String,
    /// BLAKE3 digest of the training data, hexadecimal.
    pub data_digest: String,
    /// Seed of the training run.
    pub seed: u64,
    /// Release that trained it.
    pub trained_by: String,
    /// Event time of the first training event.
    pub data_from: Timestamp,
    /// Event time of the last training event.
    pub data_to: Timestamp,
    /// Events trained and calibrated on.
    pub events: u64,
}

/// A version in a list of models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelSummary {
    /// The manifest.
    #[serde(flatten)]
    pub manifest: ModelManifest,
    /// Aliases that point here.
    pub aliases: Vec<ModelAlias>,
}
