//! `leadsman datasets`.

mod convert;
mod inspect;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use leadsman_domain::Timestamp;
use leadsman_sim::{AttackPlan, Payload, Scenario, SimConfig, Simulation};
use serde_json::json;

use crate::cli::{DatasetsCommand, GenerateArgs, Global};
use crate::config::Config;
use crate::exit::Exit;
use crate::output;
use crate::progress::Progress;

/// zstd level of generated files.
const LEVEL: i32 = 3;

/// Runs a subcommand of `datasets`; only one that gives events their identity asks for the configuration.
///
/// Errors: when the options do not fit together or a file cannot be written.
pub fn run(command: &DatasetsCommand, global: &Global, config: impl FnOnce() -> Result<Config>) -> Result<()> {
    match command {
        DatasetsCommand::Generate(args) => generate(args, global),
        DatasetsCommand::Inspect(args) => inspect::run(args, global),
        DatasetsCommand::Convert(args) => convert::run(args, global, &config()?),
    }
}

fn generate(args: &GenerateArgs, global: &Global) -> Result<()> {
    let config = SimConfig {
        seed: args.seed,
        from_day: args.from_day,
        days: args.days,
        attack: args.attack_at.as_deref().map(|at| plan(at, &args.attack_style)).transpose()?,
        ..SimConfig::default()
    };
    let mut simulation = Simulation::new(&config).map_err(|e| Exit::Usage(e.to_string()))?;
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let rules = simulation.actor_rules();
    let mut audit = Writer::create(&args.out.join("audit.jsonl.zst"))?;
    let mut metrics = if args.no_metrics { None } else { Some(Writer::create(&args.out.join("metrics.jsonl.zst"))?) };
    let mut labelled = Vec::new();
    let mut progress = Progress::new(global.progress, "generate", u64::from(args.days));
    let begin = config.start.day() + i64::from(args.from_day);
    for record in simulation.by_ref() {
        match &record.payload {
            Payload::Audit(line) => {
                if let Some(stage) = record.stage {
                    labelled.push(json!({"line": audit.lines + 1, "stage": stage}));
                }
                audit.line(line)?;
            }
            Payload::Metric(line) => {
                if let Some(metrics) = &mut metrics {
                    metrics.line(line)?;
                }
            }
        }
        let day = u64::try_from(record.time.day() - begin).unwrap_or(0);
        progress.at(day, || format!("day {day}"));
    }
    progress.finish();
    let events = audit.finish()?;
    let samples = metrics.map(Writer::finish).transpose()?.unwrap_or(0);
    let labels = json!({
        "schema": "leadsman.labels/v1", "seed": args.seed, "stages": simulation.stages(), "audit_lines": labelled,
        "rules": rules,
    });
    std::fs::write(args.out.join("labels.json"), serde_json::to_vec_pretty(&labels)?)?;
    eprintln!("Wrote {events} audit events and {samples} metric samples to {}.", args.out.display());
    if global.json {
        output::json(&json!({
            "schema": "leadsman.dataset/v1", "path": args.out.display().to_string(), "events": events,
            "samples": samples, "labelled": labelled.len(),
        }))
    } else {
        output::text(&args.out.display().to_string())
    }
}

fn plan(at: &str, style: &str) -> Result<AttackPlan> {
    let style = style.parse().map_err(|e| Exit::Usage(format!("--attack-style {style}: {e}")))?;
    let at = Timestamp::parse(at).map_err(|e| Exit::Usage(format!("--attack-at {at}: {e}")))?;
    Ok(AttackPlan { scenario: Scenario::TokenTheft, style, at })
}

struct Writer {
    inner: zstd::stream::write::Encoder<'static, BufWriter<File>>,
    lines: u64,
}

impl Writer {
    fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { inner: zstd::stream::write::Encoder::new(BufWriter::new(file), LEVEL)?, lines: 0 })
    }

    fn line(&mut self, line: &[u8]) -> Result<()> {
        self.lines += 1;
        self.inner.write_all(line)?;
        Ok(self.inner.write_all(b"\n")?)
    }

    fn finish(self) -> Result<u64> {
        self.inner.finish()?.flush()?;
        Ok(self.lines)
    }
}
