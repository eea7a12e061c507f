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

pub(crate) const fn service(
    namespace: &'static str,
    name: &'static str,
    cpu_milli: f64,
    memory_mib: f64,
    sent: f64,
) -> Workload {
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

pub(crate) const fn shaped(workload: Workload, shape: Shape) -> Workload {
    Workload { shape, ..workload }
}

pub(crate) const fn unreleased(workload: Workload, kind: Kind) -> Workload {
    Workload { kind, released: false, ..workload }
}

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

pub(crate) const fn schedule(
    namespace: &'static str,
    name: &'static str,
    every_minutes: i64,
    first_minute: i64,
) -> Schedule {
    Schedule { namespace, name, every_minutes, first_minute }
}
