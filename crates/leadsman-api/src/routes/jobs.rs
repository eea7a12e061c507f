use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::{LOCATION, RETRY_AFTER};
use axum::http::{HeaderName, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use tokio_stream::StreamExt;

use crate::dto::{JobDto, JobProgressDto, JobRequest, Page};
use crate::edge::Edge;
use crate::problem::Code;
use crate::server::Shutdown;
use crate::{ApiError, JobProgress, JobStream, json};

const HEARTBEAT: Duration = Duration::from_secs(15);
/// Tells nginx and its kin to pass events on as they come.
const NO_PROXY_BUFFER: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// Lists jobs.
#[utoipa::path(
    get, path = "/v1/jobs", operation_id = "listJobs", tag = "jobs",
    responses((status = 200, description = "Every remembered job, newest first.", body = Page<JobDto>))
)]
pub(super) async fn list(State(edge): State<Arc<Edge>>) -> Result<Json<Page<JobDto>>, ApiError> {
    let jobs = edge.backend.jobs().await?;
    Ok(Json(Page::whole(jobs.into_iter().map(Into::into).collect())))
}

/// Starts a job.
#[utoipa::path(
    post, path = "/v1/jobs", operation_id = "submitJob", tag = "jobs",
    request_body = JobRequest,
    responses((status = 202, description = "The job is queued.", body = JobDto, headers(
        ("Location" = String, description = "Address of the job."),
        ("Retry-After" = u32, description = "Seconds until a look is worthwhile."),
    )))
)]
pub(super) async fn submit(
    State(edge): State<Arc<Edge>>,
    json::Json(request): json::Json<JobRequest>,
) -> Result<Response, ApiError> {
    let job = edge.backend.submit_job(request.try_into()?).await?;
    let headers = [(LOCATION, format!("/v1/jobs/{}", job.id)), (RETRY_AFTER, "1".to_owned())];
    Ok((StatusCode::ACCEPTED, headers, Json(JobDto::from(job))).into_response())
}

/// Gets one job.
#[utoipa::path(
    get, path = "/v1/jobs/{id}", operation_id = "getJob", tag = "jobs",
    params(("id" = String, Path, description = "`job_` and 32 hexadecimal digits.")),
    responses((status = 200, description = "The job.", body = JobDto))
)]
pub(super) async fn get(
    State(edge): State<Arc<Edge>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<JobDto>, ApiError> {
    let job = edge.backend.job(super::id(path)?).await?;
    job.map(|job| Json(job.into())).ok_or_else(|| ApiError::of(Code::NotFound))
}

/// Follows one job as server-sent events.
///
/// Each event is named `job.progress` and has no id: a client that reconnects gets the present state first.
/// The stream ends with the job. A comment is sent every 15 seconds to keep the connection open.
#[utoipa::path(
    get, path = "/v1/jobs/{id}/events", operation_id = "followJob", tag = "jobs",
    params(("id" = String, Path, description = "`job_` and 32 hexadecimal digits.")),
    responses((
        status = 200, description = "`job.progress` events; the schema is that of their data.",
        content_type = "text/event-stream", body = JobProgressDto,
    ))
)]
pub(super) async fn events(
    State(edge): State<Arc<Edge>>,
    shutdown: Option<Extension<Shutdown>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let progress = edge.backend.job_events(super::id(path)?).await?.ok_or_else(|| ApiError::of(Code::NotFound))?;
    let progress: JobStream = match shutdown {
        Some(Extension(shutdown)) => Box::pin(shutdown.end(progress)),
        None => progress,
    };
    let events = Sse::new(progress.map(event)).keep_alive(KeepAlive::new().interval(HEARTBEAT));
    Ok(([NO_PROXY_BUFFER], events).into_response())
}

fn event(progress: JobProgress) -> Result<Event, axum::Error> {
    Event::default().event("job.progress").json_data(JobProgressDto::from(progress))
}
