//! The OpenAPI document: what the handlers declare, plus what holds for every operation.

use axum::http::Method;
use utoipa::OpenApi;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{Operation as Described, PathItem};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Ref, RefOr};

use crate::access::{OPERATIONS, Operation, Permission};
use crate::problem::{Code, Problem};
use crate::routes;

const BEARER: &str = "bearer";

#[derive(OpenApi)]
#[openapi(
    info(title = "Leadsman", description = "Anomaly detection over Kubernetes telemetry."),
    tags(
        (name = "ingest", description = "Take telemetry."),
        (name = "findings", description = "What was found, and why."),
        (name = "score", description = "Score events without storing them."),
        (name = "models", description = "Model versions."),
        (name = "jobs", description = "Work that outlives its request."),
        (name = "meta", description = "Health, metrics, version."),
    ),
    components(schemas(Problem))
)]
struct Base;

/// The description of every route; needs no server.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = Base::openapi();
    document.merge(routes::all().split_for_parts().1);
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(BEARER, SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    for operation in &OPERATIONS {
        if let Some(described) = document.paths.paths.get_mut(operation.path).and_then(|p| of_method(p, operation)) {
            complete(described, operation);
        }
    }
    document
}

/// The document as JSON, indented and in a stable order: fit to be compared with a stored one.
#[must_use]
pub fn openapi_json() -> String {
    // Strings and maps with string keys always serialise; the empty text would fail every comparison.
    openapi().to_pretty_json().unwrap_or_default()
}

fn of_method<'a>(item: &'a mut PathItem, operation: &Operation) -> Option<&'a mut Described> {
    if operation.method == Method::GET { item.get.as_mut() } else { item.post.as_mut() }
}

/// Adds permission, security and problems from the table of operations.
fn complete(described: &mut Described, operation: &Operation) {
    let permission = format!("Permission: `{}`.", operation.permission.as_str());
    described.description = Some(match described.description.take() {
        Some(text) if !text.is_empty() => format!("{text}\n\n{permission}"),
        Some(_) | None => permission,
    });
    described.security = Some(match operation.permission {
        Permission::Public => vec![SecurityRequirement::default()],
        Permission::IngestWrite
        | Permission::FindingRead
        | Permission::ScoreSubmit
        | Permission::ModelRead
        | Permission::JobRead
        | Permission::JobSubmit
        | Permission::MetaRead => {
            for code in [Code::Unauthorized, Code::ForeignHost, Code::Unavailable] {
                add_problem(described, code);
            }
            vec![SecurityRequirement::new::<_, [&str; 0], _>(BEARER, [])]
        }
    });
    add_problem(described, Code::Internal);
    for code in operation.problems {
        add_problem(described, *code);
    }
}

fn add_problem(described: &mut Described, code: Code) {
    let response = ResponseBuilder::new()
        .description(summary(code))
        .content(
            "application/problem+json",
            ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build(),
        )
        .build();
    described.responses.responses.insert(code.status().as_u16().to_string(), RefOr::T(response));
}

/// Two reasons share the status 403, and a document has one text for each status.
fn summary(code: Code) -> &'static str {
    if code == Code::ForeignHost { "the Host or the Origin is not one this API serves" } else { code.advice() }
}
