//! What holds for any terrain and any victim, also for hostile ones.

use leadsman_domain::Timestamp;
use leadsman_sim::{Attack, ChangeKind, IdentityKind, Payload, Style, Technique, Terrain, Trial, Victim, inject};
use proptest::prelude::*;

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec(("[a-z0-9-]{0,12}", "\\PC{0,20}"), 0..6)
}

fn terrain() -> impl Strategy<Value = Terrain> {
    let names = || prop::collection::vec("\\PC{0,16}", 0..6);
    (any::<u64>(), names(), pairs(), pairs(), pairs(), names()).prop_map(
        |(seed, namespaces, secrets, pods, service_accounts, nodes)| Terrain {
            seed,
            namespaces,
            secrets,
            pods,
            service_accounts,
            nodes,
        },
    )
}

fn victim() -> impl Strategy<Value = Victim> {
    let account = "system:serviceaccount:[a-z]{1,8}:[a-z]{1,8}".prop_map(|s| s);
    (prop_oneof![account, "\\PC{1,30}"], "\\PC{0,8}", "[0-9.]{7,15}", "\\PC{0,40}").prop_map(
        |(username, uid, source_ip, user_agent)| Victim { username, uid, groups: vec![], source_ip, user_agent },
    )
}

fn trial() -> impl Strategy<Value = Trial> {
    (
        prop::sample::select(Technique::ALL.to_vec()),
        prop::sample::select(IdentityKind::ALL.to_vec()),
        prop::sample::select(Style::ALL.to_vec()),
        1_600_000_000_i64..2_000_000_000,
        any::<u64>(),
    )
        .prop_map(|(technique, identity, style, seconds, repeat)| Trial {
            technique,
            identity,
            style,
            at: Timestamp::from_micros(seconds * 1_000_000),
            repeat,
        })
}

proptest! {
    #[test]
    fn any_victim_of_any_terrain_can_be_attacked(terrain in terrain(), victim in victim(), trial in trial()) {
        let Attack { records, decisive, actor, begins, ends, .. } = inject(&terrain, &victim, &trial);
        prop_assert!(!decisive.is_empty() && decisive.iter().all(|&i| i < records.len()));
        prop_assert!(records.is_sorted_by_key(|r| r.time));
        prop_assert!(begins == trial.at && ends >= begins);
        for record in &records {
            prop_assert!(record.stage == Some(0) && record.time >= begins && record.time <= ends);
            let event: serde_json::Value = serde_json::from_slice(record.payload.bytes()).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(event["user"]["username"].as_str(), Some(actor.as_str()));
            if trial.style == Style::Mimicry {
                prop_assert_eq!(event["sourceIPs"][0].as_str(), Some(victim.source_ip.as_str()));
            }
            prop_assert!(matches!(&record.payload, Payload::Audit(line) if !line.contains(&b'\n')));
        }
        prop_assert!(inject(&terrain, &victim, &trial).records == records);
    }
}

#[test]
fn the_manual_names_everything_that_can_be_staged() {
    let manual = include_str!("../../../docs/simulator.md");
    let techniques = Technique::ALL.map(|t| format!("| `{t}` | {} | {} |", t.attack_id(), t.tactic()));
    for row in techniques.into_iter().chain(ChangeKind::ALL.map(|c| format!("| `{c}` |"))) {
        assert!(manual.contains(&row), "docs/simulator.md has no row {row}");
    }
}
