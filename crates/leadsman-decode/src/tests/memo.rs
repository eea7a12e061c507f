//! What a batch remembers of earlier events changes none.

use leadsman_domain::{AuditEvent, PayloadKind};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use super::{EVENT, context, one, raw};
use crate::memo::MAX_KNOWN;
use crate::{BatchDecoder, DecodeContext, DecodeMemo, Limits, RedactionKey, record, redact};

/// Texts that come again, some of which hold a secret, or would if they were read as one.
const TEXTS: [&str; 10] = [
    "",
    "jane",
    "system:serviceaccount:shop:cart",
    "token",
    "=hunter2hunter2",
    "token=hunter2hunter2",
    "a\njane",
    "--password",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJl",
    "\u{ff}\n",
];

fn text() -> impl Strategy<Value = Value> {
    prop_oneof![4 => select(&TEXTS[..]).prop_map(Value::from), 1 => Just(Value::Null)]
}

prop_compose! {
    fn event()(
        user in text(), other in text(), source in text(), agent in text(), group in text(), resource in text(),
        subresource in text(), namespace in text(), name in text(), uri in text(), id in text(),
    ) -> Vec<u8> {
        let mut event = json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": format!("1{id}"),
            "stage": "ResponseComplete", "requestURI": uri, "verb": "get", "user": { "username": user },
            "impersonatedUser": { "username": other }, "sourceIPs": [source], "userAgent": agent,
            "objectRef": {
                "resource": resource, "namespace": namespace, "name": name, "apiGroup": group, "subresource": subresource,
            },
            "requestReceivedTimestamp": "2026-03-02T10:00:00.000001Z",
        });
        without_nulls(&mut event);
        event.to_string().into_bytes()
    }
}

fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.retain(|value| !value.is_null()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn keyed() -> DecodeContext {
    DecodeContext { redaction_key: Some(RedactionKey::new("a test's key")), ..context() }
}

/// What batches hold that are decoded one after the other, and what each of their events is by itself.
fn decode(batches: impl Iterator<Item = Vec<Vec<u8>>>) -> Vec<(Vec<AuditEvent>, Vec<AuditEvent>)> {
    let (ctx, limits) = (keyed(), Limits::default());
    let mut memo = DecodeMemo::default();
    let batch = |lines: Vec<Vec<u8>>| {
        let mut decoder = BatchDecoder::new(&ctx, &limits, std::mem::take(&mut memo));
        let mut alone = Vec::new();
        for line in lines {
            let raw = raw(PayloadKind::K8sAudit, line);
            decoder.push(&raw);
            alone.extend(record(&ctx, &limits, &raw).events);
        }
        let decoded;
        (decoded, memo) = decoder.finish();
        assert_eq!(decoded.rejects, []);
        (decoded.events, alone)
    };
    batches.map(batch).collect()
}

proptest! {
    #[test]
    fn what_is_remembered_changes_no_event(
        events in prop::collection::vec(event(), 1..6),
        batches in prop::collection::vec(prop::collection::vec(any::<Index>(), 1..20), 1..4),
    ) {
        let batches = batches.iter().map(|batch| batch.iter().map(|i| i.get(&events).clone()).collect());
        for (decoded, alone) in decode(batches) {
            prop_assert_eq!(decoded, alone);
        }
    }

    /// So they need not be searched.
    #[test]
    fn no_rule_applies_to_what_looks_like_a_uuid(text in "[0-9a-fA-F-]{0,80}") {
        prop_assert!(!redact::may_hold_secret(text.as_bytes()));
    }
}

/// Where one text ends and the next one begins, whatever is in them.
#[test]
fn texts_are_told_apart() {
    let [one, other] = [["a\nb", "a", "b", "a"], ["a", "b", "a\nb", "a"]].map(|[user, other, source, agent]| {
        let event = EVENT.replace("\"user\":", &format!(r#""impersonatedUser":{{"username":{other:?}}},"user":"#));
        let event = event.replace("\"jane\"", &format!("{user:?}")).replace("\"10.0.0.7\"", &format!("{source:?}"));
        event.replace("\"kubectl/v1.33.0\"", &format!("{agent:?}")).into_bytes()
    });
    let [empty, none] =
        [r#"[""]"#, "[]"].map(|sources| EVENT.replace(r#"["203.0.113.9","10.0.0.7"]"#, sources).into_bytes());
    for (decoded, alone) in decode(std::iter::once(vec![one, other, empty, none])) {
        assert_eq!(decoded, alone);
        assert_ne!(decoded[2].source_ip, decoded[3].source_ip);
        assert_eq!((&*decoded[0].actor.name, &*decoded[1].actor.name), ("a\nb", "a"));
    }
}

#[test]
fn callers_that_are_made_up_do_not_fill_memory() {
    let (ctx, limits) = (context(), Limits::default());
    let mut decoder = BatchDecoder::new(&ctx, &limits, DecodeMemo::default());
    let names = (0..2 * MAX_KNOWN + 10).map(|n| format!("made-up-{n}"));
    for name in names.clone() {
        let line = EVENT.replace("jane", &name).replace("secrets", &name);
        decoder.push(&raw(PayloadKind::K8sAudit, line));
    }
    let long = "x".repeat(100_000);
    decoder.push(&raw(PayloadKind::K8sAudit, EVENT.replace("jane", &long)));
    let (decoded, memo) = decoder.finish();
    assert!(decoded.events.iter().map(|e| e.actor.name.to_string()).eq(names.chain([long])));
    for texts in memo.texts() {
        assert!((1..=MAX_KNOWN).contains(&texts.len()), "{}", texts.len());
        assert!(texts.iter().all(|text| text.len() < 2_000));
    }
}

/// Events of a request have its identity, but for the last digit.
#[test]
fn an_event_is_known_by_its_request_and_stage() {
    let stages = ["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"];
    let events = stages.map(|stage| one(EVENT.replace("ResponseComplete", stage)));
    let request = events[0].request.to_string();
    for (event, digit) in events.iter().zip(1..) {
        assert_eq!(event.request.to_string(), request);
        assert_eq!(event.id.to_string(), format!("evt{}{digit}", &request[3..35]));
    }
    let other = one(EVENT.replace("/secrets/db", "/secrets/dc"));
    assert_ne!(other.request.get() >> 4, events[0].request.get() >> 4);
}
