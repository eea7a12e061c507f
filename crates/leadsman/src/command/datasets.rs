//! `leadsman datasets`.

mod convert;
mod inspect;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use leadsman_domain::Timestamp;
use leadsman_sim::{
    Attack, AttackPlan, Payload, Signal, SimConfig, SimError, SimRecord, Simulation, Stage, Technique, Trial,
};
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
    let mut config = SimConfig {
        seed: args.seed,
        size: args.size,
        from_day: args.from_day,
        days: args.days,
        changes: args.changes.clone(),
        ..SimConfig::default()
    };
    let staged = args.attack_at.as_deref().map(|at| Staged::new(at, args)).transpose()?;
    if let Some(Staged::Scenario(plan)) = staged {
        config.attack = Some(plan);
    }
    let mut simulation = Simulation::new(&config).map_err(|e| Exit::Usage(e.to_string()))?;
    let attack = match staged {
        Some(Staged::Technique(trial)) => Some(within(leadsman_sim::attack(simulation.cluster(), &trial), &config)?),
        Some(Staged::Scenario(_)) | None => None,
    };
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let rules = simulation.actor_rules();
    let mut audit = Writer::create(&args.out.join("audit.jsonl.zst"))?;
    let mut metrics = if args.no_metrics { None } else { Some(Writer::create(&args.out.join("metrics.jsonl.zst"))?) };
    let mut labelled = Vec::new();
    let mut progress = Progress::new(global.progress, "generate", u64::from(args.days));
    let begin = config.start.day() + i64::from(args.from_day);
    let begun = attack.as_ref().map_or(&[][..], |a| &a.records).iter().cloned();
    for record in by_time(begun, simulation.by_ref()) {
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
    let stages: Vec<Stage> = attack.iter().map(stage).chain(simulation.stages().iter().cloned()).collect();
    let labels = json!({
        "schema": "leadsman.labels/v1", "seed": args.seed, "stages": stages, "audit_lines": labelled,
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

/// An attack to stage.
#[derive(Clone, Copy)]
enum Staged {
    Scenario(AttackPlan),
    Technique(Trial),
}

impl Staged {
    fn new(at: &str, args: &GenerateArgs) -> Result<Self> {
        let style = args.attack_style.parse();
        let style = style.map_err(|e| Exit::Usage(format!("--attack-style {}: {e}", args.attack_style)))?;
        let at = Timestamp::parse(at).map_err(|e| Exit::Usage(format!("--attack-at {at}: {e}")))?;
        if let Ok(scenario) = args.attack.parse() {
            return Ok(Self::Scenario(AttackPlan { scenario, style, at }));
        }
        let technique: Technique = args.attack.parse().map_err(|_| {
            let names: Vec<&str> = Technique::ALL.iter().map(|t| t.as_str()).collect();
            Exit::Usage(format!("--attack {}: give token-theft or one of {}", args.attack, names.join(", ")))
        })?;
        let identity = args.attack_identity.parse();
        let identity = identity.map_err(|e| Exit::Usage(format!("--attack-identity {}: {e}", args.attack_identity)))?;
        if !technique.leaves_trace(style) {
            return Err(Exit::Usage(format!("{technique} leaves no trace in style {style}: give another style")).into());
        }
        Ok(Self::Technique(Trial { technique, identity, style, at, repeat: args.seed }))
    }
}

/// The attack, if it lies in the period.
fn within(attack: Attack, config: &SimConfig) -> Result<Attack> {
    let from = config.start.day() + i64::from(config.from_day);
    let days = from..from + i64::from(config.days);
    if days.contains(&attack.begins.day()) && days.contains(&attack.ends.day()) {
        return Ok(attack);
    }
    let outside = SimError::AttackOutsidePeriod { begins: attack.begins, ends: attack.ends };
    Err(Exit::Usage(outside.to_string()).into())
}

/// The label of an attack that is one technique.
fn stage(attack: &Attack) -> Stage {
    let technique = attack.trial.technique;
    Stage {
        name: technique.as_str().to_owned(),
        technique: technique.attack_id().to_owned(),
        tactic: technique.tactic().to_owned(),
        entity: attack.actor.clone(),
        begins: attack.begins,
        ends: attack.ends,
        signal: Signal::Audit,
    }
}

/// The records of both, each in order, in the order of time.
fn by_time(a: impl Iterator<Item = SimRecord>, b: impl Iterator<Item = SimRecord>) -> impl Iterator<Item = SimRecord> {
    let (mut a, mut b) = (a.peekable(), b.peekable());
    std::iter::from_fn(move || match (a.peek(), b.peek()) {
        (Some(first), Some(second)) if first.time < second.time => a.next(),
        (Some(_), None) => a.next(),
        (_, _) => b.next(),
    })
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
