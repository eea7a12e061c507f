use std::collections::BTreeMap;
use std::time::Duration;

use leadsman_domain::{AuditEvent, Surprise, Timestamp, Untrusted, write_api};

use crate::{EventFrame, EventRow, FeatureError};

/// Scored events of windows that are still open. They become an [`EventFrame`] when their window closes: a frame costs
/// microseconds however few rows it has, and most micro-batches add few.
#[derive(Debug, Clone)]
pub struct EventBuffer {
    length: Duration,
    /// By start of the window.
    open: BTreeMap<Timestamp, Rows>,
}

/// The rows of one window, with all their texts in one.
#[derive(Debug, Clone, Default)]
struct Rows {
    texts: String,
    rows: Vec<EventRow<Span>>,
}

/// A part of the texts.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: usize,
    to: usize,
}

impl EventBuffer {
    /// An empty buffer for windows of `length`.
    #[must_use]
    pub fn new(length: Duration) -> Self {
        Self { length, open: BTreeMap::new() }
    }

    /// End of the earliest open window; `None` when none is open.
    #[must_use]
    pub fn earliest_end(&self) -> Option<Timestamp> {
        self.open.first_key_value().map(|(start, _)| start.plus(self.length))
    }

    /// Adds the events that were scored.
    pub fn push(&mut self, events: &[AuditEvent], surprises: &[Surprise]) {
        for surprise in surprises {
            if let Some(event) = events.get(surprise.index) {
                let start = event.event_time.window(self.length).start;
                self.open.entry(start).or_default().push(start, event, surprise);
            }
        }
    }

    /// The open rows in order of their windows, for a snapshot.
    #[must_use]
    pub fn rows(&self) -> Vec<EventRow> {
        self.open.values().flat_map(Rows::iter).map(|row| row.map(|text| (*text).to_owned())).collect()
    }

    /// Puts the rows of a snapshot back.
    pub fn restore(&mut self, rows: &[EventRow]) {
        for row in rows {
            self.open.entry(Timestamp::from_micros(row.window)).or_default().restore(row);
        }
    }

    /// Removes and returns the rows of every window that ends at or before `watermark`.
    ///
    /// Errors: [`FeatureError::Frame`] never for well-formed input.
    pub fn take_closed(&mut self, watermark: Timestamp) -> Result<Option<EventFrame>, FeatureError> {
        let mut closed = Vec::new();
        while let Some(first) = self.open.first_entry()
            && first.key().plus(self.length) <= watermark
        {
            closed.push(first.remove());
        }
        if closed.is_empty() {
            return Ok(None);
        }
        let rows: Vec<EventRow<&str>> = closed.iter().flat_map(Rows::iter).collect();
        EventFrame::new(&rows).map(Some)
    }
}

impl Rows {
    fn push(&mut self, start: Timestamp, event: &AuditEvent, surprise: &Surprise) {
        let raw = |text: &Option<Untrusted>, rows: &mut Self| text.as_ref().map(|t| rows.text(t.raw()));
        let from = self.texts.len();
        let object = &event.object;
        let subresource = object.subresource.as_ref().map(Untrusted::raw);
        write_api(object.group.raw(), object.resource.raw(), subresource, &mut self.texts);
        let api = Span { from, to: self.texts.len() };
        let product =
            |agent: &Untrusted, rows: &mut Self| rows.text(agent.raw().split(['/', ' ']).next().unwrap_or_default());
        let row = EventRow {
            entity: self.text(&event.actor.name),
            window: start.as_micros(),
            time: event.event_time.as_micros(),
            verb: self.text(event.verb.as_str()),
            api,
            namespace: raw(&object.namespace, self),
            name: raw(&object.name, self),
            client: event.user_agent.as_ref().map(|agent| product(agent, self)),
            source: raw(&event.source_ip, self),
            code: event.code.map(u32::from),
            denied: event.denied(),
            impersonated: event.actor.impersonated.is_some(),
            risks: event.risk.count(),
            surprise: surprise.total,
            first_seen: surprise.first_seen,
        };
        self.rows.push(row);
    }

    fn restore(&mut self, row: &EventRow) {
        let row = row.map(|text| self.text(text));
        self.rows.push(row);
    }

    fn text(&mut self, text: &str) -> Span {
        let from = self.texts.len();
        self.texts.push_str(text);
        Span { from, to: self.texts.len() }
    }

    fn iter(&self) -> impl Iterator<Item = EventRow<&str>> {
        self.rows.iter().map(|row| row.map(|span| &self.texts[span.from..span.to]))
    }
}
