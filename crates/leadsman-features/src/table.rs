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
/// A file of fewer rows is compressed by what costs little to set up: zstd has a context for each page, and those of two
/// hundred rows were half of the price of their file.
const FEW: usize = 1 << 10;

/// Writes one kind of rows into a Parquet file, row group by row group, so that memory holds one of them.
///
/// Text is UTF-8, times are microseconds since the epoch in UTC, and everything is compressed with zstd, but with Snappy in
/// files of fewer than 1,024 rows. What has no value is null. Rows stand in the order in which they were given.
pub struct TableWriter<W: Write, T: Row> {
    /// Until it is known whether the file has many rows.
    to: Option<W>,
    begun: Option<BatchedWriter<W>>,
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
    /// A file that is written to `to`.
    #[must_use]
    pub fn new(to: W) -> Self {
        Self { to: Some(to), begun: None, rows: Vec::new(), written: 0 }
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
        self.flush()?.finish()?;
        Ok(self.written)
    }

    /// Writes what waits, into a file that is begun if it was not.
    fn flush(&mut self) -> Result<&mut BatchedWriter<W>, FeatureError> {
        let rows = T::columns(&self.rows)?;
        if let Some(to) = self.to.take() {
            let few = self.rows.len() < FEW;
            let compression = if few { ParquetCompression::Snappy } else { ParquetCompression::Zstd(None) };
            // Threads of polars help a long table, and cost more than a short one is worth.
            let writer = ParquetWriter::new(to).with_compression(compression).set_parallel(!few);
            // Polars forgets the zone of times where there are some, and keeps it where there are none.
            self.begun = Some(writer.batched(T::columns(&[])?.schema())?);
        }
        let failed = || PolarsError::ComputeError("the table could not be begun".into());
        let writer = self.begun.as_mut().ok_or_else(failed)?;
        if rows.height() > 0 {
            writer.write_batch(&rows)?;
        }
        self.written += self.rows.len() as u64;
        self.rows.clear();
        Ok(writer)
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
