//! The fast reader: the API server's own compact JSON, in one pass.
//!
//! It expects the keys in the order that the API server writes them, and compares with the next one first; other
//! orders cost a search. It refuses what it does not know: white space, escaped or repeated keys, odd types,
//! fractions.

mod cursor;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use super::{Envelope, Part, Value};
use cursor::Cursor;

/// Bytes looked at in one step. Nothing is ever loaded from outside the item.
const STEP: usize = 64;
type Block = [u8; STEP];

/// Which bytes of a block hold what; the bit of the first byte is the lowest.
trait Machine {
    /// Quotes and backslashes.
    fn strings(block: &Block) -> [u64; 2];
    /// Quotes, backslashes, and brackets.
    fn brackets(block: &Block) -> Brackets;
    /// Each bit becomes the exclusive or of itself and all lower ones.
    fn prefix_xor(bits: u64) -> u64;
    /// Where the bit is that has `below` other ones below it.
    fn nth(bits: u64, below: u32) -> u32;
}

struct Brackets {
    quotes: u64,
    backslashes: u64,
    /// `{` and `[`.
    opening: u64,
    /// `}` and `]`.
    closing: u64,
}

/// Reads one event; `None` leaves it to the plain reader.
pub(super) fn read(item: &[u8], max_depth: usize) -> Option<Envelope<'_>> {
    #[cfg(target_arch = "x86_64")]
    if let Some(reader) = x86::reader() {
        return reader(item, max_depth);
    }
    walk::<portable::Portable>(portable::text(item)?, max_depth)
}

type Reader = fn(&[u8], usize) -> Option<Envelope<'_>>;

/// Every reader that this processor can run.
#[cfg(test)]
pub(super) fn machines() -> Vec<(&'static str, Reader)> {
    let portable: Reader = |item, max_depth| walk::<portable::Portable>(portable::text(item)?, max_depth);
    let mut machines = vec![("portable", portable)];
    #[cfg(target_arch = "x86_64")]
    machines.extend([("AVX2", x86::avx2()), ("AVX-512", x86::avx512())].into_iter().filter_map(|(n, r)| Some((n, r?))));
    machines
}

/// Walks over `json`, which holds no control character.
#[inline(always)]
fn walk<M: Machine>(json: &str, max_depth: usize) -> Option<Envelope<'_>> {
    let mut c = Cursor::<M>::new(json, max_depth)?;
    let mut e = Envelope::default();
    c.text(b"{\"kind\":\"", &mut e.kind)?;
    c.text(b",\"apiVersion\":\"", &mut e.api_version)?;
    c.text(b",\"level\":\"", &mut e.level)?;
    c.text(b",\"auditID\":\"", &mut e.audit_id)?;
    c.text(b",\"stage\":\"", &mut e.stage)?;
    c.text(b",\"requestURI\":\"", &mut e.request_uri)?;
    c.text(b",\"verb\":\"", &mut e.verb)?;
    if c.eat(b",\"user\":") {
        user(&mut c, &mut e)?;
    }
    if c.eat(b",\"impersonatedUser\":") {
        impersonated_user(&mut c, &mut e)?;
    }
    if c.eat(b",\"sourceIPs\":") {
        (e.source_ip, e.source_ips) = c.strings()?;
    }
    c.text(b",\"userAgent\":\"", &mut e.user_agent)?;
    if c.eat(b",\"objectRef\":") {
        object_ref(&mut c, &mut e)?;
    }
    if c.eat(b",\"responseStatus\":") {
        response_status(&mut c, &mut e)?;
    }
    if c.eat(b",\"requestObject\":") {
        e.request_object = c.body()?;
    }
    if c.eat(b",\"responseObject\":") {
        e.response_object = c.body()?;
    }
    c.text(b",\"requestReceivedTimestamp\":\"", &mut e.received)?;
    c.text(b",\"stageTimestamp\":\"", &mut e.stage_time)?;
    if c.eat(b",\"annotations\":") {
        annotations(&mut c, &mut e)?;
    }
    any_order(&mut c, &mut e)?;
    c.at_end().then_some(e)
}

/// The keys that did not come where they were expected.
#[inline(always)]
fn any_order<'a, M: Machine>(c: &mut Cursor<'a, M>, e: &mut Envelope<'a>) -> Option<()> {
    c.rest_of_object(|c, key| match key {
        "kind" => c.set(&mut e.kind),
        "apiVersion" => c.set(&mut e.api_version),
        "level" => c.set(&mut e.level),
        "auditID" => c.set(&mut e.audit_id),
        "stage" => c.set(&mut e.stage),
        "requestURI" => c.set(&mut e.request_uri),
        "verb" => c.set(&mut e.verb),
        "userAgent" => c.set(&mut e.user_agent),
        "requestReceivedTimestamp" => c.set(&mut e.received),
        "timestamp" => c.set(&mut e.timestamp),
        "stageTimestamp" => c.set(&mut e.stage_time),
        "user" => user(c, e),
        "impersonatedUser" => impersonated_user(c, e),
        "objectRef" => object_ref(c, e),
        "responseStatus" => response_status(c, e),
        "annotations" => annotations(c, e),
        "metadata" => {
            c.part(&mut e.metadata)?;
            c.rest_of_object(|c, key| match key {
                "creationTimestamp" => c.set(&mut e.created),
                _ => c.skip(),
            })
        }
        "sourceIPs" if e.source_ip == Value::Absent => {
            (e.source_ip, e.source_ips) = c.strings()?;
            Some(())
        }
        "requestObject" if e.request_object.is_none() => {
            e.request_object = c.body()?;
            Some(())
        }
        "responseObject" if e.response_object.is_none() => {
            e.response_object = c.body()?;
            Some(())
        }
        "sourceIPs" | "requestObject" | "responseObject" => None,
        _ => c.skip(),
    })
}

#[inline(always)]
fn user<'a, M: Machine>(c: &mut Cursor<'a, M>, e: &mut Envelope<'a>) -> Option<()> {
    c.part(&mut e.user)?;
    c.text(b"{\"username\":\"", &mut e.username)?;
    c.text(b",\"uid\":\"", &mut e.uid)?;
    if c.eat(b",\"groups\":") {
        e.groups = c.strings()?.1;
    }
    c.rest_of_object(|c, key| match key {
        "username" => c.set(&mut e.username),
        "uid" => c.set(&mut e.uid),
        "groups" if e.groups == 0 => {
            e.groups = c.strings()?.1;
            Some(())
        }
        "groups" => None,
        _ => c.skip(),
    })
}

#[inline(always)]
fn impersonated_user<'a, M: Machine>(c: &mut Cursor<'a, M>, e: &mut Envelope<'a>) -> Option<()> {
    c.part(&mut e.impersonated_user)?;
    c.rest_of_object(|c, key| match key {
        "username" => c.set(&mut e.impersonated),
        _ => c.skip(),
    })
}

#[inline(always)]
fn object_ref<'a, M: Machine>(c: &mut Cursor<'a, M>, e: &mut Envelope<'a>) -> Option<()> {
    c.part(&mut e.object_ref)?;
    c.text(b"{\"resource\":\"", &mut e.resource)?;
    c.text(b",\"namespace\":\"", &mut e.namespace)?;
    c.text(b",\"name\":\"", &mut e.name)?;
    c.text(b",\"uid\":\"", &mut Value::Absent)?;
    c.text(b",\"apiGroup\":\"", &mut e.api_group)?;
    c.text(b",\"apiVersion\":\"", &mut Value::Absent)?;
    c.rest_of_object(|c, key| match key {
        "resource" => c.set(&mut e.resource),
        "namespace" => c.set(&mut e.namespace),
        "name" => c.set(&mut e.name),
        "apiGroup" => c.set(&mut e.api_group),
        "subresource" => c.set(&mut e.subresource),
        _ => c.skip(),
    })
}

#[inline(always)]
fn response_status<'a, M: Machine>(c: &mut Cursor<'a, M>, e: &mut Envelope<'a>) -> Option<()> {
    c.part(&mut e.response_status)?;
    if c.eat(b"{\"metadata\":{},\"code\":") {
        e.code = c.integer()?;
    }
    c.rest_of_object(|c, key| match key {
        "code" if e.code == Value::Absent => {
            e.code = c.integer()?;
            Some(())
        }
        "code" => None,
        _ => c.skip(),
    })
}

#[inline(always)]
fn annotations<'a, M: Machine>(c: &mut Cursor<'a, M>, e: &mut Envelope<'a>) -> Option<()> {
    c.part(&mut e.annotations)?;
    c.text(b"{\"authorization.k8s.io/decision\":\"", &mut e.decision)?;
    c.text(b",\"authorization.k8s.io/reason\":\"", &mut e.reason)?;
    c.rest_of_object(|c, key| match key {
        "authorization.k8s.io/decision" => c.set(&mut e.decision),
        "authorization.k8s.io/reason" => c.set(&mut e.reason),
        _ => c.skip(),
    })
}
