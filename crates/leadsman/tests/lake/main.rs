//! The lake by the program itself: what is scored from it is what is scored from the log, on disk and in a bucket.

mod logs;
mod object_storage;

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use leadsman::lake::{Access, Filter, Lake};
use leadsman::service::lake_keeper;
use serde_json::Value;
use tokio::sync::watch;

use logs::{Days, write};
use object_storage::Server;

/// Runs the program in `directory`; panics unless it exits with `code`.
fn leadsman(directory: &Path, arguments: &[&str], variables: &[(&str, &str)], code: i32) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leadsman"));
    command.current_dir(directory).args(arguments).args(["--progress", "none"]).env_clear();
    let output = command.envs(variables.iter().copied()).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "leadsman {arguments:?}: {said}");
    output
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

/// What `score` says of `data`, all of it.
fn scored(directory: &Path, data: &[&str], variables: &[(&str, &str)]) -> Value {
    let arguments = [&["score", "--model", "builtin:demo", "--json"], data].concat();
    json(&leadsman(directory, &arguments, variables, 0))
}

#[test]
fn scores_of_the_lake_are_those_of_the_log() {
    let days = Days::generate();
    let directory = days.path();
    let lake = Lake::open(&directory.join("lake").display().to_string(), &Access::default()).expect("a lake");
    write(&lake, &days, "default");

    let of_log = scored(directory, &["logs"], &[]);
    assert!(of_log["findings"].as_array().is_some_and(|findings| findings.len() >= 6), "{of_log}");
    assert!(of_log["samples"].as_u64() > Some(1_000), "{of_log}");
    assert_eq!(scored(directory, &["lake"], &[]), of_log);

    let listed = json(&leadsman(directory, &["lake", "list", "lake", "--json"], &[], 0));
    leadsman(directory, &["lake", "compact", "lake"], &[], 0);
    let compacted = json(&leadsman(directory, &["lake", "list", "lake", "--json"], &[], 0));
    let files = |listed: &Value| listed["files"].as_u64().expect("a number");
    assert!(files(&compacted) < files(&listed) / 2, "{listed} {compacted}");
    assert_eq!(scored(directory, &["lake"], &[]), of_log);
    let again = json(&leadsman(directory, &["lake", "compact", "lake", "--json"], &[], 0));
    assert_eq!((&again["removed"], &again["written"]), (&0.into(), &0.into()));
}

#[test]
fn training_on_the_lake_gives_the_model_of_the_log() {
    let days = Days::generate();
    let directory = days.path();
    let lake = Lake::open(&directory.join("lake").display().to_string(), &Access::default()).expect("a lake");
    write(&lake, &days, "default");
    for (data, model) in [("logs", "of-log"), ("lake", "of-lake")] {
        leadsman(directory, &["train", data, "--out", model], &[], 0);
    }
    let weights = |model: &str| {
        let mut files: Vec<_> = std::fs::read_dir(directory.join(model))
            .expect("a directory")
            .map(|entry| entry.expect("an entry"))
            .map(|entry| (entry.file_name(), std::fs::read(entry.path()).expect("a file")))
            .collect();
        files.sort();
        files
    };
    assert!(weights("of-log") == weights("of-lake"));
}

#[test]
fn days_are_chosen_listed_and_removed() {
    let days = Days::generate();
    let directory = days.path();
    let lake = Lake::open(&directory.join("lake").display().to_string(), &Access::default()).expect("a lake");
    write(&lake, &days, "default");
    let events = |more: &[&str]| scored(directory, &[&["lake"], more].concat(), &[])["events"].as_u64();
    let (all, first) = (events(&[]), events(&["--to", "2026-04-02"]));
    let second = events(&["--from", "2026-04-02T00:00:00Z", "--cluster", "default"]);
    assert!(first > Some(0) && second > Some(0));
    assert_eq!(all, first.zip(second).map(|(a, b)| a + b));
    leadsman(directory, &["score", "--model", "builtin:demo", "lake", "--cluster", "other"], &[], 2);
    leadsman(directory, &["score", "--model", "builtin:demo", "logs", "--from", "2026-04-02"], &[], 2);
    leadsman(directory, &["lake", "list"], &[], 2);

    let text = String::from_utf8(leadsman(directory, &["lake", "list", "lake"], &[], 0).stdout).expect("text");
    assert!(text.contains("2026-04-01") && text.contains("samples"), "{text}");
    leadsman(directory, &["lake", "prune", "lake"], &[], 2);
    leadsman(directory, &["lake", "prune", "lake", "--before", "2026-04-02"], &[], 0);
    assert_eq!(events(&[]), second);
    let configured = [("LEADSMAN_LAKE__URL", "lake"), ("LEADSMAN_LAKE__KEEP_DAYS", "1")];
    leadsman(directory, &["lake", "prune"], &configured, 0);
    assert!(lake.contents(&Filter::default()).expect("a list").files.is_empty(), "it was long ago");
}

/// Runs the service's keeper until the lake has `files` files or fewer.
fn kept(lake: &Lake, keep_days: Option<u32>, files: usize) {
    let count = || lake.contents(&Filter::default()).expect("a list").files.len();
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let (stop, stopped) = watch::channel(false);
        let keeper = tokio::spawn(lake_keeper::run(lake.clone(), keep_days, stopped));
        let begun = Instant::now();
        while count() > files {
            assert!(begun.elapsed() < Duration::from_secs(120), "{} files are left", count());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.send(true).expect("it listens");
        tokio::time::timeout(Duration::from_secs(60), keeper).await.expect("it stops").expect("it ends well");
    });
}

#[test]
fn the_services_keeper_compacts_and_removes() {
    let days = Days::generate();
    let lake = Lake::open(&days.path().join("lake").display().to_string(), &Access::default()).expect("a lake");
    write(&lake, &days, "default");
    let hours = 2 * (24 + 24) + 1;
    kept(&lake, None, hours);
    assert_eq!(lake.contents(&Filter::default()).expect("a list").files.len(), hours);
    kept(&lake, Some(1), 0);
}

#[test]
fn a_lake_in_a_bucket_is_written_scored_compacted_and_pruned() {
    let days = Days::generate();
    let directory = days.path();
    let server = Server::start();
    let access = server.access();
    let lake = Lake::open("s3://telemetry/a/lake", &access).expect("a lake");
    write(&lake, &days, "default");
    let once = lake.contents(&Filter::default()).expect("a list");
    write(&lake, &days, "default");
    assert_eq!(lake.contents(&Filter::default()).expect("a list"), once, "written again it is the same");

    let variables = server.variables();
    let of_log = scored(directory, &["logs"], &[]);
    assert_eq!(scored(directory, &["s3://telemetry/a/lake"], &variables), of_log);
    leadsman(directory, &["lake", "compact", "s3://telemetry/a/lake"], &variables, 0);
    let compacted = lake.contents(&Filter::default()).expect("a list");
    assert!(compacted.files.len() < once.files.len() / 2);
    assert_eq!(scored(directory, &["s3://telemetry/a/lake"], &variables), of_log);
    assert!(lake.compact(&Filter::default(), logs::later(), |_, _| {}).expect("it compacts").removed == 0);
    leadsman(directory, &["lake", "prune", "s3://telemetry/a/lake", "--keep-days", "1"], &variables, 0);
    assert!(lake.contents(&Filter::default()).expect("a list").files.is_empty());
}

#[test]
fn the_wrong_key_and_a_server_without_tls_are_refused() {
    let server = Server::start();
    let mut wrong = server.access();
    wrong.variables.insert("AWS_SECRET_ACCESS_KEY".to_owned(), "not the key".to_owned());
    let lake = Lake::open("s3://telemetry/lake", &wrong).expect("nothing is asked yet");
    assert!(lake.contents(&Filter::default()).is_err());
    assert!(!format!("{wrong:?}").contains("not the key"));

    let days = tempfile::tempdir().expect("a directory");
    let variables: Vec<_> = server.variables().into_iter().filter(|(name, _)| !name.contains("ALLOW")).collect();
    let refused = leadsman(days.path(), &["lake", "list", "s3://telemetry/lake"], &variables, 2);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("lake.allow_http"), "{said}");
}

#[test]
fn files_that_do_not_fit_into_one_request_go_in_parts() {
    use leadsman::lake::{Bucket, Storage};
    use std::io::{Read, Write};

    let server = Server::start();
    let bucket = Bucket::open("telemetry", "parts", &server.access()).expect("a bucket");
    // No compressor makes it fit.
    let mut state = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    })
    .take((20 << 20) + 3)
    .collect();
    for (key, length) in [("small", 10), ("exact", 8 << 20), ("large", noise.len())] {
        let mut draft = bucket.draft().expect("a draft");
        draft.write_all(&noise[..length]).expect("it is written");
        bucket.publish(draft, key).expect("it is published");
        let mut back = Vec::new();
        bucket.open(key).expect("it opens").expect("it is there").read_to_end(&mut back).expect("it is read");
        assert!(back == noise[..length], "{key}");
        bucket.remove(key).expect("it is removed");
        assert!(bucket.open(key).expect("it is asked").is_none());
        bucket.remove(key).expect("it is gone already");
    }
}
