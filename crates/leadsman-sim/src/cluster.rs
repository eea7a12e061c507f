use leadsman_domain::{ActorRules, Timestamp};

use crate::agents::{self, Agent};
use crate::change::{Arrivals, ChangeKind, NODES_FROM, Planned};
use crate::ci;
use crate::controllers::Controller;
use crate::day::{MICROS_PER_DAY, weekday};
use crate::dice::{Dice, fixed_uuid, key};
use crate::estate::{ClusterSize, Estate};
use crate::identity::{Client, Identity, PodRef};
use crate::log::later;
use crate::people::{self, Person};
use crate::workload::{Kind, Workload};

/// Address of the control plane's node.
pub(crate) const CONTROL_PLANE: &str = "10.0.1.10";
/// What the binaries of the control plane and the nodes call themselves.
pub(crate) const SERVER: &str = "v1.33.2 (linux/amd64) kubernetes/a57b6f7";
/// What kubelets call themselves after a first and a second upgrade.
const UPGRADES: [&str; 2] = ["v1.33.5 (linux/amd64) kubernetes/03ac482", "v1.34.2 (linux/amd64) kubernetes/8cc511e"];
/// A workload restarts at the latest after so many days, when its node is patched.
const MAINTENANCE_DAYS: i64 = 28;

/// The simulated cluster: who and what lives in it. Depends on seed and size alone.
pub struct Cluster {
    pub(crate) seed: u64,
    pub(crate) estate: &'static Estate,
    pub(crate) nodes: Vec<Node>,
    pub(crate) people: Vec<Person>,
    pub(crate) agents: Vec<Agent>,
    pub(crate) scheduler: Identity,
    pub(crate) manager: Identity,
    pub(crate) deployer: Identity,
    /// Where some releases come from outside the cluster.
    pub(crate) release_bot: Option<Identity>,
    pub(crate) anonymous: Identity,
    /// What changes, each from its day on, and who comes with it.
    pub(crate) changes: Vec<Planned>,
    pub(crate) arrivals: Arrivals,
    /// The account that releases after a migration of CI.
    pub(crate) successor: Identity,
    controllers: Vec<Identity>,
}

/// A worker node.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) ip: String,
    pub(crate) uid: String,
    pub(crate) identity: Identity,
}

/// A pod of a workload, from one rollout to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) name: String,
    /// Name of the ReplicaSet or StatefulSet that owns it.
    pub(crate) owner: String,
    /// Index of its node.
    pub(crate) node: usize,
    pub(crate) ip: String,
    pub(crate) since: Timestamp,
}

/// A restart of a workload's pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rollout {
    pub(crate) at: Timestamp,
    /// Whether CI rolled out a new image; otherwise the node was patched.
    pub(crate) release: bool,
}

impl Cluster {
    /// The medium-sized cluster of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::sized(seed, ClusterSize::default())
    }

    /// The cluster of this seed and size.
    #[must_use]
    pub fn sized(seed: u64, size: ClusterSize) -> Self {
        let estate = size.estate();
        let nodes = (1..=estate.nodes).map(|n| node(seed, n)).collect();
        let bound = |name: &str| Identity::certificate(seed, name, &[]).cluster_role(name, name);
        let outside = estate.released_from_outside;
        let inside = estate.app_namespaces.iter().filter(|ns| **ns != outside);
        let deployer = inside.fold(Identity::service_account(seed, "cicd", "deployer"), |identity, ns| {
            identity.role(ns, "ci-deployer", "edit")
        });
        let release_bot = Identity::oidc("ci:release-bot", &["ci"]).role(outside, "ci-release", "edit");
        let (ns, name) = ci::SUCCESSOR;
        let successor = estate.app_namespaces.iter().fold(Identity::service_account(seed, ns, name), |identity, ns| {
            identity.role(ns, "ci-deployer-v2", "edit")
        });
        Self {
            seed,
            estate,
            nodes,
            people: people::staff(seed, estate),
            agents: agents::all(seed, estate),
            scheduler: bound("system:kube-scheduler"),
            manager: bound("system:kube-controller-manager"),
            deployer,
            release_bot: (!outside.is_empty()).then_some(release_bot),
            anonymous: Identity::anonymous(),
            changes: Vec::new(),
            arrivals: Arrivals::default(),
            successor,
            controllers: Controller::ALL.iter().map(|c| c.identity(seed)).collect(),
        }
    }

    /// The same cluster with changes to come.
    pub(crate) fn with_changes(self, changes: Vec<Planned>) -> Self {
        let mut arrivals = Arrivals::default();
        for change in &changes {
            change.arrivals(&self, &mut arrivals);
        }
        Self { changes, arrivals, ..self }
    }

    /// Whether a change of this kind has begun at `at`, when its work begins `hours` after midnight.
    pub(crate) fn has_changed(&self, kind: ChangeKind, hours: f64, at: Timestamp) -> bool {
        self.changes.iter().any(|c| c.kind == kind && c.hour(hours) <= at)
    }

    /// When node `index` comes back from an upgrade on `day`: one node after another within five hours.
    pub(crate) fn upgraded_at(&self, index: usize, day: i64) -> Timestamp {
        let hours = NODES_FROM + 5.0 * (index as f64 + 0.5) / self.nodes.len() as f64;
        Planned { kind: ChangeKind::NodeUpgrade, day }.hour(hours)
    }

    /// The seed it was made from.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Application workloads: the ones that emit metrics.
    #[must_use]
    pub fn workloads(&self) -> &'static [Workload] {
        self.estate.workloads
    }

    /// User names of everybody who talks to the API server, people first.
    #[must_use]
    pub fn actors(&self) -> Vec<&str> {
        let migrated = self.changes.iter().any(|c| c.kind == ChangeKind::CiMigration);
        let machines = [&self.deployer, &self.scheduler, &self.manager, &self.anonymous];
        self.people
            .iter()
            .map(|p| &p.identity)
            .chain(machines)
            .chain(&self.release_bot)
            .chain(self.nodes.iter().map(|n| &n.identity))
            .chain(&self.controllers)
            .chain(self.agents.iter().map(|a| &a.identity))
            .chain(self.arrivals.people.iter().map(|(_, p)| &p.identity))
            .chain(self.arrivals.agents.iter().map(|(_, a)| &a.identity))
            .chain(migrated.then_some(&self.successor))
            .map(|i| i.username.as_str())
            .collect()
    }

    /// Who is declared CI and who a controller outside kube-system.
    #[must_use]
    pub fn actor_rules(&self) -> ActorRules {
        let operators = self.agents.iter().filter(|a| a.operator).map(|a| a.identity.username.clone());
        ActorRules {
            ci: [&self.deployer].into_iter().chain(&self.release_bot).map(|i| i.username.clone()).collect(),
            controllers: operators.collect(),
        }
    }

    pub(crate) fn controller(&self, controller: Controller) -> Client<'_> {
        let identity = &self.controllers[controller as usize];
        let agent = format!("kube-controller-manager/{SERVER}/{}", identity.username);
        Client { identity, ip: CONTROL_PLANE.to_owned(), agent, pod: None }
    }

    pub(crate) fn scheduler(&self) -> Client<'_> {
        let agent = format!("kube-scheduler/{SERVER}/scheduler");
        Client { identity: &self.scheduler, ip: CONTROL_PLANE.to_owned(), agent, pod: None }
    }

    pub(crate) fn kubelet(&self, node: usize, at: Timestamp) -> Client<'_> {
        let index = node % self.nodes.len();
        let node = &self.nodes[index];
        let upgrades = self.changes.iter().filter(|c| c.kind == ChangeKind::NodeUpgrade);
        let upgraded = upgrades.filter(|c| self.upgraded_at(index, c.day) <= at).count();
        let build = UPGRADES.get(upgraded.wrapping_sub(1)).copied();
        let agent = format!("kubelet/{}", if upgraded == 0 { SERVER } else { build.unwrap_or(UPGRADES[1]) });
        Client { identity: &node.identity, ip: node.ip.clone(), agent, pod: None }
    }

    /// The token of the pod `name` on `node`, as the log shows it.
    pub(crate) fn pod_ref(&self, namespace: &str, name: &str, node: usize) -> PodRef {
        let node = &self.nodes[node % self.nodes.len()];
        PodRef {
            name: name.to_owned(),
            // The same uid that updates of the pod carry.
            uid: fixed_uuid(self.seed, "object", &format!("pods/{namespace}/{name}"), 0),
            node: node.name.clone(),
            node_uid: node.uid.clone(),
        }
    }

    /// The restart of workload `index` on `day`, if any. A function of the day alone.
    pub(crate) fn rollout(&self, index: usize, day: i64) -> Option<Rollout> {
        let workload = &self.estate.workloads[index];
        let mut dice = Dice::new(self.seed, "rollout", &workload.entity(), day);
        let p = match weekday(day) {
            1 | 3 => 0.5,
            0 | 2 | 4 => 0.07,
            _ => 0.0,
        };
        let midnight = Timestamp::from_micros(day * MICROS_PER_DAY);
        if workload.released && dice.chance(p) {
            // Release trains leave at 09:30 and 14:00; the workloads go one after another.
            let train = if dice.chance(0.6) { 9.5 } else { 14.0 };
            let at = later(midnight, train * 3_600.0 + index as f64 * 240.0 + dice.between(0.0, 200.0));
            return Some(Rollout { at, release: true });
        }
        let changes = |kind| self.changes.iter().any(|c| c.kind == kind && c.day == day);
        if workload.released && changes(ChangeKind::ReleaseDay) {
            let at = later(midnight, 10.5 * 3_600.0 + index as f64 * 100.0 + dice.between(0.0, 80.0));
            return Some(Rollout { at, release: true });
        }
        if changes(ChangeKind::NodeUpgrade) {
            // Some minutes before its node comes back, and never two at once.
            let hours = NODES_FROM + 5.0 * (index as f64 + 0.3) / self.estate.workloads.len() as f64;
            return Some(Rollout { at: later(midnight, hours * 3_600.0), release: false });
        }
        let phase = (key(self.seed, "maintenance", workload.name, 0) % MAINTENANCE_DAYS as u64) as i64;
        ((day + phase).rem_euclid(MAINTENANCE_DAYS) == 0).then(|| {
            let at = later(midnight, 4.0 * 3_600.0 + dice.between(0.0, 5_400.0));
            Rollout { at, release: false }
        })
    }

    /// The pod of workload `index` that runs at `at`.
    pub(crate) fn pod_at(&self, index: usize, at: Timestamp) -> Pod {
        let latest = (0..=MAINTENANCE_DAYS)
            .map(|back| at.day() - back)
            .find_map(|day| self.rollout(index, day).filter(|r| r.at <= at).map(|r| (day, r)));
        // The window is as long as the maintenance cycle, so a rollout is always found.
        let (day, since) = latest.map_or((0, Timestamp::default()), |(day, r)| (day, r.at));
        let workload = &self.estate.workloads[index];
        let mut dice = Dice::new(self.seed, "pod", &workload.entity(), day);
        let (template, suffix) = (dice.suffix(10), dice.suffix(5));
        let node = dice.below(self.nodes.len());
        let ip = format!("10.244.{}.{}", node + 1, 100 + dice.below(140));
        let (owner, name) = match workload.kind {
            Kind::Deployment => {
                let owner = format!("{}-{template}", workload.name);
                let name = format!("{owner}-{suffix}");
                (owner, name)
            }
            Kind::StatefulSet => (workload.name.to_owned(), format!("{}-0", workload.name)),
        };
        Pod { name, owner, node, ip, since }
    }
}

fn node(seed: u64, number: usize) -> Node {
    let name = format!("worker-{number}");
    let username = format!("system:node:{name}");
    Node {
        ip: format!("10.0.1.{}", 10 + number),
        uid: fixed_uuid(seed, "object", &format!("nodes//{name}"), 0),
        identity: Identity::certificate(seed, &username, &["system:nodes"]).unquestioned(),
        name,
    }
}
