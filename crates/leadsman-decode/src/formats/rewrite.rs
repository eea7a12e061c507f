//! Rows and entries that an audit event was turned into, turned back into the event.
//!
//! So they are read by the same code as every other event, with the same traps minded and the same identity.

use leadsman_domain::Format;
use serde_json::value::RawValue;

use super::{Document, Raw};
use crate::collect::Collector;

/// The JSON of an audit event in the making.
#[derive(Debug)]
pub(crate) struct EventJson(String);

impl EventJson {
    pub(crate) fn new() -> Self {
        Self(r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1""#.to_owned())
    }

    /// Adds a value that was parsed, so it cannot end its field early.
    pub(crate) fn raw(mut self, key: &str, value: Raw<'_>) -> Self {
        if let Some(value) = value {
            self.key(key);
            self.0.push_str(value.get());
        }
        self
    }

    /// As [`Self::raw`]; a string that holds an object or an array counts as that.
    pub(crate) fn unpacked(self, key: &str, value: Raw<'_>) -> Self {
        let text = value.and_then(crate::json::text).filter(|t| t.trim_start().starts_with(['{', '[']));
        match text.as_deref().and_then(|t| serde_json::from_str::<&RawValue>(t.trim()).ok()) {
            Some(inner) => self.raw(key, Some(inner)),
            None => self.raw(key, value),
        }
    }

    pub(crate) fn text(mut self, key: &str, text: &str) -> Self {
        self.key(key);
        self.0.push_str(&serde_json::Value::from(text).to_string());
        self
    }

    pub(crate) fn number(mut self, key: &str, number: u16) -> Self {
        self.key(key);
        self.0.push_str(&number.to_string());
        self
    }

    /// Adds an object of one text or number.
    pub(crate) fn object(mut self, key: &str, inner: impl FnOnce(Self) -> Self) -> Self {
        self.key(key);
        let Self(text) = inner(Self(String::from("{")));
        self.0.push_str(&text);
        self.0.push('}');
        self
    }

    /// Decodes what was put together, under the name of its source.
    pub(crate) fn decode(mut self, document: Document<'_>, format: Format, out: &mut Collector) {
        self.0.push('}');
        out.audit(document, &self.0, format);
    }

    fn key(&mut self, key: &str) {
        if !self.0.ends_with('{') {
            self.0.push(',');
        }
        self.0.push('"');
        self.0.push_str(key);
        self.0.push_str("\":");
    }
}
