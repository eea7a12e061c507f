//! Risks in bodies: found wherever a pod spec or a rule can stand, unknown where no body was logged.

use leadsman_domain::{Risk, RiskFlags};

use super::{one, with};

const OBJECT: &str = r#""objectRef":{"resource":"secrets","namespace":"shop","name":"db","apiVersion":"v1"}"#;

fn risk(verb: &str, group: &str, resource: &str, body: &str) -> RiskFlags {
    let object = format!(r#""objectRef":{{"apiGroup":"{group}","resource":"{resource}","name":"x"}}{body}"#);
    one(with(OBJECT, &object).replacen(r#""verb":"get""#, &format!(r#""verb":"{verb}""#), 1)).risk
}

fn found(group: &str, resource: &str, body: &str) -> Vec<Risk> {
    let flags = risk("create", group, resource, &format!(r#","requestObject":{body}"#));
    assert!(flags.is_observed(), "{body}");
    flags.iter().collect()
}

fn accounts(group: &str, resource: &str, body: &str) -> Vec<String> {
    let object = format!(
        r#""objectRef":{{"apiGroup":"{group}","resource":"{resource}","namespace":"shop","name":"x"}},"requestObject":{body}"#
    );
    let event = one(with(OBJECT, &object).replacen(r#""verb":"get""#, r#""verb":"create""#, 1));
    event.accounts.iter().map(|a| a.raw().to_owned()).collect()
}

#[test]
fn accounts_are_found_in_patches() {
    let cart = "system:serviceaccount:shop:cart";
    for (group, resource, path, value, expected) in [
        ("apps", "deployments", "/spec/template/spec/serviceAccountName", r#""cart""#, cart),
        ("apps", "deployments", "/spec/template/spec", r#"{"serviceAccountName":"cart"}"#, cart),
        ("apps", "deployments", "/spec/template/spec/serviceAccount", r#""cart""#, cart),
        ("apps", "deployments", "/spec/template/spec", r#"{"serviceAccountName":"","serviceAccount":"cart"}"#, cart),
        ("apps", "deployments", "/spec/template", r#"{"spec":{"serviceAccountName":"cart"}}"#, cart),
        ("batch", "cronjobs", "/spec/jobTemplate/spec", r#"{"template":{"spec":{"serviceAccountName":"cart"}}}"#, cart),
        (RBAC, "rolebindings", "/subjects/-", r#"{"kind":"ServiceAccount","name":"cart"}"#, cart),
        (RBAC, "rolebindings", "/subjects", r#"[{"kind":"User","name":"jane"}]"#, "jane"),
        (RBAC, "rolebindings", "", r#"{"subjects":[{"kind":"User","name":"jane"}]}"#, "jane"),
    ] {
        let patch = format!(r#"[{{"op":"add","path":"{path}","value":{value}}}]"#);
        assert_eq!(accounts(group, resource, &patch), [expected], "{patch}");
    }
}

#[test]
fn accounts_are_those_a_body_puts_to_work() {
    let binding = r#"{"roleRef":{"name":"edit"},"subjects":[{"kind":"User","name":"jane"},{"kind":"User","name":"jane"},
        {"kind":"ServiceAccount","name":"cart"},{"kind":"ServiceAccount","name":"ci","namespace":"build"},
        {"kind":"ServiceAccount","name":"default"},{"kind":"Group","name":"devs"},{"kind":"User"}]}"#;
    assert_eq!(
        accounts(RBAC, "rolebindings", binding),
        [
            "jane",
            "system:serviceaccount:shop:cart",
            "system:serviceaccount:build:ci",
            "system:serviceaccount:shop:default"
        ]
    );
    let pod = r#"{"spec":{"template":{"spec":{"serviceAccountName":"cart","containers":[]}}}}"#;
    assert_eq!(accounts("apps", "deployments", pod), ["system:serviceaccount:shop:cart"]);
    for none in [r#"{"spec":{}}"#, r#"{"spec":{"serviceAccountName":7}}"#] {
        assert_eq!(accounts("", "pods", none), ["system:serviceaccount:shop:default"], "{none}");
    }
    let many: Vec<String> = (0..100).map(|i| format!(r#"{{"kind":"User","name":"u{i}"}}"#)).collect();
    assert_eq!(accounts(RBAC, "rolebindings", &format!(r#"{{"subjects":[{}]}}"#, many.join(","))).len(), 4);
    let long = format!(r#"{{"subjects":[{{"kind":"User","name":"{}"}}]}}"#, "u".repeat(600));
    assert!(accounts(RBAC, "rolebindings", &long).is_empty(), "no user has such a name");
}

const RBAC: &str = "rbac.authorization.k8s.io";

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
        "/root/.ssh",
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
        let group = if resource == "pods" { "" } else { "apps" };
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
