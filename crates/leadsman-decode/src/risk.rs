//! Risky settings in request bodies.
//!
//! Bodies are client text of any shape, and patches hold fragments, so nothing here insists on types: a field
//! of another type is as good as absent.

use std::borrow::Cow;

use leadsman_domain::{Risk, RiskFlags};

use crate::body::{Value, elements, fields};
use crate::refusal::Refusal;
use crate::uri::Target;

type Found<'a> = Option<Value<'a>>;

const HOST_PATHS: [&str; 10] =
    ["/", "/etc", "/root", "/proc", "/run", "/var", "/var/run", "/var/lib", "/var/lib/kubelet", "/var/lib/docker"];
const HOST_TREES: [&str; 3] = ["/etc/", "/root/", "/var/lib/kubelet/"];
const STRONG_CAPABILITIES: [&str; 4] = ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "ALL"];
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

/// The risks that the request asks for; unknown when it carries no body that could hold one.
///
/// A body that is looked into is parsed in full first, and refused when it is no JSON.
pub(crate) fn of_request(verb: &str, object: &Target<'_>, body: Option<&str>) -> Result<RiskFlags, Refusal> {
    let Some(body) = body else { return Ok(RiskFlags::UNKNOWN) };
    if !matches!(verb, "create" | "update" | "patch") {
        return Ok(RiskFlags::UNKNOWN);
    }
    let Some(kind) = body_kind(object) else { return Ok(RiskFlags::UNKNOWN) };
    let body = Value::parse(body)?;
    let mut found = Risks(RiskFlags::observed());
    if body.is_object() {
        match kind {
            Body::Pod => found.pod_body(body),
            Body::Role => found.role(body),
            Body::Binding => found.binding(body),
        }
    } else if body.is_array() {
        for operation in body.elements() {
            found.patch_operation(&kind, operation);
        }
    } else {
        return Ok(RiskFlags::UNKNOWN);
    }
    Ok(found.0)
}

fn body_kind(object: &Target<'_>) -> Option<Body> {
    match (object.group, object.resource, object.subresource) {
        ("", "pods", None | Some("ephemeralcontainers"))
        | ("", "replicationcontrollers" | "podtemplates", None)
        | ("" | "apps" | "extensions", "deployments" | "daemonsets" | "statefulsets" | "replicasets", None)
        | ("" | "batch", "jobs" | "cronjobs", None) => Some(Body::Pod),
        ("rbac.authorization.k8s.io", "roles" | "clusterroles", None) => Some(Body::Role),
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings", None) => Some(Body::Binding),
        _ => None,
    }
}

struct Risks(RiskFlags);

impl Risks {
    fn add(&mut self, risk: Risk, when: bool) {
        if when {
            self.0 = self.0.with(risk);
        }
    }

    /// A pod, a workload with a pod template, a cron job or a `PodTemplate`.
    fn pod_body(&mut self, body: Value<'_>) {
        let [spec, template] = fields(Some(body), &["spec", "template"]);
        let [workload_template, job_template] = fields(spec, &["template", "jobTemplate"]);
        let [job] = fields(job_template, &["spec"]);
        let [cron_template] = fields(job, &["template"]);
        self.pod_spec(spec);
        for template in [template, workload_template, cron_template] {
            let [spec] = fields(template, &["spec"]);
            self.pod_spec(spec);
        }
    }

    fn pod_spec(&mut self, spec: Found<'_>) {
        let [containers, init, ephemeral, volumes, network, pid, ipc] = fields(
            spec,
            &["containers", "initContainers", "ephemeralContainers", "volumes", "hostNetwork", "hostPID", "hostIPC"],
        );
        for container in [containers, init, ephemeral].into_iter().flat_map(elements) {
            self.container(Some(container));
        }
        for volume in elements(volumes) {
            self.volume(Some(volume));
        }
        self.add(Risk::HostNamespace, [network, pid, ipc].into_iter().any(is_true));
    }

    fn container(&mut self, container: Found<'_>) {
        let [context] = fields(container, &["securityContext"]);
        self.security_context(context);
    }

    fn security_context(&mut self, context: Found<'_>) {
        let [privileged, capabilities] = fields(context, &["privileged", "capabilities"]);
        self.add(Risk::Privileged, is_true(privileged));
        let [added] = fields(capabilities, &["add"]);
        self.add(Risk::AddedCapability, texts(added).any(|c| is_strong_capability(&c)));
    }

    fn volume(&mut self, volume: Found<'_>) {
        let [host_path] = fields(volume, &["hostPath"]);
        let [path] = fields(host_path, &["path"]);
        self.add(Risk::SensitiveHostPath, path.and_then(Value::text).is_some_and(|p| is_sensitive_path(&p)));
    }

    fn role(&mut self, body: Value<'_>) {
        let [rules] = fields(Some(body), &["rules"]);
        for rule in elements(rules) {
            self.rule(Some(rule));
        }
    }

    fn rule(&mut self, rule: Found<'_>) {
        let [verbs, resources] = fields(rule, &["verbs", "resources"]);
        self.add(Risk::WildcardRule, texts(verbs).chain(texts(resources)).any(|t| t == "*"));
        self.add(Risk::EscalationRule, texts(verbs).any(|v| matches!(&*v, "escalate" | "bind" | "impersonate")));
    }

    fn binding(&mut self, body: Value<'_>) {
        let [role, subjects] = fields(Some(body), &["roleRef", "subjects"]);
        let [role] = fields(role, &["name"]);
        self.add(Risk::ClusterAdminBinding, role.and_then(Value::text).is_some_and(|n| n == "cluster-admin"));
        for subject in elements(subjects) {
            self.subject(Some(subject));
        }
    }

    fn subject(&mut self, subject: Found<'_>) {
        let [kind, name] = fields(subject, &["kind", "name"]);
        let (Some(kind), Some(name)) = (kind.and_then(Value::text), name.and_then(Value::text)) else { return };
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
    fn patch_operation(&mut self, kind: &Body, operation: Value<'_>) {
        let [path, value] = fields(Some(operation), &["path", "value"]);
        let (Some(path), Some(value)) = (path.and_then(Value::text), value) else { return };
        // `/spec/containers/-` and `/spec/containers` differ by an index only.
        let mut names = path.rsplit('/').filter(|p| *p != "-" && !p.bytes().all(|b| b.is_ascii_digit()));
        let name = names.next().unwrap_or_default();
        let whole = Some(value).filter(|value| !value.is_array());
        for part in value.elements().chain(whole) {
            match (kind, name) {
                (Body::Pod, "containers" | "initContainers" | "ephemeralContainers") => self.container(Some(part)),
                (Body::Pod, "securityContext") => self.security_context(Some(part)),
                (Body::Pod, "privileged") => self.add(Risk::Privileged, is_true(Some(part))),
                (Body::Pod, "hostNetwork" | "hostPID" | "hostIPC") => {
                    self.add(Risk::HostNamespace, is_true(Some(part)));
                }
                (Body::Pod, "add") => {
                    self.add(Risk::AddedCapability, part.text().is_some_and(|c| is_strong_capability(&c)));
                }
                (Body::Pod, "capabilities") => {
                    let [added] = fields(Some(part), &["add"]);
                    self.add(Risk::AddedCapability, texts(added).any(|c| is_strong_capability(&c)));
                }
                (Body::Pod, "volumes") => self.volume(Some(part)),
                (Body::Pod, "hostPath") => {
                    let [path] = fields(Some(part), &["path"]);
                    self.add(
                        Risk::SensitiveHostPath,
                        path.and_then(Value::text).is_some_and(|p| is_sensitive_path(&p)),
                    );
                }
                (Body::Pod, "path") => {
                    self.add(Risk::SensitiveHostPath, part.text().is_some_and(|p| is_sensitive_path(&p)));
                }
                (Body::Pod, "template") => {
                    let [spec] = fields(Some(part), &["spec"]);
                    self.pod_spec(spec);
                }
                (Body::Pod, _) => {
                    self.pod_spec(Some(part));
                    self.pod_body(part);
                }
                (Body::Role, "rules") => self.rule(Some(part)),
                (Body::Role, "verbs" | "resources") => {
                    let item = part.text();
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

fn is_true(value: Found<'_>) -> bool {
    value.is_some_and(Value::is_true)
}

fn texts(value: Found<'_>) -> impl Iterator<Item = Cow<'_, str>> {
    elements(value).filter_map(Value::text)
}

/// Container runtimes take the names in any case, with and without `CAP_`.
fn is_strong_capability(name: &str) -> bool {
    let name = match name.split_at_checked("CAP_".len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("CAP_") => rest,
        Some(_) | None => name,
    };
    STRONG_CAPABILITIES.iter().any(|strong| name.eq_ignore_ascii_case(strong))
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
