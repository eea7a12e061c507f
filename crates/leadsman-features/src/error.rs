use leadsman_domain::{ErrorKind, MatrixError};

/// Why features could not be built, or a table not be read.
#[derive(Debug, thiserror::Error)]
pub enum FeatureError {
    /// Polars refused an operation.
    #[error("the frame is inconsistent: {0}")]
    Frame(#[from] polars::error::PolarsError),
    /// The values do not make a matrix.
    #[error(transparent)]
    Matrix(#[from] MatrixError),
    /// A table is damaged in a way that the reader cannot describe.
    #[error("the table is damaged: restore the file, or remove it")]
    Damaged,
    /// A table was not written by us, or was changed since.
    #[error("its column {0} is missing or holds what was never written there: restore the file, or remove it")]
    Column(&'static str),
}

impl FeatureError {
    /// Whose fault it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Frame(_) | Self::Matrix(_) => ErrorKind::Internal,
            Self::Damaged | Self::Column(_) => ErrorKind::InvalidInput,
        }
    }
}
