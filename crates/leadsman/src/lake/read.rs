//! Several logs of a lake read as one, in the order of time.

use std::collections::BTreeMap;

use leadsman_domain::{AuditEvent, MetricSample};
use leadsman_features::{PlacedSample, ScoredEvent};

use super::error::LakeError;
use super::merge::LogReader;
use super::name::FileName;
use super::row::LakeRow;
use super::{Contents, Filter, Lake};

/// Items of one kind, in the order of time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chunk {
    /// Audit events.
    pub events: Vec<AuditEvent>,
    /// Metric samples.
    pub samples: Vec<MetricSample>,
}

/// Reads a part of a lake: first its events, then its samples.
///
/// Each log gives its rows in its own order, late ones included, and of several logs the one whose next row is the
/// oldest goes on. So the lake of one log is read as that log, and those of many as if they had been followed at once.
pub struct LakeReader {
    events: Logs<ScoredEvent>,
    samples: Logs<PlacedSample>,
    filter: Filter,
}

struct Logs<T>(Vec<Log<T>>);

struct Log<T> {
    reader: LogReader<T>,
    head: Option<T>,
}

impl Lake {
    /// Reads `contents`, of one cluster, as far as `filter` means them.
    ///
    /// Errors: [`LakeError::Clusters`] when there are several clusters; else as [`LakeReader::next_chunk`].
    pub fn read(&self, contents: &Contents, filter: &Filter) -> Result<LakeReader, LakeError> {
        let clusters = contents.clusters();
        if clusters.len() > 1 {
            return Err(LakeError::Clusters { clusters: clusters.into_iter().map(|c| c.unescaped()).collect() });
        }
        Ok(LakeReader { events: self.logs(contents)?, samples: self.logs(contents)?, filter: filter.clone() })
    }

    /// The logs of one kind, each with its first row.
    fn logs<T: LakeRow>(&self, contents: &Contents) -> Result<Logs<T>, LakeError> {
        let mut logs: BTreeMap<_, Vec<FileName>> = BTreeMap::new();
        for name in contents.files.iter().map(|file| &file.name).filter(|name| name.kind == T::KIND) {
            logs.entry((&name.range.source, name.range.partition)).or_default().push(name.clone());
        }
        let log = |files| {
            let mut reader = LogReader::new(self.storage.clone(), files);
            let head = reader.next()?;
            Ok(Log { reader, head })
        };
        logs.into_values().map(log).collect::<Result<_, _>>().map(Logs)
    }
}

impl LakeReader {
    /// How many files were opened.
    #[must_use]
    pub fn files_begun(&self) -> u64 {
        self.events.files_begun() + self.samples.files_begun()
    }

    /// The next items, at most `max` and all of one kind; `None` at the end.
    ///
    /// Errors: [`LakeError`] when a file cannot be read, or was removed meanwhile.
    pub fn next_chunk(&mut self, max: usize) -> Result<Option<Chunk>, LakeError> {
        let mut chunk = Chunk::default();
        while chunk.events.len() < max
            && let Some(row) = self.events.next()?
        {
            chunk.events.extend(Some(row.event).filter(|event| self.filter.takes(event.event_time)));
        }
        if !chunk.events.is_empty() {
            return Ok(Some(chunk));
        }
        while chunk.samples.len() < max
            && let Some(row) = self.samples.next()?
        {
            chunk.samples.extend(Some(row.sample).filter(|sample| self.filter.takes(sample.event_time)));
        }
        Ok((!chunk.samples.is_empty()).then_some(chunk))
    }
}

impl<T: LakeRow> Logs<T> {
    fn files_begun(&self) -> u64 {
        self.0.iter().map(|log| log.reader.files_begun()).sum()
    }

    fn next(&mut self) -> Result<Option<T>, LakeError> {
        // Logs are in the order of their names, which decides where times are equal.
        let with_time =
            self.0.iter_mut().filter_map(|log| log.head.as_ref().map(LakeRow::time).map(|time| (time, log)));
        let Some((_, log)) = with_time.min_by_key(|(time, _)| *time) else { return Ok(None) };
        let next = log.reader.next()?;
        Ok(std::mem::replace(&mut log.head, next))
    }
}
