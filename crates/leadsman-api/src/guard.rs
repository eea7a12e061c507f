//! Who may call: the host, the token, the method and the origin, in this order.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{ALLOW, AUTHORIZATION, HOST, HeaderMap, HeaderName, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::access::{Permission, allowed_methods, operation};
use crate::edge::Edge;
use crate::error::ApiError;
use crate::problem::Code;
use crate::{ApiConfig, Token};

/// Lets a request through, or answers it with the first refusal.
pub(crate) async fn guard(State(edge): State<Arc<Edge>>, mut request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let operation = path.as_ref().and_then(|p| operation(request.method(), p.as_str()));
    let public = operation.is_some_and(|o| o.permission == Permission::Public);

    let admitted = match &edge.config.token {
        // Probes come from the kubelet, which addresses the pod by IP.
        None if public => Ok(()),
        None => own_host(&edge.config, &request),
        Some(_) if public => Ok(()),
        Some(token) => authenticated(token, request.headers()),
    };
    if let Err(error) = admitted.and_then(|()| own_origin(&edge.config, &request)) {
        return error.into_response();
    }
    match (path, operation) {
        (_, Some(operation)) => {
            request.extensions_mut().insert(operation);
            next.run(request).await
        }
        (Some(path), None) => method_not_allowed(path.as_str()),
        (None, None) => ApiError::of(Code::NotFound).into_response(),
    }
}

fn method_not_allowed(path: &str) -> Response {
    let mut response = ApiError::of(Code::MethodNotAllowed).into_response();
    if let Ok(methods) = HeaderValue::from_str(&allowed_methods(path)) {
        response.headers_mut().insert(ALLOW, methods);
    }
    response
}

/// One answer for every failure, so that nobody learns whether a token was missing, malformed or wrong.
fn authenticated(token: &Token, headers: &HeaderMap) -> Result<(), ApiError> {
    let presented = single(headers, &AUTHORIZATION).and_then(|v| v.split_once(' ')).and_then(|(scheme, secret)| {
        scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim_start_matches(' ').as_bytes())
    });
    match presented {
        Some(secret) if token.matches(secret) => Ok(()),
        Some(_) | None => Err(ApiError::of(Code::Unauthorized)),
    }
}

/// Without a token the name the client used must be ours: a page of another site whose name was rebound to
/// 127.0.0.1 still sends its own name.
fn own_host(config: &ApiConfig, request: &Request) -> Result<(), ApiError> {
    let target = request.uri().authority().is_none_or(|a| is_own(config, a));
    let header = single(request.headers(), &HOST).and_then(|h| h.parse().ok()).is_some_and(|a| is_own(config, &a));
    if target && header { Ok(()) } else { Err(ApiError::of(Code::ForeignHost)) }
}

fn is_own(config: &ApiConfig, authority: &Authority) -> bool {
    if authority.as_str().contains('@') {
        return false;
    }
    let host = plain(authority.host());
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) || is_allowed(config, &host)
}

fn is_allowed(config: &ApiConfig, host: &str) -> bool {
    config.allowed_hosts.iter().any(|h| plain(h) == host)
}

/// A host name without the spellings that mean the same.
fn plain(host: &str) -> String {
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// A browser names the page's origin on every write. Only our own pages, and those of allowed hosts, may.
fn own_origin(config: &ApiConfig, request: &Request) -> Result<(), ApiError> {
    if [Method::GET, Method::HEAD].contains(request.method()) || !request.headers().contains_key(ORIGIN) {
        return Ok(());
    }
    let origin = single(request.headers(), &ORIGIN)
        .and_then(|o| o.strip_prefix("http://").or_else(|| o.strip_prefix("https://")))
        .and_then(|o| o.parse::<Authority>().ok());
    let own = origin.is_some_and(|o| {
        single(request.headers(), &HOST).is_some_and(|h| h.eq_ignore_ascii_case(o.as_str()))
            || is_allowed(config, &plain(o.host()))
    });
    if own { Ok(()) } else { Err(ApiError::of(Code::ForeignOrigin)) }
}

/// The value of a header that may stand only once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        (Some(_), Some(_)) | (None, _) => None,
    }
}
