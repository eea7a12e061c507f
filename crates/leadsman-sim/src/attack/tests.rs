use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::{ClusterSize, Payload};

const SEED: u64 = 5;

fn at() -> Timestamp {
    Timestamp::parse("2026-04-01T09:40:00Z").unwrap()
}

fn trial(technique: Technique, identity: IdentityKind, style: Style, repeat: u64) -> Trial {
    Trial { technique, identity, style, at: at(), repeat }
}

fn trials(repeats: u64) -> impl Iterator<Item = Trial> {
    Technique::ALL.into_iter().flat_map(move |technique| {
        IdentityKind::ALL.into_iter().flat_map(move |identity| {
            Style::ALL
                .into_iter()
                .flat_map(move |style| (0..repeats).map(move |r| trial(technique, identity, style, r)))
        })
    })
}

fn event(record: &SimRecord) -> Value {
    let Payload::Audit(line) = &record.payload else { panic!("a metric among the records of an attack") };
    serde_json::from_slice(line).unwrap()
}

/// Who asked, from where and with what.
#[derive(serde::Deserialize)]
struct Origin {
    user: OriginUser,
    #[serde(rename = "userAgent", default)]
    agent: String,
    #[serde(rename = "sourceIPs", default)]
    ips: Vec<String>,
}

#[derive(serde::Deserialize)]
struct OriginUser {
    #[serde(default)]
    username: String,
}

/// Program and address of the actor's own requests.
fn origins(attack: &Attack) -> BTreeSet<(String, Vec<String>)> {
    let own = attack.records.iter().map(event).filter(|e| e["user"]["username"] == attack.actor.as_str());
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    own.map(|e| (text(&e["userAgent"]), vec![text(&e["sourceIPs"][0])])).collect()
}

#[test]
fn names_are_unique_and_read_back() {
    let names: BTreeSet<_> = Technique::ALL.iter().map(|t| t.as_str()).collect();
    assert_eq!(names.len(), Technique::ALL.len());
    for technique in Technique::ALL {
        assert_eq!(technique.as_str().parse(), Ok(technique));
        assert!(technique.attack_id().starts_with('T') && !technique.tactic().is_empty());
    }
    for kind in IdentityKind::ALL {
        assert_eq!(kind.as_str().parse(), Ok(kind));
    }
    assert_eq!("phishing".parse::<Technique>(), Err(SimError::UnknownTechnique));
}

#[test]
fn every_attack_is_in_order_labelled_and_decided_by_its_actor() {
    let clusters = ClusterSize::ALL.map(|size| Cluster::sized(SEED, size));
    for (trial, cluster) in trials(2).flat_map(|t| clusters.iter().map(move |c| (t, c))) {
        let attack = attack(cluster, &trial);
        assert!(attack.records.is_sorted_by_key(|r| r.time), "{trial:?}");
        assert!(attack.records.iter().all(|r| r.stage == Some(0) && r.time >= trial.at), "{trial:?}");
        assert_eq!((attack.begins, attack.ends), (trial.at, attack.records.last().unwrap().time));
        assert!(!attack.decisive.is_empty() && attack.decisive.is_sorted(), "{trial:?}");
        for &index in &attack.decisive {
            let event = event(&attack.records[index]);
            assert_eq!(event["user"]["username"], attack.actor.as_str(), "{trial:?}");
            let code = event["responseStatus"]["code"].as_u64().unwrap();
            assert!(code < 300, "a decisive request failed: {trial:?} {event}");
        }
    }
}

#[test]
fn an_attack_is_a_function_of_its_trial() {
    let cluster = Cluster::new(SEED);
    for trial in trials(1) {
        assert!(attack(&cluster, &trial) == attack(&cluster, &trial), "{trial:?}");
        let another = attack(&cluster, &Trial { repeat: 1, ..trial });
        assert!(attack(&cluster, &trial).records != another.records, "{trial:?}");
    }
}

#[test]
fn noisy_attacks_are_over_in_minutes_and_paced_ones_take_longer() {
    let cluster = Cluster::new(SEED);
    for trial in trials(1) {
        let attack = attack(&cluster, &trial);
        let decided = &attack.records[*attack.decisive.last().unwrap()];
        let minutes = decided.time.seconds_since(attack.begins) / 60.0;
        let steps = minutes / 20.0;
        match trial.style {
            Style::Noisy => assert!(minutes < 15.0, "{trial:?} {minutes}"),
            Style::Paced => assert!(steps >= 1.0 && minutes < 8.0 * 60.0, "{trial:?} {minutes}"),
            Style::Mimicry => assert!(minutes < 4.0 * 60.0, "{trial:?} {minutes}"),
        }
    }
}

#[test]
fn only_mimicry_comes_from_where_the_identity_comes_from() {
    let cluster = Cluster::new(SEED);
    let mut foreign = BTreeSet::new();
    for of_style in trials(1).filter(|t| t.style == Style::Mimicry && t.technique != Technique::AnonymousAccess) {
        let own = origins(&attack(&cluster, &of_style));
        assert_eq!(own.len(), 1, "{of_style:?}");
        for style in [Style::Noisy, Style::Paced] {
            let other = attack(&cluster, &Trial { style, ..of_style });
            assert!(origins(&other).is_disjoint(&own));
            foreign.extend(origins(&other));
        }
    }
    assert!(foreign.len() > 150, "the attackers all look alike: {}", foreign.len());
}

#[test]
fn mimicry_uses_programs_and_addresses_of_the_benign_weeks() {
    for (seed, size) in [(SEED, ClusterSize::Small), (SEED + 1, ClusterSize::Medium)] {
        check_mimicry(seed, size);
    }
}

fn check_mimicry(seed: u64, size: ClusterSize) {
    let cluster = Cluster::sized(seed, size);
    let mut seen = BTreeSet::new();
    // The identity as it was in the days before: builds of kubectl and pods change.
    for day in at().day() - 10..=at().day() {
        for record in crate::day::audit(&cluster, day) {
            let Origin { user, agent, ips } = serde_json::from_slice(record.payload.bytes()).unwrap();
            seen.insert((user.username, agent, ips));
        }
    }
    for trial in trials(6).filter(|t| t.style == Style::Mimicry) {
        let attack = attack(&cluster, &trial);
        for (program, address) in origins(&attack) {
            let key = (attack.actor.clone(), program, address);
            assert!(seen.contains(&key), "{key:?} in {trial:?}");
        }
    }
}

#[test]
fn an_injected_attack_speaks_of_the_terrain_and_of_nobody_else() {
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let terrain = Terrain {
        seed: 3,
        namespaces: vec!["web".to_owned(), "db".to_owned()],
        secrets: vec![pair("db", "root"), pair("db", "replica"), pair("web", "cookie")],
        pods: vec![pair("db", "mysql-0"), pair("web", "front-7d9c5b6f4-abcde")],
        service_accounts: vec![pair("web", "front")],
        nodes: vec!["ip-10-1-2-3".to_owned()],
    };
    let victim = Victim {
        username: "system:serviceaccount:web:front".to_owned(),
        uid: "u".to_owned(),
        groups: vec!["system:serviceaccounts".to_owned()],
        source_ip: "10.1.2.9".to_owned(),
        user_agent: "front/1.0".to_owned(),
    };
    for trial in trials(1) {
        for terrain in [&terrain, &Terrain { seed: 3, ..Terrain::default() }] {
            let bare = inject_within(terrain, &victim, &trial, Level::Metadata);
            assert!(bare.records.iter().map(event).all(|e| e["level"] == "Metadata" && e["requestObject"].is_null()));
            let attack = inject(terrain, &victim, &trial);
            assert!(!attack.decisive.is_empty());
            for event in attack.records.iter().map(event) {
                assert_eq!(event["user"]["username"], attack.actor.as_str(), "{trial:?}");
                if trial.style == Style::Mimicry {
                    assert_eq!(event["sourceIPs"][0], "10.1.2.9");
                    assert_eq!(event["userAgent"], "front/1.0");
                }
            }
        }
    }
}

#[test]
fn attacks_at_two_times_share_no_audit_id() {
    let cluster = Cluster::new(SEED);
    let mut ids = BTreeSet::new();
    for hours in 0..3 {
        let at = at().plus(Duration::from_secs(hours * 3_600));
        let attack =
            attack(&cluster, &Trial { at, ..trial(Technique::ListSecrets, IdentityKind::Ci, Style::Noisy, 0) });
        for event in attack.records.iter().map(event) {
            ids.insert((event["auditID"].to_string(), event["stage"].to_string(), hours));
        }
    }
    let distinct: BTreeSet<_> = ids.iter().map(|(id, stage, _)| (id, stage)).collect();
    assert_eq!(distinct.len(), ids.len());
}
