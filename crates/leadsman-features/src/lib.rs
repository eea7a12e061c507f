//! Events, and samples in polars frames, to [`FeatureMatrix`](leadsman_domain::FeatureMatrix) (ndarray); events and
//! samples as Parquet tables.
//!
//! Two kinds of window come out: what an actor did in a window of audit events, and what a workload used
//! in a window of metric samples. Both are tumbling, half-open and built from event time only.

mod audit;
mod buffer;
mod error;
mod metrics;
mod samples;
mod stats;
mod table;
mod window;

pub use audit::audit_schema;
pub use buffer::ActivityBuffer;
pub use error::FeatureError;
pub use metrics::{extract_metrics, metric_feature_names};
pub use samples::{SampleFrame, SampleRow};
pub use table::{LogPlace, PlacedSample, Row, ScoredEvent, StoredRow, TableReader, TableWriter};
pub use window::WindowBuffer;
