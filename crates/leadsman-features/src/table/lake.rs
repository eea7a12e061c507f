//! Rows that remember where in a numbered log they come from, and how they were scored.

use std::sync::Arc;

use leadsman_domain::{AuditEvent, MetricSample, Timestamp};
use polars::prelude::*;

use super::Row;
use super::columns::{of_events, of_samples, plain, text};
use crate::FeatureError;

/// Rows of a row group: whoever merges several files holds one of each, some 2 MB; a service, one for each open hour of
/// its partitions. Less than a partition's share of what may wait, as long as there are not very many: else no row group
/// is ever full.
const ROW_GROUP: usize = 1 << 11;

/// Where in a numbered log an item stands. The order is that of the log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPlace {
    /// Name of the source.
    pub source: Arc<str>,
    /// Its partition.
    pub partition: i32,
    /// Offset of the record.
    pub offset: u64,
    /// Which of the record's items of this kind, from 0.
    pub item: u32,
}

/// An audit event of the lake.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredEvent {
    /// Where it stands.
    pub place: LogPlace,
    /// The event.
    pub event: AuditEvent,
    /// Surprise over all key families, in nats, as it was when the event came; `None` where the event was not scored:
    /// late, routine, repeated, or a later stage of a scored request.
    pub surprise: Option<f64>,
}

/// A metric sample of the lake.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedSample {
    /// Where it stands.
    pub place: LogPlace,
    /// The sample.
    pub sample: MetricSample,
}

impl ScoredEvent {
    /// When it happened.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.event.event_time
    }
}

impl Row for ScoredEvent {
    const ROW_GROUP: usize = ROW_GROUP;

    fn columns(rows: &[Self]) -> Result<DataFrame, FeatureError> {
        let mut columns = of_places(rows.iter().map(|row| &row.place));
        columns.push(plain::<_, Float64Type>("surprise", rows.iter().map(|row| row.surprise)));
        columns.extend(of_events(rows.iter().map(|row| &row.event))?);
        Ok(DataFrame::new(rows.len(), columns)?)
    }
}

impl Row for PlacedSample {
    const ROW_GROUP: usize = ROW_GROUP;

    fn columns(rows: &[Self]) -> Result<DataFrame, FeatureError> {
        let mut columns = of_places(rows.iter().map(|row| &row.place));
        columns.extend(of_samples(rows.iter().map(|row| &row.sample))?);
        Ok(DataFrame::new(rows.len(), columns)?)
    }
}

fn of_places<'a>(places: impl Iterator<Item = &'a LogPlace> + Clone) -> Vec<Column> {
    vec![
        text("source", places.clone().map(|p| Some(&*p.source))),
        plain::<_, Int32Type>("partition", places.clone().map(|p| Some(p.partition))),
        plain::<_, UInt64Type>("offset", places.clone().map(|p| Some(p.offset))),
        plain::<_, UInt32Type>("item", places.map(|p| Some(p.item))),
    ]
}

#[cfg(test)]
mod tests;
