//! Log shippers that keep the line they read in a field of their own.
//!
//! Shippers that parse the line leave the event's fields at the top, and such a record is an event as it is.

use leadsman_domain::Format;
use serde_json::value::RawValue;

use super::Document;
use crate::collect::Collector;

/// `message` of Vector and Filebeat.
pub(crate) fn vector(document: Document<'_>, message: &RawValue, out: &mut Collector) {
    out.unwrap_value(document, Format::Vector, message);
}

/// `log` of Fluent Bit, or `log_processed` where its Kubernetes filter has parsed it.
pub(crate) fn fluent_bit(document: Document<'_>, log: &RawValue, out: &mut Collector) {
    out.unwrap_value(document, Format::FluentBit, log);
}

/// `event.original` of Logstash.
pub(crate) fn logstash(document: Document<'_>, original: &RawValue, out: &mut Collector) {
    out.unwrap_value(document, Format::Logstash, original);
}
