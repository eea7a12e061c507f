//! REST routes, DTOs, authentication and OpenAPI of Leadsman.
//!
//! This crate speaks HTTP and nothing else. What a request asks for goes through one object-safe port,
//! [`Backend`], which the binary implements with the store, the inbox and the model registry; neither
//! Kafka nor SQL is known here. [`router`] builds the routes, [`serve`] runs them, [`openapi_json`] prints
//! the document that describes them.
//!
//! A request passes, from the outside in: request id and problem rendering (`edge`), panic catching, host,
//! token and origin (`guard`), admission and deadline (`edge`), then its handler (`routes`).

mod access;
mod backend;
mod body;
mod config;
mod cursor;
mod document;
mod dto;
mod edge;
mod error;
mod guard;
mod job;
mod json;
mod problem;
mod query;
mod routes;
mod server;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use tower_http::catch_panic::CatchPanicLayer;

pub use access::Permission;
pub use backend::{Backend, BoxFuture, JobStream, MAX_SCORE_EVENTS, ScoreReport, ScoredWindow, VersionInfo};
pub use config::{ApiConfig, Token, TokenError};
pub use document::{openapi, openapi_json};
pub use error::ApiError;
pub use job::{DatasetId, Job, JobId, JobProgress, JobSpec, JobState, ModelName, NameError, TrainSpec};
pub use server::{ServeError, serve};

use edge::Edge;

/// Every route of the API over `backend`, guarded as `config` says.
pub fn router(backend: Arc<dyn Backend>, config: ApiConfig) -> Router {
    let edge = Arc::new(Edge::new(backend, config));
    let (routes, _) = routes::all().split_for_parts();
    routes
        .fallback(routes::unknown)
        .layer(from_fn_with_state(edge.clone(), edge::deadline))
        .layer(from_fn_with_state(edge.clone(), edge::admit))
        .layer(from_fn_with_state(edge.clone(), guard::guard))
        .layer(CatchPanicLayer::custom(edge::on_panic))
        .layer(from_fn(edge::finish))
        .with_state(edge)
}
