//! What detectors cannot see in a log.

use leadsman_decode::EventView;
use leadsman_domain::{SkipReason, Stage, Verb};
use serde::Serialize;

use super::Inspection;

const DAY: f64 = 86_400.0;
/// Below it less than a day is left to calibrate on (45 % of the period), and a model says `learning`.
const LEARNING_DAYS: f64 = 1.0 / 0.45;
/// What training should have.
const ADVISED_DAYS: f64 = 14.0;

/// One thing that cannot be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Blind {
    /// A stable name.
    pub id: &'static str,
    /// What is missing, what follows, and what would help.
    pub detail: String,
}

/// How many events lack what a detector looks for.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    user_agent: u64,
    source_ip: u64,
    finished: u64,
    without_code: u64,
    secrets: u64,
    reads: u64,
    rbac: Bodies,
    workloads: Bodies,
}

/// Requests with a body worth looking into.
#[derive(Debug, Default)]
struct Bodies {
    writes: u64,
    unread: u64,
}

impl Bodies {
    fn add(&mut self, event: &EventView<'_>) {
        self.writes += 1;
        self.unread += u64::from(!event.has_risks);
    }

    fn merge(&mut self, other: &Self) {
        self.writes += other.writes;
        self.unread += other.unread;
    }
}

impl Gaps {
    pub(super) fn event(&mut self, event: &EventView<'_>) {
        self.user_agent += u64::from(!event.has_user_agent);
        self.source_ip += u64::from(!event.has_source_ip);
        if matches!(event.stage, Stage::ResponseStarted | Stage::ResponseComplete) {
            self.finished += 1;
            self.without_code += u64::from(!event.has_code);
        }
        let secrets = event.group.is_empty() && event.resource == "secrets" && event.subresource.is_none();
        self.secrets += u64::from(secrets);
        self.reads += u64::from(event.verb.is_read());
        let writes = matches!(event.verb, Verb::Create | Verb::Update | Verb::Patch);
        // Before the request is handled its body is not logged at any level.
        if !writes || event.subresource.is_some() || event.stage == Stage::RequestReceived {
            return;
        }
        match (event.group, event.resource) {
            ("rbac.authorization.k8s.io", _) => self.rbac.add(event),
            ("", "pods")
            | ("apps", "deployments" | "daemonsets" | "statefulsets" | "replicasets")
            | ("batch", "jobs" | "cronjobs") => self.workloads.add(event),
            _ => {}
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        let Self { user_agent, source_ip, finished, without_code, secrets, reads, rbac, workloads } = other;
        self.user_agent += user_agent;
        self.source_ip += source_ip;
        self.finished += finished;
        self.without_code += without_code;
        self.secrets += secrets;
        self.reads += reads;
        self.rbac.merge(rbac);
        self.workloads.merge(workloads);
    }

    pub(super) fn blind(&self, seen: &Inspection) -> Vec<Blind> {
        let mut found = Vec::new();
        let mut tell = |id, when: bool, detail: String| {
            if when {
                found.push(Blind { id, detail });
            }
        };
        let (events, days) = (seen.account.events, seen.seconds() / DAY);
        tell("no_events", events == 0, "no audit events: what actors do cannot be judged".to_owned());
        if events > 0 {
            self.fields(events, &mut tell);
            tell(
                "no_outcome",
                self.finished == 0,
                "no event of the stages ResponseStarted and ResponseComplete: whether a request succeeded is unknown"
                    .to_owned(),
            );
            tell(
                "no_secrets",
                self.secrets == 0,
                "no request for secrets is logged: who reads them cannot be seen; the audit policy should log them at \
                 level Metadata"
                    .to_owned(),
            );
            tell(
                "no_reads",
                self.reads == 0,
                "no get, list or watch is logged: somebody who only looks around cannot be seen".to_owned(),
            );
        }
        tell(
            "no_samples",
            seen.account.samples == 0,
            "no metric samples: resource usage of workloads is not judged".to_owned(),
        );
        let decoded = seen.account.decoded() > 0;
        tell(
            "short",
            decoded && days < LEARNING_DAYS,
            format!(
                "only {} of data: a model trained on it stays `learning`, and its scores stay low; train on two weeks",
                length(seen.seconds())
            ),
        );
        tell(
            "less_than_advised",
            (LEARNING_DAYS..ADVISED_DAYS).contains(&days),
            format!("{days:.1} days of data: enough to score, less than the two weeks advised for training"),
        );
        let Inspection { account, .. } = seen;
        tell(
            "unscored",
            account.runtime + account.flows > 0,
            format!(
                "{} runtime events and {} flows: they are decoded, and no detector reads them yet",
                account.runtime, account.flows
            ),
        );
        let lost = account.skipped.get(SkipReason::SourceLoss);
        tell(
            "source_loss",
            lost > 0,
            format!("{lost} times a source says that it lost telemetry: look at that source"),
        );
        found
    }

    fn fields(&self, events: u64, tell: &mut impl FnMut(&'static str, bool, String)) {
        let of = |n: u64, all: u64| if n == all { format!("all {all}") } else { format!("{n} of {all}") };
        tell(
            "rbac_bodies",
            self.rbac.unread > 0,
            format!(
                "{} writes of roles and bindings without a body that could be read: what they grant stays unknown; \
                 the audit policy should log them at level Request",
                of(self.rbac.unread, self.rbac.writes)
            ),
        );
        tell(
            "workload_bodies",
            self.workloads.unread > 0,
            format!(
                "{} writes of pods and workloads without a body that could be read: privileged containers, host \
                 paths and the like stay unknown; the audit policy should log them at level Request",
                of(self.workloads.unread, self.workloads.writes)
            ),
        );
        tell(
            "no_user_agent",
            self.user_agent > 0,
            format!("{} events without userAgent: a new client program cannot be seen", of(self.user_agent, events)),
        );
        tell(
            "no_source_ip",
            self.source_ip > 0,
            format!("{} events without sourceIPs: a new address cannot be seen", of(self.source_ip, events)),
        );
        tell(
            "no_code",
            self.without_code > 0,
            format!(
                "{} finished requests without a response code: denials and failures cannot be told from successes",
                of(self.without_code, self.finished)
            ),
        );
    }
}

/// A length of time for people.
pub(crate) fn length(seconds: f64) -> String {
    if seconds < 120.0 {
        format!("{seconds:.0} seconds")
    } else if seconds < 7_200.0 {
        format!("{:.0} minutes", seconds / 60.0)
    } else if seconds < 2.0 * DAY {
        format!("{:.1} hours", seconds / 3_600.0)
    } else {
        format!("{:.1} days", seconds / DAY)
    }
}
