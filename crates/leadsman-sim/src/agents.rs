//! Software inside the cluster that talks to the API server by habit: operators, monitoring, applications.

use leadsman_domain::Timestamp;

use crate::api::{
    APPLICATIONS, AUTOSCALERS, Api, BACKUPS, CERT_REQUESTS, CERTIFICATES, CLAIMS, CONFIGMAPS, CRONJOBS, Call,
    DAEMONSETS, DEPLOYMENTS, ENDPOINTS, INGRESSES, JOBS, LEASES, NAMESPACES, NODES, PODS, PROMETHEUSES, REPLICASETS,
    SECRETS, SERVICE_MONITORS, SERVICES, SLICES, STATEFULSETS, VOLUMES,
};
use crate::cluster::Cluster;
use crate::day::Day;
use crate::dice::{Dice, key, unit};
use crate::estate::Estate;
use crate::identity::{Client, Identity};
use crate::log::{later, version_at};
use crate::workload::Workload;

/// A service account with habits.
pub(crate) struct Agent {
    pub(crate) namespace: &'static str,
    pub(crate) name: &'static str,
    pub(crate) identity: Identity,
    /// Whether the cluster's owners declared it an operator.
    pub(crate) operator: bool,
    program: String,
    /// Index of its workload; infrastructure has none, its pods only change with the years.
    workload: Option<usize>,
    habits: Vec<Habit>,
}

/// Something done over and over.
pub(crate) struct Habit {
    every_seconds: f64,
    deed: Deed,
}

enum Deed {
    Call(Call),
    Watch(Api, &'static str),
}

pub(crate) fn every(seconds: f64, call: Call) -> Habit {
    Habit { every_seconds: seconds, deed: Deed::Call(call) }
}

/// Watches end after 5 to 10 minutes and are renewed; the audit policy keeps a sample of them.
pub(crate) fn watches(apis: &[Api]) -> Vec<Habit> {
    apis.iter().map(|api| Habit { every_seconds: 1_500.0, deed: Deed::Watch(*api, "") }).collect()
}

/// Secrets of an application namespace besides those of its workloads.
pub(crate) const SHARED_SECRETS: [&str; 3] = ["registry-pull", "tls", "database"];
pub(crate) fn all(seed: u64, estate: &Estate) -> Vec<Agent> {
    let mut agents = kube_system(seed);
    agents.extend(monitoring(seed));
    agents.extend(operators(seed, estate));
    agents.extend(estate.workloads.iter().enumerate().map(|(index, workload)| application(seed, index, workload)));
    agents
}

pub(crate) fn agent(
    seed: u64,
    namespace: &'static str,
    name: &'static str,
    program: &str,
    habits: Vec<Habit>,
) -> Agent {
    let identity = Identity::service_account(seed, namespace, name).cluster_role(name, name);
    Agent { namespace, name, identity, operator: false, program: program.to_owned(), workload: None, habits }
}

fn kube_system(seed: u64) -> Vec<Agent> {
    let mut metrics = watches(&[NODES, PODS]);
    metrics.push(every(900.0, Call::get(CONFIGMAPS, "kube-system", "extension-apiserver-authentication")));
    let mut autoscaler = watches(&[PODS, NODES]);
    autoscaler.push(every(300.0, Call::get(CONFIGMAPS, "kube-system", "cluster-autoscaler-status")));
    autoscaler.push(every(600.0, Call::update(CONFIGMAPS, "kube-system", "cluster-autoscaler-status")));
    vec![
        agent(seed, "kube-system", "coredns", "Go-http-client/2.0", watches(&[SERVICES, SLICES, NAMESPACES])),
        agent(
            seed,
            "kube-system",
            "kube-proxy",
            "kube-proxy/v1.33.2 (linux/amd64) kubernetes/a57b6f7",
            watches(&[SERVICES, SLICES]),
        ),
        agent(seed, "kube-system", "metrics-server", "metrics-server/v0.7.2 (linux/amd64) kubernetes/8d4f3e1", metrics),
        agent(
            seed,
            "kube-system",
            "cluster-autoscaler",
            "cluster-autoscaler/v1.33.0 (linux/amd64) kubernetes/unknown",
            autoscaler,
        ),
    ]
}

fn monitoring(seed: u64) -> Vec<Agent> {
    let mut prometheus = watches(&[PODS, ENDPOINTS, SERVICES]);
    prometheus.push(every(120.0, Call::path("/metrics")));
    let mut operator = watches(&[PROMETHEUSES, SERVICE_MONITORS, STATEFULSETS]);
    operator.push(every(300.0, Call::get(SECRETS, "monitoring", "prometheus-main")));
    operator.push(every(1_200.0, Call::update(SECRETS, "monitoring", "prometheus-main")));
    operator.push(every(300.0, Call::get(STATEFULSETS, "monitoring", "prometheus-main")));
    let state = [
        PODS,
        NODES,
        DEPLOYMENTS,
        REPLICASETS,
        STATEFULSETS,
        DAEMONSETS,
        JOBS,
        CRONJOBS,
        SERVICES,
        INGRESSES,
        CLAIMS,
        VOLUMES,
        SECRETS,
        CONFIGMAPS,
        AUTOSCALERS,
    ];
    let mut metrics = watches(&state);
    metrics.push(every(7_200.0, Call::list(NAMESPACES, "")));
    let grafana = vec![
        every(180.0, Call::list(CONFIGMAPS, "monitoring").query("?labelSelector=grafana_dashboard%3D1")),
        every(600.0, Call::list(SECRETS, "monitoring").query("?labelSelector=grafana_datasource%3D1")),
    ];
    vec![
        agent(seed, "monitoring", "prometheus", "Prometheus/3.4.1", prometheus),
        Agent {
            operator: true,
            ..agent(seed, "monitoring", "prometheus-operator", "PrometheusOperator/0.83.0", operator)
        },
        agent(
            seed,
            "monitoring",
            "kube-state-metrics",
            "kube-state-metrics/v2.15.0 (linux/amd64) kube-state-metrics/v2.15.0",
            metrics,
        ),
        agent(seed, "monitoring", "grafana", "python-requests/2.32.3", grafana),
    ]
}

fn operators(seed: u64, estate: &Estate) -> Vec<Agent> {
    let mut certificates = watches(&[CERTIFICATES, CERT_REQUESTS, SECRETS]);
    let mut ingress = watches(&[INGRESSES, SERVICES, SLICES, SECRETS]);
    ingress.push(every(600.0, Call::get(CONFIGMAPS, "ingress", "ingress-nginx-controller")));
    let mut argo = watches(&[APPLICATIONS, DEPLOYMENTS, CONFIGMAPS]);
    for (index, workload) in estate.workloads.iter().enumerate() {
        let offset = index as f64 * 7.0;
        argo.push(every(900.0 + offset, Call::patch(APPLICATIONS, "argocd", workload.name)));
        argo.push(every(2_700.0 + offset, Call::get(DEPLOYMENTS, workload.namespace, workload.name)));
    }
    for ns in estate.app_namespaces {
        certificates.push(every(3_600.0, Call::get(SECRETS, ns, "tls")));
        certificates.push(every(28_800.0, Call::update(SECRETS, ns, "tls")));
        certificates.push(every(14_400.0, Call::update(CERTIFICATES, ns, "tls").sub("status")));
        ingress.push(every(5_400.0, Call::get(SECRETS, ns, "tls")));
        ingress.push(every(21_600.0, Call::update(INGRESSES, ns, "public").sub("status")));
        argo.push(every(7_200.0, Call::list(SECRETS, ns).query("?labelSelector=argocd.argoproj.io%2Fsecret-type")));
    }
    let mut server = watches(&[APPLICATIONS]);
    server.push(every(400.0, Call::get(CONFIGMAPS, "argocd", "argocd-cm")));
    server.push(every(900.0, Call::get(SECRETS, "argocd", "argocd-secret")));
    let velero = vec![
        every(1_800.0, Call::list(BACKUPS, "velero")),
        every(3_600.0, Call::get(SECRETS, "velero", "cloud-credentials")),
    ];
    let table = [
        (
            "cert-manager",
            "cert-manager",
            "cert-manager-controller/v1.17.2 (linux/amd64) cert-manager/f3ffb86",
            certificates,
        ),
        (
            "cert-manager",
            "cert-manager-cainjector",
            "cert-manager-cainjector/v1.17.2 (linux/amd64) cert-manager/f3ffb86",
            watches(&[SECRETS, CERTIFICATES]),
        ),
        ("argocd", "argocd-application-controller", "argocd-application-controller/v2.14.11", argo),
        ("argocd", "argocd-server", "argocd-server/v2.14.11", server),
        ("ingress", "ingress-nginx", "nginx-ingress-controller/v1.12.2 (linux/amd64) ingress-nginx/8f2a9c3", ingress),
        ("velero", "velero", "velero-server/v1.16.1 (linux/amd64) 2eeaf4b", velero),
    ];
    table
        .into_iter()
        .filter(|(ns, ..)| (estate.gitops || *ns != "argocd") && (estate.backup || *ns != "velero"))
        .map(|(ns, name, program, habits)| Agent { operator: true, ..agent(seed, ns, name, program, habits) })
        .collect()
}

/// The account of an application: small, fixed habits in its own namespace.
fn application(seed: u64, index: usize, workload: &Workload) -> Agent {
    let (ns, name) = (workload.namespace, workload.name);
    let mut dice = Dice::new(seed, "habits", &workload.entity(), 0);
    let mut habits = vec![
        every(dice.between(300.0, 600.0), Call::get(CONFIGMAPS, ns, &format!("{name}-config"))),
        every(43_200.0, Call::get(LEASES, ns, name)),
    ];
    if dice.chance(0.6) {
        habits.push(every(dice.between(400.0, 900.0), Call::list(ENDPOINTS, ns)));
    }
    if dice.chance(0.5) {
        habits.push(every(dice.between(500.0, 1_200.0), Call::get(CONFIGMAPS, ns, "feature-flags")));
    }
    if dice.chance(0.4) {
        habits.push(every(
            dice.between(1_500.0, 4_000.0),
            Call::list(PODS, ns).query(format!("?labelSelector=app%3D{name}")),
        ));
    }
    if dice.chance(0.3) {
        habits.push(every(dice.between(9_000.0, 20_000.0), Call::get(SECRETS, ns, &format!("{name}-credentials"))));
    }
    let program = match dice.below(4) {
        0 => "Fabric8/6.13.4 (JDK 21.0.7)".to_owned(),
        1 => "OpenAPI-Generator/32.0.1/python".to_owned(),
        _ => format!("{name}/v0.0.0 (linux/amd64) kubernetes/$Format"),
    };
    let identity = Identity::service_account(seed, ns, name).role(ns, name, name);
    // An old mistake nobody noticed: one application, such as the shop's cart, may do almost everything.
    let identity = if index == 0 { identity.cluster_role(&format!("{ns}-{name}-ops"), "legacy-ops") } else { identity };
    Agent { namespace: ns, name, identity, operator: false, program, workload: Some(index), habits }
}

impl Agent {
    /// The agent as it appears at `at`: its pod, address and program.
    pub(crate) fn client<'a>(&'a self, cluster: &'a Cluster, at: Timestamp) -> Client<'a> {
        let (name, node, ip) = self.place(cluster, at);
        let pod = Some(cluster.pod_ref(self.namespace, &name, node));
        Client { identity: &self.identity, ip, agent: self.program.clone(), pod }
    }

    /// Name, node and address of its pod at `at`.
    pub(crate) fn place(&self, cluster: &Cluster, at: Timestamp) -> (String, usize, String) {
        match self.workload {
            Some(index) => {
                let pod = cluster.pod_at(index, at);
                (pod.name, pod.node, pod.ip)
            }
            None => {
                let mut dice = Dice::new(cluster.seed, "infra pod", self.name, 0);
                let name = format!("{}-{}-{}", self.name, dice.suffix(9), dice.suffix(5));
                let node = dice.below(cluster.nodes.len());
                (name, node, format!("10.244.{}.{}", node + 1, 2 + dice.below(90)))
            }
        }
    }

    /// Whether its token is worth stealing for a test: operators may do everything already, and what runs on
    /// every node has no habits of its own.
    pub(crate) fn is_prey(&self) -> bool {
        !self.operator && self.namespace != "kube-system"
    }

    /// Requests it makes by habit.
    pub(crate) fn everyday(&self) -> Vec<Call> {
        let calls = self.habits.iter().filter_map(|h| match &h.deed {
            Deed::Call(call) => Some(call.clone()),
            Deed::Watch(..) => None,
        });
        calls.collect()
    }
}

pub(crate) fn run(day: &mut Day<'_>) {
    let cluster = day.cluster;
    for agent in &cluster.agents {
        for (index, habit) in agent.habits.iter().enumerate() {
            repeat(day, agent, index, habit, day.midnight());
        }
    }
    for (since, agent) in &cluster.arrivals.agents {
        for (index, habit) in agent.habits.iter().enumerate() {
            repeat(day, agent, index, habit, *since);
        }
    }
}

/// A habit on one day, from `since` on: its phase is the agent's own, its beats jitter, some are skipped.
fn repeat(day: &mut Day<'_>, agent: &Agent, index: usize, habit: &Habit, since: Timestamp) {
    let agent_key = format!("{}/{}/{index}", agent.namespace, agent.name);
    let mut dice = day.dice("habit", &agent_key);
    let phase = unit(key(day.cluster.seed, "phase", &agent_key, 0));
    let mut seconds = phase * habit.every_seconds;
    // One habit is one client: its pod changes at most once a day, so look it up when the hour changes.
    let mut hour = -1;
    let mut client = None;
    while seconds < 86_400.0 {
        let at = later(day.midnight(), seconds + dice.unit() * (habit.every_seconds * 0.05).min(86_399.0 - seconds));
        seconds += habit.every_seconds * dice.between(0.95, 1.05);
        if dice.chance(0.02) || at < since {
            continue;
        }
        if hour != at.hour() || client.is_none() {
            hour = at.hour();
            client = Some(agent.client(day.cluster, at));
        }
        let Some(client) = &client else { continue };
        match &habit.deed {
            Deed::Watch(api, ns) => {
                let version = version_at(at);
                let length = 300 + dice.below(300) as u32;
                day.log.call(&mut dice, client, at, &Call::watch(*api, ns, version, length));
            }
            Deed::Call(call) if call.verb == "update" && dice.chance(0.01) => {
                let t = day.log.call(&mut dice, client, at, &call.clone().code(409));
                day.log.call(&mut dice, client, later(t, 0.2), call);
            }
            Deed::Call(call) => {
                day.log.call(&mut dice, client, at, call);
            }
        }
    }
}
