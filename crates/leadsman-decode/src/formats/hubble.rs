//! Hubble flows: `flow.Flow` by itself, or in a response of the observer or a line of the exporter.

use core::net::IpAddr;

use leadsman_domain::{
    ContentHash, EventId, FlowDirection, FlowEndpoint, FlowEvent, FlowProtocol, FlowVerdict, Format, SkipReason,
    Timestamp,
};
use serde_json::value::RawValue;

use super::fields::{number, time, word, words};
use super::{Document, Raw};
use crate::collect::Collector;
use crate::json::{fields, fields_of, optional_text};
use crate::refusal::Refusal;
use crate::text;

/// Most labels and names of an endpoint that are kept.
pub(crate) const MAX_LABELS: usize = 64;
pub(crate) const MAX_NAMES: usize = 8;

pub(crate) fn decode(document: Document<'_>, wrapped: Raw<'_>, out: &mut Collector) {
    let json = wrapped.map_or(document.json, RawValue::get);
    out.flow(document, flow(document, json), Format::Hubble);
}

/// What Hubble says about itself; `false` when the document is none of Hubble's, and nothing was taken.
pub(crate) fn status(document: Document<'_>, out: &mut Collector) -> bool {
    let keys = ["lost_events", "agent_event", "debug_event", "node_status"];
    let Ok([lost, agent, debug, node]) = fields(document.json, &keys) else { return false };
    let reason = match (lost, agent.or(debug).or(node)) {
        (Some(_), _) => SkipReason::SourceLoss,
        (None, Some(_)) => SkipReason::ToolStatus,
        (None, None) => return false,
    };
    out.format(Format::Hubble);
    out.skip(reason);
    true
}

fn flow(document: Document<'_>, json: &str) -> Result<FlowEvent, Refusal> {
    let keys = [
        "time",
        "uuid",
        "verdict",
        "IP",
        "l4",
        "source",
        "destination",
        "node_name",
        "source_names",
        "destination_names",
        "l7",
        "traffic_direction",
        "drop_reason_desc",
        "is_reply",
    ];
    let [
        when,
        uuid,
        verdict,
        ip,
        l4,
        source,
        destination,
        node,
        source_names,
        destination_names,
        l7,
        direction,
        reason,
        reply,
    ] = fields(json, &keys).map_err(|_| Refusal::invalid("flow", "an object"))?;
    let [source_ip, destination_ip] = fields_of(ip, &["source", "destination"]);
    let (protocol, source_port, destination_port) = transport(l4)?;
    let [dns] = fields_of(l7, &["dns"]);
    let [query] = fields_of(dns, &["query"]);
    let (query, reason) = (word(query), word(reason));
    let mut event = FlowEvent {
        id: EventId::new(0),
        event_time: time(when, "time")?,
        verdict: word(verdict).map_or(FlowVerdict::Unknown, |v| verdict_of(&v)),
        direction: word(direction).map_or(FlowDirection::Unknown, |d| direction_of(&d)),
        reply: reply.and_then(|r| r.get().parse().ok()),
        source: endpoint(source, source_ip, source_port, source_names)?,
        destination: endpoint(destination, destination_ip, destination_port, destination_names)?,
        protocol,
        dns_query: query.map(text::name),
        drop_reason: reason.map(text::name),
        node: word(node).map(text::name),
    };
    event.id = EventId::new(hash(&document.terms.ctx.cluster, optional_text(uuid, "uuid")?.as_deref(), &event));
    Ok(event)
}

type Ports = (Option<FlowProtocol>, Option<u16>, Option<u16>);

fn transport(l4: Raw<'_>) -> Result<Ports, Refusal> {
    let names = ["TCP", "UDP", "SCTP", "ICMPv4", "ICMPv6"];
    let protocols =
        [FlowProtocol::Tcp, FlowProtocol::Udp, FlowProtocol::Sctp, FlowProtocol::Icmpv4, FlowProtocol::Icmpv6];
    for (protocol, body) in protocols.into_iter().zip(fields_of(l4, &names)) {
        if let Some(body) = body {
            let [source, destination] = fields_of(Some(body), &["source_port", "destination_port"]);
            return Ok((Some(protocol), port(source)?, port(destination)?));
        }
    }
    Ok((None, None, None))
}

fn port(value: Raw<'_>) -> Result<Option<u16>, Refusal> {
    match word(value) {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| Refusal::invalid("a port", "a number from 0 to 65535")),
    }
}

fn endpoint(endpoint: Raw<'_>, ip: Raw<'_>, port: Option<u16>, names: Raw<'_>) -> Result<FlowEndpoint, Refusal> {
    let [identity, namespace, labels, pod, workloads] =
        fields_of(endpoint, &["identity", "namespace", "labels", "pod_name", "workloads"]);
    let workload = workloads.and_then(|w| serde_json::from_str::<Vec<&RawValue>>(w.get()).ok());
    let [workload] = fields_of(workload.and_then(|w| w.first().copied()), &["name"]);
    let address: Option<IpAddr> = match word(ip) {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| Refusal::invalid("IP", "a pair of addresses"))?),
    };
    Ok(FlowEndpoint {
        namespace: word(namespace).map(text::name),
        pod: word(pod).map(text::name),
        workload: word(workload).map(text::name),
        labels: words(labels, MAX_LABELS).into_iter().map(text::name).collect(),
        identity: number(identity),
        ip: address,
        port,
        names: words(names, MAX_NAMES).into_iter().map(text::name).collect(),
    })
}

fn verdict_of(name: &str) -> FlowVerdict {
    match name {
        "FORWARDED" => FlowVerdict::Forwarded,
        "DROPPED" => FlowVerdict::Dropped,
        "ERROR" => FlowVerdict::Error,
        "AUDIT" => FlowVerdict::Audit,
        "REDIRECTED" => FlowVerdict::Redirected,
        "TRACED" => FlowVerdict::Traced,
        "TRANSLATED" => FlowVerdict::Translated,
        _ => FlowVerdict::Unknown,
    }
}

fn direction_of(name: &str) -> FlowDirection {
    match name {
        "INGRESS" => FlowDirection::Ingress,
        "EGRESS" => FlowDirection::Egress,
        _ => FlowDirection::Unknown,
    }
}

/// Covers every field that is kept: a `uuid` that somebody repeats hides no other flow.
fn hash(cluster: &str, uuid: Option<&str>, event: &FlowEvent) -> u128 {
    let text = |t: &Option<leadsman_domain::Untrusted>| t.as_ref().map(|t| t.raw().to_owned());
    let FlowEvent { event_time, verdict, direction, reply, protocol, dns_query, drop_reason, node, .. } = event;
    let mut hash = ContentHash::new("leadsman flow event v1")
        .field(cluster)
        .optional(uuid)
        .field(Timestamp::as_micros(*event_time).to_le_bytes())
        .field(verdict.as_str())
        .field(direction.as_str())
        .optional(reply.map(|r| [u8::from(r)]))
        .optional(protocol.map(FlowProtocol::as_str))
        .optional(text(dns_query))
        .optional(text(drop_reason))
        .optional(text(node));
    for end in [&event.source, &event.destination] {
        hash = hash
            .optional(text(&end.namespace))
            .optional(text(&end.pod))
            .optional(text(&end.workload))
            .optional(end.identity.map(u32::to_le_bytes))
            .optional(end.ip.map(|ip| ip.to_string()))
            .optional(end.port.map(u16::to_le_bytes));
        for list in [&end.labels, &end.names] {
            hash = list.iter().fold(hash.field((list.len() as u64).to_le_bytes()), |h, t| h.field(t.raw()));
        }
    }
    hash.finish()
}
