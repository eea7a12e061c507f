//! What every request passes: its id, admission, the deadline, and the rendering of problems.

use std::any::Any;
use std::error::Error;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::access::{Operation, Permission};
use crate::error::{ApiError, Failure};
use crate::problem::{Code, Problem};
use crate::{ApiConfig, Backend};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
const KIB: usize = 1024;

/// What the handlers and layers share.
pub(crate) struct Edge {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) config: ApiConfig,
    in_flight: Arc<Semaphore>,
    /// In KiB, because a semaphore hands out at most `u32::MAX` permits at once.
    buffered: Arc<Semaphore>,
}

impl Edge {
    pub(crate) fn new(backend: Arc<dyn Backend>, config: ApiConfig) -> Self {
        // A budget below one body would refuse every body of unknown length.
        let buffered = config.max_buffered.max(2 * config.max_body) / KIB + 2;
        Self {
            backend,
            in_flight: Arc::new(Semaphore::new(config.max_in_flight.clamp(1, Semaphore::MAX_PERMITS))),
            buffered: Arc::new(Semaphore::new(buffered.min(Semaphore::MAX_PERMITS))),
            config,
        }
    }

    /// Sets memory for a body aside. Refusing at once is better than queueing: the sender still has the data.
    pub(crate) fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        let kib = u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX);
        self.buffered.clone().try_acquire_many_owned(kib).map_err(|_| ApiError::of(Code::Overloaded))
    }
}

/// Refuses requests beyond the concurrency limit. Probes pass: a busy server is alive.
pub(crate) async fn admit(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response {
    let operation = request.extensions().get::<&'static Operation>();
    if operation.is_some_and(|o| o.permission == Permission::Public) {
        return next.run(request).await;
    }
    match edge.in_flight.try_acquire() {
        Ok(_permit) => next.run(request).await,
        Err(_) => ApiError::of(Code::Overloaded).into_response(),
    }
}

/// Ends a request that takes too long to answer. A started stream is not limited.
pub(crate) async fn deadline(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(edge.config.request_timeout, next.run(request)).await {
        Ok(response) => response,
        Err(elapsed) => ApiError::unavailable(elapsed).into_response(),
    }
}

/// Turns a panic into a problem. Its text may hold telemetry, so the panic hook of the process reports it.
pub(crate) fn on_panic(_: Box<dyn Any + Send + 'static>) -> Response {
    ApiError::internal("a handler panicked").into_response()
}

/// Gives the request an id and the response its headers; renders and logs failures.
pub(crate) async fn finish(request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let method = request.method().to_string();
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    if let Some(Failure(error)) = response.extensions_mut().remove() {
        RequestFailed { error: &error, request_id: &id, method: &method, path: &path }.emit();
        render(&mut response, &error, &path, &id);
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn render(response: &mut Response, error: &ApiError, path: &str, id: &str) {
    let body = serde_json::to_vec(&Problem::new(error, path, id)).unwrap_or_default();
    *response.body_mut() = body.into();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, PROBLEM_JSON);
    match error.code {
        Code::Unauthorized => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Code::Unavailable | Code::Overloaded | Code::NotReady => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        Code::InvalidInput
        | Code::ForeignHost
        | Code::ForeignOrigin
        | Code::NotFound
        | Code::MethodNotAllowed
        | Code::RequestTimeout
        | Code::Conflict
        | Code::PayloadTooLarge
        | Code::UnsupportedMediaType
        | Code::Internal => {}
    }
}

/// The client's id, if it is harmless in a log line and a header, else a fresh one.
fn request_id(request: &Request) -> String {
    let sane = |id: &&str| {
        (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let given = request.headers().get(REQUEST_ID).and_then(|v| v.to_str().ok()).filter(sane);
    given.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

/// A request was answered with a problem.
struct RequestFailed<'a> {
    error: &'a ApiError,
    request_id: &'a str,
    method: &'a str,
    path: &'a str,
}

impl RequestFailed<'_> {
    fn emit(&self) {
        let code = self.error.code.as_str();
        let Self { request_id, method, path, error } = self;
        let cause = causes(error);
        match error.code {
            Code::Internal => {
                tracing::error!(request_id, method, path, code, error = cause, "request failed");
            }
            Code::Unavailable | Code::Overloaded => {
                tracing::warn!(request_id, method, path, code, error = cause, "request refused");
            }
            Code::InvalidInput
            | Code::Unauthorized
            | Code::ForeignHost
            | Code::ForeignOrigin
            | Code::NotFound
            | Code::MethodNotAllowed
            | Code::RequestTimeout
            | Code::Conflict
            | Code::PayloadTooLarge
            | Code::UnsupportedMediaType
            | Code::NotReady => {
                tracing::debug!(request_id, method, path, code, error = cause, "request refused");
            }
        }
    }
}

fn causes(error: &ApiError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
