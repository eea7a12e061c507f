//! `leadsman score --forest`: an isolation forest over a plain table of numbers.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use leadsman_forest::{IsolationForest, Missing, SplitMode};
use linfa::DatasetBase;
use linfa::traits::Fit;
use ndarray::{Array1, Array2};
use serde_json::json;

use crate::cli::{ForestArgs, ForestMode, Global};
use crate::exit::Exit;
use crate::output;

/// Cells that hold no value.
const MISSING: [&str; 5] = ["", "na", "nan", "null", "none"];

/// Fits a forest on one table and scores the rows of another, or of the same.
///
/// Errors: when a table cannot be read, holds something other than numbers, or the two differ in width.
pub(super) fn run(table: &Path, args: &ForestArgs, global: &Global) -> Result<()> {
    let scored = read(table)?;
    let train = args.train.as_deref().map(read).transpose()?;
    let train = train.as_ref().unwrap_or(&scored);
    let split_mode = match args.mode {
        ForestMode::Standard => SplitMode::Standard,
        ForestMode::Guided => SplitMode::Guided,
    };
    let params = IsolationForest::params().split_mode(split_mode).missing(Missing::Typical).seed(args.seed);
    let forest = params.fit(&DatasetBase::from(train.view()))?;
    let scores = forest.score(scored.view())?;
    match &args.out {
        Some(path) => {
            let file = File::create(path).with_context(|| format!("{} cannot be written", path.display()))?;
            write(BufWriter::new(file), &scores).with_context(|| format!("{} cannot be written", path.display()))?;
        }
        None if global.json => {}
        None => write(std::io::stdout().lock(), &scores)?,
    }
    if global.json {
        output::json(&json!({
            "schema": "leadsman.forest-scores/v1",
            "rows": scored.nrows(),
            "columns": scored.ncols(),
            "train_rows": train.nrows(),
            "trees": forest.n_trees(),
            "subsample_size": forest.subsample_size(),
            "mode": format!("{split_mode:?}").to_lowercase(),
            "seed": args.seed,
            "out": args.out,
            "scores": args.out.is_none().then(|| scores.to_vec()),
        }))?;
    }
    eprintln!(
        "Scored {} rows of {} columns with {} trees that were grown on {} of {} rows each.",
        scored.nrows(),
        scored.ncols(),
        forest.n_trees(),
        forest.subsample_size(),
        train.nrows()
    );
    Ok(())
}

/// One score a line, in the order of the rows.
fn write(mut out: impl Write, scores: &Array1<f64>) -> std::io::Result<()> {
    for score in scores {
        writeln!(out, "{score}")?;
    }
    out.flush()
}

/// Reads a table. The first line is a header when it holds something other than numbers.
///
/// Errors: with file and line, when a cell is not a number or a line has another width.
fn read(path: &Path) -> Result<Array2<f64>> {
    let named = || path.display().to_string();
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .trim(csv::Trim::All)
        .from_path(path)
        .with_context(|| format!("{} cannot be read", named()))?;
    let mut values = Vec::new();
    let (mut rows, mut columns) = (0, 0);
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).with_context(|| format!("{} is no table of numbers", named()))? {
        let line = record.position().map_or(0, csv::Position::line);
        let cells: Result<Vec<f64>, usize> =
            record.iter().enumerate().map(|(column, cell)| number(cell).ok_or(column)).collect();
        match cells {
            Ok(cells) => values.extend(cells),
            Err(_) if rows == 0 && columns == 0 => {
                columns = record.len();
                continue;
            }
            Err(column) => {
                let column = column + 1;
                return Err(Exit::Failed(format!("{}:{line}: column {column} is not a number", named())).into());
            }
        }
        columns = record.len();
        rows += 1;
    }
    if rows == 0 {
        return Err(Exit::Failed(format!("{} holds no row of numbers", named())).into());
    }
    Ok(Array2::from_shape_vec((rows, columns), values)?)
}

/// The value of a cell, NaN where it is missing; `None` when it is not a number.
fn number(cell: &str) -> Option<f64> {
    if MISSING.iter().any(|word| cell.eq_ignore_ascii_case(word)) { Some(f64::NAN) } else { cell.parse().ok() }
}
