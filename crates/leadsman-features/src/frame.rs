use std::time::Duration;

use leadsman_domain::{AuditEvent, Surprise, Timestamp, Verb};
use polars::prelude::*;
use serde::{Deserialize, Serialize};

use crate::FeatureError;

/// One scored event as a row: what the features of an actor's window are computed from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventRow {
    /// Actor name.
    pub entity: String,
    /// Start of the window, microseconds since the epoch.
    pub window: i64,
    /// Event time, microseconds since the epoch.
    pub time: i64,
    /// Canonical verb.
    pub verb: String,
    /// `group/resource/subresource`.
    pub api: String,
    /// Namespace.
    pub namespace: Option<String>,
    /// Object name.
    pub name: Option<String>,
    /// User agent, product only.
    pub client: Option<String>,
    /// Source address.
    pub source: Option<String>,
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
    /// Surprise of the strongest key in nats.
    pub strongest: f64,
    /// Key families never seen for this actor.
    pub first_seen: u32,
}

/// Scored events as columns, one row each.
#[derive(Debug, Clone)]
pub struct EventFrame(DataFrame);

/// Declares the columns once, for building and for reading back.
macro_rules! columns {
    ($rows:expr; $($name:ident: $get:expr),* $(,)?) => {{
        let rows = $rows;
        let height = rows.len();
        DataFrame::new(height, vec![$(Column::new(
            stringify!($name).into(),
            rows.iter().map($get).collect::<Vec<_>>(),
        )),*])
    }};
}

impl EventFrame {
    /// The events that were scored, as rows of windows of `length`.
    ///
    /// Errors: [`FeatureError::Frame`] never for well-formed input.
    pub fn new(events: &[AuditEvent], surprises: &[Surprise], length: Duration) -> Result<Self, FeatureError> {
        let rows: Vec<EventRow> =
            surprises.iter().filter_map(|s| events.get(s.index).map(|e| row(e, s, length))).collect();
        Self::from_rows(&rows)
    }

    /// A frame of `rows`, for restoring a snapshot.
    ///
    /// Errors: [`FeatureError::Frame`] never for well-formed input.
    pub fn from_rows(rows: &[EventRow]) -> Result<Self, FeatureError> {
        Ok(Self(columns!(rows;
            entity: |r| r.entity.as_str(),
            window: |r| r.window,
            time: |r| r.time,
            verb: |r| r.verb.as_str(),
            api: |r| r.api.as_str(),
            namespace: |r| r.namespace.as_deref(),
            name: |r| r.name.as_deref(),
            client: |r| r.client.as_deref(),
            source: |r| r.source.as_deref(),
            code: |r| r.code,
            denied: |r| r.denied,
            impersonated: |r| r.impersonated,
            risks: |r| r.risks,
            surprise: |r| r.surprise,
            strongest: |r| r.strongest,
            first_seen: |r| r.first_seen,
        )?))
    }

    /// The rows of `frame`, for writing a snapshot.
    ///
    /// Errors: [`FeatureError::Frame`] when a column is missing.
    pub fn rows(frame: &DataFrame) -> Result<Vec<EventRow>, FeatureError> {
        let c = Columns::of(frame)?;
        let owned = |v: Option<&str>| v.map(str::to_owned);
        Ok((0..frame.height())
            .map(|i| EventRow {
                entity: owned(c.entity.get(i)).unwrap_or_default(),
                window: c.window.get(i).unwrap_or_default(),
                time: c.time.get(i).unwrap_or_default(),
                verb: owned(c.verb.get(i)).unwrap_or_default(),
                api: owned(c.api.get(i)).unwrap_or_default(),
                namespace: owned(c.namespace.get(i)),
                name: owned(c.name.get(i)),
                client: owned(c.client.get(i)),
                source: owned(c.source.get(i)),
                code: c.code.get(i),
                denied: c.denied.get(i).unwrap_or_default(),
                impersonated: c.impersonated.get(i).unwrap_or_default(),
                risks: c.risks.get(i).unwrap_or_default(),
                surprise: c.surprise.get(i).unwrap_or_default(),
                strongest: c.strongest.get(i).unwrap_or_default(),
                first_seen: c.first_seen.get(i).unwrap_or_default(),
            })
            .collect())
    }

    /// The polars frame.
    #[must_use]
    pub fn into_inner(self) -> DataFrame {
        self.0
    }
}

/// Typed access to the columns of an event frame.
pub(crate) struct Columns<'a> {
    pub(crate) entity: &'a StringChunked,
    pub(crate) window: &'a Int64Chunked,
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
    pub(crate) strongest: &'a Float64Chunked,
    pub(crate) first_seen: &'a UInt32Chunked,
}

impl<'a> Columns<'a> {
    pub(crate) fn of(frame: &'a DataFrame) -> Result<Self, FeatureError> {
        Ok(Self {
            entity: frame.column("entity")?.str()?,
            window: frame.column("window")?.i64()?,
            time: frame.column("time")?.i64()?,
            verb: frame.column("verb")?.str()?,
            api: frame.column("api")?.str()?,
            namespace: frame.column("namespace")?.str()?,
            name: frame.column("name")?.str()?,
            client: frame.column("client")?.str()?,
            source: frame.column("source")?.str()?,
            code: frame.column("code")?.u32()?,
            denied: frame.column("denied")?.bool()?,
            impersonated: frame.column("impersonated")?.bool()?,
            risks: frame.column("risks")?.u32()?,
            surprise: frame.column("surprise")?.f64()?,
            strongest: frame.column("strongest")?.f64()?,
            first_seen: frame.column("first_seen")?.u32()?,
        })
    }
}

fn row(event: &AuditEvent, surprise: &Surprise, length: Duration) -> EventRow {
    let text = |t: &Option<leadsman_domain::Untrusted>| t.as_ref().map(|t| t.raw().to_owned());
    EventRow {
        entity: event.actor.name.to_string(),
        window: event.event_time.window(length).start.as_micros(),
        time: event.event_time.as_micros(),
        verb: verb_text(event.verb),
        api: event.object.api(),
        namespace: text(&event.object.namespace),
        name: text(&event.object.name),
        client: event.user_agent.as_ref().map(|u| u.raw().split(['/', ' ']).next().unwrap_or_default().to_owned()),
        source: text(&event.source_ip),
        code: event.code.map(u32::from),
        denied: event.denied(),
        impersonated: event.actor.impersonated.is_some(),
        risks: event.risk.count(),
        surprise: surprise.total,
        strongest: surprise.strongest,
        first_seen: surprise.first_seen,
    }
}

fn verb_text(verb: Verb) -> String {
    verb.as_str().to_owned()
}

/// Hour of the day, UTC, of a time in microseconds.
pub(crate) fn hour_of_day(micros: i64) -> u8 {
    Timestamp::from_micros(micros).hour_of_week() % 24
}
