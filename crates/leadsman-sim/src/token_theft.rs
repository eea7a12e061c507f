//! The scenario `token-theft`: the token of the shop's cart leaves the cluster and comes back with kubectl.

use leadsman_domain::Timestamp;

use crate::agents::Agent;
use crate::api::{
    ACCESS_REVIEWS, ACCOUNTS, CLUSTER_BINDINGS, CLUSTER_ROLES, CONFIGMAPS, CRDS, Call, NAMESPACES, NODES, PODS,
    RULES_REVIEWS, SECRETS, WEBHOOKS,
};
use crate::bodies;
use crate::cluster::Cluster;
use crate::config::Style;
use crate::day::{Day, MICROS_PER_DAY};
use crate::dice::Dice;
use crate::identity::{Client, Identity};
use crate::log::{Log, later};
use crate::record::{Signal, SimRecord, Stage};

const ADDRESS: &str = "203.0.113.7";
const PROGRAM: &str = "kubectl/v1.30.2 (linux/amd64) kubernetes/3968350";
/// Index of the victim among the workloads.
const VICTIM: usize = 0;
const BINDING: &str = "metrics-aggregator";
const MINING_SECONDS: f64 = 7_200.0;
/// A script does not pause to read.
const NOISY_HASTE: f64 = 0.1;

/// An attack, ready to be mixed in.
pub(crate) struct Attack {
    pub(crate) stages: Vec<Stage>,
    /// Audit records of all stages, by time.
    pub(crate) records: Vec<SimRecord>,
    pub(crate) miner: Miner,
}

/// A process that takes all the CPU its pod may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Miner {
    /// Index of the workload.
    pub(crate) workload: usize,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    /// Index of its stage.
    pub(crate) stage: usize,
}

struct Plan {
    name: &'static str,
    technique: &'static str,
    tactic: &'static str,
    act: fn(&mut Intruder<'_, '_>),
}

const PLAN: [Plan; 6] = [
    Plan { name: "discovery", technique: "T1613", tactic: "Discovery", act: discover },
    Plan { name: "secrets-read", technique: "T1552.007", tactic: "Credential Access", act: read_secrets },
    Plan { name: "pod-exec", technique: "T1609", tactic: "Execution", act: exec },
    Plan { name: "token-minted", technique: "T1528", tactic: "Credential Access", act: mint_token },
    Plan { name: "admin-binding", technique: "T1098.006", tactic: "Privilege Escalation", act: bind_admin },
    Plan { name: "privileged-pod", technique: "T1611", tactic: "Privilege Escalation", act: own_node },
];

/// The attack on `cluster` that begins at `at`.
pub(crate) fn plan(cluster: &Cluster, at: Timestamp, style: Style) -> Attack {
    let number = at.as_micros().div_euclid(MICROS_PER_DAY);
    let mut dice = Dice::new(cluster.seed, "token-theft", "", at.as_micros());
    let victim = &cluster.workloads()[VICTIM];
    let account = format!("system:serviceaccount:{}:{}", victim.namespace, victim.name);
    let mut day = Day { cluster, number, log: Log::new(cluster.seed) };
    let mut stages = Vec::new();
    let mut begins = at;
    if let Some(agent) = cluster.agents.iter().find(|a| a.identity.username == account) {
        for (index, plan) in PLAN.iter().enumerate() {
            day.log.label(index);
            let from = day.log.records.len();
            // The token is read again from the pod before each step, so it is the pod's current one.
            let stolen = agent.client(cluster, begins);
            let admin = promoted(agent, index);
            let (ip, program) = match style {
                Style::Noisy | Style::Paced => (ADDRESS.to_owned(), PROGRAM.to_owned()),
                Style::Mimicry => (stolen.ip, stolen.agent),
            };
            let identity = admin.as_ref().unwrap_or(&agent.identity);
            let client = Client { identity, ip, agent: program, pod: stolen.pod };
            let haste = if style == Style::Noisy { NOISY_HASTE } else { 1.0 };
            (plan.act)(&mut Intruder { day: &mut day, dice: &mut dice, client: &client, haste, now: begins });
            let ends = day.log.records[from..].iter().map(|r| r.time).max().unwrap_or(begins);
            let text = |s: &str| s.to_owned();
            stages.push(Stage {
                name: text(plan.name),
                technique: text(plan.technique),
                tactic: text(plan.tactic),
                entity: account.clone(),
                begins,
                ends,
                signal: Signal::Audit,
            });
            begins = match style {
                Style::Noisy => later(ends, dice.between(5.0, 30.0)),
                Style::Paced | Style::Mimicry => later(begins, 60.0 * dice.between(16.0, 39.0)),
            };
        }
    }
    // Sampling sees whole minutes; nothing mines before there is a pod to mine in.
    let from = Timestamp::from_micros((begins.as_micros() / 60_000_000 + 1) * 60_000_000);
    let miner = Miner { workload: VICTIM, from, until: later(from, MINING_SECONDS), stage: stages.len() };
    stages.push(Stage {
        name: "crypto-miner".to_owned(),
        technique: "T1496".to_owned(),
        tactic: "Impact".to_owned(),
        entity: victim.entity(),
        begins: miner.from,
        // The last minute of mining is seen by the sample after it.
        ends: later(miner.until, 60.0),
        signal: Signal::Metrics,
    });
    let mut records = day.log.records;
    records.sort_by_key(|r| r.time);
    Attack { stages, records, miner }
}

/// After its binding, the account is cluster administrator; RBAC then names that binding.
fn promoted(agent: &Agent, stage: usize) -> Option<Identity> {
    (stage > 4).then(|| agent.identity.clone().without_grants().cluster_role(BINDING, "cluster-admin"))
}

struct Intruder<'t, 'd> {
    day: &'t mut Day<'d>,
    dice: &'t mut Dice,
    client: &'t Client<'t>,
    /// Factor on the pauses between two requests.
    haste: f64,
    now: Timestamp,
}

impl Intruder<'_, '_> {
    fn call(&mut self, call: &Call) {
        let sent = self.day.log.call(self.dice, self.client, self.now, call);
        self.now = later(sent, self.haste * self.dice.between(2.0, 16.0));
    }
}

fn discover(intruder: &mut Intruder<'_, '_>) {
    for path in ["/version", "/api", "/apis"] {
        intruder.call(&Call::path(path).query("?timeout=32s"));
    }
    for _ in 0..3 {
        intruder.call(&Call::create(RULES_REVIEWS, "", ""));
    }
    for _ in 0..3 {
        intruder.call(&Call::create(ACCESS_REVIEWS, "", ""));
    }
    intruder.call(&Call::list(NAMESPACES, ""));
    for call in [Call::list(NODES, ""), Call::list(CRDS, ""), Call::list(WEBHOOKS, ""), Call::list(CLUSTER_ROLES, "")] {
        intruder.call(&call.code(403));
    }
    intruder.call(&Call::list(PODS, "kube-system"));
}

fn read_secrets(intruder: &mut Intruder<'_, '_>) {
    intruder.call(&Call::list(SECRETS, ""));
    let namespaces = intruder.day.cluster.estate.namespaces;
    let wanted = [
        ("pay", "database"),
        ("pay", "tls"),
        ("data", "database"),
        ("ml", "registry-pull"),
        ("argocd", "argocd-secret"),
        ("velero", "cloud-credentials"),
        ("monitoring", "prometheus-main"),
    ];
    for (namespace, name) in wanted.into_iter().filter(|(ns, _)| namespaces.contains(ns)) {
        intruder.call(&Call::get(SECRETS, namespace, name));
    }
}

fn exec(intruder: &mut Intruder<'_, '_>) {
    let cluster = intruder.day.cluster;
    let Some(agent) = cluster.agents.iter().find(|a| a.name == "kube-proxy") else { return };
    let pod = agent.client(cluster, intruder.now).pod.map_or_else(String::new, |p| p.name);
    intruder.call(&Call::list(PODS, "kube-system"));
    intruder.call(&Call::get(PODS, "kube-system", &pod));
    for command in [
        "command=id",
        "command=sh&command=-c&command=cat+%2Fvar%2Frun%2Fsecrets%2Fkubernetes.io%2Fserviceaccount%2Ftoken",
        "command=sh",
    ] {
        let query = format!("?{command}&container=kube-proxy&stdin=true&stdout=true&tty=true");
        let length = intruder.dice.between(2.0, 30.0);
        let call = Call::get(PODS, "kube-system", &pod).sub("exec").query(query).code(101).open_for(length);
        intruder.call(&call);
        intruder.now = later(intruder.now, length);
    }
}

fn mint_token(intruder: &mut Intruder<'_, '_>) {
    intruder.call(&Call::list(ACCOUNTS, "kube-system"));
    intruder.now = later(intruder.now, intruder.dice.between(20.0, 60.0));
    intruder.call(&Call::create(ACCOUNTS, "kube-system", "clusterrole-aggregation-controller").sub("token"));
}

fn bind_admin(intruder: &mut Intruder<'_, '_>) {
    intruder.call(&Call::get(CLUSTER_BINDINGS, "", BINDING).code(404));
    intruder.now = later(intruder.now, intruder.dice.between(20.0, 60.0));
    let victim = &intruder.day.cluster.workloads()[VICTIM];
    let body = bodies::binding("", BINDING, "cluster-admin", bodies::account_subject(victim.namespace, victim.name));
    intruder.call(&Call::create(CLUSTER_BINDINGS, "", BINDING).query("?fieldManager=kubectl-create").body(body));
}

fn own_node(intruder: &mut Intruder<'_, '_>) {
    let name = "node-metrics-7f2kd";
    intruder.call(&Call::get(PODS, "kube-system", name).code(404));
    let body = bodies::node_owner_pod("kube-system", name);
    let create = Call::create(PODS, "kube-system", name).query("?fieldManager=kubectl-client-side-apply").body(body);
    intruder.call(&create);
    // The cluster does as it is told.
    let cluster = intruder.day.cluster;
    let t = intruder.now;
    let dice = &mut *intruder.dice;
    let binding = Call::create(PODS, "kube-system", name).sub("binding");
    let mut t = intruder.day.log.call(dice, &cluster.scheduler(), t, &binding);
    let kubelet = cluster.kubelet(dice.below(cluster.nodes.len()), t);
    for call in [
        Call::create(ACCOUNTS, "kube-system", "default").sub("token"),
        Call::get(CONFIGMAPS, "kube-system", "kube-root-ca.crt"),
        Call::get(PODS, "kube-system", name),
        Call::patch(PODS, "kube-system", name).sub("status"),
    ] {
        t = intruder.day.log.call(dice, &kubelet, later(t, 0.1), &call);
    }
    intruder.now = later(t, intruder.dice.between(15.0, 50.0));
    intruder.call(&Call::get(PODS, "kube-system", name));
}
