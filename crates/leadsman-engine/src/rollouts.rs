//! Which workloads were changed lately: new behaviour of the accounts that live beside them may come from that.

use std::collections::BTreeMap;
use std::time::Duration;

use leadsman_domain::{AuditEvent, Timestamp, Untrusted, Verb};
use serde::{Deserialize, Serialize};

/// So long after a rollout new behaviour may come from it.
const EXPLAINS: Duration = Duration::from_secs(3_600);
/// Most namespaces remembered; the one whose rollout is longest ago gives way.
const MAX_NAMESPACES: usize = 1_024;

/// The last change of a workload in a namespace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rollout {
    pub(crate) at: Timestamp,
    /// Who did it, as it stands in the log.
    pub(crate) by: Box<str>,
    pub(crate) namespace: Box<str>,
}

/// The last rollout of each namespace.
///
/// It is told and never subtracted from evidence: whoever may change a workload could hide behind a rollout of their own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rollouts(BTreeMap<Box<str>, Rollout>);

impl Rollouts {
    /// Takes an event into account.
    pub(crate) fn see(&mut self, event: &AuditEvent) {
        let Some(namespace) = event.object.namespace.as_ref().map(Untrusted::raw).filter(|_| is_rollout(event)) else {
            return;
        };
        if self.0.get(namespace).is_some_and(|known| known.at > event.event_time) {
            return;
        }
        if self.0.len() >= MAX_NAMESPACES && !self.0.contains_key(namespace) {
            let oldest = self.0.values().min_by(|a, b| (a.at, &a.namespace).cmp(&(b.at, &b.namespace)));
            if let Some(oldest) = oldest.map(|rollout| rollout.namespace.clone()) {
                self.0.remove(&oldest);
            }
        }
        let rollout = Rollout { at: event.event_time, by: event.actor.name.clone(), namespace: namespace.into() };
        self.0.insert(namespace.into(), rollout);
    }

    /// The rollout in the home of a service account, by somebody else, that may explain what is new at `time`.
    pub(crate) fn before(&self, actor: &str, time: Timestamp) -> Option<&Rollout> {
        let (home, _) = actor.strip_prefix("system:serviceaccount:")?.split_once(':')?;
        let rollout = self.0.get(home)?;
        let recent = rollout.at <= time && time <= rollout.at.plus(EXPLAINS);
        (recent && *rollout.by != *actor).then_some(rollout)
    }
}

/// Whether somebody but the control plane wrote a workload; what controllers note on its status is none.
fn is_rollout(event: &AuditEvent) -> bool {
    let control_plane = ["system:serviceaccount:kube-system:", "system:kube-", "system:apiserver", "system:node:"];
    event.object.group.raw() == "apps"
        && event.object.subresource.is_none()
        && matches!(event.object.resource.raw(), "deployments" | "daemonsets" | "statefulsets")
        && matches!(event.verb, Verb::Create | Verb::Update | Verb::Patch)
        && event.succeeded()
        && !control_plane.iter().any(|prefix| event.actor.name.starts_with(prefix))
}
