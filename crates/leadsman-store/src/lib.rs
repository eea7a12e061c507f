//! Findings, checkpoints and outbox in SQLite; the model registry directory.
//!
//! [`SqliteStore`] implements [`leadsman_domain::Store`]. [`ModelDirectory`] keeps trained models as plain
//! files and refuses, by name, whatever was changed after training.

#[cfg(test)]
mod conformance;
pub mod failpoint;
mod registry;
mod sqlite;

pub use registry::{
    Fault, LoadedModel, MANIFEST_SCHEMA, MAX_TEXT_BYTES, MAX_WEIGHTS_BYTES, ManifestDraft, ModelDirectory, ModelFiles,
    RegistryError, WEIGHTS_MAGIC, read_model, verify, write_model,
};
pub use sqlite::SqliteStore;
