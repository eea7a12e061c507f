//! The backup that the cluster has had for ever.

use crate::agents::SHARED_SECRETS;
use crate::api::{
    BACKUPS, CERTIFICATES, CLAIMS, CLUSTER_BINDINGS, CLUSTER_ROLES, CONFIGMAPS, CRONJOBS, Call, DAEMONSETS,
    DEPLOYMENTS, ENDPOINTS, EVENTS, INGRESSES, JOBS, NAMESPACES, PODS, REPLICASETS, SECRETS, SERVICES, STATEFULSETS,
    VOLUMES,
};
use crate::day::Day;
use crate::log::later;

/// The nightly backup lists everything there is, and then reads what it cannot afford to lose.
pub(crate) fn run(day: &mut Day<'_>) {
    let cluster = day.cluster;
    let Some(agent) = cluster.agents.iter().find(|a| a.name == "velero") else { return };
    let mut dice = day.dice("backup", "nightly");
    let dice = &mut dice;
    let mut t = later(day.hour(2.0), dice.between(0.0, 25.0));
    let client = agent.client(cluster, t);
    let apis = [
        NAMESPACES,
        PODS,
        SECRETS,
        CONFIGMAPS,
        SERVICES,
        ENDPOINTS,
        CLAIMS,
        VOLUMES,
        DEPLOYMENTS,
        REPLICASETS,
        STATEFULSETS,
        DAEMONSETS,
        JOBS,
        CRONJOBS,
        INGRESSES,
        CLUSTER_ROLES,
        CLUSTER_BINDINGS,
        EVENTS,
        CERTIFICATES,
    ];
    for api in apis {
        t = later(t, dice.between(0.05, 0.9));
        t = day.log.call(dice, &client, t, &Call::list(api, ""));
    }
    for ns in cluster.estate.namespaces {
        for api in [SECRETS, CONFIGMAPS, CLAIMS, DEPLOYMENTS] {
            t = later(t, dice.between(0.05, 0.9));
            t = day.log.call(dice, &client, t, &Call::list(api, ns));
        }
        t = day.log.call(dice, &client, later(t, 0.1), &Call::get(CONFIGMAPS, ns, "kube-root-ca.crt"));
    }
    for ns in cluster.estate.app_namespaces {
        for secret in SHARED_SECRETS {
            t = later(t, dice.between(0.05, 0.9));
            t = day.log.call(dice, &client, t, &Call::get(SECRETS, ns, secret));
        }
    }
    day.log.call(dice, &client, later(t, 2.0), &Call::patch(BACKUPS, "velero", "nightly"));
}
