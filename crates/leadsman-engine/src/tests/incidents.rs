use leadsman_domain::{Finding, LinkKind, Untrusted, Verb};

use super::world::{DAY, MORNING, account, day_with, engine, event, found, intrusion, is_by, model};
use crate::Polarity;

/// The intruder mints a token of account 5 and goes on with it, from another address.
fn story() -> Vec<leadsman_domain::AuditEvent> {
    let mut events = intrusion(MORNING);
    let mut mint = event(&account(1), MORNING + 7, Verb::Create, "serviceaccounts/token", "ns-2");
    mint.object.name = Some(Untrusted::new("sa-5"));
    events.push(mint);
    for mut e in intrusion(MORNING + 1500) {
        e.actor.name = account(5).into();
        e.source_ip = Some(Untrusted::new("198.51.100.9"));
        events.push(e);
    }
    for (i, e) in events.iter_mut().enumerate() {
        e.id = leadsman_domain::EventId::new(i as u128);
        e.request = leadsman_domain::RequestKey::new(i as u128);
    }
    events
}

fn by(findings: &[Finding], i: i64) -> &Finding {
    findings.iter().find(|f| is_by(f, i)).unwrap()
}

#[test]
fn a_minted_token_joins_two_accounts_in_one_incident() {
    let engine = engine(model(), Polarity::Normal);
    let findings = found(&engine, &day_with(story()), 100);
    let (thief, robot) = (by(&findings, 1), by(&findings, 5));
    assert_eq!(thief.incident_id, robot.incident_id);
    assert!(thief.links.is_empty(), "{:?}", thief.links);
    assert!(robot.links.iter().any(|l| l.kind == LinkKind::MintedToken && l.id == account(5)), "{:?}", robot.links);
    let alone: Vec<_> = story().into_iter().filter(|e| e.object.name.is_none()).collect();
    let findings = found(&engine, &day_with(alone), 100);
    assert_ne!(by(&findings, 1).incident_id, by(&findings, 5).incident_id, "without the token nothing links them");
}

#[test]
fn findings_are_the_same_for_every_batch_size() {
    let engine = engine(model(), Polarity::Normal);
    let mut more = story();
    more.extend(intrusion(MORNING + DAY / 4));
    let log = day_with(more);
    let whole = found(&engine, &log, log.len());
    assert!(whole.len() >= 3, "{}", whole.len());
    for batch in [1, 7, 1000, 100_000] {
        assert_eq!(found(&engine, &log, batch), whole, "batches of {batch}");
    }
}

#[test]
fn no_entity_eats_the_budget() {
    let engine = engine(model(), Polarity::Normal);
    let many = (0..8).flat_map(|n| intrusion(MORNING + n * 5400 - 6 * 3600)).collect();
    let findings = found(&engine, &day_with(many), 100);
    let of_one: Vec<_> = findings.iter().filter(|f| is_by(f, 1)).collect();
    let incidents: std::collections::BTreeSet<_> = of_one.iter().map(|f| f.incident_id).collect();
    assert!(of_one.len() >= 6 && incidents.len() == 2, "{} findings, {incidents:?}", of_one.len());
}
