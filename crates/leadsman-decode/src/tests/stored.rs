//! The canonical form: what is written is read back as it was.

use leadsman_domain::{Decoded, Format, PayloadKind, RejectReason};
use proptest::prelude::*;

use super::{EVENT, audit, context, raw, read_all, refused, with};
use crate::{DecodeContext, Limits, RedactionKey, canonical, record};

fn written(decoded: &Decoded) -> Vec<u8> {
    let mut lines = Vec::new();
    canonical::write(decoded, &mut lines).unwrap();
    lines
}

/// Writes what `decoded` holds, reads it back and compares, identities included. What was refused or skipped has no
/// line.
fn check(decoded: &Decoded) {
    let lines = written(decoded);
    let back = read_all(&lines, Limits::default(), 7);
    assert_eq!(back.rejects, [], "{}", String::from_utf8_lossy(&lines));
    assert_eq!(
        (&back.events, &back.samples, &back.runtime, &back.flows),
        (&decoded.events, &decoded.samples, &decoded.runtime, &decoded.flows)
    );
    let count = decoded.events.len() + decoded.samples.len() + decoded.runtime.len() + decoded.flows.len();
    assert_eq!(back.formats.get(Format::Canonical), count as u64);
    assert_eq!(back.formats.total(), count as u64);
    assert_eq!(written(&back), lines);
}

#[test]
fn every_golden_sample_comes_back() {
    let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let mut kinds = [0; 4];
    for target in std::fs::read_dir(seeds).unwrap() {
        for seed in std::fs::read_dir(target.unwrap().path()).unwrap() {
            let bytes = std::fs::read(seed.unwrap().path()).unwrap();
            for kind in [PayloadKind::K8sAudit, PayloadKind::MetricJson, PayloadKind::PrometheusRemoteWrite] {
                let decoded = record(&context(), &Limits::default(), &raw(kind, bytes.clone()));
                let Decoded { events, samples, runtime, flows, .. } = &decoded;
                for (sum, n) in kinds.iter_mut().zip([events.len(), samples.len(), runtime.len(), flows.len()]) {
                    *sum += n;
                }
                check(&decoded);
            }
        }
    }
    assert!(kinds.into_iter().all(|n| n > 0), "{kinds:?}");
}

#[test]
fn a_line_looks_like_this() {
    let pod = with(r#""verb":"get""#, r#""verb":"create""#)
        .replace(r#""resource":"secrets","namespace":"shop","name":"db""#, r#""resource":"pods","namespace":"shop""#)
        .replace(
            r#","requestReceived"#,
            r#","requestObject":{"spec":{"hostPID":true},"metadata":{"name":"a"}},"impersonatedUser":{"username":"bob"},"requestReceived"#,
        )
        .replace(r#"decision":"allow""#, r#"decision":"forbid""#);
    let lines = String::from_utf8(written(&audit(pod))).unwrap();
    assert_eq!(
        lines,
        concat!(
            r#"{"apiVersion":"leadsman/v1","kind":"AuditEvent","id":"evt_5e921624a00312bd0aa21621289abe63","#,
            r#""request":"req_5e921624a00312bd0aa21621289abe60","level":"Metadata","auditID":"0001","#,
            r#""stage":"ResponseComplete","requestURI":"/api/v1/namespaces/shop/secrets/db","verb":"create","#,
            r#""user":{"username":"jane","class":"human"},"impersonatedUser":{"username":"bob"},"#,
            r#""sourceIPs":["10.0.0.7"],"userAgent":"kubectl/v1.33.0","#,
            r#""objectRef":{"resource":"pods","namespace":"shop","name":"a"},"responseStatus":{"code":200},"#,
            r#""requestReceivedTimestamp":"2026-03-02T10:00:00.000001Z","#,
            r#""annotations":{"authorization.k8s.io/decision":"forbid"},"risks":["host_namespace"],"accounts":["system:serviceaccount:shop:default"]}"#,
            "\n"
        )
    );
}

#[test]
fn identities_are_taken_from_files_only() {
    let line = String::from_utf8(written(&audit(EVENT))).unwrap();
    // From a live source.
    let decoded = audit(line.clone());
    assert_eq!(refused(&decoded).0, RejectReason::UnknownShape);
    assert!(refused(&decoded).2.contains("files only"), "{:?}", decoded.rejects);
    // Out of a wrapping, in a file.
    let wrapped = format!("{{\"message\":{}}}", serde_json::to_string(line.trim()).unwrap());
    let decoded = read_all(wrapped.as_bytes(), Limits::default(), 7);
    assert_eq!(refused(&decoded).0, RejectReason::UnknownShape);
    assert!(decoded.events.is_empty());
}

/// The records of the re-key stage: one line each, decoded with the key of the service, as it does twice.
#[test]
fn a_canonical_record_is_its_line_and_takes_nothing_else() {
    let key = |context| DecodeContext { redaction_key: Some(RedactionKey::new("key")), ..context };
    let secret = with("/api/v1/namespaces/shop/secrets/db", "/api/v1/x?token=verysecretvalue&password=another-one");
    let first = record(&key(context()), &Limits::default(), &raw(PayloadKind::K8sAudit, secret));
    assert!(first.events[0].request_uri.raw().contains("[redacted:"), "{first:?}");
    let lines = written(&first);
    let canonical = |bytes: &[u8]| record(&key(context()), &Limits::default(), &raw(PayloadKind::Canonical, bytes));
    assert_eq!(canonical(&lines).events, first.events);
    assert_eq!(canonical(lines.trim_ascii_end()).events, first.events);
    assert_eq!(canonical(b""), Decoded::default());
    for other in
        [EVENT.as_bytes(), b"{\"kind\":\"EventList\",\"items\":[]}", b"[]", b"\xff", &[lines.clone(), lines].concat()]
    {
        let decoded = canonical(other);
        assert_eq!((decoded.rejects.len(), decoded.events.len()), (1, 0), "{decoded:?}");
    }
}

#[test]
fn what_is_not_of_the_version_is_refused_and_never_guessed() {
    let line = String::from_utf8(written(&audit(EVENT))).unwrap();
    for (from, to, reason) in [
        ("leadsman/v1", "leadsman/v2", RejectReason::UnknownApiVersion),
        ("AuditEvent", "Pod", RejectReason::InvalidField),
        (r#""level""#, r#""colour":1,"level""#, RejectReason::InvalidField),
        (r#""level":"Metadata","#, "", RejectReason::InvalidField),
        (r#""level""#, r#""level":"None","level""#, RejectReason::InvalidField),
        ("evt_", "req_", RejectReason::InvalidField),
        ("2026-03-02T10", "2026-03-02T11", RejectReason::FutureEventTime),
        ("2026-03-02T10", "1926-03-02T10", RejectReason::InvalidField),
        (r#","stage""#, r#" "stage""#, RejectReason::MalformedJson),
    ] {
        let changed = line.replacen(from, to, 1);
        assert_ne!(changed, line, "{from}");
        let decoded = read_all(changed.as_bytes(), Limits::default(), 7);
        let (found, _, detail) = refused(&decoded);
        assert_eq!(found, reason, "{from}: {detail}");
        assert!(!detail.contains("colour"), "{detail}");
    }
    // Another order and blanks are the same event.
    let pretty: serde_json::Value = serde_json::from_str(&line).unwrap();
    let pretty = serde_json::to_string_pretty(&pretty).unwrap();
    assert_eq!(read_all(pretty.as_bytes(), Limits::default(), 7).events, audit(EVENT).events);
}

/// Texts with everything that a form could lose: escapes, blanks, secrets, nothing at all.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-z0-9:/.@-]{0,20}",
        1 => ".{0,30}",
        1 => "(token|password|secret)[=: ]\\PC{0,20}",
        1 => "(Bearer |https://a:|AKIA|eyJhbGciOi|--token |-----BEGIN |glpat-)[A-Za-z0-9._@=-]{0,40}",
    ]
}

fn option(text: &Option<String>) -> String {
    text.as_ref().map_or("null".to_owned(), |t| quoted(t))
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn generated_events_come_back(
        texts in prop::collection::vec(word(), 6),
        optional in prop::collection::vec(prop::option::of(word()), 7),
        level in prop::sample::select(vec!["None", "Metadata", "Request", "RequestResponse"]),
        stage in prop::sample::select(vec!["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"]),
        verb in prop::sample::select(vec!["get", "list", "create", "patch", "connect", "deletecollection"]),
        code in prop::option::of(1..600u16),
        decision in prop::sample::select(vec!["allow", "forbid"]),
        micros in 0..999_999u32,
        body in prop::sample::select(vec!["null", r#"{"spec":{"hostPID":true}}"#, r#"{"rules":[{"verbs":["*"]}]}"#, "[]"]),
        resource in prop::sample::select(vec!["pods", "clusterroles", "secrets", ""]),
        keyed in any::<bool>(),
    ) {
        let event = format!(
            r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"{level}","auditID":{},"stage":"{stage}","requestURI":{},"verb":"{verb}","user":{{"username":{}}},"impersonatedUser":{{"username":{}}},"sourceIPs":[{}],"userAgent":{},"objectRef":{{"resource":"{resource}","apiGroup":{},"namespace":{},"name":{},"subresource":{}}},"responseStatus":{{"code":{}}},"requestObject":{body},"requestReceivedTimestamp":"2026-03-02T10:00:00.{micros:06}Z","annotations":{{"authorization.k8s.io/decision":"{decision}"}}}}"#,
            quoted(&format!("a{}", texts[0])), quoted(&texts[1]), quoted(&texts[2]), option(&optional[0]), quoted(&texts[3]),
            option(&optional[1]), option(&optional[2]), option(&optional[3]), option(&optional[4]), option(&optional[5]),
            code.map_or("null".to_owned(), |c| c.to_string()),
        );
        let key = keyed.then(|| RedactionKey::new("k"));
        let ctx = crate::DecodeContext { redaction_key: key, ..context() };
        let decoded = record(&ctx, &Limits::default(), &raw(PayloadKind::K8sAudit, event.clone()));
        prop_assert_eq!(decoded.events.len(), 1, "{}: {:?}", event, decoded.rejects);
        check(&decoded);
    }

    #[test]
    fn generated_samples_come_back(texts in prop::collection::vec(word(), 4), value in any::<f64>(), micros in 0..999_999u32) {
        prop_assume!(value.is_finite());
        let line = format!(
            r#"{{"timestamp":"2026-03-02T10:00:00.{micros:06}Z","value":{value:?},"name":{},"labels":{{"namespace":{},"pod":{},"container":{}}}}}"#,
            quoted(&format!("m{}", texts[0])), quoted(&format!("n{}", texts[1])), quoted(&format!("p{}", texts[2])), quoted(&texts[3])
        );
        let decoded = record(&context(), &Limits::default(), &raw(PayloadKind::MetricJson, line));
        prop_assert_eq!(decoded.samples.len(), 1, "{:?}", decoded.rejects);
        check(&decoded);
    }
}
