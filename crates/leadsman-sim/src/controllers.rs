//! The control plane: what follows when somebody rolls out, and when the clock strikes.

use leadsman_domain::Timestamp;

use crate::api::{
    ACCOUNTS, CONFIGMAPS, CRONJOBS, Call, DEPLOYMENTS, ENDPOINTS, JOBS, PODS, REPLICASETS, SLICES, STATEFULSETS,
};
use crate::bodies::{self, PodBody, PodName};
use crate::cluster::Pod;
use crate::day::Day;
use crate::dice::{Dice, fixed_uuid};
use crate::identity::Identity;
use crate::log::later;
use crate::workload::{Kind, Schedule};

/// The controllers of kube-controller-manager, each with its own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Controller {
    Deployment,
    ReplicaSet,
    StatefulSet,
    Job,
    CronJob,
    EndpointSlice,
    Endpoints,
    GarbageCollector,
    Autoscaler,
    ResourceQuota,
    DaemonSet,
}

impl Controller {
    /// In declaration order, so that the discriminant is the index.
    pub(crate) const ALL: [Self; 11] = [
        Self::Deployment,
        Self::ReplicaSet,
        Self::StatefulSet,
        Self::Job,
        Self::CronJob,
        Self::EndpointSlice,
        Self::Endpoints,
        Self::GarbageCollector,
        Self::Autoscaler,
        Self::ResourceQuota,
        Self::DaemonSet,
    ];

    pub(crate) fn account(self) -> &'static str {
        match self {
            Self::Deployment => "deployment-controller",
            Self::ReplicaSet => "replicaset-controller",
            Self::StatefulSet => "statefulset-controller",
            Self::Job => "job-controller",
            Self::CronJob => "cronjob-controller",
            Self::EndpointSlice => "endpointslice-controller",
            Self::Endpoints => "endpoint-controller",
            Self::GarbageCollector => "generic-garbage-collector",
            Self::Autoscaler => "horizontal-pod-autoscaler",
            Self::ResourceQuota => "resourcequota-controller",
            Self::DaemonSet => "daemon-set-controller",
        }
    }

    pub(crate) fn identity(self, seed: u64) -> Identity {
        let role = format!("system:controller:{}", self.account());
        Identity::service_account(seed, "kube-system", self.account()).cluster_role(&role, &role)
    }
}

/// Everything of one day that the control plane does by itself.
pub(crate) fn run(day: &mut Day<'_>) {
    for index in 0..day.cluster.workloads().len() {
        if let Some(rollout) = day.cluster.rollout(index, day.number) {
            let old = day.cluster.pod_at(index, day.midnight());
            let new = day.cluster.pod_at(index, rollout.at);
            replace(day, index, &old, &new, rollout.at);
        }
    }
    for schedule in day.cluster.estate.schedules {
        let mut minute = schedule.first_minute;
        while minute < 1_440 {
            run_job(day, schedule, minute);
            minute += schedule.every_minutes;
        }
    }
}

/// Pod `new` of a workload comes up, pod `old` goes.
pub(crate) fn replace(day: &mut Day<'_>, index: usize, old: &Pod, new: &Pod, at: Timestamp) {
    let workload = &day.cluster.workloads()[index];
    let (ns, name) = (workload.namespace, workload.name);
    let mut dice = day.dice("replace", &new.name);
    let dice = &mut dice;
    let mut t = later(at, dice.between(0.1, 0.6));
    let (owner_kind, controller) = match workload.kind {
        Kind::Deployment => ("ReplicaSet", Controller::ReplicaSet),
        Kind::StatefulSet => ("StatefulSet", Controller::StatefulSet),
    };
    if workload.kind == Kind::Deployment {
        let body = bodies::owner("ReplicaSet", ns, &new.owner, name, image(day, index, t));
        t = day.control(dice, Controller::Deployment, t, &Call::create(REPLICASETS, ns, &new.owner).body(body));
        t = day.control(dice, Controller::Deployment, t, &Call::update(DEPLOYMENTS, ns, name).sub("status"));
    }
    let body = PodBody {
        name: match workload.kind {
            Kind::Deployment => PodName::Prefix(format!("{}-", new.owner)),
            Kind::StatefulSet => PodName::Exact(&new.name),
        },
        namespace: ns,
        app: name,
        owner: (owner_kind, &new.owner),
        image: image(day, index, t),
        account: name,
        restart: "Always",
    };
    let ready = start_pod(day, dice, controller, later(t, 0.03), new, &body);
    let mut done = endpoints(day, dice, ready, ns, name);
    if old.name != new.name {
        done = day.control(dice, Controller::ReplicaSet, later(done, 0.4), &Call::delete(PODS, ns, &old.name));
        stop_pod(day, dice, later(done, stop_seconds(day, &old.name)), ns, old);
    }
    match workload.kind {
        Kind::Deployment => {
            for set in [&new.owner, &old.owner] {
                done =
                    day.control(dice, Controller::ReplicaSet, done, &Call::update(REPLICASETS, ns, set).sub("status"));
            }
            let status = Call::update(DEPLOYMENTS, ns, name).sub("status");
            let status = if dice.chance(0.06) { status.code(409) } else { status };
            day.control(dice, Controller::Deployment, done, &status);
        }
        Kind::StatefulSet => {
            day.control(dice, controller, done, &Call::update(STATEFULSETS, ns, name).sub("status"));
        }
    }
}

fn image(day: &Day<'_>, index: usize, at: Timestamp) -> String {
    let workload = &day.cluster.workloads()[index];
    let tag = Dice::new(day.cluster.seed, "image", &workload.entity(), at.day()).hex(9);
    if workload.released { format!("{}:{tag}", workload.image()) } else { format!("{}:stable", workload.image()) }
}

/// Seconds a pod takes to stop.
fn stop_seconds(day: &Day<'_>, pod: &str) -> f64 {
    day.dice("stop", pod).between(1.0, 9.0)
}

/// A pod from creation to readiness; returns when it is ready.
pub(crate) fn start_pod(
    day: &mut Day<'_>,
    dice: &mut Dice,
    creator: Controller,
    at: Timestamp,
    pod: &Pod,
    body: &PodBody<'_>,
) -> Timestamp {
    let ns = body.namespace;
    let owner_uid = fixed_uuid(day.cluster.seed, "owner", &format!("{ns}/{}", pod.owner), 0);
    let t = day.control(dice, creator, at, &Call::create(PODS, ns, "").body(bodies::pod(body, owner_uid)));
    let scheduler = day.cluster.scheduler();
    let t = day.log.call(dice, &scheduler, later(t, 0.02), &Call::create(PODS, ns, &pod.name).sub("binding"));
    let kubelet = day.cluster.kubelet(pod.node, t);
    let mut t = later(t, dice.between(0.05, 0.4));
    for call in [
        Call::create(ACCOUNTS, ns, body.account).sub("token"),
        Call::get(CONFIGMAPS, ns, "kube-root-ca.crt"),
        Call::get(PODS, ns, &pod.name),
        Call::patch(PODS, ns, &pod.name).sub("status"),
    ] {
        t = later(day.log.call(dice, &kubelet, t, &call), 0.02);
    }
    let t = later(t, dice.between(1.5, 14.0));
    day.log.call(dice, &kubelet, t, &Call::patch(PODS, ns, &pod.name).sub("status"))
}

/// A pod that was told to stop stops.
fn stop_pod(day: &mut Day<'_>, dice: &mut Dice, at: Timestamp, ns: &str, pod: &Pod) {
    let kubelet = day.cluster.kubelet(pod.node, at);
    let t = day.log.call(dice, &kubelet, at, &Call::patch(PODS, ns, &pod.name).sub("status"));
    day.log.call(dice, &kubelet, later(t, 0.2), &Call::delete(PODS, ns, &pod.name));
}

fn endpoints(day: &mut Day<'_>, dice: &mut Dice, at: Timestamp, ns: &str, name: &str) -> Timestamp {
    let slice = format!("{name}-{}", Dice::new(day.cluster.seed, "slice", &format!("{ns}/{name}"), 0).suffix(5));
    day.control(dice, Controller::EndpointSlice, later(at, 0.05), &Call::update(SLICES, ns, &slice));
    day.control(dice, Controller::Endpoints, later(at, 0.06), &Call::update(ENDPOINTS, ns, name))
}

/// One run of a cron job, and the clean-up of an older one.
fn run_job(day: &mut Day<'_>, schedule: &Schedule, minute: i64) {
    let Schedule { namespace: ns, name, .. } = *schedule;
    let mut dice = day.dice(name, &minute.to_string());
    let dice = &mut dice;
    // As the cronjob controller does: minutes since the epoch.
    let job_at = |minutes: i64| format!("{name}-{}", day.number * 1_440 + minutes);
    let (job, oldest) = (job_at(minute), job_at(minute - 3 * schedule.every_minutes));
    let suffix = dice.suffix(5);
    let node = dice.below(day.cluster.nodes.len());
    let pod =
        Pod { name: format!("{job}-{suffix}"), owner: job.clone(), node, ip: String::new(), since: day.midnight() };

    let image = format!("registry.example.com/{ns}/{name}:2026.1");
    let t = later(day.midnight(), minute as f64 * 60.0 + dice.between(0.01, 0.9));
    let create = Call::create(JOBS, ns, &job).body(bodies::owner("Job", ns, &job, name, image.clone()));
    let t = day.control(dice, Controller::CronJob, t, &create);
    let t = day.control(dice, Controller::CronJob, t, &Call::update(CRONJOBS, ns, name).sub("status"));
    let body = PodBody {
        name: PodName::Prefix(format!("{job}-")),
        namespace: ns,
        app: name,
        owner: ("Job", &job),
        image,
        account: name,
        restart: "Never",
    };
    let t = start_pod(day, dice, Controller::Job, later(t, 0.05), &pod, &body);
    let t = day.control(dice, Controller::Job, t, &Call::update(JOBS, ns, &job).sub("status"));
    let t = later(t, dice.between(8.0, 200.0));
    let kubelet = day.cluster.kubelet(node, t);
    let t = day.log.call(dice, &kubelet, t, &Call::patch(PODS, ns, &pod.name).sub("status"));
    let t = day.control(dice, Controller::Job, later(t, 1.0), &Call::update(JOBS, ns, &job).sub("status"));
    let t = day.control(dice, Controller::CronJob, later(t, 0.1), &Call::update(CRONJOBS, ns, name).sub("status"));
    day.control(dice, Controller::CronJob, t, &Call::delete(JOBS, ns, &oldest));
    let gone = format!("{oldest}-{}", dice.suffix(5));
    day.control(dice, Controller::GarbageCollector, later(t, 0.3), &Call::delete(PODS, ns, &gone));
}
