//! A young company: one product, three people who do everything, and CI.

use super::{Estate, Post, post};
use crate::people::Role;
use crate::workload::{Kind, Schedule, Shape, Workload, schedule, service, shaped, unreleased};

pub(super) const ESTATE: Estate = Estate {
    nodes: 3,
    workloads: &WORKLOADS,
    schedules: &SCHEDULES,
    staff: &STAFF,
    rota: &["ines.duarte", "noah.fischer"],
    app_namespaces: &["app", "jobs"],
    namespaces: &["app", "cert-manager", "cicd", "ingress", "jobs", "kube-system", "monitoring"],
    autoscaled: &["web"],
    released_from_outside: "",
    gitops: false,
    backup: false,
    by_hand: 3.0,
    typos: 0.03,
    logs_leases: true,
};

const WORKLOADS: [Workload; 6] = [
    service("app", "api", 240.0, 420.0, 90_000.0),
    service("app", "web", 160.0, 260.0, 210_000.0),
    service("app", "auth", 80.0, 190.0, 14_000.0),
    unreleased(shaped(service("app", "postgres", 300.0, 2_400.0, 60_000.0), Shape::Steady), Kind::StatefulSet),
    shaped(service("jobs", "mailer", 60.0, 180.0, 9_000.0), Shape::Steady),
    shaped(service("jobs", "importer", 90.0, 340.0, 12_000.0), Shape::Nightly { hour: 2, minutes: 45, factor: 8.0 }),
];

const SCHEDULES: [Schedule; 2] =
    [schedule("jobs", "digest-mail", 1_440, 5 * 60), schedule("app", "session-purge", 120, 12)];

const STAFF: [Post; 3] = [
    post("ines.duarte", Role::Admin, &["app", "jobs", "kube-system", "ingress"], "monitoring", 8.0),
    post("noah.fischer", Role::Sre, &["app", "jobs", "monitoring"], "cert-manager", 9.0),
    post("lea.moreau", Role::Developer, &["app", "jobs"], "monitoring", 9.5),
];
