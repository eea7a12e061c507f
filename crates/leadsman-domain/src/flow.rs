use core::net::IpAddr;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{EventId, Timestamp, Untrusted};

/// One network flow between two endpoints, canonical.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowEvent {
    /// Content-bound identity, the cluster included.
    pub id: EventId,
    /// When it was seen.
    pub event_time: Timestamp,
    /// What became of it.
    pub verdict: FlowVerdict,
    /// Seen from the endpoint at which it was observed.
    pub direction: FlowDirection,
    /// Whether it is an answer; `None` when that is not known.
    pub reply: Option<bool>,
    /// Who sent it.
    pub source: FlowEndpoint,
    /// Whom it was sent to.
    pub destination: FlowEndpoint,
    /// Transport protocol, if there is one.
    pub protocol: Option<FlowProtocol>,
    /// The name asked for, in a DNS flow.
    pub dns_query: Option<Untrusted>,
    /// Why it was dropped, in the words of the source.
    pub drop_reason: Option<Untrusted>,
    /// Node at which it was seen.
    pub node: Option<Untrusted>,
}

/// One end of a flow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FlowEndpoint {
    /// Namespace, for pods.
    pub namespace: Option<Untrusted>,
    /// Pod name.
    pub pod: Option<Untrusted>,
    /// The workload that owns the pod.
    pub workload: Option<Untrusted>,
    /// Security-relevant labels, `key=value`, capped in number.
    pub labels: Vec<Untrusted>,
    /// Cilium's security identity; below 256 it is a reserved one, such as 2 for the world.
    pub identity: Option<u32>,
    /// Address.
    pub ip: Option<IpAddr>,
    /// Port, for TCP, UDP and SCTP.
    pub port: Option<u16>,
    /// DNS names that the address is known under.
    pub names: Vec<Untrusted>,
}

/// What became of a flow. Source: Cilium's `flow.Verdict`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowVerdict {
    /// Not said, or not known here.
    #[default]
    Unknown,
    /// Passed on.
    Forwarded,
    /// Dropped, by policy or for a fault.
    Dropped,
    /// Processing failed.
    Error,
    /// Would have been dropped if policies were enforced.
    Audit,
    /// Sent to a proxy.
    Redirected,
    /// Seen on the way, no verdict yet.
    Traced,
    /// An address was translated.
    Translated,
}

impl FlowVerdict {
    /// The name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Forwarded => "forwarded",
            Self::Dropped => "dropped",
            Self::Error => "error",
            Self::Audit => "audit",
            Self::Redirected => "redirected",
            Self::Traced => "traced",
            Self::Translated => "translated",
        }
    }
}

impl fmt::Display for FlowVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Direction of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowDirection {
    /// Not said.
    #[default]
    Unknown,
    /// Towards the endpoint.
    Ingress,
    /// Away from the endpoint.
    Egress,
}

impl FlowDirection {
    /// The name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

impl fmt::Display for FlowDirection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Protocol above IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the variants are the protocols themselves")]
pub enum FlowProtocol {
    Tcp,
    Udp,
    Sctp,
    Icmpv4,
    Icmpv6,
}

impl FlowProtocol {
    /// The name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
            Self::Icmpv4 => "icmpv4",
            Self::Icmpv6 => "icmpv6",
        }
    }
}

impl fmt::Display for FlowProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
