use leadsman_domain::{ModelAlias, ModelManifest, ModelSummary};
use serde::Serialize;
use utoipa::ToSchema;

use super::{mirror, time};

/// A model version: what it is and what it was made from.
#[derive(Serialize, ToSchema)]
#[schema(as = Model)]
pub(crate) struct ModelDto {
    /// `leadsman.model/v1`.
    schema: String,
    /// Model name.
    name: String,
    /// Version, from 1.
    version: u64,
    /// Aliases that point here.
    aliases: Vec<ModelAliasDto>,
    /// Format of the weights file.
    format: u32,
    /// BLAKE3 digest of the weights file, hexadecimal.
    weights_digest: String,
    /// Size of the weights file in bytes.
    weights_bytes: u64,
    /// Digest of the feature schemas, hexadecimal.
    feature_schema: String,
    /// BLAKE3 digest of the training data, hexadecimal.
    data_digest: String,
    /// Seed of the training run.
    seed: u64,
    /// Release that trained it.
    trained_by: String,
    /// Event time of the first training event.
    #[schema(format = DateTime)]
    data_from: String,
    /// Event time of the last training event.
    #[schema(format = DateTime)]
    data_to: String,
    /// Events trained and calibrated on.
    events: u64,
}

mirror! {
    /// A movable name: `champion` scores, `challenger` wants to.
    ModelAliasDto as ModelAlias from ModelAlias { Champion, Challenger }
}

impl From<ModelSummary> for ModelDto {
    fn from(ModelSummary { manifest, aliases }: ModelSummary) -> Self {
        let ModelManifest {
            schema,
            name,
            version,
            format,
            weights_digest,
            weights_bytes,
            feature_schema,
            data_digest,
            seed,
            trained_by,
            data_from,
            data_to,
            events,
        } = manifest;
        Self {
            schema,
            name,
            version,
            aliases: aliases.into_iter().map(Into::into).collect(),
            format,
            weights_digest,
            weights_bytes,
            feature_schema,
            data_digest,
            seed,
            trained_by,
            data_from: time(data_from),
            data_to: time(data_to),
            events,
        }
    }
}
