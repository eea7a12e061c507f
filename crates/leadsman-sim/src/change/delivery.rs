//! Changes of what is released, by whom, and of what is backed up.

use leadsman_domain::Timestamp;

use crate::agents::{self, Agent, SHARED_SECRETS};
use crate::api::{
    ACCOUNTS, AUTOSCALERS, CLUSTER_BINDINGS, CLUSTER_ROLES, CONFIGMAPS, CRONJOBS, Call, NAMESPACES, ROLE_BINDINGS,
    SECRETS, SERVICES,
};
use crate::bodies::{self, account_subject};
use crate::ci;
use crate::day::Day;
use crate::log::earlier;

use super::work::Work;

/// Namespace and name of the second backup's account.
const BACKUP: (&str, &str) = ("offsite-backup", "offsite-backup");

/// The rollouts of a release day come from [`crate::cluster::Cluster::rollout`]; new services come with them.
pub(super) fn new_services(day: &mut Day<'_>) {
    let cluster = day.cluster;
    let mut dice = day.dice("release day", "");
    let inside = cluster.workloads().iter().filter(|w| w.released && !ci::is_outside(cluster, w.namespace));
    let chosen: Vec<_> = inside.step_by(4).collect();
    for (turn, workload) in chosen.into_iter().enumerate() {
        let (ns, name) = (workload.namespace, format!("{}-v2", workload.name));
        let at = day.hour(12.2 + turn as f64 * 0.15);
        let client = ci::runner_pod(cluster, &mut dice, at);
        let mut work = Work::new(day, &mut dice, client, at);
        let image = format!("{}:{}", workload.image(), work.dice.hex(9));
        work.call(&Call::get(SECRETS, ns, "registry-pull"));
        work.create(ACCOUNTS, ns, &name, None);
        work.create(CONFIGMAPS, ns, &format!("{name}-config"), None);
        work.create(SECRETS, ns, &format!("{name}-credentials"), None);
        work.deploy(ns, &name, &image);
        work.create(SERVICES, ns, &name, None);
        work.create(AUTOSCALERS, ns, &name, None);
    }
}

/// The account of the second backup; its nights are in [`back_up`].
pub(super) fn backup_agent(seed: u64) -> Agent {
    let habits = vec![agents::every(3_600.0, Call::get(SECRETS, BACKUP.0, "bucket-credentials"))];
    agents::agent(seed, BACKUP.0, BACKUP.1, "restic-operator/v0.9.2 (linux/amd64)", habits)
}

/// On its first day it is set up; from the night after it reads all secrets.
pub(super) fn back_up(day: &mut Day<'_>, age: i64, installed: Timestamp) {
    let cluster = day.cluster;
    let mut dice = day.dice("second backup", "");
    let (ns, name) = BACKUP;
    if age == 0 {
        let client = day.admin();
        let mut work = Work::new(day, &mut dice, client, installed);
        let body = bodies::manifest("v1", "Namespace", "", ns, []);
        work.create(NAMESPACES, "", ns, Some(body));
        work.create(ACCOUNTS, ns, name, None);
        let resources = ["secrets", "configmaps", "namespaces", "persistentvolumeclaims"];
        let role = bodies::cluster_role(name, &[""], &resources, &["get", "list", "watch"]);
        work.create(CLUSTER_ROLES, "", name, Some(role));
        let body = bodies::binding("", name, name, account_subject(ns, name));
        work.create(CLUSTER_BINDINGS, "", name, Some(body));
        work.create(SECRETS, ns, "bucket-credentials", None);
        let job = bodies::owner("CronJob", ns, name, name, "registry.example.com/platform/restic:0.17".to_owned());
        work.create(CRONJOBS, ns, name, Some(job));
        return;
    }
    let Some((_, agent)) = cluster.arrivals.agents.iter().find(|(_, a)| a.namespace == ns) else { return };
    let at = day.hour(1.5 + dice.between(0.0, 0.02));
    let client = agent.client(cluster, at);
    let mut work = Work::new(day, &mut dice, client, at);
    work.pace = 0.3;
    work.call(&Call::list(NAMESPACES, ""));
    for ns in cluster.estate.namespaces {
        work.call(&Call::list(SECRETS, ns));
        work.call(&Call::list(CONFIGMAPS, ns));
    }
    for ns in cluster.estate.app_namespaces {
        for secret in SHARED_SECRETS {
            work.call(&Call::get(SECRETS, ns, secret));
        }
    }
}

/// An administrator makes the new account, and gives it what the old one had.
pub(super) fn migrate_ci(day: &mut Day<'_>, at: Timestamp) {
    let cluster = day.cluster;
    let mut dice = day.dice("ci migration", "");
    let (client, now) = (day.admin(), earlier(at, 2_400.0));
    let mut work = Work::new(day, &mut dice, client, now);
    let (ns, name) = ci::SUCCESSOR;
    work.create(NAMESPACES, "", ns, Some(bodies::manifest("v1", "Namespace", "", ns, [])));
    work.create(ACCOUNTS, ns, name, None);
    for target in cluster.estate.app_namespaces {
        let body = bodies::binding(target, "ci-deployer-v2", "edit", account_subject(ns, name));
        work.create(ROLE_BINDINGS, target, "ci-deployer-v2", Some(body));
        work.pause(5.0, 40.0);
    }
}
