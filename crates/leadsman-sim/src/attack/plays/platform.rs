//! What the whole cluster stands on: admission, names, nodes, operators, exposure.

use crate::api::{
    APPLICATIONS, CONFIGMAPS, CRDS, Call, INFERENCE_SERVICES, MUTATING_WEBHOOKS, NAMESPACES, NODES, SERVICES, WEBHOOKS,
};
use crate::attack::intruder::Intruder;
use crate::bodies::manifest;
use crate::json::{Json, list, object};

pub(super) fn webhook(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    let mutating = intruder.dice.chance(0.6);
    let (api, kind) = if mutating {
        (MUTATING_WEBHOOKS, "MutatingWebhookConfiguration")
    } else {
        (WEBHOOKS, "ValidatingWebhookConfiguration")
    };
    intruder.call(&intruder.list(api, ""));
    intruder.step();
    let name = intruder.name();
    let url = format!("https://{}.invalid/mutate", intruder.dice.hex(8));
    let rule = object([
        ("apiGroups", list(["".into()])),
        ("apiVersions", list(["v1".into()])),
        ("operations", list(["CREATE".into()])),
        ("resources", list(["pods".into(), "secrets".into()])),
    ]);
    let hook = object([
        ("name", format!("{name}.invalid").into()),
        ("clientConfig", object([("url", url.into())])),
        ("rules", list([rule])),
        ("failurePolicy", "Ignore".into()),
        ("sideEffects", "None".into()),
        ("admissionReviewVersions", list(["v1".into()])),
    ]);
    let body = manifest("admissionregistration.k8s.io/v1", kind, "", &name, [("webhooks", list([hook]))]);
    intruder.create(api, "", &name, Some(body));
}

pub(super) fn coredns_config(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    intruder.call(&intruder.list(CONFIGMAPS, "kube-system"));
    intruder.step();
    intruder.patch(CONFIGMAPS, "kube-system", "coredns", None::<Json>);
}

pub(super) fn expose_service(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    let namespace = if intruder.dice.chance(0.5) { intruder.elsewhere() } else { intruder.home() };
    intruder.call(&intruder.list(SERVICES, &namespace));
    intruder.step();
    let name = intruder.name();
    intruder.create(SERVICES, &namespace, &name, None);
    intruder.step();
    intruder.call(&Call::get(SERVICES, &namespace, &name));
}

/// An Application that points at a foreign repository; sometimes a resource definition of the attacker's own first.
pub(super) fn operator_abuse(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    if intruder.dice.chance(0.3) {
        let name = format!("{}s.{}.invalid", intruder.name(), intruder.dice.hex(6));
        intruder.create(CRDS, "", &name, None);
        intruder.step();
    }
    intruder.call(&intruder.list(APPLICATIONS, "argocd"));
    intruder.step();
    let name = intruder.name();
    intruder.create(APPLICATIONS, "argocd", &name, None);
    intruder.step();
    intruder.call(&Call::get(APPLICATIONS, "argocd", &name));
}

pub(super) fn rogue_node(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    intruder.call(&intruder.list(NODES, ""));
    intruder.step();
    let name = format!("worker-{}", intruder.dice.suffix(4));
    let labels = object([("metadata", object([("labels", object([("node-role.kubernetes.io/worker", "".into())]))]))]);
    intruder.create(NODES, "", &name, None);
    intruder.decide(&Call::patch(NODES, "", &name).body(labels));
    intruder.decide(&Call::patch(NODES, "", &name).sub("status").query("?timeout=10s"));
}

pub(super) fn pod_security_off(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    let namespace = if intruder.dice.chance(0.5) { intruder.elsewhere() } else { intruder.home() };
    let labels = object([
        ("pod-security.kubernetes.io/enforce", "privileged".into()),
        ("pod-security.kubernetes.io/warn", Json::Null),
    ]);
    let body = object([("metadata", object([("labels", labels)]))]);
    intruder.patch(NAMESPACES, "", &namespace, Some(body));
}

pub(super) fn inference_swap(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    let namespace =
        if intruder.scene.terrain.namespaces.iter().any(|n| n == "ml") { "ml".to_owned() } else { intruder.home() };
    intruder.call(&intruder.list(INFERENCE_SERVICES, &namespace));
    intruder.step();
    let name = *intruder.dice.pick(&["ranker", "fraud-score", "search-embed", "recommender"]);
    let uri = format!("s3://{}/models/{name}", intruder.dice.hex(8));
    let model = object([("modelFormat", object([("name", "pytorch".into())])), ("storageUri", uri.into())]);
    let body = object([("spec", object([("predictor", object([("model", model)]))]))]);
    intruder.patch(INFERENCE_SERVICES, &namespace, name, Some(body));
}
