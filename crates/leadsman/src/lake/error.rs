use std::io;
use std::path::{Path, PathBuf};

use leadsman_domain::ErrorKind;
use leadsman_features::FeatureError;

/// Why the lake cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The place is neither a directory nor a bucket.
    #[error("{url:?} is no place for a lake: name a directory, or s3://bucket/prefix")]
    Url {
        /// What was given.
        url: String,
    },
    /// The settings of a bucket do not fit together.
    #[error("the bucket {bucket} cannot be used: {cause}; check [lake] in the configuration and the AWS_ variables")]
    Settings {
        /// The bucket.
        bucket: String,
        /// What the library says.
        cause: object_store::Error,
    },
    /// The operating system refused.
    #[error("cannot {action} {}: {cause}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// Object storage refused or is out of reach.
    #[error("cannot {action} {key} in object storage: {cause}")]
    Bucket {
        /// What was tried.
        action: &'static str,
        /// On what.
        key: String,
        /// Why not.
        cause: object_store::Error,
    },
    /// A file vanished while the lake was read, and nothing took its place.
    #[error("{key} was removed while the lake was read: read again, and not while `lake prune` removes the same days")]
    Gone {
        /// The file.
        key: String,
    },
    /// A file is damaged or not one of ours.
    #[error("{key} cannot be read: {cause}")]
    Damaged {
        /// The file.
        key: String,
        /// What is wrong.
        cause: FeatureError,
    },
    /// A table could not be written.
    #[error("{key} cannot be written: {cause}")]
    Unwritten {
        /// The file.
        key: String,
        /// Why not.
        cause: FeatureError,
    },
    /// What should be written does not fit the range it should be named by.
    #[error("offset {offset} lies outside of the range {first} to {next} of the file that should hold it")]
    OutsideRange {
        /// The offset.
        offset: u64,
        /// First offset of the range.
        first: u64,
        /// One past its last.
        next: u64,
    },
    /// Rows do not come in the order of their log.
    #[error("offset {offset} comes behind {last}: rows are written in the order of their log")]
    Order {
        /// The offset.
        offset: u64,
        /// The one before it.
        last: u64,
    },
    /// No log has such a partition.
    #[error("{partition} is no number of a partition")]
    Partition {
        /// What was given.
        partition: i32,
    },
    /// Several clusters, and none was chosen.
    #[error("the lake holds the clusters {}: choose one with --cluster", .clusters.join(", "))]
    Clusters {
        /// Their names.
        clusters: Vec<String>,
    },
}

impl LakeError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |cause| Self::Io { action, path, cause }
    }

    pub(super) fn bucket(action: &'static str, key: &str) -> impl FnOnce(object_store::Error) -> Self + use<> {
        let key = key.to_owned();
        move |cause| Self::Bucket { action, key, cause }
    }

    /// Whose fault it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Url { .. } | Self::Settings { .. } | Self::Clusters { .. } => ErrorKind::InvalidInput,
            Self::Io { .. } | Self::Bucket { .. } | Self::Unwritten { .. } => ErrorKind::Unavailable,
            Self::Gone { .. } => ErrorKind::Conflict,
            Self::Damaged { .. } | Self::OutsideRange { .. } | Self::Order { .. } | Self::Partition { .. } => {
                ErrorKind::Internal
            }
        }
    }
}
