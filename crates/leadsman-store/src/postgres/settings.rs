use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use super::tls::{self, Wish};

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
    wish: Wish,
    authority: Option<Vec<u8>>,
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
    /// Encryption that does not tell who the server is, or no such mode.
    #[error("has an sslmode other than disable and verify-full: the others accept any server that answers")]
    SslMode,
    /// Encryption is wanted, or needed, and nothing tells who the server is.
    #[error(
        "is on another host, or asks for verify-full: set `store.ca_file` to the certificate of the server's authority, or add ?sslmode=disable where everybody on the network may read and change findings"
    )]
    NoAuthority,
    /// A file without certificates.
    #[error("cannot be verified by `store.ca_file`: {detail}")]
    Authority {
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
    /// tokio-postgres, except `sslmode`, which is `disable` or `verify-full`.
    pub fn parse(address: &str) -> Result<Self, PostgresError> {
        if !["postgres://", "postgresql://"].iter().any(|scheme| address.starts_with(scheme)) {
            return Err(PostgresError::Scheme);
        }
        let (address, wish) = tls::wish(address)?;
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
        Ok(Self { config: Box::new(config), wish, authority: None })
    }

    /// The same with a password that goes before that of the address.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        self.config.password(password);
        self
    }

    /// The same with the certificates, as PEM, of those who may vouch for the server.
    ///
    /// Errors: `Authority` when there are none.
    pub fn with_authority(self, pem: Vec<u8>) -> Result<Self, PostgresError> {
        tls::connector(&pem)?;
        Ok(Self { authority: Some(pem), ..self })
    }

    /// Where to connect to, and whom to trust; without a connector the connection is not encrypted.
    ///
    /// Errors: `NoAuthority`.
    pub(super) fn connection(&self) -> Result<(Config, Option<tls::Connector>), PostgresError> {
        let mut config = (*self.config).clone();
        let connector = match (&self.authority, self.wish) {
            (_, Wish::Disable) => None,
            (Some(pem), Wish::VerifyFull | Wish::Unsaid) => Some(tls::connector(pem)?),
            (None, Wish::Unsaid) if is_here(&config) => None,
            (None, Wish::VerifyFull | Wish::Unsaid) => return Err(PostgresError::NoAuthority),
        };
        config.ssl_mode(if connector.is_some() { SslMode::Require } else { SslMode::Disable });
        Ok((config, connector))
    }
}

/// Whether packets stay on this machine: by name, and by `hostaddr`, which goes before the name.
fn is_here(config: &Config) -> bool {
    let named = |host: &Host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()),
        Host::Unix(_) => true,
    };
    config.get_hosts().iter().all(named) && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
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
