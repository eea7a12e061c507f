use leadsman_domain::{ErrorKind, SourceError};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};

/// Why the source or the sink could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// A setting that the delivery guarantees rest on, or that has its own key.
    #[error("the kafka setting `{setting}` cannot be changed here: remove it")]
    ReservedSetting {
        /// The setting.
        setting: String,
    },
    /// librdkafka refuses a setting.
    #[error("kafka client setting refused: {detail}: correct or remove it")]
    InvalidSetting {
        /// What is wrong; values of secret settings are left out.
        detail: String,
    },
    /// A topic to read does not exist.
    #[error(
        "kafka topic `{topic}` does not exist: create it, for example with `kafka-topics.sh --bootstrap-server {servers} --create --topic {topic} --partitions 6`"
    )]
    MissingTopic {
        /// The topic.
        topic: String,
        /// The brokers that were asked.
        servers: String,
    },
    /// The brokers are out of reach or refuse us.
    #[error("kafka at {servers} is unavailable: {detail}: check the address, the credentials and that a broker runs")]
    Unavailable {
        /// The brokers.
        servers: String,
        /// What happened.
        detail: String,
    },
    /// A step of a transaction failed; the next attempt begins with finding out what became of it.
    #[error("kafka transaction not committed: {detail}")]
    Transaction {
        /// librdkafka's code.
        code: Option<RDKafkaErrorCode>,
        /// What happened.
        detail: String,
    },
    /// A partition cannot be read from where it should start.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The reader thread could not be started.
    #[error("cannot start the kafka reader thread: {0}: raise the limit on threads")]
    Thread(#[from] std::io::Error),
}

impl KafkaError {
    /// Whose fault it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::ReservedSetting { .. } | Self::InvalidSetting { .. } => ErrorKind::InvalidInput,
            Self::MissingTopic { .. } => ErrorKind::NotFound,
            Self::Unavailable { .. } | Self::Transaction { .. } | Self::Thread(_) => ErrorKind::Unavailable,
            Self::Source(error) => error.kind(),
        }
    }

    /// From librdkafka's error on creating a client.
    pub(crate) fn creation(servers: &str, error: &ClientError) -> Self {
        match error {
            // The text may quote the value, and the value may be a password.
            ClientError::ClientConfig(_, detail, key, _) if !is_secret(key) => {
                Self::InvalidSetting { detail: detail.clone() }
            }
            ClientError::ClientConfig(_, _, key, _) => Self::InvalidSetting { detail: format!("value of `{key}`") },
            ClientError::ClientCreation(detail) => Self::InvalidSetting { detail: detail.clone() },
            other => Self::Unavailable { servers: servers.to_owned(), detail: other.to_string() },
        }
    }

    /// From librdkafka's error on a step of a transaction.
    #[expect(clippy::needless_pass_by_value, reason = "the form that `map_err` takes")]
    pub(crate) fn transaction(error: ClientError) -> Self {
        let code = match &error {
            ClientError::Transaction(error) => Some(error.code()),
            other => other.rdkafka_error_code(),
        };
        Self::Transaction { code, detail: error.to_string() }
    }

    /// From librdkafka's error on asking the brokers.
    pub(crate) fn unavailable(servers: &str, error: &ClientError) -> Self {
        Self::Unavailable { servers: servers.to_owned(), detail: error.to_string() }
    }
}

fn is_secret(key: &str) -> bool {
    ["password", "secret", "pem", "jaas", "oauthbearer"].iter().any(|part| key.contains(part))
}
