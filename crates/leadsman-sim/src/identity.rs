//! Who talks to the API server: the authenticated identity, and the client it talks through.

use crate::api::Target;
use crate::dice::{Dice, fixed_uuid};

/// What RBAC gives everybody, as the authorizer's reason names it.
const PUBLIC: &str = "RBAC: allowed by ClusterRoleBinding \"system:public-info-viewer\" of ClusterRole \
    \"system:public-info-viewer\" to Group \"system:unauthenticated\"";
const DISCOVERY: &str = "RBAC: allowed by ClusterRoleBinding \"system:discovery\" of ClusterRole \
    \"system:discovery\" to Group \"system:authenticated\"";
const BASIC: &str = "RBAC: allowed by ClusterRoleBinding \"system:basic-user\" of ClusterRole \
    \"system:basic-user\" to Group \"system:authenticated\"";

/// An authenticated identity and what RBAC gives it.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) username: String,
    pub(crate) uid: String,
    pub(crate) groups: Vec<String>,
    pub(crate) credential: Credential,
    grants: Vec<Grant>,
}

/// How an identity proves itself; decides what the log shows of the credential.
#[derive(Debug, Clone)]
pub(crate) enum Credential {
    /// A bound service-account token.
    Token,
    /// A client certificate with this fingerprint.
    Certificate(String),
    /// A token of the company's identity provider, of which the log shows nothing.
    Oidc,
    /// Nothing: anonymous.
    None,
}

/// A binding, as the authorizer's reason names it. An empty namespace is cluster-wide.
#[derive(Debug, Clone)]
struct Grant {
    namespace: String,
    reason: String,
}

/// The pod a service-account token is bound to.
#[derive(Debug, Clone)]
pub(crate) struct PodRef {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) node: String,
    pub(crate) node_uid: String,
}

/// An identity at an address with a program.
#[derive(Debug, Clone)]
pub(crate) struct Client<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) ip: String,
    pub(crate) agent: String,
    pub(crate) pod: Option<PodRef>,
}

impl Identity {
    pub(crate) fn service_account(seed: u64, namespace: &str, name: &str) -> Self {
        let username = format!("system:serviceaccount:{namespace}:{name}");
        Self {
            uid: fixed_uuid(seed, "account", &username, 0),
            username,
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated".to_owned(),
            ],
            credential: Credential::Token,
            grants: Vec::new(),
        }
    }

    /// A person or machine that the company's identity provider vouches for.
    pub(crate) fn oidc(username: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().chain(&["system:authenticated"]).map(|g| (*g).to_owned()).collect();
        Self { username: username.to_owned(), uid: String::new(), groups, credential: Credential::Oidc, grants: vec![] }
    }

    pub(crate) fn certificate(seed: u64, username: &str, groups: &[&str]) -> Self {
        let fingerprint = Dice::new(seed, "certificate", username, 0).hex(64);
        Self { credential: Credential::Certificate(fingerprint), ..Self::oidc(username, groups) }
    }

    /// Somebody of a real log, of whose credential the log showed nothing.
    pub(crate) fn known(username: &str, uid: &str, groups: &[String]) -> Self {
        let (username, uid, groups) = (username.to_owned(), uid.to_owned(), groups.to_vec());
        Self { username, uid, groups, credential: Credential::Oidc, grants: Vec::new() }
    }

    pub(crate) fn anonymous() -> Self {
        Self {
            username: "system:anonymous".to_owned(),
            uid: String::new(),
            groups: vec!["system:unauthenticated".to_owned()],
            credential: Credential::None,
            grants: Vec::new(),
        }
    }

    /// Allowed without a binding: the node authorizer and `system:masters` give no reason.
    pub(crate) fn unquestioned(self) -> Self {
        self.grant("", String::new())
    }

    /// Bound to `role` in the whole cluster.
    pub(crate) fn cluster_role(self, binding: &str, role: &str) -> Self {
        let subject = self.subject();
        self.grant(
            "",
            format!("RBAC: allowed by ClusterRoleBinding \"{binding}\" of ClusterRole \"{role}\" to {subject}"),
        )
    }

    /// Bound to `role` in one namespace.
    pub(crate) fn role(self, namespace: &str, binding: &str, role: &str) -> Self {
        let kind = if matches!(role, "admin" | "edit" | "view") { "ClusterRole" } else { "Role" };
        let subject = self.subject();
        let reason =
            format!("RBAC: allowed by RoleBinding \"{binding}/{namespace}\" of {kind} \"{role}\" to {subject}");
        self.grant(namespace, reason)
    }

    /// Whether a binding allows it everything its role names in the whole cluster.
    pub(crate) fn is_bound_everywhere(&self) -> bool {
        self.grants.iter().any(|g| g.namespace.is_empty())
    }

    /// The same identity without what it was bound to.
    pub(crate) fn without_grants(mut self) -> Self {
        self.grants.clear();
        self
    }

    fn grant(mut self, namespace: &str, reason: String) -> Self {
        self.grants.push(Grant { namespace: namespace.to_owned(), reason });
        self
    }

    /// The subject that bindings name: people are bound by their first group.
    fn subject(&self) -> String {
        match self.username.strip_prefix("system:serviceaccount:").and_then(|a| a.split_once(':')) {
            Some((namespace, name)) => format!("ServiceAccount \"{name}/{namespace}\""),
            None if self.groups.len() > 1 => format!("Group \"{}\"", self.groups[0]),
            None => format!("User \"{}\"", self.username),
        }
    }

    /// What the authorizer logs as its reason for allowing a request.
    pub(crate) fn reason(&self, target: &Target) -> &str {
        let granted = |namespace: &str| {
            let fits = |g: &&Grant| g.namespace == namespace;
            let found = self.grants.iter().find(fits).or_else(|| self.grants.iter().find(|g| g.namespace.is_empty()));
            found.map(|g| g.reason.as_str())
        };
        match target {
            Target::Path(_) if matches!(self.credential, Credential::None) => PUBLIC,
            Target::Path("/metrics") => granted("").unwrap_or_default(),
            Target::Path(_) => DISCOVERY,
            Target::Object { api, .. } if api.resource.starts_with("selfsubject") => BASIC,
            Target::Object { namespace, .. } => granted(namespace).unwrap_or_default(),
        }
    }
}
