use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Actor, EventId, RequestKey, Timestamp, Untrusted};

/// One stage of one API request, canonical: the same for every wire format it may have come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// Content-bound identity of this stage.
    pub id: EventId,
    /// Identity of the request; all its stages share it.
    pub request: RequestKey,
    /// The `auditID` as logged. Clients can choose it.
    pub audit_id: Untrusted,
    /// Which stage was logged.
    pub stage: Stage,
    /// How much the audit policy let through.
    pub level: Level,
    /// When the API server received the request (`requestReceivedTimestamp`).
    pub event_time: Timestamp,
    /// Who asked.
    pub actor: Actor,
    /// What was done; exec, attach, port-forward and proxy by subresource, whatever the HTTP verb was.
    pub verb: Verb,
    /// What it was done to.
    pub object: ObjectRef,
    /// Path and query.
    pub request_uri: Untrusted,
    /// The last entry of `sourceIPs`, the only one a client cannot forge.
    pub source_ip: Option<Untrusted>,
    /// The client's `userAgent`.
    pub user_agent: Option<Untrusted>,
    /// HTTP status code of the response, if logged.
    pub code: Option<u16>,
    /// Whether the authorizer said no (`authorization.k8s.io/decision`).
    pub forbidden: bool,
    /// Risky settings found in the request body.
    pub risk: RiskFlags,
    /// User names that the request body puts to work: subjects of a binding, the account that pods will run as. At
    /// most four; empty where no body could be read.
    pub accounts: Box<[Untrusted]>,
}

impl AuditEvent {
    /// Whether the request succeeded: 2xx, or 101 for an upgraded connection.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        !self.forbidden && self.code.is_some_and(|c| (200..300).contains(&c) || c == 101)
    }

    /// Whether the request was refused: 401, 403 or an authorizer's `forbid`.
    #[must_use]
    pub fn denied(&self) -> bool {
        self.forbidden || matches!(self.code, Some(401 | 403))
    }
}

/// Stage of the request at which the event was written. Source: `audit.k8s.io/v1`, type `Stage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// Before the request is handled.
    RequestReceived,
    /// Response headers sent; only for long-running requests.
    ResponseStarted,
    /// Response body sent.
    ResponseComplete,
    /// The handler panicked.
    Panic,
}

impl Stage {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestReceived => "RequestReceived",
            Self::ResponseStarted => "ResponseStarted",
            Self::ResponseComplete => "ResponseComplete",
            Self::Panic => "Panic",
        }
    }
}

/// How much of a request was logged. Source: `audit.k8s.io/v1`, type `Level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// Nothing; such an event should not exist, but some old servers wrote it.
    None,
    /// Who, what, when; no bodies.
    Metadata,
    /// And the request body.
    Request,
    /// And the response body.
    RequestResponse,
}

impl Level {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::RequestResponse => "RequestResponse",
        }
    }
}

/// What was done. Source: Kubernetes request verbs; the connect-like ones are told by subresource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the variants are the Kubernetes verbs themselves")]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
    /// A command run in a container.
    Exec,
    /// A terminal attached to a container.
    Attach,
    /// A tunnel to a pod.
    PortForward,
    /// A request relayed to a node, pod or service.
    Proxy,
    /// Anything else: verbs of non-resource URLs and of aggregated APIs.
    Other,
}

impl Verb {
    /// The name in JSON and sentences.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Exec => "exec",
            Self::Attach => "attach",
            Self::PortForward => "portforward",
            Self::Proxy => "proxy",
            Self::Other => "other",
        }
    }

    /// Whether the verb only looks.
    #[must_use]
    pub fn is_read(self) -> bool {
        match self {
            Self::Get | Self::List | Self::Watch => true,
            Self::Create
            | Self::Update
            | Self::Patch
            | Self::Delete
            | Self::DeleteCollection
            | Self::Exec
            | Self::Attach
            | Self::PortForward
            | Self::Proxy
            | Self::Other => false,
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a request was about. All parts are client text until the request succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectRef {
    /// API group; empty for the core group and for non-resource URLs.
    pub group: Untrusted,
    /// Plural resource name; empty for non-resource URLs.
    pub resource: Untrusted,
    /// Subresource, if any.
    pub subresource: Option<Untrusted>,
    /// Namespace; `None` for cluster-scoped and for all-namespace requests.
    pub namespace: Option<Untrusted>,
    /// Name; `None` for collections, and for creations whose name the server generates.
    pub name: Option<Untrusted>,
}

impl ObjectRef {
    /// `resource`, `resource/subresource`, `group/resource…`; `nonresource` for plain URLs.
    #[must_use]
    pub fn api(&self) -> String {
        let mut api = String::new();
        write_api(self.group.raw(), self.resource.raw(), self.subresource.as_ref().map(Untrusted::raw), &mut api);
        api
    }

    /// Whether this is the core- or named-group resource `resource` (without subresource).
    #[must_use]
    pub fn is(&self, resource: &str) -> bool {
        self.resource.raw() == resource && self.subresource.is_none()
    }
}

/// Appends [`ObjectRef::api`] of these parts to `to`.
pub fn write_api(group: &str, resource: &str, subresource: Option<&str>, to: &mut String) {
    if resource.is_empty() {
        return to.push_str("nonresource");
    }
    if !group.is_empty() {
        to.push_str(group);
        to.push('/');
    }
    to.push_str(resource);
    if let Some(subresource) = subresource {
        to.push('/');
        to.push_str(subresource);
    }
}

/// A risky setting that a request body asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// A container with `privileged: true`.
    Privileged,
    /// `hostNetwork`, `hostPID` or `hostIPC`.
    HostNamespace,
    /// A hostPath volume on a path that gives the node away.
    SensitiveHostPath,
    /// `SYS_ADMIN`, `NET_ADMIN`, `SYS_PTRACE` or `ALL` added.
    AddedCapability,
    /// A rule with `*` as verb or resource.
    WildcardRule,
    /// A binding to `cluster-admin`.
    ClusterAdminBinding,
    /// A binding of anonymous, of all authenticated users or of a default account.
    BroadSubject,
    /// A rule that grants `escalate`, `bind` or `impersonate`.
    EscalationRule,
}

impl Risk {
    /// Every risk, in declaration order.
    pub const ALL: [Self; 8] = [
        Self::Privileged,
        Self::HostNamespace,
        Self::SensitiveHostPath,
        Self::AddedCapability,
        Self::WildcardRule,
        Self::ClusterAdminBinding,
        Self::BroadSubject,
        Self::EscalationRule,
    ];

    /// The name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::HostNamespace => "host_namespace",
            Self::SensitiveHostPath => "sensitive_host_path",
            Self::AddedCapability => "added_capability",
            Self::WildcardRule => "wildcard_rule",
            Self::ClusterAdminBinding => "cluster_admin_binding",
            Self::BroadSubject => "broad_subject",
            Self::EscalationRule => "escalation_rule",
        }
    }
}

/// Which risks a body held. A body that was not logged is *unknown*, never "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct RiskFlags {
    observed: bool,
    bits: u16,
}

impl RiskFlags {
    /// Nothing is known: the audit level hid the body, or the request has none that matters.
    pub const UNKNOWN: Self = Self { observed: false, bits: 0 };

    /// The body was read; no risk found yet.
    #[must_use]
    pub const fn observed() -> Self {
        Self { observed: true, bits: 0 }
    }

    /// Adds a risk.
    #[must_use]
    pub fn with(mut self, risk: Risk) -> Self {
        self.observed = true;
        self.bits |= 1 << risk as u16;
        self
    }

    /// Whether the body was read.
    #[must_use]
    pub fn is_observed(self) -> bool {
        self.observed
    }

    /// The risks found, in declaration order.
    pub fn iter(self) -> impl Iterator<Item = Risk> {
        Risk::ALL.into_iter().filter(move |r| self.bits & (1 << *r as u16) != 0)
    }

    /// Whether `risk` was found.
    #[must_use]
    pub fn has(self, risk: Risk) -> bool {
        self.bits & (1 << risk as u16) != 0
    }

    /// How many risks were found.
    #[must_use]
    pub fn count(self) -> u32 {
        self.bits.count_ones()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_names_group_resource_and_subresource() {
        let text = |s: &str| Untrusted::new(s);
        let mut o = ObjectRef { resource: text("pods"), subresource: Some(text("exec")), ..ObjectRef::default() };
        assert_eq!(o.api(), "pods/exec");
        o = ObjectRef { group: text("apps"), resource: text("deployments"), ..ObjectRef::default() };
        assert_eq!(o.api(), "apps/deployments");
        assert_eq!(ObjectRef::default().api(), "nonresource");
    }

    #[test]
    fn names_are_the_serialized_ones() {
        for risk in Risk::ALL {
            assert_eq!(serde_json::to_value(risk).unwrap(), risk.as_str());
        }
        for level in [Level::None, Level::Metadata, Level::Request, Level::RequestResponse] {
            assert_eq!(serde_json::to_value(level).unwrap(), level.as_str());
        }
    }

    #[test]
    fn unknown_is_not_the_same_as_none() {
        assert_ne!(RiskFlags::UNKNOWN, RiskFlags::observed());
        let f = RiskFlags::observed().with(Risk::Privileged).with(Risk::EscalationRule);
        assert_eq!(f.iter().collect::<Vec<_>>(), [Risk::Privileged, Risk::EscalationRule]);
        assert_eq!(f.count(), 2);
    }
}
