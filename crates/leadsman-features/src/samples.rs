use std::time::Duration;

use leadsman_domain::MetricSample;
use polars::prelude::*;
use serde::{Deserialize, Serialize};

use crate::FeatureError;

/// One metric sample as a row of its workload's window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleRow {
    /// `namespace/workload`.
    pub entity: String,
    /// Start of the window, microseconds since the epoch.
    pub window: i64,
    /// Sample time, microseconds since the epoch.
    pub time: i64,
    /// Metric name.
    pub metric: String,
    /// Pod.
    pub pod: String,
    /// Tells the series of a metric and pod apart.
    pub series: u64,
    /// Whether the series is about the pod as a whole.
    pub whole_pod: bool,
    /// The value.
    pub value: f64,
}

/// Metric samples as columns, one row each.
#[derive(Debug, Clone)]
pub struct SampleFrame(DataFrame);

impl SampleFrame {
    /// Samples as rows of windows of `length`.
    ///
    /// Errors: [`FeatureError::Frame`] never for well-formed input.
    pub fn new(samples: &[MetricSample], length: Duration) -> Result<Self, FeatureError> {
        let rows: Vec<SampleRow> = samples
            .iter()
            .map(|s| SampleRow {
                entity: s.entity(),
                window: s.event_time.window(length).start.as_micros(),
                time: s.event_time.as_micros(),
                metric: s.name.raw().to_owned(),
                pod: s.pod.as_ref().map_or_else(String::new, |p| p.raw().to_owned()),
                series: s.series,
                whole_pod: s.whole_pod,
                value: s.value,
            })
            .collect();
        Self::from_rows(&rows)
    }

    /// A frame of `rows`, for restoring a snapshot.
    ///
    /// Errors: [`FeatureError::Frame`] never for well-formed input.
    pub fn from_rows(rows: &[SampleRow]) -> Result<Self, FeatureError> {
        let strings = |name: &str, get: fn(&SampleRow) -> &str| {
            Column::new(name.into(), rows.iter().map(get).collect::<Vec<_>>())
        };
        Ok(Self(DataFrame::new(
            rows.len(),
            vec![
                strings("entity", |r| &r.entity),
                Column::new("window".into(), rows.iter().map(|r| r.window).collect::<Vec<_>>()),
                Column::new("time".into(), rows.iter().map(|r| r.time).collect::<Vec<_>>()),
                strings("metric", |r| &r.metric),
                strings("pod", |r| &r.pod),
                Column::new("series".into(), rows.iter().map(|r| r.series).collect::<Vec<_>>()),
                Column::new("whole_pod".into(), rows.iter().map(|r| r.whole_pod).collect::<Vec<_>>()),
                Column::new("value".into(), rows.iter().map(|r| r.value).collect::<Vec<_>>()),
            ],
        )?))
    }

    /// The rows of `frame`, for writing a snapshot.
    ///
    /// Errors: [`FeatureError::Frame`] when a column is missing.
    pub fn rows(frame: &DataFrame) -> Result<Vec<SampleRow>, FeatureError> {
        let (entity, metric, pod) =
            (frame.column("entity")?.str()?, frame.column("metric")?.str()?, frame.column("pod")?.str()?);
        let (window, time) = (frame.column("window")?.i64()?, frame.column("time")?.i64()?);
        let (series, whole) = (frame.column("series")?.u64()?, frame.column("whole_pod")?.bool()?);
        let value = frame.column("value")?.f64()?;
        let text = |c: &StringChunked, i| c.get(i).unwrap_or_default().to_owned();
        Ok((0..frame.height())
            .map(|i| SampleRow {
                entity: text(entity, i),
                window: window.get(i).unwrap_or_default(),
                time: time.get(i).unwrap_or_default(),
                metric: text(metric, i),
                pod: text(pod, i),
                series: series.get(i).unwrap_or_default(),
                whole_pod: whole.get(i).unwrap_or_default(),
                value: value.get(i).unwrap_or_default(),
            })
            .collect())
    }

    /// The polars frame.
    #[must_use]
    pub fn into_inner(self) -> DataFrame {
        self.0
    }
}
