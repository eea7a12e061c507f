//! Fixtures and helpers that the tests of this crate share.

mod accounts;
mod bodies;
mod canonical;
mod documents;
mod envelope;
mod golden;
mod hostile;
mod list;
mod memo;
mod metrics;
mod nested;
mod properties;
mod readers;
mod redaction;
mod risks;
mod scan;
mod stored;

use std::io::Write;

use leadsman_domain::{Actor, ActorRules, AuditEvent, Decoded, PayloadKind, RawRecord, RejectReason, Tally, Timestamp};

use crate::{AuditReader, DecodeContext, Limits, record};

/// One ordinary request, logged at its end.
pub(super) const EVENT: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"0001","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/shop/secrets/db","verb":"get","user":{"username":"jane","groups":["dev"]},"sourceIPs":["203.0.113.9","10.0.0.7"],"userAgent":"kubectl/v1.33.0","objectRef":{"resource":"secrets","namespace":"shop","name":"db","apiVersion":"v1"},"responseStatus":{"metadata":{},"code":200},"requestReceivedTimestamp":"2026-03-02T10:00:00.000001Z","stageTimestamp":"2026-03-02T10:00:00.004000Z","annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":""}}"#;

pub(super) fn context() -> DecodeContext {
    DecodeContext {
        cluster: "prod".to_owned(),
        rules: ActorRules { ci: vec!["ci:*".to_owned()], controllers: Vec::new() },
        redaction_key: None,
    }
}

pub(super) fn now() -> Timestamp {
    Timestamp::parse("2026-03-02T10:00:10Z").unwrap()
}

pub(super) fn raw(kind: PayloadKind, bytes: impl Into<Vec<u8>>) -> RawRecord {
    RawRecord { offset: 7, received_at: now(), kind, bytes: bytes.into().into() }
}

pub(super) fn audit(bytes: impl Into<Vec<u8>>) -> Decoded {
    record(&context(), &Limits::default(), &raw(PayloadKind::K8sAudit, bytes))
}

/// The only event of a record.
pub(super) fn one(bytes: impl Into<Vec<u8>>) -> AuditEvent {
    let mut decoded = audit(bytes);
    assert_eq!(decoded.rejects, []);
    assert_eq!(decoded.events.len(), 1);
    decoded.events.remove(0)
}

/// The only reject of a record: why, on which line, and the detail.
pub(super) fn refused(decoded: &Decoded) -> (RejectReason, u64, &str) {
    assert_eq!(decoded.rejects.len(), 1, "{:?}", decoded.rejects);
    let reject = &decoded.rejects[0];
    assert!(reject.payload.len() <= 4096);
    (reject.reason, reject.line, &reject.detail)
}

/// `EVENT` with one text replaced.
pub(super) fn with(from: &str, to: &str) -> String {
    assert!(EVENT.contains(from), "{from}");
    EVENT.replacen(from, to, 1)
}

/// `EVENT` under another audit id.
pub(super) fn numbered(n: usize) -> String {
    with(r#""auditID":"0001""#, &format!(r#""auditID":"{n:04}""#))
}

pub(super) fn ids(decoded: &Decoded) -> Vec<String> {
    decoded.events.iter().map(|e| e.audit_id.raw().to_owned()).collect()
}

pub(super) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn zstd(plain: &[u8]) -> Vec<u8> {
    zstd::encode_all(plain, 3).unwrap()
}

/// Reads a file to its end in chunks of `size`.
pub(super) fn read_all(bytes: &[u8], limits: Limits, size: usize) -> Decoded {
    let mut reader = AuditReader::new(bytes, context(), limits, now()).unwrap();
    let mut all = Decoded::default();
    while let Some(chunk) = reader.next_chunk(size).unwrap() {
        assert!(chunk.events.len() <= size);
        all.append(chunk);
    }
    all
}

/// What was decoded, whatever it was wrapped in.
pub(super) fn content(decoded: Decoded) -> Decoded {
    Decoded { formats: Tally::default(), ..decoded }
}

#[test]
fn golden_event() {
    let event = one(EVENT);
    let Actor { name, class, impersonated } = &event.actor;
    let shown = format!(
        "{} {} {:?} {:?} {} {} {name} {class} {impersonated:?} {} {} {:?}/{:?} {:?} {:?} {:?} {} {}",
        event.id,
        event.request,
        event.stage,
        event.level,
        event.event_time.to_micro_time(),
        event.audit_id,
        event.verb,
        event.object.api(),
        event.object.namespace.as_ref().map(ToString::to_string),
        event.object.name.as_ref().map(ToString::to_string),
        event.source_ip.as_ref().map(ToString::to_string),
        event.user_agent.as_ref().map(ToString::to_string),
        event.code,
        event.forbidden,
        event.risk.is_observed(),
    );
    // The ids are stored by every deployment: a change of this line is a migration.
    assert_eq!(
        shown,
        "evt_76ea98ac42fda3758344b0c4d4008803 req_76ea98ac42fda3758344b0c4d4008800 ResponseComplete Metadata 2026-03-02T10:00:00.000001Z 0001 jane human None get secrets \
         Some(\"shop\")/Some(\"db\") Some(\"10.0.0.7\") Some(\"kubectl/v1.33.0\") Some(200) false false"
    );
}
