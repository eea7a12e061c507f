//! Events and samples as a Parquet file: typed columns, named by the path of the field in the canonical form.

mod columns;
mod lake;
mod read;

use std::io::Write;

use leadsman_domain::{AuditEvent, MetricSample};
use polars::prelude::*;

pub use self::lake::{LogPlace, PlacedSample, ScoredEvent};
pub use self::read::{StoredRow, TableReader};
use crate::FeatureError;

/// Rows of a row group: some tens of megabytes while it is put together.
const ROW_GROUP: usize = 1 << 16;

/// Writes one kind of rows into a Parquet file, row group by row group, so that memory holds one of them.
///
/// Text is UTF-8, times are microseconds since the epoch in UTC, and everything is compressed with zstd. What has no
/// value is null. Rows stand in the order in which they were given.
pub struct TableWriter<W: Write, T: Row> {
    writer: BatchedWriter<W>,
    rows: Vec<T>,
    written: u64,
}

/// What can be a row.
pub trait Row: Sized {
    /// Rows of a row group: readers hold one of them at a time.
    const ROW_GROUP: usize = ROW_GROUP;

    /// The rows as columns.
    ///
    /// Errors: [`FeatureError::Frame`] never for well-formed input.
    fn columns(rows: &[Self]) -> Result<DataFrame, FeatureError>;
}

impl<W: Write, T: Row> TableWriter<W, T> {
    /// Begins a file.
    ///
    /// Errors: [`FeatureError::Frame`] when `to` cannot be written.
    pub fn new(to: W) -> Result<Self, FeatureError> {
        let none = T::columns(&[])?;
        let writer = ParquetWriter::new(to).with_compression(ParquetCompression::Zstd(None)).batched(none.schema())?;
        Ok(Self { writer, rows: Vec::new(), written: 0 })
    }

    /// Adds rows.
    ///
    /// Errors: [`FeatureError::Frame`] when the file cannot be written.
    pub fn write(&mut self, rows: impl IntoIterator<Item = T>) -> Result<(), FeatureError> {
        for row in rows {
            self.rows.push(row);
            if self.rows.len() == T::ROW_GROUP {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Rows that are not written yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.rows.len()
    }

    /// Ends the file and says how many rows it has.
    ///
    /// Errors: [`FeatureError::Frame`] when it cannot be written.
    pub fn finish(mut self) -> Result<u64, FeatureError> {
        self.flush()?;
        self.writer.finish()?;
        Ok(self.written)
    }

    fn flush(&mut self) -> Result<(), FeatureError> {
        if !self.rows.is_empty() {
            self.writer.write_batch(&T::columns(&self.rows)?)?;
            self.written += self.rows.len() as u64;
            self.rows.clear();
        }
        Ok(())
    }
}

impl Row for AuditEvent {
    fn columns(rows: &[Self]) -> Result<DataFrame, FeatureError> {
        Ok(DataFrame::new(rows.len(), columns::of_events(rows.iter())?)?)
    }
}

impl Row for MetricSample {
    fn columns(rows: &[Self]) -> Result<DataFrame, FeatureError> {
        Ok(DataFrame::new(rows.len(), columns::of_samples(rows.iter())?)?)
    }
}

#[cfg(test)]
mod tests;
