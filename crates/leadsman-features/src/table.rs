//! Events and samples as a Parquet file: typed columns, named by the path of the field in the canonical form.

mod checksum;
mod columns;
mod lake;
mod read;

use std::io::{self, BufWriter, Write};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use leadsman_domain::{AuditEvent, MetricSample};
use polars::prelude::*;

use self::checksum::SummedWriter;
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
/// files of fewer than 1,024 rows. What has no value is null. Rows stand in the order in which they were given. The file has
/// a checksum, which [`TableReader`] asks for.
pub struct TableWriter<W: Write, T: Row> {
    to: SummedWriter<W>,
    /// What polars wrote and `to` has not.
    written: Shared,
    /// None until it is known whether the file has many rows.
    table: Option<Batched>,
    rows: Vec<T>,
    count: u64,
}

/// Polars writes fields of a few bytes.
type Batched = BatchedWriter<BufWriter<Shared>>;

/// Memory that polars writes into and the writer of the table takes out of: polars keeps what it writes to.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

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
        Self { to: SummedWriter::new(to), written: Shared::default(), table: None, rows: Vec::new(), count: 0 }
    }

    /// Adds rows.
    ///
    /// Errors: [`FeatureError`] when the file cannot be written.
    pub fn write(&mut self, rows: impl IntoIterator<Item = T>) -> Result<(), FeatureError> {
        for row in rows {
            self.rows.push(row);
            if self.rows.len() == T::ROW_GROUP {
                self.flush()?;
                self.to.write(&self.written.take())?;
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
    /// Errors: [`FeatureError`] when it cannot be written.
    pub fn finish(mut self) -> Result<u64, FeatureError> {
        self.flush()?.finish()?;
        self.to.finish(&self.written.take())?;
        Ok(self.count)
    }

    /// Makes a row group of the rows that wait, in a table that is begun if it was not.
    fn flush(&mut self) -> Result<&mut Batched, FeatureError> {
        let rows = T::columns(&self.rows)?;
        let begun = match self.table.take() {
            Some(begun) => begun,
            None => self.begin()?,
        };
        let table = self.table.insert(begun);
        if rows.height() > 0 {
            table.write_batch(&rows)?;
        }
        self.count += self.rows.len() as u64;
        self.rows.clear();
        Ok(table)
    }

    /// A table that begins with the rows that wait.
    fn begin(&self) -> Result<Batched, FeatureError> {
        let few = self.rows.len() < FEW;
        let compression = if few { ParquetCompression::Snappy } else { ParquetCompression::Zstd(None) };
        let to = BufWriter::new(self.written.clone());
        // Threads of polars help a long table, and cost more than a short one is worth.
        let writer = ParquetWriter::new(to).with_compression(compression).set_parallel(!few);
        // Polars forgets the zone of times where there are some, and keeps it where there are none.
        Ok(writer.batched(T::columns(&[])?.schema())?)
    }
}

impl Shared {
    fn take(&self) -> Vec<u8> {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
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
