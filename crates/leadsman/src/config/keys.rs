use std::path::PathBuf;
use std::time::Duration;

use super::check::{self, Decoy};
use super::invalid::Invalid;
use super::values::{Config, KafkaSettings};

/// The one section whose keys are not ours: they are librdkafka's.
pub(super) const PROPERTIES: &str = "kafka.properties";

/// Every section, in the order of the shipped file; the first is none.
pub(super) const SECTIONS: [Option<&str>; 12] = [
    None,
    Some("server"),
    Some("cluster"),
    Some("detect"),
    Some("detect.decoys"),
    Some("sources"),
    Some("kafka"),
    Some(PROPERTIES),
    Some("store"),
    Some("state"),
    Some("lake"),
    Some("log"),
];

/// A value as a layer gives it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Bool(bool),
    Whole(i64),
    Number(f64),
    List(Vec<String>),
}

/// The type of a key's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Bool,
    Whole,
    Number,
    List,
}

/// A configuration that is being built up, layer by layer.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) config: Config,
    /// Kept apart until it is known whether there are brokers.
    pub(super) kafka: KafkaSettings,
}

type Checked = Result<(), Invalid>;

/// Checks a value of one type and puts it in its place.
enum Setter {
    Text(fn(&mut Draft, &str) -> Checked),
    Bool(fn(&mut Draft, bool)),
    Whole(fn(&mut Draft, i64) -> Checked),
    Number(fn(&mut Draft, f64) -> Checked),
    List(fn(&mut Draft, &[String]) -> Checked),
}

const DAY: u64 = 24 * 60 * 60;

/// Every key, in the order of the shipped file.
const KEYS: [(&str, Setter); 44] = [
    ("data_dir", Setter::Text(|d, v| put(&mut d.config.data_dir, check::filled(v).map(PathBuf::from)))),
    ("server.listen", Setter::Text(|d, v| put(&mut d.config.server.listen, check::address(v)))),
    ("server.auth", Setter::Text(|d, v| put(&mut d.config.server.auth, check::choice(v)))),
    ("server.token_file", Setter::Text(|d, v| put(&mut d.config.server.token_file, Ok(filled(v).map(PathBuf::from))))),
    ("server.allowed_hosts", Setter::List(|d, v| put(&mut d.config.server.allowed_hosts, check::hosts(v)))),
    ("server.max_body_mib", Setter::Whole(|d, v| put(&mut d.config.server.max_body, check::mebibytes(v, 1024)))),
    ("cluster.name", Setter::Text(|d, v| put(&mut d.config.cluster.name, check::cluster_name(v)))),
    ("cluster.ci", Setter::List(|d, v| put(&mut d.config.cluster.rules.ci, check::users(v)))),
    ("cluster.controllers", Setter::List(|d, v| put(&mut d.config.cluster.rules.controllers, check::users(v)))),
    ("detect.model", Setter::Text(|d, v| put(&mut d.config.detect.model, Ok(filled(v).map(str::to_owned))))),
    (
        "detect.budget_per_day",
        Setter::Number(|d, v| {
            put(&mut d.config.detect.budget_per_day, check::number(v, 0.001, 1000.0, "incidents per day"))
        }),
    ),
    (
        "detect.window_minutes",
        Setter::Whole(|d, v| {
            let minutes = check::whole(v, 60, "minutes").map(|minutes| Duration::from_secs(minutes * 60));
            put(&mut d.config.detect.window, minutes)
        }),
    ),
    ("detect.rules", Setter::List(|d, v| put(&mut d.config.detect.rules, check::files(v)))),
    (
        "detect.decoys.secrets",
        Setter::List(|d, v| put(&mut d.config.detect.decoys.secrets, check::decoys(v, Decoy::Object))),
    ),
    (
        "detect.decoys.service_accounts",
        Setter::List(|d, v| put(&mut d.config.detect.decoys.service_accounts, check::decoys(v, Decoy::Object))),
    ),
    (
        "detect.decoys.namespaces",
        Setter::List(|d, v| put(&mut d.config.detect.decoys.namespaces, check::decoys(v, Decoy::Namespace))),
    ),
    ("detect.decoys.except", Setter::List(|d, v| put(&mut d.config.detect.decoys.except, check::exceptions(v)))),
    ("sources.webhook", Setter::Bool(|d, v| d.config.sources.webhook = v)),
    ("sources.files", Setter::List(|d, v| put(&mut d.config.sources.files, check::files(v)))),
    (
        "sources.idle_after_seconds",
        Setter::Whole(|d, v| {
            put(&mut d.config.sources.idle_after, check::whole(v, DAY, "seconds").map(Duration::from_secs))
        }),
    ),
    ("kafka.bootstrap_servers", Setter::Text(|d, v| put(&mut d.kafka.bootstrap_servers, check::brokers(v)))),
    ("kafka.group_id", Setter::Text(|d, v| put(&mut d.kafka.group_id, check::filled(v).map(str::to_owned)))),
    ("kafka.audit_topics", Setter::List(|d, v| put(&mut d.kafka.audit_topics, check::topics(v)))),
    ("kafka.metrics_topics", Setter::List(|d, v| put(&mut d.kafka.metrics_topics, check::topics(v)))),
    ("kafka.rekey", Setter::Bool(|d, v| d.kafka.rekey = v)),
    ("kafka.events_topic", Setter::Text(|d, v| put(&mut d.kafka.events_topic, check::topic(v)))),
    ("kafka.findings_topic", Setter::Text(|d, v| put(&mut d.kafka.findings_topic, check::topic(v)))),
    ("kafka.batch_records", Setter::Whole(|d, v| put(&mut d.kafka.batch_records, check::whole(v, 100_000, "records")))),
    (
        "kafka.leave_after_seconds",
        Setter::Whole(|d, v| put(&mut d.kafka.leave_after, check::whole(v, DAY, "seconds").map(Duration::from_secs))),
    ),
    ("kafka.exactly_once", Setter::Bool(|d, v| d.kafka.exactly_once = v)),
    ("store.url", Setter::Text(|d, v| put(&mut d.config.store.postgres, check::database(v)))),
    (
        "store.password_file",
        Setter::Text(|d, v| put(&mut d.config.store.password_file, Ok(filled(v).map(PathBuf::from)))),
    ),
    ("store.ca_file", Setter::Text(|d, v| put(&mut d.config.store.ca_file, Ok(filled(v).map(PathBuf::from))))),
    ("store.keep_findings_days", Setter::Whole(|d, v| put(&mut d.config.store.keep.findings, check::days(v)))),
    ("store.keep_dead_letters_days", Setter::Whole(|d, v| put(&mut d.config.store.keep.dead_letters, check::days(v)))),
    (
        "state.snapshot_every_seconds",
        Setter::Whole(|d, v| {
            put(&mut d.config.state.snapshot_every, check::whole(v, DAY, "seconds").map(Duration::from_secs))
        }),
    ),
    (
        "state.snapshot_every_events",
        Setter::Whole(|d, v| put(&mut d.config.state.snapshot_every_events, check::whole(v, 1_000_000_000, "events"))),
    ),
    ("lake.url", Setter::Text(|d, v| put(&mut d.config.lake.url, check::lake(v)))),
    ("lake.endpoint", Setter::Text(|d, v| put(&mut d.config.lake.access.endpoint, check::endpoint(v)))),
    ("lake.region", Setter::Text(|d, v| put(&mut d.config.lake.access.region, Ok(filled(v).map(str::to_owned))))),
    ("lake.allow_http", Setter::Bool(|d, v| d.config.lake.access.allow_http = v)),
    ("lake.keep_days", Setter::Whole(|d, v| put(&mut d.config.lake.keep_days, check::days_or_none(v)))),
    ("log.level", Setter::Text(|d, v| put(&mut d.config.log.level, check::choice(v)))),
    ("log.format", Setter::Text(|d, v| put(&mut d.config.log.format, check::choice(v)))),
];

/// Names of all keys, in the order of the shipped file.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|(name, _)| *name)
}

/// Section, if it is in one, and last part of a key. What follows `kafka.properties` is one part.
pub(super) fn split(key: &str) -> (Option<&str>, &str) {
    match property(key) {
        Some(property) => (Some(PROPERTIES), property),
        None => key.rsplit_once('.').map_or((None, key), |(section, name)| (Some(section), name)),
    }
}

/// The name of the librdkafka setting that a key stands for.
pub(super) fn property(key: &str) -> Option<&str> {
    key.strip_prefix(PROPERTIES)?.strip_prefix('.')
}

/// The type of a key's value; `None` if there is no such key.
pub(super) fn kind(key: &str) -> Option<Kind> {
    if property(key).is_some() {
        return Some(Kind::Text);
    }
    setter(key).map(|setter| match setter {
        Setter::Text(_) => Kind::Text,
        Setter::Bool(_) => Kind::Bool,
        Setter::Whole(_) => Kind::Whole,
        Setter::Number(_) => Kind::Number,
        Setter::List(_) => Kind::List,
    })
}

fn setter(key: &str) -> Option<&'static Setter> {
    KEYS.iter().find(|(name, _)| *name == key).map(|(_, setter)| setter)
}

fn filled(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn put<T>(place: &mut T, value: Result<T, Invalid>) -> Checked {
    *place = value?;
    Ok(())
}

// === impl Kind ===

impl Kind {
    /// The type in a message, with article.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Bool => "true or false",
            Self::Whole => "a whole number",
            Self::Number => "a number",
            Self::List => "a list of strings",
        }
    }
}

// === impl Draft ===

impl Draft {
    pub(super) fn new() -> Self {
        Self { config: Config::default(), kafka: KafkaSettings::without_brokers() }
    }

    /// Checks and sets a value of the key's kind, as [`kind`] tells it.
    pub(super) fn set(&mut self, key: &str, value: &Value) -> Checked {
        if let (Some(property), Value::Text(text)) = (property(key), value) {
            check::property(property)?;
            self.kafka.properties.insert(property.to_owned(), text.clone());
            return Ok(());
        }
        match (setter(key), value) {
            (Some(Setter::Text(set)), Value::Text(text)) => set(self, text),
            (Some(Setter::Whole(set)), Value::Whole(number)) => set(self, *number),
            (Some(Setter::Number(set)), Value::Number(number)) => set(self, *number),
            (Some(Setter::List(set)), Value::List(list)) => set(self, list),
            (Some(Setter::Bool(set)), Value::Bool(flag)) => {
                set(self, *flag);
                Ok(())
            }
            // Readers of layers hand on known keys with values of their kind only.
            (None | Some(_), _) => Ok(()),
        }
    }

    /// The configuration, with Kafka if there are brokers.
    pub(super) fn finish(self) -> Config {
        let kafka = Some(self.kafka).filter(|kafka| !kafka.bootstrap_servers.is_empty());
        Config { kafka, ..self.config }
    }
}
