//! `leadsman score`.

use anyhow::Result;
use leadsman_decode::DecodeContext;
use leadsman_domain::Finding;
use leadsman_engine::{Engine, EngineSettings, Polarity};
use serde_json::json;

use crate::cli::{Global, ScoreArgs};
use crate::config::Config;
use crate::exit::Exit;
use crate::input::LakeOptions;
use crate::offline::{DataOptions, Scored, score};
use crate::{clock, model, output};

/// Name of the model that is used when none is named.
pub const DEFAULT_MODEL: &str = "default";

/// What scoring outside of the service needs.
pub(super) struct Scoring {
    pub(super) model: model::ReadyModel,
    pub(super) engine: Engine,
    pub(super) context: DecodeContext,
}

impl Scoring {
    /// From what was typed, and the configuration; `cluster` replaces the configured one.
    ///
    /// Errors: when the model cannot be read or the budget is none.
    pub(super) fn new(spec: Option<&str>, budget: Option<f64>, cluster: Option<&str>, config: &Config) -> Result<Self> {
        let budget_per_day = budget.unwrap_or(config.detect.budget_per_day);
        if !(0.001..=1000.0).contains(&budget_per_day) {
            let advice = format!("--budget {budget_per_day}: give incidents per day, 0.001 to 1000");
            return Err(Exit::Usage(advice).into());
        }
        let spec = spec.or(config.detect.model.as_deref()).unwrap_or(DEFAULT_MODEL);
        let model = model::load(spec, &config.data_dir.join("models"))?;
        let rules = config.detect.rule_set()?;
        if !model.fitted.is_calibrated_with(&rules) {
            eprintln!("{}", model::OTHER_RULES);
        }
        let cluster = cluster.unwrap_or(&config.cluster.name).to_owned();
        // Actor classes must be those the model was trained with; declared accounts are part of it.
        let context =
            DecodeContext { cluster: cluster.clone(), rules: model.fitted.rules.clone(), redaction_key: None };
        let settings = EngineSettings { cluster, budget_per_day, polarity: Polarity::Normal, rules };
        let engine = Engine::new(model.fitted.clone(), model.reference(), settings);
        Ok(Self { model, engine, context })
    }
}

/// Scores files and prints findings and the strangest windows.
///
/// Errors: when model or data cannot be read; [`Exit::FindingsAbove`] under `--fail-on`.
pub fn run(args: &ScoreArgs, global: &Global, config: &Config) -> Result<()> {
    if let Some(table) = &args.forest.table {
        return super::forest::run(table, &args.forest, global);
    }
    // Findings of a lake belong to the cluster that was chosen.
    let cluster = args.part.cluster.as_deref();
    let Scoring { model, engine, context } = Scoring::new(args.model.as_deref(), args.budget, cluster, config)?;
    let data = DataOptions {
        paths: &args.data,
        context: &context,
        now: clock::now(),
        strict: args.strict,
        progress: global.progress,
        lakes: LakeOptions { access: config.lake.access.clone(), filter: args.part.filter() },
    };
    let scored = score(&data, &engine, &model.manifest.weights_digest)?;
    scored.read.report();
    let account = &scored.read.account;
    let findings: Vec<&Finding> = scored.outcome.findings.values().collect();
    if global.json {
        output::json(&document(&scored, &model, args.top))?;
    } else {
        output::findings(&findings)?;
    }
    eprintln!(
        "Scored {} events and {} samples in {} windows: {} findings; {} refused.{}",
        account.events,
        account.samples,
        scored.outcome.windows,
        findings.len(),
        account.rejected.total(),
        if model.fitted.is_learning() { " The model is still learning: its scores stay low." } else { "" }
    );
    if scored.counts.late > 0 {
        eprintln!(
            "{} events came too late for their windows and were not scored: give files in the order of time.",
            scored.counts.late
        );
    }
    if account.decoded() == 0 {
        return Err(Exit::Failed("nothing in the input could be read as telemetry".to_owned()).into());
    }
    let line = args.fail_on.unwrap_or(u8::MAX);
    let count = findings.iter().filter(|f| f.score >= line).count();
    if args.fail_on.is_some() && count > 0 { Err(Exit::FindingsAbove { count, line }.into()) } else { Ok(()) }
}

pub(super) fn document(scored: &Scored, model: &model::ReadyModel, top: usize) -> serde_json::Value {
    let account = &scored.read.account;
    let windows: Vec<_> = scored
        .outcome
        .strangest
        .iter()
        .take(top)
        .map(|w| {
            json!({
                "entity": w.entity, "class": w.class, "from": w.window.start, "to": w.window.end, "count": w.count,
                "score": w.score, "evidence": w.evidence, "p": w.p, "habit": w.habit, "forest": w.forest, "rules": w.rules,
            })
        })
        .collect();
    json!({
        "schema": "leadsman.score/v1",
        "model": model.reference(),
        "health": if model.fitted.is_learning() { "learning" } else { "ready" },
        "events": account.events,
        "samples": account.samples,
        "runtime": account.runtime,
        "flows": account.flows,
        "counts": scored.counts,
        "rejects": account.rejected,
        "skipped": account.skipped,
        "windows": scored.outcome.windows,
        "findings": scored.outcome.findings.values().collect::<Vec<_>>(),
        "strangest": windows,
    })
}
