//! What is shown of an audit event to those who only count.

use leadsman_domain::{ActorClass, AuditEvent, Level, Stage, Timestamp, Untrusted, Verb};

use crate::event::Checked;

/// An audit event as it passes by. Fields are those of [`AuditEvent`], before secrets are taken out of texts: whoever
/// keeps one passes it through [`redacted`](crate::redacted) first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the event, or say what it has")]
pub struct EventView<'a> {
    pub event_time: Timestamp,
    pub stage: Stage,
    pub level: Level,
    pub verb: Verb,
    pub class: ActorClass,
    /// The name of the actor.
    pub actor: &'a str,
    pub group: &'a str,
    pub resource: &'a str,
    pub subresource: Option<&'a str>,
    pub has_source_ip: bool,
    pub has_user_agent: bool,
    pub has_code: bool,
    /// Whether a body was logged in which risks could be seen.
    pub has_risks: bool,
}

impl EventView<'_> {
    /// Appends what [`ObjectRef::api`](leadsman_domain::ObjectRef::api) gives.
    pub fn write_api(&self, to: &mut String) {
        leadsman_domain::write_api(self.group, self.resource, self.subresource, to);
    }
}

impl<'a> From<&Checked<'a>> for EventView<'a> {
    fn from(event: &Checked<'a>) -> Self {
        Self {
            event_time: event.event_time,
            stage: event.stage,
            level: event.level,
            verb: event.verb,
            class: event.class,
            actor: event.user,
            group: event.object.group,
            resource: event.object.resource,
            subresource: event.object.subresource,
            has_source_ip: event.source_ip.is_some(),
            has_user_agent: event.user_agent.is_some(),
            has_code: event.code.is_some(),
            has_risks: event.asked.is_some(),
        }
    }
}

impl<'a> From<&'a AuditEvent> for EventView<'a> {
    fn from(event: &'a AuditEvent) -> Self {
        Self {
            event_time: event.event_time,
            stage: event.stage,
            level: event.level,
            verb: event.verb,
            class: event.actor.class,
            actor: &event.actor.name,
            group: event.object.group.raw(),
            resource: event.object.resource.raw(),
            subresource: event.object.subresource.as_ref().map(Untrusted::raw),
            has_source_ip: event.source_ip.is_some(),
            has_user_agent: event.user_agent.is_some(),
            has_code: event.code.is_some(),
            has_risks: event.risk.is_observed(),
        }
    }
}
