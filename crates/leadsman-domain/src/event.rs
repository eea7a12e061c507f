use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Actor, EventId, RequestKey, RiskFlags, Timestamp, Untrusted};

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
        for level in [Level::None, Level::Metadata, Level::Request, Level::RequestResponse] {
            assert_eq!(serde_json::to_value(level).unwrap(), level.as_str());
        }
    }
}
