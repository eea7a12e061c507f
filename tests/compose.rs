//! `docker-compose.yml`, the image and what Prometheus is given: every command in them is run here, without Docker.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::Value;
use tempfile::TempDir;

use crate::simulated::audit;
use crate::support::broker::Broker;
use crate::support::leadsman::{Serve, run};
use crate::support::prometheus::Prometheus;
use crate::support::{Case, DEADLINE, Need, Result, compose, free_port, wait_until, workspace, yaml};

pub(crate) const CASES: &[Case] = &[
    Case { name: "compose::fits_the_specification", needs: &[Need::Compose], run: specification },
    Case { name: "compose::agrees_with_itself_and_the_image", needs: &[], run: agreement },
    Case { name: "compose::configures_workers_validly", needs: &[], run: configuration },
    Case { name: "compose::promtool_accepts_configuration_and_alerts", needs: &[Need::Prometheus], run: promtool },
    Case { name: "compose::every_alert_fires_and_rests_as_its_tests_say", needs: &[Need::Prometheus], run: alerts },
    Case { name: "compose::its_commands_run", needs: &[Need::Broker, Need::Prometheus], run: commands },
];

/// The image that is built here.
const IMAGE: &str = "leadsman:local";

/// A token, such as a first start makes.
const TOKEN: &str = "lsm_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The compose file.
struct Compose(Value);

impl Compose {
    fn read() -> Result<Self> {
        Ok(Self(yaml::parse(&fs::read_to_string(workspace().join("docker-compose.yml"))?)?))
    }

    fn service(&self, name: &str) -> Result<&Value> {
        Ok(self.0["services"].get(name).ok_or_else(|| format!("there is no service {name}"))?)
    }

    fn services(&self) -> Result<Vec<(&String, &Value)>> {
        Ok(self.0["services"].as_object().ok_or("there are no services")?.iter().collect())
    }

    /// The services that run Leadsman.
    fn workers(&self) -> Result<Vec<(&String, &Value)>> {
        let mut services = self.services()?;
        services.retain(|(_, service)| service["image"] == IMAGE);
        assert!(services.len() >= 2, "it scales out");
        Ok(services)
    }

    /// Variables of a service, with `${NAME:-default}` as Compose fills them in when nothing is set.
    fn variables(service: &Value) -> Result<BTreeMap<String, String>> {
        let given = service["environment"].as_object().ok_or("a service has no environment")?;
        let fill = |(name, value): (&String, &Value)| Ok((name.clone(), filled(value.as_str().ok_or("no text")?)?));
        given.iter().map(fill).collect()
    }
}

fn filled(text: &str) -> Result<String> {
    let Some((before, rest)) = text.split_once("${") else { return Ok(text.to_owned()) };
    let (inside, after) = rest.split_once('}').ok_or("a variable without an end")?;
    let (_, default) = inside.split_once(":-").ok_or("a variable without a default")?;
    Ok(format!("{before}{default}{}", filled(after)?))
}

/// A list of texts, such as a command; `$$` is how Compose writes a dollar sign.
fn texts(value: &Value) -> Result<Vec<String>> {
    let list = value.as_array().ok_or_else(|| format!("{value} is no list"))?;
    let text = |item: &Value| Ok(item.as_str().ok_or_else(|| format!("{item} is no text"))?.replace("$$", "$"));
    list.iter().map(text).collect()
}

fn borrowed(variables: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn specification() -> Result<()> {
    let file = workspace().join("docker-compose.yml");
    let (taken, said) = compose::validate(&file)?;
    assert!(taken, "{said}");
    // The check can fail.
    let (directory, text) = (TempDir::new()?, fs::read_to_string(&file)?);
    for (good, bad) in [("stop_grace_period:", "stop_grace:"), ("read_only: true", "read_only: perhaps")] {
        let wrong = directory.path().join("docker-compose.yml");
        fs::write(&wrong, text.replace(good, bad))?;
        let (taken, said) = compose::validate(&wrong)?;
        assert!(!taken, "{bad} was taken: {said}");
    }
    Ok(())
}

fn agreement() -> Result<()> {
    let compose = Compose::read()?;
    let image = fs::read_to_string(workspace().join("Dockerfile"))?;
    let toolchain = fs::read_to_string(workspace().join("rust-toolchain.toml"))?;
    let rust = toolchain.split('"').nth(1).ok_or("rust-toolchain.toml names no version")?;
    assert!(image.contains(&format!("FROM rust:{rust}-")), "the image is built with another Rust than {rust}");
    let images = compose.services()?.into_iter().filter_map(|(_, service)| service["image"].as_str());
    let bases = image.lines().filter_map(|line| line.strip_prefix("FROM ")?.split(' ').next());
    for name in images.filter(|name| *name != IMAGE).chain(bases) {
        let version = name.split_once(':').map_or("latest", |(_, tag)| tag).trim_start_matches('v');
        assert!(version.chars().filter(|c| *c == '.').count() >= 1, "{name} is not pinned to a version");
        assert!(version.starts_with(|c: char| c.is_ascii_digit()), "{name} is not pinned to a version");
    }

    let declared: BTreeSet<&String> = compose.0["volumes"].as_object().ok_or("no volumes")?.keys().collect();
    let mut used = BTreeSet::new();
    for (name, service) in compose.services()? {
        for volume in service["volumes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let (source, _) = volume.split_once(':').ok_or("a volume without a path")?;
            match source.strip_prefix("./") {
                Some(path) => assert!(workspace().join(path).is_dir(), "{name} mounts {source}, which is not there"),
                None => assert!(used.insert(source.to_owned()) || declared.iter().any(|d| *d == source)),
            }
        }
        for needed in service["depends_on"].as_object().into_iter().flat_map(|needed| needed.keys()) {
            compose.service(needed)?;
        }
    }
    assert_eq!(declared.into_iter().cloned().collect::<BTreeSet<_>>(), used, "volumes that are declared and used");

    let user = image.lines().find_map(|line| line.strip_prefix("USER ")).ok_or("the image has no user")?;
    let postgres = Compose::variables(compose.service("postgres")?)?;
    for (name, worker) in compose.workers()? {
        assert_eq!(worker["user"], user, "{name}");
        assert_eq!((&worker["read_only"], &worker["cap_drop"][0]), (&Value::Bool(true), &"ALL".into()), "{name}");
        let variables = Compose::variables(worker)?;
        let at = |key: &str| variables.get(key).map(String::as_str).unwrap_or_default();
        let url = format!(
            "postgres://{}:{}@postgres:5432/{}?sslmode=disable",
            postgres["POSTGRES_USER"], postgres["POSTGRES_PASSWORD"], postgres["POSTGRES_DB"]
        );
        assert_eq!(at("LEADSMAN_STORE__URL"), url, "{name}");
        let mounted: Vec<String> = texts(&worker["volumes"])?;
        let (token, _) = at("LEADSMAN_SERVER__TOKEN_FILE").rsplit_once('/').ok_or("the token has no folder")?;
        for path in [at("LEADSMAN_DATA_DIR"), token] {
            assert!(mounted.iter().any(|m| m.ends_with(&format!(":{path}"))), "{name} does not keep {path}");
            assert!(image.contains(&format!(" {path}\n")), "the image has no {path} to give a volume its owner");
        }
        let command = texts(&worker["command"])?;
        assert!(
            image.contains(&serde_json::to_string(&command)?.replace(',', ", ")),
            "{name} runs what the image does"
        );
    }
    // Two processes in one data directory would refuse each other.
    let data: BTreeSet<String> = compose.workers()?.iter().map(|(_, w)| w["volumes"][0].to_string()).collect();
    assert_eq!(data.len(), compose.workers()?.len());
    Ok(())
}

fn configuration() -> Result<()> {
    let (compose, directory) = (Compose::read()?, TempDir::new()?);
    for (name, worker) in compose.workers()? {
        let variables = Compose::variables(worker)?;
        let shown = run(&["config", "show", "--json"], directory.path(), &borrowed(&variables), b"", DEADLINE)?;
        assert_eq!(shown.code, Some(0), "{name}: {}", shown.stderr);
        let document: Value = serde_json::from_str(&shown.stdout)?;
        let settings = document["settings"].as_array().ok_or("no settings")?;
        let from_outside = settings.iter().filter(|s| s["layer"] == "environment").count();
        assert_eq!(from_outside, variables.len(), "{name}: every variable sets something: {settings:#?}");
        // With `--help` behind it a command is read to its end, and nothing is started.
        let command = texts(&worker["command"])?;
        let mut words: Vec<&str> = command.iter().map(String::as_str).collect();
        words.push("--help");
        assert_eq!(run(&words, directory.path(), &borrowed(&variables), b"", DEADLINE)?.code, Some(0), "{name}");
        words.insert(1, "--no-such-flag");
        assert_eq!(run(&words, directory.path(), &borrowed(&variables), b"", DEADLINE)?.code, Some(2), "{name}");
    }
    Ok(())
}

/// A copy of the folder for Prometheus, with the token where this machine has it and `targets` to scrape.
fn prometheus_folder(directory: &Path, targets: &[String]) -> Result<()> {
    fs::write(directory.join("token"), TOKEN)?;
    let from = workspace().join("deploy/prometheus");
    for file in ["alerts.yml", "alerts.test.yml"] {
        fs::copy(from.join(file), directory.join(file))?;
    }
    let text = fs::read_to_string(from.join("prometheus.yml"))?;
    let mut text = text.replace("/token/token", &directory.join("token").display().to_string());
    for (name, target) in ["leadsman-1:8080", "leadsman-2:8080"].iter().zip(targets) {
        assert!(text.contains(name));
        text = text.replace(name, target);
    }
    Ok(fs::write(directory.join("prometheus.yml"), text.replace("15s", "1s"))?)
}

fn promtool() -> Result<()> {
    let directory = TempDir::new()?;
    prometheus_folder(directory.path(), &[])?;
    for (what, file) in [("config", "prometheus.yml"), ("rules", "alerts.yml")] {
        let check = |file: &Path| -> Result<(bool, String)> {
            let output = Command::new("promtool").args(["check", what]).arg(file).output()?;
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            Ok((output.status.success(), said))
        };
        let (taken, said) = check(&directory.path().join(file))?;
        assert!(taken, "{said}");
        // The check can fail.
        let wrong = directory.path().join("wrong.yml");
        let text = fs::read_to_string(directory.path().join(file))?;
        fs::write(&wrong, text.replacen("expr: up{", "expr: up{{", 1).replacen("scrape_configs", "scraped", 1))?;
        assert!(!check(&wrong)?.0, "a wrong {file} was taken");
    }
    // Whom Prometheus asks, with which token, is what Compose starts.
    let compose = Compose::read()?;
    let config = yaml::parse(&fs::read_to_string(workspace().join("deploy/prometheus/prometheus.yml"))?)?;
    let job = &config["scrape_configs"][0];
    let asked: BTreeSet<String> = texts(&job["static_configs"][0]["targets"])?.into_iter().collect();
    let mut started = BTreeSet::new();
    for (name, worker) in compose.workers()? {
        let command = texts(&worker["command"])?;
        let port = command.last().and_then(|listen| listen.rsplit(':').next()).ok_or("no port")?;
        started.insert(format!("{name}:{port}"));
        let variables = Compose::variables(worker)?;
        assert_eq!(job["authorization"]["credentials_file"], variables["LEADSMAN_SERVER__TOKEN_FILE"]);
        for published in worker["ports"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            assert!(published.starts_with("127.0.0.1:") && published.ends_with(&format!(":{port}")), "{published}");
        }
    }
    assert_eq!(asked, started);
    Ok(())
}

fn alerts() -> Result<()> {
    let directory = TempDir::new()?;
    prometheus_folder(directory.path(), &[])?;
    let test = || -> Result<(bool, String)> {
        let arguments = ["test", "rules", "alerts.test.yml"];
        let output = Command::new("promtool").args(arguments).current_dir(directory.path()).output()?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        Ok((output.status.success(), said))
    };
    let (passed, said) = test()?;
    assert!(passed, "{said}");
    // They can fail: each of these looks right, and is an alert that never fires.
    let file = directory.path().join("alerts.yml");
    let text = fs::read_to_string(&file)?;
    for (good, bad) in [
        ("time() - leadsman_state_reset_timestamp_seconds < 3600", "increase(leadsman_state_resets_total[1h]) > 0"),
        ("and on (instance) rate(", "and rate("),
        ("leadsman_last_event_timestamp_seconds", "leadsman_last_record_timestamp_seconds"),
    ] {
        assert!(text.contains(good), "no alert has {good}");
        fs::write(&file, text.replace(good, bad))?;
        let (passed, said) = test()?;
        assert!(!passed, "{bad} was taken: {said}");
    }
    // None is without a case in which it fires, nor without one in which it does not.
    let rules = yaml::parse(&text)?;
    let rules = rules["groups"][0]["rules"].as_array().ok_or("no rules")?;
    let all: BTreeSet<&str> = rules.iter().filter_map(|rule| rule["alert"].as_str()).collect();
    let (mut fire, mut rest) = (BTreeSet::new(), BTreeSet::new());
    let tests = alert_tests(directory.path())?;
    for case in tests.iter().flat_map(|test| test["alert_rule_test"].as_array().into_iter().flatten()) {
        let name = case["alertname"].as_str().ok_or("a case of no alert")?;
        let expected = case["exp_alerts"].as_array().ok_or("a case that expects nothing")?;
        if expected.is_empty() { &mut rest } else { &mut fire }.insert(name);
    }
    assert_eq!(fire, all, "alerts that are shown to fire");
    assert_eq!(rest, all, "alerts that are shown to rest");
    Ok(())
}

/// The tests of the alerts in a copy of the folder for Prometheus.
fn alert_tests(directory: &Path) -> Result<Vec<Value>> {
    let file = yaml::parse(&fs::read_to_string(directory.join("alerts.test.yml"))?)?;
    Ok(file["tests"].as_array().ok_or("no tests")?.clone())
}

/// Name of a series and the names of its labels, but for those that Prometheus adds.
fn shape(series: &str) -> (String, BTreeSet<String>) {
    let (name, rest) = series.split_at(series.find(['{', ' ']).unwrap_or(series.len()));
    let labels = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(labels, _)| labels);
    let labels = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0.trim().to_owned()));
    (name.to_owned(), labels.filter(|label| !matches!(label.as_str(), "instance" | "job")).collect())
}

/// Metrics that the alerts ask for.
fn asked_for(alerts: &str) -> BTreeSet<String> {
    let words = alerts.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("leadsman_")).map(str::to_owned).collect()
}

fn commands() -> Result<()> {
    let (compose, directory, broker) = (Compose::read()?, TempDir::new()?, Broker::start()?);
    create_topics(&compose, directory.path(), &broker)?;

    // A worker as it is started there, but for its paths, its port and the store, which is a file here.
    let (name, worker) = compose.workers()?.into_iter().next().ok_or("no worker")?;
    let mut variables = Compose::variables(worker)?;
    assert!(variables.remove("LEADSMAN_STORE__URL").is_some(), "{name} has no store");
    for (key, value) in [
        ("LEADSMAN_DATA_DIR", directory.path().join("data").display().to_string()),
        ("LEADSMAN_SERVER__TOKEN_FILE", directory.path().join("token").display().to_string()),
        ("LEADSMAN_KAFKA__BOOTSTRAP_SERVERS", broker.bootstrap().to_owned()),
    ] {
        assert!(variables.insert(key.to_owned(), value).is_some(), "{name} has no {key}");
    }
    let port = free_port()?.to_string();
    let here = |text: &String| text.replace("0.0.0.0:8080", &format!("127.0.0.1:{port}"));
    let command: Vec<String> = texts(&worker["command"])?.iter().map(here).collect();
    let check: Vec<String> = texts(&worker["healthcheck"]["test"])?.iter().map(|t| t.replace("8080", &port)).collect();
    assert_eq!(check[0], "CMD");
    let healthy = || Ok::<_, std::io::Error>(Command::new(&check[1]).args(&check[2..]).output()?.status.success());
    assert!(!healthy()?, "nothing listens yet");
    prometheus_folder(directory.path(), &[format!("127.0.0.1:{port}")])?;
    let base = format!("http://127.0.0.1:{port}");
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let ready = format!("{base}/readyz");
    let worker = Serve::start(&words, directory.path(), &borrowed(&variables), (&base, Some(TOKEN)), &ready)?;
    assert!(healthy()?, "the healthcheck finds a worker that is ready");

    // Every metric that an alert asks for is there, once there is something to count, and has the labels that the tests
    // of the alerts give it: with others, rules that pass there would find nothing here.
    let event = audit(0, 1)?.into_iter().next().ok_or("no event")?;
    broker.produce("leadsman.audit", 0, &[&event, b"{"])?;
    let asked = asked_for(&fs::read_to_string(directory.path().join("alerts.yml"))?);
    let tests = alert_tests(directory.path())?;
    let given = tests.iter().flat_map(|test| test["input_series"].as_array().into_iter().flatten());
    let given: BTreeSet<_> = given.filter_map(|series| Some(shape(series["series"].as_str()?))).collect();
    let given = given.into_iter().filter(|(name, _)| name.starts_with("leadsman_")).collect::<BTreeSet<_>>();
    let tested: BTreeSet<String> = given.iter().map(|(name, _)| name.clone()).collect();
    assert!(tested.is_superset(&asked), "no test gives {:?}", asked.difference(&tested));
    let mut missing = Vec::new();
    let all_there = wait_until("the metrics that alerts ask for", DEADLINE, || {
        let metrics = worker.http.get("/metrics")?.text;
        let there: BTreeSet<_> = metrics.lines().filter(|line| !line.starts_with('#')).map(shape).collect();
        missing = given.difference(&there).cloned().collect();
        Ok(missing.is_empty().then_some(()))
    });
    all_there.map_err(|e| format!("{}: {missing:?}", e.message().unwrap_or_default()))?;

    // Prometheus as it is started there.
    let given = texts(&compose.service("prometheus")?["command"])?;
    let here = |text: &String| {
        let text = text.replace("/etc/prometheus", &directory.path().display().to_string());
        text.replace("=/prometheus", &format!("={}", directory.path().join("tsdb").display()))
    };
    let arguments: Vec<String> = given.iter().map(here).collect();
    let prometheus = Prometheus::start_as(&arguments, directory.path())?;
    wait_until("the worker is scraped and the alerts are judged", DEADLINE, || {
        let targets = prometheus.http().get("/api/v1/targets")?.json;
        let up = targets["data"]["activeTargets"].as_array().is_some_and(|t| t.iter().any(|t| t["health"] == "up"));
        let rules = prometheus.http().get("/api/v1/rules")?.json;
        let rules = rules["data"]["groups"][0]["rules"].as_array().cloned().unwrap_or_default();
        let judged = !rules.is_empty() && rules.iter().all(|rule| rule["health"] == "ok");
        // The one event is an old one, so its cluster counts as silent: the labels of a real worker join.
        let silent = rules
            .iter()
            .any(|rule| rule["name"] == "LeadsmanClusterSilent" && rule["alerts"][0]["labels"]["cluster"] == "default");
        Ok((up && judged && silent).then_some(()))
    })
}

/// Runs the script that makes the topics with Kafka's own tool, and compares them with the defaults.
fn create_topics(compose: &Compose, directory: &Path, broker: &Broker) -> Result<()> {
    let service = compose.service("kafka-topics")?;
    let tool = directory.join("kafka-topics.sh");
    fs::write(&tool, broker.tool_script("org.apache.kafka.tools.TopicCommand"))?;
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755))?;
    let script = texts(&service["command"])?.join("\n");
    let inside = "/opt/kafka/bin/kafka-topics.sh";
    assert!(script.contains(inside) && script.contains("kafka:9092"));
    let script = script.replace(inside, &tool.display().to_string()).replace("kafka:9092", broker.bootstrap());
    let entrypoint = texts(&service["entrypoint"])?;
    let output = Command::new(&entrypoint[0]).args(&entrypoint[1..]).arg(script).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let client: BaseConsumer = rdkafka::ClientConfig::new().set("bootstrap.servers", broker.bootstrap()).create()?;
    let metadata = client.fetch_metadata(None, DEADLINE)?;
    let made: BTreeSet<String> = metadata.topics().iter().map(|topic| topic.name().to_owned()).collect();
    let shown = run(&["config", "show", "--json"], directory, &[], b"", DEADLINE)?;
    let document: Value = serde_json::from_str(&shown.stdout)?;
    let mut defaults = BTreeSet::new();
    for setting in document["settings"].as_array().ok_or("no settings")? {
        match (setting["key"].as_str().unwrap_or_default(), &setting["value"]) {
            ("kafka.audit_topics" | "kafka.metrics_topics", list) => defaults.extend(texts(list)?),
            ("kafka.findings_topic", name) => drop(defaults.insert(name.as_str().ok_or("no text")?.to_owned())),
            _ => {}
        }
    }
    assert_eq!(made, defaults, "the topics that are made are those that workers read and write");
    Ok(())
}
