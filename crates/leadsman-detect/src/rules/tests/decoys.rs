use serde_json::{Value, json};

use super::super::{Decoys, RuleSet, RuleSource, SHIPPED};
use super::event;

fn decoys() -> Decoys {
    Decoys {
        secrets: vec!["pay/root-key".to_owned()],
        service_accounts: vec!["ops/admin".to_owned()],
        namespaces: vec!["vault".to_owned()],
        except: vec!["system:serviceaccount:velero:*".to_owned(), "o'neil".to_owned()],
    }
}

fn touched(change: &Value) -> Vec<String> {
    let text = decoys().to_sigma().unwrap();
    let rules = RuleSet::compile(&[SHIPPED, RuleSource { name: "decoys", text: &text }]).unwrap();
    let event = event(change);
    let hits = rules.matching(&event).filter(|r| r.title.starts_with("Decoy"));
    hits.map(|r| format!("{} {}", r.level.as_str(), r.title)).collect()
}

#[test]
fn any_touch_is_high_denied_or_not() {
    let secret = "high Decoy secret pay/root-key touched";
    let account = "high Decoy service account ops/admin touched";
    let namespace = "high Decoy namespace vault touched";
    let key = json!({"resource": "secrets", "namespace": "pay", "name": "root-key"});
    let admin = json!({"resource": "serviceaccounts", "namespace": "ops", "name": "admin"});
    let controller = "system:serviceaccount:kube-system:service-account-controller";
    for (change, want) in [
        (json!({"verb": "get", "objectRef": key}), Some(secret)),
        (json!({"verb": "delete", "objectRef": key, "responseStatus": {"code": 403}}), Some(secret)),
        (json!({"verb": "get", "objectRef": key, "user": {"username": controller}}), Some(secret)),
        (json!({"verb": "get", "objectRef": key, "user": {"username": "system:serviceaccount:velero:backup"}}), None),
        (json!({"verb": "get", "objectRef": key, "user": {"username": "o'neil"}}), None),
        (json!({"verb": "get", "objectRef": {"resource": "secrets", "namespace": "shop", "name": "root-key"}}), None),
        (json!({"user": {"username": "system:serviceaccount:ops:admin"}}), Some(account)),
        (json!({"impersonatedUser": {"username": "system:serviceaccount:ops:admin"}}), Some(account)),
        (json!({"verb": "get", "objectRef": admin}), Some(account)),
        (json!({"verb": "update", "objectRef": admin, "user": {"username": controller}}), None),
        (json!({"verb": "list", "objectRef": {"resource": "pods", "namespace": "vault"}}), Some(namespace)),
        (json!({"verb": "get", "objectRef": {"resource": "namespaces", "name": "vault"}}), Some(namespace)),
        (json!({"verb": "list", "objectRef": {"resource": "pods", "namespace": "vault-2"}}), None),
    ] {
        assert_eq!(touched(&change), want.into_iter().collect::<Vec<_>>(), "{change}");
    }
}

#[test]
fn ids_stay_and_names_are_checked() {
    assert_eq!(decoys().to_sigma().unwrap(), decoys().to_sigma().unwrap());
    assert_eq!(Decoys::default().to_sigma().unwrap(), "");
    for wrong in ["root-key", "pay/", "pay/a b", "pay/'x", "Pay/x", "pay/*"] {
        let decoys = Decoys { secrets: vec![wrong.to_owned()], ..Decoys::default() };
        assert!(decoys.to_sigma().unwrap_err().to_string().contains("is no name"), "{wrong}");
    }
    for wrong in ["*", "a*b", "a\nb", ""] {
        let decoys = Decoys { except: vec![wrong.to_owned()], ..decoys() };
        assert!(decoys.to_sigma().is_err(), "{wrong}");
    }
}
