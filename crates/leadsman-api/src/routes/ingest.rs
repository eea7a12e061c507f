use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use leadsman_domain::PayloadKind;

use crate::ApiError;
use crate::body::{self, Encoding};
use crate::edge::Edge;

/// Takes audit events from the webhook backend of kube-apiserver.
///
/// Answers 200 once the body is durable. It is decoded afterwards, and what cannot be read becomes a dead
/// letter: the API server repeats a batch after any error and then drops it.
#[utoipa::path(
    post, path = "/v1/ingest/k8s-audit", operation_id = "ingestK8sAudit", tag = "ingest",
    request_body(content(("application/json")), description = "An `audit.k8s.io/v1` EventList; plain or gzip."),
    responses((status = 200, description = "The body is durable."))
)]
pub(super) async fn k8s_audit(State(edge): State<Arc<Edge>>, request: Request) -> Result<StatusCode, ApiError> {
    let body = body::telemetry(request, &edge).await?;
    // A body that does not decompress is kept as it came, for the dead letter.
    edge.backend.ingest(PayloadKind::K8sAudit, body.bytes).await?;
    Ok(StatusCode::OK)
}

/// Takes samples over Prometheus remote_write 1.0.
#[utoipa::path(
    post, path = "/v1/ingest/prometheus", operation_id = "ingestPrometheus", tag = "ingest",
    request_body(
        content(("application/x-protobuf")),
        description = "A `prometheus.WriteRequest`, with `Content-Encoding: snappy`.",
    ),
    responses((status = 204, description = "The body is durable."))
)]
pub(super) async fn prometheus(State(edge): State<Arc<Edge>>, request: Request) -> Result<StatusCode, ApiError> {
    remote_write_1(request.headers())?;
    let body = body::verbatim(request, &edge, edge.config.max_body).await?;
    edge.backend.ingest(PayloadKind::PrometheusRemoteWrite, body.bytes).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Remote_write 2.0 differs in the `proto` parameter only; the 415 makes its senders fall back to 1.0.
fn remote_write_1(headers: &HeaderMap) -> Result<(), ApiError> {
    const ADVICE: &str =
        "send remote_write 1.0: Content-Type application/x-protobuf (prometheus.WriteRequest), Content-Encoding snappy";
    body::media_type(headers, &["application/x-protobuf"])?;
    let text = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let known = text.split(';').skip(1).all(|parameter| match parameter.trim().split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("proto") => {
            value.trim_matches('"') == "prometheus.WriteRequest"
        }
        Some(_) | None => true,
    });
    if known && body::encoding(headers)? == Encoding::Snappy { Ok(()) } else { Err(body::unsupported(ADVICE)) }
}

/// Takes metric samples as JSON lines.
#[utoipa::path(
    post, path = "/v1/ingest/metrics", operation_id = "ingestMetrics", tag = "ingest",
    request_body(content(("application/x-ndjson")), description = "One sample a line; plain or gzip."),
    responses((status = 202, description = "The body is durable; it is decoded afterwards."))
)]
pub(super) async fn metrics(State(edge): State<Arc<Edge>>, request: Request) -> Result<StatusCode, ApiError> {
    body::media_type(request.headers(), &["application/x-ndjson", "application/jsonl", "application/json"])?;
    let body = body::telemetry(request, &edge).await?.intact()?;
    edge.backend.ingest(PayloadKind::MetricJson, body.bytes).await?;
    Ok(StatusCode::ACCEPTED)
}
