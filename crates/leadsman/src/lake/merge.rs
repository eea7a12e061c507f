//! The rows of several files of one log, each once and in the order of the log.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::mem;
use std::sync::Arc;
use std::vec::IntoIter;

use leadsman_features::TableReader;

use super::error::LakeError;
use super::name::FileName;
use super::row::LakeRow;
use super::storage::{Storage, Stored};

/// Reads files of one log together. Memory holds a row group of each file whose range reaches into the present offset:
/// files of neighbouring hours do, others seldom.
pub(super) struct LogReader<T> {
    storage: Arc<dyn Storage>,
    /// Files that were not opened yet, the lowest offset first.
    waiting: VecDeque<FileName>,
    /// Every file that was waiting at some time.
    known: BTreeSet<FileName>,
    open: Vec<OpenFile<T>>,
    last: Option<Last>,
    /// Whether what a file was merged into is read where the file is gone.
    follow: bool,
    begun: u64,
}

/// The place of the last row, and who was there: nearly always one.
struct Last {
    key: (u64, u32),
    identity: u128,
    others: Vec<u128>,
}

struct OpenFile<T> {
    name: FileName,
    table: TableReader<File, T>,
    group: IntoIter<T>,
    head: T,
}

impl<T: LakeRow> LogReader<T> {
    /// Reads `files`, of one log and of any hours, or what they were merged into meanwhile.
    pub(super) fn new(storage: Arc<dyn Storage>, files: impl IntoIterator<Item = FileName>) -> Self {
        Self { follow: true, ..Self::of_these(storage, files) }
    }

    /// As [`Self::new`], but a file that was merged meanwhile is [`LakeError::Gone`]: what took its place has rows of
    /// offsets that nobody asked for.
    pub(super) fn of_these(storage: Arc<dyn Storage>, files: impl IntoIterator<Item = FileName>) -> Self {
        let known: BTreeSet<FileName> = files.into_iter().collect();
        let mut waiting: Vec<FileName> = known.iter().cloned().collect();
        waiting.sort_by_key(|file| file.range.first);
        Self { storage, waiting: waiting.into(), known, open: Vec::new(), last: None, follow: false, begun: 0 }
    }

    /// How many files were opened.
    pub(super) fn files_begun(&self) -> u64 {
        self.begun
    }

    /// The next row; `None` at the end.
    ///
    /// Errors: [`LakeError`] when a file cannot be read, or was removed and nothing took its place.
    pub(super) fn next(&mut self) -> Result<Option<T>, LakeError> {
        loop {
            let lowest = (0..self.open.len()).min_by(|a, b| self.open[*a].order().cmp(&self.open[*b].order()));
            let lowest = lowest.map(|index| (index, self.open[index].head.key().0));
            if let Some(file) = self.waiting.pop_front_if(|file| lowest.is_none_or(|(_, at)| file.range.first <= at)) {
                self.begin(&file)?;
                continue;
            }
            let Some((index, _)) = lowest else { return Ok(None) };
            let row = self.take(index)?;
            if self.is_new(&row) {
                return Ok(Some(row));
            }
        }
    }

    /// Whether no other file gave the row before.
    fn is_new(&mut self, row: &T) -> bool {
        let (key, identity) = (row.key(), row.identity());
        match &mut self.last {
            // A file that took the place of others begins with rows that those gave.
            Some(last) if key < last.key => false,
            Some(last) if key == last.key => {
                let new = identity != last.identity && !last.others.contains(&identity);
                last.others.extend(new.then_some(identity));
                new
            }
            Some(_) | None => {
                self.last = Some(Last { key, identity, others: Vec::new() });
                true
            }
        }
    }

    /// Opens a file. Where there is none any more, it was merged: what it was merged into is read in its place.
    fn begin(&mut self, name: &FileName) -> Result<(), LakeError> {
        let key = name.to_string();
        let Some(file) = self.storage.open(&key)? else {
            if !self.follow {
                return Err(LakeError::Gone { key });
            }
            let hour = self.storage.list(&name.directory())?;
            let others = hour.iter().filter_map(|Stored { key, .. }| FileName::parse(key));
            let instead: Vec<FileName> = others.filter(|other| other.range.contains(&name.range)).collect();
            if instead.is_empty() {
                return Err(LakeError::Gone { key });
            }
            for other in instead {
                // Several files were merged into it, and it is read once.
                if self.known.insert(other.clone()) {
                    let at = self.waiting.partition_point(|file| file.range.first <= other.range.first);
                    self.waiting.insert(at, other);
                }
            }
            return Ok(());
        };
        self.begun += 1;
        let damaged = |cause| LakeError::Damaged { key: key.clone(), cause };
        let mut table = TableReader::new(file).map_err(damaged)?;
        while let Some(group) = table.next_group().map_err(damaged)? {
            let mut group: IntoIter<T> = group.into_iter();
            if let Some(head) = group.next() {
                self.open.push(OpenFile { name: name.clone(), table, group, head });
                break;
            }
        }
        Ok(())
    }

    /// Takes the head of an open file, which is closed when it was its last row.
    fn take(&mut self, index: usize) -> Result<T, LakeError> {
        let file = &mut self.open[index];
        loop {
            if let Some(next) = file.group.next() {
                return Ok(mem::replace(&mut file.head, next));
            }
            let damaged = |cause| LakeError::Damaged { key: file.name.to_string(), cause };
            match file.table.next_group().map_err(damaged)? {
                Some(group) => file.group = group.into_iter(),
                None => return Ok(self.open.swap_remove(index).head),
            }
        }
    }
}

impl<T: LakeRow> OpenFile<T> {
    /// Whose turn it is. Of files that hold the same row, it is always the same one that gives it.
    fn order(&self) -> ((u64, u32), &FileName) {
        (self.head.key(), &self.name)
    }
}
