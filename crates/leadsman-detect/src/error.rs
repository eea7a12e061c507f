use leadsman_domain::ErrorKind;
use leadsman_forest::ForestError;

/// Why a detector cannot be fitted, loaded or asked.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// There is nothing to learn from.
    #[error("the training data holds no {what}: give more or longer logs")]
    NoData {
        /// What is missing.
        what: &'static str,
    },
    /// The matrix was built with another schema than the model.
    #[error("the features do not match the model's schema: retrain the model with this release")]
    SchemaMismatch,
    /// The weights are not a Leadsman model.
    #[error("these are not leadsman weights (the first bytes are wrong)")]
    Foreign,
    /// The weights were written by another release.
    #[error("weights have format {found}, this release reads {known}: retrain, or use the release that wrote them")]
    Format {
        /// Format found.
        found: u32,
        /// Format known.
        known: u32,
    },
    /// The weights cannot be read.
    #[error("the weights are damaged: {0}")]
    Damaged(String),
    /// The isolation forest refused.
    #[error(transparent)]
    Forest(#[from] ForestError),
    /// The clustering refused.
    #[error("peer clustering failed: {0}")]
    Clustering(String),
}

impl DetectError {
    /// Whose fault it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoData { .. } | Self::Foreign | Self::Format { .. } | Self::Damaged(_) => ErrorKind::InvalidInput,
            Self::SchemaMismatch => ErrorKind::Conflict,
            Self::Forest(_) | Self::Clustering(_) => ErrorKind::Internal,
        }
    }
}
