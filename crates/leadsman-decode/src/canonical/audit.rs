use leadsman_domain::{
    Actor, ActorClass, AuditEvent, EventId, Level, ObjectRef, RequestKey, Risk, RiskFlags, Stage, Timestamp, Verb,
};
use serde::{Deserialize, Serialize};

use super::{Kind, Text, Version, text, untrusted};
use crate::DecodeContext;
use crate::accounts::MAX_ACCOUNTS;

/// An audit event. A field that is absent was unknown or empty in the event.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Body<'a> {
    api_version: Version,
    kind: Kind,
    id: EventId,
    request: RequestKey,
    level: Level,
    #[serde(rename = "auditID")]
    audit_id: Text<'a>,
    stage: Stage,
    #[serde(rename = "requestURI")]
    request_uri: Text<'a>,
    /// The canonical one: `exec`, `attach`, `portforward` and `proxy` by subresource, `other` for unknown ones.
    verb: Verb,
    user: User<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    impersonated_user: Option<Impersonated<'a>>,
    /// The last address only.
    #[serde(rename = "sourceIPs", default, skip_serializing_if = "Option::is_none")]
    source_ips: Option<[Text<'a>; 1]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_agent: Option<Text<'a>>,
    object_ref: Object<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    response_status: Option<Status>,
    request_received_timestamp: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    annotations: Option<Annotations>,
    /// Risky settings of the body; absent where no body could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    risks: Option<Vec<Risk>>,
    /// Users that the body binds or that its pods run as.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    accounts: Vec<Text<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct User<'a> {
    username: Text<'a>,
    /// For readers of the file: on reading, the class comes from the configuration again.
    class: ActorClass,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Impersonated<'a> {
    username: Text<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Object<'a> {
    #[serde(default, skip_serializing_if = "str::is_empty")]
    api_group: Text<'a>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    resource: Text<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subresource: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<Text<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {
    code: u16,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Annotations {
    #[serde(rename = "authorization.k8s.io/decision")]
    decision: Decision,
}

/// Of the decisions only this one is kept: an event without it was not refused by the authorizer, as far as is known.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Decision {
    Forbid,
}

impl<'a> From<&'a AuditEvent> for Body<'a> {
    fn from(e: &'a AuditEvent) -> Self {
        Self {
            api_version: Version::V1,
            kind: Kind::AuditEvent,
            id: e.id,
            request: e.request,
            level: e.level,
            audit_id: text(&e.audit_id),
            stage: e.stage,
            request_uri: text(&e.request_uri),
            verb: e.verb,
            user: User { username: (&*e.actor.name).into(), class: e.actor.class },
            impersonated_user: e.actor.impersonated.as_ref().map(|name| Impersonated { username: text(name) }),
            source_ips: e.source_ip.as_ref().map(|ip| [text(ip)]),
            user_agent: e.user_agent.as_ref().map(text),
            object_ref: Object {
                api_group: text(&e.object.group),
                resource: text(&e.object.resource),
                subresource: e.object.subresource.as_ref().map(text),
                namespace: e.object.namespace.as_ref().map(text),
                name: e.object.name.as_ref().map(text),
            },
            response_status: e.code.map(|code| Status { code }),
            request_received_timestamp: e.event_time,
            annotations: e.forbidden.then_some(Annotations { decision: Decision::Forbid }),
            risks: e.risk.is_observed().then(|| e.risk.iter().collect()),
            accounts: e.accounts.iter().map(text).collect(),
        }
    }
}

impl Body<'_> {
    pub(super) fn event(self, ctx: &DecodeContext) -> AuditEvent {
        let risk = match self.risks {
            None => RiskFlags::UNKNOWN,
            Some(risks) => risks.into_iter().fold(RiskFlags::observed(), RiskFlags::with),
        };
        AuditEvent {
            id: self.id,
            request: self.request,
            audit_id: untrusted(self.audit_id),
            stage: self.stage,
            level: self.level,
            event_time: self.request_received_timestamp,
            actor: Actor {
                class: ctx.rules.classify(&self.user.username),
                name: self.user.username.into(),
                impersonated: self.impersonated_user.map(|user| untrusted(user.username)),
            },
            verb: self.verb,
            object: ObjectRef {
                group: untrusted(self.object_ref.api_group),
                resource: untrusted(self.object_ref.resource),
                subresource: self.object_ref.subresource.map(untrusted),
                namespace: self.object_ref.namespace.map(untrusted),
                name: self.object_ref.name.map(untrusted),
            },
            request_uri: untrusted(self.request_uri),
            source_ip: self.source_ips.map(|[ip]| untrusted(ip)),
            user_agent: self.user_agent.map(untrusted),
            code: self.response_status.map(|status| status.code),
            forbidden: self.annotations.is_some(),
            risk,
            accounts: self.accounts.into_iter().take(MAX_ACCOUNTS).map(untrusted).collect(),
        }
    }
}
