//! One audit event in its canonical form.
//!
//! [`check`] borrows everything from the bytes of the event, so that whoever only counts events allocates for
//! none but those with a hostPath or an escape in a body, or `%xx` in a path without an object; [`Checked::owned`] then
//! makes the event that is kept, of texts that [`DecodeMemo`](crate::DecodeMemo) holds where it can.

use std::borrow::Cow;
use std::sync::LazyLock;

use leadsman_domain::{
    Actor, ActorClass, AuditEvent, ContentHasher, EventId, Level, ObjectRef, RejectReason, RequestKey, Stage,
    Timestamp, UNAUTHENTICATED, Untrusted, Verb,
};

use crate::DecodeContext;
use crate::asked::Asked;
use crate::body::{self, Value};
use crate::envelope::{Addresses, Envelope, Field, Room, Text, User};
use crate::memo::Recurring;
use crate::refusal::Refusal;
use crate::uri::Target;
use crate::{accounts, risk, uri};

static REQUEST: LazyLock<ContentHasher> = LazyLock::new(|| ContentHasher::new("leadsman request v2"));

/// Bits of an event's identity that tell its stage; those of its request have zeros there.
const STAGE_BITS: u128 = 0xf;

/// An event that is one, borrowed from where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checked<'a> {
    pub(crate) stage: Stage,
    pub(crate) level: Level,
    pub(crate) event_time: Timestamp,
    pub(crate) verb: Verb,
    pub(crate) class: ActorClass,
    pub(crate) user: &'a str,
    pub(crate) object: Target<'a>,
    pub(crate) source_ip: Option<&'a str>,
    pub(crate) user_agent: Option<&'a str>,
    pub(crate) code: Option<u16>,
    /// A body in which risks may be.
    pub(crate) asked: Option<Asked<'a>>,
    pub(crate) impersonated: Option<&'a str>,
    forbidden: bool,
    logged_verb: &'a str,
    audit_id: &'a str,
    /// Not read yet: it is long, often escaped, and seldom looked at.
    request_uri: Field<Text<'a>>,
}

/// Makes one event of its envelope. Bodies are parsed only where a name or a risk may be in them.
pub(crate) fn check<'a>(ctx: &DecodeContext, e: &Envelope<'a>, room: &mut Room<'a>) -> Result<Checked<'a>, Refusal> {
    let named = is_event(e.kind, room)? | api_version(e.api_version, room)?;
    let (audit_id, stage, verb) =
        (optional(e.audit_id, "auditID", room)?, optional(e.stage, "stage", room)?, optional(e.verb, "verb", room)?);
    // Some shippers strip kind and apiVersion; these three fields together are nothing else.
    if !named && (audit_id.is_none() || stage.is_none() || verb.is_none()) {
        return Err(Refusal::new(
            RejectReason::UnknownShape,
            "neither kind and apiVersion nor auditID, stage and verb",
        ));
    }
    let audit_id = audit_id.ok_or_else(|| Refusal::missing("auditID"))?;
    let stage = stage_of(stage.ok_or_else(|| Refusal::missing("stage"))?)?;
    let logged_verb = verb.ok_or_else(|| Refusal::missing("verb"))?;
    // A request that failed authentication (401) is logged with an empty user: it is somebody, namely nobody known.
    let user = match (e.user, username(e.user, "user", "user.username", room)?) {
        (Field::Absent, _) => return Err(Refusal::missing("user")),
        (Field::Given(_) | Field::Wrong, Some(name)) => name,
        (Field::Given(_) | Field::Wrong, None) => UNAUTHENTICATED,
    };
    let impersonated = username(e.impersonated_user, "impersonatedUser", "impersonatedUser.username", room)?;
    let request_uri = readable(e.request_uri, "requestURI")?;
    let event_time = event_time(e, room)?;
    let object = object_ref(e, logged_verb, room)?;
    let asked = Asked::of_request(logged_verb, &object, e.request_object)?;
    Ok(Checked {
        stage,
        level: level_of(e, room)?,
        event_time,
        verb: canonical_verb(logged_verb, &object),
        source_ip: last_address(e.source_ips, room)?,
        user_agent: optional(e.user_agent, "userAgent", room)?,
        code: code(e.response_status)?,
        forbidden: optional(e.decision, "annotations", room).ok().flatten() == Some("forbid"),
        asked,
        object,
        class: ctx.rules.classify(user),
        user,
        impersonated,
        logged_verb,
        audit_id,
        request_uri,
    })
}

impl<'a> Checked<'a> {
    /// The event, with its identities, of the texts that were recalled for it; `memory` may hold anything.
    pub(crate) fn owned(
        &self,
        ctx: &DecodeContext,
        room: &mut Room<'a>,
        recurring: Recurring,
        memory: &mut Vec<u8>,
    ) -> Result<AuditEvent, Refusal> {
        let Recurring { caller, object, .. } = recurring;
        let request_uri = optional(self.request_uri, "requestURI", room)?.unwrap_or_default();
        let text = |text: &'a str| Some(text.as_bytes());
        let bound = [
            Some(ctx.cluster.as_bytes()),
            text(self.audit_id),
            text(self.user),
            self.impersonated.and_then(text),
            text(self.logged_verb),
            text(request_uri),
            Some(&self.event_time.as_micros().to_le_bytes()),
        ];
        // One hash for both: to hash is a good part of what decoding costs.
        let request = REQUEST.hash(&bound, memory) & !STAGE_BITS;
        let (namespace, created) = (self.object.namespace.unwrap_or_default(), self.verb == Verb::Create);
        Ok(AuditEvent {
            id: EventId::new(request | stage_bits(self.stage)),
            request: RequestKey::new(request),
            stage: self.stage,
            level: self.level,
            event_time: self.event_time,
            verb: self.verb,
            source_ip: caller.source_ip,
            user_agent: caller.user_agent,
            code: self.code,
            forbidden: self.forbidden,
            risk: risk::of_body(self.asked),
            accounts: self.asked.map(|asked| accounts::of_body(asked, namespace, created)).unwrap_or_default(),
            object: ObjectRef { name: self.object.name.map(Untrusted::new), ..object },
            actor: Actor { class: self.class, name: caller.name, impersonated: caller.impersonated },
            audit_id: Untrusted::new(self.audit_id),
            request_uri: Untrusted::new(request_uri),
        })
    }
}

fn stage_bits(stage: Stage) -> u128 {
    match stage {
        Stage::RequestReceived => 1,
        Stage::ResponseStarted => 2,
        Stage::ResponseComplete => 3,
        Stage::Panic => 4,
    }
}

/// The text of an optional field; the empty string counts as absent, as Go's `omitempty` has it.
pub(crate) fn optional<'a>(
    value: Field<Text<'a>>,
    field: &'static str,
    room: &mut Room<'a>,
) -> Result<Option<&'a str>, Refusal> {
    let text = match value {
        Field::Absent => return Ok(None),
        Field::Given(text) => room.text(text),
        Field::Wrong => None,
    };
    let text = text.ok_or_else(|| Refusal::invalid(field, "a string"))?;
    Ok(Some(text).filter(|t| !t.is_empty()))
}

/// The value of an optional field that [`optional`] will read without a refusal.
fn readable<'a>(value: Field<Text<'a>>, field: &'static str) -> Result<Field<Text<'a>>, Refusal> {
    match value {
        Field::Given(text) if text.is_text() => Ok(value),
        Field::Absent => Ok(value),
        Field::Given(_) | Field::Wrong => Err(Refusal::invalid(field, "a string")),
    }
}

/// Whether `version` names an API version that is read here; an absent one names none.
pub(crate) fn api_version<'a>(version: Field<Text<'a>>, room: &mut Room<'a>) -> Result<bool, Refusal> {
    match optional(version, "apiVersion", room)? {
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
fn is_event<'a>(kind: Field<Text<'a>>, room: &mut Room<'a>) -> Result<bool, Refusal> {
    match optional(kind, "kind", room)? {
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
fn level_of<'a>(e: &Envelope<'a>, room: &mut Room<'a>) -> Result<Level, Refusal> {
    Ok(match optional(e.level, "level", room)? {
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
    room: &mut Room<'a>,
) -> Result<Option<&'a str>, Refusal> {
    match user {
        Field::Absent => Ok(None),
        Field::Given(user) => optional(user.name, name_field, room),
        Field::Wrong => Err(Refusal::invalid(field, "an object")),
    }
}

/// When the request was received, in the words of every API version since v1alpha1.
fn event_time<'a>(e: &Envelope<'a>, room: &mut Room<'a>) -> Result<Timestamp, Refusal> {
    for (value, field) in [
        (e.request_received, "requestReceivedTimestamp"),
        (e.timestamp, "timestamp"),
        (e.created, "metadata.creationTimestamp"),
        (e.stage_time, "stageTimestamp"),
    ] {
        if let Some(text) = optional(value, field, room)? {
            let time = Timestamp::parse(text).map_err(|_| Refusal::invalid(field, "an RFC 3339 time"))?;
            // Go writes its zero time, in the year 1, for a time that was never set.
            if time >= Timestamp::default() {
                return Ok(time);
            }
        }
    }
    Err(Refusal::missing("requestReceivedTimestamp"))
}

fn object_ref<'a>(e: &Envelope<'a>, verb: &str, room: &mut Room<'a>) -> Result<Target<'a>, Refusal> {
    let mut found = match e.object_ref {
        Field::Absent => Target::default(),
        Field::Given(object) => Target {
            group: optional(object.api_group, "objectRef.apiGroup", room)?.unwrap_or_default(),
            resource: optional(object.resource, "objectRef.resource", room)?.unwrap_or_default(),
            subresource: optional(object.subresource, "objectRef.subresource", room)?,
            namespace: optional(object.namespace, "objectRef.namespace", room)?,
            name: optional(object.name, "objectRef.name", room)?,
        },
        Field::Wrong => return Err(Refusal::invalid("objectRef", "an object")),
    };
    if found.resource.is_empty() {
        let request_uri = optional(e.request_uri, "requestURI", room)?.unwrap_or_default();
        found = match uri::path(request_uri) {
            Cow::Borrowed(path) => uri::target(path),
            Cow::Owned(path) => room.copy(&path).map(uri::target).unwrap_or_default(),
        };
    }
    // The server generates the name after objectRef is written, so only the bodies have it.
    if verb == "create" && found.name.is_none() && !found.resource.is_empty() {
        found.name = match body_name(e.response_object, room)? {
            None => body_name(e.request_object, room)?,
            given => given,
        };
    }
    Ok(found)
}

fn body_name<'a>(body: Option<&'a str>, room: &mut Room<'a>) -> Result<Option<&'a str>, Refusal> {
    let [metadata] = body::fields(body.map(Value::parse).transpose()?, &["metadata"]);
    let [name] = body::fields(metadata, &["name"]);
    let name = match name.and_then(Value::text) {
        Some(Cow::Borrowed(name)) => Some(name),
        Some(Cow::Owned(name)) => room.copy(&name),
        None => None,
    };
    Ok(name.filter(|name| !name.is_empty()))
}

/// The verb by what happens, not by HTTP method: an exec over WebSocket is logged as `get`, over SPDY as
/// `create` (falcosecurity/plugins#563, kubernetes/kubernetes#136550).
fn canonical_verb(verb: &str, object: &Target<'_>) -> Verb {
    if object.group.is_empty() {
        match (object.resource, object.subresource) {
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

fn last_address<'a>(addresses: Field<Addresses<'a>>, room: &mut Room<'a>) -> Result<Option<&'a str>, Refusal> {
    let last = match addresses {
        Field::Absent => return Ok(None),
        Field::Given(Addresses { last: None, .. }) => return Ok(None),
        Field::Given(Addresses { last: Some(last), .. }) => room.text(last),
        Field::Wrong => None,
    };
    last.map(Some).ok_or_else(|| Refusal::invalid("sourceIPs", "an array of strings"))
}
