//! Deleting: traces, and everything.

use crate::api::{ACCOUNTS, CLAIMS, Call, DEPLOYMENTS, EVENTS, JOBS, NAMESPACES, PODS, REPLICASETS, SECRETS};
use crate::attack::intruder::{Intruder, app_of};

pub(super) fn delete_events(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    for round in 0..2 {
        let namespace = if round == 0 { intruder.home() } else { intruder.elsewhere() };
        intruder.call(&intruder.list(EVENTS, &namespace));
        if intruder.dice.chance(0.6) {
            intruder.decide(&Call::new("deletecollection", EVENTS, &namespace, ""));
        } else {
            for _ in 0..3 {
                let name = format!("{}.{}", intruder.name(), intruder.dice.hex(16));
                intruder.decide(&Call::delete(EVENTS, &namespace, &name));
            }
        }
        intruder.step();
    }
}

/// What an intrusion left behind goes: pods, jobs, accounts, bindings of its own.
pub(super) fn delete_evidence(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    let namespace = if intruder.dice.chance(0.5) { "kube-system".to_owned() } else { intruder.elsewhere() };
    intruder.call(&intruder.list(PODS, &namespace));
    for round in 0..3 {
        intruder.step();
        let pod = format!("{}-{}", intruder.name(), intruder.dice.suffix(5));
        intruder.decide(&Call::delete(PODS, &namespace, &pod));
        intruder.pod_stops(&namespace, &pod);
        let api = [JOBS, ACCOUNTS, SECRETS][round];
        let name = intruder.name();
        intruder.decide(&Call::delete(api, &namespace, &name));
    }
}

pub(super) fn destruction(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    let victims = intruder.pods(2);
    for (namespace, pod) in &victims {
        let app = app_of(pod);
        intruder.call(&intruder.list(DEPLOYMENTS, namespace));
        intruder.decide(&Call::delete(DEPLOYMENTS, namespace, &app));
        let set = pod.rsplit_once('-').map_or(pod.as_str(), |(set, _)| set);
        intruder.garbage(&[Call::delete(REPLICASETS, namespace, set), Call::delete(PODS, namespace, pod)]);
        intruder.pod_stops(namespace, pod);
        intruder.step();
        intruder.decide(&Call::delete(CLAIMS, namespace, &format!("{app}-data")));
    }
    for (namespace, secret) in intruder.secrets(2) {
        intruder.decide(&Call::delete(SECRETS, &namespace, &secret));
    }
    intruder.step();
    let namespace = intruder.elsewhere();
    intruder.decide(&Call::delete(NAMESPACES, "", &namespace));
}
