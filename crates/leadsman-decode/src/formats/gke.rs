//! GKE: the Kubernetes API's entries in Cloud Logging.
//!
//! They are not audit events but `google.cloud.audit.AuditLog`s made of them. What can be, is turned back; what the
//! conversion lost stays unknown.

use std::borrow::Cow;

use leadsman_domain::{Format, SkipReason};
use serde_json::value::RawValue;

use super::fields::number;
use super::rewrite::EventJson;
use super::{Document, Raw, list};
use crate::collect::Collector;
use crate::json::{self, fields, fields_of, optional_text};
use crate::refusal::Refusal;
use crate::uri;

/// A message that Pub/Sub pushes or a subscriber pulled.
pub(crate) fn pub_sub(document: Document<'_>, message: &RawValue, out: &mut Collector) {
    out.format(Format::PubSub);
    let [data] = fields_of(Some(message), &["data"]);
    match optional_text(data, "message.data") {
        Ok(Some(data)) => out.base64(document.line, data.as_bytes(), document.terms),
        Ok(None) => out.skip(SkipReason::Empty),
        Err(refusal) => out.reject(document.line, refusal, document.json.as_bytes()),
    }
}

/// A `LogEntry`.
pub(crate) fn decode(document: Document<'_>, out: &mut Collector) {
    let keys = [
        "protoPayload",
        "jsonPayload",
        "textPayload",
        "insertId",
        "timestamp",
        "receiveTimestamp",
        "labels",
        "operation",
    ];
    let Ok([proto, json_payload, text_payload, insert_id, time, received, labels, operation]) =
        fields(document.json, &keys)
    else {
        return out.reject(document.line, Refusal::invalid("the entry", "an object"), document.json.as_bytes());
    };
    let entry = Entry { insert_id, time: time.or(received), labels, operation };
    match (proto, json_payload.or(text_payload)) {
        (Some(proto), _) => match entry.event(proto) {
            Ok(Some(event)) => event.decode(document, Format::Gke, out),
            Ok(None) => {
                out.format(Format::Gke);
                out.skip(SkipReason::OtherLog);
            }
            Err(refusal) => out.reject(document.line, refusal, document.json.as_bytes()),
        },
        // The log of a container, which may be that of a security tool.
        (None, Some(payload)) => out.unwrap_value(document, Format::Gke, payload),
        (None, None) => out.skip(SkipReason::Empty),
    }
}

/// The fields beside the payload.
struct Entry<'a> {
    insert_id: Raw<'a>,
    time: Raw<'a>,
    labels: Raw<'a>,
    operation: Raw<'a>,
}

impl Entry<'_> {
    /// The audit event that the entry was made of; `None` for the log of another service.
    fn event(&self, proto: &RawValue) -> Result<Option<EventJson>, Refusal> {
        let [service, method, resource, authentication, authorization, metadata, status, request, response] = fields(
            proto.get(),
            &[
                "serviceName",
                "methodName",
                "resourceName",
                "authenticationInfo",
                "authorizationInfo",
                "requestMetadata",
                "status",
                "request",
                "response",
            ],
        )
        .map_err(|_| Refusal::invalid("protoPayload", "an object"))?;
        if optional_text(service, "serviceName")?.as_deref() != Some("k8s.io") {
            return Ok(None);
        }
        let method = super::fields::required(method, "methodName")?;
        let method = Method::parse(&method).ok_or_else(|| Refusal::invalid("methodName", "io.k8s. and a verb"))?;
        let resource = optional_text(resource, "resourceName")?.unwrap_or_default();
        let [principal] = fields_of(authentication, &["principalEmail"]);
        let [ip, agent] = fields_of(metadata, &["callerIp", "callerSuppliedUserAgent"]);
        let [operation_id, first, last] = fields_of(self.operation, &["id", "first", "last"]);
        let is = |flag: Raw<'_>| flag.is_some_and(|f| f.get() == "true");
        // The operation carries the audit id; the insert id only names the log entry.
        let id = optional_text(operation_id, "operation.id")?.or(optional_text(self.insert_id, "insertId")?);
        let mut event = EventJson::new()
            .text("auditID", &id.ok_or_else(|| Refusal::missing("operation.id"))?)
            .text("stage", if is(first) && !is(last) { "ResponseStarted" } else { "ResponseComplete" })
            .text("verb", method.verb)
            .text("requestURI", &method.path(&resource))
            .object("user", |user| user.raw("username", principal))
            .raw("userAgent", agent)
            .raw("requestReceivedTimestamp", self.time)
            .raw("requestObject", request)
            .raw("responseObject", response);
        if let Some(ip) = optional_text(ip, "requestMetadata.callerIp")? {
            // One address, the one the API server saw.
            event = event.raw("sourceIPs", list_of(&ip).as_deref());
        }
        if !method.resource.is_empty() {
            event = event.object("objectRef", |object| method.object(object, &resource));
        }
        if let Some(code) = status.and_then(http_code) {
            event = event.object("responseStatus", |status| status.number("code", code));
        }
        if self.is_forbidden(authorization) {
            event = event.object("annotations", |a| a.text("authorization.k8s.io/decision", "forbid"));
        }
        Ok(Some(event))
    }

    /// The authorizer's own word, else whether every permission asked for was granted.
    fn is_forbidden(&self, authorization: Raw<'_>) -> bool {
        let [decision] = fields_of(self.labels, &["authorization.k8s.io/decision"]);
        if let Some(decision) = decision.and_then(json::text) {
            return decision == "forbid";
        }
        let mut denied = false;
        // JSON of protobuf leaves out `false`, so a permission without `granted` was not granted.
        let walked = authorization.map(|all| {
            list::each(all, "authorizationInfo", |permission| {
                let [granted] = fields_of(Some(permission), &["granted"]);
                denied |= granted.is_none_or(|g| g.get() != "true");
            })
        });
        matches!(walked, Some(Ok(_))) && denied
    }
}

/// `io.k8s.<group>.<version>.<resource>[.<subresource>].<verb>`; `io.k8s.<verb>` for other URLs.
#[derive(Debug, PartialEq, Eq)]
struct Method<'a> {
    resource: &'a str,
    subresource: Option<&'a str>,
    verb: &'a str,
}

impl<'a> Method<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let parts: Vec<&str> = name.split('.').collect();
        let (verb, rest) = parts.split_last().filter(|(verb, _)| !verb.is_empty())?;
        let version = rest.iter().rposition(|part| is_version(part));
        Some(match version.map(|at| rest.get(at + 1..).unwrap_or_default()) {
            Some([resource]) => Self { resource, subresource: None, verb },
            Some([resource, subresource, ..]) => Self { resource, subresource: Some(subresource), verb },
            Some([]) | None => Self { resource: "", subresource: None, verb },
        })
    }

    /// The path of the request; it names the subresource, which some resource names leave out.
    fn path(&self, resource_name: &str) -> String {
        let mut path = path(resource_name).into_owned();
        if let Some(subresource) = self.subresource
            && path.rsplit('/').next() != Some(subresource)
        {
            path.push('/');
            path.push_str(subresource);
        }
        path
    }

    /// The object of the request: what it is by the method, where it is by the resource name.
    fn object(&self, mut object: EventJson, resource_name: &str) -> EventJson {
        let path = path(resource_name);
        let path = uri::path(&path);
        let found = uri::target(&path);
        object = object.text("resource", self.resource);
        if let Some(subresource) = self.subresource {
            object = object.text("subresource", subresource);
        }
        for (key, value) in [("apiGroup", Some(found.group)), ("namespace", found.namespace), ("name", found.name)] {
            if let Some(value) = value.filter(|v| !v.is_empty()) {
                object = object.text(key, value);
            }
        }
        object
    }
}

fn is_version(part: &str) -> bool {
    let rest = part.strip_prefix('v').map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    match (part, rest) {
        ("v", _) | (_, None) => false,
        (_, Some("")) => true,
        (_, Some(rest)) => ["alpha", "beta"]
            .iter()
            .filter_map(|word| rest.strip_prefix(word))
            .any(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())),
    }
}

/// The request path, put together from `core/v1/namespaces/shop/pods/cart-0`; the query is lost.
fn path(resource_name: &str) -> Cow<'_, str> {
    match resource_name.split_once('/') {
        Some(("core", rest)) => format!("/api/{rest}").into(),
        Some((_, rest)) if rest.split('/').next().is_some_and(is_version) => format!("/apis/{resource_name}").into(),
        _ if resource_name.is_empty() => Cow::Borrowed(""),
        _ => format!("/{resource_name}").into(),
    }
}

fn list_of(text: &str) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(&[text]).ok()
}

/// The HTTP status of a `google.rpc.Status`; absent in JSON, its code is 0.
fn http_code(status: &RawValue) -> Option<u16> {
    let [code] = fields(status.get(), &["code"]).ok()?;
    let code: i64 = match code {
        None => 0,
        Some(_) => number(code)?,
    };
    // Source: google/rpc/code.proto, which names the HTTP status of each.
    Some(match code {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        2 | 13 | 15 => 500,
        14 => 503,
        16 => 401,
        _ => return None,
    })
}
