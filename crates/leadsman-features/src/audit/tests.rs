use super::*;
use crate::{EventFrame, EventRow, WindowBuffer};
use proptest::prelude::*;

const LENGTH: Duration = Duration::from_secs(300);

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
        strongest: 1.0,
        first_seen: 0,
    }
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
    let m = extract_audit(&EventFrame::from_rows(&rows).unwrap().into_inner(), LENGTH).unwrap();
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
    let frame = EventFrame::from_rows(&rows).unwrap().into_inner();
    assert_eq!(EventFrame::rows(&frame).unwrap(), rows);
}

#[test]
fn a_window_closes_when_the_watermark_reaches_its_end() {
    let mut buffer = WindowBuffer::new(LENGTH);
    buffer
        .push(
            EventFrame::from_rows(&[event("a", 10, "get", "pods"), event("a", 400, "get", "pods")])
                .unwrap()
                .into_inner(),
        )
        .unwrap();
    let at = |s: i64| Timestamp::from_millis(s * 1000);
    assert_eq!(buffer.earliest_end(), Some(at(300)));
    assert!(buffer.take_closed(at(299)).unwrap().is_none());
    assert_eq!(buffer.take_closed(at(300)).unwrap().unwrap().height(), 1);
    assert_eq!(buffer.earliest_end(), Some(at(600)));
    assert_eq!(buffer.take_closed(at(10_000)).unwrap().unwrap().height(), 1);
    assert_eq!(buffer.earliest_end(), None);
}

proptest! {
    /// Any split of a stream into micro-batches gives the same matrix, bit for bit.
    #[test]
    fn batching_does_not_change_features(
        seconds in prop::collection::vec((0i64..1000, 0usize..3, 0usize..4), 1..60),
        cut in 0usize..60,
    ) {
        let verbs = ["get", "list", "create", "delete"];
        let rows: Vec<_> = seconds.iter().map(|&(s, a, v)| event(["x", "y", "z"][a], s, verbs[v], "pods")).collect();
        let cut = cut.min(rows.len());
        let frame = |r: &[EventRow]| EventFrame::from_rows(r).unwrap().into_inner();
        let mut split = WindowBuffer::new(LENGTH);
        split.push(frame(&rows[..cut])).unwrap();
        split.push(frame(&rows[cut..])).unwrap();
        let end = Timestamp::from_millis(10_000_000);
        let a = extract_audit(&split.take_closed(end).unwrap().unwrap(), LENGTH).unwrap();
        let b = extract_audit(&frame(&rows), LENGTH).unwrap();
        prop_assert_eq!(a, b);
    }
}
