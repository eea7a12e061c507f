use leadsman_domain::Timestamp;
use polars::prelude::*;
use serde::{Deserialize, Serialize};

use crate::FeatureError;

/// One scored event as a row: what the features of an actor's window are computed from. `T` is how it holds texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventRow<T = String> {
    /// Actor name.
    pub entity: T,
    /// Start of the window, microseconds since the epoch.
    pub window: i64,
    /// Event time, microseconds since the epoch.
    pub time: i64,
    /// Canonical verb.
    pub verb: T,
    /// `group/resource/subresource`.
    pub api: T,
    /// Namespace.
    pub namespace: Option<T>,
    /// Object name.
    pub name: Option<T>,
    /// User agent, product only.
    pub client: Option<T>,
    /// Source address.
    pub source: Option<T>,
    /// HTTP status.
    pub code: Option<u32>,
    /// Refused by the authorizer.
    pub denied: bool,
    /// The actor acted as somebody else.
    pub impersonated: bool,
    /// Risky settings in the body.
    pub risks: u32,
    /// Surprise in nats.
    pub surprise: f64,
    /// Key families never seen for this actor.
    pub first_seen: u32,
}

impl<T> EventRow<T> {
    /// The same row with its texts held in another way.
    pub(crate) fn map<'r, U>(&'r self, mut text: impl FnMut(&'r T) -> U) -> EventRow<U> {
        EventRow {
            entity: text(&self.entity),
            window: self.window,
            time: self.time,
            verb: text(&self.verb),
            api: text(&self.api),
            namespace: self.namespace.as_ref().map(&mut text),
            name: self.name.as_ref().map(&mut text),
            client: self.client.as_ref().map(&mut text),
            source: self.source.as_ref().map(&mut text),
            code: self.code,
            denied: self.denied,
            impersonated: self.impersonated,
            risks: self.risks,
            surprise: self.surprise,
            first_seen: self.first_seen,
        }
    }
}

/// Scored events of closed windows as columns, one row each.
#[derive(Debug, Clone)]
pub struct EventFrame(DataFrame);

/// Declares the columns once.
macro_rules! columns {
    ($rows:expr; $($name:ident),* $(,)?) => {{
        let rows = $rows;
        DataFrame::new(rows.len(), vec![$(Column::new(
            stringify!($name).into(),
            rows.iter().map(|r| r.$name).collect::<Vec<_>>(),
        )),*])
    }};
}

impl EventFrame {
    /// A frame of `rows`.
    ///
    /// Errors: [`FeatureError::Frame`] never for well-formed input.
    pub fn new(rows: &[EventRow<&str>]) -> Result<Self, FeatureError> {
        Ok(Self(columns!(rows;
            entity,
            window,
            time,
            verb,
            api,
            namespace,
            name,
            client,
            source,
            code,
            denied,
            impersonated,
            risks,
            surprise,
            first_seen,
        )?))
    }

    /// The polars frame.
    #[must_use]
    pub fn frame(&self) -> &DataFrame {
        &self.0
    }
}

/// Typed access to the columns of an event frame that features are made of.
pub(crate) struct Columns<'a> {
    pub(crate) time: &'a Int64Chunked,
    pub(crate) verb: &'a StringChunked,
    pub(crate) api: &'a StringChunked,
    pub(crate) namespace: &'a StringChunked,
    pub(crate) name: &'a StringChunked,
    pub(crate) client: &'a StringChunked,
    pub(crate) source: &'a StringChunked,
    pub(crate) code: &'a UInt32Chunked,
    pub(crate) denied: &'a BooleanChunked,
    pub(crate) impersonated: &'a BooleanChunked,
    pub(crate) risks: &'a UInt32Chunked,
    pub(crate) surprise: &'a Float64Chunked,
    pub(crate) first_seen: &'a UInt32Chunked,
}

impl<'a> Columns<'a> {
    pub(crate) fn of(frame: &'a DataFrame) -> Result<Self, FeatureError> {
        Ok(Self {
            time: column(frame, "time")?.i64()?,
            verb: column(frame, "verb")?.str()?,
            api: column(frame, "api")?.str()?,
            namespace: column(frame, "namespace")?.str()?,
            name: column(frame, "name")?.str()?,
            client: column(frame, "client")?.str()?,
            source: column(frame, "source")?.str()?,
            code: column(frame, "code")?.u32()?,
            denied: column(frame, "denied")?.bool()?,
            impersonated: column(frame, "impersonated")?.bool()?,
            risks: column(frame, "risks")?.u32()?,
            surprise: column(frame, "surprise")?.f64()?,
            first_seen: column(frame, "first_seen")?.u32()?,
        })
    }
}

/// The column of a name. A frame of one window has few rows, and for those an index of its columns is not worth its while.
pub(crate) fn column<'f>(frame: &'f DataFrame, name: &str) -> PolarsResult<&'f Column> {
    let found = frame.columns().iter().find(|column| column.name() == name);
    found.map_or_else(|| frame.column(name), Ok)
}

/// Hour of the day, UTC, of a time in microseconds.
pub(crate) fn hour_of_day(micros: i64) -> u8 {
    Timestamp::from_micros(micros).hour_of_week() % 24
}
