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
    Attack, Change, ChangeKind, Cluster, ClusterSize, IdentityKind, SimConfig, Simulation, Style, Technique, Trial,
};

use super::attempt::Attempt;
use super::baselines::{Baselines, Watched};
use super::timeline::Timeline;
use super::{CLUSTER, WINDOW};
use crate::pipeline::Windows;

/// Days that train and calibrate, and the days after them that test.
pub(super) const TRAIN_DAYS: u32 = 28;
pub(super) const TEST_DAYS: u32 = 7;
/// The victim of every repetition is another one; this one is nobody's but the poisoner's.
const POISONER: u64 = 1_000;

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
    /// How the cluster came to be, unless it is a real one.
    simulated: Option<SimConfig>,
}

impl Lab {
    /// The simulated cluster of a seed.
    ///
    /// Errors: when the simulation cannot be made.
    pub(super) fn simulated(seed: u64) -> Result<Self> {
        // Every upheaval happens in the weeks that train, too, as it does in life; which ones the test week has differs.
        let trained = ChangeKind::ALL.into_iter().zip((1..).step_by(3)).map(|(kind, day)| Change { kind, day });
        let tested = (0..2).map(|i| Change {
            kind: ChangeKind::ALL[(seed as usize + 4 * i) % ChangeKind::ALL.len()],
            day: TRAIN_DAYS + 1 + i as u32,
        });
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
            let cluster = Cluster::sized(seed, size);
            move |trial: &Trial| Some(leadsman_sim::attack(&cluster, trial))
        };
        let week = Timeline::of(simulation, &context);
        Ok(Self { simulated: Some(config), ..Self::new(seed, train, week, context, Box::new(stage)) })
    }

    /// A cluster with `train` and `week` in its log, in which `stage` stages attacks.
    pub(super) fn new(seed: u64, train: Timeline, week: Timeline, context: DecodeContext, stage: Stager) -> Self {
        let mut lab = Self { seed, train, week, attempts: Vec::new(), context, stage, simulated: None };
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
        let staged = trials.iter().filter_map(|trial| (self.stage)(trial));
        let mut attempts: Vec<Attempt> = staged.map(|attack| Attempt::new(attack, &self.context)).collect();
        attempts.sort_by_key(|a| a.begins);
        attempts
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
        if (from..to).contains(&at_work) { at_work } else { at }
    }

    /// A model of `telemetry`; `watch` sees the same.
    ///
    /// Errors: when there is too little to learn from.
    pub(super) fn trained(
        &self,
        telemetry: &Timeline,
        detectors: Detectors,
        watch: &mut Baselines,
    ) -> Result<Arc<FittedModel>> {
        let spec = TrainSpec { seed: self.seed, window: WINDOW, rules: self.context.rules.clone(), detectors };
        let mut trainer = Trainer::new(spec, RuleSet::shipped()?, telemetry.summary())?;
        let mut windows = Windows::new(WINDOW);
        for (_, events, samples) in telemetry.stretches([]) {
            windows.events(&mut Watched { judge: &mut trainer, baselines: watch }, events)?;
            windows.samples(&mut trainer, samples)?;
        }
        windows.close_all(&mut Watched { judge: &mut trainer, baselines: watch })?;
        Ok(Arc::new(trainer.finish()?.0))
    }

    /// The weeks that train, with so many percent of their events written by one account that repeats the attacks.
    pub(super) fn poisoned(&self, percent: u32) -> Timeline {
        let share = f64::from(percent) / 100.0;
        let wanted = (self.train.events().len() as f64 * share / (1.0 - share)) as usize;
        let Some((from, to)) = self.train.span() else { return Timeline::default() };
        let techniques = Technique::ALL;
        let trial = |n: usize, at| Trial {
            technique: techniques[n % techniques.len()],
            identity: IdentityKind::Workload,
            style: Style::Noisy,
            at,
            repeat: POISONER,
        };
        // How many attacks that takes is known from one round of them.
        let round: Vec<Attack> = (0..techniques.len()).filter_map(|n| (self.stage)(&trial(n, from))).collect();
        let Some(actor) = round.first().map(|a| a.actor.clone()) else { return self.train.clone() };
        let of_actor = |attack: &Attack| attack.actor == actor;
        let a_round: usize = round.iter().filter(|a| of_actor(a)).map(|a| a.records.len()).sum();
        let attacks = wanted * techniques.len() / a_round.max(1);
        let mut records = Vec::with_capacity(wanted);
        for n in 0..attacks {
            let since = to.seconds_since(from) * n as f64 / attacks as f64;
            let at = from.plus(Duration::from_secs_f64(since));
            records.extend((self.stage)(&trial(n, at)).filter(of_actor).into_iter().flat_map(|a| a.records));
        }
        records.sort_by_key(|r| r.time);
        self.train.with(&Timeline::of(records, &self.context))
    }

    /// The first day of the test, the day after it, and the attempts that end on that day.
    pub(super) fn first_day(&self) -> (Timeline, Timeline, Vec<Attempt>) {
        let (from, _) = self.week.span().unwrap_or_default();
        let day = |n: u64| from.plus(Duration::from_secs(86_400 * n));
        let inside = |a: &&Attempt| a.begins >= day(1) && a.ends < day(2);
        let attempts = self.attempts.iter().filter(inside).cloned().collect();
        (self.week.part(from, day(1)), self.week.part(day(1), day(2)), attempts)
    }

    /// The kinds of upheaval that a test week can be made of; none in a real cluster.
    pub(super) fn upheavals(&self) -> &'static [ChangeKind] {
        if self.simulated.is_some() { &ChangeKind::ALL } else { &[] }
    }

    /// The test week with one upheaval on its second day, and no attack.
    ///
    /// Errors: when the simulation cannot be made.
    pub(super) fn upheaval(&self, kind: ChangeKind) -> Result<Timeline> {
        let Some(trained) = &self.simulated else { return Ok(self.week.clone()) };
        // What began while training goes on.
        let before = trained.changes.iter().copied().filter(|c| c.day < TRAIN_DAYS);
        let changes = before.chain([Change { kind, day: TRAIN_DAYS + 1 }]).collect();
        let config = SimConfig { from_day: TRAIN_DAYS, days: TEST_DAYS, changes, ..trained.clone() };
        Ok(Timeline::of(simulation(&config)?, &self.context))
    }
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
