use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

mod problems;

/// Layers in memory: files by path, variables, flags.
#[derive(Default)]
struct Given<'a> {
    files: &'a [(&'a str, &'a str)],
    asked: Option<&'a str>,
    environment: &'a [(&'a str, &'a str)],
    flags: &'a [(&'a str, &'a str)],
}

impl Given<'_> {
    fn load(&self) -> Result<Loaded, ConfigError> {
        let files: BTreeMap<_, _> = self.files.iter().copied().collect();
        let read = |path: &Path| {
            let text = path.to_str().and_then(|path| files.get(path)).map(|text| (*text).to_owned());
            text.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        };
        load(&Layers {
            file: self.asked.map(Path::new),
            environment: owned(self.environment),
            flags: owned(self.flags),
            read: &read,
        })
    }
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn of_file(text: &str) -> Result<Loaded, ConfigError> {
    Given { files: &[("leadsman.toml", text)], ..Given::default() }.load()
}

fn of_environment(environment: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    Given { environment, ..Given::default() }.load()
}

const ETC: &str = "/etc/leadsman/leadsman.toml";
const HOME: &str = "/home/jane/.config/leadsman/leadsman.toml";

#[test]
fn shipped_file_is_the_defaults() {
    let loaded = Given::default().load().unwrap();
    assert_eq!(loaded.config, Config::default());

    // Every key, in the order of the file, with a comment above it; and no key besides.
    let lines: Vec<_> = DEFAULTS.lines().collect();
    let (mut section, mut found) = (String::new(), Vec::new());
    for (index, line) in lines.iter().enumerate() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = format!("{name}.");
            assert!(keys::SECTIONS.contains(&Some(name)), "{name}");
        } else if !line.starts_with('#') && !line.is_empty() {
            found.push(format!("{section}{}", line.split(' ').next().unwrap()));
            assert!(lines[index - 1].starts_with("# "), "{line} has a comment");
        }
    }
    assert_eq!(found, keys::names().collect::<Vec<_>>());
    assert!(keys::names().all(|key| loaded.effective.origin(key) == Some(&Origin::Default)));
    assert!(keys::names().all(|key| keys::SECTIONS.contains(&keys::split(key).0)));
}

#[test]
fn defaults_of_kafka_show_once_there_are_brokers() {
    let kafka = of_file("kafka.bootstrap_servers = \"a:9092,[::1]:9093\"").unwrap().config.kafka.unwrap();
    let defaults = KafkaSettings::without_brokers();
    assert_eq!(kafka, KafkaSettings { bootstrap_servers: "a:9092,[::1]:9093".to_owned(), ..defaults });
}

#[test]
fn each_layer_overrides_the_one_before_key_by_key() {
    let name = |name: &str| format!("cluster.name = \"{name}\"\nserver.max_body_mib = 7\n");
    let (etc, home, local) = (name("etc"), name("home"), name("local"));
    let files = [(ETC, etc.as_str()), (HOME, home.as_str()), ("leadsman.toml", local.as_str())];
    let environment = [("HOME", "/home/jane"), ("LEADSMAN_CLUSTER__NAME", "variable")];
    let flags = [("cluster.name", "first"), ("cluster.name", "flag")];
    let at = |path: &str| Origin::File { path: path.into(), position: Some(Position { line: 1, column: 16 }) };
    for (count, environment, flags, expected, origin) in [
        (0, &environment[..1], &flags[..0], "default", Origin::Default),
        (1, &environment[..1], &flags[..0], "etc", at(ETC)),
        (2, &environment[..1], &flags[..0], "home", at(HOME)),
        (3, &environment[..1], &flags[..0], "local", at("leadsman.toml")),
        (3, &environment, &flags[..0], "variable", Origin::Variable("LEADSMAN_CLUSTER__NAME".to_owned())),
        (3, &environment, &flags, "flag", Origin::Flag),
    ] {
        let loaded = Given { files: &files[..count], environment, flags, ..Given::default() }.load().unwrap();
        assert_eq!(loaded.config.cluster.name, expected);
        assert_eq!(loaded.effective.origin("cluster.name"), Some(&origin));
        assert_eq!(loaded.config.server.max_body, if count == 0 { 64 << 20 } else { 7 << 20 });
    }
}

#[test]
fn rules_and_decoys_are_compiled_at_the_start() {
    let rule = |level| {
        format!(
            "title: Mine\nid: 5a4a5c8e-35a7-4fd8-9d8f-0c6a3d2c3b11\nlogsource: {{product: kubernetes, \
                                service: audit}}\ndetection:\n  s: {{verb: get}}\n  condition: s\nlevel: {level}\n"
        )
    };
    let text = "[detect]\nrules = [\"mine.yml\"]\n[detect.decoys]\nsecrets = [\"a/b\"]\nexcept = [\"backup:*\"]\n";
    let (good, bad) = (rule("high"), format!("{}---\n{}", rule("loud"), rule("quiet")));
    let files = [("leadsman.toml", text), ("mine.yml", good.as_str())];
    let detect = Given { files: &files, ..Given::default() }.load().unwrap().config.detect;
    assert_eq!(detect.rules, [PathBuf::from("mine.yml")]);
    assert_eq!((detect.decoys.secrets, detect.decoys.except), (vec!["a/b".to_owned()], vec!["backup:*".to_owned()]));

    let files = [("leadsman.toml", text.replace("mine.yml\"", "mine.yml\", \"gone.yml\"")), ("mine.yml", bad)];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let error = Given { files: &files, ..Given::default() }.load().unwrap_err();
    let lines: Vec<_> = error.problems.iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].contains("gone.yml") && lines[0].ends_with("(leadsman.toml:2:9)"), "{lines:?}");
    assert!(lines[1].contains("mine.yml:7") && lines[2].contains("mine.yml:15"), "{lines:?}");
}

#[test]
fn decoys_are_names() {
    for (key, value) in [("secrets", "a"), ("service_accounts", "A/b"), ("namespaces", "a/b"), ("except", "a?b")] {
        let error = of_file(&format!("detect.decoys.{key} = [\"{value}\"]")).unwrap_err();
        let [problem] = error.problems.as_slice() else { panic!("{error}") };
        assert!(matches!(problem.fault, Fault::Invalid { .. }) && problem.to_string().contains(value), "{problem}");
    }
}

#[test]
fn config_flag_replaces_the_local_file_and_must_exist() {
    let files = [("leadsman.toml", "cluster.name = \"local\""), ("other.toml", "detect.window_minutes = 2")];
    let loaded = Given { files: &files, asked: Some("other.toml"), ..Given::default() }.load().unwrap();
    assert_eq!(loaded.config.cluster.name, "default");
    assert_eq!(loaded.config.detect.window, Duration::from_secs(120));

    let error = Given { files: &files, asked: Some("gone.toml"), ..Given::default() }.load().unwrap_err();
    assert!(matches!(error.problems[0].fault, Fault::Unreadable { .. }));
    assert_eq!(error.problems[0].origin.to_string(), "gone.toml");
}

#[test]
fn xdg_config_home_comes_before_home_unless_relative() {
    let files = [("/xdg/leadsman/leadsman.toml", "cluster.name = \"xdg\""), (HOME, "cluster.name = \"home\"")];
    for (xdg, expected) in [("/xdg", "xdg"), ("xdg", "home"), ("", "home")] {
        let environment = [("XDG_CONFIG_HOME", xdg), ("HOME", "/home/jane")];
        let loaded = Given { files: &files, environment: &environment, ..Given::default() }.load().unwrap();
        assert_eq!(loaded.config.cluster.name, expected);
    }
}

#[test]
fn somebody_elses_home_is_passed_over() {
    let read_as_daemon = |refused: &'static str| {
        let read = move |path: &Path| {
            let kind =
                if path == Path::new(refused) { io::ErrorKind::PermissionDenied } else { io::ErrorKind::NotFound };
            Err(io::Error::from(kind))
        };
        load(&Layers { file: None, environment: owned(&[("HOME", "/home/jane")]), flags: Vec::new(), read: &read })
    };
    assert!(read_as_daemon(HOME).is_ok());
    assert!(read_as_daemon(ETC).is_err());
}

#[test]
fn variables_of_every_type_set_their_keys() {
    let config = of_environment(&[
        ("LEADSMAN_DATA_DIR", "/data"),
        ("LEADSMAN_SOURCES__WEBHOOK", "false"),
        ("LEADSMAN_SOURCES__FILES", "a.log, b.log"),
        ("LEADSMAN_CLUSTER__CI", "[\"ci:*\", \"cn=a,o=b\"]"),
        ("LEADSMAN_CLUSTER__CONTROLLERS", ""),
        ("LEADSMAN_STATE__SNAPSHOT_EVERY_EVENTS", "9"),
        ("LEADSMAN_DETECT__BUDGET_PER_DAY", "2"),
        ("LEADSMAN_KAFKA__BOOTSTRAP_SERVERS", "kafka:9092"),
        ("LEADSMAN_KAFKA__PROPERTIES__SASL_PASSWORD", "hunter2"),
    ])
    .unwrap()
    .config;
    assert_eq!(config.data_dir, PathBuf::from("/data"));
    assert_eq!(
        config.sources,
        SourcesConfig { webhook: false, files: vec!["a.log".into(), "b.log".into()], ..Config::default().sources }
    );
    assert_eq!(config.cluster.rules.ci, ["ci:*", "cn=a,o=b"]);
    assert!(config.cluster.rules.controllers.is_empty());
    assert_eq!(config.state.snapshot_every_events, 9);
    assert!((config.detect.budget_per_day - 2.0).abs() < f64::EPSILON);
    assert_eq!(config.kafka.unwrap().properties["sasl.password"], "hunter2");
}

#[test]
fn variables_of_other_tools_and_of_kubernetes_are_passed_over() {
    for name in [
        "LEADSMAN_CONFIG",
        "LEADSMAN_DATASETS",
        "LEADSMAN_LOG",
        "LEADSMAN_TOKEN",
        "LEADSMAN_TEST_CACHE",
        "LEADSMAN_BIN",
        "LEADSMAN_GOLDEN",
        "LEADSMAN_SERVICE_HOST",
        "LEADSMAN_SERVICE_PORT",
        "LEADSMAN_SERVICE_PORT_HTTP",
        "LEADSMAN_PORT",
        "LEADSMAN_PORT_8080_TCP",
        "LEADSMAN_PORT_8080_TCP_ADDR",
        "LEADSMAN_KAFKA_SERVICE_HOST",
        "LEADSMAN_KAFKA_PORT_9092_TCP_PROTO",
        "OTHER",
    ] {
        assert_eq!(of_environment(&[(name, "x")]).unwrap().config, Config::default(), "{name}");
    }
    for name in ["LEADSMAN_PORTS", "LEADSMAN_PORT_X", "LEADSMAN_SERVER", "LEADSMAN_SERVER__PORT", "LEADSMAN_"] {
        assert_eq!(of_environment(&[(name, "x")]).unwrap_err().problems.len(), 1, "{name}");
    }
}

#[test]
fn properties_may_be_quoted_or_not() {
    let text = r#"
kafka.bootstrap_servers = "a:1"
[kafka.properties]
"ssl.ca.location" = "ca"
sasl.mechanism = "PLAIN"
"#;
    let properties = of_file(text).unwrap().config.kafka.unwrap().properties;
    assert_eq!(
        properties.into_iter().collect::<Vec<_>>(),
        owned(&[("sasl.mechanism", "PLAIN"), ("ssl.ca.location", "ca")])
    );
}

#[test]
fn file_of_a_windows_editor_is_read() {
    let text = "\u{feff}[log]\r\nlevel = \"debug\"\r\n";
    assert_eq!(of_file(text).unwrap().config.log.level, LogLevel::Debug);
}

const EVERYTHING: &str = r#"
data_dir = "/data/\"odd\\\u0001 name\ntwo"
[server]
listen = "[::]:0"
token_file = "/run/token"
allowed_hosts = ["leadsman.example", "[fd00::1]", "10.0.0.1"]
max_body_mib = 1
[cluster]
name = "prod-1.eu"
ci = ["ci:*"]
controllers = ["system:serviceaccount:flux-system:*"]
[detect]
model = "k8s@champion"
budget_per_day = 0.001
window_minutes = 60
[sources]
webhook = false
files = ["/var/log/audit.log"]
idle_after_seconds = 1
[kafka]
bootstrap_servers = "kafka:9092"
[kafka.properties]
"security.protocol" = "sasl_ssl"
[state]
snapshot_every_seconds = 60
[log]
level = "trace"
format = "json"
"#;

#[test]
fn what_is_shown_loads_to_the_same_configuration() {
    let loaded = of_file(EVERYTHING).unwrap();
    for origin in [false, true] {
        let shown = loaded.effective.to_toml(origin);
        assert_eq!(of_file(&shown).unwrap().config, loaded.config, "{shown}");
    }
    let defaults = Given::default().load().unwrap();
    assert_eq!(of_file(&defaults.effective.to_toml(true)).unwrap().config, defaults.config);
}

#[test]
fn origins_are_shown() {
    let loaded = Given {
        files: &[("leadsman.toml", "[log]\nlevel = \"debug\"\n")],
        environment: &[("LEADSMAN_LOG__FORMAT", "json")],
        flags: &[("server.listen", "127.0.0.1:1")],
        ..Given::default()
    }
    .load()
    .unwrap();
    let shown = loaded.effective.to_toml(true);
    for line in [
        "data_dir = \"leadsman-data\" # default",
        "listen = \"127.0.0.1:1\" # command line",
        "budget_per_day = 5.0 # default",
        "level = \"debug\" # leadsman.toml:2:9",
        "format = \"json\" # LEADSMAN_LOG__FORMAT",
    ] {
        let has = |shown: &str| shown.split_whitespace().eq(line.split_whitespace());
        assert!(shown.lines().any(has), "{line}{shown}");
    }
    assert!(!loaded.effective.to_toml(false).contains('#'));

    let json = loaded.effective.to_json();
    let level = json["settings"].as_array().unwrap().iter().find(|setting| setting["key"] == "log.level").unwrap();
    assert_eq!(json["schema"], "leadsman.config/v1");
    let expected = r#"{"key":"log.level","layer":"file","origin":"leadsman.toml:2:9","value":"debug"}"#;
    assert_eq!(*level, serde_json::from_str::<serde_json::Value>(expected).unwrap());
}

#[test]
fn secrets_are_redacted_wherever_they_are_shown() {
    let text = r#"
[kafka]
bootstrap_servers = "a:1"
[kafka.properties]
"sasl.username" = "jane"
"sasl.password" = "hunter2"
"ssl.key.pem" = """-----BEGIN
hunter2"""
"ssl.key.password" = "hunter2"
"sasl.oauthbearer.client.secret" = "hunter2"
"#;
    let loaded = of_file(text).unwrap();
    assert_eq!(loaded.config.kafka.as_ref().unwrap().properties["sasl.password"], "hunter2");
    let effective = &loaded.effective;
    let shown = [effective.to_toml(true), effective.to_json().to_string(), format!("{loaded:?}")];
    for shown in shown {
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("sasl.username"), "{shown}");
    }
    assert!(effective.to_toml(false).contains("\"sasl.password\" = \"(redacted)\"\n\"sasl.username\" = \"jane\"\n"));
}

#[test]
fn the_password_of_a_database_is_shown_nowhere() {
    for url in [
        "postgres://jane:hunter2@db.example/leads",
        "postgres://jane@db.example/leads?password=hunter2",
        "postgres://jane:hun?hunter2@db.example/leads",
        "postgres://jane:?hunter2@db.example/leads?application_name=x",
    ] {
        let loaded = of_file(&format!("[store]\nurl = \"{url}\"\n")).unwrap();
        for shown in [loaded.effective.to_toml(true), loaded.effective.to_json().to_string(), format!("{loaded:?}")] {
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(shown.contains("postgres://jane") && shown.contains("@db.example/leads"), "{shown}");
        }
    }
    for url in ["mysql://jane:hunter2@db/x", "postgres://jane:hunter2@db", "postgres://jane:hunter2@db:port/x"] {
        let error = of_file(&format!("[store]\nurl = \"{url}\"\n")).unwrap_err();
        assert!(error.to_string().contains("store.url") && !error.to_string().contains("hunter2"), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    assert_eq!(of_file("[store]\nurl = \"\"\n").unwrap().config.store.postgres, None);
}
