//! Risky settings in request bodies.

use serde::{Deserialize, Serialize};

/// A risky setting that a request body asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// A container with `privileged: true`.
    Privileged,
    /// `hostNetwork`, `hostPID` or `hostIPC`.
    HostNamespace,
    /// A hostPath volume on a path that gives the node away.
    SensitiveHostPath,
    /// `SYS_ADMIN`, `NET_ADMIN`, `SYS_PTRACE` or `ALL` added.
    AddedCapability,
    /// A rule with `*` as verb or resource.
    WildcardRule,
    /// A binding to `cluster-admin`.
    ClusterAdminBinding,
    /// A binding of anonymous, of all authenticated users or of a default account.
    BroadSubject,
    /// A rule that grants `escalate`, `bind` or `impersonate`.
    EscalationRule,
    /// A hostPath volume on any other path.
    HostPath,
    /// A port of the node taken by a container that is not in the node's network.
    HostPort,
    /// A capability added that the Baseline of the Pod Security Standards does not list, and none of those above.
    OtherCapability,
    /// seccomp or AppArmor off, an SELinux label of its own, an unmasked `/proc`, or a kernel parameter that is not safe.
    Unconfined,
    /// What only the Restricted level forbids, asked for: the root user, privilege escalation, an unusual kind of volume.
    BelowRestricted,
    /// A rule that lets its holder run commands in pods.
    CommandRule,
    /// A service that is reached from outside: a node port, a load balancer, external addresses.
    ExposedService,
}

impl Risk {
    /// Every risk, in declaration order.
    pub const ALL: [Self; 15] = [
        Self::Privileged,
        Self::HostNamespace,
        Self::SensitiveHostPath,
        Self::AddedCapability,
        Self::WildcardRule,
        Self::ClusterAdminBinding,
        Self::BroadSubject,
        Self::EscalationRule,
        Self::HostPath,
        Self::HostPort,
        Self::OtherCapability,
        Self::Unconfined,
        Self::BelowRestricted,
        Self::CommandRule,
        Self::ExposedService,
    ];

    /// The name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::HostNamespace => "host_namespace",
            Self::SensitiveHostPath => "sensitive_host_path",
            Self::AddedCapability => "added_capability",
            Self::WildcardRule => "wildcard_rule",
            Self::ClusterAdminBinding => "cluster_admin_binding",
            Self::BroadSubject => "broad_subject",
            Self::EscalationRule => "escalation_rule",
            Self::HostPath => "host_path",
            Self::HostPort => "host_port",
            Self::OtherCapability => "other_capability",
            Self::Unconfined => "unconfined",
            Self::BelowRestricted => "below_restricted",
            Self::CommandRule => "command_rule",
            Self::ExposedService => "exposed_service",
        }
    }
}

/// Which risks a body held. A body that was not logged is *unknown*, never "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct RiskFlags {
    observed: bool,
    bits: u16,
}

impl RiskFlags {
    /// Nothing is known: the audit level hid the body, or the request has none that matters.
    pub const UNKNOWN: Self = Self { observed: false, bits: 0 };

    /// The body was read; no risk found yet.
    #[must_use]
    pub const fn observed() -> Self {
        Self { observed: true, bits: 0 }
    }

    /// Adds a risk.
    #[must_use]
    pub fn with(mut self, risk: Risk) -> Self {
        self.observed = true;
        self.bits |= 1 << risk as u16;
        self
    }

    /// Whether the body was read.
    #[must_use]
    pub fn is_observed(self) -> bool {
        self.observed
    }

    /// The risks found, in declaration order.
    pub fn iter(self) -> impl Iterator<Item = Risk> {
        Risk::ALL.into_iter().filter(move |r| self.bits & (1 << *r as u16) != 0)
    }

    /// Whether `risk` was found.
    #[must_use]
    pub fn has(self, risk: Risk) -> bool {
        self.bits & (1 << risk as u16) != 0
    }

    /// How many risks were found that make a write a risky one. What only the Restricted level forbids does not: too
    /// many charts ask for some of it.
    #[must_use]
    pub fn count(self) -> u32 {
        (self.bits & !(1 << Risk::BelowRestricted as u16)).count_ones()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_serialized_ones() {
        for risk in Risk::ALL {
            assert_eq!(serde_json::to_value(risk).unwrap(), risk.as_str());
        }
    }

    #[test]
    fn unknown_is_not_the_same_as_none() {
        assert_ne!(RiskFlags::UNKNOWN, RiskFlags::observed());
        let f = RiskFlags::observed().with(Risk::Privileged).with(Risk::EscalationRule);
        assert_eq!(f.iter().collect::<Vec<_>>(), [Risk::Privileged, Risk::EscalationRule]);
        assert_eq!(f.count(), 2);
    }

    #[test]
    fn every_risk_is_kept_apart() {
        let all = Risk::ALL.into_iter().fold(RiskFlags::observed(), RiskFlags::with);
        assert_eq!(all.iter().collect::<Vec<_>>(), Risk::ALL);
        assert_eq!(all.count() as usize, Risk::ALL.len() - 1);
        assert_eq!(RiskFlags::observed().with(Risk::BelowRestricted).count(), 0);
    }
}
