//! How a command ends: one number each, as documented in `leadsman --help`.

use std::process::ExitCode;

use leadsman_store::RegistryError;

use crate::config::ConfigError;

/// An end that is neither success nor a plain failure.
#[derive(Debug, thiserror::Error)]
pub enum Exit {
    /// Bad usage or configuration.
    #[error("{0}")]
    Usage(String),
    /// A wrong configuration, with every problem.
    #[error("{0}")]
    Configuration(ConfigError),
    /// A finding reached `--fail-on`.
    #[error("{count} findings have a score of {line} or more")]
    FindingsAbove {
        /// How many.
        count: usize,
        /// The line asked for.
        line: u8,
    },
    /// A quality gate failed.
    #[error("{0}")]
    Gate(String),
    /// A doctor's check failed, or `--strict` met bad input.
    #[error("{0}")]
    Failed(String),
}

/// The exit code of an error: 1 failed, 2 bad usage or configuration, 3 findings at or above `--fail-on`,
/// 4 quality gate failed, 5 integrity failure.
#[must_use]
pub fn code(error: &anyhow::Error) -> ExitCode {
    let number = match error.downcast_ref::<Exit>() {
        Some(Exit::Usage(_) | Exit::Configuration(_)) => 2,
        Some(Exit::FindingsAbove { .. }) => 3,
        Some(Exit::Gate(_)) => 4,
        Some(Exit::Failed(_)) => 1,
        None => match error.chain().find_map(|e| e.downcast_ref::<RegistryError>()) {
            Some(RegistryError::Corrupt { .. } | RegistryError::Foreign { .. }) => 5,
            Some(_) | None => 1,
        },
    };
    ExitCode::from(number)
}
