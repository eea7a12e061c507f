//! Golden lines, written by hand after the Go structs of `k8s.io/apiserver/pkg/apis/audit/v1`.

use super::*;
use crate::api::{CLUSTER_BINDINGS, PODS, SECRETS};
use crate::bodies;
use crate::identity::{Identity, PodRef};
use crate::json::{Json, object};

const SEED: u64 = 1;

/// Logs one call and compares its lines with `want`, in which `%ID` and `%DONE` stand for what chance decides:
/// the audit id and the second stage's time.
fn check(client: &Client<'_>, call: &Call, want: &[&str]) {
    let at = Timestamp::parse("2026-03-02T09:15:00.5Z").unwrap();
    let mut log = Log::new(SEED);
    log.call(&mut Dice::new(SEED, "golden", "", 0), client, at, call);
    let lines: Vec<_> = log.records.iter().map(|r| (r.time.to_micro_time(), r.payload.bytes())).collect();
    assert_eq!(lines.len(), want.len());
    let id = |line: &[u8]| {
        let event: serde_json::Value = serde_json::from_slice(line).unwrap();
        event["auditID"].as_str().unwrap().to_owned()
    };
    for ((time, line), want) in lines.iter().zip(want) {
        let want = want.replace("%ID", &id(lines[0].1)).replace("%DONE", time);
        assert_eq!(std::str::from_utf8(line).unwrap(), want);
    }
}

fn developer() -> Identity {
    Identity::oidc("maria.keller@example.com", &["shop-developers"]).role("shop", "team", "edit")
}

fn kubectl(identity: &Identity) -> Client<'_> {
    Client {
        identity,
        ip: "10.20.30.17".to_owned(),
        agent: "kubectl/v1.33.2 (linux/amd64) kubernetes/a57b6f7".to_owned(),
        pod: None,
    }
}

#[test]
fn a_list_is_logged_without_a_body() {
    check(
        &kubectl(&developer()),
        &Call::list(PODS, "shop"),
        &[concat!(
            r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"%ID","#,
            r#""stage":"ResponseComplete","requestURI":"/api/v1/namespaces/shop/pods?limit=500","verb":"list","#,
            r#""user":{"username":"maria.keller@example.com","groups":["shop-developers","system:authenticated"]},"#,
            r#""sourceIPs":["10.20.30.17"],"userAgent":"kubectl/v1.33.2 (linux/amd64) kubernetes/a57b6f7","#,
            r#""objectRef":{"resource":"pods","namespace":"shop","apiVersion":"v1"},"#,
            r#""responseStatus":{"metadata":{},"code":200},"#,
            r#""requestReceivedTimestamp":"2026-03-02T09:15:00.500000Z","stageTimestamp":"%DONE","#,
            r#""annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":"#,
            r#""RBAC: allowed by RoleBinding \"team/shop\" of ClusterRole \"edit\" to Group \"shop-developers\""}}"#,
        )],
    );
}

#[test]
fn exec_upgrades_the_connection_and_is_logged_twice() {
    let call = Call::get(PODS, "shop", "cart-7d4b9c6f5d-x2x4z")
        .sub("exec")
        .query("?command=sh&container=cart&stdin=true&stdout=true&tty=true")
        .code(101)
        .open_for(30.0);
    let line = |stage: &str| {
        let line = concat!(
            r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"%ID","stage":"%STAGE","#,
            r#""requestURI":"/api/v1/namespaces/shop/pods/cart-7d4b9c6f5d-x2x4z/exec?command=sh\u0026container=cart"#,
            r#"\u0026stdin=true\u0026stdout=true\u0026tty=true","verb":"get","#,
            r#""user":{"username":"maria.keller@example.com","groups":["shop-developers","system:authenticated"]},"#,
            r#""sourceIPs":["10.20.30.17"],"userAgent":"kubectl/v1.33.2 (linux/amd64) kubernetes/a57b6f7","#,
            r#""objectRef":{"resource":"pods","namespace":"shop","name":"cart-7d4b9c6f5d-x2x4z","apiVersion":"v1","#,
            r#""subresource":"exec"},"responseStatus":{"metadata":{},"code":101},"#,
            r#""requestReceivedTimestamp":"2026-03-02T09:15:00.500000Z","stageTimestamp":"%DONE","#,
            r#""annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":"#,
            r#""RBAC: allowed by RoleBinding \"team/shop\" of ClusterRole \"edit\" to Group \"shop-developers\""}}"#,
        );
        line.replace("%STAGE", stage)
    };
    check(&kubectl(&developer()), &call, &[&line("ResponseStarted"), &line("ResponseComplete")]);
}

#[test]
fn a_denied_request_says_who_may_not_do_what() {
    check(
        &kubectl(&developer()),
        &Call::get(SECRETS, "pay", "database").code(403),
        &[concat!(
            r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"%ID","#,
            r#""stage":"ResponseComplete","requestURI":"/api/v1/namespaces/pay/secrets/database","verb":"get","#,
            r#""user":{"username":"maria.keller@example.com","groups":["shop-developers","system:authenticated"]},"#,
            r#""sourceIPs":["10.20.30.17"],"userAgent":"kubectl/v1.33.2 (linux/amd64) kubernetes/a57b6f7","#,
            r#""objectRef":{"resource":"secrets","namespace":"pay","name":"database","apiVersion":"v1"},"#,
            r#""responseStatus":{"metadata":{},"status":"Failure","message":"secrets \"database\" is forbidden: "#,
            r#"User \"maria.keller@example.com\" cannot get resource \"secrets\" in API group \"\" in the namespace "#,
            r#"\"pay\"","reason":"Forbidden","details":{"name":"database","kind":"secrets"},"code":403},"#,
            r#""requestReceivedTimestamp":"2026-03-02T09:15:00.500000Z","stageTimestamp":"%DONE","#,
            r#""annotations":{"authorization.k8s.io/decision":"forbid","authorization.k8s.io/reason":""}}"#,
        )],
    );
}

#[test]
fn a_pod_is_logged_with_its_body_and_a_token_with_its_pod() {
    let identity = Identity::service_account(SEED, "cicd", "runner").cluster_role("runner", "runner");
    let pod = PodRef {
        name: "runner-0".to_owned(),
        uid: "0d1b7c52-6f0e-4a37-9d0c-0a5b8a3b2c11".to_owned(),
        node: "worker-1".to_owned(),
        node_uid: "5a7a2f0c-3b1e-4d6f-8c9d-1e2f3a4b5c6d".to_owned(),
    };
    let client =
        Client { identity: &identity, ip: "10.244.1.9".to_owned(), agent: "runner/1".to_owned(), pod: Some(pod) };
    let metadata = object([("name", "job <1>".into()), ("creationTimestamp", Json::Null)]);
    let body = object([("kind", "Pod".into()), ("apiVersion", "v1".into()), ("metadata", metadata)]);
    let uid = &identity.uid;
    let at = Timestamp::parse("2026-03-02T09:15:00.5Z").unwrap();
    let credential = client.credential_id(SEED, at).unwrap();
    let want = [
        r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Request","auditID":"%ID","#,
        r#""stage":"ResponseComplete","requestURI":"/api/v1/namespaces/cicd/pods","verb":"create","#,
        &format!(r#""user":{{"username":"system:serviceaccount:cicd:runner","uid":"{uid}","#),
        r#""groups":["system:serviceaccounts","system:serviceaccounts:cicd","system:authenticated"],"#,
        &format!(r#""extra":{{"authentication.kubernetes.io/credential-id":["{credential}"],"#),
        r#""authentication.kubernetes.io/node-name":["worker-1"],"#,
        r#""authentication.kubernetes.io/node-uid":["5a7a2f0c-3b1e-4d6f-8c9d-1e2f3a4b5c6d"],"#,
        r#""authentication.kubernetes.io/pod-name":["runner-0"],"#,
        r#""authentication.kubernetes.io/pod-uid":["0d1b7c52-6f0e-4a37-9d0c-0a5b8a3b2c11"]}},"#,
        r#""sourceIPs":["10.244.1.9"],"userAgent":"runner/1","#,
        r#""objectRef":{"resource":"pods","namespace":"cicd","name":"job-1","apiVersion":"v1"},"#,
        r#""responseStatus":{"metadata":{},"code":201},"#,
        r#""requestObject":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"job \u003c1\u003e","#,
        r#""creationTimestamp":null}},"#,
        r#""requestReceivedTimestamp":"2026-03-02T09:15:00.500000Z","stageTimestamp":"%DONE","#,
        r#""annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":"#,
        r#""RBAC: allowed by ClusterRoleBinding \"runner\" of ClusterRole \"runner\" to ServiceAccount "#,
        r#"\"runner/cicd\""}}"#,
    ];
    check(&client, &Call::create(PODS, "cicd", "job-1").body(body), &[&want.concat()]);
}

#[test]
fn a_binding_is_logged_with_what_the_server_stored() {
    let identity = Identity::oidc("root@example.com", &["admins"]).unquestioned();
    let body = bodies::binding("", "b", "view", bodies::account_subject("shop", "cart"));
    let uid = fixed_uuid(SEED, "object", "clusterrolebindings//b", 0);
    let rest = concat!(
        r#""subjects":[{"kind":"ServiceAccount","name":"cart","namespace":"shop"}],"#,
        r#""roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"view"}},"#,
    );
    let kind = r#"{"kind":"ClusterRoleBinding","apiVersion":"rbac.authorization.k8s.io/v1","metadata":{"name":"b","#;
    let want = [
        r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","auditID":"%ID","#,
        r#""stage":"ResponseComplete","requestURI":"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings","#,
        r#""verb":"create","user":{"username":"root@example.com","groups":["admins","system:authenticated"]},"#,
        r#""sourceIPs":["10.20.30.17"],"userAgent":"kubectl/v1.33.2 (linux/amd64) kubernetes/a57b6f7","#,
        r#""objectRef":{"resource":"clusterrolebindings","name":"b","apiGroup":"rbac.authorization.k8s.io","#,
        r#""apiVersion":"v1"},"responseStatus":{"metadata":{},"code":201},"#,
        &format!(r#""requestObject":{kind}"creationTimestamp":null}},{rest}"#),
        &format!(r#""responseObject":{kind}"uid":"{uid}","resourceVersion":"71839113","#),
        &format!(r#""creationTimestamp":"2026-03-02T09:15:00Z"}},{rest}"#),
        r#""requestReceivedTimestamp":"2026-03-02T09:15:00.500000Z","stageTimestamp":"%DONE","#,
        r#""annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":""}}"#,
    ];
    check(&kubectl(&identity), &Call::create(CLUSTER_BINDINGS, "", "b").body(body), &[&want.concat()]);
}

#[test]
fn a_failed_authentication_has_no_user_and_no_verdict() {
    let identity = Identity::anonymous();
    let client = Client { identity: &identity, ip: "10.0.1.10".to_owned(), agent: "curl/8.9.1".to_owned(), pod: None };
    check(
        &client,
        &Call::path("/metrics").code(401),
        &[concat!(
            r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"%ID","#,
            r#""stage":"ResponseStarted","requestURI":"/metrics","verb":"get","user":{},"sourceIPs":["10.0.1.10"],"#,
            r#""userAgent":"curl/8.9.1","responseStatus":{"metadata":{},"status":"Failure","#,
            r#""message":"Authentication failed, attempted: bearer","code":401},"#,
            r#""requestReceivedTimestamp":"2026-03-02T09:15:00.500000Z","stageTimestamp":"%DONE"}"#,
        )],
    );
}
