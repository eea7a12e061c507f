//! Which workloads were changed lately: new behaviour of the accounts that live beside them may come from that.

use std::collections::BTreeMap;
use std::time::Duration;

use leadsman_domain::{ActorClass, AuditEvent, Timestamp, Untrusted, Verb, service_account};
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
            let oldest = self.0.iter().min_by_key(|(namespace, rollout)| (rollout.at, *namespace));
            if let Some(oldest) = oldest.map(|(namespace, _)| namespace.clone()) {
                self.0.remove(&oldest);
            }
        }
        self.0.insert(namespace.into(), Rollout { at: event.event_time, by: (*event.actor.name).into() });
    }

    /// The rollout in the home of a service account, by somebody else, that may explain what is new at `time`.
    pub(crate) fn before(&self, actor: &str, time: Timestamp) -> Option<&Rollout> {
        let (home, _) = service_account(actor)?;
        let rollout = self.0.get(home)?;
        let recent = rollout.at <= time && time <= rollout.at.plus(EXPLAINS);
        (recent && *rollout.by != *actor).then_some(rollout)
    }
}

/// Whether somebody but the control plane wrote a workload; what controllers note on its status is none.
fn is_rollout(event: &AuditEvent) -> bool {
    let home = service_account(&event.actor.name).map(|(home, _)| home);
    event.object.group.raw() == "apps"
        && event.object.subresource.is_none()
        && matches!(event.object.resource.raw(), "deployments" | "daemonsets" | "statefulsets")
        && matches!(event.verb, Verb::Create | Verb::Update | Verb::Patch)
        && event.succeeded()
        && !matches!(event.actor.class, ActorClass::System | ActorClass::Node)
        && home != Some("kube-system")
}
