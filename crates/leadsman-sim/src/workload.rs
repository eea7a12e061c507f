//! The applications the cluster runs, and how busy they are.

/// What manages a workload's pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Deployment,
    StatefulSet,
}

/// How the load of a workload moves over a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Shape {
    /// Follows customers: evenings are busy, weekends slower.
    Customers,
    /// Follows office hours; nearly idle otherwise.
    Office,
    /// Hardly moves.
    Steady,
    /// Quiet but for one run a day: from this hour, for so many minutes, at so many times the usual load.
    Nightly { hour: i64, minutes: i64, factor: f64 },
}

/// One application workload. One pod each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Workload {
    /// Namespace.
    pub namespace: &'static str,
    /// Name of the deployment or stateful set, and of its service account.
    pub name: &'static str,
    pub(crate) kind: Kind,
    /// Whether CI releases it; others only restart with node maintenance.
    pub(crate) released: bool,
    pub(crate) shape: Shape,
    /// Usual CPU in thousandths of a core.
    pub(crate) cpu_milli: f64,
    pub(crate) memory_mib: f64,
    /// Usual traffic in bytes per second.
    pub(crate) sent: f64,
    pub(crate) received: f64,
}

impl Workload {
    /// `namespace/name`, as findings name it.
    #[must_use]
    pub fn entity(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    pub(crate) fn image(&self) -> String {
        format!("registry.example.com/{}/{}", self.namespace, self.name)
    }
}

const fn service(namespace: &'static str, name: &'static str, cpu_milli: f64, memory_mib: f64, sent: f64) -> Workload {
    Workload {
        namespace,
        name,
        kind: Kind::Deployment,
        released: true,
        shape: Shape::Customers,
        cpu_milli,
        memory_mib,
        sent,
        received: sent * 0.6,
    }
}

const fn shaped(workload: Workload, shape: Shape) -> Workload {
    Workload { shape, ..workload }
}

const fn unreleased(workload: Workload, kind: Kind) -> Workload {
    Workload { kind, released: false, ..workload }
}

/// Every application workload of the cluster.
pub(crate) const WORKLOADS: [Workload; 15] = [
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

/// A job that runs by the clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    pub(crate) namespace: &'static str,
    pub(crate) name: &'static str,
    /// Minutes between two runs; 1440 is once a day.
    pub(crate) every_minutes: i64,
    /// Minute of the day of the first run.
    pub(crate) first_minute: i64,
}

const fn schedule(namespace: &'static str, name: &'static str, every_minutes: i64, first_minute: i64) -> Schedule {
    Schedule { namespace, name, every_minutes, first_minute }
}

/// The cron jobs of the cluster.
pub(crate) const SCHEDULES: [Schedule; 8] = [
    schedule("shop", "stock-sync", 15, 5),
    schedule("shop", "price-import", 60, 20),
    schedule("pay", "reconcile", 60, 40),
    schedule("pay", "settlement", 1_440, 23 * 60 + 30),
    schedule("data", "partition-rotate", 30, 10),
    schedule("data", "warehouse-vacuum", 1_440, 4 * 60),
    schedule("ml", "feature-refresh", 360, 15),
    schedule("monitoring", "report-uptime", 1_440, 6 * 60),
];
