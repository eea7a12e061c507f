use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Untrusted;

/// Who made a request, by its authenticated name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The authenticated user name (`user.username`). Authentication vouches for it; its spelling may still
    /// be odd, so sentences pass it through [`crate::identifier`]. Events of one actor may share it.
    pub name: Arc<str>,
    /// What kind of principal the name belongs to.
    pub class: ActorClass,
    /// Whom the actor acted as, if it impersonated somebody.
    pub impersonated: Option<Untrusted>,
}

/// Name of whoever failed to authenticate: the API server logs such a request with an empty user. It is the name of
/// the group that Kubernetes puts them in, so no account can have it.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";

/// Kind of principal. Decided from the authenticated identity only, never from client text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorClass {
    /// `system:anonymous`, and whoever failed to authenticate.
    Anonymous,
    /// `system:node:*`.
    Node,
    /// Service accounts of kube-system, and declared operators and GitOps accounts.
    SaController,
    /// Any other service account.
    SaWorkload,
    /// Declared continuous-integration principals.
    Ci,
    /// Other `system:*` names.
    System,
    /// The rest, certificate administrators included.
    Human,
}

impl ActorClass {
    /// Every class, in declaration order.
    pub const ALL: [Self; 7] =
        [Self::Anonymous, Self::Node, Self::SaController, Self::SaWorkload, Self::Ci, Self::System, Self::Human];

    /// The name in JSON, configuration and documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Node => "node",
            Self::SaController => "sa_controller",
            Self::SaWorkload => "sa_workload",
            Self::Ci => "ci",
            Self::System => "system",
            Self::Human => "human",
        }
    }
}

impl fmt::Display for ActorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The declared part of actor classification: who is CI, who is a controller outside kube-system.
///
/// An entry is a full user name, or a prefix followed by `*`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActorRules {
    /// Continuous-integration principals.
    #[serde(default)]
    pub ci: Vec<String>,
    /// Operators and GitOps accounts.
    #[serde(default)]
    pub controllers: Vec<String>,
}

/// Namespace and name of a service account; `None` for any other user name.
#[must_use]
pub fn service_account(user: &str) -> Option<(&str, &str)> {
    user.strip_prefix("system:serviceaccount:")?.split_once(':')
}

impl ActorRules {
    /// The class of an authenticated user name.
    #[must_use]
    pub fn classify(&self, name: &str) -> ActorClass {
        let listed = |list: &[String]| list.iter().any(|p| matches(p, name));
        if listed(&self.ci) {
            ActorClass::Ci
        } else if listed(&self.controllers) {
            ActorClass::SaController
        } else if let Some(account) = name.strip_prefix("system:serviceaccount:") {
            if account.starts_with("kube-system:") { ActorClass::SaController } else { ActorClass::SaWorkload }
        } else if name == "system:anonymous" || name == UNAUTHENTICATED {
            ActorClass::Anonymous
        } else if name.starts_with("system:node:") {
            ActorClass::Node
        } else if name.starts_with("system:") {
            ActorClass::System
        } else {
            ActorClass::Human
        }
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_comes_from_the_authenticated_name() {
        let rules = ActorRules {
            ci: vec!["ci:*".into(), "system:serviceaccount:cicd:deployer".into()],
            controllers: vec!["system:serviceaccount:flux-system:*".into()],
        };
        for (name, class) in [
            ("system:anonymous", ActorClass::Anonymous),
            (UNAUTHENTICATED, ActorClass::Anonymous),
            ("system:node:worker-1", ActorClass::Node),
            ("system:serviceaccount:kube-system:replicaset-controller", ActorClass::SaController),
            ("system:serviceaccount:flux-system:helm-controller", ActorClass::SaController),
            ("system:serviceaccount:shop:cart", ActorClass::SaWorkload),
            ("system:serviceaccount:cicd:deployer", ActorClass::Ci),
            ("ci:github", ActorClass::Ci),
            ("system:kube-scheduler", ActorClass::System),
            ("jane@example.com", ActorClass::Human),
        ] {
            assert_eq!(rules.classify(name), class, "{name}");
        }
    }
}
