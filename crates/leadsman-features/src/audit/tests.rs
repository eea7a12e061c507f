use std::time::Duration;

use leadsman_domain::{
    Actor, ActorClass, AuditEvent, EventId, FeatureMatrix, Level, ObjectRef, RequestKey, Risk, RiskFlags, Stage,
    Surprise, Untrusted, Verb,
};
use proptest::prelude::*;

use super::*;
use crate::ActivityBuffer;

const LENGTH: Duration = Duration::from_secs(300);
const END: Timestamp = Timestamp::from_millis(10_000_000);

fn text(t: &str) -> Option<Untrusted> {
    Some(Untrusted::new(t))
}

/// An event on `group/resource`, or on a resource of the core group.
fn event(actor: &str, second: i64, verb: Verb, api: &str) -> AuditEvent {
    let (group, resource) = api.split_once('/').unwrap_or(("", api));
    AuditEvent {
        id: EventId::new(1),
        request: RequestKey::new(1),
        audit_id: Untrusted::new("a"),
        stage: Stage::ResponseComplete,
        level: Level::Metadata,
        event_time: Timestamp::from_millis(second * 1000),
        actor: Actor { name: actor.into(), class: ActorClass::Human, impersonated: None },
        verb,
        object: ObjectRef {
            group: Untrusted::new(group),
            resource: Untrusted::new(resource),
            subresource: None,
            namespace: text("shop"),
            name: None,
        },
        request_uri: Untrusted::new("/"),
        source_ip: None,
        user_agent: None,
        code: Some(200),
        forbidden: false,
        risk: RiskFlags::default(),
        accounts: Box::default(),
    }
}

fn buffer(events: &[AuditEvent]) -> ActivityBuffer {
    let mut buffer = ActivityBuffer::new(LENGTH);
    push(&mut buffer, events);
    buffer
}

/// Adds events, each as surprising as it is late.
fn push(buffer: &mut ActivityBuffer, events: &[AuditEvent]) {
    let surprise = |(index, event): (usize, &AuditEvent)| Surprise {
        index,
        total: event.event_time.as_micros() as f64 / 1e7,
        first_seen: 0,
    };
    let surprises: Vec<Surprise> = events.iter().enumerate().map(surprise).collect();
    buffer.push(events, &surprises);
}

/// The matrix of everything in a buffer.
fn matrix(mut buffer: ActivityBuffer) -> FeatureMatrix {
    buffer.take_closed(END).unwrap().unwrap()
}

fn feature(m: &FeatureMatrix, row: usize, name: &str) -> f64 {
    let column = m.schema.names().iter().position(|n| n == name).unwrap();
    m.x[[row, column]]
}

#[test]
fn one_row_per_actor_and_window_in_order() {
    let events = [
        event("b", 10, Verb::Get, "secrets"),
        event("a", 20, Verb::List, "pods"),
        event("b", 15, Verb::Create, "rbac.authorization.k8s.io/clusterrolebindings"),
        event("a", 310, Verb::Exec, "pods"),
    ];
    let m = matrix(buffer(&events));
    let keys: Vec<_> =
        m.rows.iter().map(|r| (r.entity.as_ref(), r.window.start.as_micros() / 1_000_000, r.count)).collect();
    assert_eq!(keys, [("a", 0, 1), ("b", 0, 2), ("a", 300, 1)]);
    assert!((feature(&m, 1, "secret_reads") - 1f64.ln_1p()).abs() < 1e-12);
    assert!((feature(&m, 1, "rbac_writes") - 1f64.ln_1p()).abs() < 1e-12);
    assert!((feature(&m, 1, "api_entropy") - 1.0).abs() < 1e-12);
    assert!((feature(&m, 2, "exec_attach_portforward") - 1f64.ln_1p()).abs() < 1e-12);
    assert!(feature(&m, 0, "secret_reads").abs() < 1e-12);
}

/// Every field of an event reaches the features that are made of it.
#[test]
fn what_events_hold_is_counted() {
    let plain = event("jane", 310, Verb::Create, "apps/deployments");
    let refused = AuditEvent {
        actor: Actor { name: "jane".into(), class: ActorClass::Human, impersonated: text("root") },
        object: ObjectRef { subresource: text("scale"), name: text("cart"), ..plain.object.clone() },
        source_ip: text("10.0.0.1"),
        user_agent: text("kubectl/v1.33.0 (linux/amd64)"),
        code: Some(403),
        forbidden: true,
        risk: RiskFlags::observed().with(Risk::Privileged),
        event_time: Timestamp::from_millis(325_000),
        ..plain.clone()
    };
    let failed = AuditEvent {
        object: ObjectRef { namespace: None, name: text("basket"), ..plain.object.clone() },
        source_ip: text("10.0.0.2"),
        user_agent: text("kubectl v1.34.0"),
        code: Some(500),
        event_time: Timestamp::from_millis(312_000),
        ..plain.clone()
    };
    let surprises = [(0, 3.0, 4), (1, 1.0, 0), (2, 2.0, 1), (3, 0.5, 0)].map(|(index, total, first_seen)| Surprise {
        index,
        total,
        first_seen,
    });
    let mut buffer = ActivityBuffer::new(LENGTH);
    // The last is not scored.
    buffer.push(&[plain.clone(), refused, failed, plain.clone(), plain], &surprises);
    let m = matrix(buffer);
    let counts = [
        ("events", 4),
        ("writes", 4),
        ("workload_writes", 4),
        ("denied", 1),
        ("errors", 1),
        ("distinct_namespaces", 1),
        ("distinct_apis", 2),
        ("distinct_objects", 2),
        ("distinct_clients", 1),
        ("distinct_sources", 2),
        ("busiest_10s", 3),
        ("impersonations", 1),
        ("body_risks", 1),
        // The three largest.
        ("surprise_top", 6),
        ("first_seen_keys", 5),
        ("reads", 0),
    ];
    for (name, count) in counts {
        assert!((feature(&m, 0, name) - f64::from(count).ln_1p()).abs() < 1e-12, "{name}");
    }
    assert!((feature(&m, 0, "denied_ratio") - 0.25).abs() < 1e-12);
    assert!((feature(&m, 0, "off_hours_share") - 1.0).abs() < 1e-12, "five past midnight");
}

#[test]
fn a_window_closes_when_the_watermark_reaches_its_end() {
    let mut buffer = buffer(&[event("a", 10, Verb::Get, "pods"), event("a", 400, Verb::Get, "pods")]);
    let at = |s: i64| Timestamp::from_millis(s * 1000);
    assert_eq!(buffer.earliest_end(), Some(at(300)));
    assert_eq!(buffer.take_closed(at(299)).unwrap(), None);
    assert_eq!(buffer.take_closed(at(300)).unwrap().unwrap().rows.len(), 1);
    assert_eq!(buffer.earliest_end(), Some(at(600)));
    assert_eq!(buffer.take_closed(at(10_000)).unwrap().unwrap().rows.len(), 1);
    assert_eq!(buffer.earliest_end(), None);
}

fn some_events() -> impl Strategy<Value = Vec<AuditEvent>> {
    const VERBS: [Verb; 4] = [Verb::Get, Verb::List, Verb::Create, Verb::Delete];
    const APIS: [&str; 3] = ["pods", "secrets", "apps/deployments"];
    let one = (0_i64..1_000, 0_usize..3, 0_usize..4, 0_usize..3);
    let one = one.prop_map(|(s, a, v, o)| event(["x", "y", "z"][a], s, VERBS[v], APIS[o]));
    prop::collection::vec(one, 1..60)
}

proptest! {
    /// Windows that close one by one, from events that come in two parts and over a snapshot, give the rows of those
    /// that close at once, bit for bit.
    #[test]
    fn batching_does_not_change_features(events in some_events(), cut in 0_usize..60) {
        let (before, after) = events.split_at(cut.min(events.len()));
        let bytes = postcard::to_stdvec(&buffer(before)).unwrap();
        let mut split: ActivityBuffer = postcard::from_bytes(&bytes).unwrap();
        push(&mut split, after);
        let (mut keys, mut x) = (Vec::new(), Vec::new());
        while let Some(end) = split.earliest_end() {
            let one = split.take_closed(end).unwrap().unwrap();
            keys.extend(one.rows);
            x.extend(one.x);
        }
        let whole = matrix(buffer(&events));
        prop_assert_eq!(keys, whole.rows);
        prop_assert_eq!(x, whole.x.into_iter().collect::<Vec<_>>());
    }

    /// In whatever order the events of open windows come, the features are the same, bit for bit.
    #[test]
    fn order_does_not_change_features(events in some_events()) {
        let reversed: Vec<AuditEvent> = events.iter().rev().cloned().collect();
        prop_assert_eq!(matrix(buffer(&events)), matrix(buffer(&reversed)));
    }

}

/// However many events are of one kind, a window holds little more than a number for each.
#[test]
fn an_event_like_others_costs_four_bytes() {
    let repeated = vec![event("x", 1, Verb::Get, "pods"); 1_000];
    let bytes = postcard::to_stdvec(&buffer(&repeated)).unwrap();
    assert!(bytes.len() < 200 + 4_000, "{} bytes", bytes.len());
}
