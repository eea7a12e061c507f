use leadsman_domain::Timestamp;

use crate::api::{Api, Call, DEPLOYMENTS, REPLICASETS};
use crate::bodies::{self, PodBody, PodName};
use crate::cluster::Pod;
use crate::controllers::{Controller, start_pod};
use crate::day::Day;
use crate::dice::Dice;
use crate::identity::Client;
use crate::json::Json;
use crate::log::later;
use crate::people::Role;

/// Somebody's requests, one after another.
pub(super) struct Work<'t, 'd> {
    pub(super) day: &'t mut Day<'d>,
    pub(super) dice: &'t mut Dice,
    pub(super) client: Client<'d>,
    pub(super) now: Timestamp,
    /// Seconds between two requests, at most.
    pub(super) pace: f64,
}

impl<'t, 'd> Work<'t, 'd> {
    pub(super) fn new(day: &'t mut Day<'d>, dice: &'t mut Dice, client: Client<'d>, now: Timestamp) -> Self {
        Self { day, dice, client, now, pace: 1.5 }
    }

    pub(super) fn call(&mut self, call: &Call) {
        let sent = self.day.log.call(self.dice, &self.client, self.now, call);
        self.now = later(sent, self.dice.between(0.02, self.pace));
    }

    /// Looks whether it exists, which it does not, and creates it.
    pub(super) fn create(&mut self, api: Api, namespace: &str, name: &str, body: Option<Json>) {
        self.call(&Call::get(api, namespace, name).code(404));
        let query = if self.client.agent.starts_with("kubectl/") {
            "?fieldManager=kubectl-client-side-apply&fieldValidation=Strict"
        } else {
            ""
        };
        self.call(&Call { body, ..Call::create(api, namespace, name) }.query(query));
    }

    /// Creates a deployment and lets the control plane start its pod.
    pub(super) fn deploy(&mut self, namespace: &str, name: &str, image: &str) {
        let body = bodies::owner("Deployment", namespace, name, name, image.to_owned());
        self.create(DEPLOYMENTS, namespace, name, Some(body));
        let cluster = self.day.cluster;
        let owner = format!("{name}-{}", self.dice.suffix(10));
        let pod = Pod {
            name: format!("{owner}-{}", self.dice.suffix(5)),
            node: self.dice.below(cluster.nodes.len()),
            ip: String::new(),
            since: self.now,
            owner,
        };
        let set = bodies::owner("ReplicaSet", namespace, &pod.owner, name, image.to_owned());
        let set = Call::create(REPLICASETS, namespace, &pod.owner).body(set);
        let t = self.day.control(self.dice, Controller::Deployment, later(self.now, 0.1), &set);
        let body = PodBody {
            name: PodName::Prefix(format!("{}-", pod.owner)),
            namespace,
            app: name,
            owner: ("ReplicaSet", &pod.owner),
            image: image.to_owned(),
            account: name,
            restart: "Always",
        };
        start_pod(self.day, self.dice, Controller::ReplicaSet, later(t, 0.05), &pod, &body);
    }

    pub(super) fn pause(&mut self, low: f64, high: f64) {
        self.now = later(self.now, self.dice.between(low, high));
    }
}

impl<'a> Day<'a> {
    /// An administrator at the desk; every cluster has one.
    pub(super) fn admin(&self) -> Client<'a> {
        let cluster = self.cluster;
        let admin = cluster.people.iter().find(|p| p.role == Role::Admin).unwrap_or(&cluster.people[0]);
        admin.client(cluster.seed, self.number, false)
    }
}
