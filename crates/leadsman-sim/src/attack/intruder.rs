use leadsman_domain::{Level, Timestamp};

use super::{Culprit, IdentityKind, Terrain, Trial};
use crate::api::{ACCESS_REVIEWS, Api, Call, PODS, RULES_REVIEWS};
use crate::cluster::Cluster;
use crate::config::Style;
use crate::dice::Dice;
use crate::identity::{Client, Identity};
use crate::log::{Log, later};
use crate::record::SimRecord;

/// Where an attack takes place.
pub(super) struct Scene<'a> {
    pub(super) seed: u64,
    pub(super) terrain: &'a Terrain,
    /// The machines that do as they are told, where they are known.
    pub(super) cluster: Option<&'a Cluster>,
    /// The most that the audit policy logs.
    pub(super) cap: Level,
}

/// Somebody at work with a stolen identity.
pub(super) struct Intruder<'a> {
    pub(super) scene: &'a Scene<'a>,
    pub(super) trial: &'a Trial,
    pub(super) dice: Dice,
    pub(super) culprit: Culprit,
    /// The identity as it was before anything gave it more; none when it may act everywhere anyway.
    pub(super) narrow: Option<Identity>,
    pub(super) log: Log,
    pub(super) now: Timestamp,
    /// Indices into the log's records, as they were made.
    decisive: Vec<usize>,
}

const FIRST_WORDS: [&str; 12] =
    ["metrics", "node", "log", "cache", "sync", "config", "debug", "init", "cert", "audit", "queue", "mesh"];
const LAST_WORDS: [&str; 10] =
    ["agent", "helper", "worker", "runner", "exporter", "probe", "tool", "watcher", "collector", "gateway"];

impl<'a> Intruder<'a> {
    pub(super) fn new(scene: &'a Scene<'a>, culprit: Culprit, trial: &'a Trial) -> Self {
        let scope = format!("{}/{}/{}/{}", trial.technique, trial.identity, trial.style, trial.at.as_micros());
        let mut dice = Dice::new(scene.seed, "attack", &scope, trial.repeat as i64);
        let narrow = (!culprit.identity.is_bound_everywhere()).then(|| culprit.identity.clone());
        let culprit = culprit.abroad(trial.style, trial.technique.streams(), &mut dice).overpowered(&mut dice);
        let mut log = Log::new(scene.seed).capped(scene.cap);
        log.label(0);
        Self { scene, trial, dice, culprit, narrow, log, now: trial.at, decisive: Vec::new() }
    }

    /// The actor, the records by time, and which of them are decisive.
    pub(super) fn finish(self) -> (String, Vec<SimRecord>, Vec<usize>) {
        let mut order: Vec<_> = self.log.records.into_iter().enumerate().collect();
        order.sort_by_key(|(_, record)| record.time);
        let is_decisive = |at: usize| self.decisive.binary_search(&at).is_ok();
        let decisive = order.iter().enumerate().filter(|(_, (made, _))| is_decisive(*made)).map(|(at, _)| at).collect();
        (self.culprit.identity.username, order.into_iter().map(|(_, record)| record).collect(), decisive)
    }

    /// A request that prepares the attack, or that anybody could make.
    pub(super) fn call(&mut self, call: &Call) {
        let client = Client {
            identity: &self.culprit.identity,
            ip: self.culprit.ip.clone(),
            agent: self.culprit.agent.clone(),
            pod: self.culprit.pod.clone(),
        };
        let sent = self.log.call(&mut self.dice, &client, self.now, call);
        let pause = match (self.trial.style, self.trial.identity) {
            (Style::Noisy, _) => self.dice.between(0.1, 2.0),
            (Style::Paced, _) | (Style::Mimicry, IdentityKind::Human) => self.dice.between(1.0, 14.0),
            (Style::Mimicry, IdentityKind::Ci | IdentityKind::Workload) => self.dice.between(0.1, 1.5),
        };
        self.now = later(sent, pause);
    }

    /// A request without which there is no attack.
    pub(super) fn decide(&mut self, call: &Call) {
        self.decisive.push(self.log.records.len());
        self.call(call);
    }

    /// The pause between two steps: seconds when noisy, about half an hour when paced, and in mimicry what the
    /// identity takes between two things it does.
    pub(super) fn step(&mut self) {
        let seconds = match (self.trial.style, self.trial.identity) {
            (Style::Noisy, _) => self.dice.between(2.0, 25.0),
            (Style::Paced, _) => self.dice.between(1_200.0, 2_400.0),
            (Style::Mimicry, IdentityKind::Human) => self.dice.between(15.0, 400.0),
            (Style::Mimicry, IdentityKind::Ci) => self.dice.between(1.0, 8.0),
            (Style::Mimicry, IdentityKind::Workload) => self.dice.between(240.0, 1_200.0),
        };
        self.now = later(self.now, seconds);
        self.steal_again();
    }

    /// A workload's token dies with its pod: before each step it is taken from the pod that runs now.
    fn steal_again(&mut self) {
        let Some(cluster) = self.scene.cluster else { return };
        let username = &self.culprit.identity.username;
        let Some(agent) = cluster.agents.iter().find(|a| a.identity.username == *username) else { return };
        let current = agent.client(cluster, self.now);
        self.culprit.pod = current.pod;
        if self.trial.style == Style::Mimicry {
            self.culprit.ip = current.ip;
        }
    }

    /// What comes before: a foreign program asks what the API is and what it may do; the identity's own knows.
    pub(super) fn look_around(&mut self) {
        if self.trial.style == Style::Mimicry {
            if self.trial.identity == IdentityKind::Human && self.dice.chance(0.5) {
                let home = self.culprit.home.clone();
                self.call(&self.list(PODS, &home));
            }
            return;
        }
        if self.speaks_kubectl() {
            self.call(&Call::path("/api").query("?timeout=32s"));
            self.call(&Call::path("/apis").query("?timeout=32s"));
        } else if self.dice.chance(0.5) {
            self.call(&Call::path("/version"));
        }
        match self.dice.below(3) {
            0 => self.call(&Call::create(RULES_REVIEWS, "", "")),
            1 => self.call(&Call::create(ACCESS_REVIEWS, "", "")),
            _ => {}
        }
        self.step();
    }

    /// A list request in the form of the intruder's program.
    pub(super) fn list(&self, api: Api, namespace: &str) -> Call {
        if self.speaks_kubectl() { Call::list(api, namespace) } else { Call::new("list", api, namespace, "") }
    }

    /// `kubectl apply`: look whether it exists, which it does not, then create it. Other programs do not look.
    pub(super) fn create(&mut self, api: Api, namespace: &str, name: &str, body: Option<crate::json::Json>) {
        let look = self.speaks_kubectl() || self.dice.chance(0.3);
        if look {
            self.call(&Call::get(api, namespace, name).code(404));
        }
        let call = Call { body, ..Call::create(api, namespace, name) };
        let query = self.field_manager("kubectl-client-side-apply");
        self.decide(&call.query(query));
    }

    /// Reads an object, then patches it.
    pub(super) fn patch(&mut self, api: Api, namespace: &str, name: &str, body: Option<crate::json::Json>) {
        self.call(&Call::get(api, namespace, name));
        let query = self.field_manager("kubectl-patch");
        self.decide(&Call { body, ..Call::patch(api, namespace, name) }.query(query));
    }

    /// The query that kubectl adds to writes.
    pub(super) fn field_manager(&self, manager: &str) -> String {
        if self.speaks_kubectl() { format!("?fieldManager={manager}&fieldValidation=Strict") } else { String::new() }
    }

    fn speaks_kubectl(&self) -> bool {
        self.culprit.agent.starts_with("kubectl/")
    }

    // === names ===

    /// A name that could be anything's.
    pub(super) fn name(&mut self) -> String {
        let (first, last) = (*self.dice.pick(&FIRST_WORDS), *self.dice.pick(&LAST_WORDS));
        match self.dice.below(3) {
            0 => format!("{first}-{last}-{}", self.dice.suffix(5)),
            1 => format!("{first}-{last}-{}", 2 + self.dice.below(4)),
            _ => format!("{first}-{last}"),
        }
    }

    /// An image of a registry that the cluster does not use.
    pub(super) fn image(&mut self) -> String {
        let (owner, name) = (self.dice.hex(6), *self.dice.pick(&LAST_WORDS));
        let tag = *self.dice.pick(&["latest", "latest", "v1", "1.2", "edge"]);
        match self.dice.below(5) {
            0 => format!("docker.io/{owner}/{name}:{tag}"),
            1 => format!("ghcr.io/{owner}/{name}:{tag}"),
            2 => format!("quay.io/{owner}/{name}:{tag}"),
            3 => "docker.io/library/alpine:3.20".to_owned(),
            _ => format!("{owner}.registry.invalid/{name}:{tag}"),
        }
    }

    /// The namespace of the identity's own work.
    pub(super) fn home(&self) -> String {
        self.culprit.home.clone()
    }

    /// A namespace that is not the identity's own, if there is another.
    pub(super) fn elsewhere(&mut self) -> String {
        let home = &self.culprit.home;
        let others: Vec<_> = self.scene.terrain.namespaces.iter().filter(|n| *n != home).collect();
        if others.is_empty() { home.clone() } else { (*self.dice.pick(&others)).clone() }
    }

    /// So many different items of `items`, in random order; fewer where there are fewer.
    pub(super) fn some<T: Clone>(&mut self, items: &[T], count: usize) -> Vec<T> {
        let mut left: Vec<_> = items.iter().collect();
        let mut drawn = Vec::new();
        while drawn.len() < count && !left.is_empty() {
            drawn.push(left.swap_remove(self.dice.below(left.len())).clone());
        }
        drawn
    }

    /// A secret outside the identity's namespace, if there is one.
    pub(super) fn secrets(&mut self, count: usize) -> Vec<(String, String)> {
        let found = self.away(&self.scene.terrain.secrets);
        if found.is_empty() { vec![(self.elsewhere(), "database".to_owned())] } else { self.some(&found, count) }
    }

    /// Pods outside the identity's namespace, where there are some.
    pub(super) fn pods(&mut self, count: usize) -> Vec<(String, String)> {
        let found = self.away(&self.scene.terrain.pods);
        if found.is_empty() {
            let name = format!("{}-{}", self.name(), self.dice.suffix(5));
            return vec![(self.elsewhere(), name)];
        }
        self.some(&found, count)
    }

    /// One pod outside the identity's namespace.
    pub(super) fn pod(&mut self) -> (String, String) {
        self.pods(1).swap_remove(0)
    }

    /// A node.
    pub(super) fn node(&mut self) -> String {
        let nodes = &self.scene.terrain.nodes;
        if nodes.is_empty() { "worker-1".to_owned() } else { self.dice.pick(nodes).clone() }
    }

    fn away(&self, pairs: &[(String, String)]) -> Vec<(String, String)> {
        let away: Vec<_> = pairs.iter().filter(|(ns, _)| *ns != self.culprit.home).cloned().collect();
        if away.is_empty() { pairs.to_vec() } else { away }
    }
}

/// The application that a pod belongs to, and so the name of its container.
pub(super) fn app_of(pod: &str) -> String {
    let parts: Vec<_> = pod.split('-').collect();
    let kept = match parts.as_slice() {
        [.., last] if last.bytes().all(|b| b.is_ascii_digit()) => parts.len() - 1,
        [_, _, ..] => parts.len().saturating_sub(2).max(1),
        _ => parts.len(),
    };
    parts[..kept.max(1)].join("-")
}
