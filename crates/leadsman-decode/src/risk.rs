//! Risky settings in request bodies.
//!
//! Bodies are client text of any shape, and patches hold fragments, so nothing here insists on types: a field
//! of another type is as good as absent.

use std::borrow::Cow;

use leadsman_domain::{ObjectRef, Risk, RiskFlags, Untrusted};
use serde_json::value::RawValue;

use crate::json::{elements, fields_of, text, whole};
use crate::refusal::Refusal;

type Raw<'a> = Option<&'a RawValue>;

const HOST_PATHS: [&str; 10] =
    ["/", "/etc", "/root", "/proc", "/run", "/var", "/var/run", "/var/lib", "/var/lib/kubelet", "/var/lib/docker"];
const HOST_TREES: [&str; 3] = ["/etc/", "/root/", "/var/lib/kubelet/"];
const RUNTIME_DIRS: [&str; 4] = ["/containerd", "/crio", "/k3s", "/k3s/containerd"];
const RUNTIME_SOCKETS: [&str; 6] = [
    "/docker.sock",
    "/dockershim.sock",
    "/cri-dockerd.sock",
    "/containerd/containerd.sock",
    "/crio/crio.sock",
    "/k3s/containerd/containerd.sock",
];

enum Body {
    Pod,
    Role,
    Binding,
}

/// Most accounts that are taken from one body.
pub(crate) const MAX_ACCOUNTS: usize = 4;
/// Longest name that is taken: namespace, account and prefix of a service account, with room for users of a directory.
const MAX_ACCOUNT_NAME: usize = 512;

/// What a request body asks for.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Risky settings; unknown when there is no body that could hold one.
    pub(crate) risk: RiskFlags,
    /// Users that it binds or that its pods run as.
    pub(crate) accounts: Vec<Untrusted>,
}

impl Asked {
    const UNKNOWN: Self = Self { risk: RiskFlags::UNKNOWN, accounts: Vec::new() };
}

/// The risks that the request asks for; unknown when it carries no body that could hold one.
///
/// A body that is looked into is parsed in full first, and refused when it is no JSON.
pub(crate) fn of_request(verb: &str, object: &ObjectRef, body: Option<&str>) -> Result<Asked, Refusal> {
    let Some(body) = body else { return Ok(Asked::UNKNOWN) };
    if !matches!(verb, "create" | "update" | "patch") {
        return Ok(Asked::UNKNOWN);
    }
    let Some(kind) = body_kind(object) else { return Ok(Asked::UNKNOWN) };
    let body = whole(body)?;
    let namespace = object.namespace.as_ref().map_or("", Untrusted::raw);
    let mut found = Found { asked: Asked { risk: RiskFlags::observed(), accounts: Vec::new() }, namespace };
    match body.get().as_bytes().first() {
        Some(b'{') => match kind {
            Body::Pod => found.pod_body(body),
            Body::Role => found.role(body),
            Body::Binding => found.binding(body),
        },
        Some(b'[') => {
            for operation in elements(Some(body)) {
                found.patch_operation(&kind, operation);
            }
        }
        _ => return Ok(Asked::UNKNOWN),
    }
    // The body is logged before the server fills in the account that a pod without one gets.
    if verb == "create" && matches!(kind, Body::Pod) && found.asked.accounts.is_empty() {
        found.service_account(namespace, "default");
    }
    Ok(found.asked)
}

fn body_kind(object: &ObjectRef) -> Option<Body> {
    match (object.group.raw(), object.resource.raw(), object.subresource.as_ref().map(Untrusted::raw)) {
        ("", "pods", None | Some("ephemeralcontainers"))
        | ("", "replicationcontrollers" | "podtemplates", None)
        | ("" | "apps" | "extensions", "deployments" | "daemonsets" | "statefulsets" | "replicasets", None)
        | ("" | "batch", "jobs" | "cronjobs", None) => Some(Body::Pod),
        ("rbac.authorization.k8s.io", "roles" | "clusterroles", None) => Some(Body::Role),
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings", None) => Some(Body::Binding),
        _ => None,
    }
}

struct Found<'n> {
    asked: Asked,
    /// Of the object, and so of the accounts it names without one.
    namespace: &'n str,
}

impl Found<'_> {
    fn add(&mut self, risk: Risk, when: bool) {
        if when {
            self.asked.risk = self.asked.risk.with(risk);
        }
    }

    fn account(&mut self, name: Cow<'_, str>) {
        let known = &mut self.asked.accounts;
        let fits = !name.is_empty() && name.len() <= MAX_ACCOUNT_NAME && known.len() < MAX_ACCOUNTS;
        if fits && known.iter().all(|k| k.raw() != name) {
            known.push(Untrusted::new(name.into_owned()));
        }
    }

    fn service_account(&mut self, namespace: &str, name: &str) {
        if !namespace.is_empty() && !name.is_empty() {
            self.account(format!("system:serviceaccount:{namespace}:{name}").into());
        }
    }

    /// A pod, a workload with a pod template, a cron job or a `PodTemplate`.
    fn pod_body(&mut self, body: &RawValue) {
        let [spec, template] = fields_of(Some(body), &["spec", "template"]);
        let [workload_template, job_template] = fields_of(spec, &["template", "jobTemplate"]);
        let [job] = fields_of(job_template, &["spec"]);
        let [cron_template] = fields_of(job, &["template"]);
        self.pod_spec(spec);
        for template in [template, workload_template, cron_template] {
            let [spec] = fields_of(template, &["spec"]);
            self.pod_spec(spec);
        }
    }

    fn pod_spec(&mut self, spec: Raw<'_>) {
        let [containers, init, ephemeral, volumes, network, pid, ipc, account] = fields_of(
            spec,
            &[
                "containers",
                "initContainers",
                "ephemeralContainers",
                "volumes",
                "hostNetwork",
                "hostPID",
                "hostIPC",
                "serviceAccountName",
            ],
        );
        if let Some(name) = account.and_then(text) {
            self.service_account(self.namespace, &name);
        }
        for container in [containers, init, ephemeral].into_iter().flat_map(elements) {
            self.container(Some(container));
        }
        for volume in elements(volumes) {
            self.volume(Some(volume));
        }
        self.add(Risk::HostNamespace, [network, pid, ipc].into_iter().any(is_true));
    }

    fn container(&mut self, container: Raw<'_>) {
        let [context] = fields_of(container, &["securityContext"]);
        self.security_context(context);
    }

    fn security_context(&mut self, context: Raw<'_>) {
        let [privileged, capabilities] = fields_of(context, &["privileged", "capabilities"]);
        self.add(Risk::Privileged, is_true(privileged));
        let [added] = fields_of(capabilities, &["add"]);
        self.add(Risk::AddedCapability, texts(added).any(|c| is_strong_capability(&c)));
    }

    fn volume(&mut self, volume: Raw<'_>) {
        let [host_path] = fields_of(volume, &["hostPath"]);
        let [path] = fields_of(host_path, &["path"]);
        self.add(Risk::SensitiveHostPath, path.and_then(text).is_some_and(|p| is_sensitive_path(&p)));
    }

    fn role(&mut self, body: &RawValue) {
        let [rules] = fields_of(Some(body), &["rules"]);
        for rule in elements(rules) {
            self.rule(Some(rule));
        }
    }

    fn rule(&mut self, rule: Raw<'_>) {
        let [verbs, resources] = fields_of(rule, &["verbs", "resources"]);
        self.add(Risk::WildcardRule, texts(verbs).chain(texts(resources)).any(|t| t == "*"));
        self.add(Risk::EscalationRule, texts(verbs).any(|v| matches!(&*v, "escalate" | "bind" | "impersonate")));
    }

    fn binding(&mut self, body: &RawValue) {
        let [role, subjects] = fields_of(Some(body), &["roleRef", "subjects"]);
        let [role] = fields_of(role, &["name"]);
        self.add(Risk::ClusterAdminBinding, role.and_then(text).is_some_and(|n| n == "cluster-admin"));
        for subject in elements(subjects) {
            self.subject(Some(subject));
        }
    }

    fn subject(&mut self, subject: Raw<'_>) {
        let [kind, name, namespace] = fields_of(subject, &["kind", "name", "namespace"]);
        let (Some(kind), Some(name)) = (kind.and_then(text), name.and_then(text)) else { return };
        match &*kind {
            "ServiceAccount" => {
                let namespace = namespace.and_then(text).unwrap_or(Cow::Borrowed(self.namespace));
                self.service_account(&namespace, &name);
            }
            "User" => self.account(name.clone()),
            _ => {}
        }
        let broad = match &*kind {
            "ServiceAccount" => name == "default",
            "Group" => matches!(&*name, "system:authenticated" | "system:unauthenticated" | "system:serviceaccounts"),
            "User" => {
                name == "system:anonymous" || name.starts_with("system:serviceaccount:") && name.ends_with(":default")
            }
            _ => false,
        };
        self.add(Risk::BroadSubject, broad);
    }

    /// One operation of a JSON patch (RFC 6902): its path says what the value is a part of.
    fn patch_operation(&mut self, kind: &Body, operation: &RawValue) {
        let [path, value] = fields_of(Some(operation), &["path", "value"]);
        let (Some(path), Some(value)) = (path.and_then(text), value) else { return };
        // `/spec/containers/-` and `/spec/containers` differ by an index only.
        let mut names = path.rsplit('/').filter(|p| *p != "-" && !p.bytes().all(|b| b.is_ascii_digit()));
        let name = names.next().unwrap_or_default();
        let parts = if value.get().starts_with('[') { elements(Some(value)) } else { vec![value] };
        for part in parts {
            match (kind, name) {
                (Body::Pod, "containers" | "initContainers" | "ephemeralContainers") => self.container(Some(part)),
                (Body::Pod, "securityContext") => self.security_context(Some(part)),
                (Body::Pod, "privileged") => self.add(Risk::Privileged, is_true(Some(part))),
                (Body::Pod, "hostNetwork" | "hostPID" | "hostIPC") => {
                    self.add(Risk::HostNamespace, is_true(Some(part)));
                }
                (Body::Pod, "add") => {
                    self.add(Risk::AddedCapability, text(part).is_some_and(|c| is_strong_capability(&c)));
                }
                (Body::Pod, "capabilities") => {
                    let [added] = fields_of(Some(part), &["add"]);
                    self.add(Risk::AddedCapability, texts(added).any(|c| is_strong_capability(&c)));
                }
                (Body::Pod, "volumes") => self.volume(Some(part)),
                (Body::Pod, "hostPath") => {
                    let [path] = fields_of(Some(part), &["path"]);
                    self.add(Risk::SensitiveHostPath, path.and_then(text).is_some_and(|p| is_sensitive_path(&p)));
                }
                (Body::Pod, "path") => {
                    self.add(Risk::SensitiveHostPath, text(part).is_some_and(|p| is_sensitive_path(&p)));
                }
                (Body::Pod, "template") => {
                    let [spec] = fields_of(Some(part), &["spec"]);
                    self.pod_spec(spec);
                }
                (Body::Pod, _) => {
                    self.pod_spec(Some(part));
                    self.pod_body(part);
                }
                (Body::Role, "rules") => self.rule(Some(part)),
                (Body::Role, "verbs" | "resources") => {
                    let item = text(part);
                    self.add(Risk::WildcardRule, item.as_deref() == Some("*"));
                    let escalates = matches!(item.as_deref(), Some("escalate" | "bind" | "impersonate"));
                    self.add(Risk::EscalationRule, name == "verbs" && escalates);
                }
                (Body::Role, _) => self.role(part),
                (Body::Binding, "subjects") => self.subject(Some(part)),
                (Body::Binding, _) => self.binding(part),
            }
        }
    }
}

fn is_true(value: Raw<'_>) -> bool {
    value.is_some_and(|v| v.get() == "true")
}

fn texts(value: Raw<'_>) -> impl Iterator<Item = Cow<'_, str>> {
    elements(value).into_iter().filter_map(text)
}

/// Container runtimes take the names in any case, with and without `CAP_`.
fn is_strong_capability(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    matches!(name.strip_prefix("CAP_").unwrap_or(&name), "SYS_ADMIN" | "NET_ADMIN" | "SYS_PTRACE" | "ALL")
}

/// Whether a hostPath gives the node away: its files, its credentials, or its container runtime.
fn is_sensitive_path(path: &str) -> bool {
    let path = clean(path);
    // `/var/run` is a link to `/run` on every current distribution.
    let runtime = path.strip_prefix("/var").unwrap_or(&path).strip_prefix("/run");
    HOST_PATHS.contains(&path.as_str())
        || HOST_TREES.iter().any(|tree| path.starts_with(tree))
        || runtime.is_some_and(|rest| RUNTIME_DIRS.contains(&rest) || RUNTIME_SOCKETS.contains(&rest))
}

/// `path` without empty, `.` and `..` parts.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
