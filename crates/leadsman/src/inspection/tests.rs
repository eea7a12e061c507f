use leadsman_decode::{DecodeContext, Limits, record};
use leadsman_domain::{PayloadKind, RawRecord, Timestamp};

use super::*;

fn inspect(lines: &str) -> Inspection {
    let received_at = Timestamp::parse("2026-06-02T00:00:00Z").unwrap();
    let raw = RawRecord { offset: 0, received_at, kind: PayloadKind::K8sAudit, bytes: lines.into() };
    let mut inspection = Inspection::default();
    inspection.add(&record(&DecodeContext::default(), &Limits::default(), &raw));
    assert_eq!(inspection.account.rejected.total(), 0);
    inspection
}

fn event(time: &str, verb: &str, resource: &str, group: &str, more: &str) -> String {
    format!(
        r#"{{"auditID":"{time}","stage":"ResponseComplete","verb":"{verb}","user":{{"username":"jane"}},"requestReceivedTimestamp":"{time}","objectRef":{{"resource":"{resource}","apiGroup":"{group}"}}{more}}}"#
    )
}

const WHOLE: &str = r#","userAgent":"kubectl","sourceIPs":["10.0.0.1"],"responseStatus":{"code":200}"#;

fn ids(inspection: &Inspection) -> Vec<&'static str> {
    inspection.blind().iter().map(|b| b.id).collect()
}

#[test]
fn what_is_missing_is_named() {
    let rbac = "rbac.authorization.k8s.io";
    let bare = inspect(&event("2026-03-02T00:00:00Z", "create", "clusterroles", rbac, ""));
    assert_eq!(
        ids(&bare),
        ["rbac_bodies", "no_user_agent", "no_source_ip", "no_code", "no_secrets", "no_reads", "no_samples", "short"]
    );
    assert!(bare.blind()[0].detail.starts_with("all 1 writes"), "{:?}", bare.blind());
    let body = format!(r#"{WHOLE},"requestObject":{{"rules":[]}}"#);
    let lines = [
        event("2026-03-02T00:00:00Z", "create", "clusterroles", rbac, &body),
        event("2026-03-20T00:00:00Z", "get", "secrets", "", WHOLE),
    ];
    assert_eq!(ids(&inspect(&lines.join("\n"))), ["no_samples"]);
    assert_eq!(ids(&inspect("")), ["no_events", "no_samples"]);
}

#[test]
fn names_beyond_the_bound_are_counted_together() {
    let mut names: Named<u64> = Named::default();
    for n in 0..MAX_NAMES + 5 {
        if let Some(count) = names.entry(&n.to_string()) {
            *count += 1;
        }
    }
    *names.entry("7").unwrap() += 1;
    assert_eq!((names.len(), names.beyond), (MAX_NAMES, 5));
    assert_eq!(names.top(1, |n| *n), [("7", &2)]);
    let mut long: Named<u64> = Named::default();
    assert!(long.entry(&"x".repeat(MAX_NAME_BYTES + 1)).is_none());
}
