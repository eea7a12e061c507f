//! A shop with four teams: the cluster that the built-in model knows. Its stream keeps its bytes.

use super::{Estate, Post, post};
use crate::people::Role;
use crate::workload::{Kind, Schedule, Shape, Workload, schedule, service, shaped, unreleased};

pub(super) const ESTATE: Estate = Estate {
    nodes: 6,
    workloads: &WORKLOADS,
    schedules: &SCHEDULES,
    staff: &STAFF,
    // Who carries the pager, week by week.
    rota: &["sam.okafor", "maria.keller", "nina.larsen", "aisha.rahman"],
    app_namespaces: &["shop", "pay", "ml", "data"],
    namespaces: &NAMESPACES,
    autoscaled: &["catalog", "storefront", "ranker"],
    released_from_outside: "ml",
    gitops: true,
    backup: true,
    by_hand: 1.0,
    typos: 0.0,
    logs_leases: false,
};

const WORKLOADS: [Workload; 15] = [
    service("shop", "cart", 180.0, 310.0, 42_000.0),
    service("shop", "catalog", 260.0, 520.0, 160_000.0),
    service("shop", "checkout", 140.0, 280.0, 30_000.0),
    service("shop", "search", 420.0, 1_450.0, 88_000.0),
    service("shop", "storefront", 320.0, 390.0, 410_000.0),
    service("pay", "payments", 150.0, 420.0, 21_000.0),
    service("pay", "fraud-check", 380.0, 980.0, 12_000.0),
    shaped(service("pay", "ledger", 90.0, 640.0, 8_000.0), Shape::Steady),
    service("ml", "ranker", 900.0, 2_600.0, 64_000.0),
    shaped(service("ml", "feature-store", 240.0, 1_800.0, 96_000.0), Shape::Steady),
    unreleased(shaped(service("ml", "notebook-lab", 300.0, 3_200.0, 15_000.0), Shape::Office), Kind::StatefulSet),
    unreleased(
        shaped(
            service("ml", "trainer", 160.0, 4_100.0, 9_000.0),
            Shape::Nightly { hour: 1, minutes: 150, factor: 18.0 },
        ),
        Kind::Deployment,
    ),
    unreleased(shaped(service("data", "warehouse", 350.0, 5_200.0, 70_000.0), Shape::Steady), Kind::StatefulSet),
    shaped(service("data", "etl", 110.0, 760.0, 25_000.0), Shape::Nightly { hour: 3, minutes: 70, factor: 9.0 }),
    shaped(service("data", "event-bridge", 210.0, 450.0, 130_000.0), Shape::Steady),
];

const SCHEDULES: [Schedule; 8] = [
    schedule("shop", "stock-sync", 15, 5),
    schedule("shop", "price-import", 60, 20),
    schedule("pay", "reconcile", 60, 40),
    schedule("pay", "settlement", 1_440, 23 * 60 + 30),
    schedule("data", "partition-rotate", 30, 10),
    schedule("data", "warehouse-vacuum", 1_440, 4 * 60),
    schedule("ml", "feature-refresh", 360, 15),
    schedule("monitoring", "report-uptime", 1_440, 6 * 60),
];

const STAFF: [Post; 9] = [
    post("maria.keller", Role::Developer, &["shop", "dev-shop"], "pay", 7.5),
    post("jonas.weber", Role::Developer, &["shop", "dev-shop"], "pay", 8.5),
    post("aisha.rahman", Role::Developer, &["pay", "dev-pay"], "shop", 8.0),
    post("tom.lindqvist", Role::Developer, &["pay", "dev-pay"], "shop", 9.0),
    post("wei.chen", Role::Developer, &["data", "dev-data"], "ml", 7.0),
    post("elena.petrova", Role::Scientist, &["ml"], "data", 9.0),
    post("sam.okafor", Role::Sre, &["monitoring", "ingress", "shop", "pay", "data"], "ml", 7.5),
    post("nina.larsen", Role::Sre, &["monitoring", "shop", "ml", "pay", "ingress"], "data", 8.0),
    post("viktor.hahn", Role::Admin, &["kube-system", "ingress", "cert-manager", "monitoring"], "argocd", 8.0),
];

/// As a backup walks them.
const NAMESPACES: [&str; 14] = [
    "argocd",
    "cert-manager",
    "cicd",
    "data",
    "dev-data",
    "dev-pay",
    "dev-shop",
    "ingress",
    "kube-system",
    "ml",
    "monitoring",
    "pay",
    "shop",
    "velero",
];
