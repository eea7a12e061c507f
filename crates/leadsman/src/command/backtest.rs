//! `leadsman backtest`: trains on weeks of a cluster, tries attacks in the week after, and counts what is found at which
//! alert budget, beside what simple detectors find. Alert lines come from the training period alone.

mod attempt;
mod baselines;
mod html;
mod inject;
mod lab;
mod report;
mod rivals;
mod timeline;

use std::collections::BTreeSet;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use leadsman_detect::Detectors;
use leadsman_domain::IncidentId;
use leadsman_engine::Polarity;

use self::baselines::Baselines;
use self::lab::Lab;
use self::report::{BUDGETS, Report, Tally};
use self::rivals::Rivals;
use crate::cli::{BacktestArgs, Global, Suite};
use crate::config::Config;
use crate::exit::Exit;
use crate::input::LakeOptions;
use crate::lake::Filter;
use crate::output;
use crate::pipeline::{Outcome, PipelineError};
use crate::progress::Progress;

/// Seconds of a detection window.
const WINDOW: Duration = Duration::from_secs(300);
const CLUSTER: &str = "backtest";
/// Percent of the training log that one account writes to make its attacks look normal.
const POISON: [u32; 3] = [1, 5, 20];

/// Runs a back-test; `config` is asked for only when logs are read.
///
/// Errors: when logs cannot be read or a model cannot be trained; [`Exit::Gate`] when recall is below `--fail-under`.
pub fn run(args: &BacktestArgs, global: &Global, config: impl FnOnce() -> Result<Config>) -> Result<()> {
    let Suite::Sim = args.suite;
    let suite = if args.inject.is_empty() { "sim" } else { "inject" };
    let mut report = Report { suite, detectors: args.detectors, ..Report::default() };
    let log = match args.inject.as_slice() {
        [] if args.part.filter() != Filter::default() => {
            let what = "--cluster, --from and --to choose a part of a lake: give one with --inject";
            return Err(Exit::Usage(what.to_owned()).into());
        }
        [] => None,
        paths => {
            let config = config()?;
            let lakes = LakeOptions { access: config.lake.access.clone(), filter: args.part.filter() };
            Some(inject::logs(paths, &lakes, &config, global.progress)?)
        }
    };
    let mut bar = Progress::new(global.progress, "backtest", args.seeds * if args.quick { 3 } else { 4 });
    for seed in (0..args.seeds).map(|i| args.first_seed.wrapping_add(i)) {
        bar.next(|| format!("cluster {seed}: telemetry"));
        let lab = match &log {
            None => Lab::simulated(seed)?,
            Some((log, context)) => Lab::of_log(log, context.clone(), seed)?,
        };
        report.seeds.push(seed);
        examine(&lab, args, &mut report, |what| bar.next(|| format!("cluster {seed}: {what}")))?;
    }
    bar.finish();
    if let Some(path) = &args.report {
        let page = html::page(&report.document())?;
        std::fs::write(path, page).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    if global.json {
        output::json(&report.document())?;
    } else {
        output::text(&report.to_string())?;
    }
    match (args.fail_under, report.full.lowest_recall(BUDGETS[0])) {
        (Some(wanted), Some((style, recall))) if recall < wanted => Err(Exit::Gate(format!(
            "recall of {style} attacks at one false incident a day is {recall:.2}, below {wanted:.2}"
        ))
        .into()),
        (Some(_), None) => Err(Exit::Gate("no attack was tried, so there is no recall".to_owned()).into()),
        (Some(_) | None, _) => Ok(()),
    }
}

/// What is examined in one cluster, besides the detectors as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    Full,
    RulesAlone,
    Switched(&'static str, Detectors),
    Poisoned(u32),
    ColdStart,
}

fn examine(lab: &Lab, args: &BacktestArgs, report: &mut Report, mut tell: impl FnMut(&'static str)) -> Result<()> {
    let polarity = if args.negate_scores { Polarity::Negated } else { Polarity::Normal };
    let compared = !args.quick || args.baselines;
    let mut variants = vec![Variant::Full];
    // Where one switch leaves the rules alone, its run is the baseline as well.
    let switched = args.detectors.each_switched().filter(|_| !args.quick);
    variants.extend(switched.map(|(name, detectors)| Variant::Switched(name, detectors)));
    let alone = |v: &Variant| matches!(v, Variant::Switched(_, Detectors::RULES));
    if compared && args.detectors != Detectors::RULES && !variants.iter().any(alone) {
        variants.push(Variant::RulesAlone);
    }
    if !args.quick {
        variants.extend(POISON.map(Variant::Poisoned));
        variants.push(Variant::ColdStart);
    }
    tell("training");
    let day = lab.first_day();
    let trained = parallel(&variants, |variant| {
        let mut watched = (*variant == Variant::Full && compared).then(|| Baselines::new(WINDOW));
        let mut train = |telemetry, detectors| lab.trained(telemetry, detectors, watched.as_mut()).map(Some);
        let model = match *variant {
            Variant::Full => train(&lab.train, args.detectors)?,
            Variant::RulesAlone => train(&lab.train, Detectors::RULES)?,
            Variant::Switched(_, detectors) => train(&lab.train, detectors)?,
            Variant::Poisoned(percent) => match lab.poisoned(percent) {
                Some(telemetry) => train(&telemetry, args.detectors)?,
                None => None,
            },
            Variant::ColdStart => train(&day.0, args.detectors)?,
        };
        Ok(model.map(|model| (*variant, model, watched)))
    })?;
    let trained: Vec<_> = trained.into_iter().flatten().collect();
    let Some((_, full, watched)) = trained.first() else { return Ok(()) };
    tell("attacks");
    let runs: Vec<(usize, u32)> = (0..trained.len()).flat_map(|v| BUDGETS.map(|budget| (v, budget))).collect();
    let tallies = parallel(&runs, |&(v, budget)| {
        let (variant, model, _) = &trained[v];
        let engine = lab::engine(model, budget, polarity)?;
        let (week, attempts) =
            if *variant == Variant::ColdStart { (&day.1, &day.2) } else { (&lab.week, &lab.attempts) };
        let (verdicts, quiet) = attempt::live_through(&engine, week, attempts)?;
        let mut tally = Tally::default();
        for (attempt, verdict) in attempts.iter().zip(verdicts) {
            tally.attempt(&attempt.trial, budget, verdict);
        }
        tally.quiet(budget, incidents(&quiet), week.days());
        Ok(tally)
    })?;
    for (&(v, _), tally) in runs.iter().zip(tallies) {
        match trained[v].0 {
            Variant::Full => report.full.join(tally),
            Variant::RulesAlone => report.baselines.entry("rules").or_default().join(tally),
            Variant::Switched(name, detectors) => {
                if detectors == Detectors::RULES {
                    report.baselines.entry("rules").or_default().join(tally.clone());
                }
                report.ablation.entry(name).or_default().join(tally);
            }
            Variant::Poisoned(percent) => report.poisoning.entry(percent).or_default().join(tally),
            Variant::ColdStart => report.cold_start.join(tally),
        }
    }
    let Some(watched) = watched else { return Ok(()) };
    let rivals = Rivals::new(watched.clone(), lab.seed)?;
    for ((baseline, budget), rivalry) in
        rivals.live_through(&lab::engine(full, 1, polarity)?, &lab.week, &lab.attempts)?
    {
        let tally = report.baselines.entry(baseline.as_str()).or_default();
        for (attempt, found) in lab.attempts.iter().zip(rivalry.found) {
            let verdict = attempt::Verdict { delay: found.then_some(0.0), explained: false };
            tally.attempt(&attempt.trial, budget, verdict);
        }
        tally.quiet(budget, rivalry.false_incidents, lab.week.days());
    }
    if args.quick {
        return Ok(());
    }
    tell("weeks of upheaval");
    let kinds = lab.upheavals();
    let weeks = parallel(kinds, |kind| {
        let week = lab.upheaval(*kind)?;
        let mut tally = Tally::default();
        for budget in BUDGETS {
            let (_, quiet) = attempt::live_through(&lab::engine(full, budget, polarity)?, &week, &[])?;
            tally.quiet(budget, incidents(&quiet), week.days());
        }
        Ok(tally)
    })?;
    for (kind, tally) in kinds.iter().zip(weeks) {
        report.hard_negatives.entry(kind.as_str()).or_default().join(tally);
    }
    Ok(())
}

fn incidents(outcome: &Outcome) -> u64 {
    let distinct: BTreeSet<IncidentId> = outcome.findings.values().map(|f| f.incident_id).collect();
    distinct.len() as u64
}

/// Does the work for each of `items` on all cores; results are in the order of the items.
///
/// Errors: the first that any of them gave.
fn parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return done };
            done.push((index, work(item)));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(items.len());
    let mut done = Vec::with_capacity(items.len());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            done.extend(worker.join().map_err(|_| anyhow::anyhow!("a worker of the back-test panicked"))?);
        }
        anyhow::Ok(())
    })?;
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}
