use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};

use crate::dto::ScoreReportDto;
use crate::edge::Edge;
use crate::{ApiError, body};

/// Scores audit events without storing them.
#[utoipa::path(
    post, path = "/v1/score", operation_id = "scoreEvents", tag = "score",
    request_body(
        content(("application/json"), ("application/x-ndjson")),
        description = "At most 10,000 audit events: an Event, an EventList, an array or JSON lines; plain or gzip.",
    ),
    responses((status = 200, description = "The scored windows.", body = ScoreReportDto))
)]
pub(super) async fn score(State(edge): State<Arc<Edge>>, request: Request) -> Result<Json<ScoreReportDto>, ApiError> {
    body::media_type(request.headers(), &["application/json", "application/x-ndjson", "application/jsonl"])?;
    let body = body::telemetry(request, &edge).await?.intact()?;
    Ok(Json(edge.backend.score(body.bytes).await?.into()))
}
