use leadsman_detect::DetectError;
use leadsman_domain::ErrorKind;

/// Why the engine cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A detector refused.
    #[error(transparent)]
    Detect(#[from] DetectError),
    /// A snapshot was written by another release, or is damaged.
    #[error("the state snapshot cannot be read ({0}): it will be rebuilt by replaying the log from its start")]
    Snapshot(String),
    /// There is too little to train on.
    #[error("the training data is too short: {0}")]
    TooLittleData(&'static str),
}

impl EngineError {
    /// Whose fault it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Detect(e) => e.kind(),
            Self::Snapshot(_) => ErrorKind::Internal,
            Self::TooLittleData(_) => ErrorKind::InvalidInput,
        }
    }
}
