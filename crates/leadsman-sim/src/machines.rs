//! Nodes, the control plane's own reads, and the probes of load balancers.

use crate::api::{
    ACCOUNTS, AUTOSCALERS, CONFIGMAPS, Call, DEPLOYMENTS, EVENTS, LEASES, NODES, POD_METRICS, PODS, QUOTAS,
    REPLICASETS, SERVICES,
};
use crate::controllers::Controller;
use crate::day::Day;
use crate::identity::Client;
use crate::log::{later, version_at};

/// Address and program of the load balancer that probes the API server without an identity.
pub(crate) const LOAD_BALANCER: (&str, &str) = ("10.0.0.5", "Go-http-client/1.1");

pub(crate) fn run(day: &mut Day<'_>) {
    for node in 0..day.cluster.nodes.len() {
        kubelet(day, node);
    }
    control_plane(day);
    anonymous(day);
}

/// A kubelet reports its node, looks at its pods and renews their tokens.
fn kubelet(day: &mut Day<'_>, index: usize) {
    let cluster = day.cluster;
    let name = cluster.nodes[index].name.clone();
    let mut dice = day.dice("kubelet", &name);
    let dice = &mut dice;
    let offset = index as f64 * 41.0;
    for beat in 0..288 {
        let mut at = later(day.midnight(), f64::from(beat) * 300.0 + offset + dice.unit() * 2.0);
        let client = cluster.kubelet(index, at);
        // Mostly the kubelet answers itself from its cache.
        if dice.chance(0.4) {
            let get = Call::get(NODES, "", &name).query("?resourceVersion=0&timeout=10s");
            at = day.log.call(dice, &client, at, &get);
        }
        day.log.call(dice, &client, at, &Call::patch(NODES, "", &name).sub("status").query("?timeout=10s"));
    }
    let renewals = if cluster.estate.logs_leases { 8_640 } else { 0 };
    for beat in 0..renewals {
        let at = later(day.midnight(), f64::from(beat) * 10.0 + offset % 10.0 + dice.unit() * 0.2);
        let client = cluster.kubelet(index, at);
        day.log.call(dice, &client, at, &Call::update(LEASES, "kube-node-lease", &name).query("?timeout=10s"));
    }
    for beat in 0..36 {
        let at = later(day.midnight(), f64::from(beat) * 2_400.0 + offset + dice.unit() * 600.0);
        let client = cluster.kubelet(index, at);
        let version = version_at(at);
        let api = *dice.pick(&[PODS, SERVICES, CONFIGMAPS]);
        let ns = if api == CONFIGMAPS { *dice.pick(cluster.estate.app_namespaces) } else { "" };
        let length = 320 + dice.below(260) as u32;
        day.log.call(dice, &client, at, &Call::watch(api, ns, version, length));
    }
    for beat in 0..144 {
        let at = later(day.midnight(), f64::from(beat) * 600.0 + dice.unit() * 590.0);
        let client = cluster.kubelet(index, at);
        for (workload, spec) in cluster.workloads().iter().enumerate() {
            let pod = cluster.pod_at(workload, at);
            if pod.node != index || !dice.chance(0.5) {
                continue;
            }
            let at = day.log.call(dice, &client, at, &Call::get(PODS, spec.namespace, &pod.name));
            if dice.chance(0.25) {
                let token = Call::create(ACCOUNTS, spec.namespace, spec.name).sub("token");
                day.log.call(dice, &client, later(at, 0.3), &token);
            }
        }
        if dice.chance(0.05) {
            day.log.call(dice, &client, later(at, 1.0), &Call::get(LEASES, "kube-node-lease", &name));
        }
    }
}

fn control_plane(day: &mut Day<'_>) {
    let cluster = day.cluster;
    let mut dice = day.dice("control plane", "");
    let dice = &mut dice;
    for beat in 0..288 {
        let at = later(day.midnight(), f64::from(beat) * 300.0 + dice.unit() * 20.0);
        for workload in cluster.workloads().iter().filter(|w| cluster.estate.autoscaled.contains(&w.name)) {
            let query = format!("?labelSelector=app%3D{}", workload.name);
            let list = Call::new("list", POD_METRICS, workload.namespace, "").query(query);
            let t = day.control(dice, Controller::Autoscaler, at, &list);
            let scale = Call::get(DEPLOYMENTS, workload.namespace, workload.name).sub("scale");
            let t = day.control(dice, Controller::Autoscaler, t, &scale);
            if dice.chance(0.1) {
                let status = Call::update(AUTOSCALERS, workload.namespace, workload.name).sub("status");
                day.control(dice, Controller::Autoscaler, t, &status);
            }
        }
        if beat % 6 == 0 {
            let ns = *dice.pick(cluster.estate.app_namespaces);
            day.control(dice, Controller::ResourceQuota, at, &Call::update(QUOTAS, ns, "team").sub("status"));
        }
        // Old events age out all the time; the policy keeps a trickle.
        if dice.chance(0.05) {
            day.control(dice, Controller::GarbageCollector, at, &Call::list(EVENTS, ""));
        }
    }
    let manager = Client {
        identity: &cluster.manager,
        ip: crate::cluster::CONTROL_PLANE.to_owned(),
        agent: format!("kube-controller-manager/{}", crate::cluster::SERVER),
        pod: None,
    };
    let scheduler = cluster.scheduler();
    for beat in 0..96 {
        let at = later(day.midnight(), f64::from(beat) * 900.0 + dice.unit() * 400.0);
        let version = version_at(at);
        for (client, apis) in [(&scheduler, [PODS, NODES, REPLICASETS]), (&manager, [PODS, CONFIGMAPS, NODES])] {
            let api = *dice.pick(&apis);
            let length = 300 + dice.below(300) as u32;
            day.log.call(dice, client, later(at, f64::from(length % 60)), &Call::watch(api, "", version, length));
        }
    }
}

/// Probes need no identity: the load balancer's, the uptime service's, and the odd lost client.
fn anonymous(day: &mut Day<'_>) {
    let mut dice = day.dice("anonymous", "");
    let dice = &mut dice;
    let client = |ip: &str, agent: &str| Client {
        identity: &day.cluster.anonymous,
        ip: ip.to_owned(),
        agent: agent.to_owned(),
        pod: None,
    };
    let balancer = client(LOAD_BALANCER.0, LOAD_BALANCER.1);
    let uptime = client("10.20.8.14", "UptimeProbe/2.1");
    let lost = client("10.0.1.10", "curl/8.9.1");
    for minute in 0..1_440 {
        let at = later(day.midnight(), f64::from(minute) * 60.0 + dice.unit() * 3.0);
        day.log.call(dice, &balancer, at, &Call::path(if minute % 2 == 0 { "/readyz" } else { "/livez" }));
        if minute % 60 == 7 {
            day.log.call(dice, &uptime, later(at, 12.0), &Call::path("/version"));
        }
        if dice.chance(0.002) {
            let call =
                if dice.chance(0.5) { Call::path("/metrics").code(403) } else { Call::path("/metrics").code(401) };
            day.log.call(dice, &lost, later(at, 20.0), &call);
        }
    }
}
