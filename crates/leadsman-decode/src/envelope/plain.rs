//! The envelope by `serde_json`: any order, any blanks, any type, obviously right.

use serde_json::value::RawValue;

use super::{Addresses, Envelope, Field, Object, Text, User};
use crate::json::{elements, fields, fields_of};

type Raw<'a> = Option<&'a RawValue>;

const KEYS: [&str; 20] = [
    "kind",
    "apiVersion",
    "level",
    "auditID",
    "stage",
    "requestURI",
    "verb",
    "user",
    "impersonatedUser",
    "sourceIPs",
    "userAgent",
    "objectRef",
    "responseStatus",
    "requestObject",
    "responseObject",
    "requestReceivedTimestamp",
    "stageTimestamp",
    "timestamp",
    "metadata",
    "annotations",
];

pub(super) fn read(json: &str) -> Result<Envelope<'_>, serde_json::Error> {
    let [
        kind,
        api_version,
        level,
        audit_id,
        stage,
        request_uri,
        verb,
        user,
        impersonated,
        ips,
        agent,
        object,
        status,
        request_object,
        response_object,
        received,
        stage_time,
        timestamp,
        metadata,
        annotations,
    ] = fields(json, &KEYS)?;
    let [created] = fields_of(metadata, &["creationTimestamp"]);
    let [decision, reason] = fields_of(annotations, &["authorization.k8s.io/decision", "authorization.k8s.io/reason"]);
    Ok(Envelope {
        kind: text(kind),
        api_version: text(api_version),
        level: text(level),
        audit_id: text(audit_id),
        stage: text(stage),
        request_uri: text(request_uri),
        verb: text(verb),
        user: user_of(user),
        impersonated_user: user_of(impersonated),
        source_ips: addresses(ips),
        user_agent: text(agent),
        object_ref: object_of(object),
        response_status: object_with(status, &["code"], |[code]| number(code)),
        request_object: request_object.map(RawValue::get),
        response_object: response_object.map(RawValue::get),
        request_received: text(received),
        stage_time: text(stage_time),
        timestamp: text(timestamp),
        created: text(created),
        decision: text(decision),
        reason: text(reason),
    })
}

fn object_with<'a, T, const N: usize>(
    value: Raw<'a>,
    keys: &[&str; N],
    make: impl FnOnce([Raw<'a>; N]) -> T,
) -> Field<T> {
    match value.map(|v| fields(v.get(), keys)) {
        None => Field::Absent,
        Some(Ok(found)) => Field::Given(make(found)),
        Some(Err(_)) => Field::Wrong,
    }
}

fn user_of(value: Raw<'_>) -> Field<User<'_>> {
    object_with(value, &["username", "uid", "groups"], |[name, uid, groups]| User {
        name: text(name),
        uid: text(uid),
        groups: elements(groups).len(),
    })
}

fn object_of(value: Raw<'_>) -> Field<Object<'_>> {
    object_with(
        value,
        &["apiGroup", "resource", "subresource", "namespace", "name"],
        |[api_group, resource, subresource, namespace, name]| Object {
            api_group: text(api_group),
            resource: text(resource),
            subresource: text(subresource),
            namespace: text(namespace),
            name: text(name),
        },
    )
}

fn text(value: Raw<'_>) -> Field<Text<'_>> {
    value.map_or(Field::Absent, |v| string(v).map_or(Field::Wrong, Field::Given))
}

fn string(value: &RawValue) -> Option<Text<'_>> {
    let quoted = value.get();
    quoted.starts_with('"').then(|| Text { quoted, escaped: memchr::memchr(b'\\', quoted.as_bytes()).is_some() })
}

/// The last address must be a string; the others are anybody's.
fn addresses(value: Raw<'_>) -> Field<Addresses<'_>> {
    let Some(value) = value else { return Field::Absent };
    let Ok(all) = serde_json::from_str::<Vec<&RawValue>>(value.get()) else { return Field::Wrong };
    match all.last().map(|last| string(last)) {
        Some(None) => Field::Wrong,
        last => Field::Given(Addresses { last: last.flatten(), count: all.len() }),
    }
}

fn number(value: Raw<'_>) -> Field<u16> {
    value.map_or(Field::Absent, |v| v.get().parse().map_or(Field::Wrong, Field::Given))
}
