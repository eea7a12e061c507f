//! The rules by which an event becomes canonical, one trap each.

use leadsman_domain::{ActorClass, Level, RejectReason, Stage, Verb};
use proptest::prelude::*;

use super::{EVENT, audit, context, one, raw, refused, with};
use crate::{DecodeContext, Limits, record};

const OBJECT: &str = r#""objectRef":{"resource":"secrets","namespace":"shop","name":"db","apiVersion":"v1"}"#;
const URI: &str = "/api/v1/namespaces/shop/secrets/db";

/// `api namespace name` with `-` for what is absent.
fn target(json: String) -> String {
    let object = one(json).object;
    let shown = |t: Option<leadsman_domain::Untrusted>| t.map_or("-".to_owned(), |t| t.to_string());
    format!("{} {} {}", object.api(), shown(object.namespace), shown(object.name))
}

#[test]
fn exec_and_its_like_are_told_by_subresource() {
    for (resource, subresource, verb) in [
        ("pods", "exec", Verb::Exec),
        ("pods", "attach", Verb::Attach),
        ("pods", "portforward", Verb::PortForward),
        ("pods", "proxy", Verb::Proxy),
        ("services", "proxy", Verb::Proxy),
        ("nodes", "proxy", Verb::Proxy),
    ] {
        for logged in ["get", "create", "delete"] {
            let object = format!(r#""objectRef":{{"resource":"{resource}","name":"x","subresource":"{subresource}"}}"#);
            let json = with(OBJECT, &object).replacen(r#""verb":"get""#, &format!(r#""verb":"{logged}""#), 1);
            assert_eq!(one(json).verb, verb, "{resource}/{subresource} by {logged}");
        }
    }
    let log = with(OBJECT, r#""objectRef":{"resource":"pods","name":"x","subresource":"log"}"#);
    assert_eq!(one(log).verb, Verb::Get);
    let other_group = with(OBJECT, r#""objectRef":{"resource":"pods","apiGroup":"acme.io","subresource":"exec"}"#);
    assert_eq!(one(other_group).verb, Verb::Get);
}

#[test]
fn verbs_keep_their_names_and_case_counts() {
    for verb in ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"] {
        assert_eq!(one(with(r#""verb":"get""#, &format!(r#""verb":"{verb}""#))).verb.as_str(), verb);
    }
    for verb in ["GET", "post", "impersonate:user-info", "use"] {
        assert_eq!(one(with(r#""verb":"get""#, &format!(r#""verb":"{verb}""#))).verb, Verb::Other);
    }
}

#[test]
fn a_missing_object_is_read_from_the_path() {
    for (uri, expected) in [
        ("/api/v1/namespaces/shop/pods/cart-0/exec?command=id&stdin=true", "pods/exec shop cart-0"),
        ("/api/v1/namespaces/shop/pods", "pods shop -"),
        ("/api/v1/nodes/n1/proxy/run/a/b", "nodes/proxy - n1"),
        ("/api/v1/namespaces/shop", "namespaces shop shop"),
        ("/api/v1/namespaces/shop/finalize", "namespaces/finalize shop shop"),
        ("/api/v1/namespaces", "namespaces - -"),
        ("/api/v1/watch/namespaces/shop/secrets", "secrets shop -"),
        ("/api/v1/proxy/nodes/n1/metrics", "nodes/proxy - n1"),
        ("/apis/apps/v1/namespaces/shop/deployments/cart/scale", "apps/deployments/scale shop cart"),
        (
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode?x=/y/",
            "rbac.authorization.k8s.io/clusterroles - system:node",
        ),
        ("/apis/apps/v1", "nonresource - -"),
        ("/api/v1/", "nonresource - -"),
        ("/healthz?verbose", "nonresource - -"),
        ("/openapi/v3/apis/apps/v1", "nonresource - -"),
        ("/%zz/%e9", "nonresource - -"),
        ("", "nonresource - -"),
    ] {
        for object in [r#""objectRef":null"#, r#""objectRef":{}"#, r#""x":0"#] {
            assert_eq!(target(with(OBJECT, object).replacen(URI, uri, 1)), expected, "{uri}");
        }
    }
    let exec = with(OBJECT, r#""x":0"#).replacen(URI, "/api/v1/namespaces/shop/pods/cart-0/exec?command=sh", 1);
    assert_eq!(one(exec).verb, Verb::Exec);
}

#[test]
fn a_created_object_is_named_by_the_bodies() {
    let create = |bodies: &str| {
        with(OBJECT, &format!(r#""objectRef":{{"resource":"configmaps","namespace":"shop","name":""}}{bodies}"#))
            .replacen(r#""verb":"get""#, r#""verb":"create""#, 1)
    };
    let asked = r#","requestObject":{"metadata":{"name":"asked"}}"#;
    assert_eq!(target(create("")), "configmaps shop -");
    assert_eq!(target(create(asked)), "configmaps shop asked");
    let given = format!(r#"{asked},"responseObject":{{"metadata":{{"name":"given-x7k2p"}}}}"#);
    assert_eq!(target(create(&given)), "configmaps shop given-x7k2p");
    let status = format!(r#"{asked},"responseObject":{{"kind":"Status","metadata":{{}},"code":403}}"#);
    assert_eq!(target(create(&status)), "configmaps shop asked");
}

#[test]
fn only_the_last_source_address_counts() {
    let address = |ips: &str| {
        let event = one(with(r#""sourceIPs":["203.0.113.9","10.0.0.7"]"#, ips));
        event.source_ip.map(|ip| ip.raw().to_owned())
    };
    assert_eq!(address(r#""sourceIPs":["1.1.1.1","2.2.2.2","::1"]"#).as_deref(), Some("::1"));
    assert_eq!(address(r#""sourceIPs":[]"#), None);
    assert_eq!(address(r#""sourceIPs":null"#), None);
}

#[test]
fn actor_is_the_authenticated_user() {
    let event = one(with(r#""userAgent""#, r#""impersonatedUser":{"username":"system:admin"},"userAgent""#));
    assert_eq!((&*event.actor.name, event.actor.class), ("jane", ActorClass::Human));
    assert_eq!(event.actor.impersonated.unwrap().raw(), "system:admin");
    assert_eq!(one(with(r#""jane""#, r#""ci:github""#)).actor.class, ActorClass::Ci);
    assert_eq!(one(with(r#""jane""#, r#""system:anonymous""#)).actor.class, ActorClass::Anonymous);
}

#[test]
fn refusal_and_status_are_read() {
    let annotations = r#""authorization.k8s.io/decision":"allow""#;
    assert!(one(with(annotations, r#""authorization.k8s.io/decision":"forbid""#)).denied());
    let all = EVENT[EVENT.find(r#","annotations""#).unwrap()..].trim_end_matches('}').to_owned() + "}";
    assert!(!one(with(&all, "")).forbidden);
    assert!(!one(with(&all, r#","annotations":null"#)).forbidden);
    let large = (0..5_000).map(|n| format!(r#""k{n}":"v","#)).collect::<String>();
    let large = format!(r#","annotations":{{{large}"authorization.k8s.io/decision":"forbid"}}"#);
    assert!(one(with(&all, &large)).forbidden);
    assert!(one(with("\"code\":200", "\"code\":101")).succeeded());
    assert_eq!(one(with(r#","code":200"#, "")).code, None);
    assert_eq!(one(with(r#"{"metadata":{},"code":200}"#, "null")).code, None);
}

#[test]
fn the_last_of_equal_keys_wins() {
    let event = one(with(r#""verb":"get""#, r#""verb":"delete","user":{"username":"x","username":"y"},"verb":"get""#));
    assert_eq!((event.verb, &*event.actor.name), (Verb::Get, "jane"));
    assert_eq!(&*one(with(r#""username":"jane""#, r#""username":"a","username":"\u0062""#)).actor.name, "b");
}

#[test]
fn stages_and_levels_are_read_and_a_stripped_level_is_inferred() {
    for stage in [Stage::RequestReceived, Stage::ResponseStarted, Stage::ResponseComplete, Stage::Panic] {
        assert_eq!(one(with(r#""ResponseComplete""#, &format!("\"{}\"", stage.as_str()))).stage, stage);
    }
    let level = |text: &str| one(with(r#""level":"Metadata","#, text)).level;
    assert_eq!(level(r#""level":"RequestResponse","#), Level::RequestResponse);
    assert_eq!(level(r#""level":"None","#), Level::None);
    assert_eq!(level(""), Level::Metadata);
    assert_eq!(level(r#""requestObject":{},"#), Level::Request);
}

#[test]
fn api_versions() {
    let version = |v: &str| with("audit.k8s.io/v1", v);
    for known in ["audit.k8s.io/v1", "audit.k8s.io/v1beta1", "audit.k8s.io/v1alpha1", ""] {
        assert_eq!(audit(version(known)).events.len(), 1, "{known}");
    }
    assert_eq!(refused(&audit(version("audit.k8s.io/v9"))).0, RejectReason::UnknownApiVersion);
    assert_eq!(refused(&audit(version("v1"))).0, RejectReason::UnknownShape);
}

#[test]
fn older_versions_hold_the_time_elsewhere() {
    const RECEIVED: &str = r#""requestReceivedTimestamp":"2026-03-02T10:00:00.000001Z","#;
    let time = |text: &str| one(with(RECEIVED, text)).event_time.to_string();
    let created = r#""metadata":{"creationTimestamp":"2026-03-02T08:00:00Z"},"#;
    assert_eq!(time(&format!(r#""timestamp":"2026-03-02T09:00:00Z",{created}"#)), "2026-03-02T09:00:00.000Z");
    assert_eq!(time(created), "2026-03-02T08:00:00.000Z");
    assert_eq!(time(r#""metadata":{"creationTimestamp":null},"#), "2026-03-02T10:00:00.004Z");
    assert_eq!(time(r#""timestamp":"0001-01-01T00:00:00Z","#), "2026-03-02T10:00:00.004Z");
    let none = with(RECEIVED, "").replacen("stageTimestamp", "x", 1);
    let decoded = audit(none);
    assert_eq!(refused(&decoded), (RejectReason::MissingField, 1, "requestReceivedTimestamp is missing"));
}

#[test]
fn a_failed_authentication_is_nobody_known() {
    for name in ["", r#""username":"","#] {
        let decoded = audit(with(r#""username":"jane","#, name));
        let actor = &decoded.events[0].actor;
        assert_eq!((&*actor.name, actor.class), ("system:unauthenticated", leadsman_domain::ActorClass::Anonymous));
    }
}

#[test]
fn what_is_missing_or_wrong_is_named_and_never_quoted() {
    for (from, to, reason, detail) in [
        (r#""auditID":"0001","#, "", RejectReason::MissingField, "auditID is missing"),
        (r#""ResponseComplete""#, "null", RejectReason::MissingField, "stage is missing"),
        (r#""verb":"get","#, "", RejectReason::MissingField, "verb is missing"),
        (r#""user""#, r#""x""#, RejectReason::MissingField, "user is missing"),
        (r#""ResponseComplete""#, r#""hunter2""#, RejectReason::InvalidField, "stage is not a known stage"),
        (r#""Metadata""#, r#""hunter2""#, RejectReason::InvalidField, "level is not a known level"),
        (r#""jane""#, "42", RejectReason::InvalidField, "user.username is not a string"),
        (r#""jane""#, r#""\ud800""#, RejectReason::InvalidField, "user.username is not a string"),
        ("/api/v1/namespaces/shop", r"/\ud800", RejectReason::InvalidField, "requestURI is not a string"),
        ("200", "70000", RejectReason::InvalidField, "responseStatus.code is not a number from 0 to 65535"),
        (
            "2026-03-02T10:00:00.000001Z",
            "hunter2",
            RejectReason::InvalidField,
            "requestReceivedTimestamp is not an RFC 3339 time",
        ),
        (r#""kind":"Event""#, r#""kind":"Hunter2""#, RejectReason::UnknownShape, "kind is neither Event nor EventList"),
        (r#""kind":"Event""#, r#""kind":0"#, RejectReason::InvalidField, "kind is not a string"),
    ] {
        let decoded = audit(with(from, to));
        assert_eq!(refused(&decoded), (reason, 1, detail));
    }
    assert_eq!(refused(&audit(r#"{"kind": 0}"#)).2, "kind is not a string");
    assert_eq!(refused(&audit("{}")).0, RejectReason::UnknownShape);
    assert_eq!(refused(&audit(r#""hunter2""#)).2, "not a JSON object");
}

#[test]
fn events_from_the_future_are_refused() {
    let at = |time: &str| audit(with("2026-03-02T10:00:00.000001Z", time));
    assert_eq!(at("2026-03-02T10:02:10Z").events.len(), 1);
    assert_eq!(refused(&at("2026-03-02T10:02:10.000001Z")).0, RejectReason::FutureEventTime);
    assert_eq!(refused(&at("2999-12-31T23:59:59Z")).0, RejectReason::FutureEventTime);
}

#[test]
fn identity_is_bound_to_content_and_not_to_form() {
    let base = one(EVENT);
    for (from, to) in [
        ("0001", "0002"),
        ("ResponseComplete", "ResponseStarted"),
        ("jane", "eve"),
        (r#""userAgent""#, r#""impersonatedUser":{"username":"a"},"userAgent""#),
        (r#""verb":"get""#, r#""verb":"GET""#),
        ("/secrets/db", "/secrets/dc"),
        ("00.000001Z", "00.000002Z"),
    ] {
        let other = one(with(from, to));
        assert_ne!(other.id, base.id, "{from}");
        assert_eq!(other.request == base.request, from == "ResponseComplete", "{from}");
    }
    let elsewhere = DecodeContext { cluster: "test".to_owned(), ..context() };
    let record = record(&elsewhere, &Limits::default(), &raw(leadsman_domain::PayloadKind::K8sAudit, EVENT));
    assert_ne!((record.events[0].id, record.events[0].request), (base.id, base.request));
    for (from, to) in [
        ("kubectl/v1.33.0", "curl"),
        ("2026-03-02T10:00:00.000001Z", "2026-03-02T12:00:00.000001+02:00"),
        (r#""code":200"#, r#""code":500"#),
        ("audit.k8s.io/v1", "audit.k8s.io/v1beta1"),
    ] {
        assert_eq!(one(with(from, to)).id, base.id, "{from}");
    }
}

proptest! {
    #[test]
    fn different_fields_never_share_an_identity(a in "[ab]{0,3}", b in "[ab]{0,3}", c in "[ab]{0,3}", d in "[ab]{0,3}") {
        let id = |user: &str, uri: &str| {
            one(with(r#""jane""#, &format!(r#""x{user}""#)).replacen(URI, &format!("/{uri}"), 1)).id
        };
        prop_assert_eq!(id(&a, &b) == id(&c, &d), (&a, &b) == (&c, &d));
    }
}
