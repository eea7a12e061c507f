//! `leadsman serve` with TLS, client certificates, passwords and access control lists, and what it says when one of
//! them is wrong.

use std::time::Duration;

use tempfile::TempDir;

use crate::support::certificates::{Authority, LONG};
use crate::support::leadsman::Serve;
use crate::support::secure::{Access, PASSWORD, SecureBroker};
use crate::support::{Case, DEADLINE, Need, Result, free_port, wait_until};

pub(crate) const CASES: &[Case] = &[
    Case { name: "secure::reads_and_publishes_every_way_in", needs: &[Need::Broker], run: ways_in },
    Case { name: "secure::goes_on_once_the_password_is_right", needs: &[Need::Broker], run: password },
    Case { name: "secure::goes_on_once_the_rights_are_given", needs: &[Need::Broker], run: rights },
    Case { name: "secure::a_right_that_is_taken_back_ends_nothing", needs: &[Need::Broker], run: taken_back },
    Case { name: "secure::says_whom_it_does_not_trust", needs: &[Need::Broker], run: trust },
    Case { name: "secure::goes_on_with_a_renewed_certificate", needs: &[Need::Broker], run: renewal },
];

/// A service whose topics are `name.audit` and so on, with a decoy whose touch is a finding.
struct Service {
    serve: Serve,
    _directory: TempDir,
}

impl Service {
    fn launch(access: &Access, name: &str) -> Result<Self> {
        let directory = TempDir::new()?;
        let port = free_port()?;
        let base = format!("http://127.0.0.1:{port}");
        let listen = format!("127.0.0.1:{port}");
        let args = ["serve", "--listen", &listen, "--no-auth", "--model", "builtin:demo", "--kafka", &access.bootstrap];
        let serve = Serve::launch(&args, directory.path(), &borrowed(&variables(access, name)), (&base, None))?;
        Ok(Self { serve, _directory: directory })
    }

    /// Waits until the log says something.
    fn says(&mut self, part: &str) -> Result<()> {
        let process = &mut self.serve.process;
        let waited = wait_until(&format!("the log says `{part}`"), DEADLINE, || {
            if let Some(code) = process.exit_code()? {
                return Err(format!("leadsman ended with {code}").into());
            }
            Ok(process.stderr().contains(part).then_some(()))
        });
        waited.map_err(|e| format!("{}:\n{}", e.message().unwrap_or_default(), self.serve.process.stderr()).into())
    }

    /// Waits until so many events were read and, with `published`, a finding is in its topic.
    fn has_read(&mut self, events: f64, published: Option<(&SecureBroker, &str)>) -> Result<()> {
        let Serve { process, http } = &mut self.serve;
        let waited = wait_until("the events are read", DEADLINE, || {
            if let Some(code) = process.exit_code()? {
                return Err(format!("leadsman ended with {code}").into());
            }
            let Ok(metrics) = http.get("/metrics") else { return Ok(None) };
            let read: f64 = metrics
                .text
                .lines()
                .filter(|line| line.starts_with("leadsman_events_total"))
                .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
                .sum();
            if read < events {
                return Ok(None);
            }
            Ok(match published {
                Some((broker, name)) if broker.broker.records(&format!("{name}.findings"))?.is_empty() => None,
                _ => Some(()),
            })
        });
        waited.map_err(|e| format!("{}:\n{}", e.message().unwrap_or_default(), self.serve.process.stderr()).into())
    }

    /// Stops it; nothing that it ever said holds the secret.
    fn end(mut self, secret: &str) -> Result<()> {
        assert_eq!(self.serve.process.stop()?, 0, "{}", self.serve.process.stderr());
        let said = self.serve.process.stderr() + &self.serve.process.stdout();
        assert!(!said.contains(secret), "a secret is shown:\n{said}");
        Ok(())
    }
}

fn variables(access: &Access, name: &str) -> Vec<(String, String)> {
    let mut variables = vec![
        ("LEADSMAN_SOURCES__IDLE_AFTER_SECONDS".to_owned(), "1".to_owned()),
        ("LEADSMAN_DETECT__DECOYS__SECRETS".to_owned(), "shop/decoy".to_owned()),
        ("LEADSMAN_KAFKA__GROUP_ID".to_owned(), name.to_owned()),
        ("LEADSMAN_KAFKA__AUDIT_TOPICS".to_owned(), format!("{name}.audit")),
        ("LEADSMAN_KAFKA__METRICS_TOPICS".to_owned(), format!("{name}.metrics")),
        ("LEADSMAN_KAFKA__FINDINGS_TOPIC".to_owned(), format!("{name}.findings")),
    ];
    for (setting, value) in &access.settings {
        let variable = format!("LEADSMAN_KAFKA__PROPERTIES__{}", setting.to_uppercase().replace('.', "_"));
        variables.push((variable, value.clone()));
    }
    variables
}

fn borrowed(variables: &[(String, String)]) -> Vec<(&str, &str)> {
    variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn create(broker: &SecureBroker, name: &str) -> Result<()> {
    ["audit", "metrics", "findings"].iter().try_for_each(|t| broker.broker.create_topic(&format!("{name}.{t}"), 1))
}

/// Somebody reads the decoy, for the `number`th time.
fn touch(broker: &SecureBroker, name: &str, number: u32) -> Result<()> {
    let event = format!(
        r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"{number}","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/shop/secrets/decoy","verb":"get","user":{{"username":"mallory"}},"sourceIPs":["203.0.113.9"],"userAgent":"curl/8.0","objectRef":{{"resource":"secrets","namespace":"shop","name":"decoy","apiVersion":"v1"}},"responseStatus":{{"code":200}},"requestReceivedTimestamp":"2026-03-02T09:{number:02}:00.000000Z","stageTimestamp":"2026-03-02T09:{number:02}:00.000000Z"}}"#
    );
    broker.broker.produce(&format!("{name}.audit"), 0, &[event.as_bytes()])
}

/// Rights to everything that a service with these topics does.
fn allow_all(broker: &SecureBroker, name: &str) -> Result<()> {
    let topic = |kind: &str| format!("{name}.{kind}");
    broker.allow(&[
        "--operation",
        "Read",
        "--topic",
        &topic("audit"),
        "--topic",
        &topic("metrics"),
        "--group",
        name,
    ])?;
    broker.allow(&["--operation", "Write", "--topic", &topic("findings")])
}

fn ways_in() -> Result<()> {
    let broker = SecureBroker::start()?;
    let client = broker.authority.sign("leadsman", LONG)?;
    for (name, access) in [("tls", broker.tls()), ("mtls", broker.mtls(&client)?), ("scram", broker.scram(PASSWORD))] {
        create(&broker, name)?;
        if name != "tls" {
            allow_all(&broker, name)?;
        }
        touch(&broker, name, 1)?;
        let mut service = Service::launch(&access, name)?;
        service.has_read(1.0, Some((&broker, name)))?;
        service.end(PASSWORD)?;
    }
    Ok(())
}

fn password() -> Result<()> {
    let broker = SecureBroker::start()?;
    create(&broker, "login")?;
    allow_all(&broker, "login")?;
    touch(&broker, "login", 1)?;
    let ours = "not-yet-known-there";
    let mut service = Service::launch(&broker.scram(ours), "login")?;
    service.says("the login is refused: correct `sasl.username` and `sasl.password`")?;
    service.says("waiting until that is mended")?;
    broker.set_password(ours)?;
    service.has_read(1.0, Some((&broker, "login")))?;
    assert!(service.serve.process.stderr().contains("kafka can be read now"));
    let told = service.serve.process.stderr().matches("waiting until that is mended").count();
    assert_eq!(told, 1, "the same obstacle is told once");
    service.end(ours)
}

fn rights() -> Result<()> {
    let broker = SecureBroker::start()?;
    create(&broker, "rights")?;
    touch(&broker, "rights", 1)?;
    let mut service = Service::launch(&broker.scram(PASSWORD), "rights")?;
    service.says("kafka topic `rights.audit`: the topic may not be used: allow `Read`")?;
    broker.allow(&["--operation", "Read", "--topic", "rights.audit", "--topic", "rights.metrics"])?;
    service.says("kafka group `rights`: the group may not be used: allow `Read` on the group")?;
    broker.allow(&["--operation", "Read", "--group", "rights"])?;
    service.has_read(1.0, None)?;
    // Findings wait in the outbox until they may be written.
    service.says("findings stay in the outbox")?;
    service.says("allow `Read` on topics that are read and `Write` on the findings topic")?;
    broker.allow(&["--operation", "Write", "--topic", "rights.findings"])?;
    service.has_read(1.0, Some((&broker, "rights")))?;
    service.end(PASSWORD)
}

fn taken_back() -> Result<()> {
    let broker = SecureBroker::start()?;
    create(&broker, "back")?;
    allow_all(&broker, "back")?;
    touch(&broker, "back", 1)?;
    let mut service = Service::launch(&broker.scram(PASSWORD), "back")?;
    service.has_read(1.0, None)?;
    let what = ["--operation", "Read", "--topic", "back.audit"];
    broker.take_back(&what)?;
    service.says("let our principal read and describe the topic")?;
    touch(&broker, "back", 2)?;
    broker.allow(&what)?;
    service.has_read(2.0, None)?;
    service.end(PASSWORD)
}

fn trust() -> Result<()> {
    let broker = SecureBroker::start()?;
    let not_trusted = "the broker's certificate cannot be verified: name the authority that signed it";
    let other = broker.write("other-ca.pem", &Authority::new("another")?.certificate())?.display().to_string();
    let mut access = broker.tls();
    access.settings.retain(|(name, _)| name != "ssl.ca.location");
    access.settings.push(("ssl.ca.location".to_owned(), other));
    refused(&access, not_trusted)?;
    refused(&broker.mtls(&broker.authority.sign_expired("leadsman")?)?, "the broker does not take our certificate")?;
    let authority = Authority::new("Test authority")?;
    let expired = authority.sign_expired("broker")?;
    let broker = SecureBroker::start_as(authority, &expired)?;
    refused(&broker.tls(), "or renew the certificate if it has expired")
}

/// The service says why it waits, and can be stopped meanwhile.
fn refused(access: &Access, why: &str) -> Result<()> {
    let mut service = Service::launch(access, "trust")?;
    service.says(why)?;
    service.end(PASSWORD)
}

/// A client certificate that lives for half a minute, and the one that replaces it.
fn renewal() -> Result<()> {
    let broker = SecureBroker::start()?;
    create(&broker, "renewal")?;
    allow_all(&broker, "renewal")?;
    touch(&broker, "renewal", 1)?;
    let short = broker.authority.sign("leadsman", Duration::from_secs(30))?;
    let mut service = Service::launch(&broker.mtls(&short)?, "renewal")?;
    service.has_read(1.0, None)?;
    // Over the files in use, as a renewing agent does.
    broker.mtls(&broker.authority.sign("leadsman", LONG)?)?;
    service.says("certificates were renewed: starting anew with them")?;
    touch(&broker, "renewal", 2)?;
    // Counters begin anew with the service, so this is the second event alone.
    service.has_read(1.0, None)?;
    service.end(PASSWORD)
}
