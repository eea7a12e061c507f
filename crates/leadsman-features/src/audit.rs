use std::sync::LazyLock;
use std::time::Duration;

use leadsman_domain::{FeatureMatrix, FeatureSchema, RowKey, Timestamp};
use polars::prelude::StringChunked;

use crate::FeatureError;
use crate::frame::{Columns, EventFrame, hour_of_day};
use crate::stats::Distinct;
use crate::window::groups;

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

/// One row per (actor, window) of `closed`, ordered by window, then actor.
///
/// Shape: (windows × 27), ordered by [`audit_schema`]. Errors: [`FeatureError`] when the frame lacks a column.
pub fn extract_audit(closed: &EventFrame, length: Duration) -> Result<FeatureMatrix, FeatureError> {
    let columns = Columns::of(closed.frame())?;
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for group in groups(closed.frame())? {
        rows.push(RowKey {
            entity: group.entity.into(),
            window: leadsman_domain::Window { start: group.start, end: group.start.plus(length) },
            count: group.rows.len() as u64,
        });
        values.extend(row(&columns, &group.rows));
    }
    Ok(FeatureMatrix::new(audit_schema(), rows, values)?)
}

#[derive(Default)]
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

fn row(c: &Columns<'_>, indices: &[usize]) -> [f64; NAMES.len()] {
    let mut n = Counts::default();
    let mut times = Vec::with_capacity(indices.len());
    let mut surprises = Vec::with_capacity(indices.len());
    for &i in indices {
        let (verb, api) = (c.verb.get(i).unwrap_or_default(), c.api.get(i).unwrap_or_default());
        let denied = c.denied.get(i).unwrap_or_default();
        count_action(&mut n, verb, api);
        n.denied += u32::from(denied);
        n.errors += u32::from(!denied && c.code.get(i).is_some_and(|code| code >= 400));
        n.impersonations += u32::from(c.impersonated.get(i).unwrap_or_default());
        n.risks += c.risks.get(i).unwrap_or_default();
        n.first_seen += c.first_seen.get(i).unwrap_or_default();
        let time = c.time.get(i).unwrap_or_default();
        n.off_hours += u32::from(!(7..20).contains(&hour_of_day(time)));
        times.push(time);
        surprises.push(c.surprise.get(i).unwrap_or_default());
    }
    let distinct = |column: &StringChunked| Distinct::of(indices.iter().filter_map(|&i| column.get(i)));
    let (ns, apis, objects) = (distinct(c.namespace), distinct(c.api), distinct(c.name));
    let (clients, sources) = (distinct(c.client), distinct(c.source));
    let total = indices.len() as f64;
    surprises.sort_by(|a, b| b.total_cmp(a));
    let top = surprises.iter().take(3).sum::<f64>();
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
        ns.count().ln_1p(),
        apis.count().ln_1p(),
        objects.count().ln_1p(),
        clients.count().ln_1p(),
        sources.count().ln_1p(),
        apis.entropy(),
        ns.entropy(),
        f64::from(busiest(&mut times)).ln_1p(),
        f64::from(n.off_hours) / total.max(1.0),
        log(n.impersonations),
        log(n.risks),
        top.ln_1p(),
        log(n.first_seen),
    ]
}

fn count_action(n: &mut Counts, verb: &str, api: &str) {
    let read = matches!(verb, "get" | "list" | "watch");
    let write = matches!(verb, "create" | "update" | "patch" | "delete" | "deletecollection");
    n.reads += u32::from(read);
    n.writes += u32::from(write);
    n.deletes += u32::from(verb.starts_with("delete"));
    n.lists += u32::from(matches!(verb, "list" | "watch"));
    n.secret_reads += u32::from(read && api == "secrets");
    n.exec += u32::from(matches!(verb, "exec" | "attach" | "portforward" | "proxy"));
    n.rbac += u32::from(write && api.starts_with("rbac.authorization.k8s.io/"));
    let workload = api == "pods" || api.starts_with("apps/") || api.starts_with("batch/");
    n.workload += u32::from(write && workload);
    n.tokens += u32::from(api == "serviceaccounts/token");
    n.reviews += u32::from(api.starts_with("authorization.k8s.io/self"));
}

/// The largest number of events inside any 10 seconds.
fn busiest(times: &mut [i64]) -> u32 {
    times.sort_unstable();
    let (mut best, mut from) = (0, 0);
    for to in 0..times.len() {
        while times[to] - times[from] > Timestamp::from_millis(10_000).as_micros() {
            from += 1;
        }
        best = best.max(to - from + 1);
    }
    u32::try_from(best).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
