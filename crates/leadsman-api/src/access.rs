use axum::http::Method;

use crate::problem::Code;

/// What a caller must be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Nothing: probes and the API description, which hold no data.
    Public,
    /// Send telemetry.
    IngestWrite,
    /// Read findings.
    FindingRead,
    /// Have events scored.
    ScoreSubmit,
    /// Read what models exist.
    ModelRead,
    /// Read jobs.
    JobRead,
    /// Start jobs.
    JobSubmit,
    /// Read metrics and the version.
    MetaRead,
}

impl Permission {
    /// The name in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::IngestWrite => "ingest:write",
            Self::FindingRead => "finding:read",
            Self::ScoreSubmit => "score:submit",
            Self::ModelRead => "model:read",
            Self::JobRead => "job:read",
            Self::JobSubmit => "job:submit",
            Self::MetaRead => "meta:read",
        }
    }
}

/// One operation: who may call it and which problems, besides the general ones, it answers with.
pub(crate) struct Operation {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) permission: Permission,
    pub(crate) problems: &'static [Code],
}

const fn op(method: Method, path: &'static str, permission: Permission, problems: &'static [Code]) -> Operation {
    Operation { method, path, permission, problems }
}

const BODY: &[Code] = &[Code::RequestTimeout, Code::PayloadTooLarge, Code::UnsupportedMediaType];
const JSON: &[Code] = &[Code::RequestTimeout, Code::PayloadTooLarge, Code::UnsupportedMediaType, Code::InvalidInput];

/// Every operation of the API. The guard refuses what is not listed here, so a route that was forgotten
/// is unreachable rather than open; a test compares the table with the OpenAPI document.
pub(crate) static OPERATIONS: [Operation; 16] = [
    op(Method::GET, "/livez", Permission::Public, &[]),
    op(Method::GET, "/readyz", Permission::Public, &[Code::NotReady]),
    op(Method::GET, "/openapi.json", Permission::Public, &[]),
    op(Method::GET, "/metrics", Permission::MetaRead, &[]),
    op(Method::GET, "/v1/version", Permission::MetaRead, &[]),
    op(Method::POST, "/v1/ingest/k8s-audit", Permission::IngestWrite, BODY),
    op(Method::POST, "/v1/ingest/prometheus", Permission::IngestWrite, BODY),
    op(Method::POST, "/v1/ingest/metrics", Permission::IngestWrite, JSON),
    op(Method::GET, "/v1/findings", Permission::FindingRead, &[Code::InvalidInput]),
    op(Method::GET, "/v1/findings/{id}", Permission::FindingRead, &[Code::NotFound]),
    op(Method::POST, "/v1/score", Permission::ScoreSubmit, JSON),
    op(Method::GET, "/v1/models", Permission::ModelRead, &[]),
    op(Method::GET, "/v1/jobs", Permission::JobRead, &[]),
    op(Method::POST, "/v1/jobs", Permission::JobSubmit, JSON),
    op(Method::GET, "/v1/jobs/{id}", Permission::JobRead, &[Code::NotFound]),
    op(Method::GET, "/v1/jobs/{id}/events", Permission::JobRead, &[Code::NotFound]),
];

/// The operation behind a matched path; HEAD counts as GET, because the router answers it with GET's handler.
pub(crate) fn operation(method: &Method, path: &str) -> Option<&'static Operation> {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    OPERATIONS.iter().find(|o| o.method == method && o.path == path)
}

/// The value of the Allow header for a matched path.
pub(crate) fn allowed_methods(path: &str) -> String {
    let mut names = Vec::new();
    for o in OPERATIONS.iter().filter(|o| o.path == path) {
        names.push(o.method.as_str());
        if o.method == Method::GET {
            names.push("HEAD");
        }
    }
    names.join(", ")
}

#[cfg(test)]
mod tests;
