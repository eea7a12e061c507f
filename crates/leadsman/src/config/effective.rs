use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use super::keys::{self, PROPERTIES, SECTIONS, Value};
use super::place::Excerpt;
use super::problem::Origin;
use super::redact::{self, REDACTED};

/// Column of the origins in a listing.
const ORIGIN: usize = 44;

/// Every value that is in force, and where it comes from. Secrets never leave it.
#[derive(Clone, Default, PartialEq)]
pub struct Effective {
    entries: BTreeMap<String, Entry>,
}

/// A value that is in force.
#[derive(Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) origin: Origin,
    pub(super) excerpt: Option<Excerpt>,
    /// Height of its layer.
    pub(super) rank: usize,
}

// === impl Effective ===

impl Effective {
    /// The configuration as TOML, with a comment on each value's origin if wanted. Loads to the same configuration,
    /// secrets aside.
    #[must_use]
    pub fn to_toml(&self, origin: bool) -> String {
        let mut text = String::new();
        for section in SECTIONS {
            if let Some(section) = section {
                text.push_str(&format!("\n[{section}]\n"));
            }
            for (key, entry) in self.of_section(section) {
                let (_, name) = keys::split(key);
                // Names of librdkafka's settings have dots, which TOML would read as tables.
                let name = if section == Some(PROPERTIES) { format!("\"{name}\"") } else { name.to_owned() };
                let line = format!("{name} = {}", shown(key, &entry.value).to_toml());
                if origin {
                    text.push_str(&format!("{line:<ORIGIN$}  # {}\n", one_line(&entry.origin)));
                } else {
                    text.push_str(&format!("{line}\n"));
                }
            }
        }
        text
    }

    /// The configuration as JSON: `key`, `value`, `layer` (`default`, `file`, `environment`, `flag`) and `origin` of
    /// each setting.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let entries = SECTIONS.iter().flat_map(|section| self.of_section(*section));
        let settings: Vec<_> = entries
            .map(|(key, entry)| {
                serde_json::json!({
                    "key": key,
                    "value": shown(key, &entry.value).to_json(),
                    "layer": entry.origin.layer(),
                    "origin": entry.origin.to_string(),
                })
            })
            .collect();
        serde_json::json!({ "schema": "leadsman.config/v1", "settings": settings })
    }

    /// Where the value of a key comes from, such as `server.listen` or `kafka.properties.sasl.username`.
    #[must_use]
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.entries.get(key).map(|entry| &entry.origin)
    }

    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub(super) fn set(&mut self, key: String, entry: Entry) {
        self.entries.insert(key, entry);
    }

    /// The entry of the higher layer; within a layer the second.
    pub(super) fn higher(&self, first: &str, second: &str) -> Option<&Entry> {
        let entries = [first, second].map(|key| self.entries.get(key));
        entries.into_iter().flatten().max_by_key(|entry| (entry.rank, entry.origin.position()))
    }

    /// The values of a section, in the order of the shipped file.
    fn of_section(&self, section: Option<&str>) -> Vec<(&str, &Entry)> {
        let own = keys::names().filter_map(|key| self.entries.get_key_value(key));
        let properties = self.entries.iter().filter(|(key, _)| keys::property(key).is_some());
        own.chain(properties)
            .filter(|(key, _)| keys::split(key).0 == section)
            .map(|(key, entry)| (key.as_str(), entry))
            .collect()
    }
}

/// As a listing, without secrets.
impl fmt::Debug for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_toml(true))
    }
}

// === impl Value ===

impl Value {
    fn to_toml(&self) -> String {
        match self {
            Self::Text(text) => string(text),
            Self::Bool(flag) => flag.to_string(),
            Self::Whole(number) => number.to_string(),
            Self::Number(number) => toml::Value::Float(*number).to_string(),
            Self::List(list) => format!("[{}]", list.iter().map(|entry| string(entry)).collect::<Vec<_>>().join(", ")),
        }
    }

    fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Bool(flag) => (*flag).into(),
            Self::Whole(number) => (*number).into(),
            Self::Number(number) => (*number).into(),
            Self::List(list) => list.as_slice().into(),
        }
    }
}

fn shown<'a>(key: &str, value: &'a Value) -> Cow<'a, Value> {
    match value {
        _ if redact::is_secret(key) => Cow::Owned(Value::Text(REDACTED.to_owned())),
        Value::Text(text) if key == "store.url" => Cow::Owned(Value::Text(redact::address(text))),
        value => Cow::Borrowed(value),
    }
}

/// A basic string on one line: the comment has to fit behind it.
fn string(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A path may hold anything, a line break as well; behind it would be a setting that nobody made.
fn one_line(origin: &Origin) -> String {
    origin.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
