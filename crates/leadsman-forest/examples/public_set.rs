//! Ranks the rows of a public set and says what makes the strangest ones strange.
//!
//! ```sh
//! cargo run --release --example public_set -- cardio.csv
//! ```
//!
//! The table has no header; its last column says 1 of an anomaly and 0 of all others. Labels are used to judge the scores,
//! never to fit. Sets come with ADBench, the folder `adbench/datasets/Classical` of the repository `Minqi824/ADBench`, and
//! NumPy makes tables of them:
//!
//! ```python
//! import numpy
//! cardio = numpy.load("6_cardio.npz")
//! numpy.savetxt("cardio.csv", numpy.column_stack([cardio["X"], cardio["y"]]), delimiter=",", fmt="%.17g")
//! ```
#![allow(clippy::print_stdout, reason = "an example prints what it finds")]

use std::error::Error;

use leadsman_forest::{IsolationForest, SplitMode};
use linfa::DatasetBase;
use linfa::traits::Fit;
use ndarray::{Array1, Array2, Axis, s};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("give the path of a .csv file, the label in the last column")?;
    let rows: Vec<Vec<f64>> =
        csv::ReaderBuilder::new().has_headers(false).from_path(&path)?.deserialize().collect::<Result<_, _>>()?;
    let width = rows.first().map_or(0, Vec::len);
    if width < 2 {
        return Err("the table needs a column of values and one of labels".into());
    }
    let table = Array2::from_shape_vec((rows.len(), width), rows.concat())?;
    let x = table.slice(s![.., ..width - 1]);
    let labels = table.column(width - 1).mapv(|label| i64::from(label > 0.0));
    println!("{path}: {} rows of {} columns, {} anomalies", x.nrows(), x.ncols(), labels.sum());
    for split_mode in [SplitMode::Standard, SplitMode::Guided] {
        let forest = IsolationForest::params().split_mode(split_mode).seed(1).fit(&DatasetBase::from(x))?;
        let scores = forest.score(x)?;
        println!("\n{split_mode:?}: AUROC {:.3}", auroc(&scores, &labels));

        let mut order: Vec<usize> = (0..x.nrows()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        let strangest = x.select(Axis(0), &order[..5]);
        let attributions = forest.attributions(strangest.view())?;
        for (row, shares) in order.iter().zip(attributions.by_feature.rows()) {
            let mut columns: Vec<usize> = (0..x.ncols()).collect();
            columns.sort_by(|a, b| shares[*b].total_cmp(&shares[*a]));
            let reasons = columns.iter().take(3).map(|c| format!("column {c} = {:.3}", x[[*row, *c]]));
            println!(
                "  row {row:>5}, {}, score {:.3}: {}",
                if labels[*row] == 1 { "anomaly" } else { "normal " },
                scores[*row],
                reasons.collect::<Vec<_>>().join(", ")
            );
        }
    }
    Ok(())
}

/// How likely an anomaly scores higher than a normal row.
fn auroc(scores: &Array1<f64>, labels: &Array1<i64>) -> f64 {
    let mut ranked: Vec<(f64, i64)> = scores.iter().copied().zip(labels.iter().copied()).collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut wins) = (0.0, 0.0);
    for tied in ranked.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let anomalies = tied.iter().filter(|(_, label)| *label == 1).count() as f64;
        let normal = tied.len() as f64 - anomalies;
        wins += anomalies * (below + normal / 2.0);
        below += normal;
    }
    let anomalies = scores.len() as f64 - below;
    wins / (anomalies * below)
}
