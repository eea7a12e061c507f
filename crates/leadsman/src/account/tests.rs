use leadsman_decode::{DecodeContext, Limits, record};
use leadsman_domain::{PayloadKind, RawRecord, SourceId, Span, Timestamp};

use super::*;
use crate::service::events::BatchCommitted;
use crate::service::metrics::Metrics;

/// An audit event, a sample, a Falco alert, a Hubble flow, a control message and something broken.
const MIXED: &str = concat!(
    r#"{"auditID":"a","stage":"ResponseComplete","verb":"get","user":{"username":"u"},"#,
    r#""requestReceivedTimestamp":"2026-03-02T00:00:00Z"}"#,
    "\n",
    r#"{"timestamp":"2026-03-02T00:00:00Z","value":"1","name":"up","labels":{"namespace":"n","pod":"p"}}"#,
    "\n",
    r#"{"time":"2026-03-02T00:00:00Z","rule":"r","priority":"Warning","source":"syscall","output":"o","output_fields":{}}"#,
    "\n",
    r#"{"flow":{"time":"2026-03-02T00:00:00Z","verdict":"DROPPED","source":{},"destination":{}}}"#,
    "\n",
    r#"{"messageType":"CONTROL_MESSAGE","logEvents":[]}"#,
    "\n{\"broken\n",
);

#[test]
fn every_item_is_counted_in_the_account_and_in_the_metrics() {
    let received_at = Timestamp::parse("2026-03-02T00:01:00Z").unwrap();
    let raw = RawRecord { offset: 0, received_at, kind: PayloadKind::K8sAudit, bytes: MIXED.into() };
    let decoded = record(&DecodeContext::default(), &Limits::default(), &raw);
    let mut account = Account::default();
    account.add(&decoded);
    assert_eq!((account.events, account.samples, account.runtime, account.flows), (1, 1, 1, 1), "{decoded:#?}");
    assert_eq!((account.rejected.total(), account.skipped.total(), account.decoded()), (1, 1, 4));
    let told = account.unscored().join("\n");
    assert!(told.contains("1 runtime events and 1 flows") && told.contains("control 1"), "{told}");
    assert!(Account::default().unscored().is_empty());

    let metrics = Metrics::default();
    let span = Span { source: SourceId::new("inbox"), partition: 0, from: 0, to: 1 };
    BatchCommitted { span: &span, account: &account, findings: 0, heard: None }.emit(&metrics);
    let text = metrics.render().unwrap();
    for line in [
        "leadsman_events_decoded_total{kind=\"audit\"} 1",
        "leadsman_events_decoded_total{kind=\"sample\"} 1",
        "leadsman_events_decoded_total{kind=\"runtime\"} 1",
        "leadsman_events_decoded_total{kind=\"flow\"} 1",
        "leadsman_items_skipped_total{reason=\"control\"} 1",
        "leadsman_rejected_items_total{reason=\"malformed_json\"} 1",
        "leadsman_formats_found_total{format=\"hubble\"} 1",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}
