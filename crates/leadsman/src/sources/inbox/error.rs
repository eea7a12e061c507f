use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use leadsman_domain::ErrorKind;

use super::frame::Damage;

/// Why the inbox cannot be opened, or did not take a record.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InboxError {
    /// No room: the limit is reached or the disk is full.
    #[error("the inbox {} is full with {held} bytes: free disk space, or wait until scoring has caught up", .dir.display())]
    Full {
        /// The inbox.
        dir: PathBuf,
        /// Bytes in its segments.
        held: u64,
    },
    /// One record is larger than allowed.
    #[error("a record of {bytes} bytes is beyond the inbox's limit of {limit}: send smaller batches")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The most allowed.
        limit: usize,
    },
    /// An earlier write failed in a way that leaves the end of the file unknown.
    #[error("the inbox {} takes no records after a failed write: look at the disk and restart leadsman", .dir.display())]
    Refused {
        /// The inbox.
        dir: PathBuf,
    },
    /// Another process writes this inbox.
    #[error("the inbox {} is in use: run one leadsman per data directory", .dir.display())]
    Locked {
        /// The inbox.
        dir: PathBuf,
    },
    /// A record that may have been acknowledged is damaged.
    #[error(
        "{} is damaged at byte {offset} ({damage}) in what may have been acknowledged: restore it from a backup, or move it and later \
         segments away to accept the loss, and start over from an empty checkpoint",
        .path.display()
    )]
    Corrupt {
        /// The segment.
        path: PathBuf,
        /// Where the damaged frame starts.
        offset: u64,
        /// What is wrong with it.
        damage: Damage,
    },
    /// The operating system refused.
    #[error("cannot {action} {}: {cause}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not; shared by all who waited for the same write.
        cause: Arc<io::Error>,
    },
}

impl InboxError {
    /// Whose fault it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Full { .. } | Self::Refused { .. } | Self::Io { .. } => ErrorKind::Unavailable,
            Self::TooLarge { .. } => ErrorKind::InvalidInput,
            Self::Locked { .. } => ErrorKind::Conflict,
            Self::Corrupt { .. } => ErrorKind::Internal,
        }
    }

    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { action, path: path.to_owned(), cause: Arc::new(error) }
    }
}
