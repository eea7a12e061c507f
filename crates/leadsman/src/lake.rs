//! The lake: every event that was scored, in Parquet, by cluster and hour of event time.
//!
//! A file holds the rows of one hour, one log and one range of offsets, and its name says so. **A name fixes the content**:
//! the file of a range has every row of that hour with an offset in the range, in the order of the log. So whoever writes
//! a range again writes the same file; files can be merged into that of the range they cover together; and a row that
//! two files hold is read once. Nothing is ever locked: what is written appears whole, and what it replaces is removed
//! afterwards.

mod compact;
mod error;
mod merge;
mod name;
mod prune;
mod read;
mod roll;
mod row;
mod storage;

use std::collections::BTreeSet;
use std::sync::Arc;

use leadsman_domain::Timestamp;

pub use self::compact::Compacted;
pub use self::error::LakeError;
pub use self::name::{FileName, Hour, Kind, Range, SafeText};
pub use self::prune::Pruned;
pub use self::read::{Chunk, LakeReader};
pub use self::roll::{Roll, RollWriter, Written};
pub use self::row::LakeRow;
pub use self::storage::{Access, Bucket, Directory, Storage, Stored};

/// What begins the URL of a bucket.
const S3: &str = "s3://";

/// A lake. Calls block: in the service they belong on a blocking thread.
#[derive(Clone)]
pub struct Lake {
    storage: Arc<dyn Storage>,
    url: String,
}

/// A file of the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeFile {
    /// Its name.
    pub name: FileName,
    /// Its size.
    pub bytes: u64,
}

/// Which part of a lake is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this cluster.
    pub cluster: Option<String>,
    /// Only what happened at or after.
    pub from: Option<Timestamp>,
    /// Only what happened before.
    pub to: Option<Timestamp>,
}

/// What a lake holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// Its files, in the order of their names.
    pub files: Vec<LakeFile>,
    /// Files that are not named like ours; they are left alone.
    pub foreign: u64,
}

impl Lake {
    /// The lake at `url`: a directory, or `s3://bucket/prefix`. Nothing is made or asked before it is used.
    ///
    /// Errors: [`LakeError::Url`] when it is neither, [`LakeError::Settings`] when `access` does not fit the bucket.
    pub fn open(url: &str, access: &Access) -> Result<Self, LakeError> {
        let wrong = || LakeError::Url { url: url.to_owned() };
        let storage: Arc<dyn Storage> = match url.strip_prefix(S3) {
            Some(place) => {
                let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
                let odd = prefix.split('/').any(|part| part == "." || part == "..");
                if bucket.is_empty() || odd {
                    return Err(wrong());
                }
                Arc::new(Bucket::open(bucket, prefix, access)?)
            }
            None if url.is_empty() || url.contains("://") => return Err(wrong()),
            None => Arc::new(Directory::new(url)),
        };
        Ok(Self::at(storage, url))
    }

    /// The lake in a place of any kind.
    pub fn at(storage: Arc<dyn Storage>, url: impl Into<String>) -> Self {
        Self { storage, url: url.into() }
    }

    /// Whether `path` names a bucket, or is a directory that holds a lake.
    #[must_use]
    pub fn is_at(path: &std::path::Path) -> bool {
        let holds_clusters = |kind: Kind| {
            let entries = std::fs::read_dir(path.join(kind.as_str())).into_iter().flatten().flatten();
            entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("cluster="))
        };
        path.to_string_lossy().starts_with(S3) || Kind::ALL.into_iter().any(holds_clusters)
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The files of the part of the lake that `filter` means.
    ///
    /// Errors: [`LakeError`] when the place is out of reach.
    pub fn contents(&self, filter: &Filter) -> Result<Contents, LakeError> {
        let mut contents = Contents::default();
        for kind in Kind::ALL {
            let cluster = filter.cluster.as_deref().map(SafeText::of);
            let below = match &cluster {
                Some(cluster) => format!("{kind}/cluster={}/", cluster.as_str()),
                None => format!("{kind}/"),
            };
            for Stored { key, bytes } in self.storage.list(&below)? {
                match FileName::parse(&key) {
                    Some(name) if filter.meets(name.hour) => contents.files.push(LakeFile { name, bytes }),
                    Some(_) => {}
                    None => contents.foreign += 1,
                }
            }
        }
        contents.files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(contents)
    }
}

impl Filter {
    /// Whether some instant of an hour is meant.
    fn meets(&self, hour: Hour) -> bool {
        self.from.is_none_or(|from| from < hour.end()) && self.to.is_none_or(|to| hour.start() < to)
    }

    /// Whether an instant is meant.
    fn takes(&self, time: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= time) && self.to.is_none_or(|to| time < to)
    }
}

impl Contents {
    /// The clusters, by the names they have there.
    #[must_use]
    pub fn clusters(&self) -> BTreeSet<&SafeText> {
        self.files.iter().map(|file| &file.name.cluster).collect()
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

#[cfg(test)]
mod tests;
