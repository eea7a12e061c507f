//! Changes of what everybody stands on: operators, nodes, the repository, namespaces.

use leadsman_domain::Timestamp;

use crate::agents::{self, Agent};
use crate::api::{
    ACCOUNTS, APPLICATIONS, Api, CLUSTER_BINDINGS, CLUSTER_ROLES, CONFIGMAPS, CRDS, Call, DEPLOYMENTS,
    EXTERNAL_SECRETS, LEASES, NAMESPACES, NODES, PODS, QUOTAS, ROLE_BINDINGS, ROLES, SECRET_STORES, SECRETS, SERVICES,
    WEBHOOKS,
};
use crate::bodies::{self, account_subject, group_subject};
use crate::ci;
use crate::day::Day;
use crate::json::{list, object};
use crate::log::{earlier, later};

use super::NODES_FROM;
use super::work::Work;

const OPERATOR: (&str, &str) = ("external-secrets", "external-secrets");
const TEAM: &str = "labs";
const TEAM_SERVICES: [&str; 2] = ["recommender", "survey"];

/// The operator that keeps secrets like those of a vault.
pub(super) fn operator(seed: u64) -> Agent {
    let (ns, name) = OPERATOR;
    let mut habits = agents::watches(&[EXTERNAL_SECRETS, SECRET_STORES, SECRETS, NAMESPACES]);
    habits.push(agents::every(900.0, Call::list(EXTERNAL_SECRETS, "")));
    habits.push(agents::every(1_800.0, Call::update(SECRETS, "monitoring", "vault-synced")));
    habits.push(agents::every(1_800.0, Call::get(SECRETS, ns, "vault-token")));
    habits.push(agents::every(7_200.0, Call::get(LEASES, ns, "external-secrets-controller")));
    agents::agent(seed, ns, name, "external-secrets/v0.17.0 (linux/amd64) external-secrets/4b2f1aa", habits)
}

/// `helm install`, by an administrator.
pub(super) fn install_operator(day: &mut Day<'_>, at: Timestamp) {
    let mut dice = day.dice("operator install", "");
    let mut client = day.admin();
    client.agent = "Helm/3.18.3".to_owned();
    let mut work = Work::new(day, &mut dice, client, at);
    let (ns, name) = OPERATOR;
    work.create(NAMESPACES, "", ns, Some(bodies::manifest("v1", "Namespace", "", ns, [])));
    for kind in ["externalsecrets", "secretstores", "clustersecretstores", "pushsecrets"] {
        work.create(CRDS, "", &format!("{kind}.external-secrets.io"), None);
    }
    for account in [name, "external-secrets-webhook", "external-secrets-cert-controller"] {
        work.create(ACCOUNTS, ns, account, None);
        let verbs = ["get", "list", "watch", "create", "update", "delete", "patch"];
        let role = bodies::cluster_role(account, &["", "external-secrets.io"], &["secrets", "*"], &verbs);
        work.create(CLUSTER_ROLES, "", account, Some(role));
        let body = bodies::binding("", account, account, account_subject(ns, account));
        work.create(CLUSTER_BINDINGS, "", account, Some(body));
        work.deploy(ns, account, "registry.example.com/mirror/external-secrets:v0.17.0");
    }
    let body = bodies::manifest("rbac.authorization.k8s.io/v1", "Role", ns, "leader", [("rules", list([]))]);
    work.create(ROLES, ns, "leader", Some(body));
    work.create(SERVICES, ns, "external-secrets-webhook", None);
    work.create(SECRETS, ns, "external-secrets-webhook", None);
    let service = object([("name", "external-secrets-webhook".into()), ("namespace", ns.into())]);
    let hook = object([
        ("name", "validate.externalsecret.external-secrets.io".into()),
        ("clientConfig", object([("service", service)])),
        ("failurePolicy", "Fail".into()),
        ("sideEffects", "None".into()),
    ]);
    let version = "admissionregistration.k8s.io/v1";
    let hooks = [("webhooks", list([hook]))];
    let body = bodies::manifest(version, "ValidatingWebhookConfiguration", "", "externalsecret-validate", hooks);
    work.create(WEBHOOKS, "", "externalsecret-validate", Some(body));
    work.create(SECRETS, ns, "sh.helm.release.v1.external-secrets.v1", None);
}

/// Node after node is cordoned, drained and comes back; the pods' restarts come from
/// [`crate::cluster::Cluster::rollout`].
pub(super) fn upgrade_nodes(day: &mut Day<'_>) {
    let cluster = day.cluster;
    let mut dice = day.dice("node upgrade", "");
    for index in 0..cluster.nodes.len() {
        let name = &cluster.nodes[index].name;
        let back = cluster.upgraded_at(index, day.number);
        let (client, now) = (day.admin(), earlier(back, 420.0));
        let mut work = Work::new(day, &mut dice, client, now);
        work.call(&Call::get(NODES, "", name));
        work.call(&Call::patch(NODES, "", name));
        let query = format!("?fieldSelector=spec.nodeName%3D{name}&limit=500");
        work.call(&Call::list(PODS, "").query(query));
        // The machine reboots; its kubelet registers again.
        let kubelet = cluster.kubelet(index, back);
        let mut t = day.log.call(&mut dice, &kubelet, back, &Call::create(NODES, "", name).code(409));
        for call in [
            Call::get(NODES, "", name),
            Call::patch(NODES, "", name),
            Call::patch(NODES, "", name).sub("status"),
            Call::get(LEASES, "kube-node-lease", name),
        ] {
            t = day.log.call(&mut dice, &kubelet, later(t, 0.2), &call);
        }
        let client = day.admin();
        let mut work = Work::new(day, &mut dice, client, later(t, 40.0));
        work.call(&Call::get(NODES, "", name));
        work.call(&Call::patch(NODES, "", name));
    }
    evict(day);
}

/// `kubectl drain` evicts what a controller then makes anew.
fn evict(day: &mut Day<'_>) {
    let cluster = day.cluster;
    let mut dice = day.dice("evictions", "");
    for (index, workload) in cluster.workloads().iter().enumerate() {
        let Some(rollout) = cluster.rollout(index, day.number).filter(|r| r.at >= day.hour(NODES_FROM)) else {
            continue;
        };
        let old = cluster.pod_at(index, day.midnight());
        let (client, now) = (day.admin(), earlier(rollout.at, 1.0));
        let mut work = Work::new(day, &mut dice, client, now);
        work.call(&Call::create(PODS, workload.namespace, &old.name).sub("eviction"));
        work.call(&Call::get(PODS, workload.namespace, &old.name));
    }
}

/// Everything is applied again under new names; what has the old names is pruned.
pub(super) fn sync_all(day: &mut Day<'_>) {
    let cluster = day.cluster;
    let mut dice = day.dice("gitops sync", "");
    let at = day.hour(14.5);
    let argo = cluster.agents.iter().find(|a| a.name == "argocd-application-controller");
    // Without GitOps, CI does the same with kubectl apply --prune.
    let client = argo.map_or_else(|| ci::runner_pod(cluster, &mut dice, at), |a| a.client(cluster, at));
    let applications = argo.is_some();
    let mut work = Work::new(day, &mut dice, client, at);
    work.pace = 0.6;
    for workload in cluster.workloads().iter().filter(|w| w.released) {
        let (ns, name) = (workload.namespace, workload.name);
        if applications {
            work.call(&Call::patch(APPLICATIONS, "argocd", name));
            work.create(APPLICATIONS, "argocd", &format!("{ns}-{name}"), None);
        }
        let apis: [(Api, String); 3] =
            [(CONFIGMAPS, format!("{name}-config")), (SERVICES, name.to_owned()), (ACCOUNTS, name.to_owned())];
        for (api, object) in apis {
            work.call(&Call::get(api, ns, &object));
            work.call(&Call::patch(api, ns, &object));
        }
        let image = format!("{}:{}", workload.image(), work.dice.hex(9));
        let patch = bodies::image_patch(name, image);
        work.call(&Call::get(DEPLOYMENTS, ns, name));
        work.call(&Call::patch(DEPLOYMENTS, ns, name).body(patch));
        work.create(CONFIGMAPS, ns, &format!("{name}-settings"), None);
        work.call(&Call::delete(CONFIGMAPS, ns, &format!("{name}-legacy")));
        work.call(&Call::delete(SERVICES, ns, &format!("{name}-legacy")));
        if applications && work.dice.chance(0.5) {
            work.call(&Call::delete(APPLICATIONS, "argocd", &format!("{name}-legacy")));
        }
    }
}

/// The services of the new team.
pub(super) fn team_agents(seed: u64) -> Vec<Agent> {
    let service = |name: &'static str| {
        let habits = vec![
            agents::every(420.0, Call::get(CONFIGMAPS, TEAM, &format!("{name}-config"))),
            agents::every(2_400.0, Call::list(PODS, TEAM).query(format!("?labelSelector=app%3D{name}"))),
            agents::every(9_000.0, Call::get(SECRETS, TEAM, &format!("{name}-credentials"))),
        ];
        agents::agent(seed, TEAM, name, &format!("{name}/v0.0.0 (linux/amd64) kubernetes/$Format"), habits)
    };
    TEAM_SERVICES.map(service).into()
}

/// A namespace with its quota and rights, by an administrator; then its first release.
pub(super) fn found_team(day: &mut Day<'_>, at: Timestamp) {
    let cluster = day.cluster;
    let mut dice = day.dice("new team", "");
    let client = day.admin();
    let mut work = Work::new(day, &mut dice, client, at);
    work.create(NAMESPACES, "", TEAM, Some(bodies::manifest("v1", "Namespace", "", TEAM, [])));
    work.create(QUOTAS, TEAM, "team", None);
    for (name, subject) in
        [("team", group_subject("labs-developers")), ("ci-deployer", account_subject("cicd", "deployer"))]
    {
        work.create(ROLE_BINDINGS, TEAM, name, Some(bodies::binding(TEAM, name, "edit", subject)));
    }
    let later_at = later(work.now, 900.0);
    let client = ci::runner_pod(cluster, &mut dice, later_at);
    let mut work = Work::new(day, &mut dice, client, later_at);
    for name in TEAM_SERVICES {
        work.create(ACCOUNTS, TEAM, name, None);
        work.create(CONFIGMAPS, TEAM, &format!("{name}-config"), None);
        work.create(SECRETS, TEAM, &format!("{name}-credentials"), None);
        let image = format!("registry.example.com/{TEAM}/{name}:{}", work.dice.hex(9));
        work.deploy(TEAM, name, &image);
        work.create(SERVICES, TEAM, name, None);
    }
}
