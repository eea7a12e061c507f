use std::time::Duration;

use leadsman_domain::{
    AuditEvent, EventId, Finding, FindingKind, RequestKey, Severity, Stage, Timestamp, Untrusted, Verb,
};
use proptest::prelude::*;

use super::world::{DAY, MORNING, Run, account, engine, event, model};
use crate::audit_ids::AuditIds;
use crate::requests::MAX_REQUESTS;
use crate::{Engine, Polarity, ShardState};

fn request(n: u128, second: i64, audit_id: &str) -> AuditEvent {
    AuditEvent {
        id: EventId::new(n << 4 | 3),
        request: RequestKey::new(n << 4),
        audit_id: Untrusted::new(audit_id),
        ..event(&account(1), second, Verb::Get, "pods", "ns-1")
    }
}

fn ordinary() -> Engine {
    engine(model(), Polarity::Normal)
}

fn collisions(run: &Run) -> Vec<&Finding> {
    run.findings.values().filter(|f| f.kind == FindingKind::AuditIdCollision).collect()
}

#[test]
fn another_request_under_a_known_id_is_read_and_told() {
    let (first, engine) = (request(1, MORNING, "b0a7"), ordinary());
    let other = AuditEvent { verb: Verb::Delete, ..request(2, MORNING + 400, "b0a7") };
    let later_stage = AuditEvent { id: EventId::new(1 << 4 | 4), stage: Stage::Panic, ..first.clone() };
    let mut run = Run::default();
    run.push(&engine, &[first.clone(), first.clone(), later_stage, request(3, MORNING, "c0a7")]);
    assert_eq!(collisions(&run).len(), 0, "repetitions and later stages are no other request");
    // The state is written down in between.
    run.state = ShardState::from_bytes(&run.state.to_bytes().unwrap()).unwrap();
    run.push(&engine, std::slice::from_ref(&other));
    assert_eq!(run.state.counts.scored, 3, "it was scored, and the first one was");
    let told = collisions(&run);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].evidence.event_ids.as_slice(), told[0].severity), ([other.id].as_slice(), Severity::Medium));
    let sentence = &told[0].explanation.sentence;
    assert!(sentence.contains("b0a7") && sentence.contains(&account(1)), "{sentence}");
    assert_eq!(told[0].explanation.contributions.iter().map(|c| c.points).sum::<i32>(), i32::from(told[0].score));
    // And once a day.
    run.push(&engine, &[request(4, MORNING + 500, "b0a7"), request(5, MORNING + 500, "c0a7")]);
    assert_eq!(collisions(&run).len(), 1);
    run.push(&engine, &[request(6, MORNING + DAY, "d0a7"), request(7, MORNING + DAY + 1, "d0a7")]);
    assert_eq!(collisions(&run).len(), 2);
}

#[test]
fn an_id_is_known_as_long_as_its_request() {
    let engine = ordinary();
    for (after, told) in [(890, 1), (1_300, 0)] {
        let mut run = Run::default();
        run.push(&engine, &[request(1, MORNING, "b0a7"), request(2, MORNING + after, "b0a7")]);
        assert_eq!(collisions(&run).len(), told, "{after}");
    }
}

/// A late event changes nothing: it may have been read before, and nobody knows any more.
#[test]
fn what_is_late_is_not_told() {
    let mut run = Run::default();
    let log = [request(1, MORNING, "b0a7"), request(2, MORNING + 400, "c0a7"), request(3, MORNING + 1, "b0a7")];
    run.push(&ordinary(), &log);
    assert_eq!((run.state.counts.late, collisions(&run).len()), (1, 0));
}

#[test]
fn a_flood_of_ids_is_bounded() {
    let mut ids = AuditIds::default();
    for n in 0..MAX_REQUESTS + 1_000 {
        assert_eq!(ids.see(&request(n as u128, n as i64 / 2_000, &n.to_string()), None), None, "{n}");
    }
    assert!((1..=MAX_REQUESTS).contains(&ids.len()), "{}", ids.len());
    ids.expire(Timestamp::from_millis(500_000).plus(Duration::from_secs(3_600)));
    assert_eq!(ids.len(), 0);
}

prop_compose! {
    /// A log whose requests share a few ids, much of it out of order.
    fn log()(events in prop::collection::vec((0_i64..4_000, 0_u8..12), 1..80)) -> Vec<AuditEvent> {
        let mut at = MORNING;
        let mut log = Vec::new();
        for (n, (step, id)) in (0..).zip(events) {
            at += step / 40;
            log.push(request(n, at - step % 900, &format!("id-{id}")));
        }
        log
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn how_the_log_is_cut_changes_nothing(log in log(), batch in 1_usize..20) {
        let engine = ordinary();
        let told = |batch: usize| {
            let mut run = Run::default();
            for part in log.chunks(batch) {
                run.push(&engine, part);
                run.state = ShardState::from_bytes(&run.state.to_bytes().unwrap()).unwrap();
            }
            collisions(&run).into_iter().cloned().collect::<Vec<_>>()
        };
        prop_assert_eq!(told(batch), told(log.len()));
    }
}
