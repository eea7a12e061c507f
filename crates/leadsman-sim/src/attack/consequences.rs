//! What the control plane does because of an attack. Where its machines are unknown, nothing is logged for them.

use super::bodies::Rig;
use super::intruder::Intruder;
use crate::api::{ACCOUNTS, CONFIGMAPS, Call, PODS, REPLICASETS};
use crate::cluster::Cluster;
use crate::controllers::Controller;
use crate::dice::fixed_uuid;
use crate::log::later;

impl Intruder<'_> {
    /// A pod that somebody created is placed and started; a pod with a node needs no scheduler.
    pub(super) fn pod_starts(&mut self, namespace: &str, name: &str, node: Option<&str>) {
        let Some(cluster) = self.scene.cluster else { return };
        let index = match node {
            Some(node) => cluster.nodes.iter().position(|n| n.name == node).unwrap_or_default(),
            None => {
                let binding = Call::create(PODS, namespace, name).sub("binding");
                self.log.call(&mut self.dice, &cluster.scheduler(), self.now, &binding);
                self.dice.below(cluster.nodes.len())
            }
        };
        self.kubelet_starts(cluster, namespace, name, index);
    }

    /// A controller creates the pods of something that somebody made: one, or one a node.
    pub(super) fn owner_starts(&mut self, owner: Owner, namespace: &str, name: &str, rig: &Rig) {
        let Some(cluster) = self.scene.cluster else { return };
        let mut at = self.now;
        let (controller, kind, set, pods) = match owner {
            Owner::Deployment => {
                let set = format!("{name}-{}", self.dice.suffix(10));
                let create =
                    Call::create(REPLICASETS, namespace, &set).body(rig.controlled("ReplicaSet", namespace, &set));
                at = self.log.call(&mut self.dice, &cluster.controller(Controller::Deployment), at, &create);
                (Controller::ReplicaSet, "ReplicaSet", set, 1)
            }
            Owner::DaemonSet => (Controller::DaemonSet, "DaemonSet", name.to_owned(), cluster.nodes.len()),
        };
        let uid = fixed_uuid(cluster.seed, "owner", &format!("{namespace}/{set}"), 0);
        for node in 0..pods {
            let pod = format!("{set}-{}", self.dice.suffix(5));
            let create = Call::create(PODS, namespace, "").body(rig.owned_pod(namespace, (kind, &set, &uid), name));
            at = self.log.call(&mut self.dice, &cluster.controller(controller), later(at, 0.05), &create);
            let binding = Call::create(PODS, namespace, &pod).sub("binding");
            self.log.call(&mut self.dice, &cluster.scheduler(), later(at, 0.02), &binding);
            self.kubelet_starts(cluster, namespace, &pod, node);
        }
    }

    /// A deleted pod stops.
    pub(super) fn pod_stops(&mut self, namespace: &str, name: &str) {
        let Some(cluster) = self.scene.cluster else { return };
        let kubelet = cluster.kubelet(self.dice.below(cluster.nodes.len()), self.now);
        let patch = Call::patch(PODS, namespace, name).sub("status");
        let at = later(self.now, self.dice.between(0.5, 4.0));
        let at = self.log.call(&mut self.dice, &kubelet, at, &patch);
        self.log.call(&mut self.dice, &kubelet, later(at, 0.2), &Call::delete(PODS, namespace, name));
    }

    /// What hung on a deleted owner is collected.
    pub(super) fn garbage(&mut self, calls: &[Call]) {
        let Some(cluster) = self.scene.cluster else { return };
        let mut at = later(self.now, 0.3);
        for call in calls {
            at = self.log.call(&mut self.dice, &cluster.controller(Controller::GarbageCollector), later(at, 0.1), call);
        }
    }

    fn kubelet_starts(&mut self, cluster: &Cluster, namespace: &str, name: &str, node: usize) {
        let kubelet = cluster.kubelet(node, self.now);
        let mut at = later(self.now, self.dice.between(0.05, 0.4));
        for call in [
            Call::create(ACCOUNTS, namespace, "default").sub("token"),
            Call::get(CONFIGMAPS, namespace, "kube-root-ca.crt"),
            Call::get(PODS, namespace, name),
            Call::patch(PODS, namespace, name).sub("status"),
        ] {
            at = self.log.call(&mut self.dice, &kubelet, later(at, 0.05), &call);
        }
        let ready = later(at, self.dice.between(1.5, 12.0));
        self.log.call(&mut self.dice, &kubelet, ready, &Call::patch(PODS, namespace, name).sub("status"));
    }
}

/// What makes pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Deployment,
    DaemonSet,
}
