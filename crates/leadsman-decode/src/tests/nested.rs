//! Hostile wrappings: cut, of wrong types, made to grow, and wrapped over and over.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use leadsman_domain::{Decoded, Format, PayloadKind, RejectReason, SkipReason};
use proptest::prelude::*;

use super::{EVENT, audit, context, gzip, ids, numbered, raw, refused, zstd};
use crate::{Limits, record};

/// One document per decoder, each holding one event.
fn samples() -> Vec<(&'static str, String)> {
    let text = |json: &str| serde_json::Value::from(json).to_string();
    let event = text(EVENT);
    let packed = STANDARD.encode(gzip(EVENT.as_bytes()));
    let seed = |bytes: &'static [u8]| String::from_utf8(bytes.to_vec()).unwrap();
    vec![
        ("vector", format!(r#"{{"message":{event}}}"#)),
        ("fluent bit", format!(r#"{{"log":{event}}}"#)),
        ("logstash", format!(r#"{{"event":{{"original":{event}}}}}"#)),
        (
            "subscription",
            format!(
                r#"{{"messageType":"DATA_MESSAGE","logStream":"kube-apiserver-audit-1","logEvents":[{{"id":"1","message":{event}}}]}}"#
            ),
        ),
        ("lambda", format!(r#"{{"awslogs":{{"data":"{packed}"}}}}"#)),
        ("records", format!(r#"{{"records":[{{"data":"{packed}"}}]}}"#)),
        ("export", format!(r#"{{"events":[{{"message":{event}}}]}}"#)),
        ("aks", format!(r#"{{"records":[{{"category":"kube-audit","properties":{{"log":{event}}}}}]}}"#)),
        ("aks table", seed(include_bytes!("../../fuzz/seeds/aks/table.json"))),
        ("gke", seed(include_bytes!("../../fuzz/seeds/gke/binding.json"))),
        ("pub/sub", seed(include_bytes!("../../fuzz/seeds/gke/pub_sub_push.json"))),
        ("cloud events", format!(r#"{{"specversion":"1.0","data":{EVENT}}}"#)),
        ("falco", seed(include_bytes!("../../fuzz/seeds/falco/falco.json"))),
        ("tracee", seed(include_bytes!("../../fuzz/seeds/tracee/signature.json"))),
        ("tracee v1beta1", seed(include_bytes!("../../fuzz/seeds/tracee/v1beta1.json"))),
        ("tetragon", seed(include_bytes!("../../fuzz/seeds/tetragon/kprobe.json"))),
        ("hubble", seed(include_bytes!("../../fuzz/seeds/hubble/dns.json"))),
    ]
}

fn telemetry(decoded: &Decoded) -> usize {
    decoded.events.len() + decoded.runtime.len() + decoded.flows.len() + decoded.samples.len()
}

#[test]
fn a_document_cut_anywhere_is_refused_and_costs_no_neighbour() {
    for (name, sample) in samples() {
        assert_eq!(telemetry(&audit(sample.clone())), 1, "{name}");
        for end in (1..sample.len()).filter(|end| sample.is_char_boundary(*end)) {
            let decoded = audit(format!("{}\n{}\n{}\n", numbered(1), &sample[..end], numbered(2)));
            assert_eq!(ids(&decoded), ["0001", "0002"], "{name} cut at {end}");
            assert_eq!(refused(&decoded).0, RejectReason::MalformedJson, "{name} cut at {end}");
        }
    }
}

#[test]
fn a_value_of_another_type_is_told_and_never_lost() {
    for (name, sample) in samples() {
        let value: serde_json::Value = serde_json::from_str(&sample).unwrap();
        let mut paths = Vec::new();
        all_paths(&value, &mut String::new(), &mut paths);
        for path in paths {
            for other in ["null", "0", "-1.5e400", "true", "\"\"", "\"x\"", "[]", "{}", "[[[]]]", "{\"a\":{}}"] {
                let mut changed = value.clone();
                let Ok(other) = serde_json::from_str(other) else { continue };
                *changed.pointer_mut(&path).unwrap() = other;
                let decoded = audit(changed.to_string());
                let total = telemetry(&decoded) as u64 + decoded.rejects.len() as u64 + decoded.skipped.total();
                assert_eq!(total, 1, "{name} {path}: {changed}");
            }
        }
    }
}

fn all_paths(value: &serde_json::Value, path: &mut String, out: &mut Vec<String>) {
    let mut below = |key: &str, inner: &serde_json::Value| {
        let length = path.len();
        path.push('/');
        path.push_str(&key.replace('~', "~0").replace('/', "~1"));
        out.push(path.clone());
        all_paths(inner, path, out);
        path.truncate(length);
    };
    match value {
        serde_json::Value::Object(map) => map.iter().for_each(|(key, inner)| below(key, inner)),
        serde_json::Value::Array(all) => all.iter().enumerate().for_each(|(n, inner)| below(&n.to_string(), inner)),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => {}
    }
}

#[test]
fn four_wrappings_are_read_and_a_fifth_is_refused() {
    let wrap = |n: usize| {
        (0..n).fold(EVENT.to_owned(), |inner, _| {
            format!(r#"{{"specversion":"1.0","data_base64":"{}"}}"#, STANDARD.encode(gzip(inner.as_bytes())))
        })
    };
    let four = audit(wrap(4));
    assert_eq!((ids(&four).len(), four.formats.get(Format::CloudEvents)), (1, 4));
    assert_eq!(refused(&audit(wrap(5))).0, RejectReason::TooNested);
    assert_eq!(refused(&audit(wrap(9))).0, RejectReason::TooNested);
    // Compressed again and again.
    let onion = (0..9).fold(EVENT.as_bytes().to_vec(), |inner, _| gzip(&inner));
    let onion = format!(r#"{{"awslogs":{{"data":"{}"}}}}"#, STANDARD.encode(onion));
    assert_eq!(refused(&audit(onion)).0, RejectReason::TooNested);
}

#[test]
fn wrapped_bombs_share_one_bound() {
    let zeros = vec![b' '; 200 << 20];
    for packed in [gzip(&zeros), zstd(&zeros)] {
        let bomb = STANDARD.encode(&packed);
        let decoded = audit(format!(r#"{{"awslogs":{{"data":"{bomb}"}}}}"#));
        assert_eq!(refused(&decoded).0, RejectReason::Decompression);
    }
    // Each of these is small enough to pass alone; together they would be 200 MiB.
    let megabyte = STANDARD.encode(gzip(&vec![b' '; 1 << 20]));
    let record = format!(r#"{{"data":"{megabyte}"}}"#);
    let decoded = audit(format!(r#"{{"records":[{}]}}"#, vec![record; 200].join(",")));
    assert_eq!(decoded.skipped.get(SkipReason::Empty), 64);
    assert_eq!(decoded.rejects.len(), 136);
    assert!(decoded.rejects.iter().all(|r| r.reason == RejectReason::Decompression));
}

#[test]
fn a_million_log_events_are_counted_one_by_one() {
    let million = vec!["{}"; 1_000_000].join(",");
    let decoded = audit(format!(r#"{{"messageType":"DATA_MESSAGE","logEvents":[{million}]}}"#));
    assert_eq!(decoded.rejects.len(), 1_001);
    assert_eq!(decoded.rejects[0].reason, RejectReason::MissingField);
    assert!(decoded.rejects[1_000].detail.starts_with("999000 more items"), "{}", decoded.rejects[1_000].detail);
    let skipped = vec![r#"{"message":""}"#; 1_000_000].join(",");
    let decoded = audit(format!(r#"{{"logStream":"authenticator-1","logEvents":[{skipped}]}}"#));
    assert_eq!((decoded.rejects.len(), decoded.skipped.get(SkipReason::OtherLog)), (0, 1_000_000));
}

#[test]
fn deep_nesting_inside_a_wrapping_is_refused() {
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    for (wrapped, expected) in [
        (format!(r#"{{"message":{}}}"#, serde_json::Value::from(format!("{{\"a\":{deep}}}"))), RejectReason::TooDeep),
        (format!(r#"{{"message":{deep}}}"#), RejectReason::TooDeep),
        (format!(r#"{{"awslogs":{{"data":"{}"}}}}"#, STANDARD.encode(gzip(deep.as_bytes()))), RejectReason::TooDeep),
    ] {
        assert_eq!(refused(&audit(wrapped)).0, expected);
    }
}

#[test]
fn base64_that_is_none_and_bytes_that_are_no_text_are_told_apart() {
    let data = |text: &str| audit(format!(r#"{{"awslogs":{{"data":"{text}"}}}}"#));
    assert_eq!(refused(&data("%%%")).0, RejectReason::MalformedBase64);
    assert_eq!(refused(&data("H4sIAAAA")).0, RejectReason::Decompression);
    assert_eq!(refused(&data(&STANDARD.encode(b"{\"a\":\"\xff\"}"))).0, RejectReason::InvalidUtf8);
    assert_eq!(data(&STANDARD.encode(b" \n")).skipped.get(SkipReason::Empty), 1);
    let unpadded = STANDARD.encode(EVENT).trim_end_matches('=').to_owned();
    assert_eq!(ids(&data(&unpadded)), ["0001"]);
}

#[test]
fn text_in_a_row_cannot_add_fields_to_the_event() {
    let row = |user: &str| {
        let user = serde_json::Value::from(user);
        format!(
            r#"{{"AuditId":"1","Stage":"ResponseComplete","Verb":"get","User":{user},"RequestReceivedTime":"2026-03-02T10:00:00Z"}}"#
        )
    };
    let good = audit(row(r#"{"username":"jane"}"#));
    assert_eq!(&*good.events[0].actor.name, "jane");
    let forged = audit(row(r#"{"username":"jane"},"verb":"list","user":{"username":"system:admin"}"#));
    assert_eq!(refused(&forged).0, RejectReason::InvalidField);
}

#[test]
fn an_insert_id_does_not_make_two_entries_one() {
    let entry = |principal: &str| {
        audit(format!(
            r#"{{"insertId":"same","timestamp":"2026-03-02T10:00:00Z","protoPayload":{{"serviceName":"k8s.io","methodName":"io.k8s.core.v1.pods.delete","resourceName":"core/v1/namespaces/shop/pods/a","authenticationInfo":{{"principalEmail":"{principal}"}}}}}}"#
        ))
        .events
        .remove(0)
    };
    let (jane, joe) = (entry("jane"), entry("joe"));
    assert_ne!((jane.id, jane.request), (joe.id, joe.request));
    assert_eq!(jane.id, entry("jane").id);
    // Without a status nothing is known of the outcome, and without a body nothing of risks.
    assert_eq!((jane.code, jane.forbidden, jane.risk.is_observed()), (None, false, false));
}

#[test]
fn grpc_codes_become_http_codes() {
    for (status, code) in [
        ("{}", Some(200)),
        (r#"{"code":0}"#, Some(200)),
        (r#"{"code":5}"#, Some(404)),
        (r#"{"code":6}"#, Some(409)),
        (r#"{"code":7}"#, Some(403)),
        (r#"{"code":8}"#, Some(429)),
        (r#"{"code":16}"#, Some(401)),
        (r#"{"code":99}"#, None),
        (r#"{"code":"x"}"#, None),
    ] {
        let entry = format!(
            r#"{{"insertId":"1","timestamp":"2026-03-02T10:00:00Z","protoPayload":{{"serviceName":"k8s.io","methodName":"io.k8s.apps.v1.deployments.scale.update","resourceName":"apps/v1/namespaces/shop/deployments/cart","status":{status}}}}}"#
        );
        let event = audit(entry).events.remove(0);
        assert_eq!(event.code, code, "{status}");
        assert_eq!(event.object.api(), "apps/deployments/scale");
    }
}

#[test]
fn identities_of_runtime_events_and_flows_cover_their_content() {
    let id = |json: &str| {
        let decoded = audit(json);
        decoded.runtime.first().map(|e| e.id).or(decoded.flows.first().map(|f| f.id)).unwrap()
    };
    for (sample, changes) in [
        (
            include_str!("../../fuzz/seeds/falco/falcosidekick.json"),
            &[("sh -c id", "sh -c ls"), ("cart-0", "cart-1"), ("01.250000000Z", "01.251000000Z"), ("T1059", "T1060")][..],
        ),
        (
            include_str!("../../fuzz/seeds/tetragon/kprobe.json"),
            &[("/etc/shadow", "/etc/passwd"), ("4242", "4243"), ("\"shop\"", "\"shop2\"")][..],
        ),
        (
            include_str!("../../fuzz/seeds/tracee/exec.json"),
            &[("\"id\"]", "\"ls\"]"), ("1250000000", "1250001000")][..],
        ),
        (
            include_str!("../../fuzz/seeds/hubble/dropped.json"),
            &[("443", "444"), ("DROPPED", "FORWARDED"), ("pool.example.net", "pool.example.org"), ("41233", "41234")][..],
        ),
    ] {
        assert_eq!(id(sample), id(&format!("[{sample}]")));
        for (from, to) in changes {
            assert!(sample.contains(from), "{from}");
            let changed = sample.replace(from, to);
            assert_ne!(id(sample), id(&changed), "{from}");
        }
        let other = crate::DecodeContext { cluster: "other".to_owned(), ..context() };
        let elsewhere = record(&other, &Limits::default(), &raw(PayloadKind::K8sAudit, sample));
        let there = elsewhere.runtime.first().map(|e| e.id).or(elsewhere.flows.first().map(|f| f.id)).unwrap();
        assert_ne!(id(sample), there);
    }
}

#[test]
fn long_text_of_a_workload_is_capped_but_tells_events_apart() {
    let alert = |end: &str| {
        let command = "é".repeat(40_000) + end;
        let decoded = audit(format!(
            r#"{{"rule":"r","priority":"Alert","time":"2026-03-02T10:00:00Z","output":"{command}","output_fields":{{"proc.cmdline":"{command}"}}}}"#
        ));
        decoded.runtime.into_iter().next().unwrap()
    };
    let (a, b) = (alert("a"), alert("b"));
    assert_eq!(a.process.command_line.as_ref().unwrap().raw().len(), 4_096);
    assert_ne!(a.id, b.id);
}

#[test]
fn times_are_held_against_the_clock_in_every_format() {
    for (name, sample) in samples() {
        if ["lambda", "records", "pub/sub"].contains(&name) {
            // Their event stands in base64.
            continue;
        }
        let future = sample.replace("2026-03-02T10", "2027-03-02T10").replace("1772445601", "1803981601");
        assert_eq!(refused(&audit(future)).0, RejectReason::FutureEventTime, "{name}");
    }
    let boot = include_str!("../../fuzz/seeds/tracee/exec.json").replace("1772445601250000000", "81250000000");
    assert_eq!(refused(&audit(boot)).0, RejectReason::InvalidField);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn wrapping_changes_nothing_but_the_formats(count in 1..6usize, wrappings in prop::collection::vec(0..6usize, 0..4)) {
        let plain = (0..count).map(numbered).collect::<Vec<_>>().join("\n");
        let mut wrapped = plain.clone();
        for wrapping in &wrappings {
            let text = serde_json::Value::from(wrapped.as_str()).to_string();
            let packed = STANDARD.encode(gzip(wrapped.as_bytes()));
            wrapped = match wrapping {
                0 => format!(r#"{{"message":{text},"host":"a"}}"#),
                1 => format!(r#"{{"@timestamp":1.5,"log":{text}}}"#),
                2 => format!(r#"{{"specversion":"1.0","data_base64":"{packed}"}}"#),
                3 => format!(r#"{{"awslogs":{{"data":"{packed}"}}}}"#),
                4 => format!(r#"{{"logEvents":[{{"message":{text}}}]}}"#),
                _ => format!(r#"{{"records":[{{"category":"kube-audit","properties":{{"log":{text}}}}}]}}"#),
            };
        }
        let (plain, wrapped) = (audit(plain), audit(wrapped));
        prop_assert_eq!(&wrapped.events, &plain.events);
        prop_assert!(wrapped.rejects.is_empty() && wrapped.skipped.is_empty());
    }
}
