//! What a request path is about, by the rules of the API server itself.
//!
//! Source: `k8s.io/apiserver/pkg/endpoints/request/requestinfo.go`, `NewRequestInfo`.

use std::borrow::Cow;

use leadsman_domain::{ObjectRef, Untrusted};

/// Parts of a path that can matter, and some more.
const MAX_PARTS: usize = 12;

/// What a request is about: an [`ObjectRef`] that is borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Target<'a> {
    pub(crate) group: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) subresource: Option<&'a str>,
    pub(crate) namespace: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
}

impl Target<'_> {
    pub(crate) fn owned(&self) -> ObjectRef {
        ObjectRef {
            group: Untrusted::new(self.group),
            resource: Untrusted::new(self.resource),
            subresource: self.subresource.map(Untrusted::new),
            namespace: self.namespace.map(Untrusted::new),
            name: self.name.map(Untrusted::new),
        }
    }
}

/// The object that `path`, without escapes, addresses; the default (a non-resource URL) when it addresses none.
pub(crate) fn target(path: &str) -> Target<'_> {
    let mut parts = [""; MAX_PARTS];
    let mut count = 0;
    for (part, slot) in path.trim_matches('/').split('/').zip(&mut parts) {
        *slot = part;
        count += 1;
    }
    let (group, rest) = match parts.get(..count).unwrap_or_default() {
        ["api", _version, rest @ ..] => ("", rest),
        ["apis", group, _version, rest @ ..] => (*group, rest),
        _ => return Target::default(),
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
    let Some(resource) = rest.first().filter(|r| !r.is_empty()) else { return Target::default() };
    let part = |n: usize| rest.get(n).copied().filter(|p| !p.is_empty());
    // Before 1.10, `/api/v1/proxy/…` was what the subresource is today; what follows the name is the target's.
    let subresource = if old_proxy { Some("proxy") } else { part(2) };
    Target { group, resource, subresource, namespace: namespace.filter(|n| !n.is_empty()), name: part(1) }
}

/// The path of `uri` with `%xx` resolved, or as it is when that gives no text.
pub(crate) fn path(uri: &str) -> Cow<'_, str> {
    let text = uri.split(['?', '#']).next().unwrap_or_default();
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
