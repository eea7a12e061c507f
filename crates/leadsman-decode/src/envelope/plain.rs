//! The plain reader: `serde_json` scans the item, and each nested object that fields are taken from once more.

use serde_json::value::RawValue;

use super::{Envelope, Part, Value};
use crate::json::fields;
use crate::refusal::Refusal;

type Raw<'a> = Option<&'a RawValue>;

const KEYS: [&str; 20] = [
    "kind",
    "apiVersion",
    "auditID",
    "stage",
    "level",
    "verb",
    "user",
    "impersonatedUser",
    "sourceIPs",
    "userAgent",
    "requestURI",
    "objectRef",
    "responseStatus",
    "requestObject",
    "responseObject",
    "annotations",
    "requestReceivedTimestamp",
    "timestamp",
    "metadata",
    "stageTimestamp",
];

/// Reads the envelope of any JSON object, however it is written; refuses what is no JSON or no object.
pub(crate) fn read(json: &str) -> Result<Envelope<'_>, Refusal> {
    let [
        kind,
        api_version,
        audit_id,
        stage,
        level,
        verb,
        user,
        impersonated_user,
        source_ips,
        user_agent,
        request_uri,
        object_ref,
        response_status,
        request_object,
        response_object,
        annotations,
        received,
        timestamp,
        metadata,
        stage_time,
    ] = fields(json, &KEYS).map_err(|e| Refusal::json(&e, "not a JSON object"))?;

    let (user, [username, uid, groups]) = part(user, &["username", "uid", "groups"]);
    let (impersonated_user, [impersonated]) = part(impersonated_user, &["username"]);
    let (object_ref, [api_group, resource, subresource, namespace, name]) =
        part(object_ref, &["apiGroup", "resource", "subresource", "namespace", "name"]);
    let (response_status, [code]) = part(response_status, &["code"]);
    let (annotations, [decision, reason]) =
        part(annotations, &["authorization.k8s.io/decision", "authorization.k8s.io/reason"]);
    let (metadata, [created]) = part(metadata, &["creationTimestamp"]);
    let (source_ip, source_ips) = last(source_ips);
    Ok(Envelope {
        kind: Value::of(kind),
        api_version: Value::of(api_version),
        audit_id: Value::of(audit_id),
        stage: Value::of(stage),
        level: Value::of(level),
        verb: Value::of(verb),
        user,
        username: Value::of(username),
        uid: Value::of(uid),
        groups: last(groups).1,
        impersonated_user,
        impersonated: Value::of(impersonated),
        source_ip,
        source_ips,
        user_agent: Value::of(user_agent),
        request_uri: Value::of(request_uri),
        object_ref,
        api_group: Value::of(api_group),
        resource: Value::of(resource),
        subresource: Value::of(subresource),
        namespace: Value::of(namespace),
        name: Value::of(name),
        response_status,
        code: Value::of(code),
        annotations,
        decision: Value::of(decision),
        reason: Value::of(reason),
        received: Value::of(received),
        timestamp: Value::of(timestamp),
        metadata,
        created: Value::of(created),
        stage_time: Value::of(stage_time),
        request_object: request_object.map(RawValue::get),
        response_object: response_object.map(RawValue::get),
    })
}

fn part<'a, const N: usize>(value: Raw<'a>, keys: &[&str; N]) -> (Part, [Raw<'a>; N]) {
    let Some(value) = value else { return (Part::Absent, [None; N]) };
    match fields(value.get(), keys) {
        Ok(found) => (Part::Object, found),
        Err(_) => (Part::Other, [None; N]),
    }
}

/// The last element of an array, and how many there are.
fn last(array: Raw<'_>) -> (Value<'_>, usize) {
    let Some(array) = array else { return (Value::Absent, 0) };
    match crate::json::last(array) {
        Some((last, count)) => (Value::of(last), count),
        None => (Value::Other(array.get()), 0),
    }
}
