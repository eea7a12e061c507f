//! What a pod asks for beyond what an application needs, by the
//! [Pod Security Standards](https://kubernetes.io/docs/concepts/security/pod-security-standards/).
//!
//! What the standards only want to be set (a dropped capability, a seccomp profile) is no risk here: nearly every pod
//! leaves it out. Annotations, which older versions knew AppArmor and seccomp by, are not read, nor are hosts of probes.

use leadsman_domain::Risk;

use super::{Found, Risks, is_true, texts};
use crate::asked::pod_specs;
use crate::body::{Value, elements, fields};

/// Directories of a node that are sensitive by themselves.
const HOST_PATHS: [&str; 7] = ["/", "/proc", "/run", "/var", "/var/run", "/var/lib", "/var/lib/docker"];
/// Directories of a node that are, with everything in them.
const HOST_TREES: [&str; 3] = ["/etc", "/root", "/var/lib/kubelet"];
const RUNTIME_DIRS: [&str; 4] = ["/containerd", "/crio", "/k3s", "/k3s/containerd"];
const RUNTIME_SOCKETS: [&str; 6] = [
    "/docker.sock",
    "/dockershim.sock",
    "/cri-dockerd.sock",
    "/containerd/containerd.sock",
    "/crio/crio.sock",
    "/k3s/containerd/containerd.sock",
];
const STRONG_CAPABILITIES: [&str; 4] = ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "ALL"];
const BASELINE_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
const BASELINE_SELINUX_TYPES: [&str; 5] =
    ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
const SAFE_SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];
/// Volumes that the Restricted level forbids, besides hostPath: their drivers run on the node, or they name a disk or a
/// server themselves instead of claiming one.
const UNRESTRICTED_VOLUMES: [&str; 20] = [
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "glusterfs",
    "iscsi",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
];

/// What a security context says of the user; `None` leaves it to the pod's context, or to the image.
#[derive(Debug, Clone, Copy)]
struct User {
    is_root: Option<bool>,
    must_not_be_root: Option<bool>,
}

impl User {
    /// The context of a container goes before that of its pod.
    fn or(self, pod: Self) -> Self {
        Self { is_root: self.is_root.or(pod.is_root), must_not_be_root: self.must_not_be_root.or(pod.must_not_be_root) }
    }

    /// Whether root was asked for, rather than left to the image.
    fn asks_for_root(self) -> bool {
        self.is_root.unwrap_or(self.must_not_be_root == Some(false))
    }
}

impl Risks {
    pub(super) fn pod_body(&mut self, body: Value<'_>) {
        pod_specs(body).into_iter().for_each(|spec| self.pod_spec(spec));
    }

    fn pod_spec(&mut self, spec: Found<'_>) {
        let [containers, init, ephemeral, volumes, context, network, pid, ipc] = fields(
            spec,
            &[
                "containers",
                "initContainers",
                "ephemeralContainers",
                "volumes",
                "securityContext",
                "hostNetwork",
                "hostPID",
                "hostIPC",
            ],
        );
        self.add(Risk::HostNamespace, [network, pid, ipc].into_iter().any(is_true));
        let pod = self.security_context(context);
        let mut alone = true;
        for container in [containers, init, ephemeral].into_iter().flat_map(elements) {
            let [context, ports] = container.fields(&["securityContext", "ports"]);
            let user = self.security_context(context).or(pod);
            self.add(Risk::BelowRestricted, user.asks_for_root());
            // In the node's network every port is one of the node, and the API server fills it in.
            self.add(Risk::HostPort, !is_true(network) && elements(ports).any(is_host_port));
            alone = false;
        }
        // The part of a patch may name no container.
        self.add(Risk::BelowRestricted, alone && pod.asks_for_root());
        elements(volumes).for_each(|volume| self.volume(volume));
    }

    /// The context of a pod or a container. Each has fields that the other has not, under names of their own.
    fn security_context(&mut self, context: Found<'_>) -> User {
        let [privileged, capabilities, escalation, windows, user, non_root] = fields(
            context,
            &["privileged", "capabilities", "allowPrivilegeEscalation", "windowsOptions", "runAsUser", "runAsNonRoot"],
        );
        let [host_process] = fields(windows, &["hostProcess"]);
        self.add(Risk::Privileged, is_true(privileged) || is_true(host_process));
        self.add(Risk::BelowRestricted, is_true(escalation));
        self.add(Risk::Unconfined, is_unconfined(context));
        let [added] = fields(capabilities, &["add"]);
        texts(added).for_each(|capability| self.capability(&capability));
        User { is_root: user.map(|user| user.is("0")), must_not_be_root: non_root.map(|non_root| non_root.is("true")) }
    }

    /// Container runtimes take the names in any case, with and without `CAP_`.
    fn capability(&mut self, name: &str) {
        let name = match name.split_at_checked("CAP_".len()) {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case("CAP_") => rest,
            Some(_) | None => name,
        };
        let is_in = |list: &[&str]| list.iter().any(|known| name.eq_ignore_ascii_case(known));
        let strong = is_in(&STRONG_CAPABILITIES);
        self.add(Risk::AddedCapability, strong);
        self.add(Risk::OtherCapability, !strong && !is_in(&BASELINE_CAPABILITIES));
    }

    fn volume(&mut self, volume: Value<'_>) {
        let [host_path] = volume.fields(&["hostPath"]);
        let [path] = fields(host_path, &["path"]);
        let sensitive = path.and_then(Value::text).is_some_and(|p| is_sensitive_path(&p));
        self.add(Risk::SensitiveHostPath, sensitive);
        self.add(Risk::HostPath, host_path.is_some_and(Value::is_object) && !sensitive);
        self.add(Risk::BelowRestricted, volume.fields(&UNRESTRICTED_VOLUMES).iter().any(Option::is_some));
    }
}

/// Whether a context takes away what keeps a container apart from its node.
fn is_unconfined(context: Found<'_>) -> bool {
    let [seccomp, app_armor, selinux, proc_mount, sysctls] =
        fields(context, &["seccompProfile", "appArmorProfile", "seLinuxOptions", "procMount", "sysctls"]);
    let off = |profile| {
        let [kind] = fields(profile, &["type"]);
        kind.and_then(Value::text).is_some_and(|kind| kind == "Unconfined")
    };
    let [kind, user, role] = fields(selinux, &["type", "user", "role"]);
    let named = |label: Found<'_>| label.and_then(Value::text).is_some_and(|label| !label.is_empty());
    off(seccomp)
        || off(app_armor)
        || kind.and_then(Value::text).is_some_and(|kind| !BASELINE_SELINUX_TYPES.contains(&&*kind))
        || named(user)
        || named(role)
        || proc_mount.and_then(Value::text).is_some_and(|kind| !matches!(&*kind, "" | "Default"))
        || elements(sysctls).any(is_unsafe_sysctl)
}

fn is_unsafe_sysctl(sysctl: Value<'_>) -> bool {
    let [name] = sysctl.fields(&["name"]);
    // Names may be given with slashes, as paths below `/proc/sys`.
    name.and_then(Value::text).is_some_and(|name| !SAFE_SYSCTLS.contains(&name.replace('/', ".").as_str()))
}

fn is_host_port(port: Value<'_>) -> bool {
    let [host_port] = port.fields(&["hostPort"]);
    host_port.is_some_and(|port| !port.is("0"))
}

/// Whether a hostPath gives the node away: its files, its credentials, or its container runtime.
fn is_sensitive_path(path: &str) -> bool {
    let path = clean(path);
    // `/var/run` is a link to `/run` on every current distribution.
    let runtime = path.strip_prefix("/var").unwrap_or(&path).strip_prefix("/run");
    HOST_PATHS.contains(&path.as_str())
        || HOST_TREES
            .iter()
            .any(|tree| path.strip_prefix(tree).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
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
