//! Days that are old enough go.

use leadsman_domain::Timestamp;

use super::error::LakeError;
use super::{Filter, Lake};

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Lake {
    /// Removes every file of the hours that ended at or before `before`; `filter` may leave some out. `tell` hears how
    /// many of how many files are gone.
    ///
    /// Errors: [`LakeError`] when a file cannot be removed; those before it are gone.
    pub fn prune(
        &self,
        filter: &Filter,
        before: Timestamp,
        mut tell: impl FnMut(u64, u64),
    ) -> Result<Pruned, LakeError> {
        let mut files = self.contents(filter)?.files;
        files.retain(|file| file.name.hour.end() <= before);
        let mut pruned = Pruned::default();
        for file in &files {
            self.storage.remove(&file.name.to_string())?;
            pruned.files += 1;
            pruned.bytes += file.bytes;
            tell(pruned.files, files.len() as u64);
        }
        Ok(pruned)
    }
}
