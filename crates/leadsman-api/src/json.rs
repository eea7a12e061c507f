//! JSON request bodies: objects only, refused with a pointer to the field.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::ApiError;
use crate::body::{self, Encoding};
use crate::edge::Edge;

/// Limit of a JSON request that describes something, as opposed to telemetry.
const LIMIT: usize = 64 << 10;

/// A JSON body. What serde refuses becomes a 422 that points at the field.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Edge>> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, edge: &Arc<Edge>) -> Result<Self, ApiError> {
        body::media_type(request.headers(), &["application/json"])?;
        if body::encoding(request.headers())? != Encoding::Identity {
            return Err(body::unsupported("send this body without Content-Encoding"));
        }
        let body = body::verbatim(request, edge, LIMIT.min(edge.config.max_body)).await?;
        parse(&body.bytes).map(|Object(value)| Self(value))
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|e| {
        let pointer = pointer(e.path());
        refused(pointer, e.inner())
    })?;
    json.end().map_err(|e| refused(String::new(), &e))?;
    Ok(value)
}

fn refused(pointer: String, error: &serde_json::Error) -> ApiError {
    ApiError::invalid("the JSON body is not what this address takes: see errors").at(pointer, error.to_string())
}

/// A JSON pointer (RFC 6901) to where serde stopped.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut out = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => out.push_str(&format!("/{index}")),
            Segment::Map { key } => {
                out.push('/');
                out.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    out
}

/// A value that must be written as an object: derived structs would take an array of their fields too,
/// which the API description does not offer.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        d.deserialize_map(Fields(PhantomData))
    }
}
