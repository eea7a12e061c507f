//! AKS: diagnostics records of Azure Monitor, and rows of its audit tables.

use std::borrow::Cow;

use leadsman_domain::{Format, RejectReason, SkipReason};
use serde_json::value::RawValue;

use super::rewrite::EventJson;
use super::{Document, Raw};
use crate::collect::Collector;
use crate::json::{self, fields, optional_text};
use crate::refusal::Refusal;

/// One diagnostics record, as in Event Hubs and storage accounts, or a row of `AzureDiagnostics`.
pub(crate) fn record(document: Document<'_>, out: &mut Collector) {
    match log(document.json) {
        Ok(Some(log)) => {
            out.format(Format::AksDiagnostics);
            out.payload(document.line, log.as_bytes(), document.terms);
        }
        Ok(None) => {
            out.format(Format::AksDiagnostics);
            out.skip(SkipReason::OtherLog);
        }
        Err(refusal) => out.reject(document.line, refusal, document.json.as_bytes()),
    }
}

/// The event of a record, as JSON; `None` for logs of other components.
fn log(json: &str) -> Result<Option<Cow<'_, str>>, Refusal> {
    let [category, row_category, properties, log_s] = fields(json, &["category", "Category", "properties", "log_s"])
        .map_err(|e| Refusal::json(&e, "a record is not an object"))?;
    match optional_text(category.or(row_category), "category")?.as_deref() {
        Some("kube-audit" | "kube-audit-admin") => {}
        Some(_) => return Ok(None),
        None => return Err(Refusal::new(RejectReason::UnknownShape, "a record without category or data")),
    }
    if let Some(log) = optional_text(log_s, "log_s")? {
        return Ok(Some(log));
    }
    let properties = properties.ok_or_else(|| Refusal::missing("properties"))?;
    // Some exports turn the object into a string.
    match json::text(properties) {
        Some(text) => {
            let inner: &RawValue =
                serde_json::from_str(&text).map_err(|_| Refusal::invalid("properties", "an object"))?;
            log_of(inner).map(|log| Some(Cow::Owned(log.into_owned())))
        }
        None => log_of(properties).map(Some),
    }
}

fn log_of(properties: &RawValue) -> Result<Cow<'_, str>, Refusal> {
    let [log]: [Raw<'_>; 1] =
        fields(properties.get(), &["log"]).map_err(|_| Refusal::invalid("properties", "an object"))?;
    let log = log.ok_or_else(|| Refusal::missing("properties.log"))?;
    Ok(json::text(log).unwrap_or(Cow::Borrowed(log.get())))
}

/// A row of `AKSAudit` or `AKSAuditAdmin`: the event with other names for its fields.
pub(crate) fn row(document: Document<'_>, out: &mut Collector) {
    let columns = fields(
        document.json,
        &[
            "AuditId",
            "Stage",
            "Level",
            "Verb",
            "User",
            "SourceIps",
            "UserAgent",
            "RequestUri",
            "ObjectRef",
            "ResponseStatus",
            "RequestObject",
            "ResponseObject",
            "Annotations",
            "RequestReceivedTime",
        ],
    );
    let [id, stage, level, verb, user, ips, agent, uri, object, status, request, response, annotations, received] =
        match columns {
            Ok(columns) => columns,
            Err(e) => {
                let refusal = Refusal::json(&e, "a row is not an object");
                return out.reject(document.line, refusal, document.json.as_bytes());
            }
        };
    EventJson::new()
        .raw("auditID", id)
        .raw("stage", stage)
        .raw("level", level)
        .raw("verb", verb)
        .unpacked("user", user)
        .unpacked("sourceIPs", ips)
        .raw("userAgent", agent)
        .raw("requestURI", uri)
        .unpacked("objectRef", object)
        .unpacked("responseStatus", status)
        .unpacked("requestObject", request)
        .unpacked("responseObject", response)
        .unpacked("annotations", annotations)
        .raw("requestReceivedTimestamp", received)
        .decode(document, Format::AksTable, out);
}
