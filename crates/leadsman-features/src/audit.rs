use std::sync::LazyLock;

use leadsman_domain::{AuditEvent, FeatureSchema, Surprise, Timestamp, Untrusted};
use serde::{Deserialize, Serialize};

use crate::stats::Tally;

/// Features of an actor's window, in column order. Counts and sums are `ln(1 + x)`.
const NAMES: [&str; 27] = [
    "events",
    "reads",
    "writes",
    "deletes",
    "lists",
    "secret_reads",
    "exec_attach_portforward",
    "rbac_writes",
    "workload_writes",
    "token_requests",
    "access_reviews",
    "denied",
    "errors",
    "denied_ratio",
    "distinct_namespaces",
    "distinct_apis",
    "distinct_objects",
    "distinct_clients",
    "distinct_sources",
    "api_entropy",
    "namespace_entropy",
    "busiest_10s",
    "off_hours_share",
    "impersonations",
    "body_risks",
    "surprise_top",
    "first_seen_keys",
];

/// The schema of audit windows.
#[must_use]
pub fn audit_schema() -> FeatureSchema {
    static SCHEMA: LazyLock<FeatureSchema> =
        LazyLock::new(|| FeatureSchema::new(NAMES.iter().map(ToString::to_string).collect()));
    SCHEMA.clone()
}

/// What an actor did in a window, added up as events come. It grows with what is distinct, and by four bytes an event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Activity {
    counts: Counts,
    /// When its events were, in microseconds since the window began: at most an hour.
    times: Vec<u32>,
    /// The largest surprises, in nats, the largest first. None is negative.
    surprises: [f64; 3],
    namespaces: Tally,
    apis: Tally,
    objects: Tally,
    clients: Tally,
    sources: Tally,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Counts {
    reads: u32,
    writes: u32,
    deletes: u32,
    lists: u32,
    secret_reads: u32,
    exec: u32,
    rbac: u32,
    workload: u32,
    tokens: u32,
    reviews: u32,
    denied: u32,
    errors: u32,
    off_hours: u32,
    impersonations: u32,
    risks: u32,
    first_seen: u32,
}

impl Activity {
    /// Adds an event of the window that began at `start`; `api` is its `group/resource/subresource`.
    pub(crate) fn add(&mut self, start: Timestamp, event: &AuditEvent, api: &str, surprise: &Surprise) {
        let n = &mut self.counts;
        n.action(event.verb.as_str(), api);
        n.denied += u32::from(event.denied());
        n.errors += u32::from(!event.denied() && event.code.is_some_and(|code| code >= 400));
        n.impersonations += u32::from(event.actor.impersonated.is_some());
        n.risks += event.risk.count();
        n.first_seen += surprise.first_seen;
        n.off_hours += u32::from(!(7..20).contains(&hour_of_day(event.event_time)));
        let since = event.event_time.as_micros() - start.as_micros();
        self.times.push(u32::try_from(since).unwrap_or(u32::MAX));
        let mut one = surprise.total;
        for most in &mut self.surprises {
            if one > *most {
                std::mem::swap(most, &mut one);
            }
        }
        self.apis.add(api);
        self.namespaces.add_some(event.object.namespace.as_ref().map(Untrusted::raw));
        self.objects.add_some(event.object.name.as_ref().map(Untrusted::raw));
        self.clients.add_some(event.user_agent.as_ref().and_then(|agent| agent.raw().split(['/', ' ']).next()));
        self.sources.add_some(event.source_ip.as_ref().map(Untrusted::raw));
    }

    /// How many events it has.
    pub(crate) fn events(&self) -> usize {
        self.times.len()
    }

    /// Its features, in the order of [`audit_schema`].
    pub(crate) fn features(mut self) -> [f64; NAMES.len()] {
        let n = &self.counts;
        let total = self.times.len() as f64;
        let log = |x: u32| f64::from(x).ln_1p();
        [
            total.ln_1p(),
            log(n.reads),
            log(n.writes),
            log(n.deletes),
            log(n.lists),
            log(n.secret_reads),
            log(n.exec),
            log(n.rbac),
            log(n.workload),
            log(n.tokens),
            log(n.reviews),
            log(n.denied),
            log(n.errors),
            f64::from(n.denied) / total.max(1.0),
            self.namespaces.count().ln_1p(),
            self.apis.count().ln_1p(),
            self.objects.count().ln_1p(),
            self.clients.count().ln_1p(),
            self.sources.count().ln_1p(),
            self.apis.entropy(),
            self.namespaces.entropy(),
            f64::from(busiest(&mut self.times)).ln_1p(),
            f64::from(n.off_hours) / total.max(1.0),
            log(n.impersonations),
            log(n.risks),
            self.surprises.iter().sum::<f64>().ln_1p(),
            log(n.first_seen),
        ]
    }
}

impl Counts {
    fn action(&mut self, verb: &str, api: &str) {
        let read = matches!(verb, "get" | "list" | "watch");
        let write = matches!(verb, "create" | "update" | "patch" | "delete" | "deletecollection");
        self.reads += u32::from(read);
        self.writes += u32::from(write);
        self.deletes += u32::from(verb.starts_with("delete"));
        self.lists += u32::from(matches!(verb, "list" | "watch"));
        self.secret_reads += u32::from(read && api == "secrets");
        self.exec += u32::from(matches!(verb, "exec" | "attach" | "portforward" | "proxy"));
        self.rbac += u32::from(write && api.starts_with("rbac.authorization.k8s.io/"));
        let workload = api == "pods" || api.starts_with("apps/") || api.starts_with("batch/");
        self.workload += u32::from(write && workload);
        self.tokens += u32::from(api == "serviceaccounts/token");
        self.reviews += u32::from(api.starts_with("authorization.k8s.io/self"));
    }
}

/// Hour of the day, UTC.
fn hour_of_day(time: Timestamp) -> u8 {
    time.hour_of_week() % 24
}

/// The largest number of events inside any 10 seconds.
fn busiest(times: &mut [u32]) -> u32 {
    times.sort_unstable();
    let (mut best, mut from) = (0, 0);
    for to in 0..times.len() {
        while times[to] - times[from] > 10_000_000 {
            from += 1;
        }
        best = best.max(to - from + 1);
    }
    u32::try_from(best).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
