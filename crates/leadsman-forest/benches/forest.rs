//! `just bench forest`: fit, score, one-row call, attribution and size, beside scikit-learn and isotree.
//!
//! One core; CPU time of the thread or process; ours and the peers take turns, repetition by repetition, the first one
//! is dropped and the median counts. Every kernel that the processor has is forced in turn, and all must
//! give the same bits. Then the growth with rows and trees.
//!
//! A turn of a fit is five calls, of which the first finds caches and address translations as the peers left them: 25,600
//! rows anywhere in 64 MB. That costs it up to a millisecond more than the others and stays in the mean, as it stays in the
//! figures of the peers, where it is lost among hundreds. No call of ours causes page faults. So the curve below, without
//! peers between the calls, shows shorter fits.

#[path = "../../../tests/bench/python.rs"]
mod python;
#[path = "../../../tests/bench/report.rs"]
mod report;

use std::hint::black_box;
use std::path::Path;

use cpu_time::ThreadTime;
use leadsman_forest::{IsolationForest, Kernel, SplitMode};
use linfa::DatasetBase;
use linfa::traits::Fit;
use ndarray::{Array2, ArrayView2, s};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use python::{PEERS_OF_FORESTS, Peer};
use report::{Failure, Row, median};

const REPETITIONS: usize = 3;
/// Ours is too fast for one call a turn: what the peers left in the caches would be measured.
const AGAIN: usize = 5;
const ROWS: usize = 1_000_000;
/// Rows that are explained: that is asked for few.
const EXPLAINED_ROWS: usize = 50_000;
const REFERENCE: &str = "scikit-learn";
const MODES: [(SplitMode, &str); 2] = [(SplitMode::Standard, "standard"), (SplitMode::Guided, "guided")];

fn main() -> Result<(), Failure> {
    let mut rows = Vec::new();
    for columns in [16, 32] {
        compare(columns, &mut rows)?;
    }
    growth(&mut rows)?;
    report::write("forest", &rows)
}

/// Three clusters, and 1 % of rows anywhere.
fn data(rows: usize, columns: usize) -> Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut normal = move || (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0;
    let centres = Array2::from_shape_simple_fn((3, columns), || 4.0 * normal());
    let mut x = Array2::zeros((rows, columns));
    for (index, mut row) in x.rows_mut().into_iter().enumerate() {
        let odd = index % 100 == 99;
        for (value, centre) in row.iter_mut().zip(centres.row(index % 3)) {
            *value = if odd { 5.0 * normal() } else { centre + normal() };
        }
    }
    x
}

fn fit(x: ArrayView2<'_, f32>, n_trees: usize, mode: SplitMode) -> Result<IsolationForest, Failure> {
    Ok(IsolationForest::params().n_trees(n_trees).split_mode(mode).seed(1).fit(&DatasetBase::from(x))?)
}

fn score_often(forest: &IsolationForest, kernel: Kernel, x: ArrayView2<'_, f32>, times: usize) -> Result<(), Failure> {
    for _ in 0..times {
        black_box(forest.score_by(kernel, x)?);
    }
    Ok(())
}

/// Seconds of CPU time of this thread.
fn seconds<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<f64, Failure> {
    let begun = ThreadTime::now();
    black_box(work()?);
    Ok(begun.elapsed().as_secs_f64())
}

/// What takes turns with the peers, and in which unit it is reported.
enum Measure {
    /// Milliseconds, beside the fit of the reference.
    Fit(SplitMode),
    /// Nanoseconds a row, beside the score of the reference.
    Score(Kernel),
    /// Microseconds, beside a one-row call of the reference.
    OneRow,
    /// Nanoseconds a row, beside our own plain walk.
    Attributions,
}

fn compare(columns: usize, rows: &mut Vec<Row>) -> Result<(), Failure> {
    let x = data(ROWS, columns);
    let mut peers = start_peers(&x)?;
    let names: Vec<String> = match &mut peers {
        Some(peers) => peers.ask("names")?.split(',').map(str::to_owned).collect(),
        None => Vec::new(),
    };
    let forest = fit(x.view(), 100, SplitMode::Standard)?;
    let (part, one) = (x.slice(s![..EXPLAINED_ROWS, ..]), x.slice(s![..1, ..]));
    let expected = forest.score_by(Kernel::Portable, part)?;
    let kernels = Kernel::ALL.into_iter().filter(|kernel| kernel.is_available());
    let mut measures: Vec<Measure> = MODES.map(|(mode, _)| Measure::Fit(mode)).into();
    measures.extend(kernels.map(Measure::Score));
    measures.extend([Measure::OneRow, Measure::Attributions]);

    let once = |measure: &Measure| -> Result<f64, Failure> {
        Ok(match measure {
            Measure::Fit(mode) => {
                seconds(|| (0..AGAIN).try_for_each(|_| fit(x.view(), 100, *mode).map(drop)))? / AGAIN as f64 * 1e3
            }
            Measure::Score(kernel) => {
                if forest.score_by(*kernel, part)? != expected {
                    return Err(format!("the kernel {kernel} gives other scores").into());
                }
                seconds(|| score_often(&forest, *kernel, x.view(), AGAIN))? / (AGAIN * ROWS) as f64 * 1e9
            }
            Measure::OneRow => seconds(|| score_often(&forest, Kernel::best(), one, 1000))? * 1e3,
            Measure::Attributions => seconds(|| Ok(forest.attributions(part)?))? / EXPLAINED_ROWS as f64 * 1e9,
        })
    };
    let mut ours = vec![Vec::new(); measures.len()];
    let mut theirs: Vec<[Vec<f64>; 3]> = names.iter().map(|_| Default::default()).collect();
    for repetition in 0..=REPETITIONS {
        for (measure, all) in measures.iter().zip(&mut ours) {
            let figure = once(measure)?;
            all.extend((repetition > 0).then_some(figure));
        }
        let Some(peers) = &mut peers else { continue };
        for (name, all) in names.iter().zip(&mut theirs) {
            let fit = peers.number(&format!("fit {name}"))? * 1e3;
            let score = peers.number(&format!("score {name}"))? / ROWS as f64 * 1e9;
            let one = peers.number(&format!("one {name}"))? * 1e6;
            if repetition > 0 {
                all.iter_mut().zip([fit, score, one]).for_each(|(all, one)| all.push(one));
            }
        }
    }

    let ours: Vec<f64> = ours.into_iter().map(median).collect();
    let theirs: Vec<[f64; 3]> = theirs.into_iter().map(|figures| figures.map(median)).collect();
    let reference = names.iter().position(|name| name == REFERENCE).map(|at| theirs[at]);
    let plain = measures.iter().zip(&ours).find(|(measure, _)| matches!(measure, Measure::Score(Kernel::Portable)));
    let title = |what: &str| format!("{columns} columns: {what}");
    for (measure, value) in measures.iter().zip(&ours) {
        let (name, value, unit, peer) = match measure {
            Measure::Fit(mode) => {
                (format!("fit {mode:?}, 100 trees, 10^6 rows"), *value, "ms, less is better", reference.map(|r| r[0]))
            }
            Measure::Score(kernel) => {
                (format!("score, {kernel}"), 1e9 / value, "rows/s, more is better", reference.map(|r| 1e9 / r[1]))
            }
            Measure::OneRow => ("one row a call".to_owned(), *value, "us, less is better", reference.map(|r| r[2])),
            Measure::Attributions => {
                ("attributions".to_owned(), *value, "ns/row, less is better", plain.map(|(_, plain)| *plain))
            }
        };
        let against = if matches!(measure, Measure::Attributions) { "score, portable" } else { REFERENCE };
        rows.push(match peer {
            Some(peer) => Row::beside(title(&name), value, unit, against, peer),
            None => Row::alone(title(&name), value, unit),
        });
    }
    for (mode, name) in MODES {
        let kib = fit(x.view(), 100, mode)?.to_bytes().len() as f64 / 1024.0;
        rows.push(Row::beside(title(&format!("stored size, {name}")), kib, "KiB, less is better", "limit", 100.0));
    }
    for (name, [fit, score, one]) in names.iter().zip(&theirs) {
        rows.push(Row::alone(title(&format!("{name}: fit")), *fit, "ms, less is better"));
        rows.push(Row::alone(title(&format!("{name}: score")), 1e9 / score, "rows/s, more is better"));
        rows.push(Row::alone(title(&format!("{name}: one row a call")), *one, "us, less is better"));
        if let Some(peers) = &mut peers {
            let kib = peers.number(&format!("size {name}"))? / 1024.0;
            rows.push(Row::alone(title(&format!("{name}: pickled size")), kib, "KiB, less is better"));
        }
    }
    Ok(())
}

fn start_peers(x: &Array2<f32>) -> Result<Option<Peer>, Failure> {
    let file = report::scratch()?.join(format!("forest-{}.f32", x.ncols()));
    std::fs::write(&file, x.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers.py");
    Peer::start(PEERS_OF_FORESTS, &script, &[&file.display().to_string(), &x.ncols().to_string()])
}

/// Cost per row over five decades of rows, and per row and tree over two of trees.
fn growth(rows: &mut Vec<Row>) -> Result<(), Failure> {
    let x = data(ROWS, 16);
    let forest = fit(x.view(), 100, SplitMode::Standard)?;
    let mut curve = |name: &str, unit: &'static str, points: Vec<(String, f64)>| {
        let first = points[0].1;
        rows.extend(
            points
                .into_iter()
                .map(|(point, value)| Row::beside(format!("{name}, {point}"), value, unit, "the first point", first)),
        );
    };
    let mut points = Vec::new();
    for n in [1_000, 10_000, 100_000, ROWS, 10 * ROWS] {
        // ten million rows are the same million ten times: it is not memory that is measured
        let part = x.slice(s![..n.min(ROWS), ..]);
        let times = n.div_ceil(ROWS) * (ROWS / n).max(1);
        let cost = || seconds(|| score_often(&forest, Kernel::best(), part, times));
        let costs: Result<Vec<f64>, Failure> = (0..5).map(|_| cost()).collect();
        points.push((format!("{n} rows"), median(costs?) / (times * part.nrows()) as f64 * 1e9));
    }
    curve("score per row", "ns, flat is linear", points);
    let mut points = Vec::new();
    for n_trees in [100, 300, 1_000, 3_000, 10_000] {
        let forest = fit(x.view(), n_trees, SplitMode::Standard)?;
        let part = x.slice(s![..10_000_000 / n_trees, ..]);
        let costs: Result<Vec<f64>, Failure> = (0..5).map(|_| seconds(|| Ok(forest.score(part)?))).collect();
        points.push((format!("{n_trees} trees"), median(costs?) / (part.nrows() * n_trees) as f64 * 1e9));
    }
    curve("score per row and tree", "ns, flat is linear", points);
    let mut points = Vec::new();
    for n in [1_000, 10_000, 100_000, ROWS] {
        let part = x.slice(s![..n, ..]);
        let costs: Result<Vec<f64>, Failure> =
            (0..9).map(|_| seconds(|| fit(part, 100, SplitMode::Standard))).collect();
        points.push((format!("{n} rows"), median(costs?) * 1e3));
    }
    curve("fit of 100 trees", "ms, flat is independent of rows", points);
    Ok(())
}
