//! The envelope in one pass over the bytes, for the form that the API server writes.
//!
//! Go writes the fields of a struct in their order, so each key is first compared with the one that comes next, quotes
//! and colon included. What comes in another order takes the longer way round; what has another form is refused.
//! What is checked, and what not, stands in the module above.

use super::cursor::Cursor;
use super::simd::{self, Scan};
use super::{Envelope, Field, Object, Text, User};

/// The deepest nesting of what is not skipped.
const OWN_DEPTH: usize = 3;

#[inline(always)]
pub(super) fn read<'a, S: Scan>(to: &mut Envelope<'a>, item: &'a [u8], max_depth: usize) -> Option<()> {
    if max_depth < OWN_DEPTH {
        return None;
    }
    let mut cursor = Cursor::<S>::new(simd::text::<S>(item)?, max_depth);
    cursor.event(to)?;
    (cursor.at == item.len()).then_some(())
}

/// Whether `json` is one value without blanks between tokens. `false` says nothing.
#[inline(always)]
pub(super) fn is_whole<S: Scan>(json: &str) -> bool {
    let mut cursor = Cursor::<S>::new(json, usize::MAX);
    !S::survey(json.as_bytes()).control && cursor.whole().is_some() && cursor.at == json.len()
}

/// Where the array or object is over that begins at `from` in well-formed JSON of any depth.
#[inline(always)]
pub(super) fn container_end<S: Scan>(json: &str, from: usize) -> Option<usize> {
    Cursor::<S>::new(json, usize::MAX).container(from, 0)
}

impl<'a, S: Scan> Cursor<'a, S> {
    #[inline(always)]
    fn event(&mut self, e: &mut Envelope<'a>) -> Option<()> {
        let mut annotated = false;
        let mut first = true;
        if self.eat(br#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":""#) {
            // The places of the two constants in what was just compared.
            e.kind = Field::Given(Text { quoted: self.text.get(8..15)?, escaped: false });
            e.api_version = Field::Given(Text { quoted: self.text.get(29..46)?, escaped: false });
            e.level = Field::Given(self.string()?);
            first = false;
        } else if self.eat(br#"{"level":""#) {
            e.level = Field::Given(self.string()?);
            first = false;
        } else {
            self.need(b"{")?;
        }
        if !first {
            annotated = self.event_in_order(e)?;
            if self.eat(b"}") {
                return Some(());
            }
        }
        self.members(first, |c, key| c.event_member(key, e, &mut annotated))
    }

    /// The fields from `auditID` on as far as they stand in the order of Go's struct. Returns whether that includes
    /// the annotations.
    #[inline(always)]
    fn event_in_order(&mut self, e: &mut Envelope<'a>) -> Option<bool> {
        if self.eat(br#","auditID":""#) {
            e.audit_id = Field::Given(self.string_of::<36>()?);
        }
        if self.eat(br#","stage":""#) {
            e.stage = Field::Given(self.string_of::<16>()?);
        }
        if self.eat(br#","requestURI":""#) {
            e.request_uri = Field::Given(self.string()?);
        }
        if self.eat(br#","verb":""#) {
            e.verb = Field::Given(self.string()?);
        }
        if self.eat(br#","user":"#) {
            self.user(&mut e.user)?;
        }
        if self.eat(br#","impersonatedUser":"#) {
            self.user(&mut e.impersonated_user)?;
        }
        if self.eat(br#","sourceIPs":["#) {
            self.strings(begin(&mut e.source_ips)?)?;
        }
        if self.eat(br#","userAgent":""#) {
            e.user_agent = Field::Given(self.string()?);
        }
        if self.eat(br#","objectRef":"#) {
            self.object(&mut e.object_ref)?;
        }
        if self.eat(br#","responseStatus":"#) {
            self.status(&mut e.response_status)?;
        }
        if self.eat(br#","requestObject":"#) {
            e.request_object = Some(self.body()?);
        }
        if self.eat(br#","responseObject":"#) {
            e.response_object = Some(self.body()?);
        }
        if self.eat(br#","requestReceivedTimestamp":""#) {
            e.request_received = Field::Given(self.string_of::<27>()?);
        }
        if self.eat(br#","stageTimestamp":""#) {
            e.stage_time = Field::Given(self.string_of::<27>()?);
        }
        let annotated = self.eat(br#","annotations":"#);
        if annotated {
            self.annotations(e)?;
        }
        Some(annotated)
    }

    /// A field in no particular order. The value of a field that was there before is refused: the last one counts,
    /// and finding out what that means for its parts is not worth the while.
    fn event_member(&mut self, key: &str, e: &mut Envelope<'a>, annotated: &mut bool) -> Option<()> {
        match key {
            "kind" => put(&mut e.kind, self.text()?),
            "apiVersion" => put(&mut e.api_version, self.text()?),
            "level" => put(&mut e.level, self.text()?),
            "auditID" => put(&mut e.audit_id, self.text()?),
            "stage" => put(&mut e.stage, self.text()?),
            "requestURI" => put(&mut e.request_uri, self.text()?),
            "verb" => put(&mut e.verb, self.text()?),
            "user" => self.user(&mut e.user),
            "impersonatedUser" => self.user(&mut e.impersonated_user),
            "sourceIPs" => {
                self.need(b"[")?;
                self.strings(begin(&mut e.source_ips)?)
            }
            "userAgent" => put(&mut e.user_agent, self.text()?),
            "objectRef" => self.object(&mut e.object_ref),
            "responseStatus" => self.status(&mut e.response_status),
            "requestObject" => put_body(&mut e.request_object, self.body()?),
            "responseObject" => put_body(&mut e.response_object, self.body()?),
            "requestReceivedTimestamp" => put(&mut e.request_received, self.text()?),
            "stageTimestamp" => put(&mut e.stage_time, self.text()?),
            "annotations" if !*annotated => {
                *annotated = true;
                self.annotations(e)
            }
            // What has `items` may be a list.
            "annotations" | "metadata" | "timestamp" | "items" => None,
            _ => self.skip(1),
        }
    }

    #[inline(always)]
    fn user(&mut self, to: &mut Field<User<'a>>) -> Option<()> {
        let user = begin(to)?;
        let (mut first, mut grouped) = (true, false);
        if self.eat(br#"{"username":""#) {
            first = false;
            user.name = Field::Given(self.string()?);
            if self.eat(br#","uid":""#) {
                user.uid = Field::Given(self.string_of::<36>()?);
            }
            grouped = self.eat(br#","groups":["#);
            if grouped {
                user.groups = self.count()?;
            }
            if self.eat(br#","extra":"#) {
                self.skip(2)?;
            }
            if self.eat(b"}") {
                return Some(());
            }
        } else {
            self.need(b"{")?;
        }
        self.members(first, |c, key| match key {
            "username" => put(&mut user.name, c.text()?),
            "uid" => put(&mut user.uid, c.text()?),
            "groups" if !grouped => {
                grouped = true;
                c.need(b"[")?;
                user.groups = c.count()?;
                Some(())
            }
            "groups" => None,
            _ => c.skip(2),
        })
    }

    #[inline(always)]
    fn object(&mut self, to: &mut Field<Object<'a>>) -> Option<()> {
        let object = begin(to)?;
        let mut first = true;
        if self.eat(br#"{"resource":""#) {
            first = false;
            object.resource = Field::Given(self.string()?);
            if self.eat(br#","namespace":""#) {
                object.namespace = Field::Given(self.string()?);
            }
            if self.eat(br#","name":""#) {
                object.name = Field::Given(self.string()?);
            }
            if self.eat(br#","uid":""#) {
                self.string_of::<36>()?;
            }
            if self.eat(br#","apiGroup":""#) {
                object.api_group = Field::Given(self.string()?);
            }
            if self.eat(br#","apiVersion":""#) {
                self.string()?;
            }
            if self.eat(br#","resourceVersion":""#) {
                self.string()?;
            }
            if self.eat(br#","subresource":""#) {
                object.subresource = Field::Given(self.string()?);
            }
            if self.eat(b"}") {
                return Some(());
            }
        } else {
            self.need(b"{")?;
        }
        self.members(first, |c, key| match key {
            "apiGroup" => put(&mut object.api_group, c.text()?),
            "resource" => put(&mut object.resource, c.text()?),
            "subresource" => put(&mut object.subresource, c.text()?),
            "namespace" => put(&mut object.namespace, c.text()?),
            "name" => put(&mut object.name, c.text()?),
            _ => c.skip(2),
        })
    }

    #[inline(always)]
    fn status(&mut self, to: &mut Field<Field<u16>>) -> Option<()> {
        let code = begin(to)?;
        let mut first = true;
        if self.eat(br#"{"metadata":{}"#) {
            first = false;
            if self.eat(br#","code":"#) {
                *code = Field::Given(self.code()?);
            }
            if self.eat(b"}") {
                return Some(());
            }
        } else {
            self.need(b"{")?;
        }
        self.members(first, |c, key| match key {
            "code" => put(code, c.code()?),
            _ => c.skip(2),
        })
    }

    #[inline(always)]
    fn annotations(&mut self, e: &mut Envelope<'a>) -> Option<()> {
        let mut first = true;
        if self.eat(br#"{"authorization.k8s.io/decision":""#) {
            first = false;
            e.decision = Field::Given(self.string_of::<5>()?);
            if self.eat(br#","authorization.k8s.io/reason":""#) {
                e.reason = Field::Given(self.string()?);
            }
            if self.eat(b"}") {
                return Some(());
            }
        } else {
            self.need(b"{")?;
        }
        self.members(first, |c, key| match key {
            "authorization.k8s.io/decision" => put(&mut e.decision, c.text()?),
            "authorization.k8s.io/reason" => put(&mut e.reason, c.text()?),
            _ => c.skip(2),
        })
    }
}

/// The object that is about to be read into `slot`.
#[inline(always)]
fn begin<T: Default>(slot: &mut Field<T>) -> Option<&mut T> {
    put(slot, T::default())?;
    match slot {
        Field::Given(value) => Some(value),
        Field::Absent | Field::Wrong => None,
    }
}

#[inline(always)]
fn put<T>(slot: &mut Field<T>, value: T) -> Option<()> {
    if !matches!(slot, Field::Absent) {
        return None;
    }
    *slot = Field::Given(value);
    Some(())
}

#[inline(always)]
fn put_body<'a>(slot: &mut Option<&'a str>, body: &'a str) -> Option<()> {
    slot.replace(body).is_none().then_some(())
}
