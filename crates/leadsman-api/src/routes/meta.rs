use std::sync::{Arc, LazyLock};

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::ApiError;
use crate::document::openapi_json;
use crate::dto::{StatusDto, VersionDto};
use crate::edge::Edge;
use crate::problem::Code;

/// Says that the process runs.
#[utoipa::path(
    get, path = "/livez", operation_id = "livez", tag = "meta",
    responses((status = 200, description = "The process runs.", body = StatusDto))
)]
pub(super) async fn livez() -> Json<StatusDto> {
    Json(StatusDto { status: "ok" })
}

/// Says whether the process can do its work.
#[utoipa::path(
    get, path = "/readyz", operation_id = "readyz", tag = "meta",
    responses((status = 200, description = "It can.", body = StatusDto))
)]
pub(super) async fn readyz(State(edge): State<Arc<Edge>>) -> Result<Json<StatusDto>, ApiError> {
    match edge.backend.ready().await {
        Ok(()) => Ok(Json(StatusDto { status: "ok" })),
        Err(missing) => {
            Err(missing.into_iter().fold(ApiError::of(Code::NotReady), |error, reason| error.at("", reason)))
        }
    }
}

/// The metrics of the process, for Prometheus.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "meta",
    responses((
        status = 200, description = "Prometheus text format 0.0.4.", content_type = "text/plain", body = String,
    ))
)]
pub(super) async fn metrics(State(edge): State<Arc<Edge>>) -> Result<Response, ApiError> {
    let text = edge.backend.metrics().await?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "openapi", tag = "meta",
    responses((status = 200, description = "OpenAPI 3.1.", content_type = "application/json", body = Object))
)]
pub(super) async fn openapi() -> Response {
    static DOCUMENT: LazyLock<String> = LazyLock::new(openapi_json);
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

/// What is running.
#[utoipa::path(
    get, path = "/v1/version", operation_id = "getVersion", tag = "meta",
    responses((status = 200, description = "Release and revision.", body = VersionDto))
)]
pub(super) async fn version(State(edge): State<Arc<Edge>>) -> Json<VersionDto> {
    let info = edge.backend.version();
    Json(VersionDto { name: "leadsman", version: info.version, commit: info.commit })
}
