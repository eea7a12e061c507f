//! What the parts of the Sigma specification mean for an event.

use leadsman_domain::AuditEvent;
use proptest::prelude::*;
use serde_json::json;

use super::super::expr::VERBS;
use super::super::field::Field;
use super::{compile, event, one_rule};

fn pod_exec() -> AuditEvent {
    event(&json!({
        "verb": "get", "requestURI": "/api/v1/namespaces/shop/pods/cart-1/exec?command=sh",
        "objectRef": {"resource": "pods", "subresource": "exec", "namespace": "shop", "name": "cart-1"},
        "responseStatus": {"code": 101},
    }))
}

fn binding() -> AuditEvent {
    event(&json!({
        "verb": "create", "responseStatus": {"code": 201},
        "objectRef": {"resource": "rolebindings", "namespace": "shop", "apiGroup": "rbac.authorization.k8s.io"},
        "requestObject": {"roleRef": {"name": "cluster-admin"}, "subjects": [{"kind": "ServiceAccount", "name": "default"}]},
    }))
}

#[track_caller]
fn check(detection: &str, event: &AuditEvent, want: bool) {
    let rules = compile(&one_rule(detection)).unwrap();
    assert_eq!(rules.matching(event).count(), usize::from(want), "{detection}");
}

/// The selection `s`, alone.
#[track_caller]
fn selected(selection: &str, event: &AuditEvent, want: bool) {
    check(&format!("s: {selection}\ncondition: s"), event, want);
}

#[test]
fn values_are_compared_as_the_specification_says() {
    let e = pod_exec();
    for (selection, want) in [
        // A map is all of its fields, a list of values any of them, a list of maps any of them.
        ("{objectRef.resource: pods, objectRef.namespace: shop}", true),
        ("{objectRef.resource: pods, objectRef.namespace: pay}", false),
        ("{objectRef.namespace: [pay, shop]}", true),
        ("[{objectRef.namespace: pay}, {objectRef.name: cart-1}]", true),
        ("[{objectRef.namespace: pay}, {objectRef.name: cart-2}]", false),
        // Without regard to case, unless it is asked for.
        ("{objectRef.resource: PODS}", true),
        ("{objectRef.resource|cased: PODS}", false),
        ("{userAgent|contains|cased: Kubectl}", false),
        // Wildcards, and how to write them as they are.
        ("{objectRef.name: 'cart-*'}", true),
        ("{objectRef.name: '*-1'}", true),
        ("{objectRef.name: '*art*'}", true),
        ("{objectRef.name: 'c*t-?'}", true),
        ("{objectRef.name: 'cart-??'}", false),
        ("{objectRef.name: 'cart-\\*'}", false),
        ("{objectRef.name: '*'}", true),
        ("{objectRef.apiGroup: '*'}", false),
        // Modifiers.
        ("{requestURI|contains: '/pods/'}", true),
        ("{requestURI|startswith: /api/v1}", true),
        ("{requestURI|endswith: command=sh}", true),
        ("{requestURI|startswith: command=sh}", false),
        ("{requestURI|contains|all: [cart-1, command=]}", true),
        ("{requestURI|contains|all: [cart-1, cart-2]}", false),
        ("{requestURI|contains: 'shop*exec'}", true),
        ("{requestURI|re: 'command=(sh|bash)$'}", true),
        ("{requestURI|re: 'COMMAND='}", false),
        ("{requestURI|re: '(?i)COMMAND='}", true),
        ("{sourceIPs|cidr: 203.0.113.0/24}", true),
        ("{sourceIPs|cidr: [10.0.0.0/8, '2001:db8::/32']}", false),
        ("{sourceIPs|cidr: 0.0.0.0/0}", true),
        ("{objectRef.subresource|exists: true}", true),
        ("{objectRef.apiGroup|exists: true}", false),
        ("{objectRef.apiGroup|exists: false}", true),
        // Nothing and the empty value are the same.
        ("{objectRef.apiGroup: null}", true),
        ("{objectRef.apiGroup: ''}", true),
        ("{objectRef.apiGroup: [null, apps]}", true),
        ("{objectRef.name: null}", false),
        // An exec is logged as get or create: rules in the wild name either.
        ("{verb: create}", true),
        ("{verb: get}", true),
        ("{verb: exec}", true),
        ("{verb: list}", false),
        ("{leadsman.action: get}", false),
        ("{leadsman.action: exec}", true),
        // Numbers and truth.
        ("{responseStatus.code: 101}", true),
        ("{responseStatus.code: [401, 403]}", false),
        ("{responseStatus.code|startswith: 1}", true),
        ("{leadsman.succeeded: true}", true),
        ("{leadsman.denied: true}", false),
        ("{leadsman.actor_class: human}", true),
        ("{level: RequestResponse, stage: ResponseComplete, user.username: '*@example.com'}", true),
        ("{impersonatedUser.username: null}", true),
    ] {
        selected(selection, &e, want);
    }
}

#[test]
fn risks_are_a_list() {
    let e = binding();
    for (selection, want) in [
        ("{leadsman.risk: cluster_admin_binding}", true),
        ("{leadsman.risk: [privileged, broad_subject]}", true),
        ("{leadsman.risk|all: [cluster_admin_binding, broad_subject]}", true),
        ("{leadsman.risk|all: [cluster_admin_binding, privileged]}", false),
        ("{leadsman.risk|exists: true}", true),
    ] {
        selected(selection, &e, want);
    }
    selected("{leadsman.risk|exists: false}", &pod_exec(), true);
}

#[test]
fn conditions_bind_as_usual() {
    let names = "yes_a: {verb: get}\nyes_b: {objectRef.resource: pods}\nno_a: {verb: list}\n_part: {verb: watch}\n";
    for (condition, want) in [
        ("yes_a", true),
        ("not no_a", true),
        ("not not no_a", false),
        ("no_a or yes_a and yes_b", true),
        ("(no_a or yes_a) and no_a", false),
        ("no_a and yes_a or yes_b", true),
        ("yes_a AND NOT no_a", true),
        ("1 of yes_*", true),
        ("1 of no_*", false),
        ("all of yes_*", true),
        ("all of *_a", false),
        ("1 of them", true),
        ("all of them", false),
        ("not 1 of no_* and (all of yes*)", true),
    ] {
        check(&format!("{names}condition: {condition}"), &pod_exec(), want);
    }
    // `them` leaves out what begins with an underscore.
    check("a: {verb: get}\n_b: {verb: list}\ncondition: all of them", &pod_exec(), true);
}

#[test]
fn later_files_replace_and_switch_off() {
    let rule = one_rule("s: {verb: get}\ncondition: s");
    let file = |name, text| super::RuleSource { name, text };
    let off = rule.replace("title: T\n", "title: T\nstatus: deprecated\n");
    let other = rule.replace("title: T", "title: U");
    let titles = |files: &[super::RuleSource<'_>]| {
        let rules = super::RuleSet::compile(files).unwrap();
        (rules.rules().iter().map(|r| r.title.clone()).collect::<Vec<_>>(), rules.digest().to_owned())
    };
    let (one, digest) = titles(&[file("a", &rule)]);
    assert_eq!(one, ["T"]);
    let (replaced, changed) = titles(&[file("a", &rule), file("b", &other)]);
    assert_eq!(replaced, ["U"]);
    assert_ne!(digest, changed);
    assert!(titles(&[file("a", &rule), file("b", &off)]).0.is_empty());
}

#[test]
fn the_index_is_in_the_order_of_verbs() {
    for (i, verb) in VERBS.into_iter().enumerate() {
        assert_eq!(verb as usize, i);
    }
}

#[test]
fn resources_are_found_in_any_case() {
    let mut e = pod_exec();
    e.object.resource = leadsman_domain::Untrusted::new("PODS");
    selected("{objectRef.resource: pods}", &e, true);
}

#[test]
fn every_field_is_named_once() {
    let names = Field::names();
    for name in names.split(", ") {
        assert!(Field::named(name).is_some(), "{name}");
        assert_eq!(names.split(", ").filter(|n| *n == name).count(), 1, "{name}");
    }
}

fn condition() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec!["a", "b", "c", "d"]).prop_map(str::to_owned);
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|e| format!("not ({e})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} and {b})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("({a} or {b})")),
        ]
    })
}

proptest! {
    /// The index only leaves out what cannot match: it and the bare condition agree for any rule.
    #[test]
    fn the_index_changes_no_answer(condition in condition(), verb in "get|list|create|exec", resource in "pods|secrets|nodes|PODS") {
        let names = "a: {verb: [get, create]}\nb: {objectRef.resource: [pods, secrets]}\nc: {objectRef.resource: 'se*'}\nd: {leadsman.action: exec}";
        let rules = compile(&one_rule(&format!("{names}\ncondition: {condition}"))).unwrap();
        let subresource = if verb == "exec" { json!("exec") } else { json!(null) };
        let resource = if verb == "exec" { "pods" } else { &resource };
        let verb = if verb == "exec" { "get" } else { &verb };
        let e = event(&json!({"verb": verb, "objectRef": {"resource": resource, "subresource": subresource}}));
        let bare = rules.rules()[0].expr.holds(&e);
        prop_assert_eq!(rules.matching(&e).count() == 1, bare);
    }

    /// Wildcards agree with a plain backtracking matcher.
    #[test]
    fn wildcards_mean_what_they_say(pattern in "[ab*?]{1,6}", value in "[ab]{1,6}") {
        let mut e = pod_exec();
        e.object.name = Some(leadsman_domain::Untrusted::new(value.clone()));
        let rules = compile(&one_rule(&format!("s: {{objectRef.name: '{pattern}'}}\ncondition: s"))).unwrap();
        prop_assert_eq!(rules.matching(&e).count() == 1, glob(pattern.as_bytes(), value.as_bytes()));
    }
}

fn glob(pattern: &[u8], value: &[u8]) -> bool {
    match (pattern, value) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => glob(rest, value) || (!value.is_empty() && glob(pattern, &value[1..])),
        ([b'?', p @ ..], [_, v @ ..]) => glob(p, v),
        ([a, p @ ..], [b, v @ ..]) if a == b => glob(p, v),
        _ => false,
    }
}
