//! Training and scoring over files: the same line as the stream, without a stream.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use leadsman_decode::{DecodeContext, Limits};
use leadsman_detect::rules::RuleSet;
use leadsman_domain::{Decoded, Timestamp};
use leadsman_engine::{DataSummary, Engine, ObserveCounts, TrainReport, TrainSpec, Trainer};
use leadsman_store::ModelFiles;

use crate::exit::Exit;
use crate::input::{Inputs, LakeOptions, ReadReport, Reading};
use crate::model;
use crate::pipeline::{Outcome, Shard, Windows};
use crate::progress::{Progress, ProgressMode};

/// What both need to read their data.
pub struct DataOptions<'a> {
    /// Files, directories, or `-`.
    pub paths: &'a [PathBuf],
    /// Cluster and declared accounts.
    pub context: &'a DecodeContext,
    /// The present: bounds event times from the future.
    pub now: Timestamp,
    /// Whether the first refusal ends it.
    pub strict: bool,
    /// How progress is shown.
    pub progress: ProgressMode,
    /// How lakes among the paths are read.
    pub lakes: LakeOptions,
}

impl DataOptions<'_> {
    fn reading(&self) -> Reading<'_> {
        Reading { context: self.context, limits: Limits::default(), now: self.now, strict: self.strict }
    }
}

/// A trained model, not yet written.
pub struct Trained {
    /// Its files.
    pub files: ModelFiles,
    /// What the run did.
    pub report: TrainReport,
    /// What became of every item of the input.
    pub read: ReadReport,
}

/// Trains on files, for scoring with `rules`. Reads them twice: first for the period and the metrics, then to learn.
///
/// Errors: when the data cannot be read or is too little.
pub fn train(data: &DataOptions<'_>, spec: &TrainSpec, rules: Arc<RuleSet>, name: &str) -> Result<Trained> {
    train_with(data, spec, rules, name, |_, _| {})
}

/// As [`train`]; `tell` hears the step and the share of the whole work done.
///
/// Errors: as [`train`].
pub fn train_with(
    data: &DataOptions<'_>,
    spec: &TrainSpec,
    rules: Arc<RuleSet>,
    name: &str,
    mut tell: impl FnMut(&'static str, f64),
) -> Result<Trained> {
    let inputs = Inputs::find(data.paths, &data.lakes)?;
    if inputs.has_stdin() {
        return Err(Exit::Usage("training reads its data twice: give files, not standard input".to_owned()).into());
    }
    tell("scan", 0.0);
    let mut summary = DataSummary::default();
    let mut progress = Progress::new(data.progress, "scan", inputs.bytes());
    let read = inputs.read(&data.reading(), &mut progress, |d| {
        summary.add(&d.events, &d.samples);
        Ok(())
    })?;
    progress.finish();
    tell("learn", 0.3);
    let mut trainer = Trainer::new(spec.clone(), rules, summary.clone())?;
    let mut windows = Windows::new(spec.window);
    let mut progress = Progress::new(data.progress, "learn", inputs.bytes());
    inputs.read(&data.reading(), &mut progress, |d| feed(&mut windows, &mut trainer, &d))?;
    windows.close_all(&mut trainer)?;
    progress.finish();
    tell("fit", 0.9);
    let (fitted, report) = trainer.finish()?;
    let files = model::files(name, &fitted, &report, spec, &summary)?;
    Ok(Trained { files, report, read })
}

fn feed(windows: &mut Windows, trainer: &mut Trainer, decoded: &Decoded) -> Result<()> {
    windows.events(trainer, &decoded.events)?;
    windows.samples(trainer, &decoded.samples)?;
    Ok(())
}

/// What scoring files gave.
pub struct Scored {
    /// Findings and windows.
    pub outcome: Outcome,
    /// What became of the events.
    pub counts: ObserveCounts,
    /// What became of every item of the input.
    pub read: ReadReport,
}

/// Scores files as one log: at its end every window is closed.
///
/// Errors: when the data cannot be read.
pub fn score(data: &DataOptions<'_>, engine: &Engine, model_digest: &str) -> Result<Scored> {
    let inputs = Inputs::find(data.paths, &data.lakes)?;
    let mut shard = Shard::new(engine, model_digest);
    let mut outcome = Outcome::default();
    let mut progress = Progress::new(data.progress, "score", inputs.bytes());
    let read = inputs.read(&data.reading(), &mut progress, |d| {
        shard.push(engine, &d.events, &d.samples, &mut outcome).context("scoring failed")
    })?;
    shard.close_all(engine, &mut outcome)?;
    progress.finish();
    Ok(Scored { outcome, counts: shard.state.counts, read })
}
