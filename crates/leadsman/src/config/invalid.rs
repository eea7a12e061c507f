use leadsman_store::PostgresError;

/// Why a value of the right type cannot be. Continues a sentence that opens with the key.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Invalid {
    /// Nothing, where something is needed.
    #[error("must not be empty")]
    Empty,
    /// A number outside its range.
    #[error("must be from {least} to {most} {unit}, not {found}")]
    OutOfRange {
        /// Smallest value.
        least: f64,
        /// Largest value.
        most: f64,
        /// What is counted.
        unit: &'static str,
        /// The value.
        found: f64,
    },
    /// A whole number outside its range.
    #[error("must be from 1 to {most} {unit}, not {found}")]
    WholeOutOfRange {
        /// Largest value.
        most: u64,
        /// What is counted.
        unit: &'static str,
        /// The value.
        found: i64,
    },
    /// A word outside its closed set.
    #[error("must be {}, not {found}", either(.words))]
    NotOneOf {
        /// The words.
        words: Vec<&'static str>,
        /// The value, quoted.
        found: String,
    },
    /// Not `address:port`.
    #[error("must be an IP address and a port such as 127.0.0.1:8080 or [::1]:8080, not {found}")]
    NotAnAddress {
        /// The value, quoted.
        found: String,
    },
    /// Not a name of a cluster.
    #[error(
        "must be 1 to 63 lower-case letters, digits, dots and hyphens and start with a letter or digit, not {found}"
    )]
    NotAClusterName {
        /// The value, quoted.
        found: String,
    },
    /// Not a Kafka topic.
    #[error("must be a Kafka topic, 1 to 249 letters, digits, dots, underscores and hyphens, not {found}")]
    NotATopic {
        /// The value, quoted.
        found: String,
    },
    /// Not a list of brokers.
    #[error("must be brokers as host:port separated by commas, but has {found}")]
    NotABroker {
        /// The entry, quoted.
        found: String,
    },
    /// An entry of a list is empty.
    #[error("has an empty entry: remove it")]
    EmptyEntry,
    /// A star that would be taken literally.
    #[error("has {found}: `*` may stand only at the end")]
    StarInside {
        /// The entry, quoted.
        found: String,
    },
    /// A star alone.
    #[error("has \"*\", which matches everybody: put the start of the user names before it")]
    MatchesEverybody,
    /// Not a bare host name.
    #[error("has {found}: give the host name alone, without scheme, port and path")]
    NotAHost {
        /// The entry, quoted.
        found: String,
    },
    /// Not what a decoy is called.
    #[error("has {found}: write {wanted}, of lower-case letters, digits, dots and hyphens")]
    NotADecoy {
        /// The entry, quoted.
        found: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// Not a user name.
    #[error("has {found}: give a user name of at most 253 characters, without ?, \\ and control characters")]
    NotAUser {
        /// The entry, quoted.
        found: String,
    },
    /// Not where a lake can be.
    #[error("must be a folder or s3://bucket/prefix, not {found}")]
    NotALake {
        /// The value, quoted.
        found: String,
    },
    /// Not the URL of a server.
    #[error("must be a URL such as https://minio.example.com:9000, without a user in it, not {found}")]
    NotAnEndpoint {
        /// The value, quoted.
        found: String,
    },
    /// Not the name of a librdkafka setting.
    #[error("is not a name of librdkafka's: letters, digits, dots, underscores and hyphens only")]
    NotAProperty,
    /// Not the address of a PostgreSQL database. Does not repeat it: it may hold a password.
    #[error(transparent)]
    Database(PostgresError),
    /// A librdkafka setting that is set elsewhere.
    #[error("has its own key: set `{instead}`")]
    HasOwnKey {
        /// The key.
        instead: &'static str,
    },
}

/// `"a", "b" or "c"`.
fn either(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// A value as it is shown in a message: quoted, escaped and capped.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{:?}...", &text[..cut]),
        None => format!("{text:?}"),
    }
}
