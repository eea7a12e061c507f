//! Events and samples as a Parquet file: typed columns, named by the path of the field in the canonical form.

use std::io::Write;

use leadsman_domain::{AuditEvent, MetricSample, Timestamp, Untrusted};
use polars::prelude::*;

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
            if self.rows.len() == ROW_GROUP {
                self.flush()?;
            }
        }
        Ok(())
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
        let optional = |name: &str, get: fn(&Self) -> Option<&Untrusted>| {
            text(name, rows.iter().map(|e| get(e).map(Untrusted::raw)))
        };
        let mut risks = ListStringChunkedBuilder::new("risks".into(), rows.len(), rows.len());
        for event in rows {
            if event.risk.is_observed() {
                risks.append_values_iter(event.risk.iter().map(|risk| risk.as_str()));
            } else {
                risks.append_null();
            }
        }
        let mut accounts = ListStringChunkedBuilder::new("accounts".into(), rows.len(), rows.len());
        for event in rows {
            accounts.append_values_iter(event.accounts.iter().map(Untrusted::raw));
        }
        Ok(DataFrame::new(
            rows.len(),
            vec![
                text("id", rows.iter().map(|e| Some(e.id.to_string()))),
                text("request", rows.iter().map(|e| Some(e.request.to_string()))),
                text("level", rows.iter().map(|e| Some(e.level.as_str()))),
                optional("auditID", |e| Some(&e.audit_id)),
                text("stage", rows.iter().map(|e| Some(e.stage.as_str()))),
                optional("requestURI", |e| Some(&e.request_uri)),
                text("verb", rows.iter().map(|e| Some(e.verb.as_str()))),
                text("user.username", rows.iter().map(|e| Some(&*e.actor.name))),
                text("user.class", rows.iter().map(|e| Some(e.actor.class.as_str()))),
                optional("impersonatedUser.username", |e| e.actor.impersonated.as_ref()),
                optional("sourceIP", |e| e.source_ip.as_ref()),
                optional("userAgent", |e| e.user_agent.as_ref()),
                optional("objectRef.apiGroup", |e| Some(&e.object.group)),
                optional("objectRef.resource", |e| Some(&e.object.resource)),
                optional("objectRef.subresource", |e| e.object.subresource.as_ref()),
                optional("objectRef.namespace", |e| e.object.namespace.as_ref()),
                optional("objectRef.name", |e| e.object.name.as_ref()),
                Column::new(
                    "responseStatus.code".into(),
                    rows.iter().map(|e| e.code.map(u32::from)).collect::<Vec<_>>(),
                ),
                time("requestReceivedTimestamp", rows.iter().map(|e| e.event_time))?,
                Column::new("forbidden".into(), rows.iter().map(|e| e.forbidden).collect::<Vec<_>>()),
                risks.finish().into_column(),
                accounts.finish().into_column(),
            ],
        )?)
    }
}

impl Row for MetricSample {
    fn columns(rows: &[Self]) -> Result<DataFrame, FeatureError> {
        Ok(DataFrame::new(
            rows.len(),
            vec![
                text("name", rows.iter().map(|s| Some(s.name.raw()))),
                text("namespace", rows.iter().map(|s| Some(s.namespace.raw()))),
                text("workload", rows.iter().map(|s| Some(s.workload.raw()))),
                text("pod", rows.iter().map(|s| s.pod.as_ref().map(Untrusted::raw))),
                Column::new("series".into(), rows.iter().map(|s| s.series).collect::<Vec<_>>()),
                Column::new("wholePod".into(), rows.iter().map(|s| s.whole_pod).collect::<Vec<_>>()),
                time("timestamp", rows.iter().map(|s| s.event_time))?,
                Column::new("value".into(), rows.iter().map(|s| s.value).collect::<Vec<_>>()),
            ],
        )?)
    }
}

fn text<T: AsRef<str>>(name: &str, values: impl Iterator<Item = Option<T>>) -> Column {
    let mut column = StringChunkedBuilder::new(name.into(), values.size_hint().0);
    values.for_each(|value| column.append_option(value));
    column.finish().into_column()
}

fn time(name: &str, values: impl Iterator<Item = Timestamp>) -> Result<Column, FeatureError> {
    let micros = Column::new(name.into(), values.map(Timestamp::as_micros).collect::<Vec<_>>());
    Ok(micros.cast(&DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)))?)
}

#[cfg(test)]
mod tests;
