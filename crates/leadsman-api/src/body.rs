//! Reading request bodies: limits, compression, media types.

use std::io::{self, Read};

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use flate2::read::MultiGzDecoder;
use tokio::sync::OwnedSemaphorePermit;

use crate::ApiError;
use crate::edge::Edge;
use crate::problem::Code;

/// A body in memory, with the memory budget it holds until it is dropped.
pub(crate) struct Payload {
    pub(crate) bytes: Vec<u8>,
    /// Whether `bytes` is still what was sent because decompression failed.
    pub(crate) corrupt: bool,
    _memory: OwnedSemaphorePermit,
}

impl Payload {
    /// Refuses what did not decompress.
    pub(crate) fn intact(self) -> Result<Self, ApiError> {
        if self.corrupt { Err(ApiError::invalid("the body is not valid gzip: send it again")) } else { Ok(self) }
    }
}

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Snappy,
}

/// The Content-Encoding of a request.
pub(crate) fn encoding(headers: &HeaderMap) -> Result<Encoding, ApiError> {
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    let (first, more) = (values.next(), values.next());
    let name = first.map_or(Ok("identity"), |v| v.to_str()).map(str::trim).unwrap_or_default();
    match name.to_ascii_lowercase().as_str() {
        "identity" if more.is_none() => Ok(Encoding::Identity),
        "gzip" | "x-gzip" if more.is_none() => Ok(Encoding::Gzip),
        "snappy" if more.is_none() => Ok(Encoding::Snappy),
        _ => Err(unsupported("this Content-Encoding is not supported: send gzip, or none")),
    }
}

/// Refuses a body whose Content-Type is none of `accepted`; parameters are ignored.
pub(crate) fn media_type(headers: &HeaderMap, accepted: &[&str]) -> Result<(), ApiError> {
    let essence = headers
        .get(CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.split(';').next())
        .map(|v| v.trim().to_ascii_lowercase());
    match essence {
        Some(found) if accepted.contains(&found.as_str()) => Ok(()),
        Some(_) | None => Err(unsupported(format!("the Content-Type must be {}", accepted.join(" or ")))),
    }
}

pub(crate) fn unsupported(detail: impl Into<std::borrow::Cow<'static, str>>) -> ApiError {
    ApiError::new(Code::UnsupportedMediaType, detail)
}

/// Reads telemetry: up to the configured limit, gzip or plain.
pub(crate) async fn telemetry(request: Request, edge: &Edge) -> Result<Payload, ApiError> {
    let limit = edge.config.max_body;
    match encoding(request.headers())? {
        Encoding::Identity => verbatim(request, edge, limit).await,
        Encoding::Gzip => {
            let sent = verbatim(request, edge, limit).await?;
            let room = edge.reserve(limit)?;
            inflate(sent, room, limit).await
        }
        Encoding::Snappy => Err(unsupported("snappy is for remote_write: send gzip, or no Content-Encoding")),
    }
}

/// Reads a body as it was sent.
pub(crate) async fn verbatim(mut request: Request, edge: &Edge, limit: usize) -> Result<Payload, ApiError> {
    let declared = request.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|n| n > limit) {
        return Err(too_large(limit));
    }
    let memory = edge.reserve(declared.unwrap_or(limit))?;
    DefaultBodyLimit::max(limit).apply(&mut request);
    let read = tokio::time::timeout(edge.config.body_timeout, Bytes::from_request(request, &()));
    let bytes = match read.await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)))) => {
            return Err(too_large(limit));
        }
        Ok(Err(_)) => return Err(ApiError::invalid("the body ended before its announced end: send it again")),
        Err(_) => return Err(ApiError::of(Code::RequestTimeout)),
    };
    Ok(Payload { bytes: bytes.into(), corrupt: false, _memory: memory })
}

fn too_large(limit: usize) -> ApiError {
    ApiError::new(
        Code::PayloadTooLarge,
        format!("the body is over the limit of {limit} bytes: send it in smaller parts"),
    )
}

/// Decompresses off the reactor: 64 MiB take longer than a heartbeat.
async fn inflate(sent: Payload, room: OwnedSemaphorePermit, limit: usize) -> Result<Payload, ApiError> {
    tokio::task::spawn_blocking(move || match gunzip(&sent.bytes, limit) {
        Ok(Some(bytes)) => Ok(Payload { bytes, corrupt: false, _memory: room }),
        Ok(None) => Err(too_large(limit)),
        Err(_) => Ok(Payload { corrupt: true, ..sent }),
    })
    .await
    .map_err(ApiError::internal)?
}

/// `None` when the result would be larger than `limit`.
fn gunzip(bytes: &[u8], limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut out = Vec::new();
    MultiGzDecoder::new(bytes).take(limit as u64 + 1).read_to_end(&mut out)?;
    Ok((out.len() <= limit).then_some(out))
}
