//! Fields as columns.

use leadsman_domain::{AuditEvent, MetricSample, Timestamp, Untrusted};
use polars::prelude::*;

use crate::FeatureError;

/// The columns of audit events. What has no value is null; of a body that was not read, the risks are null.
pub(super) fn of_events<'a>(
    rows: impl ExactSizeIterator<Item = &'a AuditEvent> + Clone,
) -> Result<Vec<Column>, FeatureError> {
    let optional = |name: &str, get: fn(&AuditEvent) -> Option<&Untrusted>| {
        text(name, rows.clone().map(|e| get(e).map(Untrusted::raw)))
    };
    let mut risks = ListStringChunkedBuilder::new("risks".into(), rows.len(), rows.len());
    for event in rows.clone() {
        if event.risk.is_observed() {
            risks.append_values_iter(event.risk.iter().map(|risk| risk.as_str()));
        } else {
            risks.append_null();
        }
    }
    let mut accounts = ListStringChunkedBuilder::new("accounts".into(), rows.len(), rows.len());
    for event in rows.clone() {
        accounts.append_values_iter(event.accounts.iter().map(Untrusted::raw));
    }
    Ok(vec![
        text("id", rows.clone().map(|e| Some(e.id.to_string()))),
        text("request", rows.clone().map(|e| Some(e.request.to_string()))),
        text("level", rows.clone().map(|e| Some(e.level.as_str()))),
        optional("auditID", |e| Some(&e.audit_id)),
        text("stage", rows.clone().map(|e| Some(e.stage.as_str()))),
        optional("requestURI", |e| Some(&e.request_uri)),
        text("verb", rows.clone().map(|e| Some(e.verb.as_str()))),
        text("user.username", rows.clone().map(|e| Some(&*e.actor.name))),
        text("user.class", rows.clone().map(|e| Some(e.actor.class.as_str()))),
        optional("impersonatedUser.username", |e| e.actor.impersonated.as_ref()),
        optional("sourceIP", |e| e.source_ip.as_ref()),
        optional("userAgent", |e| e.user_agent.as_ref()),
        optional("objectRef.apiGroup", |e| Some(&e.object.group)),
        optional("objectRef.resource", |e| Some(&e.object.resource)),
        optional("objectRef.subresource", |e| e.object.subresource.as_ref()),
        optional("objectRef.namespace", |e| e.object.namespace.as_ref()),
        optional("objectRef.name", |e| e.object.name.as_ref()),
        plain::<_, UInt32Type>("responseStatus.code", rows.clone().map(|e| e.code.map(u32::from))),
        time("requestReceivedTimestamp", rows.clone().map(|e| e.event_time))?,
        flag("forbidden", rows.map(|e| e.forbidden)),
        risks.finish().into_column(),
        accounts.finish().into_column(),
    ])
}

/// The columns of metric samples.
pub(super) fn of_samples<'a>(
    rows: impl ExactSizeIterator<Item = &'a MetricSample> + Clone,
) -> Result<Vec<Column>, FeatureError> {
    Ok(vec![
        text("name", rows.clone().map(|s| Some(s.name.raw()))),
        text("namespace", rows.clone().map(|s| Some(s.namespace.raw()))),
        text("workload", rows.clone().map(|s| Some(s.workload.raw()))),
        text("pod", rows.clone().map(|s| s.pod.as_ref().map(Untrusted::raw))),
        plain::<_, UInt64Type>("series", rows.clone().map(|s| Some(s.series))),
        flag("wholePod", rows.clone().map(|s| s.whole_pod)),
        time("timestamp", rows.clone().map(|s| s.event_time))?,
        plain::<_, Float64Type>("value", rows.map(|s| Some(s.value))),
    ])
}

pub(super) fn text<T: AsRef<str>>(name: &str, values: impl Iterator<Item = Option<T>>) -> Column {
    let mut column = StringChunkedBuilder::new(name.into(), values.size_hint().0);
    values.for_each(|value| column.append_option(value));
    column.finish().into_column()
}

pub(super) fn plain<N, T: PolarsNumericType<Native = N>>(
    name: &str,
    values: impl Iterator<Item = Option<N>>,
) -> Column {
    let values: Vec<Option<N>> = values.collect();
    ChunkedArray::<T>::from_slice_options(name.into(), &values).into_column()
}

fn flag(name: &str, values: impl Iterator<Item = bool>) -> Column {
    Column::new(name.into(), values.collect::<Vec<_>>())
}

fn time(name: &str, values: impl Iterator<Item = Timestamp>) -> Result<Column, FeatureError> {
    let micros = Column::new(name.into(), values.map(Timestamp::as_micros).collect::<Vec<_>>());
    Ok(micros.cast(&DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)))?)
}
