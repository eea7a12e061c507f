//! Helpers that the tests of rules share.

mod benign;
mod decoys;
mod matching;
mod refused;
mod shipped;

use leadsman_decode::{DecodeContext, Limits, record};
use leadsman_domain::{ActorRules, AuditEvent, PayloadKind, RawRecord, Timestamp};
use serde_json::{Value, json};

use super::{RuleError, RuleSet, RuleSource, SHIPPED};

/// A request of jane's; tests change what matters.
pub(super) fn event(change: &Value) -> AuditEvent {
    let mut document = json!({
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "RequestResponse", "auditID": "1",
        "stage": "ResponseComplete", "requestURI": "/api/v1/pods", "verb": "list",
        "user": {"username": "jane@example.com"}, "sourceIPs": ["203.0.113.9"], "userAgent": "kubectl/v1.33.0",
        "responseStatus": {"code": 200}, "requestReceivedTimestamp": "2026-03-02T10:00:00.000000Z",
    });
    merge(&mut document, change);
    let bytes = document.to_string().into_bytes();
    let received_at = Timestamp::parse("2026-03-02T10:00:01Z").unwrap();
    let raw = RawRecord { offset: 0, received_at, kind: PayloadKind::K8sAudit, bytes: bytes.into() };
    let mut decoded = record(&context(), &Limits::default(), &raw);
    assert!(decoded.rejects.is_empty(), "{:?}", decoded.rejects);
    decoded.events.remove(0)
}

pub(super) fn context() -> DecodeContext {
    let rules = ActorRules { ci: vec!["ci:*".to_owned()], controllers: Vec::new() };
    DecodeContext { cluster: "prod".to_owned(), rules, redaction_key: None }
}

/// Merges a change into a document (RFC 7396): objects key by key, `null` takes a key away.
pub(super) fn merge(document: &mut Value, change: &Value) {
    let Value::Object(changes) = change else { return *document = change.clone() };
    if !document.is_object() {
        *document = json!({});
    }
    let Value::Object(fields) = document else { return };
    for (key, change) in changes {
        if change.is_null() {
            fields.remove(key);
        } else {
            merge(fields.entry(key.clone()).or_insert(Value::Null), change);
        }
    }
}

/// A file with one rule whose detection is `detection`, indented by two.
pub(super) fn one_rule(detection: &str) -> String {
    let detection: String = detection.lines().map(|l| format!("  {l}\n")).collect();
    format!(
        "title: T\nid: 5a4a5c8e-35a7-4fd8-9d8f-0c6a3d2c3b11\nlogsource: {{product: kubernetes, service: audit}}\n\
         detection:\n{detection}level: medium\n"
    )
}

pub(super) fn compile(text: &str) -> Result<RuleSet, RuleError> {
    RuleSet::compile(&[RuleSource { name: "mine.yml", text }])
}

pub(super) fn shipped() -> RuleSet {
    RuleSet::compile(&[SHIPPED]).unwrap()
}

/// Titles of the rules that match.
pub(super) fn titles<'r>(rules: &'r RuleSet, event: &AuditEvent) -> Vec<&'r str> {
    rules.matching(event).map(|r| r.title.as_str()).collect()
}
