use super::*;
use crate::{EventBuffer, EventRow};
use leadsman_domain::{
    Actor, ActorClass, AuditEvent, EventId, Level, ObjectRef, RequestKey, Risk, RiskFlags, Stage, Surprise, Untrusted,
    Verb,
};
use proptest::prelude::*;

const LENGTH: Duration = Duration::from_secs(300);
const END: Timestamp = Timestamp::from_millis(10_000_000);

fn event(entity: &str, second: i64, verb: &str, api: &str) -> EventRow {
    let time = Timestamp::from_millis(second * 1000);
    EventRow {
        entity: entity.into(),
        window: time.window(LENGTH).start.as_micros(),
        time: time.as_micros(),
        verb: verb.into(),
        api: api.into(),
        namespace: Some("shop".into()),
        name: None,
        client: None,
        source: None,
        code: Some(200),
        denied: false,
        impersonated: false,
        risks: 0,
        surprise: 1.0,
        first_seen: 0,
    }
}

fn buffer(rows: &[EventRow]) -> EventBuffer {
    let mut buffer = EventBuffer::new(LENGTH);
    buffer.restore(rows);
    buffer
}

/// The matrix of everything in a buffer.
fn matrix(mut buffer: EventBuffer) -> FeatureMatrix {
    extract_audit(&buffer.take_closed(END).unwrap().unwrap(), LENGTH).unwrap()
}

fn feature(m: &FeatureMatrix, row: usize, name: &str) -> f64 {
    let column = m.schema.names().iter().position(|n| n == name).unwrap();
    m.x[[row, column]]
}

#[test]
fn one_row_per_actor_and_window_in_order() {
    let rows = [
        event("b", 10, "get", "secrets"),
        event("a", 20, "list", "pods"),
        event("b", 15, "create", "rbac.authorization.k8s.io/clusterrolebindings"),
        event("a", 310, "exec", "pods/exec"),
    ];
    let m = matrix(buffer(&rows));
    let keys: Vec<_> =
        m.rows.iter().map(|r| (r.entity.as_ref(), r.window.start.as_micros() / 1_000_000, r.count)).collect();
    assert_eq!(keys, [("a", 0, 1), ("b", 0, 2), ("a", 300, 1)]);
    assert!((feature(&m, 1, "secret_reads") - 1f64.ln_1p()).abs() < 1e-12);
    assert!((feature(&m, 1, "rbac_writes") - 1f64.ln_1p()).abs() < 1e-12);
    assert!((feature(&m, 1, "api_entropy") - 1.0).abs() < 1e-12);
    assert!((feature(&m, 2, "exec_attach_portforward") - 1f64.ln_1p()).abs() < 1e-12);
    assert!(feature(&m, 0, "secret_reads").abs() < 1e-12);
}

#[test]
fn rows_survive_a_snapshot() {
    let rows = vec![
        event("a", 1, "get", "pods"),
        EventRow { namespace: None, name: Some("x".into()), code: None, ..event("b", 2, "list", "pods") },
    ];
    assert_eq!(buffer(&rows).rows(), rows);
}

/// What is pushed as events is what their rows say.
#[test]
fn events_become_rows() {
    let text = |t: &str| Some(Untrusted::new(t));
    let event = AuditEvent {
        id: EventId::new(1),
        request: RequestKey::new(1),
        audit_id: Untrusted::new("a"),
        stage: Stage::ResponseComplete,
        level: Level::Metadata,
        event_time: Timestamp::from_millis(310_000),
        actor: Actor { name: "jane".into(), class: ActorClass::Human, impersonated: text("root") },
        verb: Verb::Exec,
        object: ObjectRef {
            group: Untrusted::new("apps"),
            resource: Untrusted::new("deployments"),
            subresource: text("scale"),
            namespace: text("shop"),
            name: text("cart"),
        },
        request_uri: Untrusted::new("/"),
        source_ip: text("10.0.0.1"),
        user_agent: text("kubectl/v1.33.0 (linux/amd64)"),
        code: Some(403),
        forbidden: true,
        risk: RiskFlags::observed().with(Risk::Privileged),
        accounts: Box::default(),
    };
    let surprise = Surprise { index: 1, total: 3.0, first_seen: 4 };
    let mut buffer = EventBuffer::new(LENGTH);
    buffer.push(&[event.clone(), event], &[surprise]);
    let row = EventRow {
        entity: "jane".to_owned(),
        window: 300_000_000,
        time: 310_000_000,
        verb: "exec".to_owned(),
        api: "apps/deployments/scale".to_owned(),
        namespace: Some("shop".to_owned()),
        name: Some("cart".to_owned()),
        client: Some("kubectl".to_owned()),
        source: Some("10.0.0.1".to_owned()),
        code: Some(403),
        denied: true,
        impersonated: true,
        risks: 1,
        surprise: 3.0,
        first_seen: 4,
    };
    assert_eq!(buffer.rows(), [row]);
}

#[test]
fn a_window_closes_when_the_watermark_reaches_its_end() {
    let mut buffer = buffer(&[event("a", 10, "get", "pods"), event("a", 400, "get", "pods")]);
    let at = |s: i64| Timestamp::from_millis(s * 1000);
    assert_eq!(buffer.earliest_end(), Some(at(300)));
    assert!(buffer.take_closed(at(299)).unwrap().is_none());
    assert_eq!(buffer.take_closed(at(300)).unwrap().unwrap().frame().height(), 1);
    assert_eq!(buffer.earliest_end(), Some(at(600)));
    assert_eq!(buffer.take_closed(at(10_000)).unwrap().unwrap().frame().height(), 1);
    assert_eq!(buffer.earliest_end(), None);
}

proptest! {
    /// Windows that close one by one give the rows of those that close at once, bit for bit.
    #[test]
    fn batching_does_not_change_features(
        seconds in prop::collection::vec((0i64..1000, 0usize..3, 0usize..4), 1..60),
        cut in 0usize..60,
    ) {
        let verbs = ["get", "list", "create", "delete"];
        let rows: Vec<_> = seconds.iter().map(|&(s, a, v)| event(["x", "y", "z"][a], s, verbs[v], "pods")).collect();
        let (before, after) = rows.split_at(cut.min(rows.len()));
        let mut split = buffer(before);
        split.restore(after);
        let (mut keys, mut x) = (Vec::new(), Vec::new());
        while let Some(end) = split.earliest_end() {
            let one = extract_audit(&split.take_closed(end).unwrap().unwrap(), LENGTH).unwrap();
            keys.extend(one.rows);
            x.extend(one.x);
        }
        let whole = matrix(buffer(&rows));
        prop_assert_eq!(keys, whole.rows);
        prop_assert_eq!(x, whole.x.into_iter().collect::<Vec<_>>());
    }
}
