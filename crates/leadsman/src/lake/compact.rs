//! Many small files of an hour become few large ones.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leadsman_domain::Timestamp;
use leadsman_features::{PlacedSample, ScoredEvent};

use super::error::LakeError;
use super::merge::LogReader;
use super::name::{FileName, Kind, Range, SafeText};
use super::roll::Draft;
use super::row::LakeRow;
use super::storage::Stored;
use super::{Filter, Lake, LakeFile};

/// How long after its end an hour is left alone: requests that last are logged when they end, under the time at which
/// they began.
const REST: Duration = Duration::from_secs(15 * 60);
/// Most bytes of the files that are merged into one.
const FULL: u64 = 128 << 20;

/// What was merged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Hours that were looked at: those that are over.
    pub hours: u64,
    /// Files that were merged or were contained in others, and are gone.
    pub removed: u64,
    /// Files they were merged into.
    pub written: u64,
    /// Bytes of the files that are gone.
    pub bytes_before: u64,
    /// Bytes of the files they were merged into.
    pub bytes_after: u64,
}

impl Lake {
    /// Merges files of the same hour and log whose ranges follow on each other, where the hour was over at `now`.
    ///
    /// The new file is durable before the old ones are removed, and has their rows: whoever reads meanwhile, or after
    /// this was stopped anywhere, reads every row once. Doing it again changes nothing. `tell` hears how many of how
    /// many hours are done.
    ///
    /// Errors: [`LakeError`] when files cannot be read, written or removed; what was done so far stays done. A file that
    /// is damaged keeps its own log from being merged in its hour, and is told when all else is done.
    pub fn compact(
        &self,
        filter: &Filter,
        now: Timestamp,
        mut tell: impl FnMut(u64, u64),
    ) -> Result<Compacted, LakeError> {
        self.storage.tidy()?;
        let mut hours: BTreeMap<String, BTreeMap<(SafeText, u32), Vec<LakeFile>>> = BTreeMap::new();
        for file in self.contents(filter)?.files {
            if file.name.hour.end().plus(REST) <= now {
                let log = (file.name.range.source.clone(), file.name.range.partition);
                hours.entry(file.name.directory()).or_default().entry(log).or_default().push(file);
            }
        }
        let total = hours.len() as u64;
        let mut done = Compacted::default();
        let mut damaged = Ok(());
        for (directory, logs) in hours {
            for files in logs.into_values() {
                match self.compact_log(&directory, files, &mut done) {
                    // Somebody else does the same: what they merged is merged.
                    Err(LakeError::Gone { .. }) => {}
                    Err(error @ LakeError::Damaged { .. }) => damaged = damaged.and(Err(error)),
                    other => other?,
                }
            }
            done.hours += 1;
            tell(done.hours, total);
        }
        damaged.map(|()| done)
    }

    /// Merges the files of a log in an hour until nothing is left to merge.
    fn compact_log(&self, directory: &str, files: Vec<LakeFile>, done: &mut Compacted) -> Result<(), LakeError> {
        let Some(log) = files.first().map(|file| file.name.range.clone()) else { return Ok(()) };
        let mut files = files;
        while self.compact_once(&files, done)? {
            let stored = self.storage.list(directory)?.into_iter();
            let named = |Stored { key, bytes }| FileName::parse(&key).map(|name| LakeFile { name, bytes });
            files = stored.filter_map(named).filter(|file| file.name.range.same_log(&log)).collect();
        }
        Ok(())
    }

    /// One pass over these files; whether it changed anything.
    fn compact_once(&self, files: &[LakeFile], done: &mut Compacted) -> Result<bool, LakeError> {
        let mut changed = false;
        let mut apart = BTreeSet::new();
        for (small, large) in contained(files) {
            if self.is_repeated(&small.name, &large.name)? {
                self.remove(small, done)?;
                changed = true;
            } else {
                // Another log had the same name once: its rows are read beside the others.
                apart.insert(&small.name);
            }
        }
        if changed {
            return Ok(true);
        }
        for group in groups(files.iter().filter(|file| !apart.contains(&file.name))) {
            self.merge(&group, done)?;
            changed = true;
        }
        Ok(changed)
    }

    fn merge(&self, group: &[&LakeFile], done: &mut Compacted) -> Result<(), LakeError> {
        let Some(first) = group.first() else { return Ok(()) };
        let next = group.iter().map(|file| file.name.range.next).max().unwrap_or_default();
        let range = Range { next, ..first.name.range.clone() };
        let name = FileName { range, ..first.name.clone() };
        let written = match name.kind {
            Kind::Events => self.write_merged::<ScoredEvent>(&name, group)?,
            Kind::Samples => self.write_merged::<PlacedSample>(&name, group)?,
        };
        done.written += 1;
        done.bytes_after += written;
        for file in group {
            self.remove(file, done)?;
        }
        Ok(())
    }

    fn write_merged<T: LakeRow>(&self, name: &FileName, group: &[&LakeFile]) -> Result<u64, LakeError> {
        let mut rows = LogReader::<T>::of_these(self.storage.clone(), group.iter().map(|file| file.name.clone()));
        let mut draft = Draft::begin(&self.storage)?;
        while let Some(row) = rows.next()? {
            draft.push(row)?;
        }
        Ok(draft.publish(&self.storage, name)?.bytes)
    }

    fn remove(&self, file: &LakeFile, done: &mut Compacted) -> Result<(), LakeError> {
        self.storage.remove(&file.name.to_string())?;
        done.removed += 1;
        done.bytes_before += file.bytes;
        Ok(())
    }

    /// Whether every row of `small` is in `large`, too.
    fn is_repeated(&self, small: &FileName, large: &FileName) -> Result<bool, LakeError> {
        match small.kind {
            Kind::Events => self.repeats::<ScoredEvent>(small, large),
            Kind::Samples => self.repeats::<PlacedSample>(small, large),
        }
    }

    fn repeats<T: LakeRow>(&self, small: &FileName, large: &FileName) -> Result<bool, LakeError> {
        let mut small = LogReader::<T>::of_these(self.storage.clone(), [small.clone()]);
        let mut large = LogReader::<T>::of_these(self.storage.clone(), [large.clone()]);
        while let Some(row) = small.next()? {
            let wanted = (row.key(), row.identity());
            loop {
                match large.next()? {
                    Some(row) if (row.key(), row.identity()) == wanted => break,
                    Some(row) if row.key() <= wanted.0 => {}
                    Some(_) | None => return Ok(false),
                }
            }
        }
        Ok(true)
    }
}

/// Files whose range lies in that of another one, which comes with it.
fn contained(files: &[LakeFile]) -> Vec<(&LakeFile, &LakeFile)> {
    let around = |small: &LakeFile| {
        let larger =
            files.iter().filter(|large| large.name != small.name && large.name.range.contains(&small.name.range));
        larger.max_by_key(|large| large.name.range.next - large.name.range.first)
    };
    files.iter().filter_map(|small| Some((small, around(small)?))).collect()
}

/// What is merged into one file each: files whose ranges touch, up to a size.
fn groups<'a>(files: impl Iterator<Item = &'a LakeFile>) -> Vec<Vec<&'a LakeFile>> {
    let mut files: Vec<&LakeFile> = files.collect();
    files.sort_by(|a, b| a.name.range.cmp(&b.name.range));
    let mut groups: Vec<Vec<&LakeFile>> = Vec::new();
    for file in files {
        let fits = |group: &Vec<&LakeFile>| {
            let bytes: u64 = group.iter().map(|file| file.bytes).sum();
            group.last().is_some_and(|last| file.name.range.first <= last.name.range.next) && bytes + file.bytes <= FULL
        };
        match groups.last_mut().filter(|group| fits(group)) {
            Some(group) => group.push(file),
            None => groups.push(vec![file]),
        }
    }
    groups.retain(|group| group.len() > 1);
    groups
}

#[cfg(test)]
mod tests;
