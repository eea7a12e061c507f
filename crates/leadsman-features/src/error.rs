use leadsman_domain::{ErrorKind, MatrixError};

/// Why features could not be built. All of these are defects of ours, not of the input.
#[derive(Debug, thiserror::Error)]
pub enum FeatureError {
    /// Polars refused an operation.
    #[error("the event frame is inconsistent: {0}")]
    Frame(#[from] polars::error::PolarsError),
    /// The values do not make a matrix.
    #[error(transparent)]
    Matrix(#[from] MatrixError),
}

impl FeatureError {
    /// Whose fault it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Internal
    }
}
