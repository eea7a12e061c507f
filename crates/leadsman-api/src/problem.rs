use axum::http::StatusCode;
use leadsman_domain::ErrorKind;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ApiError;

/// The closed set of reasons a client can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Code {
    InvalidInput,
    Unauthorized,
    ForeignHost,
    ForeignOrigin,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    Conflict,
    PayloadTooLarge,
    UnsupportedMediaType,
    Internal,
    Unavailable,
    Overloaded,
    NotReady,
}

/// The one place where a kind of error becomes an HTTP answer.
impl From<ErrorKind> for Code {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidInput => Self::InvalidInput,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Conflict => Self::Conflict,
            ErrorKind::Unavailable => Self::Unavailable,
            ErrorKind::Internal => Self::Internal,
        }
    }
}

impl Code {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::InvalidInput => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::ForeignHost | Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict => StatusCode::CONFLICT,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable | Self::Overloaded | Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::Unauthorized => "unauthorized",
            Self::ForeignHost => "foreign_host",
            Self::ForeignOrigin => "foreign_origin",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RequestTimeout => "request_timeout",
            Self::Conflict => "conflict",
            Self::PayloadTooLarge => "payload_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
            Self::NotReady => "not_ready",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::InvalidInput => "Invalid input",
            Self::Unauthorized => "Unauthorized",
            Self::ForeignHost => "Foreign host",
            Self::ForeignOrigin => "Foreign origin",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "Method not allowed",
            Self::RequestTimeout => "Request timeout",
            Self::Conflict => "Conflict",
            Self::PayloadTooLarge => "Payload too large",
            Self::UnsupportedMediaType => "Unsupported media type",
            Self::Internal => "Internal error",
            Self::Unavailable => "Unavailable",
            Self::Overloaded => "Overloaded",
            Self::NotReady => "Not ready",
        }
    }

    /// What the client can do; used where there is nothing more precise to say.
    pub(crate) fn advice(self) -> &'static str {
        match self {
            Self::InvalidInput => "the request cannot be processed: correct it",
            Self::Unauthorized => "send the header `Authorization: Bearer <token>` with a valid token",
            Self::ForeignHost => "this API answers to loopback names only: set a token, or allow the host",
            Self::ForeignOrigin => "pages of other origins may not write here",
            Self::NotFound => "there is nothing under this address",
            Self::MethodNotAllowed => "use one of the methods in the Allow header",
            Self::RequestTimeout => "the body did not arrive in time: send it faster, or in smaller parts",
            Self::Conflict => "the state has moved on: read it again",
            Self::PayloadTooLarge => "the body is over the limit: send it in smaller parts",
            Self::UnsupportedMediaType => "send a supported Content-Type and Content-Encoding",
            Self::Internal => "something went wrong here: the log has the cause under this request id",
            Self::Unavailable => "a dependency is down or full: try again later",
            Self::Overloaded => "too much is in flight: try again in a moment",
            Self::NotReady => "not ready to serve",
        }
    }
}

/// An error, after RFC 9457.
#[derive(Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Names the kind of problem; never a page to open.
    #[serde(rename = "type")]
    #[schema(example = "urn:leadsman:problem:not_found")]
    kind: String,
    /// The kind in words.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What to do about it.
    detail: String,
    /// Path of the request.
    instance: String,
    /// The kind, for programs.
    code: &'static str,
    /// Which parts of the request are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<ProblemField>,
    /// The same as the header X-Request-Id; the log holds it too.
    request_id: String,
}

/// One wrong part of a request.
#[derive(Serialize, ToSchema)]
struct ProblemField {
    /// JSON pointer into the body, or `/` and the name of a query parameter.
    pointer: String,
    /// What is wrong.
    message: String,
}

impl Problem {
    pub(crate) fn new(error: &ApiError, path: &str, request_id: &str) -> Self {
        Self {
            kind: format!("urn:leadsman:problem:{}", error.code.as_str()),
            title: error.code.title(),
            status: error.code.status().as_u16(),
            detail: error.detail.clone().into_owned(),
            // A path is percent-encoded ASCII here; the cap keeps a hostile one from filling logs.
            instance: path.chars().take(256).collect(),
            code: error.code.as_str(),
            errors: error
                .fields
                .iter()
                .map(|f| ProblemField { pointer: f.pointer.clone(), message: f.message.clone() })
                .collect(),
            request_id: request_id.to_owned(),
        }
    }
}
