//! What a request path is about, by the rules of the API server itself.
//!
//! Source: `k8s.io/apiserver/pkg/endpoints/request/requestinfo.go`, `NewRequestInfo`.

use std::borrow::Cow;

use leadsman_domain::{ObjectRef, Untrusted};

/// The object that `uri` addresses; the default (a non-resource URL) when it addresses none.
pub(crate) fn object(uri: &str) -> ObjectRef {
    let path = percent_decoded(uri.split(['?', '#']).next().unwrap_or_default());
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, rest) = match parts.as_slice() {
        ["api", _version, rest @ ..] => ("", rest),
        ["apis", group, _version, rest @ ..] => (*group, rest),
        _ => return ObjectRef::default(),
    };
    let (rest, old_proxy) = match rest {
        ["watch", rest @ ..] => (rest, false),
        ["proxy", rest @ ..] => (rest, true),
        rest => (rest, false),
    };
    let (namespace, rest) = match rest {
        // Not resources in the namespace but parts of the namespace object.
        ["namespaces", name, "status" | "finalize", ..] => (Some(*name), rest),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
        ["namespaces", name] => (Some(*name), rest),
        rest => (None, rest),
    };
    let Some(resource) = rest.first().filter(|r| !r.is_empty()) else { return ObjectRef::default() };
    let part = |n: usize| rest.get(n).copied().filter(|p| !p.is_empty());
    // Before 1.10, `/api/v1/proxy/…` was what the subresource is today; what follows the name is the target's.
    let subresource = if old_proxy { Some("proxy") } else { part(2) };
    ObjectRef {
        group: Untrusted::new(group),
        resource: Untrusted::new(*resource),
        subresource: subresource.map(Untrusted::new),
        namespace: namespace.filter(|n| !n.is_empty()).map(Untrusted::new),
        name: part(1).map(Untrusted::new),
    }
}

/// `text` with `%xx` resolved, or as it is when that gives no text.
fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        let hex = (b == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        let hex = hex.filter(|h| h.bytes().all(|d| d.is_ascii_hexdigit()));
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(b);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).map_or(Cow::Borrowed(text), Cow::Owned)
}
