//! However a log is cut into batches, and wherever the process is stopped and resumed, the findings are the
//! same, bit for bit.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use leadsman::model::{self, ReadyModel};
use leadsman::pipeline::{Outcome, Shard};
use leadsman_decode::{DecodeContext, Limits};
use leadsman_detect::rules::RuleSet;
use leadsman_detect::{Detectors, FittedModel};
use leadsman_domain::{AuditEvent, Finding, FindingId, IncidentId, MetricSample, PayloadKind, RawRecord, Timestamp};
use leadsman_engine::{Engine, EngineSettings, Polarity};
use leadsman_sim::{AttackPlan, Payload, Scenario, SimConfig, Simulation, Style};
use proptest::prelude::*;

struct Day {
    engine: Engine,
    /// With every detector and a line so low that many windows become findings, some of them only when they close.
    restless: Engine,
    model: ReadyModel,
    events: Vec<AuditEvent>,
    samples: Vec<MetricSample>,
}

/// The hours around the staged attack.
fn day() -> &'static Day {
    static DAY: OnceLock<Day> = OnceLock::new();
    DAY.get_or_init(|| {
        let model = model::demo().expect("the built-in model loads");
        let rules = RuleSet::shipped().expect("the built-in rules compile");
        let settings =
            EngineSettings { cluster: "test".to_owned(), budget_per_day: 1.0, polarity: Polarity::Normal, rules };
        let engine = Engine::new(model.fitted.clone(), model.reference(), settings.clone());
        let fitted = FittedModel { detectors: Detectors::ALL, ..model.fitted.as_ref().clone() };
        let settings = EngineSettings { budget_per_day: 1_000.0, ..settings };
        let restless = Engine::new(fitted.into(), model.reference(), settings);
        let at = Timestamp::parse("2026-04-02T09:40:00Z").expect("a time");
        let attack = Some(AttackPlan { scenario: Scenario::TokenTheft, style: Style::Paced, at });
        let config = SimConfig { seed: 1, from_day: 31, days: 1, attack, ..SimConfig::default() };
        let context =
            DecodeContext { cluster: "test".to_owned(), rules: model.fitted.rules.clone(), redaction_key: None };
        let (mut events, mut samples) = (Vec::new(), Vec::new());
        let (from, to) = (Timestamp::parse("2026-04-02T09:00:00Z"), Timestamp::parse("2026-04-02T13:10:00Z"));
        let (from, to) = (from.expect("a time"), to.expect("a time"));
        for r in Simulation::new(&config).expect("a plan").filter(|r| r.time >= from && r.time < to) {
            let kind = match &r.payload {
                Payload::Audit(_) => PayloadKind::K8sAudit,
                Payload::Metric(_) => PayloadKind::MetricJson,
            };
            let record = RawRecord { offset: 0, received_at: r.time, kind, bytes: r.payload.bytes().to_vec().into() };
            let decoded = leadsman_decode::record(&context, &Limits::default(), &record);
            assert!(decoded.rejects.is_empty(), "{:?}", decoded.rejects);
            events.extend(decoded.events);
            samples.extend(decoded.samples);
        }
        Day { engine, restless, model, events, samples }
    })
}

/// Redaction leaves ordinary telemetry alone.
#[test]
fn nothing_of_an_ordinary_day_is_redacted() {
    let Day { events, samples, .. } = day();
    for text in events.iter().map(|e| format!("{e:?}")).chain(samples.iter().map(|s| format!("{s:?}"))) {
        assert!(!text.contains("[redacted"), "{text}");
    }
}

/// Scores the day in batches that end at `cuts`; at each cut in `stops` the shard goes through its bytes.
fn run(engine: &Engine, cuts: &[usize], stops: &[usize]) -> BTreeMap<FindingId, Finding> {
    let Day { model, events, samples, .. } = day();
    let digest = &model.manifest.weights_digest;
    let mut shard = Shard::new(engine, digest);
    let mut outcome = Outcome::default();
    let mut cuts: Vec<usize> = cuts.iter().map(|c| c % (events.len() + 1)).collect();
    cuts.extend([0, events.len()]);
    cuts.sort_unstable();
    for (i, pair) in cuts.windows(2).enumerate() {
        let share = |n: usize| n * samples.len() / events.len();
        let (a, b) = (share(pair[0]), share(pair[1]));
        shard.push(engine, &events[pair[0]..pair[1]], &samples[a..b], &mut outcome).expect("it scores");
        if stops.contains(&i) {
            let bytes = shard.to_bytes().expect("it is written");
            shard = Shard::from_bytes(engine, digest, &bytes).expect("it is read").expect("the model is the same");
        }
    }
    shard.close_all(engine, &mut outcome).expect("it closes");
    outcome.findings
}

#[test]
fn the_attack_is_found_in_one_batch() {
    let findings = run(&day().engine, &[], &[]);
    assert!(findings.len() >= 6, "{}", findings.len());
    for f in findings.values() {
        let points: i32 = f.explanation.contributions.iter().map(|c| c.points).sum();
        assert_eq!(points, i32::from(f.score), "contributions sum to the score");
        assert!(f.detected_at >= f.first_seen && f.detected_at <= f.window.to);
    }
}

#[test]
fn another_models_snapshot_is_not_used() {
    let Day { engine, .. } = day();
    let bytes = Shard::new(engine, "one").to_bytes().expect("it is written");
    assert!(Shard::from_bytes(engine, "another", &bytes).expect("it is read").is_none());
    assert!(Shard::from_bytes(engine, "one", &bytes[..bytes.len() / 2]).is_err(), "a damaged one is an error");
}

/// How the sentence about a rollout begins.
const ROLLOUT: &str = " A rollout may explain it: ";

#[test]
fn actors_may_be_spread_over_partitions() {
    let Day { engine, model, events, .. } = day();
    let digest = &model.manifest.weights_digest;
    let mut whole = BTreeMap::new();
    for part in 0..3usize {
        let mine = |e: &&AuditEvent| e.actor.name.bytes().map(usize::from).sum::<usize>() % 3 == part;
        let events: Vec<AuditEvent> = events.iter().filter(mine).cloned().collect();
        let (mut shard, mut outcome) = (Shard::new(engine, digest), Outcome::default());
        shard.push(engine, &events, &[], &mut outcome).expect("it scores");
        shard.close_all(engine, &mut outcome).expect("it closes");
        whole.extend(outcome.findings);
    }
    let mut actors: BTreeMap<_, _> =
        run(engine, &[], &[]).into_iter().filter(|(_, f)| f.entity.class.is_some()).collect();
    // Partitions share nothing that changes, so they link only what stands in one of them, and know of no rollout by an
    // account of another.
    for finding in whole.values_mut().chain(actors.values_mut()) {
        finding.incident_id = IncidentId::new(0);
        finding.links.clear();
        let sentence = &mut finding.explanation.sentence;
        sentence.truncate(sentence.find(ROLLOUT).unwrap_or(sentence.len()));
    }
    assert_eq!(whole, actors);
}

/// The sizes that the stream, a file and a notebook come in.
#[test]
fn batches_of_1_7_1000_and_100000_give_the_same_findings() {
    let Day { engine, restless, events, .. } = day();
    for (engine, least) in [(engine, 6), (restless, 20)] {
        let in_batches_of = |size: usize| run(engine, &(0..events.len()).step_by(size).collect::<Vec<_>>(), &[]);
        let whole = in_batches_of(100_000);
        assert!(whole.len() >= least, "{}", whole.len());
        for size in [1, 7, 1_000] {
            assert!(in_batches_of(size) == whole, "batches of {size}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn batches_and_restarts_change_nothing(
        cuts in prop::collection::vec(any::<usize>(), 0..40), stops in prop::collection::vec(0usize..40, 0..3),
    ) {
        static WHOLE: OnceLock<[BTreeMap<FindingId, Finding>; 2]> = OnceLock::new();
        let Day { engine, restless, .. } = day();
        let of_both = |cuts: &[usize], stops: &[usize]| [engine, restless].map(|engine| run(engine, cuts, stops));
        prop_assert!(&of_both(&cuts, &stops) == WHOLE.get_or_init(|| of_both(&[], &[])));
    }
}
