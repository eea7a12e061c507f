//! One audit event in its canonical form.

use std::borrow::Cow;

use leadsman_domain::{
    Actor, AuditEvent, ContentHash, EventId, Level, ObjectRef, RejectReason, RequestKey, Stage, Timestamp,
    UNAUTHENTICATED, Untrusted, Verb,
};

use crate::envelope::{self, Envelope, Value};
use crate::json::{self, fields_of, optional_text};
use crate::refusal::Refusal;
use crate::{DecodeContext, Limits, risk, uri};

/// Reads one event from JSON of any form.
pub(crate) fn canonical(ctx: &DecodeContext, json: &str) -> Result<AuditEvent, Refusal> {
    of_envelope(ctx, &envelope::read_plain(json)?)
}

/// Reads one event in the API server's own form; `None` when it is another form or no event: [`canonical`] decides.
pub(crate) fn quick(ctx: &DecodeContext, item: &[u8], limits: &Limits) -> Option<AuditEvent> {
    of_envelope(ctx, &Envelope::read(item, limits)?).ok()
}

/// Bodies are looked into only where a risk or a name may be.
fn of_envelope(ctx: &DecodeContext, read: &Envelope<'_>) -> Result<AuditEvent, Refusal> {
    let named = is_event(read.kind)? | api_version(read.api_version)?;
    let (audit_id, stage, verb) =
        (read.audit_id.optional("auditID")?, read.stage.optional("stage")?, read.verb.optional("verb")?);
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
    if !read.user.present("user")? {
        return Err(Refusal::missing("user"));
    }
    let user = read.username.optional("user.username")?.unwrap_or(Cow::Borrowed(UNAUTHENTICATED));
    read.impersonated_user.present("impersonatedUser")?;
    let impersonated = read.impersonated.optional("impersonatedUser.username")?;
    let request_uri = read.request_uri.optional("requestURI")?.unwrap_or_default();
    let event_time = event_time(read)?;
    let object = object_ref(read, &request_uri, &verb)?;

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
    let risk = risk::of_request(&verb, &object, read.request_object)?;

    Ok(AuditEvent {
        id: EventId::new(bound(id)),
        request: RequestKey::new(bound(request)),
        stage,
        level: level_of(read)?,
        event_time,
        verb: canonical_verb(&verb, &object),
        source_ip: read.source_ip.checked("sourceIPs", "an array of strings")?.map(untrusted),
        user_agent: read.user_agent.optional("userAgent")?.map(untrusted),
        code: code(read)?,
        forbidden: read.decision.text().as_deref() == Some("forbid"),
        risk,
        object,
        actor: Actor { class: ctx.rules.classify(&user), name: user.into(), impersonated: impersonated.map(untrusted) },
        audit_id: untrusted(audit_id),
        request_uri: untrusted(request_uri),
    })
}

/// Whether `version` names an API version that is read here; an absent one names none.
pub(crate) fn api_version(version: Value<'_>) -> Result<bool, Refusal> {
    match version.optional("apiVersion")?.as_deref() {
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
fn is_event(kind: Value<'_>) -> Result<bool, Refusal> {
    match kind.optional("kind")?.as_deref() {
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
fn level_of(read: &Envelope<'_>) -> Result<Level, Refusal> {
    Ok(match read.level.optional("level")?.as_deref() {
        Some("None") => Level::None,
        Some("Metadata") => Level::Metadata,
        Some("Request") => Level::Request,
        Some("RequestResponse") => Level::RequestResponse,
        Some(_) => return Err(Refusal::invalid("level", "a known level")),
        None if read.response_object.is_some() => Level::RequestResponse,
        None if read.request_object.is_some() => Level::Request,
        None => Level::Metadata,
    })
}

/// When the request was received, in the words of every API version since v1alpha1.
fn event_time(read: &Envelope<'_>) -> Result<Timestamp, Refusal> {
    for (value, field) in [
        (read.received, "requestReceivedTimestamp"),
        (read.timestamp, "timestamp"),
        (read.created, "metadata.creationTimestamp"),
        (read.stage_time, "stageTimestamp"),
    ] {
        if let Some(text) = value.optional(field)? {
            let time = Timestamp::parse(&text).map_err(|_| Refusal::invalid(field, "an RFC 3339 time"))?;
            // Go writes its zero time, in the year 1, for a time that was never set.
            if time >= Timestamp::default() {
                return Ok(time);
            }
        }
    }
    Err(Refusal::missing("requestReceivedTimestamp"))
}

fn object_ref(read: &Envelope<'_>, request_uri: &str, verb: &str) -> Result<ObjectRef, Refusal> {
    read.object_ref.present("objectRef")?;
    let mut found = ObjectRef {
        group: read.api_group.optional("objectRef.apiGroup")?.map(untrusted).unwrap_or_default(),
        resource: read.resource.optional("objectRef.resource")?.map(untrusted).unwrap_or_default(),
        subresource: read.subresource.optional("objectRef.subresource")?.map(untrusted),
        namespace: read.namespace.optional("objectRef.namespace")?.map(untrusted),
        name: read.name.optional("objectRef.name")?.map(untrusted),
    };
    if found.resource.raw().is_empty() {
        found = uri::object(request_uri);
    }
    // The server generates the name after objectRef is written, so only the bodies have it.
    if verb == "create" && found.name.is_none() && !found.resource.raw().is_empty() {
        found.name = match body_name(read.response_object)? {
            Some(name) => Some(name),
            None => body_name(read.request_object)?,
        };
    }
    Ok(found)
}

fn body_name(body: Option<&str>) -> Result<Option<Untrusted>, Refusal> {
    let [metadata] = fields_of(json::body(body)?, &["metadata"]);
    let [name] = fields_of(metadata, &["name"]);
    Ok(optional_text(name, "metadata.name").ok().flatten().map(untrusted))
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

fn code(read: &Envelope<'_>) -> Result<Option<u16>, Refusal> {
    read.response_status.present("responseStatus")?;
    let number = match read.code {
        Value::Absent => return Ok(None),
        Value::Other(number) => number.parse().ok(),
        Value::Text(_) | Value::Escaped(_) => None,
    };
    let code: u16 = number.ok_or_else(|| Refusal::invalid("responseStatus.code", "a number from 0 to 65535"))?;
    Ok(Some(code).filter(|c| *c != 0))
}

fn untrusted(text: Cow<'_, str>) -> Untrusted {
    Untrusted::new(text.into_owned())
}
