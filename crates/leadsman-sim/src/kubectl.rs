//! What people type, as the requests that kubectl makes of it.

use std::borrow::Borrow;
use std::time::Duration;

use leadsman_domain::Timestamp;

use crate::agents::SHARED_SECRETS;
use crate::api::{
    ACCESS_REVIEWS, Api, CLUSTER_BINDINGS, CLUSTER_ROLES, CONFIGMAPS, CRONJOBS, Call, DEPLOYMENTS, EVENTS, JOBS,
    NAMESPACES, NODE_METRICS, NODES, NOTEBOOKS, POD_METRICS, PODS, REPLICASETS, ROLE_BINDINGS, ROLES, SECRETS,
    SERVICES, STATEFULSETS, TRAIN_JOBS, Target,
};
use crate::bodies;
use crate::cluster::Cluster;
use crate::command::Command;
use crate::day::{Day, week};
use crate::dice::Dice;
use crate::identity::Client;
use crate::json::{Json, object};
use crate::log::{later, version_at};
use crate::people::Person;
use crate::workload::Kind;

/// A person's terminal: the requests of one session, one after another.
pub(crate) struct Terminal<'t, 'd> {
    day: &'t mut Day<'d>,
    pub(crate) dice: &'t mut Dice,
    client: &'t Client<'t>,
    person: &'t Person,
    ns: &'static str,
    now: Timestamp,
}

impl<'t, 'd> Terminal<'t, 'd> {
    pub(crate) fn new(
        day: &'t mut Day<'d>,
        dice: &'t mut Dice,
        client: &'t Client<'t>,
        person: &'t Person,
        ns: &'static str,
        now: Timestamp,
    ) -> Self {
        Self { day, dice, client, person, ns, now }
    }

    /// kubectl keeps what it learnt about the API for some hours; sometimes it has to ask again.
    pub(crate) fn discover(&mut self) {
        if self.dice.chance(0.3) {
            self.call(Call::path("/api").query("?timeout=32s"));
            self.call(Call::path("/apis").query("?timeout=32s"));
        }
    }

    /// Runs one command, then thinks.
    pub(crate) fn run(&mut self, command: Command) {
        let ns = self.ns;
        match command {
            Command::Pods => self.call(Call::list(PODS, ns)),
            Command::Deployments => self.call(Call::list(DEPLOYMENTS, ns)),
            Command::Describe => self.describe(),
            Command::Logs => self.logs(),
            Command::Events => self.call(Call::list(EVENTS, ns)),
            Command::Watch => self.watch(),
            Command::Exec => self.exec(),
            Command::PortForward => self.forward(),
            Command::Config => self.config(),
            Command::Secret => self.secret(),
            Command::Secrets => self.call(Call::list(SECRETS, ns)),
            Command::Apply => self.apply(false),
            Command::ApplyNew => self.apply(true),
            Command::Restart => self.restart(),
            Command::Scale => self.scale(),
            Command::DeletePod => self.delete_pod(),
            Command::RunJob => self.run_job(),
            Command::Top => self.call(Call::list(POD_METRICS, ns)),
            Command::Neighbour => self.neighbour(),
            Command::Denied => {
                let call = if self.dice.chance(0.6) {
                    Call::list(SECRETS, self.person.neighbour)
                } else {
                    Call::list(NODES, "")
                };
                self.call(call.code(403));
            }
            Command::CanI => self.call(Call::create(ACCESS_REVIEWS, "", "")),
            Command::Nodes => {
                self.call(Call::list(NODES, ""));
                if self.dice.chance(0.3) {
                    self.call(Call::list(NODE_METRICS, ""));
                }
            }
            Command::Namespaces => self.call(Call::list(NAMESPACES, "")),
            Command::Cordon => self.cordon(),
            Command::Debug => self.debug(),
            Command::Roles => {
                let calls = [
                    Call::list(ROLE_BINDINGS, ns),
                    Call::list(ROLES, ns),
                    Call::list(CLUSTER_ROLES, ""),
                    Call::list(CLUSTER_BINDINGS, ""),
                ];
                let call = self.dice.pick(&calls);
                self.call(call);
            }
            Command::Bind => self.bind(),
            Command::Notebook => self.notebook(),
            Command::TrainJob => self.train(),
        }
        let pause = self.dice.between(4.0, 45.0) * if self.dice.chance(0.15) { 5.0 } else { 1.0 };
        self.now = later(self.now, pause);
    }

    /// When the last request was answered.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    pub(crate) fn call(&mut self, call: impl Borrow<Call>) {
        let call = call.borrow();
        let typos = self.day.cluster.estate.typos;
        // Without typos no dice are thrown for them: the medium cluster keeps its bytes.
        if typos > 0.0 && call.verb == "get" && self.dice.chance(typos) {
            self.mistype(call);
        }
        self.send(call);
    }

    fn send(&mut self, call: &Call) {
        let sent = self.day.log.call(self.dice, self.client, self.now, call);
        self.now = sent.plus(Duration::from_millis(15));
    }

    /// The same request with a letter missing from the name, and a look at what is wrong.
    fn mistype(&mut self, call: &Call) {
        let Target::Object { api, namespace, name, sub: "" } = &call.target else { return };
        let mut wrong = name.clone();
        if wrong.pop().is_some() && !wrong.is_empty() {
            self.send(&Call::get(*api, namespace, &wrong).code(404));
            self.now = later(self.now, self.dice.between(2.0, 9.0));
        }
    }

    /// Some pod of a namespace with its application's name.
    fn pod(&mut self, ns: &str) -> (String, String) {
        let cluster = self.day.cluster;
        let workloads = cluster.workloads();
        let inside: Vec<_> = (0..workloads.len()).filter(|&i| workloads[i].namespace == ns).collect();
        if !inside.is_empty() {
            let index = *self.dice.pick(&inside);
            return (cluster.pod_at(index, self.now).name, workloads[index].name.to_owned());
        }
        let agents: Vec<_> = cluster.agents.iter().filter(|a| a.namespace == ns).collect();
        if !agents.is_empty() {
            let agent = *self.dice.pick(&agents);
            let client = agent.client(cluster, self.now);
            return (client.pod.map_or_else(String::new, |p| p.name), agent.name.to_owned());
        }
        // Development copies are rebuilt every week.
        let app = *self.dice.pick(&["api", "worker"]);
        let mut made = Dice::new(cluster.seed, "dev pod", &format!("{ns}/{app}"), week(self.day.number));
        (format!("{app}-{}-{}", made.suffix(10), made.suffix(5)), app.to_owned())
    }

    fn describe(&mut self) {
        let (pod, _) = self.pod(self.ns);
        self.call(Call::get(PODS, self.ns, &pod));
        self.call(Call::list(EVENTS, self.ns).query(format!("?fieldSelector=involvedObject.name%3D{pod}&limit=500")));
    }

    fn logs(&mut self) {
        let (pod, app) = self.pod(self.ns);
        self.call(Call::get(PODS, self.ns, &pod));
        let follow = self.dice.chance(0.3);
        let query =
            if follow { format!("?container={app}&follow=true") } else { format!("?container={app}&tailLines=200") };
        let call = Call::get(PODS, self.ns, &pod).sub("log").query(query);
        let length = self.dice.between(10.0, 400.0);
        self.call(if follow { call.open_for(length) } else { call });
    }

    fn watch(&mut self) {
        self.call(Call::list(PODS, self.ns));
        let version = version_at(self.now);
        let length = 20 + self.dice.below(280) as u32;
        self.call(Call::watch(PODS, self.ns, version, length));
    }

    fn exec(&mut self) {
        let (pod, app) = self.pod(self.ns);
        self.call(Call::get(PODS, self.ns, &pod));
        let command = *self.dice.pick(&[
            "command=sh",
            "command=sh",
            "command=bash",
            "command=env",
            "command=ls&command=-la&command=%2Fapp",
        ]);
        let query = format!("?{command}&container={app}&stdin=true&stdout=true&tty=true");
        let length = self.dice.between(5.0, 600.0);
        self.call(Call::get(PODS, self.ns, &pod).sub("exec").query(query).code(101).open_for(length));
        self.now = later(self.now, length.min(200.0));
    }

    fn forward(&mut self) {
        let (pod, _) = self.pod(self.ns);
        self.call(Call::get(PODS, self.ns, &pod));
        let length = self.dice.between(60.0, 1_800.0);
        self.call(Call::get(PODS, self.ns, &pod).sub("portforward").code(101).open_for(length));
    }

    fn config(&mut self) {
        let (_, app) = self.pod(self.ns);
        let name = format!("{app}-config");
        self.call(Call::get(CONFIGMAPS, self.ns, &name));
        if self.dice.chance(0.1) {
            self.now = later(self.now, 20.0);
            self.call(Call::patch(CONFIGMAPS, self.ns, &name).query("?fieldManager=kubectl-edit"));
        }
    }

    fn secret(&mut self) {
        let name = *self.dice.pick(&SHARED_SECRETS);
        self.call(Call::get(SECRETS, self.ns, name));
    }

    /// `kubectl apply`: look first, then create or patch.
    fn apply(&mut self, new: bool) {
        if self.dice.chance(0.5) {
            self.call(Call::path("/openapi/v3").query("?timeout=32s"));
        }
        let (_, app) = self.pod(self.ns);
        let apis: [Api; 3] = [CONFIGMAPS, SERVICES, DEPLOYMENTS];
        let api = *self.dice.pick(&apis);
        let suffix = if api == CONFIGMAPS { "-config" } else { "" };
        let name = if new { format!("{app}-v{}{suffix}", 2 + self.dice.below(3)) } else { format!("{app}{suffix}") };
        let image = format!("registry.example.com/{}/{app}:{}", self.ns, self.dice.hex(9));
        if new {
            self.call(Call::get(api, self.ns, &name).code(404));
            let create = Call::create(api, self.ns, &name)
                .query("?fieldManager=kubectl-client-side-apply&fieldValidation=Strict");
            let body = (api == DEPLOYMENTS).then(|| bodies::owner("Deployment", self.ns, &name, &app, image));
            self.call(Call { body, ..create });
        } else {
            self.call(Call::get(api, self.ns, &name));
            let patch = Call::patch(api, self.ns, &name)
                .query("?fieldManager=kubectl-client-side-apply&fieldValidation=Strict");
            let body = (api == DEPLOYMENTS).then(|| bodies::image_patch(&app, image));
            self.call(Call { body, ..patch });
        }
    }

    fn restart(&mut self) {
        let (_, app) = self.pod(self.ns);
        let body = bodies::restart_patch(self.now.to_string());
        let api = managed_by(self.day.cluster, self.ns, &app);
        self.call(Call::get(api, self.ns, &app));
        self.call(Call::patch(api, self.ns, &app).query("?fieldManager=kubectl-rollout").body(body));
        self.call(Call::list(REPLICASETS, self.ns));
    }

    fn scale(&mut self) {
        let (_, app) = self.pod(self.ns);
        let api = managed_by(self.day.cluster, self.ns, &app);
        self.call(Call::get(api, self.ns, &app));
        self.call(Call::patch(api, self.ns, &app).sub("scale"));
    }

    fn delete_pod(&mut self) {
        let (pod, _) = self.pod(self.ns);
        self.call(Call::delete(PODS, self.ns, &pod));
        self.call(Call::list(PODS, self.ns));
    }

    fn run_job(&mut self) {
        let schedules = self.day.cluster.estate.schedules;
        let Some(schedule) = schedules.iter().find(|s| s.namespace == self.person.home[0]) else { return };
        self.call(Call::get(CRONJOBS, schedule.namespace, schedule.name));
        let job = format!("{}-manual-{}", schedule.name, self.dice.suffix(3));
        let image = format!("registry.example.com/{}/{}:2026.1", schedule.namespace, schedule.name);
        let body = bodies::owner("Job", schedule.namespace, &job, schedule.name, image);
        self.call(Call::create(JOBS, schedule.namespace, &job).query("?fieldManager=kubectl-create").body(body));
    }

    fn neighbour(&mut self) {
        let ns = self.person.neighbour;
        self.call(Call::list(PODS, ns));
        if self.dice.chance(0.4) {
            let (pod, app) = self.pod(ns);
            self.call(Call::get(PODS, ns, &pod).sub("log").query(format!("?container={app}&tailLines=100")));
        }
    }

    fn cordon(&mut self) {
        let node = self.dice.below(self.day.cluster.nodes.len());
        let name = &self.day.cluster.nodes[node].name;
        self.call(Call::get(NODES, "", name));
        self.call(Call::patch(NODES, "", name));
        self.now = later(self.now, self.dice.between(300.0, 1_500.0));
        self.call(Call::get(NODES, "", name));
        self.call(Call::patch(NODES, "", name));
    }

    fn debug(&mut self) {
        let (pod, app) = self.pod(self.ns);
        let container = format!("debugger-{}", self.dice.suffix(5));
        self.call(Call::get(PODS, self.ns, &pod));
        let body = bodies::debug_patch(container.clone(), &app);
        self.call(Call::patch(PODS, self.ns, &pod).sub("ephemeralcontainers").body(body));
        let query = format!("?container={container}&stdin=true&stdout=true&tty=true");
        let length = self.dice.between(30.0, 500.0);
        self.call(Call::get(PODS, self.ns, &pod).sub("attach").query(query).code(101).open_for(length));
    }

    /// A new team member's rights: a role binding in an application namespace, never a cluster role.
    fn bind(&mut self) {
        let ns = *self.dice.pick(self.day.cluster.estate.app_namespaces);
        let name = format!("team-{}", self.dice.suffix(4));
        self.call(Call::get(ROLE_BINDINGS, ns, &name).code(404));
        let body = bodies::binding(ns, &name, "view", bodies::group_subject(&format!("{ns}-guests")));
        self.call(Call::create(ROLE_BINDINGS, ns, &name).query("?fieldManager=kubectl-client-side-apply").body(body));
    }

    fn notebook(&mut self) {
        self.call(Call::get(NOTEBOOKS, self.ns, "lab"));
        if self.dice.chance(0.3) {
            let stopped = if self.dice.chance(0.5) { Json::Null } else { Json::from(self.now.to_string()) };
            let annotations = object([("kubeflow-resource-stopped", stopped)]);
            let body = object([("metadata", object([("annotations", annotations)]))]);
            self.call(Call::patch(NOTEBOOKS, self.ns, "lab").body(body));
        }
    }

    fn train(&mut self) {
        let name = format!("ranker-{}", self.dice.suffix(5));
        let metadata = object([("name", Json::from(&name)), ("namespace", self.ns.into())]);
        let spec = object([
            ("runtimeRef", object([("name", "torch-distributed".into())])),
            ("trainer", object([("numNodes", 1.into())])),
        ]);
        let body = object([
            ("apiVersion", "trainer.kubeflow.org/v1alpha1".into()),
            ("kind", "TrainJob".into()),
            ("metadata", metadata),
            ("spec", spec),
        ]);
        self.call(Call::get(TRAIN_JOBS, self.ns, &name).code(404));
        self.call(Call::create(TRAIN_JOBS, self.ns, &name).query("?fieldManager=kubectl-create").body(body));
        self.call(Call::list(TRAIN_JOBS, self.ns));
    }
}

/// The kind of object that runs an application.
fn managed_by(cluster: &Cluster, ns: &str, app: &str) -> Api {
    match cluster.workloads().iter().find(|w| w.namespace == ns && w.name == app).map(|w| w.kind) {
        Some(Kind::StatefulSet) => STATEFULSETS,
        Some(Kind::Deployment) | None => DEPLOYMENTS,
    }
}
