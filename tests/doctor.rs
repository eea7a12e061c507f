//! `leadsman doctor` against real brokers and disks that something is wrong with.

use std::path::Path;
use std::process::Command;

use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;
use tempfile::TempDir;

use crate::simulated::{audit, lines};
use crate::support::broker::{Broker, block_on, shared};
use crate::support::certificates::{Authority, LONG};
use crate::support::leadsman::{Serve, run};
use crate::support::secure::{Access, PASSWORD, SecureBroker};
use crate::support::{Case, DEADLINE, Need, Result, free_port, wait_until};

pub(crate) const CASES: &[Case] = &[
    Case { name: "doctor::judges_topics", needs: &[Need::Broker], run: topics },
    Case { name: "doctor::finds_what_was_deleted_unread", needs: &[Need::Broker], run: positions },
    Case { name: "doctor::tells_failures_of_login_and_trust_apart", needs: &[Need::Broker], run: logins },
    Case { name: "doctor::finds_missing_rights_and_leaves_nothing", needs: &[Need::Broker], run: rights },
    Case { name: "doctor::finds_a_full_disk", needs: &[], run: disk },
    Case { name: "doctor::compares_the_audit_policy", needs: &[], run: policy },
];

/// Checks of one name, as verdict and detail.
struct Findings(Vec<(String, String, String)>);

impl Findings {
    /// Asserts that a check says so.
    fn say(&self, check: &str, verdict: &str, part: &str) {
        let found = self.0.iter().any(|(name, v, detail)| name == check && v == verdict && detail.contains(part));
        assert!(found, "no {check} that says {verdict} and {part}: {:#?}", self.0);
    }

    /// Asserts that nothing of a check has another verdict.
    fn all(&self, check: &str, verdict: &str) {
        let of: Vec<_> = self.0.iter().filter(|(name, ..)| name == check).collect();
        assert!(!of.is_empty() && of.iter().all(|(_, v, _)| v == verdict), "{of:#?}");
    }
}

/// What the doctor says; its exit code must agree.
fn doctor(directory: &Path, variables: &[(&str, &str)]) -> Result<Findings> {
    let variables =
        [&[("LEADSMAN_DETECT__MODEL", "builtin:demo"), ("LEADSMAN_SERVER__LISTEN", "127.0.0.1:0")], variables].concat();
    let output = run(&["doctor", "--json"], directory, &variables, b"", DEADLINE)?;
    assert!(!output.stdout.contains(PASSWORD) && !output.stderr.contains(PASSWORD), "a password is shown");
    let document: Value = serde_json::from_str(&output.stdout)?;
    let checks = document["checks"].as_array().ok_or("no checks")?;
    let text = |check: &Value, field: &str| check[field].as_str().unwrap_or_default().to_owned();
    let found = checks.iter().map(|c| (text(c, "check"), text(c, "verdict"), text(c, "detail"))).collect::<Vec<_>>();
    let failed = found.iter().any(|(_, verdict, _)| verdict == "fail");
    assert_eq!(output.code, Some(i32::from(failed)), "{found:#?}");
    Ok(Findings(found))
}

/// Variables that name a broker and its topics; `name` keeps tests of a shared broker apart.
fn kafka(bootstrap: &str, name: &str) -> Vec<(String, String)> {
    let mut variables = vec![("LEADSMAN_KAFKA__BOOTSTRAP_SERVERS".to_owned(), bootstrap.to_owned())];
    for (key, topic) in [("AUDIT_TOPICS", "audit"), ("METRICS_TOPICS", "metrics"), ("FINDINGS_TOPIC", "findings")] {
        variables.push((format!("LEADSMAN_KAFKA__{key}"), format!("{name}.{topic}")));
    }
    variables
}

fn borrowed(variables: &[(String, String)]) -> Vec<(&str, &str)> {
    variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn create(broker: &Broker, topic: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<()> {
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    for (name, value) in settings {
        new = new.set(name, value);
    }
    for outcome in block_on(broker.admin()?.create_topics([&new], &AdminOptions::new()))?? {
        outcome.map_err(|(topic, code)| format!("cannot create {topic}: {code}"))?;
    }
    Ok(())
}

fn topics() -> Result<()> {
    let (directory, broker) = (TempDir::new()?, shared()?);
    let servers = format!("127.0.0.1:1,{}", broker.bootstrap());
    let variables = kafka(&servers, "doctor");
    let found = doctor(directory.path(), &borrowed(&variables))?;
    found.say("kafka", "warn", "127.0.0.1:1: connection refused");
    found.say("kafka", "ok", broker.bootstrap());
    for topic in ["audit", "metrics", "findings"] {
        found.say("topic", "fail", &format!("`doctor.{topic}`: does not exist: create it"));
    }

    create(&broker, "doctor.audit", 3, &[("cleanup.policy", "compact")])?;
    create(&broker, "doctor.metrics", 2, &[("retention.ms", "3600000"), ("max.message.bytes", "1000000")])?;
    create(&broker, "doctor.findings", 1, &[])?;
    // A record of tomorrow: either its producer's clock is wrong or ours.
    broker.produce("doctor.metrics", 0, &[b"{}"])?;
    let found = wait_until("the topics are there", DEADLINE, || {
        let found = doctor(directory.path(), &borrowed(&variables))?;
        Ok(found.0.iter().all(|(_, _, detail)| !detail.contains("no leader")).then_some(found))
    })?;
    found.say("topic", "fail", "`doctor.audit`: `cleanup.policy` is compact");
    found.say("topic", "warn", "`doctor.metrics`: 2 partitions; one copy only");
    found.say("topic", "warn", "keeps records for 1.0 hours");
    found.say("topic", "warn", "`max.message.bytes` is 1000000");
    found.say("group", "ok", "`leadsman` may be used");
    found.say("publish", "ok", "`doctor.findings` may be written to");
    found.say("position", "ok", "`doctor.metrics`: 1 records unread");
    found.say("clock", "ok", "not behind the newest records");
    assert_eq!(broker.records("doctor.findings")?.len(), 0, "the question leaves no record");
    Ok(())
}

/// A real service reads a part; retention then deletes what it did not read.
fn positions() -> Result<()> {
    let (directory, broker) = (TempDir::new()?, shared()?);
    for topic in ["audit", "metrics", "findings"] {
        broker.create_topic(&format!("positions.{topic}"), 1)?;
    }
    let events = audit(0, 1)?;
    let records: Vec<&[u8]> = events.iter().take(30).map(Vec::as_slice).collect();
    broker.produce("positions.audit", 0, &records)?;
    let variables = kafka(broker.bootstrap(), "positions");
    let port = free_port()?;
    let (listen, base) = (format!("127.0.0.1:{port}"), format!("http://127.0.0.1:{port}"));
    let args = ["serve", "--listen", &listen, "--no-auth", "--model", "builtin:demo"];
    let mut service =
        Serve::start(&args, directory.path(), &borrowed(&variables), (&base, None), &format!("{base}/readyz"))?;
    wait_until("everything is committed", DEADLINE, || {
        let found = doctor(&directory.path().join("leadsman-data/.."), &borrowed(&variables))?;
        Ok(found.0.iter().any(|(_, _, detail)| detail.contains("`positions.audit`: nothing unread")).then_some(()))
    })?;
    assert_eq!(service.process.stop()?, 0);
    drop(service);

    broker.produce("positions.audit", 0, &records)?;
    let found = doctor(directory.path(), &borrowed(&variables))?;
    found.say("position", "ok", "`positions.audit`: 30 records unread");
    let mut until = TopicPartitionList::new();
    until.add_partition_offset("positions.audit", 0, Offset::Offset(45))?;
    block_on(broker.admin()?.delete_records(&until, &AdminOptions::new()))??;
    let found = doctor(directory.path(), &borrowed(&variables))?;
    found.say("position", "fail", "begins at 45, and the store is at 30: retention deleted 15 records unread");
    Ok(())
}

/// The doctor's words about one way in.
fn way_in(directory: &Path, access: &Access) -> Result<Findings> {
    way_in_with(directory, access, &[])
}

fn way_in_with(directory: &Path, access: &Access, more: &[(&str, &str)]) -> Result<Findings> {
    let mut variables = kafka(&access.bootstrap, "secure");
    for (name, value) in &access.settings {
        let variable = format!("LEADSMAN_KAFKA__PROPERTIES__{}", name.to_uppercase().replace('.', "_"));
        variables.push((variable, value.clone()));
    }
    doctor(directory, &[&borrowed(&variables), more].concat())
}

fn logins() -> Result<()> {
    let (directory, broker) = (TempDir::new()?, SecureBroker::start()?);
    let check = |access: &Access, verdict: &str, part: &str| -> Result<()> {
        way_in(directory.path(), access)?.say("kafka", verdict, part);
        Ok(())
    };
    let with = |mut access: Access, settings: &[(&str, &str)]| {
        for (name, value) in settings {
            access.settings.retain(|(known, _)| known != name);
            access.settings.push(((*name).to_owned(), (*value).to_owned()));
        }
        access
    };
    let plain = broker.broker.bootstrap().to_owned();
    check(&broker.tls(), "ok", "answers")?;
    check(&broker.scram(PASSWORD), "ok", "answers")?;
    check(&broker.mtls(&broker.authority.sign("leadsman", LONG)?)?, "ok", "answers")?;

    check(&broker.scram("wrong"), "fail", "the login is refused: correct `sasl.username`")?;
    check(&with(broker.scram(PASSWORD), &[("sasl.mechanism", "PLAIN")]), "fail", "correct `sasl.mechanism`")?;
    check(&Access { bootstrap: broker.tls().bootstrap, ..broker.scram(PASSWORD) }, "fail", "takes no logins")?;
    let other = broker.write("other-ca.pem", &Authority::new("another")?.certificate())?.display().to_string();
    check(&with(broker.tls(), &[("ssl.ca.location", &other)]), "fail", "cannot be verified")?;
    check(&Access { bootstrap: plain.clone(), ..broker.tls() }, "fail", "does not speak TLS")?;
    check(&Access { settings: Vec::new(), ..broker.tls() }, "fail", "closes the connection at once")?;
    check(
        &Access { settings: broker.tls().settings, ..broker.mtls(&broker.authority.sign("leadsman", LONG)?)? },
        "fail",
        "does not take our certificate",
    )?;
    let expired = way_in(directory.path(), &broker.mtls(&broker.authority.sign_expired("leadsman")?)?)?;
    expired.say("kafka", "fail", "has not expired");
    expired.say("tls", "fail", "`ssl.certificate.location`");
    expired.say("tls", "ok", "`ssl.ca.location`");
    let soon = way_in(directory.path(), &broker.mtls(&broker.authority.sign("leadsman", LONG)?)?)?;
    soon.say("tls", "warn", "client.pem ends in");
    check(&broker.mtls(&Authority::new("another")?.sign("leadsman", LONG)?)?, "fail", "does not take our certificate")?;
    check(&Access { bootstrap: "127.0.0.1:1".to_owned(), settings: Vec::new() }, "fail", "connection refused")?;
    check(&Access { bootstrap: "no.such.host.invalid:9092".to_owned(), settings: Vec::new() }, "fail", "has no address")
}

fn rights() -> Result<()> {
    let (directory, broker) = (TempDir::new()?, SecureBroker::start()?);
    for topic in ["audit", "metrics", "findings"] {
        broker.broker.create_topic(&format!("secure.{topic}"), 2)?;
    }
    let access = broker.scram(PASSWORD);
    let found = way_in(directory.path(), &access)?;
    found.say("kafka", "ok", "answers");
    found.say("topic", "fail", "`secure.audit`: the topic may not be used: allow `Read`");
    found.say("topic", "fail", "`secure.findings`: the topic may not be used");
    found.say("publish", "fail", "`secure.findings`: the topic may not be used");

    // Everything but the group and the right to write; the right to ask for settings comes with neither.
    broker.allow(&["--operation", "Read", "--topic", "secure.audit", "--topic", "secure.metrics"])?;
    broker.allow(&["--operation", "Describe", "--operation", "DescribeConfigs", "--topic", "secure.findings"])?;
    let found = way_in(directory.path(), &access)?;
    found.say("topic", "warn", "`secure.audit`: 2 partitions");
    found.say("topic", "warn", "allow `DescribeConfigs`");
    found.say("group", "fail", "`leadsman`: the group may not be used");
    found.say("publish", "fail", "the topic may not be used");

    broker.allow(&["--operation", "Read", "--group", "leadsman"])?;
    broker.allow(&["--operation", "Write", "--topic", "secure.findings"])?;
    let found = way_in(directory.path(), &access)?;
    found.say("group", "ok", "`leadsman` may be used");
    found.say("publish", "ok", "`secure.findings` may be written to");
    assert_eq!(broker.broker.records("secure.findings")?.len(), 0, "the question leaves no record");

    // The re-key stage and publishing in transactions have groups of their own, and the stage writes to its topic.
    broker.broker.create_topic("secure.events", 2)?;
    let staged = [
        ("LEADSMAN_KAFKA__REKEY", "true"),
        ("LEADSMAN_KAFKA__EVENTS_TOPIC", "secure.events"),
        ("LEADSMAN_KAFKA__EXACTLY_ONCE", "true"),
    ];
    broker.allow(&["--operation", "Read", "--operation", "DescribeConfigs", "--topic", "secure.events"])?;
    let found = way_in_with(directory.path(), &access, &staged)?;
    found.say("group", "ok", "`leadsman` may be used");
    found.say("group", "fail", "`leadsman-ingest`: the group may not be used");
    found.say("group", "fail", "`leadsman-outbox`: the group may not be used");
    found.say("publish", "fail", "`secure.events`: the topic may not be used");
    broker.allow(&["--operation", "Read", "--group", "leadsman-ingest", "--group", "leadsman-outbox"])?;
    broker.allow(&["--operation", "Write", "--topic", "secure.events"])?;
    let found = way_in_with(directory.path(), &access, &staged)?;
    found.all("group", "ok");
    found.say("publish", "ok", "`secure.events` may be written to");
    Ok(())
}

/// A small file system of its own, unmounted with it.
struct Mounted(TempDir);

impl Mounted {
    fn new(options: &str) -> Result<Option<Self>> {
        let directory = TempDir::new()?;
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(directory.path()).output();
        Ok(mounted.is_ok_and(|output| output.status.success()).then_some(Self(directory)))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        match Command::new("umount").arg(self.0.path()).status() {
            Ok(status) if status.success() => {}
            other => eprintln!("{} stays mounted: {other:?}", self.0.path().display()),
        }
    }
}

fn disk() -> Result<()> {
    let ordinary = TempDir::new()?;
    let found = doctor(ordinary.path(), &[])?;
    found.say("fsync", "ok", "ms to make 4 KiB durable");
    found.say("data", "ok", "can be written");
    let left = std::fs::read_dir(ordinary.path().join("leadsman-data"))?.count();
    assert_eq!(left, 0, "the question leaves no file");

    let file = ordinary.path().join("a-file");
    std::fs::write(&file, b"")?;
    let below = file.join("data").display().to_string();
    doctor(ordinary.path(), &[("LEADSMAN_DATA_DIR", &below)])?.say("data", "fail", "cannot be written");

    let (Some(small), Some(few)) = (Mounted::new("size=1m")?, Mounted::new("size=200m,nr_inodes=50")?) else {
        eprintln!("a file system cannot be mounted here: a full one is left to the unit tests");
        return Ok(());
    };
    let data = small.0.path().display().to_string();
    let found = doctor(ordinary.path(), &[("LEADSMAN_DATA_DIR", &data)])?;
    found.say("disk", "fail", "as good as full");
    found.say("filesystem", "warn", "in memory");
    std::fs::write(small.0.path().join("filler"), vec![0; 4 << 20]).err().ok_or("4 MiB fitted into one")?;
    let found = doctor(ordinary.path(), &[("LEADSMAN_DATA_DIR", &data)])?;
    found.say("data", "fail", "No space left");
    let data = few.0.path().display().to_string();
    let found = doctor(ordinary.path(), &[("LEADSMAN_DATA_DIR", &data)])?;
    found.say("inodes", "fail", "of 50 files can still be made");
    found.say("disk", "ok", "free");
    Ok(())
}

fn policy() -> Result<()> {
    let directory = TempDir::new()?;
    let log = directory.path().join("audit.log");
    let variables = [("LEADSMAN_SOURCES__FILES", "audit.log")];
    doctor(directory.path(), &variables)?.say("tail", "warn", "is not there yet");

    // Every event at level Metadata: writes of roles and pods have no bodies.
    let events = audit(0, 1)?;
    let mut weakened = Vec::new();
    for event in &events {
        let mut event: Value = serde_json::from_slice(event)?;
        let object = event.as_object_mut().ok_or("an event is no object")?;
        object.remove("requestObject");
        object.remove("responseObject");
        object.insert("level".to_owned(), "Metadata".into());
        weakened.push(serde_json::to_vec(&event)?);
    }
    std::fs::write(&log, lines(&weakened))?;
    let found = doctor(directory.path(), &variables)?;
    found.all("tail", "ok");
    found.say("policy", "warn", "the audit policy should log them at level Request");

    std::fs::write(&log, lines(&events[..10]))?;
    let found = doctor(directory.path(), &variables)?;
    assert!(found.0.iter().all(|(check, ..)| check != "policy"), "ten events are too few to judge: {:#?}", found.0);
    Ok(())
}
