//! One cluster under test: the weeks that train, the week that tests, and the attacks that are tried in it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use leadsman_decode::DecodeContext;
use leadsman_detect::{Detectors, FittedModel};
use leadsman_domain::{ActorRules, ContentHash, ModelRef, Timestamp};
use leadsman_engine::{Engine, EngineSettings, Polarity, TrainSpec, Trainer};
use leadsman_sim::{Attack, Change, ChangeKind, IdentityKind, SimConfig, Simulation, Style, Technique, Trial};

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

/// Stages an attack in the cluster.
type Stager = Box<dyn Fn(&Trial) -> Option<Attack> + Send + Sync>;

/// A cluster with its telemetry in memory.
pub(super) struct Lab {
    pub(super) seed: u64,
    pub(super) train: Timeline,
    pub(super) week: Timeline,
    pub(super) attempts: Vec<Attempt>,
    context: DecodeContext,
    rules: ActorRules,
    stage: Stager,
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
        let config = SimConfig { seed, changes: trained.chain(tested).collect(), ..SimConfig::default() };
        let train = SimConfig { days: TRAIN_DAYS, ..config.clone() };
        let week = SimConfig { from_day: TRAIN_DAYS, days: TEST_DAYS, ..config };
        let simulation = simulation(&train)?;
        let rules = simulation.actor_rules();
        let context = DecodeContext { cluster: CLUSTER.to_owned(), rules: rules.clone(), redaction_key: None };
        let monday = week.start.plus(Duration::from_secs(86_400 * u64::from(TRAIN_DAYS)));
        let train = Timeline::of(simulation, &context);
        let simulation = self::simulation(&week)?;
        let stage = {
            let cluster = leadsman_sim::Cluster::of(&week);
            move |trial: &Trial| Some(leadsman_sim::attack(&cluster, trial))
        };
        let week = Timeline::of(simulation, &context);
        let mut lab = Self { seed, train, week, attempts: Vec::new(), context, rules, stage: Box::new(stage) };
        lab.plan(monday);
        Ok(lab)
    }

    /// Every technique by every kind of identity in every style that leaves a trace, spread over the days after `monday`.
    fn plan(&mut self, monday: Timestamp) {
        let mut trials = Vec::new();
        for technique in Technique::ALL {
            for identity in IdentityKind::ALL {
                for style in Style::ALL.into_iter().filter(|style| technique.leaves_trace(*style)) {
                    let at = self.moment(monday, trials.len(), identity, style);
                    trials.push(Trial { technique, identity, style, at, repeat: self.seed });
                }
            }
        }
        let staged = trials.iter().filter_map(|trial| (self.stage)(trial));
        let mut attempts: Vec<Attempt> = staged.map(|attack| Attempt::new(attack, &self.context)).collect();
        attempts.sort_by_key(|a| a.begins);
        self.attempts = attempts;
    }

    /// The first day of the test is left out. People are imitated while they work; everybody else at any hour.
    fn moment(&self, monday: Timestamp, index: usize, identity: IdentityKind, style: Style) -> Timestamp {
        let hash = ContentHash::new("leadsman backtest moment v1").field(self.seed.to_le_bytes());
        let lot = hash.field((index as u64).to_le_bytes()).finish();
        let below = |shift: u32, n: u64| (lot >> shift) as u64 % n;
        let at_work = identity == IdentityKind::Human && style == Style::Mimicry;
        let (day, hour) = if at_work { (1 + below(0, 4), 9 + below(20, 5)) } else { (1 + below(0, 5), below(20, 20)) };
        monday.plus(Duration::from_secs(86_400 * day + 3_600 * hour + below(40, 3_600)))
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
        let spec = TrainSpec { seed: self.seed, window: WINDOW, rules: self.rules.clone(), detectors };
        let mut trainer = Trainer::new(spec, telemetry.summary())?;
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

    /// The test week with one upheaval on its second day, and no attack.
    ///
    /// Errors: when the simulation cannot be made.
    pub(super) fn upheaval(&self, kind: ChangeKind) -> Result<Timeline> {
        let changes = vec![Change { kind, day: TRAIN_DAYS + 1 }];
        let config = SimConfig { seed: self.seed, from_day: TRAIN_DAYS, days: TEST_DAYS, changes, ..SimConfig::default() };
        Ok(Timeline::of(simulation(&config)?, &self.context))
    }
}

/// An engine with the alert line of a budget.
pub(super) fn engine(model: &Arc<FittedModel>, budget: u32, polarity: Polarity) -> Engine {
    let reference = ModelRef { name: CLUSTER.to_owned(), version: 1, digest: String::new() };
    let settings = EngineSettings { cluster: CLUSTER.to_owned(), budget_per_day: f64::from(budget), polarity };
    Engine::new(Arc::clone(model), reference, settings)
}

fn simulation(config: &SimConfig) -> Result<Simulation> {
    Simulation::new(config).context("the simulation cannot be made")
}
