//! `just bench adbench`: how well forests rank the anomalies of 30 public sets, beside other detectors.
//!
//! The bench kit splits the sets (70 % to fit, unlabelled and contaminated; 30 % to score), runs the peers and judges
//! all scores, ours included; labels never come here. One configuration for all sets, and none is chosen by a
//! score. `LEADSMAN_BENCH_KIT` and `LEADSMAN_DATASETS` say where kit and sets lie, `LEADSMAN_BENCH_SEEDS`
//! which seeds are used, `0 1 2 3 4` unless set.

#[path = "../../../tests/bench/python.rs"]
mod python;
#[path = "../../../tests/bench/report.rs"]
mod report;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use cpu_time::ThreadTime;
use leadsman_forest::{IsolationForest, SplitMode};
use linfa::DatasetBase;
use linfa::traits::Fit;
use ndarray::Array2;
use serde::Deserialize;

use report::{Failure, Row};

const MODES: [(&str, SplitMode); 2] = [("standard", SplitMode::Standard), ("guided", SplitMode::Guided)];
const ORIGINAL: &str = "isotree orig 100x256";
const STRONGEST: &str = "isotree FCF ndim2 200x256";

/// One split that the kit wrote.
#[derive(Deserialize)]
struct Split {
    set: String,
    seed: u64,
}

/// What the kit says of all models.
#[derive(Deserialize)]
struct Verdict {
    summary: Vec<Summary>,
}

#[derive(Deserialize)]
struct Summary {
    model: String,
    auroc: f64,
    aucpr: f64,
}

fn main() -> Result<(), Failure> {
    let (kit, data) = (place("LEADSMAN_BENCH_KIT", "bench"), place("LEADSMAN_DATASETS", "datasets").join("adbench"));
    let script = kit.join("adbench_peers.py");
    if !script.exists() || !data.exists() {
        eprintln!("SKIPPED: adbench, because {} or {} is not there", script.display(), data.display());
        return Ok(());
    }
    let Some(python) = python::environment(python::PEERS_OF_FORESTS)? else { return Ok(()) };
    let seeds =
        std::env::var_os("LEADSMAN_BENCH_SEEDS").map_or("0 1 2 3 4".into(), |s| s.to_string_lossy().into_owned());
    let kit = |more: &[&Path]| -> Result<(), Failure> {
        let mut command = Command::new(&python);
        command.arg(&script).arg("--data").arg(&data).arg("--seeds").args(seeds.split_whitespace()).args(more);
        if command.status()?.success() { Ok(()) } else { Err(format!("{command:?} failed").into()) }
    };
    let folder = report::scratch()?.join("adbench");
    let splits = folder.join("splits");
    kit(&[Path::new("--export"), &splits, Path::new("--format"), Path::new("csv")])?;
    for (name, mode) in MODES {
        score_all(&splits, &folder.join(name), mode)?;
    }
    let judged = folder.join("verdict.json");
    let scores = Path::new("--scores");
    kit(&[scores, &folder.join(MODES[0].0), scores, &folder.join(MODES[1].0), Path::new("--json"), &judged])?;
    let verdict: Verdict = serde_json::from_slice(&std::fs::read(judged)?)?;
    report::write("adbench", &rows(&verdict, &seeds)?)
}

/// A folder beside the workspace, unless a variable names another.
fn place(variable: &str, name: &str) -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(name);
    // a relative path is meant from the workspace
    std::env::var_os(variable).map_or(beside, |path| Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path))
}

/// Fits and scores every split, with the defaults of the mode and the seed of the split.
fn score_all(splits: &Path, out: &Path, mode: SplitMode) -> Result<(), Failure> {
    let manifest: Vec<Split> = serde_json::from_slice(&std::fs::read(splits.join("manifest.json"))?)?;
    let mut times = "set,seed,fit_s,score_s\n".to_owned();
    for Split { set, seed } in manifest {
        let folder = splits.join(&set).join(seed.to_string());
        let train = table(&folder.join("train.csv"))?;
        let test = table(&folder.join("test.csv"))?;
        let begun = ThreadTime::now();
        let forest = IsolationForest::params().split_mode(mode).seed(seed).fit(&DatasetBase::from(train.view()))?;
        let fitted = begun.elapsed();
        let scores = forest.score(test.view())?;
        let scored = begun.elapsed() - fitted;
        writeln!(times, "{set},{seed},{},{}", fitted.as_secs_f64(), scored.as_secs_f64())?;
        let lines: Vec<String> = scores.iter().map(|score| format!("{score}\n")).collect();
        std::fs::create_dir_all(out.join(&set))?;
        std::fs::write(out.join(&set).join(format!("{seed}.csv")), lines.concat())?;
    }
    Ok(std::fs::write(out.join("times.csv"), times)?)
}

/// Numbers without a header.
fn table(path: &Path) -> Result<Array2<f64>, Failure> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_path(path)?;
    let rows: Vec<Vec<f64>> = reader.deserialize().collect::<Result<_, _>>()?;
    let width = rows.first().map_or(0, Vec::len);
    Ok(Array2::from_shape_vec((rows.len(), width), rows.concat())?)
}

fn rows(verdict: &Verdict, seeds: &str) -> Result<Vec<Row>, Failure> {
    let of = |model: &str| {
        let found = verdict.summary.iter().find(|summary| summary.model == model);
        found.ok_or_else(|| Failure::from(format!("the kit does not judge {model}")))
    };
    let mut rows = Vec::new();
    for (name, _) in MODES {
        for peer in [ORIGINAL, STRONGEST] {
            let (ours, theirs) = (of(name)?, of(peer)?);
            let title = |figure: &str| format!("{name}: mean {figure}, seeds {seeds}");
            rows.push(Row::beside(title("AUROC"), ours.auroc, "more is better", peer, theirs.auroc));
            rows.push(Row::beside(title("AUCPR"), ours.aucpr, "more is better", peer, theirs.aucpr));
        }
    }
    let difference = of(MODES[0].0)?.auroc - of(ORIGINAL)?.auroc;
    rows.push(Row::beside(
        "standard: mean AUROC above isotree orig",
        difference,
        "at least the limit",
        "limit",
        -0.005,
    ));
    for Summary { model, auroc, aucpr } in &verdict.summary {
        rows.push(Row::alone(format!("{model}: mean AUROC"), *auroc, "more is better"));
        rows.push(Row::alone(format!("{model}: mean AUCPR"), *aucpr, "more is better"));
    }
    Ok(rows)
}
