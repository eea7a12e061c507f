//! One audit event in its canonical form.

use std::borrow::Cow;

use leadsman_domain::{
    Actor, AuditEvent, ContentHash, EventId, Level, ObjectRef, RejectReason, RequestKey, Stage, Timestamp,
    UNAUTHENTICATED, Untrusted, Verb,
};

use crate::DecodeContext;
use crate::envelope::{Addresses, Envelope, Field, Text, User};
use crate::json::{fields_of, optional_text, whole};
use crate::refusal::Refusal;
use crate::risk::{self, Asked};
use crate::uri;

/// Makes one event of its envelope. Bodies are parsed only where a name or a risk may be in them.
pub(crate) fn canonical(ctx: &DecodeContext, e: &Envelope<'_>) -> Result<AuditEvent, Refusal> {
    let named = is_event(e.kind)? | api_version(e.api_version)?;
    let (audit_id, stage, verb) =
        (optional(e.audit_id, "auditID")?, optional(e.stage, "stage")?, optional(e.verb, "verb")?);
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
    let user = match (e.user, username(e.user, "user", "user.username")?) {
        (Field::Absent, _) => return Err(Refusal::missing("user")),
        (Field::Given(_) | Field::Wrong, Some(name)) => name,
        (Field::Given(_) | Field::Wrong, None) => Cow::Borrowed(UNAUTHENTICATED),
    };
    let impersonated = username(e.impersonated_user, "impersonatedUser", "impersonatedUser.username")?;
    let request_uri = optional(e.request_uri, "requestURI")?.unwrap_or_default();
    let event_time = event_time(e)?;
    let object = object_ref(e, &request_uri, &verb)?;

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
    let Asked { risk, accounts } = risk::of_request(&verb, &object, e.request_object)?;

    Ok(AuditEvent {
        id: EventId::new(bound(id)),
        request: RequestKey::new(bound(request)),
        stage,
        level: level_of(e)?,
        event_time,
        verb: canonical_verb(&verb, &object),
        source_ip: last_address(e.source_ips)?.map(untrusted),
        user_agent: optional(e.user_agent, "userAgent")?.map(untrusted),
        code: code(e.response_status)?,
        forbidden: optional(e.decision, "annotations").ok().flatten().as_deref() == Some("forbid"),
        risk,
        accounts: accounts.into(),
        object,
        actor: Actor { class: ctx.rules.classify(&user), name: user.into(), impersonated: impersonated.map(untrusted) },
        audit_id: untrusted(audit_id),
        request_uri: untrusted(request_uri),
    })
}

/// The text of an optional field; the empty string counts as absent, as Go's `omitempty` has it.
pub(crate) fn optional<'a>(value: Field<Text<'a>>, field: &'static str) -> Result<Option<Cow<'a, str>>, Refusal> {
    let text = match value {
        Field::Absent => return Ok(None),
        Field::Given(text) => text.get(),
        Field::Wrong => None,
    };
    let text = text.ok_or_else(|| Refusal::invalid(field, "a string"))?;
    Ok(Some(text).filter(|t| !t.is_empty()))
}

/// Whether `version` names an API version that is read here; an absent one names none.
pub(crate) fn api_version(version: Field<Text<'_>>) -> Result<bool, Refusal> {
    match optional(version, "apiVersion")?.as_deref() {
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
fn is_event(kind: Field<Text<'_>>) -> Result<bool, Refusal> {
    match optional(kind, "kind")?.as_deref() {
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
fn level_of(e: &Envelope<'_>) -> Result<Level, Refusal> {
    Ok(match optional(e.level, "level")?.as_deref() {
        Some("None") => Level::None,
        Some("Metadata") => Level::Metadata,
        Some("Request") => Level::Request,
        Some("RequestResponse") => Level::RequestResponse,
        Some(_) => return Err(Refusal::invalid("level", "a known level")),
        None if e.response_object.is_some() => Level::RequestResponse,
        None if e.request_object.is_some() => Level::Request,
        None => Level::Metadata,
    })
}

fn username<'a>(
    user: Field<User<'a>>,
    field: &'static str,
    name_field: &'static str,
) -> Result<Option<Cow<'a, str>>, Refusal> {
    match user {
        Field::Absent => Ok(None),
        Field::Given(user) => optional(user.name, name_field),
        Field::Wrong => Err(Refusal::invalid(field, "an object")),
    }
}

/// When the request was received, in the words of every API version since v1alpha1.
fn event_time(e: &Envelope<'_>) -> Result<Timestamp, Refusal> {
    for (value, field) in [
        (e.request_received, "requestReceivedTimestamp"),
        (e.timestamp, "timestamp"),
        (e.created, "metadata.creationTimestamp"),
        (e.stage_time, "stageTimestamp"),
    ] {
        if let Some(text) = optional(value, field)? {
            let time = Timestamp::parse(&text).map_err(|_| Refusal::invalid(field, "an RFC 3339 time"))?;
            // Go writes its zero time, in the year 1, for a time that was never set.
            if time >= Timestamp::default() {
                return Ok(time);
            }
        }
    }
    Err(Refusal::missing("requestReceivedTimestamp"))
}

fn object_ref(e: &Envelope<'_>, request_uri: &str, verb: &str) -> Result<ObjectRef, Refusal> {
    let mut found = match e.object_ref {
        Field::Absent => ObjectRef::default(),
        Field::Given(object) => ObjectRef {
            group: optional(object.api_group, "objectRef.apiGroup")?.map(untrusted).unwrap_or_default(),
            resource: optional(object.resource, "objectRef.resource")?.map(untrusted).unwrap_or_default(),
            subresource: optional(object.subresource, "objectRef.subresource")?.map(untrusted),
            namespace: optional(object.namespace, "objectRef.namespace")?.map(untrusted),
            name: optional(object.name, "objectRef.name")?.map(untrusted),
        },
        Field::Wrong => return Err(Refusal::invalid("objectRef", "an object")),
    };
    if found.resource.raw().is_empty() {
        found = uri::object(request_uri);
    }
    // The server generates the name after objectRef is written, so only the bodies have it.
    if verb == "create" && found.name.is_none() && !found.resource.raw().is_empty() {
        let name = match body_name(e.response_object)? {
            None => body_name(e.request_object)?,
            given => given,
        };
        found.name = name.map(untrusted);
    }
    Ok(found)
}

fn body_name(body: Option<&str>) -> Result<Option<Cow<'_, str>>, Refusal> {
    let [metadata] = fields_of(body.map(whole).transpose()?, &["metadata"]);
    let [name] = fields_of(metadata, &["name"]);
    Ok(optional_text(name, "metadata.name").ok().flatten())
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

fn code(status: Field<Field<u16>>) -> Result<Option<u16>, Refusal> {
    match status {
        Field::Absent | Field::Given(Field::Absent) => Ok(None),
        Field::Given(Field::Given(code)) => Ok(Some(code).filter(|c| *c != 0)),
        Field::Given(Field::Wrong) => Err(Refusal::invalid("responseStatus.code", "a number from 0 to 65535")),
        Field::Wrong => Err(Refusal::invalid("responseStatus", "an object")),
    }
}

fn last_address(addresses: Field<Addresses<'_>>) -> Result<Option<Cow<'_, str>>, Refusal> {
    let last = match addresses {
        Field::Absent => return Ok(None),
        Field::Given(Addresses { last: None, .. }) => return Ok(None),
        Field::Given(Addresses { last: Some(last), .. }) => last.get(),
        Field::Wrong => None,
    };
    last.map(Some).ok_or_else(|| Refusal::invalid("sourceIPs", "an array of strings"))
}

fn untrusted(text: Cow<'_, str>) -> Untrusted {
    Untrusted::new(text.into_owned())
}
