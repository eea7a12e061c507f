//! The configuration: read once, checked as a whole, passed down in parts.
//!
//! The shipped [`DEFAULTS`] are documentation and default values at once. [`load`] lays over them, key by key, the
//! files, the environment and the flags, and returns either a checked [`Config`] with the [`Effective`] values and
//! their origins, or every [`Problem`] of every layer. Nothing here reads the environment, and only [`read_file`]
//! touches the disk. Rule files that the configuration names are read and checked with it.

mod check;
mod effective;
mod environment;
mod file;
mod invalid;
mod keys;
mod layers;
mod place;
mod problem;
mod redact;
mod rules;
mod suggest;
mod values;

#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;

pub use effective::Effective;
pub use invalid::Invalid;
pub use layers::{Layers, Loaded, load};
pub use problem::{ConfigError, Fault, Origin, Position, Problem};
pub use rules::{RulesError, RulesFault};
pub use values::{
    Auth, ClusterConfig, Config, DetectConfig, KafkaSettings, LakeConfig, LogConfig, LogFormat, LogLevel, STORE_FILE,
    ServerConfig, SourcesConfig, StateConfig, StoreConfig, Topic,
};

/// The shipped `leadsman.toml`: every key with its default value and what it means.
pub const DEFAULTS: &str = include_str!("../leadsman.toml");

/// Reads a configuration file from the disk, for [`Layers::read`].
///
/// Errors: those of the operating system; `InvalidData` if the file is not UTF-8.
pub fn read_file(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path)
}

/// Loads the configuration of this machine.
///
/// Errors: as [`load`].
pub fn from_system(
    file: Option<&Path>,
    environment: &[(String, String)],
    flags: &[(String, String)],
) -> Result<Loaded, ConfigError> {
    load(&Layers { file, environment: environment.to_vec(), flags: flags.to_vec(), read: &read_file })
}
