use std::collections::{BTreeMap, BTreeSet};

use leadsman_domain::ActorClass;
use serde_json::Value;

use super::*;
use crate::{Change, ChangeKind, ClusterSize, Payload, Style};

const TUESDAY: u32 = 1;
const SATURDAY: u32 = 5;

fn config(seed: u64, from_day: u32, days: u32) -> SimConfig {
    SimConfig { seed, from_day, days, ..SimConfig::default() }
}

fn records(config: &SimConfig) -> Vec<SimRecord> {
    Simulation::new(config).unwrap().collect()
}

fn attacked(from_day: u32, days: u32) -> SimConfig {
    let at = Timestamp::parse("2026-03-03T13:07:00Z").unwrap();
    SimConfig {
        attack: Some(AttackPlan { scenario: Scenario::TokenTheft, style: Style::Paced, at }),
        ..config(3, from_day, days)
    }
}

/// Audit lines of `records`, parsed.
fn audit(records: &[SimRecord]) -> impl Iterator<Item = (&SimRecord, Value)> {
    records.iter().filter_map(|r| match &r.payload {
        Payload::Audit(line) => Some((r, serde_json::from_slice(line).unwrap())),
        Payload::Metric(_) => None,
    })
}

#[test]
fn a_stream_is_a_function_of_its_seed_and_in_order() {
    let one = records(&config(3, TUESDAY, 1));
    assert!(one == records(&config(3, TUESDAY, 1)));
    assert!(one != records(&config(4, TUESDAY, 1)));
    assert!(one.is_sorted_by_key(|r| r.time));
    assert!(one.iter().all(|r| r.stage.is_none() && !r.payload.bytes().contains(&b'\n')));
}

#[test]
fn a_day_alone_equals_the_day_in_a_longer_run() {
    let long = records(&config(3, TUESDAY, 2));
    let split = long.partition_point(|r| r.time.day() == long[0].time.day());
    assert!(long[..split] == records(&config(3, TUESDAY, 1)));
    assert!(long[split..] == records(&config(3, TUESDAY + 1, 1)));
    let start = SimConfig::default().start.plus(std::time::Duration::from_secs(86_400 * 2));
    assert!(long[split..] == records(&SimConfig { start, ..config(3, 0, 1) }), "days do not count from the start");
}

#[test]
fn an_attacked_stream_without_its_labels_is_the_benign_stream() {
    let attacked = records(&attacked(TUESDAY, 2));
    let benign = records(&config(3, TUESDAY, 2));
    let is_audit = |r: &&SimRecord| matches!(r.payload, Payload::Audit(_));
    let unlabelled = attacked.iter().filter(is_audit).filter(|r| r.stage.is_none());
    assert!(unlabelled.eq(benign.iter().filter(is_audit)));

    // A miner only replaces two counters of its pod, from its first minute to the pod's end.
    let is_metric = |r: &&SimRecord| matches!(r.payload, Payload::Metric(_));
    let metrics = attacked.iter().filter(is_metric).zip(benign.iter().filter(is_metric));
    let mut differing = 0;
    for (a, b) in metrics {
        assert_eq!(a.time, b.time);
        if a == b {
            continue;
        }
        let sample: Value = serde_json::from_slice(a.payload.bytes()).unwrap();
        assert_eq!(sample["labels"]["workload"], "cart");
        let name = sample["name"].as_str().unwrap();
        assert!(
            matches!(name, "container_cpu_usage_seconds_total" | "container_network_transmit_bytes_total"),
            "{name}"
        );
        differing += 1;
    }
    assert!(differing >= 240, "{differing}");
}

#[test]
fn every_stage_has_records_within_its_time() {
    let config = attacked(TUESDAY, 1);
    let simulation = Simulation::new(&config).unwrap();
    let stages = simulation.stages().to_vec();
    let mut seen = BTreeMap::new();
    for record in simulation.filter(|r| r.stage.is_some()) {
        let index = record.stage.unwrap();
        let stage = &stages[index];
        assert!(record.time >= stage.begins, "{}", stage.name);
        assert!(record.time <= stage.ends, "{}", stage.name);
        assert_eq!(matches!(record.payload, Payload::Metric(_)), stage.signal == crate::Signal::Metrics);
        *seen.entry(index).or_insert(0) += 1;
    }
    assert_eq!(stages.len(), 7);
    assert_eq!(seen.len(), 7, "{seen:?}");
    for pair in stages.windows(2) {
        let gap = pair[1].begins.seconds_since(pair[0].begins) / 60.0;
        assert!((14.9..=40.1).contains(&gap), "{gap}");
    }
    for stage in &stages[..6] {
        assert!(stage.ends.seconds_since(stage.begins) < 240.0, "{stage:?}");
    }
}

#[test]
fn a_workday_has_the_size_of_a_small_cluster() {
    for (from_day, low, high) in [(TUESDAY, 20_000, 30_000), (SATURDAY, 17_000, 27_000)] {
        let count = audit(&records(&config(1, from_day, 1))).count();
        assert!((low..high).contains(&count), "day {from_day}: {count}");
    }
}

#[test]
fn people_work_by_day() {
    let simulation = Simulation::new(&config(5, 0, 2)).unwrap();
    let rules = simulation.actor_rules();
    let all: Vec<_> = simulation.filter(|r| matches!(r.payload, Payload::Audit(_))).collect();
    let (mut work, mut night) = (0, 0);
    for (record, event) in audit(&all) {
        if rules.classify(event["user"]["username"].as_str().unwrap_or_default()) == ActorClass::Human {
            match record.time.hour().rem_euclid(24) {
                10..17 => work += 1,
                0..6 | 22..24 => night += 1,
                _ => {}
            }
        }
    }
    assert!(work > 5 * night && work > 500, "{work} by day, {night} by night");
}

#[test]
fn audit_ids_name_requests() {
    let all = records(&config(2, TUESDAY, 1));
    let mut stages = BTreeSet::new();
    let mut requests = BTreeMap::new();
    for (_, event) in audit(&all) {
        let id = event["auditID"].as_str().unwrap().to_owned();
        assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'));
        let request =
            (event["requestURI"].to_string(), event["requestReceivedTimestamp"].to_string(), event["user"].to_string());
        assert!(stages.insert((id.clone(), event["stage"].to_string())), "{id} twice");
        assert_eq!(*requests.entry(id).or_insert_with(|| request.clone()), request);
    }
    assert!(stages.len() > requests.len());
}

#[test]
fn counters_only_grow_within_a_pods_life() {
    let mut last: BTreeMap<String, f64> = BTreeMap::new();
    let mut samples = 0;
    for record in records(&config(2, TUESDAY, 2)) {
        let Payload::Metric(line) = &record.payload else { continue };
        let sample: Value = serde_json::from_slice(line).unwrap();
        let value: f64 = sample["value"].as_str().unwrap().parse().unwrap();
        samples += 1;
        if sample["name"].as_str().unwrap().ends_with("_total") {
            let before = last.insert(sample["labels"].to_string(), value);
            assert!(before.is_none_or(|b| b <= value && value - b < 1e9), "{before:?} {sample}");
        }
    }
    assert!((170_000..=172_800).contains(&samples), "{samples}");
}

#[test]
fn periods_that_make_no_sense_are_refused() {
    let refused = |config: &SimConfig| Simulation::new(config).err().unwrap();
    assert_eq!(refused(&config(1, 0, 0)), SimError::EmptyPeriod);
    assert_eq!(refused(&config(1, u32::MAX, 1)), SimError::PeriodOutOfRange);
    assert_eq!(refused(&SimConfig { start: Timestamp::from_millis(5), ..config(1, 0, 1) }), SimError::StartNotMidnight);
    assert!(matches!(refused(&attacked(SATURDAY, 1)), SimError::AttackOutsidePeriod { .. }));
    assert_eq!("token-theft".parse(), Ok(Scenario::TokenTheft));
    assert_eq!("phishing".parse::<Scenario>(), Err(SimError::UnknownScenario));
}

#[test]
fn a_noisy_attack_is_over_in_minutes_and_mimicry_uses_what_the_victim_uses() {
    let staged = |style| {
        let config = attacked(TUESDAY, 1);
        let attack = config.attack.map(|plan| AttackPlan { style, ..plan });
        let simulation = Simulation::new(&SimConfig { attack, ..config }).unwrap();
        let stages = simulation.stages().to_vec();
        (stages, simulation.collect::<Vec<_>>())
    };
    let agents = |records: &[SimRecord], of_attack: bool| -> BTreeSet<(String, String)> {
        audit(records)
            .filter(|(r, e)| {
                let user = e["user"]["username"].as_str().unwrap_or("");
                r.stage.is_some() == of_attack && user == "system:serviceaccount:shop:cart"
            })
            .map(|(_, e)| (e["userAgent"].to_string(), e["sourceIPs"].to_string()))
            .collect()
    };
    let (noisy, _) = staged(Style::Noisy);
    assert!(noisy[5].ends.seconds_since(noisy[0].begins) < 15.0 * 60.0);
    assert!(noisy.windows(2).all(|pair| pair[0].begins < pair[1].begins));
    let (paced, records) = staged(Style::Paced);
    assert!(paced[5].ends.seconds_since(paced[0].begins) > 75.0 * 60.0);
    assert!(agents(&records, true).is_disjoint(&agents(&records, false)));
    let (_, records) = staged(Style::Mimicry);
    assert!(!agents(&records, true).is_empty());
    assert!(agents(&records, true).is_subset(&agents(&records, false)));
}

#[test]
fn clusters_of_three_sizes_differ_in_numbers_and_habits() {
    let mut last = 0;
    for (size, people, nodes, gitops) in
        [(ClusterSize::Small, 3, 3, false), (ClusterSize::Medium, 9, 6, true), (ClusterSize::Large, 40, 25, true)]
    {
        let simulation = Simulation::new(&SimConfig { size, ..config(3, TUESDAY, 1) }).unwrap();
        let rules = simulation.actor_rules();
        let actors: Vec<_> = simulation.cluster().actors().into_iter().map(str::to_owned).collect();
        let count = |wanted: &dyn Fn(&str) -> bool| actors.iter().filter(|a| wanted(a)).count();
        assert_eq!(count(&|a| a.ends_with("@example.com")), people);
        assert_eq!(count(&|a| a.starts_with("system:node:")), nodes);
        assert_eq!(count(&|a| a.contains("argocd")) > 0, gitops);
        assert!(actors.iter().collect::<BTreeSet<_>>().len() == actors.len(), "a name twice");
        let all: Vec<_> = simulation.collect();
        let seen: BTreeSet<_> =
            audit(&all).map(|(_, e)| e["user"]["username"].as_str().unwrap_or("").to_owned()).collect();
        assert!(rules.ci.iter().any(|ci| seen.contains(ci)), "nobody releases in {size}");
        let leases = audit(&all).filter(|(_, e)| e["objectRef"]["namespace"] == "kube-node-lease").count();
        assert_eq!(leases > 20_000, size == ClusterSize::Small, "{size}: {leases}");
        let others = audit(&all).count() - leases;
        assert!(others > last);
        last = others;
        println!("{size}: {leases} leases, {others} other audit records a workday");
    }
}

#[test]
fn the_scenario_fits_every_size() {
    for size in ClusterSize::ALL {
        let config = SimConfig { size, ..attacked(TUESDAY, 1) };
        let simulation = Simulation::new(&config).unwrap();
        let (stages, namespaces) =
            (simulation.stages().to_vec(), simulation.cluster().terrain(config.start).namespaces);
        assert_eq!(stages.len(), 7);
        let all: Vec<_> = simulation.filter(|r| r.stage.is_some()).collect();
        for (_, event) in audit(&all) {
            let namespace = event["objectRef"]["namespace"].as_str().unwrap_or("kube-system");
            assert!(namespaces.iter().any(|n| n == namespace), "{size}: {namespace}");
        }
    }
}

#[test]
fn days_with_changes_stand_alone_too() {
    let changes: Vec<_> = ChangeKind::ALL.map(|kind| Change { kind, day: TUESDAY }).to_vec();
    let config = |from_day, days| SimConfig { changes: changes.clone(), ..config(3, from_day, days) };
    let long = records(&config(TUESDAY, 2));
    let split = long.partition_point(|r| r.time.day() == long[0].time.day());
    assert!(long[..split] == records(&config(TUESDAY, 1)));
    assert!(long[split..] == records(&config(TUESDAY + 1, 1)));
    assert!(long.is_sorted_by_key(|r| r.time) && long.iter().all(|r| r.stage.is_none()));
}
