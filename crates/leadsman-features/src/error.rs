use std::io;

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
    /// A table cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The checksum of a table is not that of its content.
    #[error("it is damaged, or not a file that Leadsman wrote: restore it, or remove it")]
    Damaged,
    /// A table has other columns than are read.
    #[error("its column {0} is missing or holds what was never written there: restore the file, or remove it")]
    Column(&'static str),
}

impl FeatureError {
    /// Whose fault it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Frame(_) | Self::Matrix(_) => ErrorKind::Internal,
            Self::Io(_) => ErrorKind::Unavailable,
            Self::Damaged | Self::Column(_) => ErrorKind::InvalidInput,
        }
    }
}
