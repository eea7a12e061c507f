//! One entity that misbehaves all through training does not make its behaviour normal for others.

use std::sync::Arc;

use leadsman_detect::Detectors;
use leadsman_domain::{AuditEvent, EventId, RequestKey, Untrusted};

use super::world::{DAY, MORNING, TRAIN_DAYS, account, day_with, engine, found, habits, intrusion, is_by, train};
use crate::Polarity;

/// Training in which account 4, a peer of the later victim, does what the intruder will do, for `share` of all events and
/// from a new network each time, so that it never becomes usual for itself.
fn poisoned(share: f64) -> Vec<AuditEvent> {
    let mut events = habits(0, TRAIN_DAYS);
    let wanted = (events.len() as f64 * share / (1.0 - share)) as i64;
    let rounds = wanted / 5;
    for round in 0..rounds {
        for mut e in intrusion(round * TRAIN_DAYS * DAY / rounds.max(1)) {
            e.actor.name = account(4).into();
            e.source_ip = Some(Untrusted::new(format!("198.{}.{}.7", round / 256, round % 256)));
            let id = 1_000_000 + events.len() as u128;
            (e.id, e.request) = (EventId::new(id), RequestKey::new(id));
            events.push(e);
        }
    }
    events.sort_by_key(|e| e.event_time);
    events
}

/// The intrusion where no rule reports it whatever the line is: the line itself has to let it through.
fn unruled() -> Vec<AuditEvent> {
    let mut events = intrusion(MORNING);
    for e in events.iter_mut().filter(|e| e.object.namespace.as_ref().is_some_and(|ns| ns.raw() == "kube-system")) {
        e.object.namespace = Some(Untrusted::new("ns-2"));
    }
    events
}

#[test]
fn an_attack_is_found_although_one_entity_did_it_all_along() {
    let day = day_with(unruled());
    let clean = engine(&Arc::new(train(&habits(0, TRAIN_DAYS), Detectors::default())), Polarity::Normal).alert_line();
    for share in [0.0, 0.01, 0.05, 0.20] {
        let engine = engine(&Arc::new(train(&poisoned(share), Detectors::default())), Polarity::Normal);
        let line = engine.alert_line();
        assert!(line <= clean + 0.5, "at {share} one entity moved the line from {clean} to {line}");
        let findings = found(&engine, &day, 100);
        let attack = findings.iter().find(|f| is_by(f, 1));
        assert!(attack.is_some_and(|f| f.score >= 60), "at {share} the attack is normal: {findings:?}");
        assert!(findings.len() <= 3, "at {share}: {findings:?}");
    }
}
