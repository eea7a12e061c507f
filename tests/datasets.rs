//! `leadsman datasets`: what is generated, looked at and converted.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::cli::{LONG, done, json, leadsman};
use crate::simulated::{audit, lines};
use crate::support::data::dataset;
use crate::support::leadsman::run;
use crate::support::{Case, Need, Result, workspace};

pub(crate) const CASES: &[Case] = &[
    Case { name: "datasets::generated_attacks_are_labelled", needs: &[], run: generated },
    Case { name: "datasets::converted_files_are_read_like_the_original", needs: &[], run: convert },
    Case {
        name: "datasets::inspect_says_what_is_in_real_logs",
        needs: &[Need::Dataset("falco-k8s-audit"), Need::Dataset("k8s-audit-benign")],
        run: inspect,
    },
];

/// Any technique can be mixed into a cluster of any size, and the labels name exactly its lines.
fn generated() -> Result<()> {
    let directory = TempDir::new()?;
    let here = directory.path();
    let period = ["datasets", "generate", "--out", "out", "--size", "small", "--days", "1", "--no-metrics", "--json"];
    let change = ["--change", "node-upgrade@0"];
    let attack = ["--attack-at", "2026-03-02T10:00:00Z", "--attack", "list-secrets", "--attack-identity", "human"];
    let quiet = json(&done(leadsman(here, &[&period[..], &change].concat())?)?)?;
    let summary = json(&done(leadsman(here, &[&period[..], &change, &attack].concat())?)?)?;
    let labels: Value = serde_json::from_slice(&std::fs::read(here.join("out/labels.json"))?)?;
    assert_eq!(
        (&labels["stages"][0]["name"], labels["stages"].as_array().map(Vec::len)),
        (&"list-secrets".into(), Some(1))
    );
    let labelled = labels["audit_lines"].as_array().ok_or("no labels")?;
    let count = |summary: &Value| summary["events"].as_u64().ok_or("no count");
    assert_eq!(count(&summary)? - count(&quiet)?, labelled.len() as u64, "nothing but the attack was added");
    let text = String::from_utf8(zstd::decode_all(std::fs::File::open(here.join("out/audit.jsonl.zst"))?)?)?;
    let of_attack = |at: &Value| {
        let line = at["line"].as_u64().and_then(|n| text.lines().nth(n as usize - 1));
        line.and_then(|line| serde_json::from_str::<Value>(line).ok()).unwrap_or_default()
    };
    let actor = &labels["stages"][0]["entity"];
    let mut events = labelled.iter().map(of_attack);
    assert!(
        events
            .any(|e| e["user"]["username"] == *actor && e["verb"] == "list" && e["objectRef"]["resource"] == "secrets")
    );

    for (wrong, told) in [
        (["--attack-at", "2026-03-02T10:00:00Z", "--attack", "no-such-thing"], "list-secrets"),
        (["--attack-at", "2026-03-09T10:00:00Z", "--attack", "list-secrets"], "does not fit"),
        (["--size", "small", "--change", "no-such-thing@1"], "node-upgrade"),
    ] {
        let refused = leadsman(here, &[&["datasets", "generate", "--out", "no", "--days", "1"], &wrong[..]].concat())?;
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        assert!(refused.stderr.contains(told), "{}", refused.stderr);
    }
    Ok(())
}

fn inspect() -> Result<()> {
    let directory = TempDir::new()?;
    let inspect = |paths: &[&Path]| -> Result<Value> {
        let mut args = vec!["datasets", "inspect", "--json"];
        for path in paths {
            args.push(path.to_str().ok_or("an odd path")?);
        }
        json(&done(leadsman(directory.path(), &args)?)?)
    };
    let ids = |document: &Value| -> Vec<String> {
        let blind = document["blind"].as_array().into_iter().flatten();
        blind.filter_map(|b| b["id"].as_str().map(str::to_owned)).collect()
    };
    let benign = inspect(&[&dataset("k8s-audit-benign").ok_or("no data set")?.join("audit.jsonl")])?;
    assert_eq!((&benign["events"], &benign["formats"]["audit_event"]), (&8281.into(), &8281.into()));
    assert_eq!((&benign["rejects"], &benign["skipped"]), (&serde_json::json!({}), &serde_json::json!({})));
    assert_eq!(benign["actors"]["exact"], true);
    assert!(benign["seconds"].as_f64().is_some_and(|s| (90.0..100.0).contains(&s)), "{benign:#}");
    assert!(ids(&benign).contains(&"short".to_owned()) && ids(&benign).contains(&"no_samples".to_owned()));

    let root = dataset("falco-k8s-audit").ok_or("no data set")?;
    let falco = inspect(&[&root.join("traces"), &root.join("psp_traces")])?;
    assert_eq!(falco["events"], 89);
    assert_eq!(falco["rejects"], serde_json::json!({"invalid_field": 1}), "the one that is broken on purpose");
    let example = falco["reject_examples"][0].as_str().unwrap_or_default();
    assert!(example.contains("fal_01_003.json:1: invalid_field"), "{example}");

    // Standard input, other formats, and what is no telemetry at all.
    let mixed = std::fs::read(workspace().join("crates/leadsman-decode/fuzz/seeds/mixed/lines.jsonl"))?;
    let args = ["datasets", "inspect", "-", "--json"];
    let mixed = json(&done(run(&args, directory.path(), &[], &mixed, LONG)?)?)?;
    assert_eq!((&mixed["runtime"], &mixed["flows"], &mixed["skipped"]["discovery"]), (&2.into(), &1.into(), &1.into()));
    assert!(ids(&mixed).contains(&"unscored".to_owned()), "{mixed:#}");
    assert_eq!(run(&args, directory.path(), &[], b"nothing of ours", LONG)?.code, Some(1));
    Ok(())
}

/// What is converted is read back as it was, by every command that reads, and a failure leaves no file.
fn convert() -> Result<()> {
    let directory = TempDir::new()?;
    let here = directory.path();
    let seeds = workspace().join("crates/leadsman-decode/fuzz/seeds");
    let mixed = seeds.join("mixed/lines.jsonl");
    let pods = seeds.join("audit/pod.jsonl");
    let (mixed, pods) = (mixed.to_str().ok_or("an odd path")?, pods.to_str().ok_or("an odd path")?);
    let inspect = |paths: &[&str]| -> Result<Value> {
        let args = [&["datasets", "inspect", "--json"], paths].concat();
        let mut document = json(&done(leadsman(here, &args)?)?)?;
        for key in ["formats", "rejects", "reject_examples", "skipped"] {
            document[key].take();
        }
        Ok(document)
    };
    let converted = json(&done(leadsman(here, &["datasets", "convert", mixed, pods, "all.jsonl.zst", "--json"])?)?)?;
    let original = inspect(&[mixed, pods])?;
    for kind in ["events", "runtime", "flows"] {
        assert!(converted[kind].as_u64().is_some_and(|n| n > 0), "{converted:#}");
        assert_eq!(converted[kind], original[kind]);
    }
    assert_eq!((&converted["left_out"], &converted["skipped"]["discovery"]), (&0.into(), &1.into()));
    assert_eq!(inspect(&["all.jsonl.zst"])?, original);
    // Kinds are sorted within a chunk, so the first conversion of several files may order lines anew, and no other.
    for (from, to) in [("all.jsonl.zst", "once.jsonl.zst"), ("once.jsonl.zst", "twice.jsonl.zst")] {
        done(leadsman(here, &["datasets", "convert", from, to])?)?;
    }
    assert!(std::fs::read(here.join("once.jsonl.zst"))? == std::fs::read(here.join("twice.jsonl.zst"))?);

    let log = here.join("audit.jsonl");
    std::fs::write(&log, lines(&audit(0, 1)?))?;
    done(leadsman(here, &["datasets", "convert", "audit.jsonl", "audit.jsonl.zst"])?)?;
    let score = |path: &str| -> Result<String> {
        Ok(done(leadsman(here, &["score", "--model", "builtin:demo", "--json", path])?)?.stdout)
    };
    assert_eq!(score("audit.jsonl.zst")?, score("audit.jsonl")?);

    let table = json(&done(leadsman(here, &["datasets", "convert", mixed, "audit.parquet", "--json"])?)?)?;
    assert_eq!(table["written"], table["events"]);
    let others = ["samples", "runtime", "flows"].iter().filter_map(|kind| table[kind].as_u64()).sum::<u64>();
    assert!(others > 0 && table["left_out"] == others, "{table:#}");
    let file = std::fs::read(here.join("audit.parquet"))?;
    assert!(file.starts_with(b"PAR1") && file.ends_with(b"PAR1"));

    for (args, code) in [
        (&["datasets", "convert", mixed, "x.csv"][..], 2),
        (&["datasets", "convert", mixed, "x.jsonl.zst", "--table", "audit"], 2),
        (&["datasets", "convert", pods, "x.parquet", "--table", "samples"], 1),
        (&["datasets", "convert", "missing.json", "x.jsonl.zst"], 1),
        (&["datasets", "convert", mixed, "nowhere/x.parquet"], 1),
    ] {
        let output = leadsman(here, args)?;
        assert_eq!(output.code, Some(code), "{args:?}: {}", output.stderr);
    }
    let kept: Vec<_> = std::fs::read_dir(here)?.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
    assert!(kept.iter().all(|name| !name.to_string_lossy().starts_with(['.', 'x'])), "{kept:?}");
    Ok(())
}
