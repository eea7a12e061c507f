//! Secrets, tokens and certificates.

use crate::api::{ACCOUNTS, CONFIGMAPS, Call, DEPLOYMENTS, NAMESPACES, PODS, SECRETS, SIGNING_REQUESTS};
use crate::attack::intruder::Intruder;
use crate::bodies::{manifest, text};
use crate::json::{Json, list, object};

pub(super) fn list_secrets(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    let home_first = intruder.dice.chance(0.5);
    if home_first {
        let home = intruder.home();
        intruder.call(&intruder.list(SECRETS, &home));
        intruder.step();
    }
    intruder.decide(&intruder.list(SECRETS, ""));
    if !home_first {
        intruder.step();
        for (namespace, name) in intruder.secrets(2) {
            intruder.call(&Call::get(SECRETS, &namespace, &name));
        }
    }
}

/// Whoever has bindings in some namespaces is refused in the others; whoever may act everywhere is never refused.
pub(super) fn enumerate_secrets(intruder: &mut Intruder<'_>) {
    let (refused, wanted) = (intruder.elsewhere(), intruder.secrets(7));
    let wanted: Vec<_> = wanted.into_iter().filter(|(namespace, _)| *namespace != refused).collect();
    if let Some(mut identity) = intruder.narrow.clone() {
        for (namespace, _) in &wanted {
            identity = identity.role(namespace, "shared-config", "secret-reader");
        }
        intruder.culprit.identity = identity;
    }
    intruder.look_around();
    let denied = |call: Call, narrow: bool| if narrow { call.code(403) } else { call };
    let narrow = intruder.narrow.is_some();
    intruder.call(&denied(intruder.list(NAMESPACES, ""), narrow));
    intruder.call(&denied(intruder.list(SECRETS, &refused), narrow));
    for (index, (namespace, name)) in wanted.iter().enumerate() {
        if index % 2 == 0 {
            intruder.step();
        }
        intruder.decide(&Call::get(SECRETS, namespace, name));
    }
    if wanted.is_empty() {
        intruder.step();
        intruder.decide(&Call::get(SECRETS, &intruder.home(), "database"));
    }
}

pub(super) fn config_sweep(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    let namespaces = intruder.scene.terrain.namespaces.clone();
    for namespace in intruder.some(&namespaces, 5) {
        intruder.decide(&intruder.list(CONFIGMAPS, &namespace));
        let api = if intruder.dice.chance(0.5) { PODS } else { DEPLOYMENTS };
        intruder.decide(&intruder.list(api, &namespace));
        intruder.step();
    }
    intruder.decide(&intruder.list(CONFIGMAPS, ""));
}

pub(super) fn long_lived_token(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    intruder.call(&intruder.list(ACCOUNTS, "kube-system"));
    intruder.step();
    let account = *intruder.dice.pick(&[
        "clusterrole-aggregation-controller",
        "generic-garbage-collector",
        "namespace-controller",
        "resourcequota-controller",
    ]);
    intruder.decide(&Call::create(ACCOUNTS, "kube-system", account).sub("token"));
}

pub(super) fn client_certificate(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    let name = intruder.name();
    let spec = object([
        ("request", text(&intruder.dice.hex(64))),
        ("signerName", "kubernetes.io/kube-apiserver-client".into()),
        ("expirationSeconds", 315_360_000.into()),
        ("usages", list(["client auth".into()])),
    ]);
    let body = manifest("certificates.k8s.io/v1", "CertificateSigningRequest", "", &name, [("spec", spec)]);
    intruder.create(SIGNING_REQUESTS, "", &name, Some(body));
    intruder.step();
    intruder.call(&Call::get(SIGNING_REQUESTS, "", &name));
    intruder.decide(&Call { body: None::<Json>, ..Call::update(SIGNING_REQUESTS, "", &name).sub("approval") });
    intruder.step();
    intruder.call(&Call::get(SIGNING_REQUESTS, "", &name));
}
