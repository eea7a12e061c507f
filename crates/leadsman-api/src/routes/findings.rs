use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::{ETAG, HeaderMap, IF_NONE_MATCH};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use crate::dto::{FindingDto, Page};
use crate::edge::Edge;
use crate::problem::Code;
use crate::{ApiError, cursor, query};

/// Lists findings, newest change first.
#[utoipa::path(
    get, path = "/v1/findings", operation_id = "listFindings", tag = "findings",
    params(
        ("limit" = Option<u16>, Query, description = "Items in a page; 100 if absent.", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before, with the same filter."),
        ("text" = Option<String>, Query, description = "Only those whose title, sentence, entity or rule titles hold every \
            word of this, each at least as the beginning of a word. No word is special.", max_length = 512),
        ("min_score" = Option<u8>, Query, description = "Only this score or above.", minimum = 0, maximum = 100),
        ("severity" = Option<crate::dto::SeverityDto>, Query, description = "Only this band or above."),
        ("entity" = Option<String>, Query, description = "Only this entity, by its id."),
        ("cluster" = Option<String>, Query, description = "Only this cluster."),
        ("kind" = Option<crate::dto::FindingKindDto>, Query, description = "Only those about this."),
        ("technique" = Option<String>, Query, description = "Only those that match this ATT&CK technique, or a part of \
            it.", pattern = r"^T\d{4}(\.\d{3})?$"),
        ("incident" = Option<String>, Query, description = "Only those of this incident, by its id."),
        ("from" = Option<String>, Query, description = "Only findings last seen at or after.", format = DateTime),
        ("to" = Option<String>, Query, description = "Only findings last seen before.", format = DateTime),
    ),
    responses((status = 200, description = "A page.", body = Page<FindingDto>))
)]
pub(super) async fn list(State(edge): State<Arc<Edge>>, uri: Uri) -> Result<Json<Page<FindingDto>>, ApiError> {
    let query = query::findings(&uri)?;
    let page = edge.backend.findings(query.clone()).await?;
    Ok(Json(Page {
        items: page.items.into_iter().map(Into::into).collect(),
        next_cursor: page.next.map(|before| cursor::seal(before, &query)),
        total: page.total,
    }))
}

/// Gets one finding.
#[utoipa::path(
    get, path = "/v1/findings/{id}", operation_id = "getFinding", tag = "findings",
    params(("id" = String, Path, description = "`fnd_` and 32 hexadecimal digits.")),
    responses(
        (status = 200, description = "The finding.", body = FindingDto,
            headers(("ETag" = String, description = "The commit sequence of the finding."))),
        (status = 304, description = "It is the one named in If-None-Match."),
    )
)]
pub(super) async fn get(
    State(edge): State<Arc<Edge>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let found = edge.backend.finding(super::id(path)?).await?;
    let (commit_seq, finding) = found.ok_or_else(|| ApiError::of(Code::NotFound))?;
    let etag = format!("\"{commit_seq}\"");
    if is_known(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response());
    }
    Ok(([(ETAG, etag)], Json(FindingDto::from((commit_seq, finding)))).into_response())
}

/// Whether the client already has this version.
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let listed =
        |list: &str| list.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag);
    headers.get_all(IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok()).any(listed)
}
