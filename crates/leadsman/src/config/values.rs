use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use leadsman_detect::rules::Decoys;
use leadsman_domain::ActorRules;
use leadsman_store::{PostgresSettings, StoreSettings};

use crate::service::retention::RetentionPolicy;

/// Name of the SQLite file in the data folder.
pub const STORE_FILE: &str = "leadsman.db";

use crate::lake::Access;

/// The checked configuration. Its default is what the shipped `leadsman.toml` says.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Folder of everything that Leadsman keeps.
    pub data_dir: PathBuf,
    /// API and UI.
    pub server: ServerConfig,
    /// The watched cluster.
    pub cluster: ClusterConfig,
    /// Scoring.
    pub detect: DetectConfig,
    /// Sources other than Kafka.
    pub sources: SourcesConfig,
    /// Kafka, if it is used.
    pub kafka: Option<KafkaSettings>,
    /// Where findings are kept.
    pub store: StoreConfig,
    /// Snapshots of the detector's state.
    pub state: StateConfig,
    /// The lake.
    pub lake: LakeConfig,
    /// Logging.
    pub log: LogConfig,
}

/// API and UI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Address and port to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How clients prove who they are. [`Auth::None`] only ever comes with a loopback address.
    pub auth: Auth,
    /// File with the bearer token. `None` means `token` in the data folder.
    pub token_file: Option<PathBuf>,
    /// Host names, without port, that a server without login answers to besides loopback.
    pub allowed_hosts: Vec<String>,
    /// Largest request body in bytes.
    pub max_body: usize,
}

/// The watched cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterConfig {
    /// Its name in findings and reports.
    pub name: String,
    /// Who is CI, who is a controller.
    pub rules: ActorRules,
}

/// Scoring.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectConfig {
    /// Registry name, with alias or version if given, or a model folder. `None` means the champion of `default`.
    pub model: Option<String>,
    /// Incidents per day, 0.001 to 1000.
    pub budget_per_day: f64,
    /// Length of a scoring window: whole minutes, 1 to 60.
    pub window: Duration,
    /// Files of rules beside the built-in ones. Loading has compiled them.
    pub rules: Vec<PathBuf>,
    /// What nobody has a reason to touch.
    pub decoys: Decoys,
}

/// Sources other than Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcesConfig {
    /// Whether telemetry may be posted to the server.
    pub webhook: bool,
    /// Audit logs to follow.
    pub files: Vec<PathBuf>,
    /// How long nothing may arrive before a source counts as idle and its open windows are closed.
    pub idle_after: Duration,
}

/// Kafka.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaSettings {
    /// `host:port`, separated by commas; not empty.
    pub bootstrap_servers: String,
    /// Consumer group.
    pub group_id: String,
    /// Topics of audit events and of other telemetry in JSON.
    pub audit_topics: Vec<Topic>,
    /// Topics of metrics.
    pub metrics_topics: Vec<Topic>,
    /// Whether input topics are re-keyed before they are scored.
    pub rekey: bool,
    /// Topic of re-keyed items.
    pub events_topic: String,
    /// Topic of findings.
    pub findings_topic: String,
    /// Most records that are scored and stored together.
    pub batch_records: u64,
    /// After how long without an answer of a store that others share a worker leaves its groups.
    pub leave_after: Duration,
    /// Whether findings are written in transactions.
    pub exactly_once: bool,
    /// Further settings of librdkafka.
    pub properties: BTreeMap<String, String>,
}

/// Where findings are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// The PostgreSQL database; `None` means a SQLite file in the data folder.
    pub postgres: Option<PostgresSettings>,
    /// File with the password of the database's user.
    pub password_file: Option<PathBuf>,
    /// File with the certificates of those who may vouch for the server.
    pub ca_file: Option<PathBuf>,
    /// How long findings and dead letters are kept.
    pub keep: RetentionPolicy,
}

/// A topic to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// The cluster that writes it; `None` means the configured one. What a record claims is not asked.
    pub cluster: Option<String>,
}

/// Snapshots of the detector's state, written at whichever limit comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateConfig {
    /// Time between two snapshots.
    pub snapshot_every: Duration,
    /// Events between two snapshots.
    pub snapshot_every_events: u64,
}

/// The lake.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LakeConfig {
    /// A directory, or `s3://bucket/prefix`. `None` keeps no lake.
    pub url: Option<String>,
    /// How a bucket is reached, this one or one that a command names.
    pub access: Access,
    /// Days after which events are removed; `None` keeps them.
    pub keep_days: Option<u32>,
}

/// Logging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    /// Least severe level that is logged.
    pub level: LogLevel,
    /// Form of a line.
    pub format: LogFormat,
}

/// A closed set of words in the configuration.
pub(super) trait Choice: Copy + 'static {
    /// Every member with its word.
    const WORDS: &'static [(&'static str, Self)];
}

/// Declares an enum whose variants are words in the configuration.
macro_rules! choice {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// The word in the configuration.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl Choice for $name {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$variant),)+];
        }
    };
}

choice! {
    /// How clients prove who they are.
    Auth {
        /// By a bearer token.
        Token = "token",
        /// Not at all.
        None = "none",
    }
}

choice! {
    /// Severity of a log line, from what must be acted on to what only a developer reads.
    LogLevel {
        /// Data lost, or somebody must act.
        Error = "error",
        /// Unexpected, but recovered.
        Warn = "warn",
        /// Expected changes of state.
        Info = "info",
        /// First diagnosis.
        Debug = "debug",
        /// Detail of algorithms.
        Trace = "trace",
    }
}

choice! {
    /// Form of a log line.
    LogFormat {
        /// For people.
        Text = "text",
        /// For log collectors: one JSON object per line.
        Json = "json",
    }
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("leadsman-data"),
            server: ServerConfig {
                listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
                auth: Auth::Token,
                token_file: None,
                allowed_hosts: Vec::new(),
                max_body: 64 * 1024 * 1024,
            },
            cluster: ClusterConfig { name: "default".to_owned(), rules: ActorRules::default() },
            detect: DetectConfig {
                model: None,
                budget_per_day: 5.0,
                window: Duration::from_secs(5 * 60),
                rules: Vec::new(),
                decoys: Decoys::default(),
            },
            sources: SourcesConfig { webhook: true, files: Vec::new(), idle_after: Duration::from_secs(600) },
            kafka: None,
            store: StoreConfig::default(),
            state: StateConfig { snapshot_every: Duration::from_secs(30), snapshot_every_events: 200_000 },
            lake: LakeConfig::default(),
            log: LogConfig { level: LogLevel::Info, format: LogFormat::Text },
        }
    }
}

// === impl StoreConfig ===

impl Default for StoreConfig {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
        let keep = RetentionPolicy { findings: days(400), dead_letters: days(7) };
        Self { postgres: None, password_file: None, ca_file: None, keep }
    }
}

impl StoreConfig {
    /// Where the store is, with its password and whom to trust.
    ///
    /// Errors: when a file cannot be read, or the authority's holds no certificate.
    pub fn settings(&self, data_dir: &Path) -> Result<StoreSettings> {
        let Some(postgres) = &self.postgres else { return Ok(StoreSettings::Sqlite(data_dir.join(STORE_FILE))) };
        let mut postgres = postgres.clone();
        if let Some(file) = &self.password_file {
            let password = std::fs::read_to_string(file)
                .with_context(|| format!("cannot read `store.password_file`, {}", file.display()))?;
            // Editors and secrets of Kubernetes put a line end behind it.
            postgres = postgres.with_password(password.trim_end_matches(['\r', '\n']));
        }
        if let Some(file) = &self.ca_file {
            let pem =
                std::fs::read(file).with_context(|| format!("cannot read `store.ca_file`, {}", file.display()))?;
            postgres = postgres.with_authority(pem).with_context(|| file.display().to_string())?;
        }
        Ok(StoreSettings::Postgres(postgres))
    }
}

// === impl KafkaSettings ===

impl KafkaSettings {
    /// The defaults, to which the brokers are still missing.
    pub(super) fn without_brokers() -> Self {
        Self {
            bootstrap_servers: String::new(),
            group_id: "leadsman".to_owned(),
            audit_topics: vec![Topic { name: "leadsman.audit".to_owned(), cluster: None }],
            metrics_topics: vec![Topic { name: "leadsman.metrics".to_owned(), cluster: None }],
            rekey: false,
            events_topic: "leadsman.events".to_owned(),
            findings_topic: "leadsman.findings".to_owned(),
            batch_records: 2_000,
            leave_after: Duration::from_secs(60),
            exactly_once: false,
            properties: BTreeMap::new(),
        }
    }
}

/// Shows the names of the further settings only: their values may be passwords and keys.
impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSettings")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("group_id", &self.group_id)
            .field("audit_topics", &self.audit_topics)
            .field("metrics_topics", &self.metrics_topics)
            .field("rekey", &self.rekey)
            .field("events_topic", &self.events_topic)
            .field("findings_topic", &self.findings_topic)
            .field("batch_records", &self.batch_records)
            .field("leave_after", &self.leave_after)
            .field("exactly_once", &self.exactly_once)
            .field("properties", &self.properties.keys())
            .finish()
    }
}
