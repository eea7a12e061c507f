use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use leadsman_domain::ErrorKind;

use crate::problem::Code;

/// Why a request failed: what the client may read, and the cause that only the log gets.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct ApiError {
    pub(crate) code: Code,
    pub(crate) detail: Cow<'static, str>,
    pub(crate) fields: Vec<FieldError>,
    #[source]
    pub(crate) source: Option<Box<dyn Error + Send + Sync>>,
}

/// What is wrong with one part of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldError {
    /// JSON pointer into the body, or `/` and the name of a query parameter.
    pub(crate) pointer: String,
    /// What is wrong, and what would be right.
    pub(crate) message: String,
}

impl ApiError {
    /// The request can never succeed; `detail` tells the client why.
    #[must_use]
    pub fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidInput, detail)
    }

    /// The named thing does not exist; `detail` tells the client what.
    #[must_use]
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::NotFound, detail)
    }

    /// The state has moved on; `detail` tells the client how.
    #[must_use]
    pub fn conflict(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Conflict, detail)
    }

    /// A dependency is down or full. The client only learns that it may try again.
    #[must_use]
    pub fn unavailable(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::from_kind(ErrorKind::Unavailable, cause)
    }

    /// A defect of ours. The client only learns the request id under which the log has the cause.
    #[must_use]
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::from_kind(ErrorKind::Internal, cause)
    }

    /// From a library error. Its text goes to the log; the client gets a fixed sentence for the kind.
    #[must_use]
    pub fn from_kind(kind: ErrorKind, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let code = Code::from(kind);
        Self { source: Some(cause.into()), ..Self::new(code, code.advice()) }
    }

    /// Names the part of the request that is wrong: a JSON pointer, or `/` and a query parameter.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        self.fields.push(FieldError { pointer: pointer.into(), message: message.into() });
        self
    }

    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), fields: Vec::new(), source: None }
    }

    pub(crate) fn of(code: Code) -> Self {
        Self::new(code, code.advice())
    }
}

/// The error on its way through the layers; `edge::finish` renders it, because only there the request id
/// is known.
#[derive(Clone)]
pub(crate) struct Failure(pub(crate) Arc<ApiError>);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(Failure(Arc::new(self)));
        response
    }
}
