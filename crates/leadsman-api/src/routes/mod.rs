//! The handlers. Each reads its request, asks the backend, and renders the answer; nothing is decided here.

mod findings;
mod ingest;
mod jobs;
mod meta;
mod models;
mod score;

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::ApiError;
use crate::edge::Edge;
use crate::problem::Code;

/// Every route, with its part of the API description.
pub(crate) fn all() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new()
        .routes(routes!(meta::livez))
        .routes(routes!(meta::readyz))
        .routes(routes!(meta::metrics))
        .routes(routes!(meta::openapi))
        .routes(routes!(meta::version))
        .routes(routes!(ingest::k8s_audit))
        .routes(routes!(ingest::prometheus))
        .routes(routes!(ingest::metrics))
        .routes(routes!(findings::list))
        .routes(routes!(findings::get))
        .routes(routes!(score::score))
        .routes(routes!(models::list))
        .routes(routes!(jobs::list, jobs::submit))
        .routes(routes!(jobs::get))
        .routes(routes!(jobs::events))
}

/// The answer under every address that is none of ours.
pub(crate) async fn unknown() -> ApiError {
    ApiError::of(Code::NotFound)
}

/// An id from the path. A malformed one names nothing, so it is not found rather than invalid.
fn id<T: FromStr>(path: Result<Path<String>, PathRejection>) -> Result<T, ApiError> {
    path.ok().and_then(|Path(text)| text.parse().ok()).ok_or_else(|| ApiError::of(Code::NotFound))
}
