//! EKS: control-plane logs as CloudWatch Logs hands them on.

use leadsman_domain::{Format, RejectReason, SkipReason};
use serde_json::value::RawValue;

use super::{Document, Raw, list};
use crate::collect::Collector;
use crate::json::{self, fields, optional_text};
use crate::refusal::Refusal;

/// Log streams of an EKS control plane that hold no audit events.
const OTHER_STREAMS: [&str; 5] =
    ["authenticator-", "kube-apiserver-", "kube-controller-manager-", "kube-scheduler-", "cloud-controller-manager-"];

/// What a log stream holds, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Audit,
    OtherControlPlane,
    Unknown,
}

impl Stream {
    fn named(name: &str) -> Self {
        if name.starts_with("kube-apiserver-audit-") {
            Self::Audit
        } else if OTHER_STREAMS.iter().any(|other| name.starts_with(other)) {
            Self::OtherControlPlane
        } else {
            Self::Unknown
        }
    }
}

/// What a Lambda function is called with.
pub(crate) fn lambda(document: Document<'_>, awslogs: &RawValue, out: &mut Collector) {
    out.format(Format::AwsLambda);
    let data = fields(awslogs.get(), &["data"])
        .map_err(|_| Refusal::invalid("awslogs", "an object"))
        .and_then(|[data]| super::fields::required(data, "awslogs.data"));
    match data {
        Ok(data) => out.base64(document.line, data.as_bytes(), document.terms),
        Err(refusal) => out.reject(document.line, refusal, document.json.as_bytes()),
    }
}

/// One record of Kinesis or Firehose.
pub(crate) fn record(document: Document<'_>, out: &mut Collector) {
    out.format(Format::AwsRecords);
    let data = fields(document.json, &["data", "kinesis"])
        .map_err(|e| Refusal::json(&e, "a record is not an object"))
        .and_then(|[data, kinesis]| match data {
            Some(_) => super::fields::required(data, "data"),
            None => {
                let [data] = json::fields_of(kinesis, &["data"]);
                super::fields::required(data, "kinesis.data")
            }
        });
    match data {
        Ok(data) => out.base64(document.line, data.as_bytes(), document.terms),
        Err(refusal) => out.reject(document.line, refusal, document.json.as_bytes()),
    }
}

/// The message of a subscription filter, decompressed.
pub(crate) fn subscription(document: Document<'_>, out: &mut Collector) {
    out.format(Format::CloudWatch);
    match parts(document.json) {
        Ok(Parts::Control) => out.skip(SkipReason::Control),
        Ok(Parts::Data(stream, events)) => {
            let result = list::each(events, "logEvents", |event| log_event(document, event, stream, out));
            out.list(document, result);
        }
        Err(refusal) => out.reject(document.line, refusal, document.json.as_bytes()),
    }
}

enum Parts<'a> {
    Control,
    Data(Stream, &'a RawValue),
}

fn parts(json: &str) -> Result<Parts<'_>, Refusal> {
    let [message_type, stream, events] = fields(json, &["messageType", "logStream", "logEvents"])
        .map_err(|e| Refusal::json(&e, "the subscription message is not an object"))?;
    match optional_text(message_type, "messageType")?.as_deref() {
        Some("CONTROL_MESSAGE") => return Ok(Parts::Control),
        Some("DATA_MESSAGE") | None => {}
        Some(_) => return Err(Refusal::invalid("messageType", "DATA_MESSAGE or CONTROL_MESSAGE")),
    }
    let stream = optional_text(stream, "logStream")?.map_or(Stream::Unknown, |name| Stream::named(&name));
    Ok(Parts::Data(stream, events.ok_or_else(|| Refusal::missing("logEvents"))?))
}

/// The answer of `filter-log-events` or `get-log-events`.
pub(crate) fn export(document: Document<'_>, events: &RawValue, out: &mut Collector) {
    out.format(Format::CloudWatchExport);
    let result = list::each(events, "events", |event| log_event(document, event, Stream::Unknown, out));
    out.list(document, result);
}

/// One row of a Logs Insights result.
pub(crate) fn exported(document: Document<'_>, message: &RawValue, out: &mut Collector) {
    out.unwrap_value(document, Format::CloudWatchExport, message);
}

fn log_event(document: Document<'_>, event: &RawValue, stream: Stream, out: &mut Collector) {
    let bytes = event.get().as_bytes();
    let (message, stream) = match message(event, stream) {
        Ok(found) => found,
        Err(refusal) => return out.reject(document.line, refusal, bytes),
    };
    let Some(text) = json::text(message) else { return out.value(document.line, message, document.terms) };
    match stream {
        Stream::Audit if text.trim_ascii_start().starts_with('{') => {
            out.payload(document.line, text.as_bytes(), document.terms);
        }
        Stream::Audit => {
            let refusal = Refusal::new(RejectReason::MalformedJson, "a message of the audit log is not JSON");
            out.reject(document.line, refusal, text.as_bytes());
        }
        Stream::OtherControlPlane => out.skip(SkipReason::OtherLog),
        Stream::Unknown => out.log_line(document.line, text.as_bytes(), document.terms),
    }
}

fn message(event: &RawValue, stream: Stream) -> Result<(&RawValue, Stream), Refusal> {
    let [message, own]: [Raw<'_>; 2] = fields(event.get(), &["message", "logStreamName"])
        .map_err(|_| Refusal::new(RejectReason::UnknownShape, "a log event is not an object"))?;
    let stream = optional_text(own, "logStreamName")?.map_or(stream, |name| Stream::named(&name));
    Ok((message.ok_or_else(|| Refusal::missing("message"))?, stream))
}
