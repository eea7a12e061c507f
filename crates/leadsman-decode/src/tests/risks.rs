//! Risks in bodies: found wherever a pod spec or a rule can stand, unknown where no body was logged.

use leadsman_domain::{Risk, RiskFlags};

use super::{one, with};

pub(super) const OBJECT: &str =
    r#""objectRef":{"resource":"secrets","namespace":"shop","name":"db","apiVersion":"v1"}"#;
pub(super) const RBAC: &str = "rbac.authorization.k8s.io";

fn risk(verb: &str, group: &str, resource: &str, body: &str) -> RiskFlags {
    let object = format!(r#""objectRef":{{"apiGroup":"{group}","resource":"{resource}","name":"x"}}{body}"#);
    one(with(OBJECT, &object).replacen(r#""verb":"get""#, &format!(r#""verb":"{verb}""#), 1)).risk
}

fn found(group: &str, resource: &str, body: &str) -> Vec<Risk> {
    let flags = risk("create", group, resource, &format!(r#","requestObject":{body}"#));
    assert!(flags.is_observed(), "{body}");
    flags.iter().collect()
}

#[test]
fn pod_risks() {
    for (spec, expected) in [
        (r#"{"containers":[{"securityContext":{"privileged":true}}]}"#, vec![Risk::Privileged]),
        (r#"{"initContainers":[{},{"securityContext":{"privileged":true}}]}"#, vec![Risk::Privileged]),
        (r#"{"ephemeralContainers":[{"securityContext":{"privileged":true}}]}"#, vec![Risk::Privileged]),
        (r#"{"containers":[{"securityContext":{"privileged":false}}]}"#, vec![]),
        (r#"{"containers":[{"securityContext":{"privileged":"true"}}],"hostPID":true}"#, vec![Risk::HostNamespace]),
        (r#"{"hostNetwork":true}"#, vec![Risk::HostNamespace]),
        (r#"{"hostIPC":true}"#, vec![Risk::HostNamespace]),
        (
            r#"{"containers":[{"securityContext":{"capabilities":{"add":["CHOWN","SYS_PTRACE"]}}}]}"#,
            vec![Risk::AddedCapability],
        ),
        (
            r#"{"containers":[{"securityContext":{"capabilities":{"add":["CAP_SYS_ADMIN"]}}}]}"#,
            vec![Risk::AddedCapability],
        ),
        (r#"{"containers":[{"securityContext":{"capabilities":{"add":["all"]}}}]}"#, vec![Risk::AddedCapability]),
        (r#"{"containers":[{"securityContext":{"capabilities":{"drop":["ALL"]}}}]}"#, vec![]),
        (r#"{"volumes":[{"hostPath":{"path":"/var/log"}}],"hostPID":false}"#, vec![Risk::HostPath]),
        (r#"{"containers":[{"ports":[{"containerPort":80},{"hostPort":80}]}]}"#, vec![Risk::HostPort]),
        (r#"{"securityContext":{"seccompProfile":{"type":"Unconfined"}}}"#, vec![Risk::Unconfined]),
        (r#"{"securityContext":{"runAsUser":0}}"#, vec![Risk::BelowRestricted]),
        (r#"{"containers":7,"volumes":{},"hostPID":"x"}"#, vec![]),
        ("null", vec![]),
    ] {
        for (group, resource, body) in [
            ("", "pods", format!(r#"{{"spec":{spec}}}"#)),
            ("apps", "deployments", format!(r#"{{"spec":{{"template":{{"spec":{spec}}}}}}}"#)),
            ("extensions", "daemonsets", format!(r#"{{"spec":{{"template":{{"spec":{spec}}}}}}}"#)),
            ("batch", "jobs", format!(r#"{{"spec":{{"template":{{"spec":{spec}}}}}}}"#)),
            (
                "batch",
                "cronjobs",
                format!(r#"{{"spec":{{"jobTemplate":{{"spec":{{"template":{{"spec":{spec}}}}}}}}}}}"#),
            ),
            ("", "podtemplates", format!(r#"{{"template":{{"spec":{spec}}}}}"#)),
        ] {
            assert_eq!(found(group, resource, &body), expected, "{resource} {spec}");
        }
    }
}

/// One container in a pod.
fn in_container(container: &str) -> Vec<Risk> {
    found("", "pods", &format!(r#"{{"spec":{{"containers":[{{"name":"a"}},{container}]}}}}"#))
}

#[test]
fn the_baseline_of_the_pod_security_standards() {
    let context = |context: &str| in_container(&format!(r#"{{"securityContext":{context}}}"#));
    for below in [
        r#"{"seccompProfile":{"type":"Unconfined"}}"#,
        r#"{"appArmorProfile":{"type":"Unconfined"}}"#,
        r#"{"seLinuxOptions":{"type":"spc_t"}}"#,
        r#"{"seLinuxOptions":{"user":"system_u"}}"#,
        r#"{"seLinuxOptions":{"role":"system_r"}}"#,
        r#"{"procMount":"Unmasked"}"#,
    ] {
        assert_eq!(context(below), [Risk::Unconfined], "{below}");
    }
    for within in [
        r#"{"seccompProfile":{"type":"RuntimeDefault"},"appArmorProfile":{"type":"Localhost","localhostProfile":"a"}}"#,
        r#"{"seLinuxOptions":{"type":"container_t","level":"s0:c1,c2","user":""}}"#,
        r#"{"procMount":"Default"}"#,
        r#"{"windowsOptions":{"hostProcess":false}}"#,
    ] {
        assert_eq!(context(within), [], "{within}");
    }
    assert_eq!(context(r#"{"windowsOptions":{"hostProcess":true}}"#), [Risk::Privileged]);
    let adds = |name: &str| context(&format!(r#"{{"capabilities":{{"add":["{name}"]}}}}"#));
    for name in ["SYS_TIME", "SYS_NICE", "CAP_NET_RAW", "bpf", "NO_SUCH"] {
        assert_eq!(adds(name), [Risk::OtherCapability], "{name}");
    }
    for name in ["CHOWN", "cap_net_bind_service", "AUDIT_WRITE"] {
        assert_eq!(adds(name), [], "{name}");
    }
    let pod = |spec: &str| found("", "pods", &format!(r#"{{"spec":{spec}}}"#));
    let sysctl = |name: &str| pod(&format!(r#"{{"securityContext":{{"sysctls":[{{"name":"{name}","value":"1"}}]}}}}"#));
    for name in ["kernel.msgmax", "net.core.somaxconn", "vm/overcommit_memory"] {
        assert_eq!(sysctl(name), [Risk::Unconfined], "{name}");
    }
    for name in ["net.ipv4.tcp_syncookies", "net/ipv4/ip_unprivileged_port_start"] {
        assert_eq!(sysctl(name), [], "{name}");
    }
    assert_eq!(in_container(r#"{"ports":[{"containerPort":80,"hostPort":0}]}"#), []);
    // The API server fills in the ports of pods that are in the node's network.
    assert_eq!(pod(r#"{"hostNetwork":true,"containers":[{"ports":[{"hostPort":80}]}]}"#), [Risk::HostNamespace]);
}

#[test]
fn what_is_asked_for_against_the_restricted_level() {
    let pod = |spec: &str| found("", "pods", &format!(r#"{{"spec":{spec}}}"#)) == [Risk::BelowRestricted];
    let users = |pod_user: &str, container: &str| {
        pod(&format!(r#"{{"securityContext":{{{pod_user}}},"containers":[{{"securityContext":{{{container}}}}}]}}"#))
    };
    for (of_pod, of_container, asks) in [
        ("", "", false),
        (r#""runAsUser":0"#, "", true),
        ("", r#""runAsUser":0"#, true),
        (r#""runAsUser":1000"#, r#""runAsUser":0"#, true),
        // The context of the container goes before that of its pod.
        (r#""runAsUser":0"#, r#""runAsUser":1000"#, false),
        (r#""runAsNonRoot":false"#, "", true),
        (r#""runAsNonRoot":false"#, r#""runAsNonRoot":true"#, false),
        (r#""runAsNonRoot":false"#, r#""runAsUser":1000"#, false),
        (r#""runAsNonRoot":true"#, r#""runAsUser":1000,"runAsGroup":0"#, false),
        ("", r#""allowPrivilegeEscalation":true"#, true),
        ("", r#""allowPrivilegeEscalation":false"#, false),
    ] {
        assert_eq!(users(of_pod, of_container), asks, "{of_pod} {of_container}");
    }
    for (volume, asks) in [
        (r#"{"flexVolume":{"driver":"acme/lvm"}}"#, true),
        (r#"{"nfs":{"server":"10.0.0.1","path":"/"}}"#, true),
        (r#"{"gitRepo":{"repository":"https://git.example.com/a"}}"#, true),
        (r#"{"nfs":null,"emptyDir":{}}"#, false),
        (r#"{"projected":{}}"#, false),
        (r#"{"csi":{"driver":"acme"}}"#, false),
    ] {
        assert_eq!(pod(&format!(r#"{{"volumes":[{{"name":"a"}},{volume}]}}"#)), asks, "{volume}");
    }
}

#[test]
fn services_that_are_reached_from_outside() {
    for (spec, outside) in [
        (r#"{"type":"NodePort"}"#, true),
        (r#"{"type":"LoadBalancer"}"#, true),
        (r#"{"externalIPs":["192.0.2.7"]}"#, true),
        (r#"{"type":"ClusterIP","externalIPs":[]}"#, false),
        (r#"{"type":"ExternalName","externalName":"example.com"}"#, false),
        (r#"{"ports":[{"port":80}]}"#, false),
    ] {
        assert_eq!(
            found("", "services", &format!(r#"{{"spec":{spec}}}"#)) == [Risk::ExposedService],
            outside,
            "{spec}"
        );
    }
}

#[test]
fn host_paths() {
    let sensitive = |path: &str| {
        let body = format!(r#"{{"spec":{{"volumes":[{{"emptyDir":{{}}}},{{"hostPath":{{"path":"{path}"}}}}]}}}}"#);
        found("", "pods", &body) == [Risk::SensitiveHostPath]
    };
    for path in [
        "/",
        "//",
        "/etc",
        "/etc/",
        "/etc/kubernetes/pki",
        "/root",
        "/proc",
        "/var/run/docker.sock",
        "/run",
        "/var/run",
        "/var/lib/kubelet",
        "/var/lib/kubelet/pods",
        "/var/lib",
        "/run/containerd/containerd.sock",
        "/var/run/crio/crio.sock",
        "/run/k3s/containerd/containerd.sock",
        "/var/log/../../etc",
        "/./etc",
        "\\/etc",
    ] {
        assert!(sensitive(path), "{path}");
    }
    for tree in ["/etc", "/root", "/var/lib/kubelet"] {
        let inside = format!("{tree}/.ssh");
        assert!(sensitive(&inside), "{inside}");
    }
    for path in
        ["/var/log", "/data", "/etcd", "/rootfs", "/var/lib/mysql", "/opt/etc", "/run/udev", "/var/lib/kubelets"]
    {
        assert!(!sensitive(path), "{path}");
    }
}

#[test]
fn rbac_risks() {
    let rules = |rule: &str| found(RBAC, "clusterroles", &format!(r#"{{"rules":[{{"verbs":["get"]}},{rule}]}}"#));
    assert_eq!(rules(r#"{"verbs":["*"],"resources":["pods"]}"#), [Risk::WildcardRule]);
    assert_eq!(rules(r#"{"verbs":["get"],"resources":["*"]}"#), [Risk::WildcardRule]);
    assert_eq!(rules(r#"{"verbs":["get"],"apiGroups":["*"],"resources":["pods/*"]}"#), []);
    for verb in ["escalate", "bind", "impersonate"] {
        assert_eq!(rules(&format!(r#"{{"verbs":["{verb}"]}}"#)), [Risk::EscalationRule]);
    }
    for (verbs, resource, runs) in [
        (r#"["create"]"#, "pods/exec", true),
        (r#"["get"]"#, "pods/attach", true),
        (r#"["get","list"]"#, "nodes/proxy", true),
        (r#"["create"]"#, "*/exec", true),
        (r#"["list","delete"]"#, "pods/exec", false),
        (r#"["get"]"#, "pods/log", false),
        (r#"["get"]"#, "pods", false),
    ] {
        let found = rules(&format!(r#"{{"verbs":{verbs},"resources":["pods/status","{resource}"]}}"#));
        assert_eq!(found == [Risk::CommandRule], runs, "{verbs} {resource}");
    }
    let binding = |role: &str, subject: &str| {
        found(RBAC, "rolebindings", &format!(r#"{{"roleRef":{{"name":"{role}"}},"subjects":[{subject}]}}"#))
    };
    assert_eq!(binding("cluster-admin", r#"{"kind":"User","name":"jane"}"#), [Risk::ClusterAdminBinding]);
    for (kind, name, broad) in [
        ("User", "system:anonymous", true),
        ("Group", "system:authenticated", true),
        ("Group", "system:unauthenticated", true),
        ("ServiceAccount", "default", true),
        ("User", "system:serviceaccount:shop:default", true),
        ("User", "default", false),
        ("Group", "dev", false),
        ("ServiceAccount", "cart", false),
    ] {
        let found = binding("view", &format!(r#"{{"kind":"{kind}","name":"{name}"}}"#));
        assert_eq!(found == [Risk::BroadSubject], broad, "{kind} {name}");
    }
}

#[test]
fn patches_are_read_too() {
    let patch = |resource: &str, body: &str| {
        let group = if matches!(resource, "pods" | "services") { "" } else { "apps" };
        let group = if resource.contains("role") { RBAC } else { group };
        risk("patch", group, resource, &format!(r#","requestObject":{body}"#)).iter().collect::<Vec<_>>()
    };
    let merge = r#"{"spec":{"template":{"spec":{"$setElementOrder/containers":[{"name":"a"}],"containers":[{"name":"a","securityContext":{"privileged":true}}]}}}}"#;
    assert_eq!(patch("deployments", merge), [Risk::Privileged]);
    for (resource, operation, expected) in [
        (
            "pods",
            r#"{"op":"add","path":"/spec/containers/0/securityContext/privileged","value":true}"#,
            Risk::Privileged,
        ),
        (
            "pods",
            r#"{"op":"add","path":"/spec/containers/-","value":{"securityContext":{"privileged":true}}}"#,
            Risk::Privileged,
        ),
        (
            "deployments",
            r#"{"op":"replace","path":"/spec/template/spec","value":{"hostNetwork":true}}"#,
            Risk::HostNamespace,
        ),
        ("deployments", r#"{"op":"add","path":"/spec/template/spec/hostPID","value":true}"#, Risk::HostNamespace),
        (
            "pods",
            r#"{"op":"add","path":"/spec/volumes","value":[{"hostPath":{"path":"/etc"}}]}"#,
            Risk::SensitiveHostPath,
        ),
        (
            "pods",
            r#"{"op":"add","path":"/spec/containers/0/securityContext/capabilities/add/-","value":"ALL"}"#,
            Risk::AddedCapability,
        ),
        ("pods", r#"{"op":"replace","path":"/spec/volumes/0/hostPath/path","value":"/etc"}"#, Risk::SensitiveHostPath),
        (
            "deployments",
            r#"{"op":"add","path":"/spec/template/spec/securityContext/runAsUser","value":0}"#,
            Risk::BelowRestricted,
        ),
        ("services", r#"{"op":"replace","path":"/spec/type","value":"NodePort"}"#, Risk::ExposedService),
        ("clusterroles", r#"{"op":"add","path":"/rules/0/resources/-","value":"pods/exec"}"#, Risk::CommandRule),
        ("clusterroles", r#"{"op":"add","path":"/rules/-","value":{"verbs":["*"]}}"#, Risk::WildcardRule),
        ("clusterroles", r#"{"op":"add","path":"/rules/0/verbs/-","value":"escalate"}"#, Risk::EscalationRule),
        (
            "rolebindings",
            r#"{"op":"add","path":"/subjects/-","value":{"kind":"Group","name":"system:authenticated"}}"#,
            Risk::BroadSubject,
        ),
    ] {
        let body = format!(r#"[{{"op":"test","path":"/metadata/name","value":"x"}},{operation}]"#);
        assert_eq!(patch(resource, &body), [expected], "{operation}");
    }
    for harmless in [
        r#"{"op":"test","path":"/spec/hostPID","value":true}"#,
        r#"{"op":"remove","path":"/spec/hostPID"}"#,
        r#"{"op":"add","path":"/metadata/annotations/hostPID","value":true}"#,
        r#"{"op":"replace","path":"/spec/containers/0/livenessProbe/httpGet/path","value":"/"}"#,
        r#"{"op":"add","path":"/spec\",\"hostPID","value":true}"#,
        r#"{"op":"add","path":"/\u0000","value":true}"#,
        r#"{"op":"add","path":7,"value":true}"#,
    ] {
        assert_eq!(patch("pods", &format!("[{harmless}]")), [], "{harmless}");
    }
    let deep = format!(r#"[{{"op":"add","path":"{}","value":true}}]"#, "/spec".repeat(100_000));
    assert_eq!(patch("pods", &deep), []);
}

#[test]
fn no_body_is_unknown_and_an_empty_one_is_not() {
    assert_eq!(risk("create", "", "pods", ""), RiskFlags::UNKNOWN);
    assert_eq!(risk("create", "", "pods", r#","requestObject":null"#), RiskFlags::UNKNOWN);
    assert_eq!(risk("patch", "", "pods", r#","requestObject":"spec: {}""#), RiskFlags::UNKNOWN);
    assert_eq!(risk("create", "", "pods", r#","requestObject":{}"#), RiskFlags::observed());
    let body = r#","requestObject":{"spec":{"hostPID":true}}"#;
    assert_eq!(risk("delete", "", "pods", body), RiskFlags::UNKNOWN);
    assert_eq!(risk("create", "", "secrets", body), RiskFlags::UNKNOWN);
    assert_eq!(risk("create", "acme.io", "pods", body), RiskFlags::UNKNOWN);
    assert!(risk("update", "", "pods", body).has(Risk::HostNamespace));
}
