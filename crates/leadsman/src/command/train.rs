//! `leadsman train`.

use anyhow::Result;
use leadsman_decode::DecodeContext;
use leadsman_detect::Detectors;
use leadsman_engine::TrainSpec;
use leadsman_store::write_model;
use serde_json::json;

use crate::cli::{Global, TrainArgs};
use crate::config::Config;
use crate::input::LakeOptions;
use crate::offline::{DataOptions, train};
use crate::{clock, model, output};

/// Trains a model and writes it to `--out` or the registry.
///
/// Errors: when the data cannot be read or is too little, or the model cannot be written.
pub fn run(args: &TrainArgs, global: &Global, config: &Config) -> Result<()> {
    let rules = config.cluster.rules.clone();
    let context = DecodeContext { cluster: config.cluster.name.clone(), rules: rules.clone(), redaction_key: None };
    let spec = TrainSpec { seed: args.seed, window: config.detect.window, rules, detectors: Detectors::default() };
    let data = DataOptions {
        paths: &args.data,
        context: &context,
        now: clock::now(),
        strict: args.strict,
        progress: global.progress,
        lakes: LakeOptions { access: config.lake.access.clone(), filter: args.part.filter() },
    };
    let trained = train(&data, &spec, config.detect.rule_set()?, &args.name)?;
    trained.read.report();
    let (manifest, place) = match &args.out {
        Some(dir) => (write_model(dir, &trained.files, 1)?, dir.clone()),
        None => {
            let registry = config.data_dir.join("models");
            let manifest = model::register(&registry, &trained.files)?;
            let place = registry.join(&manifest.name).join(manifest.version.to_string());
            (manifest, place)
        }
    };
    let r = &trained.report;
    eprintln!(
        "Trained {} v{} on {} events and {} samples over {:.2} days: {} actors, {} windows fitted, {} calibrate; {}.",
        manifest.name,
        manifest.version,
        r.events,
        r.samples,
        r.days,
        r.actors,
        r.fitted_windows,
        r.calibration_windows,
        r.health
    );
    if r.late * 100 > r.events {
        eprintln!(
            "{} events came too late for their windows and did not train it: give files in the order of time.",
            r.late
        );
    }
    if global.json {
        let account = &trained.read.account;
        output::json(&json!({
            "schema": "leadsman.training/v1", "model": manifest, "report": r,
            "rejects": account.rejected, "runtime": account.runtime, "flows": account.flows,
            "skipped": account.skipped, "path": place.display().to_string(),
        }))
    } else {
        output::text(&place.display().to_string())
    }
}
