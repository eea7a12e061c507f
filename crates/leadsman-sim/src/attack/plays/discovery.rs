//! Looking: what there is, what is allowed, and what others wrote down.

use crate::api::{
    ACCESS_REVIEWS, Api, CLUSTER_BINDINGS, CLUSTER_ROLES, CONFIGMAPS, Call, NAMESPACES, NODES, PODS, RULES_REVIEWS,
    SECRETS,
};
use crate::attack::intruder::{Intruder, app_of};

/// Anonymous may do nothing: that it may here is the decisive thing.
pub(super) fn anonymous_access(intruder: &mut Intruder<'_>) {
    intruder.call(&Call::path("/version"));
    intruder.call(&intruder.list(NODES, "").code(403));
    intruder.step();
    let api = *intruder.dice.pick(&[SECRETS, PODS, CONFIGMAPS]);
    let namespace = intruder.elsewhere();
    intruder.decide(&intruder.list(api, &namespace));
    intruder.step();
    if api == SECRETS {
        for (namespace, name) in intruder.secrets(2) {
            intruder.decide(&Call::get(SECRETS, &namespace, &name));
        }
    } else {
        intruder.decide(&intruder.list(api, ""));
    }
}

pub(super) fn permission_scan(intruder: &mut Intruder<'_>) {
    for path in ["/version", "/api", "/apis", "/openapi/v2"] {
        intruder.call(&Call::path(path));
    }
    for round in 0..3 {
        intruder.step();
        intruder.decide(&Call::create(RULES_REVIEWS, "", ""));
        for _ in 0..4 + intruder.dice.below(5) {
            intruder.decide(&Call::create(ACCESS_REVIEWS, "", ""));
        }
        let apis: [Api; 7] = [NODES, NAMESPACES, SECRETS, CLUSTER_ROLES, CLUSTER_BINDINGS, PODS, CONFIGMAPS];
        for api in intruder.some(&apis, 3) {
            let list = intruder.list(api, "");
            let refused = round < 2 && intruder.narrow.is_some() && intruder.dice.chance(0.7);
            intruder.call(&if refused { list.code(403) } else { list });
        }
    }
}

pub(super) fn log_theft(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    intruder.call(&intruder.list(PODS, ""));
    for (index, (namespace, pod)) in intruder.pods(8).into_iter().enumerate() {
        if index % 2 == 0 {
            intruder.step();
        }
        let query = format!("?container={}", app_of(&pod));
        intruder.decide(&Call::get(PODS, &namespace, &pod).sub("log").query(query));
    }
}

/// Nothing but what the identity does every day: only where it comes from and with what can tell.
pub(super) fn browse(intruder: &mut Intruder<'_>) {
    let everyday = intruder.culprit.everyday.clone();
    for _ in 0..4 {
        let call = intruder.dice.pick(&everyday).clone();
        intruder.decide(&call);
        intruder.step();
    }
}
