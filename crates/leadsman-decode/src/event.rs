//! One audit event in its canonical form.

use std::borrow::Cow;

use leadsman_domain::{
    Actor, AuditEvent, ContentHash, EventId, Level, ObjectRef, RejectReason, RequestKey, Stage, Timestamp,
    UNAUTHENTICATED, Untrusted, Verb,
};
use serde_json::value::RawValue;

use crate::DecodeContext;
use crate::json::{fields, fields_of, last_text, optional_text};
use crate::refusal::Refusal;
use crate::{risk, uri};

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

/// Reads one `Event`; bodies are skipped in place and looked into only where a risk may be.
pub(crate) fn canonical(ctx: &DecodeContext, json: &str) -> Result<AuditEvent, Refusal> {
    let [
        kind,
        version,
        audit_id,
        stage,
        level,
        verb,
        user,
        impersonated,
        ips,
        agent,
        request_uri,
        object,
        status,
        request_body,
        response_body,
        annotations,
        received,
        timestamp,
        metadata,
        stage_time,
    ] = fields(json, &KEYS).map_err(|e| Refusal::json(&e, "not a JSON object"))?;

    let named = is_event(kind)? | api_version(version)?;
    let (audit_id, stage, verb) =
        (optional_text(audit_id, "auditID")?, optional_text(stage, "stage")?, optional_text(verb, "verb")?);
    // Some shippers strip kind and apiVersion; these three fields together are nothing else.
    if !named && (audit_id.is_none() || stage.is_none() || verb.is_none()) {
        return Err(Refusal::new(
            RejectReason::UnknownShape,
            "neither kind and apiVersion nor auditID, stage and verb",
        ));
    }
    let audit_id = audit_id.ok_or_else(|| Refusal::missing("auditID"))?;
    let stage = stage_of(&stage.ok_or_else(|| Refusal::missing("stage"))?)?;
    let verb = verb.ok_or_else(|| Refusal::missing("verb"))?;
    // A request that failed authentication (401) is logged with an empty user: it is somebody, namely nobody known.
    let user = match (user, username(user, "user", "user.username")?) {
        (None, _) => return Err(Refusal::missing("user")),
        (Some(_), Some(name)) if !name.is_empty() => name,
        (Some(_), _) => Cow::Borrowed(UNAUTHENTICATED),
    };
    let impersonated = username(impersonated, "impersonatedUser", "impersonatedUser.username")?;
    let request_uri = optional_text(request_uri, "requestURI")?.unwrap_or_default();
    let event_time = event_time(received, timestamp, metadata, stage_time)?;
    let object = object_ref(object, &request_uri, &verb, request_body, response_body)?;

    let bound = |hash: ContentHash| {
        hash.field(&*user)
            .optional(impersonated.as_deref())
            .field(&*verb)
            .field(&*request_uri)
            .field(event_time.as_micros().to_le_bytes())
            .finish()
    };
    let id = ContentHash::new("leadsman event v1").field(&ctx.cluster).field(&*audit_id).field(stage.as_str());
    let request = ContentHash::new("leadsman request v1").field(&ctx.cluster).field(&*audit_id);
    let risk = risk::of_request(&verb, &object, request_body);

    Ok(AuditEvent {
        id: EventId::new(bound(id)),
        request: RequestKey::new(bound(request)),
        stage,
        level: level_of(level, request_body, response_body)?,
        event_time,
        verb: canonical_verb(&verb, &object),
        source_ip: last_text(ips, "sourceIPs")?.map(untrusted),
        user_agent: optional_text(agent, "userAgent")?.map(untrusted),
        code: code(status)?,
        forbidden: is_forbidden(annotations),
        risk,
        object,
        actor: Actor { class: ctx.rules.classify(&user), name: user.into(), impersonated: impersonated.map(untrusted) },
        audit_id: untrusted(audit_id),
        request_uri: untrusted(request_uri),
    })
}

/// Whether `version` names an API version that is read here; an absent one names none.
pub(crate) fn api_version(version: Raw<'_>) -> Result<bool, Refusal> {
    match optional_text(version, "apiVersion")?.as_deref() {
        None => Ok(false),
        Some("audit.k8s.io/v1" | "audit.k8s.io/v1beta1" | "audit.k8s.io/v1alpha1") => Ok(true),
        Some(other) if other.starts_with("audit.k8s.io/") => Err(Refusal::new(
            RejectReason::UnknownApiVersion,
            "apiVersion of audit.k8s.io is none of v1, v1beta1, v1alpha1",
        )),
        Some(_) => Err(Refusal::new(RejectReason::UnknownShape, "apiVersion is not of audit.k8s.io")),
    }
}

/// `kind: Event` alone says nothing: the core API has one too.
fn is_event(kind: Raw<'_>) -> Result<bool, Refusal> {
    match optional_text(kind, "kind")?.as_deref() {
        None | Some("Event") => Ok(false),
        Some("EventList") => Err(Refusal::missing("items")),
        Some(_) => Err(Refusal::new(RejectReason::UnknownShape, "kind is neither Event nor EventList")),
    }
}

fn stage_of(stage: &str) -> Result<Stage, Refusal> {
    Ok(match stage {
        "RequestReceived" => Stage::RequestReceived,
        "ResponseStarted" => Stage::ResponseStarted,
        "ResponseComplete" => Stage::ResponseComplete,
        "Panic" => Stage::Panic,
        _ => return Err(Refusal::invalid("stage", "a known stage")),
    })
}

/// The level as logged; where it was stripped, the least that explains the bodies.
fn level_of(level: Raw<'_>, request: Raw<'_>, response: Raw<'_>) -> Result<Level, Refusal> {
    Ok(match optional_text(level, "level")?.as_deref() {
        Some("None") => Level::None,
        Some("Metadata") => Level::Metadata,
        Some("Request") => Level::Request,
        Some("RequestResponse") => Level::RequestResponse,
        Some(_) => return Err(Refusal::invalid("level", "a known level")),
        None if response.is_some() => Level::RequestResponse,
        None if request.is_some() => Level::Request,
        None => Level::Metadata,
    })
}

fn username<'a>(user: Raw<'a>, field: &'static str, name_field: &'static str) -> Result<Option<Cow<'a, str>>, Refusal> {
    let Some(user) = user else { return Ok(None) };
    let [name] = fields(user.get(), &["username"]).map_err(|_| Refusal::invalid(field, "an object"))?;
    optional_text(name, name_field)
}

/// When the request was received, in the words of every API version since v1alpha1.
fn event_time(received: Raw<'_>, timestamp: Raw<'_>, metadata: Raw<'_>, stage: Raw<'_>) -> Result<Timestamp, Refusal> {
    let [created] = fields_of(metadata, &["creationTimestamp"]);
    for (value, field) in [
        (received, "requestReceivedTimestamp"),
        (timestamp, "timestamp"),
        (created, "metadata.creationTimestamp"),
        (stage, "stageTimestamp"),
    ] {
        if let Some(text) = optional_text(value, field)? {
            let time = Timestamp::parse(&text).map_err(|_| Refusal::invalid(field, "an RFC 3339 time"))?;
            // Go writes its zero time, in the year 1, for a time that was never set.
            if time >= Timestamp::default() {
                return Ok(time);
            }
        }
    }
    Err(Refusal::missing("requestReceivedTimestamp"))
}

fn object_ref(
    object: Raw<'_>,
    request_uri: &str,
    verb: &str,
    request_body: Raw<'_>,
    response_body: Raw<'_>,
) -> Result<ObjectRef, Refusal> {
    let mut found = match object {
        None => ObjectRef::default(),
        Some(object) => {
            let [group, resource, subresource, namespace, name] =
                fields(object.get(), &["apiGroup", "resource", "subresource", "namespace", "name"])
                    .map_err(|_| Refusal::invalid("objectRef", "an object"))?;
            ObjectRef {
                group: optional_text(group, "objectRef.apiGroup")?.map(untrusted).unwrap_or_default(),
                resource: optional_text(resource, "objectRef.resource")?.map(untrusted).unwrap_or_default(),
                subresource: optional_text(subresource, "objectRef.subresource")?.map(untrusted),
                namespace: optional_text(namespace, "objectRef.namespace")?.map(untrusted),
                name: optional_text(name, "objectRef.name")?.map(untrusted),
            }
        }
    };
    if found.resource.raw().is_empty() {
        found = uri::object(request_uri);
    }
    // The server generates the name after objectRef is written, so only the bodies have it.
    if verb == "create" && found.name.is_none() && !found.resource.raw().is_empty() {
        found.name = body_name(response_body).or_else(|| body_name(request_body)).map(untrusted);
    }
    Ok(found)
}

fn body_name(body: Raw<'_>) -> Option<Cow<'_, str>> {
    let [metadata] = fields_of(body, &["metadata"]);
    let [name] = fields_of(metadata, &["name"]);
    optional_text(name, "metadata.name").ok().flatten()
}

/// The verb by what happens, not by HTTP method: an exec over WebSocket is logged as `get`, over SPDY as
/// `create` (falcosecurity/plugins#563, kubernetes/kubernetes#136550).
fn canonical_verb(verb: &str, object: &ObjectRef) -> Verb {
    let subresource = object.subresource.as_ref().map(Untrusted::raw);
    if object.group.raw().is_empty() {
        match (object.resource.raw(), subresource) {
            ("pods", Some("exec")) => return Verb::Exec,
            ("pods", Some("attach")) => return Verb::Attach,
            ("pods", Some("portforward")) => return Verb::PortForward,
            ("pods" | "services" | "nodes", Some("proxy")) => return Verb::Proxy,
            _ => {}
        }
    }
    match verb {
        "get" => Verb::Get,
        "list" => Verb::List,
        "watch" => Verb::Watch,
        "create" => Verb::Create,
        "update" => Verb::Update,
        "patch" => Verb::Patch,
        "delete" => Verb::Delete,
        "deletecollection" => Verb::DeleteCollection,
        _ => Verb::Other,
    }
}

fn code(status: Raw<'_>) -> Result<Option<u16>, Refusal> {
    let Some(status) = status else { return Ok(None) };
    let [code] = fields(status.get(), &["code"]).map_err(|_| Refusal::invalid("responseStatus", "an object"))?;
    let Some(code) = code else { return Ok(None) };
    let code: u16 =
        code.get().parse().map_err(|_| Refusal::invalid("responseStatus.code", "a number from 0 to 65535"))?;
    Ok(Some(code).filter(|c| *c != 0))
}

fn is_forbidden(annotations: Raw<'_>) -> bool {
    let [decision] = fields_of(annotations, &["authorization.k8s.io/decision"]);
    optional_text(decision, "annotations").ok().flatten().as_deref() == Some("forbid")
}

fn untrusted(text: Cow<'_, str>) -> Untrusted {
    Untrusted::new(text.into_owned())
}
