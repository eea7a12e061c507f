use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

/// A server that does not answer a new connection for so long is taken to be away.
const CONNECT: Duration = Duration::from_secs(10);
/// What was sent and is not acknowledged for so long ends the connection.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);

/// What each session asks of the server; what the URL's `options` say comes after and wins.
///
/// - A transaction whose owner stands still (a stopped process, a broken network) gives its locks up before others stop
///   waiting for them: its successor waits for the row of the checkpoint, everybody for the counter.
/// - The checkpoint's row is locked first, so read committed suffices.
const SESSION: &str = "-c idle_in_transaction_session_timeout=10s -c lock_timeout=20s -c statement_timeout=30s \
     -c default_transaction_isolation=read\\ committed";

/// Where a PostgreSQL database is, and who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresSettings {
    config: Box<Config>,
}

/// Why a database's address cannot be used. Never repeats the address: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostgresError {
    /// Another scheme.
    #[error("must start with postgres://, as in postgres://leadsman@db.example/leadsman")]
    Scheme,
    /// Not an address.
    #[error("is not an address such as postgres://leadsman@db.example/leadsman: {detail}")]
    Malformed {
        /// What is wrong with it.
        detail: String,
    },
    /// No user, host or database.
    #[error("names no {what}, as in postgres://leadsman@db.example/leadsman")]
    Missing {
        /// `user`, `host` or `database`.
        what: &'static str,
    },
}

impl PostgresSettings {
    /// Reads `postgres://user[:password]@host[:port]/database[?options]`.
    ///
    /// Several hosts may be named, separated by commas: the one that takes writes is used. Options are those of
    /// tokio-postgres.
    pub fn parse(address: &str) -> Result<Self, PostgresError> {
        if !["postgres://", "postgresql://"].iter().any(|scheme| address.starts_with(scheme)) {
            return Err(PostgresError::Scheme);
        }
        let mut config: Config = address.parse().map_err(malformed)?;
        let missing = [
            ("user", config.get_user().is_none()),
            ("host", config.get_hosts().is_empty()),
            ("database", config.get_dbname().is_none_or(str::is_empty)),
        ];
        if let Some((what, _)) = missing.iter().find(|(_, missing)| *missing) {
            return Err(PostgresError::Missing { what });
        }
        let options = config.get_options().unwrap_or_default();
        config.options(format!("{SESSION} {options}"));
        if config.get_application_name().is_none() {
            config.application_name("leadsman");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        config.tcp_user_timeout(UNACKNOWLEDGED);
        config
            .keepalives_idle(Duration::from_secs(30))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3);
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.ssl_mode(SslMode::Disable);
        Ok(Self { config: Box::new(config) })
    }

    /// The same with a password that goes before that of the address.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        self.config.password(password);
        self
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }
}

/// The cause only names the option or the part that is wrong.
#[expect(clippy::needless_pass_by_value, reason = "the form that `map_err` takes")]
fn malformed(error: tokio_postgres::Error) -> PostgresError {
    let detail = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
    PostgresError::Malformed { detail }
}

/// The address without its password and options.
impl fmt::Display for PostgresSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://{}@", self.config.get_user().unwrap_or_default())?;
        for (i, host) in self.config.get_hosts().iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            match host {
                Host::Tcp(name) if matches!(name.parse(), Ok(IpAddr::V6(_))) => write!(f, "[{name}]")?,
                Host::Tcp(name) => f.write_str(name)?,
                Host::Unix(directory) => write!(f, "{}", directory.display())?,
            }
            let ports = self.config.get_ports();
            if let Some(port) = ports.get(i).or_else(|| ports.first()) {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for PostgresSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresSettings({self})")
    }
}
