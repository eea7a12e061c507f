//! Where the files of a lake lie.

mod bucket;
mod directory;

use std::fs::File;

use tempfile::NamedTempFile;

pub use self::bucket::{Access, Bucket};
pub use self::directory::Directory;
use super::error::LakeError;

/// A file and its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Path within the lake, parts separated by slashes.
    pub key: String,
    /// Bytes.
    pub bytes: u64,
}

/// A place for files that appear whole or not at all.
///
/// Contract: what was published is durable when the call returns, and replaces a file of that name as a whole. Calls
/// block; they must not come from a thread that drives an asynchronous runtime.
pub trait Storage: Send + Sync {
    /// An empty file to be written and then published; dropped, it is gone.
    ///
    /// Errors: [`LakeError`] when there is no room for it.
    fn draft(&self) -> Result<NamedTempFile, LakeError>;

    /// Makes a draft durable, and then visible as `key`.
    ///
    /// Errors: [`LakeError`] when the place is full or out of reach; the draft may have been published or not.
    fn publish(&self, draft: NamedTempFile, key: &str) -> Result<(), LakeError>;

    /// Every file below the directory `prefix`, which is empty or ends in a slash, in the order of their keys.
    ///
    /// Errors: [`LakeError`] when the place is out of reach.
    fn list(&self, prefix: &str) -> Result<Vec<Stored>, LakeError>;

    /// Opens a file; `None` when there is none of that name.
    ///
    /// Errors: [`LakeError`] when it cannot be read.
    fn open(&self, key: &str) -> Result<Option<File>, LakeError>;

    /// Removes a file, if there is one.
    ///
    /// Errors: [`LakeError`] when it cannot be removed.
    fn remove(&self, key: &str) -> Result<(), LakeError>;

    /// Removes what was left behind by processes that were killed while they wrote.
    ///
    /// Errors: [`LakeError`] when it cannot be removed.
    fn tidy(&self) -> Result<(), LakeError>;
}
