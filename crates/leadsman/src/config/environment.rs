use std::collections::BTreeMap;

use toml::de::DeValue;

use super::file;
use super::invalid::quoted;
use super::keys::{self, Kind, Value};
use super::layers::{Read, Setting};
use super::problem::{Fault, Origin, Problem};
use super::suggest;

const PREFIX: &str = "LEADSMAN_";

/// Variables of ours that are no keys: they are read elsewhere, by the command line, the log, tests and the build.
const ELSEWHERE: [&str; 8] = [
    "LEADSMAN_BIN",
    "LEADSMAN_CONFIG",
    "LEADSMAN_DATASETS",
    "LEADSMAN_GOLDEN",
    "LEADSMAN_LOG",
    "LEADSMAN_TEST_CACHE",
    "LEADSMAN_TOKEN",
    "LEADSMAN_UI_DIST",
];

/// Reads the variables that set keys, by name, as the environment has no order of its own.
pub(super) fn variables(environment: &[(String, String)]) -> Read {
    let mut ours: Vec<_> = environment.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    ours.sort();
    let mut read = Read::default();
    for (name, text) in ours {
        let key = key_of(name);
        if keys::kind(&key).is_some() {
            read.text(key, text, Origin::Variable(name.clone()));
        } else if !ELSEWHERE.contains(&name.as_str()) && !is_service_link(name) {
            let variables: Vec<_> = keys::names().map(variable_of).collect();
            let suggestion = suggest::nearest(name, variables.iter().map(String::as_str)).map(str::to_owned);
            let fault = Fault::UnknownVariable { name: name.clone(), suggestion };
            read.problems.push(Problem { fault, origin: Origin::Variable(name.clone()), excerpt: None });
        }
    }
    read
}

/// The variables by which object storage is usually set up, credentials among them: they are no keys of ours.
pub(super) fn of_cloud(environment: &[(String, String)]) -> BTreeMap<String, String> {
    environment.iter().filter(|(name, _)| name.starts_with("AWS_")).cloned().collect()
}

/// Reads the keys set by flags.
pub(super) fn flags(flags: &[(String, String)]) -> Read {
    let mut read = Read::default();
    for (key, text) in flags {
        if keys::kind(key).is_some() {
            read.text(key.clone(), text, Origin::Flag);
        } else {
            let fault = Fault::UnknownKey { key: key.clone(), suggestion: suggest::key(key) };
            read.problems.push(Problem { fault, origin: Origin::Flag, excerpt: None });
        }
    }
    read
}

/// `LEADSMAN_SERVER__LISTEN` is `server.listen`, `LEADSMAN_KAFKA__PROPERTIES__SASL_PASSWORD` is the setting
/// `sasl.password`: librdkafka separates words by dots, which few shells allow in a variable.
fn key_of(name: &str) -> String {
    let key = name.strip_prefix(PREFIX).unwrap_or(name).to_ascii_lowercase().replace("__", ".");
    match keys::property(&key) {
        Some(property) => format!("{}.{}", keys::PROPERTIES, property.replace('_', ".")),
        None => key,
    }
}

fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

/// Whether Kubernetes put the variable there: a pod gets `LEADSMAN_SERVICE_HOST`, `LEADSMAN_PORT_8080_TCP_ADDR`
/// and the like for a Service called `leadsman`, and likewise for one called `leadsman-kafka`.
fn is_service_link(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_port = name.match_indices("_PORT").any(|(at, found)| {
        let mut parts = name[at + found.len()..].split('_');
        let is_whole = parts.next() == Some("");
        let (number, protocol, rest) = (parts.next(), parts.next(), parts.next());
        let is_protocol = matches!(protocol, Some("TCP" | "UDP" | "SCTP"));
        let is_rest = matches!(rest, None | Some("PROTO" | "PORT" | "ADDR")) && parts.next().is_none();
        is_whole && (number.is_none() || (number.is_some_and(is_number) && is_protocol && is_rest))
    });
    // Ports of a Service may have any name: LEADSMAN_SERVICE_PORT_HTTP.
    !name.contains("__") && (is_port || name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT"))
}

// === impl Read ===

impl Read {
    /// Takes up a known key whose value is given as bare text.
    fn text(&mut self, key: String, text: &str, origin: Origin) {
        let Some(kind) = keys::kind(&key) else { return };
        match value(kind, text) {
            Some(value) => self.settings.push(Setting { key, value, origin, excerpt: None }),
            None => {
                let fault = Fault::WrongType { key, expected: kind.expected(), found: quoted(text) };
                self.problems.push(Problem { fault, origin, excerpt: None });
            }
        }
    }
}

fn value(kind: Kind, text: &str) -> Option<Value> {
    match kind {
        Kind::Text => Some(Value::Text(text.to_owned())),
        Kind::Bool => text.trim().parse().ok().map(Value::Bool),
        Kind::Whole => text.trim().parse().ok().map(Value::Whole),
        Kind::Number => text.trim().parse().ok().map(Value::Number),
        Kind::List => list(text.trim()).map(Value::List),
    }
}

/// `a,b`, or as in TOML for entries that hold a comma.
fn list(text: &str) -> Option<Vec<String>> {
    if text.starts_with('[') {
        return DeValue::parse(text).ok().and_then(|value| file::strings(value.get_ref()));
    }
    let entries = text.split(',').map(|entry| entry.trim().to_owned());
    Some(if text.is_empty() { Vec::new() } else { entries.collect() })
}
