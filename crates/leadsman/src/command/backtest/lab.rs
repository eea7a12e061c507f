//! One cluster under test: the weeks that train, the week that tests, and the attacks that are tried in it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use leadsman_decode::DecodeContext;
use leadsman_detect::rules::RuleSet;
use leadsman_detect::{Detectors, FittedModel};
use leadsman_domain::{ContentHash, ModelRef, Timestamp};
use leadsman_engine::{Engine, EngineSettings, Polarity, TrainSpec, Trainer};
use leadsman_sim::{
    Attack, Change, ChangeKind, ClusterSize, IdentityKind, SimConfig, SimRecord, Simulation, Style, Technique, Trial,
};

use super::attempt::Attempt;
use super::baselines::{Baselines, Watched};
use super::timeline::Timeline;
use super::{CLUSTER, WINDOW};
use crate::pipeline::{Judge, PipelineError, Windows};

/// Days that train and calibrate, and the days after them that test.
pub(super) const TRAIN_DAYS: u32 = 28;
pub(super) const TEST_DAYS: u32 = 7;
/// Upheavals that happen in no training week.
const UNSEEN: usize = 4;
/// Victims of a kind that are gone through for one that fits.
const MOST_VICTIMS: u64 = 64;

/// An attack whose begin leaves less room than these seconds may not end before the test does.
const LONGEST_ATTACK: f64 = 4.0 * 3_600.0;

/// Stages an attack in the cluster; nothing when nobody there could be the attacker.
pub(super) type Stager = Box<dyn Fn(&Trial) -> Option<Attack> + Send + Sync>;

/// A cluster with its telemetry in memory.
pub(super) struct Lab {
    pub(super) seed: u64,
    pub(super) train: Timeline,
    pub(super) week: Timeline,
    pub(super) attempts: Vec<Attempt>,
    context: DecodeContext,
    stage: Stager,
    /// How the cluster came to be and the upheavals that it has not seen while training, unless it is a real one.
    simulated: Option<(SimConfig, Vec<ChangeKind>)>,
    /// The account that poisons; the attacks that are tried are by others.
    poisoner: Option<String>,
}

impl Lab {
    /// The simulated cluster of a seed.
    ///
    /// Errors: when the simulation cannot be made.
    pub(super) fn simulated(seed: u64) -> Result<Self> {
        // Some upheavals happen in the weeks that train, as in life. The others have never happened before: two in the
        // test week, and each in a week of its own.
        let first = (seed % ChangeKind::ALL.len() as u64) as usize;
        let mut kinds = ChangeKind::ALL;
        kinds.rotate_left(first);
        let (unseen, seen) = kinds.split_at(UNSEEN);
        let trained = seen.iter().zip((2..).step_by(5)).map(|(kind, day)| Change { kind: *kind, day });
        let tested = unseen.iter().take(2).zip(TRAIN_DAYS + 1..).map(|(kind, day)| Change { kind: *kind, day });
        let size = ClusterSize::ALL[(seed % ClusterSize::ALL.len() as u64) as usize];
        let config = SimConfig { seed, size, changes: trained.chain(tested).collect(), ..SimConfig::default() };
        let train = SimConfig { days: TRAIN_DAYS, ..config.clone() };
        let week = SimConfig { from_day: TRAIN_DAYS, days: TEST_DAYS, ..config.clone() };
        let simulation = simulation(&train)?;
        let rules = simulation.actor_rules();
        let context = DecodeContext { cluster: CLUSTER.to_owned(), rules: rules.clone(), redaction_key: None };
        let train = Timeline::of(simulation, &context);
        let simulation = self::simulation(&week)?;
        let stage = {
            // What upheavals changed must be there for the attacker, too.
            let twin = self::simulation(&week)?;
            move |trial: &Trial| Some(leadsman_sim::attack(twin.cluster(), trial))
        };
        let week = Timeline::of(simulation, &context);
        let simulated = Some((config, unseen.to_vec()));
        Ok(Self { simulated, ..Self::new(seed, train, week, context, Box::new(stage)) })
    }

    /// A cluster with `train` and `week` in its log, in which `stage` stages attacks.
    pub(super) fn new(seed: u64, train: Timeline, week: Timeline, context: DecodeContext, stage: Stager) -> Self {
        let mut lab = Self { seed, train, week, attempts: Vec::new(), context, stage, simulated: None, poisoner: None };
        lab.poisoner = lab.train.span().and_then(|(from, _)| lab.attack_of_poisoner(0, from)).map(|a| a.actor);
        lab.attempts = lab.planned();
        lab
    }

    /// Every technique by every kind of identity in every style that leaves a trace, spread over the week.
    fn planned(&self) -> Vec<Attempt> {
        let mut trials = Vec::new();
        for technique in Technique::ALL {
            for identity in IdentityKind::ALL {
                for style in Style::ALL.into_iter().filter(|style| technique.leaves_trace(*style)) {
                    let at = self.moment(trials.len(), identity, style);
                    trials.push(Trial { technique, identity, style, at, repeat: self.seed });
                }
            }
        }
        let by_another = |a: &Attack| self.poisoner.as_ref() != Some(&a.actor);
        let staged = trials.iter().filter_map(|trial| self.first_victim(trial, by_another));
        let mut attempts: Vec<Attempt> = staged.map(|attack| Attempt::new(attack, &self.context)).collect();
        attempts.sort_by_key(|a| a.begins);
        attempts
    }

    /// The attack with the first victim that `fits`.
    fn first_victim(&self, trial: &Trial, fits: impl Fn(&Attack) -> bool) -> Option<Attack> {
        let with = |turn| Trial { repeat: trial.repeat.wrapping_add(turn), ..*trial };
        (0..MOST_VICTIMS).filter_map(|turn| (self.stage)(&with(turn))).find(fits)
    }

    /// What the account that poisons does the `n`-th time; nothing when it cannot be that account.
    fn attack_of_poisoner(&self, n: usize, at: Timestamp) -> Option<Attack> {
        let technique = Technique::ALL[n % Technique::ALL.len()];
        let trial = Trial { technique, identity: IdentityKind::Workload, style: Style::Noisy, at, repeat: self.seed };
        self.first_victim(&trial, |a| self.poisoner.as_ref().is_none_or(|poisoner| *poisoner == a.actor))
    }

    /// When an attack begins. The first seventh of the test is left out, as it is a little too like the training's end;
    /// people are imitated in the hours of work of a weekday.
    fn moment(&self, index: usize, identity: IdentityKind, style: Style) -> Timestamp {
        let (from, to) = self.week.span().unwrap_or_default();
        let hash = ContentHash::new("leadsman backtest moment v1").field(self.seed.to_le_bytes());
        let lot = hash.field((index as u64).to_le_bytes()).finish();
        let share = |shift: u32| (lot >> shift & 0xffff_ffff) as f64 / f64::from(u32::MAX);
        let length = to.seconds_since(from);
        let room = (0.5 * length).min(LONGEST_ATTACK);
        let at = from.plus(Duration::from_secs_f64(length / 7.0 + share(0) * (6.0 / 7.0 * length - room).max(0.0)));
        if identity != IdentityKind::Human || style != Style::Mimicry {
            return at;
        }
        let day = (0..7).map(|back| at.day() - back).find(|day| weekday(*day) < 5).unwrap_or(at.day());
        let hour = 9.0 + 5.0 * share(32);
        let at_work = Timestamp::from_millis(day * 86_400_000 + (hour * 3_600_000.0) as i64);
        if (from.plus(Duration::from_secs_f64(length / 7.0))..to).contains(&at_work) { at_work } else { at }
    }

    /// A model of `telemetry`; `watch` sees the same.
    ///
    /// Errors: when there is too little to learn from.
    pub(super) fn trained(
        &self,
        telemetry: &Timeline,
        detectors: Detectors,
        watch: Option<&mut Baselines>,
    ) -> Result<Arc<FittedModel>> {
        let spec = TrainSpec { seed: self.seed, window: WINDOW, rules: self.context.rules.clone(), detectors };
        let mut trainer = Trainer::new(spec, RuleSet::shipped()?, telemetry.summary())?;
        let mut windows = Windows::new(WINDOW);
        match watch {
            Some(baselines) => live(telemetry, &mut windows, &mut Watched { judge: &mut trainer, baselines })?,
            None => live(telemetry, &mut windows, &mut trainer)?,
        }
        Ok(Arc::new(trainer.finish()?.0))
    }

    /// The weeks that train, with so many percent of their events written by one account that does all the attacks over
    /// and over. `None` when there is nobody to do it.
    pub(super) fn poisoned(&self, percent: u32) -> Option<Timeline> {
        let poisoner = self.poisoner.as_deref()?;
        let (from, to) = self.train.span()?;
        let share = f64::from(percent) / 100.0;
        let wanted = self.train.events().len() as f64 * share / (1.0 - share);
        // How many attacks that takes is known from one round of them.
        let techniques = Technique::ALL.len();
        let staged = |n, at| self.attack_of_poisoner(n, at).into_iter().flat_map(|a| a.records);
        let timeline = |mut records: Vec<SimRecord>| {
            records.sort_by_key(|r| r.time);
            Timeline::of(records, &self.context)
        };
        let round = timeline((0..techniques).flat_map(|n| staged(n, from)).collect());
        let a_round = round.events().iter().filter(|e| *e.actor.name == *poisoner).count();
        let attacks = (wanted * techniques as f64 / a_round.max(1) as f64) as usize;
        let at = |n: usize| from.plus(Duration::from_secs_f64(to.seconds_since(from) * n as f64 / attacks as f64));
        Some(self.train.with(&timeline((0..attacks).flat_map(|n| staged(n, at(n))).collect())))
    }

    /// The first day of the test, the day after it, and the attempts that end on that day.
    pub(super) fn first_day(&self) -> (Timeline, Timeline, Vec<Attempt>) {
        let (from, _) = self.week.span().unwrap_or_default();
        let day = |n: u64| from.plus(Duration::from_secs(86_400 * n));
        let inside = |a: &&Attempt| a.begins >= day(1) && a.ends < day(2);
        let attempts = self.attempts.iter().filter(inside).cloned().collect();
        (self.week.part(from, day(1)), self.week.part(day(1), day(2)), attempts)
    }

    /// The kinds of upheaval that training has not seen; none in a real cluster.
    pub(super) fn upheavals(&self) -> &[ChangeKind] {
        self.simulated.as_ref().map_or(&[], |(_, unseen)| unseen)
    }

    /// The test week with one upheaval on its second day, and no attack.
    ///
    /// Errors: when the simulation cannot be made.
    pub(super) fn upheaval(&self, kind: ChangeKind) -> Result<Timeline> {
        let Some((trained, _)) = &self.simulated else { return Ok(self.week.clone()) };
        // What began while training goes on.
        let before = trained.changes.iter().copied().filter(|c| c.day < TRAIN_DAYS);
        let changes = before.chain([Change { kind, day: TRAIN_DAYS + 1 }]).collect();
        let config = SimConfig { from_day: TRAIN_DAYS, days: TEST_DAYS, changes, ..trained.clone() };
        Ok(Timeline::of(simulation(&config)?, &self.context))
    }
}

/// Shows all of `telemetry` to `judge`.
fn live(telemetry: &Timeline, windows: &mut Windows, judge: &mut impl Judge) -> Result<(), PipelineError> {
    for (_, events, samples) in telemetry.stretches([]) {
        windows.events(judge, events)?;
        windows.samples(judge, samples)?;
    }
    windows.close_all(judge)
}

/// An engine with the alert line of a budget.
///
/// Errors: when the built-in rules do not compile.
pub(super) fn engine(model: &Arc<FittedModel>, budget: u32, polarity: Polarity) -> Result<Engine> {
    let reference = ModelRef { name: CLUSTER.to_owned(), version: 1, digest: String::new() };
    let (cluster, rules) = (CLUSTER.to_owned(), RuleSet::shipped()?);
    let settings = EngineSettings { cluster, budget_per_day: f64::from(budget), polarity, rules };
    Ok(Engine::new(Arc::clone(model), reference, settings))
}

/// 0 is Monday. 1970-01-01 was a Thursday.
fn weekday(day: i64) -> i64 {
    (day + 3).rem_euclid(7)
}

fn simulation(config: &SimConfig) -> Result<Simulation> {
    Simulation::new(config).context("the simulation cannot be made")
}
