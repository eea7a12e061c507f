//! Trained models as plain files, refused by name when they are not what training wrote.
//!
//! Layout: `ROOT/<name>/<version>/{manifest.json, weights.bin, metrics.json, MODEL_CARD.md}` and
//! `ROOT/<name>/aliases.json`.
//!
//! The digests find damage and careless edits. They are no signature: whoever can write the directory can
//! write a model that passes.

mod directory;
mod error;
mod files;
mod manifest;
mod model;
#[cfg(test)]
mod tests;

pub use directory::ModelDirectory;
pub use error::{Fault, RegistryError};
pub use manifest::{MANIFEST_SCHEMA, WEIGHTS_MAGIC, verify};
pub use model::{LoadedModel, ManifestDraft, ModelFiles, read_model, write_model};

/// Largest `manifest.json`, `metrics.json`, `MODEL_CARD.md` or `aliases.json`: 1 MiB.
pub const MAX_TEXT_BYTES: u64 = 1 << 20;
/// Largest `weights.bin`: 512 MiB.
pub const MAX_WEIGHTS_BYTES: u64 = 512 << 20;
