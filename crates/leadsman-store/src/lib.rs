//! Findings, checkpoints and outbox in SQLite or PostgreSQL; the model registry directory.
//!
//! [`SqliteStore`] and [`PostgresStore`] implement [`leadsman_domain::Store`]. [`ModelDirectory`] keeps trained models as plain
//! files and refuses, by name, whatever was changed after training.

mod any;
#[cfg(test)]
mod conformance;
mod convert;
pub mod failpoint;
mod filter;
mod postgres;
mod registry;
mod rows;
mod sql;
mod sqlite;
mod words;

pub use any::{AnyStore, StoreSettings};
pub use postgres::{PostgresError, PostgresSettings, PostgresStore};
pub use registry::{
    Fault, LoadedModel, MANIFEST_SCHEMA, MAX_TEXT_BYTES, MAX_WEIGHTS_BYTES, ManifestDraft, ModelDirectory, ModelFiles,
    RegistryError, WEIGHTS_MAGIC, read_model, verify, write_model,
};
pub use sqlite::SqliteStore;
