//! What rules may ask of an event.

use std::fmt::Write;

use leadsman_domain::{AuditEvent, Untrusted, Verb};

/// A field of an audit event, under the name that Sigma's Kubernetes rules use, or one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Verb,
    Resource,
    Subresource,
    ApiGroup,
    Namespace,
    Name,
    Username,
    Impersonated,
    UserAgent,
    SourceIps,
    Code,
    RequestUri,
    Level,
    Stage,
    Action,
    ActorClass,
    Risk,
    Succeeded,
    Denied,
}

impl Field {
    const ALL: [(Self, &'static str); 19] = [
        (Self::Verb, "verb"),
        (Self::Resource, "objectRef.resource"),
        (Self::Subresource, "objectRef.subresource"),
        (Self::ApiGroup, "objectRef.apiGroup"),
        (Self::Namespace, "objectRef.namespace"),
        (Self::Name, "objectRef.name"),
        (Self::Username, "user.username"),
        (Self::Impersonated, "impersonatedUser.username"),
        (Self::UserAgent, "userAgent"),
        (Self::SourceIps, "sourceIPs"),
        (Self::Code, "responseStatus.code"),
        (Self::RequestUri, "requestURI"),
        (Self::Level, "level"),
        (Self::Stage, "stage"),
        (Self::Action, "leadsman.action"),
        (Self::ActorClass, "leadsman.actor_class"),
        (Self::Risk, "leadsman.risk"),
        (Self::Succeeded, "leadsman.succeeded"),
        (Self::Denied, "leadsman.denied"),
    ];

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, n)| *n == name).map(|(f, _)| *f)
    }

    pub(super) fn names() -> String {
        Self::ALL.map(|(_, name)| name).join(", ")
    }

    /// Whether its values depend on the canonical verb alone.
    pub(super) fn is_verb(self) -> bool {
        matches!(self, Self::Verb | Self::Action)
    }

    /// Whether `test` holds for one of the field's values. An empty value counts as absent, as the API server omits
    /// those.
    pub(super) fn any(self, event: &AuditEvent, test: impl Fn(&str) -> bool) -> bool {
        let optional = |text: &Option<Untrusted>| text.as_ref().is_some_and(|t| !t.raw().is_empty() && test(t.raw()));
        let text = |text: &str| !text.is_empty() && test(text);
        match self {
            Self::Verb => verb_names(event.verb).iter().any(|v| test(v)),
            Self::Action => test(event.verb.as_str()),
            Self::Resource => text(event.object.resource.raw()),
            Self::Subresource => optional(&event.object.subresource),
            Self::ApiGroup => text(event.object.group.raw()),
            Self::Namespace => optional(&event.object.namespace),
            Self::Name => optional(&event.object.name),
            Self::Username => text(&event.actor.name),
            Self::Impersonated => optional(&event.actor.impersonated),
            Self::UserAgent => optional(&event.user_agent),
            Self::SourceIps => optional(&event.source_ip),
            Self::RequestUri => text(event.request_uri.raw()),
            Self::Level => test(event.level.as_str()),
            Self::Stage => test(event.stage.as_str()),
            Self::ActorClass => test(event.actor.class.as_str()),
            Self::Risk => event.risk.iter().any(|r| test(r.as_str())),
            Self::Succeeded => test(bool_name(event.succeeded())),
            Self::Denied => test(bool_name(event.denied())),
            Self::Code => event.code.is_some_and(|code| {
                let mut digits = Digits::default();
                // A u16 has at most five digits, so writing cannot fail.
                write!(digits, "{code}").is_ok() && test(digits.as_str())
            }),
        }
    }
}

/// The audit verb. Requests into pods and through the API server's proxy are logged as `get` or `create` depending on
/// the protocol of the client, and rules in the wild name either: both match, and our name as well.
pub(super) fn verb_names(verb: Verb) -> &'static [&'static str] {
    match verb {
        Verb::Get => &["get"],
        Verb::List => &["list"],
        Verb::Watch => &["watch"],
        Verb::Create => &["create"],
        Verb::Update => &["update"],
        Verb::Patch => &["patch"],
        Verb::Delete => &["delete"],
        Verb::DeleteCollection => &["deletecollection"],
        Verb::Exec => &["exec", "get", "create"],
        Verb::Attach => &["attach", "get", "create"],
        Verb::PortForward => &["portforward", "get", "create"],
        Verb::Proxy => &["proxy", "get", "create"],
        Verb::Other => &["other"],
    }
}

fn bool_name(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// A number as text without an allocation.
#[derive(Default)]
struct Digits {
    bytes: [u8; 5],
    len: usize,
}

impl Digits {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl Write for Digits {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
