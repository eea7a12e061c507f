use super::*;

/// One line for each problem of a file.
fn lines(text: &str) -> Vec<String> {
    of_file(text).unwrap_err().problems.iter().map(ToString::to_string).collect()
}

#[test]
fn all_problems_of_a_file_come_at_once_and_in_order() {
    let text = r#"
[server]
listn = "0.0.0.0:8080"
max_body_mib = "64"
[sever]
listen = "x"
[detect]
budget_per_day = 0
window_minutes 5
[log]
level = "loud"
"#;
    assert_eq!(
        lines(text),
        [
            "unknown key `server.listn`, did you mean `listen`? (leadsman.toml:3:1)",
            "`server.max_body_mib` must be a whole number, not a string (leadsman.toml:4:16)",
            "unknown section `[sever]`, did you mean `server`? (leadsman.toml:5:2)",
            "`detect.budget_per_day` must be from 0.001 to 1000 incidents per day, not 0 (leadsman.toml:8:18)",
            "not valid TOML: key with no value, expected `=` (leadsman.toml:9:16)",
            "`log.level` must be \"error\", \"warn\", \"info\", \"debug\" or \"trace\", not \"loud\" (leadsman.toml:11:9)",
        ]
    );
}

#[test]
fn problems_of_all_layers_come_at_once() {
    let given = Given {
        files: &[(ETC, "log.level = 1"), ("leadsman.toml", "log.level = \"info\"\nlog.color = true")],
        environment: &[("LEADSMAN_LOG__LEVEL", "x"), ("LEADSMAN_KAFKA_BOOTSTRAP_SERVERS", "x")],
        flags: &[("server.listen", "localhost:1"), ("server.port", "1")],
        ..Given::default()
    };
    let origins: Vec<_> = given.load().unwrap_err().problems.iter().map(|problem| problem.origin.to_string()).collect();
    assert_eq!(
        origins,
        [
            "/etc/leadsman/leadsman.toml:1:13",
            "leadsman.toml:2:5",
            "LEADSMAN_KAFKA_BOOTSTRAP_SERVERS",
            "LEADSMAN_LOG__LEVEL",
            "command line",
            "command line",
        ]
    );
}

#[test]
fn report_shows_the_place() {
    let text = "[server]\n\nlistn = \"0.0.0.0:8080\"\nmax_body_mib = 0\n";
    let error = Given {
        files: &[("leadsman.toml", text)],
        environment: &[("LEADSMAN_SERVER__LISTN", "x")],
        ..Given::default()
    }
    .load()
    .unwrap_err();
    let expected = "\
error: unknown key `server.listn`              leadsman.toml:3:1
  3 | listn = \"0.0.0.0:8080\"
    | ^^^^^ did you mean `listen`?
error: `server.max_body_mib` must be from 1 to 1024 MiB, not 0  leadsman.toml:4:16
  4 | max_body_mib = 0
    |                ^
error: unknown variable `LEADSMAN_SERVER__LISTN`  LEADSMAN_SERVER__LISTN
  help: did you mean `LEADSMAN_SERVER__LISTEN`?
  help: run `leadsman config show`";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn variables_of_a_wrong_type() {
    let error = of_environment(&[
        ("LEADSMAN_DETECT__BUDGET_PER_DAY", "lots"),
        ("LEADSMAN_DETECT__WINDOW_MINUTES", "5.5"),
        ("LEADSMAN_SOURCES__FILES", "[\"a\", 1]"),
        ("LEADSMAN_SOURCES__WEBHOOK", "yes"),
    ])
    .unwrap_err();
    let lines: Vec<_> = error.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "`detect.budget_per_day` must be a number, not \"lots\" (LEADSMAN_DETECT__BUDGET_PER_DAY)",
            "`detect.window_minutes` must be a whole number, not \"5.5\" (LEADSMAN_DETECT__WINDOW_MINUTES)",
            "`sources.files` must be a list of strings, not \"[\\\"a\\\", 1]\" (LEADSMAN_SOURCES__FILES)",
            "`sources.webhook` must be true or false, not \"yes\" (LEADSMAN_SOURCES__WEBHOOK)",
        ]
    );
}

#[test]
fn keys_in_the_wrong_section_are_found_again() {
    for (text, line) in [
        ("listen = \"x\"", "unknown key `listen`, did you mean `server.listen`? (leadsman.toml:1:1)"),
        ("[log]\nlevle = 1", "unknown key `log.levle`, did you mean `level`? (leadsman.toml:2:1)"),
        ("[log]\ncompletely = 1", "unknown key `log.completely` (leadsman.toml:2:1)"),
        ("server = 1", "`server` must be a section, not a whole number (leadsman.toml:1:10)"),
        ("[data_dir]\na = 1", "`data_dir` must be a string, not a section (leadsman.toml:1:1)"),
        ("[[server]]", "`server` must be a section, not a list with other entries (leadsman.toml:1:1)"),
    ] {
        assert_eq!(lines(text), [line]);
    }
}

#[test]
fn syntax_errors_hide_nothing_but_what_they_make_doubtful() {
    // Two errors of one line each; the wrong type between them is still seen.
    assert_eq!(lines("cluster.name = \"a\nlog.level = 5\ndata_dir =\n").len(), 3);
    assert_eq!(lines("log\n[log]\nlevel\nformat = 5\nserver 3").len(), 4);
    // What follows an open header might belong to any section.
    assert_eq!(lines("log.color = 1\n[server\nlisten = \"127.0.0.1:1\"\nname = 1\n").len(), 2);
    // The same for an open list.
    assert_eq!(lines("[cluster]\nci = [\"a\",\nname = \"x\"\n[log]\nlevel = \"info\"\n").len(), 1);
    assert_eq!(lines("log.level = \"info\"\nlog.level = \"warn\"\n").len(), 1);
}

#[test]
fn values_of_the_right_type_that_cannot_be() {
    for text in [
        "data_dir = \"\"",
        "server.listen = \"localhost:8080\"",
        "server.listen = \"127.0.0.1\"",
        "server.auth = \"Token\"",
        "server.max_body_mib = 1025",
        "server.allowed_hosts = [\"https://leadsman.example\"]",
        "server.allowed_hosts = [\"leadsman.example:8080\"]",
        "cluster.name = \"\"",
        "cluster.name = \"Prod\"",
        "cluster.name = \"-a\"",
        "cluster.name = \"0123456789012345678901234567890123456789012345678901234567890123\"",
        "cluster.ci = [\"*\"]",
        "cluster.ci = [\"a*b\"]",
        "cluster.controllers = [\"\"]",
        "detect.budget_per_day = 1000.5",
        "detect.budget_per_day = nan",
        "detect.budget_per_day = inf",
        "detect.window_minutes = 0",
        "detect.window_minutes = 61",
        "detect.window_minutes = -1",
        "detect.window_minutes = 99999999999999999999",
        "sources.files = [\"a\", \"\"]",
        "kafka.bootstrap_servers = \"a:9092,\"",
        "kafka.bootstrap_servers = \"kafka\"",
        "kafka.bootstrap_servers = \"a:0\"",
        "kafka.bootstrap_servers = \"::1:9092\"",
        "kafka.group_id = \"\"",
        "kafka.audit_topics = [\"..\"]",
        "kafka.audit_topics = [\"a b\"]",
        "kafka.audit_topics = [\"a=Not A Cluster\"]",
        "kafka.audit_topics = [\"a\", \"a=other\"]",
        "kafka.metrics_topics = [\"leadsman.audit\"]",
        "kafka.findings_topic = \"leadsman.audit\"",
        "kafka.properties.\"group.id\" = \"x\"",
        "kafka.properties.\"a b\" = \"x\"",
        "kafka.properties.\"a\" = true",
        "state.snapshot_every_events = 0",
        "log.format = \"\"",
    ] {
        assert_eq!(lines(text).len(), 1, "{text}");
    }
}

#[test]
fn nobody_listens_to_others_without_login() {
    let open = |listen: &str| of_file(&format!("[server]\nauth = \"none\"\nlisten = \"{listen}\"\n"));
    for listen in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert!(open(listen).is_ok(), "{listen}");
    }
    for listen in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[::ffff:10.0.0.1]:1"] {
        assert!(open(listen).is_err(), "{listen}");
    }
    // The layer that made it so is to blame.
    let error = Given {
        files: &[("leadsman.toml", "server.auth = \"none\"")],
        flags: &[("server.listen", "0.0.0.0:8080")],
        ..Given::default()
    }
    .load()
    .unwrap_err();
    assert_eq!(error.problems[0].origin, Origin::Flag);
    assert_eq!(
        error.to_string(),
        "error: `server.auth` is \"none\", but `server.listen` is 0.0.0.0:8080, which others can reach  command line
  help: set `server.auth = \"token\"`, or listen on a loopback address such as 127.0.0.1
  help: run `leadsman config show`"
    );
}

#[test]
fn reports_show_no_secrets() {
    for text in [
        "[kafka.properties]\n\"sasl.password\" = [\"hunter2\"]\n",
        "[kafka]\nsasl_pasword = 1\nsasl_password = \"hunter2\"\n",
        "[server]\ntoken = \"hunter2\"\n",
        "[kafka.properties]\n\"sasl.password\" = \"hunter2\n",
        "[kafka.properties]\n\"ssl.key.pem\" = \"\nhunter2\n",
        "[kafka.properties]\n\"ssl.key.pem\" = \"\"\"\nhunter2\\q\n\"\"\"\n",
    ] {
        let error = of_file(text).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn places_count_characters() {
    let text = "cluster.name = \"\u{e9}\u{e9}\"; # \u{e9}\r\n\tlog.x = 1";
    let error = of_file(text).unwrap_err();
    assert_eq!(
        error.problems.iter().map(|problem| problem.origin.to_string()).collect::<Vec<_>>(),
        ["leadsman.toml:1:20", "leadsman.toml:2:6"]
    );
    assert!(error.to_string().contains("  2 |  log.x = 1\n    |      ^\n"), "{error}");
}

#[test]
fn distances() {
    for (from, to, expected) in
        [("", "", 0), ("", "ab", 2), ("listn", "listen", 1), ("levle", "level", 1), ("ab", "cd", 2)]
    {
        assert_eq!(suggest::distance(from, to), expected, "{from} {to}");
        assert_eq!(suggest::distance(to, from), expected, "{from} {to}");
    }
}
