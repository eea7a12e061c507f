use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::{Envelope, Part, Value, fast, read_plain};
use crate::Limits;
use crate::tests::EVENT;

/// One with everything that the server may write.
const FULL: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","auditID":"0001","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/shop/pods?fieldManager=a\u0026pretty=true","verb":"create","user":{"username":"jane","uid":"7","groups":["dev","system:authenticated"],"extra":{"scopes":["a\\","}\""]}},"impersonatedUser":{"username":"system:admin"},"sourceIPs":["203.0.113.9","10.0.0.7"],"userAgent":"kubectl/v1.33.0","objectRef":{"resource":"pods","namespace":"shop","name":"db","uid":"u","apiGroup":"apps","apiVersion":"v1","subresource":"exec"},"responseStatus":{"metadata":{},"code":201},"requestObject":{"kind":"Pod","metadata":{"name":"db","labels":{"k:{\"a\":\"b\"}":"c"}},"spec":{"containers":[{"name":"a","ports":[80,-1,1.5e3],"tty":true}]}},"responseObject":{"kind":"Pod","metadata":{"name":"db-1"}},"requestReceivedTimestamp":"2026-03-02T10:00:00.000001Z","stageTimestamp":"2026-03-02T10:00:00.004000Z","annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":"RBAC: allowed by RoleBinding \"a/b\" of Role \"a\" to User \"jane\" and everybody else who needs \"it\""}}"#;

const DEPTH: usize = 128;

/// Where a fast reader accepts `item`, the plain one must too, with the same fields. `loose` allows that the plain
/// one refuses, which it may for what stands in skipped values.
fn agree(item: &[u8], loose: bool) -> bool {
    let plain = std::str::from_utf8(item).ok().and_then(|json| read_plain(json).ok());
    let mut accepted = 0;
    let machines = fast::machines();
    for (name, reader) in &machines {
        let Some(read) = reader(item, DEPTH) else { continue };
        accepted += 1;
        match plain {
            Some(plain) => assert_eq!(read, plain, "{name}: {}", String::from_utf8_lossy(item)),
            None => assert!(loose, "{name} alone accepts {}", String::from_utf8_lossy(item)),
        }
    }
    assert!(accepted == 0 || accepted == machines.len(), "machines differ on {}", String::from_utf8_lossy(item));
    accepted > 0
}

#[test]
fn the_servers_own_form_is_read_fast() {
    for event in [EVENT, FULL] {
        assert!(agree(event.as_bytes(), false));
    }
    let read = Envelope::read(FULL.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(read.request_uri.text().unwrap(), "/api/v1/namespaces/shop/pods?fieldManager=a&pretty=true");
    assert_eq!((read.groups, read.source_ips, read.source_ip), (2, 2, Value::Text("10.0.0.7")));
    assert_eq!((read.code, read.subresource), (Value::Other("201"), Value::Text("exec")));
    assert_eq!(read.response_object, Some(r#"{"kind":"Pod","metadata":{"name":"db-1"}}"#));
    assert_eq!((read.user, read.metadata), (Part::Object, Part::Absent));
}

#[test]
fn other_orders_of_keys_are_read_fast() {
    // serde_json sorts keys, as several shippers do
    let sorted = serde_json::from_str::<Json>(FULL).unwrap().to_string();
    assert!(agree(sorted.as_bytes(), false));
    let read = Envelope::read(sorted.as_bytes(), &Limits::default()).unwrap();
    assert_eq!((read.verb, read.name), (Value::Text("create"), Value::Text("db")));
}

#[test]
fn what_the_fast_reader_does_not_know_is_left_to_the_plain_one() {
    for (from, to) in [
        (r#""verb":"create""#, r#""verb": "create""#),
        (r#""verb":"create""#, r#""v\u0065rb":"create""#),
        (r#""verb":"create""#, r#""verb":"get","verb":"create""#),
        (r#""verb":"create""#, r#""verb":7"#),
        (r#""verb":"create""#, r#""verb":"cr\eate""#),
        (r#""verb":"create""#, r#""verb":"cr\u00zzate""#),
        (r#""verb":"create""#, "\"verb\":\"cr\tate\""),
        (r#""verb":"create","#, r#""verb":"create",,"#),
        (r#""code":201"#, r#""code":2.01e2"#),
        (r#""code":201"#, r#""code":0201"#),
        (r#""code":201"#, r#""code":200,"code":201"#),
        (r#""groups":["dev","#, r#""groups":[7,"#),
        (r#""groups":["dev","#, r#""groups":["a"],"groups":["dev","#),
        (r#""user":{"#, r#""user":{"username":"x"},"user":{"#),
        (r#""requestObject":{"#, r#""requestObject":{},"requestObject":{"#),
        (r#""sourceIPs":["#, r#""sourceIPs":["1"],"sourceIPs":["#),
    ] {
        assert!(FULL.contains(from), "{from}");
        let changed = FULL.replacen(from, to, 1);
        assert!(!agree(changed.as_bytes(), false), "{to}");
    }
    assert!(agree(FULL.replacen(r#""verb":"create""#, r#""verb":null"#, 1).as_bytes(), false));
}

#[test]
fn text_is_utf_8_and_free_of_control_characters_wherever_it_stands() {
    assert!(agree(FULL.replace("db-1", "dü-1").as_bytes(), false));
    for at in 0..FULL.len() {
        for byte in [0, b'\n', 0x1f, 0x80, 0xc3, 0xff] {
            let mut changed = FULL.as_bytes().to_vec();
            changed[at] = byte;
            assert!(!agree(&changed, false), "{byte} at {at}");
        }
    }
}

#[test]
fn an_event_cut_anywhere_is_not_read() {
    for event in [EVENT, FULL] {
        for end in 0..event.len() {
            // a copy of the exact length: what lies behind it is not ours to load
            let cut: Box<[u8]> = event.as_bytes()[..end].into();
            assert!(!agree(&cut, false), "cut at {end}");
        }
    }
}

#[test]
fn one_changed_byte_changes_both_readers_alike() {
    let wanted = b"\"\\{}[]:,0-nau x/";
    for at in 0..FULL.len() {
        for byte in wanted {
            let mut changed = FULL.as_bytes().to_vec();
            changed[at] = *byte;
            agree(&changed, true);
        }
    }
}

#[test]
fn depth_is_bounded_by_the_limit() {
    let nested = |depth: usize| {
        let body = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        FULL.replacen(r#"{"kind":"Pod","metadata":{"name":"db-1"}}"#, &body, 1)
    };
    assert!(agree(nested(40).as_bytes(), false));
    // the last that is surely within the limit, the first that is not, and far beyond
    assert!(agree(nested(DEPTH - 4).as_bytes(), false));
    for depth in [DEPTH, DEPTH + 1, 100_000] {
        assert!(!agree(nested(depth).as_bytes(), false), "{depth}");
    }
    let limits = Limits { max_depth: 2, ..Limits::default() };
    assert_eq!(Envelope::read(FULL.as_bytes(), &limits), None);
}

/// Strings with everything that needs an escape, of lengths around the step of the reader.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z:/.-]{0,20}",
        "[a-z\"\\\\\n\u{1}{}\\[\\],é😀]{0,150}",
        (0usize..200, 0usize..3).prop_map(|(length, slashes)| "a".repeat(length) + &"\\".repeat(slashes)),
    ]
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        text().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        any::<bool>().prop_map(Json::from),
        Just(Json::Null),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::vec((text(), inner), 0..4).prop_map(|members| Json::from(Map::from_iter(members))),
        ]
    })
}

/// A document as members in any order, some repeated, some of odd types.
fn document() -> impl Strategy<Value = String> {
    let texts = ["kind", "apiVersion", "level", "auditID", "stage", "requestURI", "verb", "userAgent", "timestamp"];
    let member = prop_oneof![
        8 => (prop::sample::select(texts.to_vec()), text()).prop_map(|(key, text)| (key.to_owned(), json!(text))),
        2 => (text(), text(), 0u32..700).prop_map(|(name, reason, code)| {
            match code % 6 {
                0 => ("user".to_owned(), json!({"username": name, "uid": reason, "groups": [name, reason]})),
                1 => ("objectRef".to_owned(), json!({"resource": name, "namespace": reason, "subresource": name})),
                2 => ("responseStatus".to_owned(), json!({"metadata": {}, "code": code, "message": reason})),
                3 => ("sourceIPs".to_owned(), json!([name, reason])),
                4 => ("impersonatedUser".to_owned(), json!({"username": name, "extra": {"a": [reason]}})),
                _ => ("annotations".to_owned(), json!({"authorization.k8s.io/decision": name, "authorization.k8s.io/reason": reason})),
            }
        }),
        2 => (prop::sample::select(vec!["requestObject", "responseObject", "metadata"]), any_json())
            .prop_map(|(key, body)| (key.to_owned(), body)),
        1 => (prop::sample::select(vec!["user", "verb", "sourceIPs", "annotations", "objectRef", "other"]), any_json())
            .prop_map(|(key, value)| (key.to_owned(), value)),
    ];
    prop::collection::vec(member, 1..18).prop_map(|members| {
        let members: Vec<String> =
            members.iter().map(|(key, value)| format!("{}:{value}", Json::from(key.as_str()))).collect();
        format!("{{{}}}", members.join(","))
    })
}

/// The plain reader beside a document built in memory: of equal keys the last counts.
fn plain_equals_value(json: &str) {
    let value: Json = serde_json::from_str(json).unwrap();
    let read = read_plain(json).unwrap();
    let text = |pointer: &str| value.pointer(pointer).and_then(Json::as_str).map(str::to_owned);
    let count = |pointer: &str| value.pointer(pointer).and_then(Json::as_array).map_or(0, Vec::len);
    for (field, pointer) in [
        (read.kind, "/kind"),
        (read.api_version, "/apiVersion"),
        (read.audit_id, "/auditID"),
        (read.stage, "/stage"),
        (read.level, "/level"),
        (read.verb, "/verb"),
        (read.username, "/user/username"),
        (read.uid, "/user/uid"),
        (read.impersonated, "/impersonatedUser/username"),
        (read.user_agent, "/userAgent"),
        (read.request_uri, "/requestURI"),
        (read.api_group, "/objectRef/apiGroup"),
        (read.resource, "/objectRef/resource"),
        (read.subresource, "/objectRef/subresource"),
        (read.namespace, "/objectRef/namespace"),
        (read.name, "/objectRef/name"),
        (read.decision, "/annotations/authorization.k8s.io~1decision"),
        (read.reason, "/annotations/authorization.k8s.io~1reason"),
        (read.received, "/requestReceivedTimestamp"),
        (read.timestamp, "/timestamp"),
        (read.created, "/metadata/creationTimestamp"),
        (read.stage_time, "/stageTimestamp"),
    ] {
        assert_eq!(field.text().map(String::from), text(pointer), "{pointer} of {json}");
    }
    assert_eq!((read.groups, read.source_ips), (count("/user/groups"), count("/sourceIPs")));
    let Value::Other(code) = read.code else { return };
    assert_eq!(Some(&serde_json::from_str::<Json>(code).unwrap()), value.pointer("/responseStatus/code"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn generated_documents_are_read_alike(json in document()) {
        agree(json.as_bytes(), false);
        plain_equals_value(&json);
    }

    #[test]
    fn mutated_documents_are_read_alike(
        json in document(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = json.into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        agree(&bytes, true);
        bytes.truncate(cut.index(bytes.len()));
        agree(&bytes, true);
    }
}

#[test]
fn a_malformed_body_that_a_rule_reads_is_refused() {
    let broken = |verb: &str| {
        let event = FULL.replacen(r#""verb":"create""#, &format!(r#""verb":"{verb}""#), 1);
        let event =
            event.replacen(r#""apiGroup":"apps","apiVersion":"v1","subresource":"exec""#, r#""apiVersion":"v1""#, 1);
        event.replacen(r#""tty":true"#, r#""tty":tru"#, 1)
    };
    let refused = crate::tests::audit(broken("create"));
    assert_eq!((refused.events.len(), refused.rejects.len()), (0, 1));
    assert_eq!(refused.rejects[0].reason, leadsman_domain::RejectReason::MalformedJson);
    // no rule reads what was sent with a get, so the event is taken, with risks unknown
    let taken = crate::tests::audit(broken("get"));
    assert_eq!((taken.events.len(), taken.rejects.len()), (1, 0));
    assert!(!taken.events[0].risk.is_observed());
}
