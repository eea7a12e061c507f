use leadsman_decode::{DecodeContext, Limits, record};
use leadsman_domain::{PayloadKind, RawRecord, Timestamp};

use super::named::{MAX_NAME_BYTES, MAX_NAMES};
use super::*;
use crate::input::{Inputs, LakeOptions, Reading};
use crate::progress::{Progress, ProgressMode};

fn inspect(lines: &str) -> Inspection {
    let received_at = Timestamp::parse("2026-06-02T00:00:00Z").unwrap();
    let raw = RawRecord { offset: 0, received_at, kind: PayloadKind::K8sAudit, bytes: lines.to_owned().into() };
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

/// Everything that is shown of an inspection.
fn shown(i: &Inspection) -> String {
    let actors: Vec<_> = i.actors.top(usize::MAX, |actor| actor.events);
    let resources: Vec<_> = i.resources.top(usize::MAX, Levels::total);
    let rest = (&i.account, i.period, &i.classes, &i.levels, &i.verbs, &i.stages);
    format!("{actors:?} {resources:?} {rest:?} {:?} {} {}", i.blind(), i.actors.beyond, i.resources.beyond)
}

#[test]
fn parts_add_up_to_the_whole() {
    let lines: Vec<_> = (0..40)
        .map(|n| {
            let (verb, resource) = [("get", "secrets"), ("create", "pods"), ("list", "nodes")][n % 3];
            let line = event(&format!("2026-03-{:02}T00:00:00Z", n % 20 + 1), verb, resource, "", ["", WHOLE][n % 2]);
            line.replace("jane", &format!("user-{}", n % 7))
        })
        .collect();
    let whole = inspect(&lines.join("\n"));
    for cut in [0, 1, 17, 40] {
        let mut parts = inspect(&lines[..cut].join("\n"));
        parts.merge(&inspect(&lines[cut..].join("\n")));
        assert_eq!(shown(&parts), shown(&whole), "{cut}");
    }
}

#[test]
fn names_beyond_the_bound_are_counted_together_when_parts_are_added() {
    let count = |names: std::ops::Range<usize>| {
        let mut named: Named<u64> = Named::default();
        for n in names.clone().chain(names) {
            if let Some(count) = named.entry(&n.to_string()) {
                *count += 1;
            }
        }
        named
    };
    let mut all = count(0..MAX_NAMES);
    all.merge(&count(MAX_NAMES - 3..MAX_NAMES + 5), |n| *n, |to, n| *to += n);
    assert_eq!((all.len(), all.beyond), (MAX_NAMES, 10));
    assert_eq!(all.top(3, |n| *n).iter().map(|(_, n)| **n).collect::<Vec<_>>(), [4, 4, 4]);
}

#[test]
fn a_file_is_looked_at_as_it_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    let mut text = String::new();
    for n in 0..5_000 {
        let actor = if n % 10 == 0 { "u:AKIAIOSFODNN7EXAMPLE" } else { "jane" };
        text.push_str(&match n % 100 {
            99 => "{\"bad\":}".to_owned(),
            98 => r#"{"timestamp":"2026-03-02T10:00:00Z","value":"1","name":"up","labels":{"job":"x"}}"#.to_owned(),
            _ => event("2026-03-02T00:00:00Z", "get", "secrets", "", WHOLE).replace("jane", actor),
        });
        text.push('\n');
    }
    std::fs::write(&path, text).unwrap();
    let inputs = Inputs::find(&[path], &LakeOptions::default()).unwrap();
    let context = DecodeContext::default();
    let now = Timestamp::parse("2026-06-02T00:00:00Z").unwrap();
    let reading = Reading { context: &context, limits: Limits::default(), now, strict: false };
    let mut progress = Progress::new(ProgressMode::None, "test", 0);
    let mut kept = Inspection::default();
    let read = inputs
        .read(&reading, &mut progress, |decoded| {
            kept.add(&decoded);
            Ok(())
        })
        .unwrap();
    let (inspection, report) = inputs.inspect(&reading, &mut progress).unwrap();
    assert_eq!(shown(&inspection), shown(&kept));
    assert_eq!((report.examples.len(), &report.examples, &report.account), (20, &read.examples, &read.account));
    let actors = inspection.actors.top(2, |actor| actor.events);
    assert_eq!(actors[1].0, "u:[redacted:aws]");
    let missing = Inputs::find(&[directory.path().join("audit.log")], &LakeOptions::default()).unwrap();
    drop(directory);
    assert!(missing.inspect(&reading, &mut progress).is_err(), "a file that went away is an error");
}
