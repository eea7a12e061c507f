//! The command line, run as a person runs it.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::simulated::{ATTACK_DAY, audit, lines};
use crate::support::data::dataset;
use crate::support::leadsman::{Output, run};
use crate::support::{Case, DEADLINE, Need, Result, environment, workspace};

pub(crate) const CASES: &[Case] = &[
    Case { name: "cli::demo_finds_the_attack", needs: &[], run: demo },
    Case { name: "cli::backtest_counts_what_is_found", needs: &[], run: backtest },
    Case { name: "cli::backtest_shows_an_inverted_detector", needs: &[], run: negated_backtest },
    Case { name: "cli::demo_without_attack_stays_quiet", needs: &[], run: quiet },
    Case { name: "cli::demo_with_negated_scores_fails", needs: &[], run: negated },
    Case { name: "cli::a_week_has_no_more_findings_than_its_budget", needs: &[], run: budget },
    Case { name: "cli::training_is_reproducible", needs: &[], run: reproducible },
    Case { name: "cli::a_real_log_trains_and_scores", needs: &[Need::Dataset("k8s-audit-benign")], run: real_log },
    Case { name: "cli::falco_traces_decode", needs: &[Need::Dataset("falco-k8s-audit")], run: falco },
    Case { name: "cli::bad_input_is_named_and_the_rest_goes_on", needs: &[], run: bad_input },
    Case { name: "cli::every_wrapping_scores_the_same", needs: &[], run: wrappings },
    Case { name: "cli::a_wrong_configuration_names_every_problem", needs: &[], run: wrong_configuration },
    Case { name: "cli::a_corrupt_or_foreign_model_is_refused", needs: &[], run: refused_model },
    Case { name: "cli::findings_are_explained", needs: &[], run: explained },
    Case { name: "cli::doctor_checks_the_set_up", needs: &[], run: doctor },
    Case { name: "cli::help_and_completions_are_golden", needs: &[], run: golden },
];

pub(crate) const LONG: Duration = Duration::from_secs(300);
/// Seed 102 is a small cluster.
const QUICK_BACKTEST: [&str; 7] = ["backtest", "--quick", "--seeds", "1", "--first-seed", "102", "--json"];

pub(crate) fn leadsman(directory: &Path, args: &[&str]) -> Result<Output> {
    run(args, directory, &[], b"", LONG)
}

pub(crate) fn json(output: &Output) -> Result<Value> {
    serde_json::from_str(&output.stdout).map_err(|e| format!("{e}: {}\n{}", output.stdout, output.stderr).into())
}

pub(crate) fn done(output: Output) -> Result<Output> {
    if output.code == Some(0) { Ok(output) } else { Err(format!("{:?}: {}", output.code, output.stderr).into()) }
}

fn demo() -> Result<()> {
    let directory = TempDir::new()?;
    let account = json(&done(leadsman(directory.path(), &["demo", "--headless", "--fast", "--json"])?)?)?;
    let stages = account["stages"].as_array().ok_or("no stages")?;
    assert!(stages.len() >= 5 && account["total"] == stages.len());
    assert!(account["detected"].as_u64() >= Some(5), "{account:#}");
    assert!(account["false_incidents"].as_u64() <= Some(1), "{account:#}");
    assert!(account["events"].as_u64() > Some(100_000));
    assert!(account["events_per_second"].as_f64() > Some(0.0));
    for stage in stages.iter().filter(|s| s["detected"] == true) {
        assert!(stage["technique"].as_str().is_some_and(|t| t.starts_with('T')), "{stage}");
        assert!(stage["seconds_to_finding"].as_f64().is_some_and(|s| (0.0..1200.0).contains(&s)), "{stage}");
        assert!(stage["explanation"].as_str().is_some_and(|e| e.contains("cart")), "{stage}");
    }
    Ok(())
}

fn quiet() -> Result<()> {
    let directory = TempDir::new()?;
    let output = done(leadsman(directory.path(), &["demo", "--headless", "--fast", "--json", "--no-attack"])?)?;
    let account = json(&output)?;
    assert_eq!(account["detected"], 0);
    assert!(account["false_incidents"].as_u64() <= Some(1), "{account:#}");
    Ok(())
}

/// Of a small cluster that no default was chosen on: every technique in every style, beside the baselines.
fn backtest() -> Result<()> {
    let directory = TempDir::new()?;
    let mut args = QUICK_BACKTEST.to_vec();
    args.extend(["--baselines", "--report", "report.html", "--fail-under", "0.7"]);
    let report = json(&done(leadsman(directory.path(), &args)?)?)?;
    for style in ["noisy", "paced", "mimicry"] {
        let recall = |budget| report["recall"][style][budget].as_f64();
        assert!(recall("1") >= Some(0.7) && recall("5") >= recall("1") && recall("10") >= recall("5"), "{report:#}");
        let interval = report["recall_interval"][style]["1"].as_array().ok_or("no interval")?;
        assert!(interval[0].as_f64() < recall("1") && interval[1].as_f64() >= recall("1"), "{report:#}");
        assert!(report["time_to_detect_s"][style]["1"].as_f64() < Some(300.0), "{report:#}");
    }
    assert!(report["budget_ratio"]["1"].as_f64() <= Some(2.0), "{report:#}");
    assert!(report["techniques"].as_object().map(serde_json::Map::len) >= Some(40), "{report:#}");
    assert!(report["explanation_hit_rate"].as_f64() >= Some(0.9), "{report:#}");
    let simple = |style: &str| report["baselines"]["first-seen-x-sensitivity"]["recall"][style]["1"].as_f64();
    assert!(simple("noisy") > Some(0.0), "a baseline that finds nothing is no comparison: {report:#}");
    let page = std::fs::read_to_string(directory.path().join("report.html"))?;
    assert!(page.contains("<h2>Recall</h2>") && page.contains("first-seen-x-sensitivity"), "{page}");
    Ok(())
}

/// A back-test must show an inverted detector for what it is.
fn negated_backtest() -> Result<()> {
    let directory = TempDir::new()?;
    let mut args = QUICK_BACKTEST.to_vec();
    args.extend(["--negate-scores", "--fail-under", "0.7"]);
    let output = leadsman(directory.path(), &args)?;
    assert_eq!(output.code, Some(4), "{}", output.stderr);
    let report = json(&output)?;
    for style in ["noisy", "paced", "mimicry"] {
        assert!(report["recall"][style]["1"].as_f64() < Some(0.5), "{report:#}");
    }
    Ok(())
}

/// A detector that is inverted or inert must not pass: this one is inverted on purpose.
fn negated() -> Result<()> {
    let directory = TempDir::new()?;
    let output = leadsman(directory.path(), &["demo", "--headless", "--fast", "--json", "--negate-scores"])?;
    assert_eq!(output.code, Some(4), "{}", output.stderr);
    let account = json(&output)?;
    assert!(account["detected"].as_u64() < Some(5), "{account:#}");
    Ok(())
}

fn score(directory: &Path, more: &[&str]) -> Result<Value> {
    let mut args = vec!["score", "--model", "builtin:demo", "--json"];
    args.extend(more);
    json(&done(leadsman(directory, &args)?)?)
}

/// Benign days after training, which no threshold has seen.
fn budget() -> Result<()> {
    let directory = TempDir::new()?;
    std::fs::write(directory.path().join("week.jsonl"), lines(&audit(28, 3)?))?;
    let document = score(directory.path(), &["week.jsonl", "--budget", "5"])?;
    let findings = document["findings"].as_array().map_or(0, Vec::len);
    assert!(findings <= 30, "{findings} findings in three days at five a day");
    Ok(())
}

fn reproducible() -> Result<()> {
    let directory = TempDir::new()?;
    let here = directory.path();
    std::fs::write(here.join("audit.jsonl"), lines(&audit(0, 2)?))?;
    let train = |out: &str, seed: &str| {
        done(leadsman(here, &["train", "audit.jsonl", "--out", out, "--seed", seed, "--progress", "none"])?)
    };
    train("a", "7")?;
    train("b", "7")?;
    train("c", "8")?;
    for file in ["manifest.json", "weights.bin", "metrics.json", "MODEL_CARD.md"] {
        let read = |model: &str| std::fs::read(here.join(model).join(file));
        assert_eq!(read("a")?, read("b")?, "{file} differs between two runs with one seed");
    }
    assert_ne!(std::fs::read(here.join("a/weights.bin"))?, std::fs::read(here.join("c/weights.bin"))?);
    let score = |model: &str| {
        Ok::<_, libtest_mimic::Failed>(
            done(leadsman(here, &["score", "--model", model, "audit.jsonl", "--json"])?)?.stdout,
        )
    };
    assert_eq!(score("./a")?, score("./b")?);
    Ok(())
}

fn real_log() -> Result<()> {
    let log = dataset("k8s-audit-benign").ok_or("no data set")?.join("audit.jsonl");
    let log = log.to_str().ok_or("an odd path")?;
    let directory = TempDir::new()?;
    let here = directory.path();
    let trained = done(leadsman(here, &["train", log, "--out", "model", "--json", "--strict"])?)?;
    let document = json(&trained)?;
    assert_eq!(document["report"]["events"], 8281);
    assert_eq!(document["rejects"], serde_json::json!({}));
    // 96 seconds cannot say how rare anything is, and the model says so.
    assert_eq!(document["report"]["health"], "learning");
    let first = done(leadsman(here, &["score", "--model", "./model", log, "--json", "--strict"])?)?;
    let second = done(leadsman(here, &["score", "--model", "./model", log, "--json", "--strict"])?)?;
    assert_eq!(first.stdout, second.stdout);
    let scored = json(&first)?;
    assert_eq!(scored["events"], 8281);
    assert_eq!(scored["findings"], serde_json::json!([]), "no incident, and no rule of level high, may come from it");
    Ok(())
}

fn falco() -> Result<()> {
    let root = dataset("falco-k8s-audit").ok_or("no data set")?;
    let traces = root.join("traces");
    let psp = root.join("psp_traces");
    let directory = TempDir::new()?;
    let paths = [traces.to_str().ok_or("an odd path")?, psp.to_str().ok_or("an odd path")?];
    let output =
        done(leadsman(directory.path(), &["score", "--model", "builtin:demo", "--json", paths[0], paths[1]])?)?;
    let document = json(&output)?;
    assert_eq!(document["events"], 89);
    assert_eq!(document["rejects"], serde_json::json!({"invalid_field": 1}));
    assert!(output.stderr.contains("fal_01_003.json:1: invalid_field"), "{}", output.stderr);
    let strict = leadsman(directory.path(), &["score", "--model", "builtin:demo", "--strict", paths[0], paths[1]])?;
    assert_eq!(strict.code, Some(1));
    assert!(strict.stderr.contains("fal_01_003.json"), "{}", strict.stderr);
    Ok(())
}

fn bad_input() -> Result<()> {
    let directory = TempDir::new()?;
    let here = directory.path();
    let good = audit(0, 1)?;
    let mut file = lines(&good[..3]);
    file.extend_from_slice(b"{\"kind\":\"Event\",\"broken\n"); // line 4
    file.extend_from_slice(b"\xff\xfe\n"); // line 5
    file.extend("[".repeat(100_000).bytes().chain(*b"\n")); // line 6
    file.extend_from_slice(b"{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v9\",\"auditID\":\"x\"}\n"); // line 7
    let fat = String::from_utf8_lossy(&good[3]).replacen(
        "\"verb\"",
        &format!("\"padding\":\"{}\",\"verb\"", "x".repeat(5 << 20)),
        1,
    );
    file.extend_from_slice(fat.as_bytes()); // line 8: 5 MB, and fine
    file.push(b'\n');
    file.extend(lines(&good[4..10]));
    file.extend_from_slice(&good[10][..good[10].len() / 2]); // line 15: cut off
    std::fs::write(here.join("bad.jsonl"), &file)?;
    let output = done(leadsman(here, &["score", "--model", "builtin:demo", "bad.jsonl", "--json"])?)?;
    let document = json(&output)?;
    assert_eq!(document["events"], 10, "{}", output.stderr);
    assert_eq!(
        document["rejects"],
        serde_json::json!({"malformed_json": 2, "invalid_utf8": 1, "too_deep": 1, "unknown_api_version": 1})
    );
    for line in [
        "bad.jsonl:4: malformed_json",
        "bad.jsonl:5: invalid_utf8",
        "bad.jsonl:6: too_deep",
        "bad.jsonl:7: unknown_api_version",
        "bad.jsonl:15: malformed_json",
    ] {
        assert!(output.stderr.contains(line), "{line}\n{}", output.stderr);
    }
    let strict = leadsman(here, &["score", "--model", "builtin:demo", "bad.jsonl", "--strict"])?;
    assert_eq!(strict.code, Some(1), "{}", strict.stderr);
    let missing = leadsman(here, &["score", "--model", "builtin:demo", "nowhere.jsonl"])?;
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.contains("nowhere.jsonl"), "{}", missing.stderr);
    Ok(())
}

/// JSON lines, an array, an EventList, gzip, zstd, a directory and standard input: the same findings.
fn wrappings() -> Result<()> {
    let directory = TempDir::new()?;
    let here = directory.path();
    let events: Vec<Vec<u8>> = audit(ATTACK_DAY, 1)?.into_iter().skip(9_000).take(4_000).collect();
    let plain = lines(&events);
    let array = [b"[".as_slice(), &events.join(&b",\n"[..]), b"]"].concat();
    std::fs::write(here.join("plain"), &plain)?;
    std::fs::write(here.join("array"), array)?;
    std::fs::write(here.join("list"), crate::simulated::event_list(&events))?;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain)?;
    std::fs::write(here.join("gzip"), gzip.finish()?)?;
    std::fs::create_dir(here.join("dir"))?;
    std::fs::write(here.join("dir/audit-1.log.zst"), zstd::bulk::compress(&lines(&events[..2_000]), 1)?)?;
    std::fs::write(here.join("dir/audit-2.log"), lines(&events[2_000..]))?;
    let wanted = score(here, &["plain", "--budget", "1"])?;
    assert!(wanted["findings"].as_array().is_some_and(|f| !f.is_empty()), "the stretch holds the attack's start");
    for file in ["array", "list", "gzip", "dir"] {
        assert_eq!(score(here, &[file, "--budget", "1"])?, wanted, "{file}");
    }
    let args = ["score", "--model", "builtin:demo", "--json", "-", "--budget", "1"];
    assert_eq!(json(&done(run(&args, here, &[], &plain, LONG)?)?)?, wanted, "standard input");
    Ok(())
}

fn wrong_configuration() -> Result<()> {
    let directory = TempDir::new()?;
    let text = "[server]\nlistn = \"127.0.0.1:1\"\nlisten = \"nowhere\"\n[detect]\nbudget_per_day = \"many\"\n";
    std::fs::write(directory.path().join("leadsman.toml"), text)?;
    let variables = [("LEADSMAN_DETECT__WINDOW_MINUTES", "0")];
    let output = run(&["config", "show"], directory.path(), &variables, b"", DEADLINE)?;
    assert_eq!(output.code, Some(2), "{}", output.stderr);
    for problem in ["listn", "nowhere", "budget_per_day", "WINDOW_MINUTES", "did you mean"] {
        assert!(output.stderr.contains(problem), "{problem}\n{}", output.stderr);
    }
    std::fs::remove_file(directory.path().join("leadsman.toml"))?;
    let shown = done(leadsman(directory.path(), &["config", "show", "--origin"])?)?;
    assert!(shown.stdout.contains("budget_per_day = 5.0"), "{}", shown.stdout);
    assert_eq!(leadsman(directory.path(), &["no-such-command"])?.code, Some(2));
    Ok(())
}

fn refused_model() -> Result<()> {
    let directory = TempDir::new()?;
    let here = directory.path();
    std::fs::write(here.join("audit.jsonl"), lines(&audit(0, 1)?))?;
    done(leadsman(here, &["train", "audit.jsonl", "--out", "model"])?)?;
    let weights = here.join("model/weights.bin");
    let intact = std::fs::read(&weights)?;
    let mut flipped = intact.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for (bytes, what) in [(flipped, "flipped"), (intact[..middle].to_vec(), "cut"), (b"PK\x03\x04".to_vec(), "foreign")]
    {
        std::fs::write(&weights, bytes)?;
        let output = leadsman(here, &["score", "--model", "./model", "audit.jsonl"])?;
        assert_eq!(output.code, Some(5), "{what}: {}", output.stderr);
        assert!(output.stderr.contains("weights.bin"), "{what}: {}", output.stderr);
    }
    Ok(())
}

fn explained() -> Result<()> {
    let directory = TempDir::new()?;
    let here = directory.path();
    std::fs::write(here.join("audit.jsonl"), lines(&audit(ATTACK_DAY, 1)?[..14_000]))?;
    let output =
        done(leadsman(here, &["score", "--model", "builtin:demo", "audit.jsonl", "--json", "--budget", "1"])?)?;
    std::fs::write(here.join("findings.json"), &output.stdout)?;
    let document = json(&output)?;
    let findings = document["findings"].as_array().ok_or("no findings")?;
    assert!(!findings.is_empty());
    for f in findings {
        let points: i64 = f["explanation"]["contributions"]
            .as_array()
            .ok_or("no contributions")?
            .iter()
            .filter_map(|c| c["points"].as_i64())
            .sum();
        assert_eq!(Some(points), f["score"].as_i64(), "contributions sum to the score: {f:#}");
        let id = f["id"].as_str().ok_or("no id")?;
        let text = done(leadsman(here, &["explain", id, "--from", "findings.json"])?)?.stdout;
        assert!(text.contains(f["explanation"]["sentence"].as_str().ok_or("no sentence")?), "{text}");
    }
    assert_eq!(leadsman(here, &["explain", "fnd_x", "--from", "findings.json"])?.code, Some(2));
    Ok(())
}

fn doctor() -> Result<()> {
    let directory = TempDir::new()?;
    let here = directory.path();
    let missing = leadsman(here, &["doctor", "--json"])?;
    assert_eq!(missing.code, Some(1), "without a model it fails: {}", missing.stdout);
    let vars = [("LEADSMAN_DETECT__MODEL", "builtin:demo")];
    let output = done(run(&["doctor", "--json"], here, &vars, b"", DEADLINE)?)?;
    let checks = json(&output)?["checks"].clone();
    let polarity = checks.as_array().and_then(|c| c.iter().find(|c| c["check"] == "polarity")).cloned();
    assert_eq!(polarity.ok_or("polarity is not checked")?["verdict"], "ok", "{checks:#}");
    let list = json(&done(leadsman(here, &["models", "list", "--json"])?)?)?;
    assert_eq!(list["items"], serde_json::json!([]));
    Ok(())
}

/// What people script against. `LEADSMAN_GOLDEN=rewrite` rewrites the files; the diff is reviewed.
fn golden() -> Result<()> {
    let directory = TempDir::new()?;
    let here = directory.path();
    let mut help = String::new();
    let commands = [
        "",
        "demo",
        "serve",
        "train",
        "score",
        "replay",
        "explain",
        "models",
        "lake",
        "lake list",
        "lake prune",
        "datasets",
        "datasets inspect",
        "datasets convert",
        "doctor",
        "config",
        "openapi",
        "completions",
        "version",
    ];
    for command in commands {
        let args: Vec<&str> = command.split(' ').chain(["--help"]).filter(|a| !a.is_empty()).collect();
        let output = done(run(&args, here, &[("COLUMNS", "100")], b"", DEADLINE)?)?;
        writeln!(help, "$ leadsman {}\n{}", args.join(" "), output.stdout)?;
    }
    same("help.txt", &help)?;
    same("openapi.json", &done(leadsman(here, &["openapi"])?)?.stdout)?;
    for shell in ["bash", "zsh", "fish"] {
        assert!(done(leadsman(here, &["completions", shell])?)?.stdout.contains("leadsman"));
    }
    assert_eq!(done(leadsman(here, &["version"])?)?.stdout.trim(), concat!("leadsman ", env!("CARGO_PKG_VERSION")));
    Ok(())
}

fn same(name: &str, text: &str) -> Result<()> {
    let path = workspace().join("tests/golden").join(name);
    if environment("LEADSMAN_GOLDEN").as_deref() == Some("rewrite") {
        std::fs::write(&path, text)?;
    }
    let golden = std::fs::read_to_string(&path)?;
    if golden == text {
        return Ok(());
    }
    let line = golden.lines().zip(text.lines()).position(|(a, b)| a != b).unwrap_or(0);
    Err(format!("{} differs from line {}: run `just golden` and review the diff", path.display(), line + 1).into())
}
