//! Accounts in bodies: whom a body binds and whom its pods run as.

use super::risks::{OBJECT, RBAC};
use super::{one, with};

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
    for (group, resource) in [("", "services"), (RBAC, "roles")] {
        assert!(accounts(group, resource, r#"{"spec":{}}"#).is_empty(), "{resource}");
    }
    let long = format!(r#"{{"subjects":[{{"kind":"User","name":"{}"}}]}}"#, "u".repeat(600));
    assert!(accounts(RBAC, "rolebindings", &long).is_empty(), "no user has such a name");
}
