//! `leadsman backtest`: trains on weeks of simulated clusters, stages attacks in the week after, and counts what
//! is found at which alert budget. Seeds are clusters that no default was chosen on; the alert line comes from
//! the training period alone.

mod report;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use leadsman_decode::{DecodeContext, Limits};
use leadsman_detect::{Detectors, FittedModel};
use leadsman_domain::{ActorRules, Decoded, ModelRef, PayloadKind, RawRecord};
use leadsman_engine::{DataSummary, Engine, EngineSettings, Polarity, TrainSpec, Trainer};
use leadsman_sim::{AttackPlan, Payload, Scenario, SimConfig, SimRecord, Simulation, Style};

use self::report::{BUDGETS, Report, Trial};
use crate::cli::{BacktestArgs, Global, Suite};
use crate::exit::Exit;
use crate::labels::Labels;
use crate::output;
use crate::pipeline::{Outcome, Shard, Windows};
use crate::progress::Progress;

/// Days that train and calibrate, and the days after them that test.
const TRAIN_DAYS: u32 = 28;
const TEST_DAYS: u32 = 7;
/// Seconds of a detection window.
const WINDOW: Duration = Duration::from_secs(300);
/// Records decoded at a time.
const CHUNK: usize = 1_000;
const CLUSTER: &str = "backtest";

/// Runs a back-test.
///
/// Errors: when a model cannot be trained; [`Exit::Gate`] when recall is below `--fail-under`.
pub fn run(args: &BacktestArgs, global: &Global) -> Result<()> {
    let Suite::Sim = args.suite;
    let polarity = if args.negate_scores { Polarity::Negated } else { Polarity::Normal };
    let seeds: Vec<u64> = (0..args.seeds).map(|i| args.first_seed.wrapping_add(i)).collect();
    let mut report = Report::new(seeds.clone(), f64::from(TEST_DAYS));
    let steps = args.seeds * (1 + Style::ALL.len() as u64);
    let mut bar = Progress::new(global.progress, "backtest", steps);
    let mut done = 0;
    for seed in seeds {
        bar.at(done, || format!("cluster {seed}: training"));
        let model = Arc::new(trained(seed)?);
        done += 1;
        for style in Style::ALL {
            bar.at(done, || format!("cluster {seed}: {style}"));
            let week = Week::attacked(seed, style)?;
            for budget in BUDGETS {
                let findings = week.findings(&model, f64::from(budget), polarity)?;
                report.add(&Trial { style, budget, labels: &week.labels, findings: &findings });
            }
            done += 1;
        }
    }
    bar.finish();
    if global.json {
        output::json(&report.document())?;
    } else {
        output::text(&report.to_string())?;
    }
    match args.fail_under.zip(report.lowest_recall(1)) {
        Some((wanted, (style, recall))) if recall < wanted => Err(Exit::Gate(format!(
            "recall of {style} attacks at one false incident a day is {recall:.2}, below {wanted:.2}"
        ))
        .into()),
        Some(_) | None => Ok(()),
    }
}

/// A model of the cluster's first weeks. Telemetry is generated twice, as files are read twice.
fn trained(seed: u64) -> Result<FittedModel> {
    let config = SimConfig { seed, days: TRAIN_DAYS, ..SimConfig::default() };
    let rules = simulation(&config)?.actor_rules();
    let mut summary = DataSummary::default();
    decoded(simulation(&config)?, &rules, |part, _| {
        summary.add(&part.events, &part.samples);
        Ok(())
    })?;
    let mut trainer = Trainer::new(
        TrainSpec { seed, window: WINDOW, rules: rules.clone(), detectors: Detectors::default() },
        summary,
    )?;
    let mut windows = Windows::new(WINDOW);
    decoded(simulation(&config)?, &rules, |part, _| {
        windows.events(&mut trainer, &part.events)?;
        Ok(windows.samples(&mut trainer, &part.samples)?)
    })?;
    windows.close_all(&mut trainer)?;
    Ok(trainer.finish()?.0)
}

/// The week that follows, with an attack in it.
struct Week {
    parts: Vec<Decoded>,
    labels: Labels,
}

impl Week {
    fn attacked(seed: u64, style: Style) -> Result<Self> {
        // Another workday and another hour for each cluster.
        let start = SimConfig::default().start;
        let hours = 24 * (u64::from(TRAIN_DAYS) + seed % 4) + seed * 7 % 24;
        let at = start.plus(Duration::from_secs(3600 * hours + seed * 613 % 3600));
        let attack = Some(AttackPlan { scenario: Scenario::TokenTheft, style, at });
        let config = SimConfig { seed, from_day: TRAIN_DAYS, days: TEST_DAYS, attack, ..SimConfig::default() };
        let simulation = simulation(&config)?;
        let rules = simulation.actor_rules();
        let mut labels = Labels::new(simulation.stages());
        let mut parts = Vec::new();
        decoded(simulation, &rules, |part, stage| {
            if let Some(stage) = stage {
                labels.note(&part.events, stage);
            }
            parts.push(part);
            Ok(())
        })?;
        Ok(Self { parts, labels })
    }

    fn findings(&self, model: &Arc<FittedModel>, budget: f64, polarity: Polarity) -> Result<Outcome> {
        let reference = ModelRef { name: CLUSTER.to_owned(), version: 1, digest: String::new() };
        let settings = EngineSettings { cluster: CLUSTER.to_owned(), budget_per_day: budget, polarity };
        let engine = Engine::new(Arc::clone(model), reference, settings);
        let mut shard = Shard::new(&engine, "");
        let mut outcome = Outcome::default();
        for part in &self.parts {
            shard.push(&engine, &part.events, &part.samples, &mut outcome)?;
        }
        shard.close_all(&engine, &mut outcome)?;
        Ok(outcome)
    }
}

fn simulation(config: &SimConfig) -> Result<Simulation> {
    Simulation::new(config).context("the simulation cannot be made")
}

/// Decodes a simulation as the service would, in parts of one label each; labels stay outside of the bytes.
fn decoded(
    simulation: Simulation,
    rules: &ActorRules,
    mut take: impl FnMut(Decoded, Option<usize>) -> Result<()>,
) -> Result<()> {
    let context = DecodeContext { cluster: CLUSTER.to_owned(), rules: rules.clone(), redaction_key: None };
    let mut pending: Option<(RawRecord, Option<usize>, usize)> = None;
    let mut flush =
        |record: RawRecord, stage| take(leadsman_decode::record(&context, &Limits::default(), &record), stage);
    for SimRecord { time, payload, stage } in simulation {
        let (kind, line) = match payload {
            Payload::Audit(line) => (PayloadKind::K8sAudit, line),
            Payload::Metric(line) => (PayloadKind::MetricJson, line),
        };
        match &mut pending {
            Some((record, label, lines)) if record.kind == kind && *label == stage && *lines < CHUNK => {
                record.bytes.push(b'\n');
                record.bytes.extend_from_slice(&line);
                record.received_at = time;
                *lines += 1;
            }
            Some(_) | None => {
                let next = RawRecord { offset: 0, received_at: time, kind, bytes: line };
                if let Some((record, label, _)) = pending.replace((next, stage, 1)) {
                    flush(record, label)?;
                }
            }
        }
    }
    pending.map_or(Ok(()), |(record, label, _)| flush(record, label))
}
