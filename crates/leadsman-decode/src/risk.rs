//! Risky settings in request bodies.

use std::borrow::Cow;

use leadsman_domain::{Risk, RiskFlags};

use crate::asked::{Asked, Kind, Operation, pod_specs};
use crate::body::{Value, elements, fields};

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

/// The risks that the request asks for; unknown when it carries no body that could hold one.
pub(crate) fn of_body(asked: Option<Asked<'_>>) -> RiskFlags {
    let Some(Asked { kind, body }) = asked else { return RiskFlags::UNKNOWN };
    let mut found = Risks(RiskFlags::observed());
    match kind {
        Kind::Pod => found.pod_body(body),
        Kind::Role => found.role(body),
        Kind::Binding => found.binding(body),
    }
    for operation in body.elements().filter_map(Operation::of) {
        found.patch(kind, &operation);
    }
    found.0
}

struct Risks(RiskFlags);

impl Risks {
    fn add(&mut self, risk: Risk, when: bool) {
        if when {
            self.0 = self.0.with(risk);
        }
    }

    fn pod_body(&mut self, body: Value<'_>) {
        pod_specs(body).into_iter().for_each(|spec| self.pod_spec(spec));
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

    fn patch(&mut self, kind: Kind, operation: &Operation<'_>) {
        let name = operation.field();
        for part in operation.parts() {
            match (kind, name) {
                (Kind::Pod, "containers" | "initContainers" | "ephemeralContainers") => self.container(Some(part)),
                (Kind::Pod, "securityContext") => self.security_context(Some(part)),
                (Kind::Pod, "privileged") => self.add(Risk::Privileged, is_true(Some(part))),
                (Kind::Pod, "hostNetwork" | "hostPID" | "hostIPC") => {
                    self.add(Risk::HostNamespace, is_true(Some(part)));
                }
                (Kind::Pod, "add") => {
                    self.add(Risk::AddedCapability, part.text().is_some_and(|c| is_strong_capability(&c)));
                }
                (Kind::Pod, "capabilities") => {
                    let [added] = fields(Some(part), &["add"]);
                    self.add(Risk::AddedCapability, texts(added).any(|c| is_strong_capability(&c)));
                }
                (Kind::Pod, "volumes") => self.volume(Some(part)),
                (Kind::Pod, "hostPath") => {
                    let [path] = fields(Some(part), &["path"]);
                    self.add(
                        Risk::SensitiveHostPath,
                        path.and_then(Value::text).is_some_and(|p| is_sensitive_path(&p)),
                    );
                }
                (Kind::Pod, "path") => {
                    self.add(Risk::SensitiveHostPath, part.text().is_some_and(|p| is_sensitive_path(&p)));
                }
                (Kind::Pod, "template") => {
                    let [spec] = fields(Some(part), &["spec"]);
                    self.pod_spec(spec);
                }
                (Kind::Pod, _) => {
                    self.pod_spec(Some(part));
                    self.pod_body(part);
                }
                (Kind::Role, "rules") => self.rule(Some(part)),
                (Kind::Role, "verbs" | "resources") => {
                    let item = part.text();
                    self.add(Risk::WildcardRule, item.as_deref() == Some("*"));
                    let escalates = matches!(item.as_deref(), Some("escalate" | "bind" | "impersonate"));
                    self.add(Risk::EscalationRule, name == "verbs" && escalates);
                }
                (Kind::Role, _) => self.role(part),
                (Kind::Binding, "subjects") => self.subject(Some(part)),
                (Kind::Binding, _) => self.binding(part),
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
