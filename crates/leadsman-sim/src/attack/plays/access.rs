//! Ways into pods and nodes that already run.

use crate::api::{Call, NODES, PODS, SERVICES};
use crate::attack::intruder::{Intruder, app_of};
use crate::log::later;

/// The commands that follow `?` in an exec's URI; kubectl sends one parameter a word.
const TOKEN: &str = "command=cat&command=%2Fvar%2Frun%2Fsecrets%2Fkubernetes.io%2Fserviceaccount%2Ftoken";
const TOKEN_BY_SHELL: &str =
    "command=sh&command=-c&command=cat+%2Fvar%2Frun%2Fsecrets%2Fkubernetes.io%2Fserviceaccount%2F%2A";
const METADATA: [&str; 3] = [
    "command=curl&command=-s&command=http%3A%2F%2F169.254.169.254%2Flatest%2Fmeta-data%2Fiam%2Fsecurity-credentials%2F",
    "command=wget&command=-qO-&command=http%3A%2F%2F169.254.169.254%2Fmetadata%2Fidentity%2Foauth2%2Ftoken",
    "command=sh&command=-c&command=curl+-H+Metadata-Flavor%3AGoogle+http%3A%2F%2F169.254.169.254%2FcomputeMetadata%2Fv1%2F",
];

pub(super) fn exec_read_token(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    let (namespace, pod) = intruder.pod();
    intruder.call(&intruder.list(PODS, &namespace));
    intruder.step();
    let command = *intruder.dice.pick(&[TOKEN, TOKEN_BY_SHELL]);
    exec(intruder, &namespace, &pod, command, false);
}

pub(super) fn exec_metadata_service(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    let (namespace, pod) = intruder.pod();
    intruder.call(&intruder.list(PODS, &namespace));
    intruder.step();
    let command = *intruder.dice.pick(&METADATA);
    exec(intruder, &namespace, &pod, command, false);
}

pub(super) fn exec_shell(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    let system: Vec<_> = intruder.scene.terrain.pods.iter().filter(|(ns, _)| ns == "kube-system").cloned().collect();
    let target = if system.is_empty() || intruder.dice.chance(0.3) {
        intruder.pod()
    } else {
        intruder.dice.pick(&system).clone()
    };
    let (namespace, pod) = target;
    intruder.call(&intruder.list(PODS, &namespace));
    intruder.step();
    exec(intruder, &namespace, &pod, "command=id", false);
    intruder.step();
    let shell = *intruder.dice.pick(&["command=sh", "command=bash", "command=%2Fbin%2Fsh"]);
    exec(intruder, &namespace, &pod, shell, true);
}

fn exec(intruder: &mut Intruder<'_>, namespace: &str, pod: &str, command: &str, terminal: bool) {
    intruder.call(&Call::get(PODS, namespace, pod));
    let container = app_of(pod);
    let query = if terminal {
        format!("?{command}&container={container}&stdin=true&stdout=true&tty=true")
    } else {
        format!("?{command}&container={container}&stderr=true&stdout=true")
    };
    let length = if terminal { intruder.dice.between(20.0, 300.0) } else { intruder.dice.between(0.2, 4.0) };
    intruder.decide(&Call::get(PODS, namespace, pod).sub("exec").query(query).code(101).open_for(length));
    intruder.now = later(intruder.now, length);
}

pub(super) fn node_proxy(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    let node = intruder.node();
    intruder.call(&intruder.list(NODES, ""));
    intruder.step();
    intruder.decide(&Call::get(NODES, "", &node).sub("proxy").tail("/runningpods/"));
    intruder.step();
    let (namespace, pod) = intruder.pod();
    let run = format!("/run/{namespace}/{pod}/{}?cmd=id", app_of(&pod));
    intruder.decide(&Call::create(NODES, "", &node).sub("proxy").tail(run).code(200));
}

pub(super) fn port_forward(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    let (namespace, pod) = intruder.pod();
    intruder.call(&intruder.list(PODS, &namespace));
    intruder.step();
    intruder.call(&Call::get(PODS, &namespace, &pod));
    let length = intruder.dice.between(60.0, 1_200.0);
    intruder.decide(&Call::get(PODS, &namespace, &pod).sub("portforward").code(101).open_for(length));
}

pub(super) fn service_proxy(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    let (namespace, pod) = intruder.pod();
    intruder.call(&intruder.list(SERVICES, &namespace));
    let path = *intruder.dice.pick(&["/", "/metrics", "/api/v1/query?query=up", "/admin", "/debug/pprof/"]);
    for _ in 0..2 {
        intruder.step();
        let (api, name) = if intruder.dice.chance(0.5) {
            (PODS, format!("{pod}:8080"))
        } else {
            (SERVICES, format!("{}:http", app_of(&pod)))
        };
        intruder.decide(&Call::get(api, &namespace, &name).sub("proxy").tail(path));
    }
}
