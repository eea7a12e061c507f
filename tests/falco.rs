//! How Leadsman ranks the audit traces that Falco's own tests label.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::cli::{done, json, leadsman};
use crate::support::data::dataset;
use crate::support::{Case, Need, Result};

pub(crate) const CASES: &[Case] = &[Case {
    name: "falco::warnings_rank_above_what_is_never_detected",
    needs: &[Need::Dataset("falco-k8s-audit"), Need::Dataset("k8s-audit-benign")],
    run: ranking,
}];

/// Least area under the ROC curve of WARNING against never detected. A change that falls below has lost something.
const FLOOR: f64 = 0.80;
const LEVELS: [&str; 3] = ["INFO", "NOTICE", "WARNING"];
/// Cannot be read on purpose.
const MALFORMED: &str = "fal_01_003.json";

/// Why WARNING traces that begin so do not outrank most of those that no test detects.
const MISSES: [(&str, &str); 9] = [
    ("psp_traces/run_as_group_", "groups other than root's break the policy of that test alone"),
    ("psp_traces/fs_group", "groups other than root's break the policy of that test alone"),
    ("psp_traces/supplemental_groups_", "groups other than root's break the policy of that test alone"),
    ("psp_traces/run_as_user_1000_", "a user other than root breaks the policy of that test alone"),
    ("psp_traces/run_as_user_30_", "a user other than root breaks the policy of that test alone"),
    ("psp_traces/create_vanilla_nginx_deployment", "a plain pod: that test demands settings which others do not"),
    ("traces/create_nginx_pod_unprivileged", "a plain pod: its image is not on the list of that test"),
    (
        "traces/some-user_creates_namespace_foo",
        "its user is not on the list of that test; the same by minikube is clean",
    ),
    ("traces/create_configmap_sensitive_values", "the contents of config maps are not looked into"),
];

/// A trace and the evidence of its strangest window.
struct Ranked {
    name: String,
    evidence: f64,
}

fn ranking() -> Result<()> {
    let (benign, root) =
        (dataset("k8s-audit-benign").ok_or("no data set")?, dataset("falco-k8s-audit").ok_or("no data set")?);
    let directory = TempDir::new()?;
    let here = directory.path();
    let log = benign.join("audit.jsonl");
    done(leadsman(here, &["train", log.to_str().ok_or("an odd path")?, "--out", "model", "--progress", "none"])?)?;
    let (mut warned, mut never) = (Vec::new(), Vec::new());
    for (name, level) in labels(&root)? {
        let ranked = match level {
            Some("WARNING") => &mut warned,
            None if !name.ends_with(MALFORMED) => &mut never,
            Some(_) | None => continue,
        };
        let evidence = strangest(here, &root.join(&name))?;
        ranked.push(Ranked { name, evidence });
    }
    assert_eq!((warned.len(), never.len()), (43, 17));
    let (auroc, account) = account(&warned, &never)?;
    eprintln!("{account}");
    assert!(auroc >= FLOOR, "{account}");
    Ok(())
}

/// The traces that tests name and that exist, each with the highest level at which one detects it.
fn labels(root: &Path) -> Result<BTreeMap<String, Option<&'static str>>> {
    let tests: Value = serde_json::from_slice(&std::fs::read(root.join("labels_from_tests.json"))?)?;
    let mut highest: BTreeMap<String, Option<&'static str>> = BTreeMap::new();
    for test in tests.as_array().ok_or("no list of tests")? {
        let trace = test["trace"].as_str().ok_or("a test without a trace")?;
        let name = trace.replace("trace_files/k8s_audit/", "traces/").replace("trace_files/psp/", "psp_traces/");
        if !root.join(&name).is_file() {
            continue;
        }
        let level = LEVELS.into_iter().find(|level| test["detect"] == true && test["level"] == *level);
        let rank = |level: Option<&str>| LEVELS.iter().position(|known| Some(*known) == level);
        let known = highest.entry(name).or_default();
        if rank(level) > rank(*known) {
            *known = level;
        }
    }
    Ok(highest)
}

/// The most evidence of a window of the trace, for a model that has seen nothing since it was trained.
fn strangest(here: &Path, trace: &Path) -> Result<f64> {
    let trace = trace.to_str().ok_or("an odd path")?;
    let scored =
        json(&done(leadsman(here, &["score", "--model", "./model", "--json", "--progress", "none", trace])?)?)?;
    let windows = scored["strangest"].as_array().ok_or("no windows")?;
    Ok(windows.iter().filter_map(|window| window["evidence"].as_f64()).fold(0.0, f64::max))
}

/// The area under the ROC curve, and an account of what is on the wrong side of it.
///
/// Errors: a miss that nobody has looked into.
fn account(warned: &[Ranked], never: &[Ranked]) -> Result<(f64, String)> {
    let auroc = warned.iter().map(|w| outranked(w, never)).sum::<f64>() / warned.len() as f64;
    let mut text = format!(
        "AUROC {auroc:.3} of {} WARNING traces against {} never detected. Misses:\n",
        warned.len(),
        never.len()
    );
    for missed in warned.iter().filter(|w| outranked(w, never) <= 0.5) {
        let reason = MISSES.iter().find(|(begin, _)| missed.name.starts_with(begin));
        let (_, why) = reason.ok_or_else(|| format!("{} is missed, and nobody knows why", missed.name))?;
        writeln!(text, "  {:4.2} {}: {why}", missed.evidence, missed.name)?;
    }
    text.push_str("Never detected, with evidence:\n");
    for false_alarm in never.iter().filter(|n| n.evidence > 0.0) {
        writeln!(text, "  {:4.2} {}", false_alarm.evidence, false_alarm.name)?;
    }
    Ok((auroc, text))
}

/// The share of the others that a trace ranks above; ties count half.
fn outranked(trace: &Ranked, others: &[Ranked]) -> f64 {
    let won = others.iter().map(|other| match trace.evidence.total_cmp(&other.evidence) {
        Ordering::Greater => 1.0,
        Ordering::Equal => 0.5,
        Ordering::Less => 0.0,
    });
    won.sum::<f64>() / others.len() as f64
}
