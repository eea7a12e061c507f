use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;
use crate::{ClusterSize, Payload, SimConfig, SimRecord, Simulation};

/// Wednesday of the second week.
const DAY: u32 = 9;

/// The audit records of one day, without the rest of the stream.
fn audit(size: ClusterSize, changes: &[Change], day: u32) -> Vec<SimRecord> {
    let first = SimConfig::default().start.day();
    let planned = changes.iter().map(|c| Planned { kind: c.kind, day: first + i64::from(c.day) }).collect();
    crate::day::audit(&Cluster::sized(3, size).with_changes(planned), first + i64::from(day))
}

/// The audit lines that are in `changed` and not in `before`, parsed.
fn added(changed: &[SimRecord], before: &[SimRecord]) -> Vec<Value> {
    let before: BTreeSet<_> = before.iter().map(|r| r.payload.bytes()).collect();
    let new = changed.iter().filter(|r| !before.contains(r.payload.bytes()));
    new.map(|r| serde_json::from_slice(r.payload.bytes()).unwrap()).collect()
}

fn is(event: &Value, verb: &str, resource: &str, subresource: &str) -> bool {
    let reference = &event["objectRef"];
    event["verb"] == verb
        && reference["resource"] == resource
        && reference["subresource"].as_str().unwrap_or("") == subresource
}

#[test]
fn names_are_unique_and_read_back() {
    for kind in ChangeKind::ALL {
        assert_eq!(kind.as_str().parse(), Ok(kind));
    }
    assert_eq!("moving-house".parse::<ChangeKind>(), Err(SimError::UnknownChange));
}

#[test]
fn a_change_starts_on_its_day_and_carries_no_label() {
    for size in ClusterSize::ALL {
        let eve = audit(size, &[], DAY - 1);
        let all = ChangeKind::ALL.map(|kind| Change { kind, day: DAY });
        assert!(audit(size, &all, DAY - 1) == eve, "something changes too early in {size}");
    }
    let benign = audit(ClusterSize::Medium, &[], DAY);
    for kind in ChangeKind::ALL {
        let changed = audit(ClusterSize::Medium, &[Change { kind, day: DAY }], DAY);
        assert!(changed.is_sorted_by_key(|r| r.time) && changed.iter().all(|r| r.stage.is_none()), "{kind}");
        let count = added(&changed, &benign).len();
        assert!(count >= 15, "{kind} adds only {count} records");
    }
}

/// What an event must be, and what to call it.
type Sign<'a> = (&'a str, &'a dyn Fn(&Value) -> bool);

/// On `day` after `kind` there is, with GitOps and without, at least one event that fits each of `signs`.
fn check(kind: ChangeKind, day: u32, signs: &[Sign<'_>]) {
    for size in [ClusterSize::Small, ClusterSize::Medium] {
        let changed = audit(size, &[Change { kind, day: DAY }], day);
        let added = added(&changed, &audit(size, &[], day));
        for (sign, fits) in signs {
            assert!(added.iter().any(fits), "{kind} in {size}: no {sign}");
        }
    }
}

#[test]
fn every_change_looks_like_what_it_is() {
    use ChangeKind as K;
    let by = |event: &Value, part: &str| event["user"]["username"].as_str().unwrap_or("").contains(part);
    check(
        K::ReleaseDay,
        DAY,
        &[
            ("release", &|e| is(e, "patch", "deployments", "") && by(e, "deployer")),
            ("new service", &|e| is(e, "create", "deployments", "") && by(e, "deployer")),
        ],
    );
    check(
        K::OnCallDebugging,
        DAY,
        &[
            ("exec", &|e| is(e, "get", "pods", "exec")),
            ("secret", &|e| is(e, "get", "secrets", "")),
            ("port-forward", &|e| is(e, "get", "pods", "portforward")),
        ],
    );
    check(
        K::Onboarding,
        DAY,
        &[
            ("binding", &|e| is(e, "create", "rolebindings", "")),
            ("refusal", &|e| by(e, "hanna.berg") && e["responseStatus"]["code"] == 403),
        ],
    );
    check(
        K::OperatorInstall,
        DAY,
        &[
            ("definition", &|e| is(e, "create", "customresourcedefinitions", "")),
            ("binding", &|e| is(e, "create", "clusterrolebindings", "")),
            ("webhook", &|e| is(e, "create", "validatingwebhookconfigurations", "")),
            ("work", &|e| by(e, "external-secrets")),
        ],
    );
    check(K::BackupReadsSecrets, DAY, &[("role", &|e| is(e, "create", "clusterroles", ""))]);
    check(K::BackupReadsSecrets, DAY + 3, &[("secrets", &|e| is(e, "list", "secrets", "") && by(e, "offsite-backup"))]);
    check(K::CiMigration, DAY + 1, &[("release", &|e| is(e, "patch", "deployments", "") && by(e, "gha-runner"))]);
    check(
        K::NodeUpgrade,
        DAY,
        &[
            ("eviction", &|e| is(e, "create", "pods", "eviction")),
            ("registration", &|e| is(e, "create", "nodes", "") && e["responseStatus"]["code"] == 409),
            ("kubelet", &|e| e["userAgent"].as_str().unwrap_or("").starts_with("kubelet/v1.33.5")),
        ],
    );
    check(K::GitOpsSync, DAY, &[("pruning", &|e| is(e, "delete", "configmaps", ""))]);
    check(
        K::NewNamespaceTeam,
        DAY,
        &[("namespace", &|e| is(e, "create", "namespaces", "")), ("its service", &|e| by(e, "labs:recommender"))],
    );
}

#[test]
fn after_a_migration_the_old_account_releases_nothing_in_the_cluster() {
    let changes = [Change { kind: ChangeKind::CiMigration, day: DAY }];
    for day in DAY + 1..DAY + 4 {
        for record in audit(ClusterSize::Medium, &changes, day) {
            let event: Value = serde_json::from_slice(record.payload.bytes()).unwrap();
            assert_ne!(event["user"]["username"], "system:serviceaccount:cicd:deployer");
        }
    }
}

#[test]
fn whoever_comes_with_a_change_is_listed_and_works_on() {
    let changes: Vec<_> = ChangeKind::ALL.map(|kind| Change { kind, day: DAY }).to_vec();
    let config = SimConfig { seed: 3, from_day: DAY + 5, days: 1, changes, ..SimConfig::default() };
    let simulation = Simulation::new(&config).unwrap();
    let namespaces = |day: i64| simulation.cluster().terrain(Timestamp::from_micros(day * MICROS_PER_DAY)).namespaces;
    let first = config.start.day() + i64::from(DAY);
    assert!(!namespaces(first).contains(&"labs".to_owned()) && namespaces(first + 1).contains(&"labs".to_owned()));
    let listed: BTreeSet<_> = simulation.cluster().actors().into_iter().map(str::to_owned).collect();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for record in simulation.filter(|r| matches!(r.payload, Payload::Audit(_))) {
        let event: Value = serde_json::from_slice(record.payload.bytes()).unwrap();
        *seen.entry(event["user"]["username"].as_str().unwrap_or("").to_owned()).or_default() += 1;
    }
    for name in [
        "hanna.berg@example.com",
        "system:serviceaccount:labs:survey",
        "system:serviceaccount:external-secrets:external-secrets",
    ] {
        assert!(seen.get(name).is_some_and(|n| *n > 5), "{name}: {:?}", seen.get(name));
    }
    let unknown: Vec<_> = seen.keys().filter(|name| !name.is_empty() && !listed.contains(*name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
