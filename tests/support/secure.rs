//! A broker with TLS, client certificates, passwords and access control lists.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::Result;
use super::broker::{Broker, Extras};
use super::certificates::{Authority, Identity, LONG};

/// Anonymous clients, which are those of the plain and the TLS listener, may do everything; users of the others only
/// what they are allowed.
const SETTINGS: &str = "
ssl.keystore.type=PEM
ssl.keystore.location=broker.pem
ssl.truststore.type=PEM
ssl.truststore.location=ca.pem
listener.name.mtls.ssl.client.auth=required
ssl.principal.mapping.rules=RULE:^CN=([^,]+).*$/$1/,DEFAULT
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
early.start.listeners=CONTROLLER
";

/// The user that tests log in as, by password or certificate.
pub(crate) const USER: &str = "leadsman";
/// Its password, which must appear in no log.
pub(crate) const PASSWORD: &str = "correct-horse-battery";

/// A running broker with four listeners. Dropping it stops the process and removes its data.
pub(crate) struct SecureBroker {
    /// The broker, reached by tests over its plain listener.
    pub(crate) broker: Broker,
    /// Signed the broker's certificate, and signs those of clients.
    pub(crate) authority: Authority,
    directory: TempDir,
}

/// How a client reaches the broker: its address and the settings of librdkafka.
pub(crate) struct Access {
    pub(crate) bootstrap: String,
    pub(crate) settings: Vec<(String, String)>,
}

impl SecureBroker {
    /// Starts a broker whose certificate holds for an hour.
    pub(crate) fn start() -> Result<Self> {
        let authority = Authority::new("Test authority")?;
        let identity = authority.sign("broker", LONG)?;
        Self::start_as(authority, &identity)
    }

    /// Starts a broker with a certificate of the caller's making.
    pub(crate) fn start_as(authority: Authority, identity: &Identity) -> Result<Self> {
        let broker = Broker::start_with(&Extras {
            listeners: &["TLS", "MTLS", "SASL"],
            settings: SETTINGS.to_owned(),
            files: vec![("broker.pem", key_store(identity)), ("ca.pem", authority.certificate())],
            users: vec![(USER.to_owned(), PASSWORD.to_owned())],
            ..Extras::default()
        })?;
        let directory = tempfile::tempdir()?;
        fs::write(directory.path().join("ca.pem"), authority.certificate())?;
        Ok(Self { broker, authority, directory })
    }

    /// Over TLS, without a login.
    pub(crate) fn tls(&self) -> Access {
        self.access(0, &[("security.protocol", "ssl")])
    }

    /// With a client certificate.
    pub(crate) fn mtls(&self, identity: &Identity) -> Result<Access> {
        let mut access = self.access(1, &[("security.protocol", "ssl")]);
        for (setting, name, text) in [
            ("ssl.certificate.location", "client.pem", &identity.certificate),
            ("ssl.key.location", "client.key", &identity.key),
        ] {
            access.settings.push((setting.to_owned(), self.write(name, text)?.display().to_string()));
        }
        Ok(access)
    }

    /// With a password, over TLS.
    pub(crate) fn scram(&self, password: &str) -> Access {
        self.access(
            2,
            &[
                ("security.protocol", "sasl_ssl"),
                ("sasl.mechanism", "SCRAM-SHA-512"),
                ("sasl.username", USER),
                ("sasl.password", password),
            ],
        )
    }

    fn access(&self, listener: usize, settings: &[(&str, &str)]) -> Access {
        let ca = self.directory.path().join("ca.pem").display().to_string();
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Access {
            bootstrap: self.broker.further()[listener].clone(),
            settings: settings.chain([("ssl.ca.location".to_owned(), ca)]).collect(),
        }
    }

    /// Writes a file of a client, over an older one of the name.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.directory.path().join(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Allows the user, for example, `["--operation", "Read", "--topic", "audit"]`.
    pub(crate) fn allow(&self, what: &[&str]) -> Result<()> {
        self.acl("--add", "--allow-principal", what)
    }

    /// Takes back what [`SecureBroker::allow`] gave.
    pub(crate) fn take_back(&self, what: &[&str]) -> Result<()> {
        let user = format!("User:{USER}");
        let arguments = [&["--remove", "--force", "--allow-principal", &user], what].concat();
        self.broker.tool(ACLS, &arguments).map(drop)
    }

    fn acl(&self, action: &str, effect: &str, what: &[&str]) -> Result<()> {
        let user = format!("User:{USER}");
        self.broker.tool(ACLS, &[&[action, effect, &user], what].concat()).map(drop)
    }

    /// Gives the user another password.
    pub(crate) fn set_password(&self, password: &str) -> Result<()> {
        let config = format!("SCRAM-SHA-512=[password={password}]");
        let arguments = ["--alter", "--entity-type", "users", "--entity-name", USER, "--add-config", &config];
        self.broker.tool("kafka.admin.ConfigCommand", &arguments).map(drop)
    }
}

const ACLS: &str = "org.apache.kafka.tools.AclCommand";

/// What Kafka reads as a PEM key store.
fn key_store(identity: &Identity) -> String {
    format!("{}{}", identity.key, identity.certificate)
}
