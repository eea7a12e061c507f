//! CloudEvents 1.0 in the JSON format, structured mode. A batch is an array of them.

use leadsman_domain::{Format, SkipReason};

use super::Document;
use crate::collect::Collector;
use crate::json::{fields, optional_text};
use crate::refusal::Refusal;

/// Unwraps `data` or `data_base64`.
pub(crate) fn decode(document: Document<'_>, out: &mut Collector) {
    let found = fields(document.json, &["data", "data_base64"])
        .map_err(|e| Refusal::json(&e, "not an object"))
        .and_then(|[data, base64]| Ok((data, optional_text(base64, "data_base64")?)));
    match found {
        Ok((Some(data), _)) => out.unwrap_value(document, Format::CloudEvents, data),
        Ok((None, Some(base64))) => {
            out.format(Format::CloudEvents);
            out.base64(document.line, base64.as_bytes(), document.terms);
        }
        Ok((None, None)) => {
            out.format(Format::CloudEvents);
            out.skip(SkipReason::Empty);
        }
        Err(refusal) => out.reject(document.line, refusal, document.json.as_bytes()),
    }
}
