//! Every format but the API server's own event, told by the keys of the document.
//!
//! A document that is an audit event never comes here. For the others one pass over the top-level keys decides;
//! the decoder then reads the fields it needs.

mod aks;
mod aws;
mod cloud_events;
mod falco;
mod fields;
mod gke;
mod hubble;
mod list;
mod rewrite;
mod runtime;
mod shipper;
mod tetragon;
mod tracee;

use leadsman_domain::{Format, SkipReason};
use serde_json::value::RawValue;

use crate::canonical;
use crate::collect::{Collector, Terms};
use crate::json::{self, fields, fields_of};
use crate::metric;

pub(crate) use hubble::{MAX_LABELS, MAX_NAMES};
pub(crate) use runtime::MAX_TAGS;

type Raw<'a> = Option<&'a RawValue>;

/// One document in the middle of decoding.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Document<'a> {
    /// The text, an object.
    pub(crate) json: &'a str,
    /// Line on which it, or what it was wrapped in, begins.
    pub(crate) line: u64,
    /// What decoding works under.
    pub(crate) terms: Terms<'a>,
}

const KEYS: [&str; 33] = [
    "apiVersion",
    "kind",
    "specversion",
    "awslogs",
    "messageType",
    "logEvents",
    "records",
    "Records",
    "events",
    "protoPayload",
    "jsonPayload",
    "textPayload",
    "logName",
    "message",
    "@message",
    "log",
    "log_processed",
    "event",
    "category",
    "properties",
    "log_s",
    "AuditId",
    "rule",
    "priority",
    "eventName",
    "name",
    "workload",
    "context",
    "flow",
    "verdict",
    "timestamp",
    "value",
    "labels",
];

/// Decodes a document that is no audit event; `false` when it is of no known format, and nothing was taken.
pub(crate) fn decode(document: Document<'_>, out: &mut Collector) -> bool {
    let Ok(found) = fields(document.json, &KEYS) else { return false };
    let [
        api_version,
        kind,
        specversion,
        awslogs,
        message_type,
        log_events,
        records,
        kinesis_records,
        events,
        proto_payload,
        json_payload,
        text_payload,
        log_name,
        message,
        insights_message,
        log,
        log_processed,
        event,
        category,
        properties,
        log_s,
        audit_id,
        rule,
        priority,
        event_name,
        name,
        workload,
        context,
        flow,
        verdict,
        timestamp,
        value,
        labels,
    ] = found;
    if api_version.and_then(json::text).is_some_and(|version| canonical::is_version(&version)) {
        canonical::decode(document, out);
    } else if specversion.is_some() {
        cloud_events::decode(document, out);
    } else if let Some(awslogs) = awslogs {
        aws::lambda(document, awslogs, out);
    } else if message_type.is_some() || log_events.is_some() {
        aws::subscription(document, out);
    } else if proto_payload.is_some() || log_name.is_some() && (json_payload.is_some() || text_payload.is_some()) {
        gke::decode(document, out);
    } else if let Some(records) = records.or(kinesis_records).filter(is_array) {
        each_record(document, records, out);
    } else if category.is_some() && properties.is_some() || log_s.is_some() {
        aks::record(document, out);
    } else if audit_id.is_some() {
        aks::row(document, out);
    } else if rule.is_some() && priority.is_some() {
        falco::decode(document, out);
    } else if event_name.is_some() {
        tracee::decode(document, out);
    } else if name.is_some() && (workload.or(context)).is_some_and(|v| v.get().starts_with('{')) {
        tracee::decode_v1beta1(document, out);
    } else if flow.is_some() || verdict.is_some() {
        hubble::decode(document, flow, out);
    } else if timestamp.is_some() && value.is_some() && (labels.is_some() || name.is_some()) {
        sample(document, out);
    } else if let Some(message) = message {
        if is_pub_sub(message) { gke::pub_sub(document, message, out) } else { shipper::vector(document, message, out) }
    } else if let Some(log) = log_processed.or(log) {
        shipper::fluent_bit(document, log, out);
    } else if let Some(message) = insights_message {
        aws::exported(document, message, out);
    } else if let Some(events) = events.filter(is_array) {
        aws::export(document, events, out);
    } else if let [Some(original)] = fields_of(event, &["original"]) {
        shipper::logstash(document, original, out);
    } else if kind.and_then(json::text).is_some_and(|k| k.starts_with("API")) {
        out.skip(SkipReason::Discovery);
    } else {
        return tetragon::decode(document, out) || hubble::status(document, out);
    }
    true
}

/// Azure, Firehose and Kinesis all call their lists so.
fn each_record(document: Document<'_>, records: &RawValue, out: &mut Collector) {
    let result = list::each(records, "records", |record| {
        let inner = Document { json: record.get(), ..document };
        let [data, kinesis] = fields_of(Some(record), &["data", "kinesis"]);
        if data.or(kinesis).is_some() { aws::record(inner, out) } else { aks::record(inner, out) }
    });
    out.list(document, result);
}

fn sample(document: Document<'_>, out: &mut Collector) {
    match metric::sample(document.json.as_bytes(), document.terms) {
        Ok(sample) => out.sample(sample, Format::MetricJson),
        Err(refusal) => out.reject(document.line, refusal, document.json.as_bytes()),
    }
}

fn is_pub_sub(message: &RawValue) -> bool {
    let [data, attributes] = fields_of(Some(message), &["data", "attributes"]);
    data.or(attributes).is_some()
}

fn is_array(value: &&RawValue) -> bool {
    value.get().starts_with('[')
}

impl Collector<'_> {
    /// Accounts for a list that was walked through.
    fn list(&mut self, document: Document<'_>, result: Result<usize, crate::refusal::Refusal>) {
        match result {
            Ok(0) => self.skip(SkipReason::Empty),
            Ok(_) => {}
            Err(refusal) => self.reject(document.line, refusal, document.json.as_bytes()),
        }
    }

    /// Counts the wrapping and decodes what is in it.
    fn unwrap_value(&mut self, document: Document<'_>, format: Format, value: &RawValue) {
        self.format(format);
        match json::text(value) {
            Some(text) => self.log_line(document.line, text.as_bytes(), document.terms),
            None => self.value(document.line, value, document.terms),
        }
    }
}
