use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::ApiError;
use crate::dto::{ModelDto, Page};
use crate::edge::Edge;

/// Lists model versions.
#[utoipa::path(
    get, path = "/v1/models", operation_id = "listModels", tag = "models",
    responses((status = 200, description = "Every version, newest first.", body = Page<ModelDto>))
)]
pub(super) async fn list(State(edge): State<Arc<Edge>>) -> Result<Json<Page<ModelDto>>, ApiError> {
    let models = edge.backend.models().await?;
    Ok(Json(Page::whole(models.into_iter().map(Into::into).collect())))
}
