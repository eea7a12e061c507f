use core::net::IpAddr;

use leadsman_domain::{
    EventId, FlowDirection, FlowEndpoint, FlowEvent, FlowProtocol, FlowVerdict, Timestamp, Untrusted,
};
use serde::{Deserialize, Serialize};

use super::{Kind, Text, Version, text, texts};
use crate::formats::{MAX_LABELS, MAX_NAMES};
use crate::text::name;

/// A network flow.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Body<'a> {
    api_version: Version,
    kind: Kind,
    id: EventId,
    timestamp: Timestamp,
    verdict: FlowVerdict,
    direction: FlowDirection,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reply: Option<bool>,
    source: Endpoint<'a>,
    destination: Endpoint<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    protocol: Option<FlowProtocol>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dns_query: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    drop_reason: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<Text<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Endpoint<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pod: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    workload: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    labels: Vec<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ip: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    names: Vec<Text<'a>>,
}

impl<'a> From<&'a FlowEvent> for Body<'a> {
    fn from(e: &'a FlowEvent) -> Self {
        Self {
            api_version: Version::V1,
            kind: Kind::NetworkFlow,
            id: e.id,
            timestamp: e.event_time,
            verdict: e.verdict,
            direction: e.direction,
            reply: e.reply,
            source: Endpoint::from(&e.source),
            destination: Endpoint::from(&e.destination),
            protocol: e.protocol,
            dns_query: e.dns_query.as_ref().map(text),
            drop_reason: e.drop_reason.as_ref().map(text),
            node: e.node.as_ref().map(text),
        }
    }
}

impl<'a> From<&'a FlowEndpoint> for Endpoint<'a> {
    fn from(e: &'a FlowEndpoint) -> Self {
        Self {
            namespace: e.namespace.as_ref().map(text),
            pod: e.pod.as_ref().map(text),
            workload: e.workload.as_ref().map(text),
            labels: texts(&e.labels),
            identity: e.identity,
            ip: e.ip,
            port: e.port,
            names: texts(&e.names),
        }
    }
}

impl Body<'_> {
    pub(super) fn flow(self) -> FlowEvent {
        FlowEvent {
            id: self.id,
            event_time: self.timestamp,
            verdict: self.verdict,
            direction: self.direction,
            reply: self.reply,
            source: self.source.endpoint(),
            destination: self.destination.endpoint(),
            protocol: self.protocol,
            dns_query: self.dns_query.map(name),
            drop_reason: self.drop_reason.map(name),
            node: self.node.map(name),
        }
    }
}

impl Endpoint<'_> {
    fn endpoint(self) -> FlowEndpoint {
        let kept = |all: Vec<Text<'_>>, max| -> Vec<Untrusted> { all.into_iter().take(max).map(name).collect() };
        FlowEndpoint {
            namespace: self.namespace.map(name),
            pod: self.pod.map(name),
            workload: self.workload.map(name),
            labels: kept(self.labels, MAX_LABELS),
            identity: self.identity,
            ip: self.ip,
            port: self.port,
            names: kept(self.names, MAX_NAMES),
        }
    }
}
