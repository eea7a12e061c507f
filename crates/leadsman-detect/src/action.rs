//! What an event amounts to in security terms: its kind, its ATT&CK techniques and how sensitive it is.

use leadsman_domain::{AuditEvent, FindingKind, Risk, Technique, Verb};

use crate::attack::technique;

/// `(tactic, id)`.
type Entry = (&'static str, &'static str);

const CONTAINER_API: Entry = ("Credential Access", "T1552.007");
const CONTAINER_ADMIN: Entry = ("Execution", "T1609");
const CLUSTER_ROLES: Entry = ("Privilege Escalation", "T1098.006");
const ESCAPE: Entry = ("Privilege Escalation", "T1611");
const DEPLOY: Entry = ("Execution", "T1610");
const ORCHESTRATION_JOB: Entry = ("Persistence", "T1053.007");
const STEAL_TOKEN: Entry = ("Credential Access", "T1528");
const RESOURCE_DISCOVERY: Entry = ("Discovery", "T1613");
const VALID_ACCOUNTS: Entry = ("Initial Access", "T1078");
const IMPERSONATE: Entry = ("Lateral Movement", "T1550.001");
const PROXY: Entry = ("Command and Control", "T1090");
const INDICATOR_REMOVAL: Entry = ("Stealth", "T1070");
const DESTRUCTION: Entry = ("Impact", "T1485");
const HIJACKING: Entry = ("Impact", "T1496");

/// The technique of a workload that suddenly burns resources.
#[must_use]
pub fn resource_hijacking() -> Technique {
    technique(HIJACKING.0, HIJACKING.1)
}

/// The technique of a known account from an unknown place or client.
#[must_use]
pub fn valid_accounts() -> Technique {
    technique(VALID_ACCOUNTS.0, VALID_ACCOUNTS.1)
}

/// What one event amounts to, and the techniques it can be part of.
#[must_use]
pub fn classify(event: &AuditEvent) -> (FindingKind, Vec<Technique>) {
    let (kind, entries) = entries(event);
    (kind, entries.iter().map(|(tactic, id)| technique(tactic, id)).collect())
}

fn entries(event: &AuditEvent) -> (FindingKind, &'static [Entry]) {
    let (group, resource) = (event.object.group.raw(), event.object.resource.raw());
    let subresource = event.object.subresource.as_ref().map(leadsman_domain::Untrusted::raw);
    let writes = matches!(event.verb, Verb::Create | Verb::Update | Verb::Patch);
    let deletes = matches!(event.verb, Verb::Delete | Verb::DeleteCollection);
    if event.actor.impersonated.is_some() {
        return (FindingKind::Impersonation, &[IMPERSONATE]);
    }
    match (event.verb, group, resource, subresource) {
        (Verb::PortForward | Verb::Proxy, ..) => (FindingKind::ExecAttachPortforward, &[PROXY]),
        (Verb::Exec | Verb::Attach, ..) | (_, "", "pods", Some("ephemeralcontainers")) => {
            (FindingKind::ExecAttachPortforward, &[CONTAINER_ADMIN])
        }
        (Verb::Get | Verb::List | Verb::Watch, "", "secrets", _) => (FindingKind::SecretsAccess, &[CONTAINER_API]),
        (_, "", "serviceaccounts", Some("token")) => (FindingKind::TokenRequest, &[STEAL_TOKEN]),
        (_, "rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings", _) if writes => {
            (FindingKind::RbacBindingChange, &[CLUSTER_ROLES])
        }
        (_, "rbac.authorization.k8s.io", "roles" | "clusterroles", _) if writes => {
            (FindingKind::RbacRoleChange, &[CLUSTER_ROLES])
        }
        (_, "authorization.k8s.io", "selfsubjectaccessreviews" | "selfsubjectrulesreviews", _) => {
            (FindingKind::PermissionProbe, &[RESOURCE_DISCOVERY])
        }
        (_, "" | "events.k8s.io", "events", _) if deletes => (FindingKind::MassDelete, &[INDICATOR_REMOVAL]),
        _ if deletes => (FindingKind::MassDelete, &[DESTRUCTION]),
        (_, "batch", "cronjobs" | "jobs", None) if writes => (workload_kind(event), &[ORCHESTRATION_JOB]),
        _ if writes && is_workload(event) => match workload_kind(event) {
            kind @ (FindingKind::WorkloadPrivileged | FindingKind::WorkloadSensitiveMount) => (kind, &[DEPLOY, ESCAPE]),
            kind => (kind, &[DEPLOY]),
        },
        _ if event.denied() => (FindingKind::DeniedBurst, &[RESOURCE_DISCOVERY]),
        _ => (FindingKind::UnusualActivity, &[]),
    }
}

fn workload_kind(event: &AuditEvent) -> FindingKind {
    if event.risk.has(Risk::Privileged) || event.risk.has(Risk::HostNamespace) {
        FindingKind::WorkloadPrivileged
    } else if event.risk.has(Risk::SensitiveHostPath) {
        FindingKind::WorkloadSensitiveMount
    } else {
        FindingKind::WorkloadChange
    }
}

/// Whether an event is a write whose body says how dangerous it is: of pods, of what makes pods, of roles and bindings.
#[must_use]
pub fn has_telling_body(event: &AuditEvent) -> bool {
    let writes = matches!(event.verb, Verb::Create | Verb::Update | Verb::Patch);
    let rbac = event.object.group.raw() == "rbac.authorization.k8s.io"
        && event.object.subresource.is_none()
        && matches!(event.object.resource.raw(), "roles" | "clusterroles" | "rolebindings" | "clusterrolebindings");
    writes && (rbac || is_workload(event))
}

/// Whether the object starts containers.
fn is_workload(event: &AuditEvent) -> bool {
    event.object.subresource.is_none()
        && matches!(
            (event.object.group.raw(), event.object.resource.raw()),
            ("", "pods" | "replicationcontrollers")
                | ("apps", "deployments" | "daemonsets" | "statefulsets" | "replicasets")
                | ("batch", "jobs" | "cronjobs")
        )
}

/// How much an action matters beyond being new, in nats: 3 for reading secrets, running commands, minting
/// tokens and binding roles; 1.5 for starting workloads and deleting secrets; up to 3 more for risky bodies.
///
/// Source: the weights w(action) of the novelty detector; chosen, not fitted.
#[must_use]
pub fn sensitivity(event: &AuditEvent) -> f64 {
    let (kind, _) = entries(event);
    let action = match kind {
        FindingKind::SecretsAccess
        | FindingKind::ExecAttachPortforward
        | FindingKind::RbacBindingChange
        | FindingKind::TokenRequest
        | FindingKind::WorkloadPrivileged
        | FindingKind::WorkloadSensitiveMount
        | FindingKind::Impersonation => 3.0,
        FindingKind::RbacRoleChange | FindingKind::WorkloadChange | FindingKind::PermissionProbe => 1.5,
        FindingKind::MassDelete => f64::from(u8::from(event.object.is("secrets"))) * 1.5,
        FindingKind::DeniedBurst
        | FindingKind::NewSourceOrClient
        | FindingKind::ResourceUsage
        | FindingKind::AuditSilence
        | FindingKind::DataGap
        | FindingKind::DetectorBlinded
        | FindingKind::AuditIdCollision
        | FindingKind::UnusualActivity => 0.0,
    };
    action + f64::from(event.risk.count().min(3))
}

/// User name of the service account whose token was asked for, if that is what the event is.
#[must_use]
pub fn minted_account(event: &AuditEvent) -> Option<String> {
    let minted = event.object.resource.raw() == "serviceaccounts"
        && event.object.subresource.as_ref().is_some_and(|s| s.raw() == "token");
    let (namespace, name) = (event.object.namespace.as_ref()?, event.object.name.as_ref()?);
    minted.then(|| format!("system:serviceaccount:{}:{}", namespace.raw(), name.raw()))
}

/// Whether an event is bookkeeping that leaves scoring: reads and updates of leases and events, health and
/// version probes, node status. Deletes never are.
#[must_use]
pub fn is_routine(event: &AuditEvent) -> bool {
    let reads_or_updates = event.verb.is_read() || matches!(event.verb, Verb::Create | Verb::Update | Verb::Patch);
    let resource = event.object.resource.raw();
    if resource.is_empty() {
        let path = event.request_uri.raw().split('?').next().unwrap_or_default();
        let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        return matches!(first, "livez" | "readyz" | "healthz" | "version" | "metrics");
    }
    let status = event.object.subresource.as_ref().is_some_and(|s| s.raw() == "status");
    reads_or_updates && (matches!(resource, "leases" | "events") || (resource == "nodes" && status))
}
