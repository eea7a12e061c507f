//! How Leadsman ranks the audit traces that Falco's own tests label.

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

/// A trace that ranks beside or below those that no test detects, and why: by a part of its name.
const MISSES: [(&str, &str); 0] = [];

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
    let (auroc, account) = account(&mut warned, &mut never);
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

/// The area under the ROC curve, where ties count half, and what a person wants to know of it.
fn account(warned: &mut [Ranked], never: &mut [Ranked]) -> (f64, String) {
    let share = |above: f64, of: &[Ranked]| {
        let wins = of.iter().map(|r| {
            if above > r.evidence {
                1.0
            } else if above < r.evidence {
                0.0
            } else {
                0.5
            }
        });
        wins.sum::<f64>() / of.len() as f64
    };
    warned.sort_by(|a, b| a.evidence.total_cmp(&b.evidence).then_with(|| a.name.cmp(&b.name)));
    never.sort_by(|a, b| b.evidence.total_cmp(&a.evidence).then_with(|| a.name.cmp(&b.name)));
    let auroc = warned.iter().map(|w| share(w.evidence, never)).sum::<f64>() / warned.len() as f64;
    let mut text =
        format!("AUROC {auroc:.3}: {} WARNING traces against {} never detected\n", warned.len(), never.len());
    for w in warned.iter() {
        let _ = writeln!(text, "{:5.2} {:4.2} {}", w.evidence, share(w.evidence, never), w.name);
    }
    for n in never.iter() {
        let _ = writeln!(text, "{:5.2} never {}", n.evidence, n.name);
    }
    (auroc, text)
}
