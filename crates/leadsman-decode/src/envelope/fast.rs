//! The envelope in one pass over the bytes, for the form that the API server writes.
//!
//! Go writes the fields of a struct in their order, so each key is first compared with the one that comes next, quotes
//! and colon included. What comes in another order takes the longer way round; what has another form is refused.
//! What is checked, and what not, stands in the module above.

use super::simd::{self, BLOCK, Masks, Scan};
use super::{Addresses, Envelope, Field, Object, Text, User};

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

/// A position in an event.
pub(super) struct Cursor<'a, S> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    max_depth: usize,
    /// The end of `bytes` with zeros behind it: a block that reaches beyond the end is read here instead.
    tail: [u8; 2 * BLOCK],
    tail_from: usize,
    set: std::marker::PhantomData<S>,
}

impl<'a, S: Scan> Cursor<'a, S> {
    #[inline(always)]
    fn new(text: &'a str, max_depth: usize) -> Self {
        let bytes = text.as_bytes();
        let mut tail = [0; 2 * BLOCK];
        match bytes.last_chunk::<BLOCK>() {
            Some(last) => tail[..BLOCK].copy_from_slice(last),
            None => tail[..bytes.len()].copy_from_slice(bytes),
        }
        let tail_from = bytes.len().saturating_sub(BLOCK);
        Self { text, bytes, at: 0, max_depth, tail, tail_from, set: std::marker::PhantomData }
    }

    // === The structs of the API server, each from its opening bracket ===

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
            "annotations" | "metadata" | "timestamp" => None,
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

    // === Values ===

    /// The members of an object behind its opening bracket, or behind one of its values.
    #[inline(always)]
    fn members(&mut self, mut first: bool, mut member: impl FnMut(&mut Self, &str) -> Option<()>) -> Option<()> {
        if first && self.eat(b"}") {
            return Some(());
        }
        loop {
            if !std::mem::take(&mut first) {
                if self.eat(b"}") {
                    return Some(());
                }
                self.need(b",")?;
            }
            let key = self.text()?;
            if key.escaped {
                return None;
            }
            self.need(b":")?;
            member(self, key.raw())?;
        }
    }

    #[inline(always)]
    fn text(&mut self) -> Option<Text<'a>> {
        self.need(b"\"")?;
        self.string()
    }

    /// A string behind its opening quote.
    #[inline(always)]
    fn string(&mut self) -> Option<Text<'a>> {
        let (quotes, slashes) = S::strings(self.block(self.at)?);
        let before_quote = quotes.wrapping_sub(1) & !quotes;
        let (end, escaped) = if quotes != 0 && slashes & before_quote == 0 {
            (self.at + quotes.trailing_zeros() as usize, false)
        } else {
            S::long_string(self, self.at)?
        };
        let quoted = self.text.get(self.at - 1..=end)?;
        self.at = end + 1;
        Some(Text { quoted, escaped })
    }

    /// As [`Self::string`], where the text mostly has `N` bytes: then the place of what follows does not depend on what
    /// was read, and the CPU need not wait for it.
    #[inline(always)]
    fn string_of<const N: usize>(&mut self) -> Option<Text<'a>> {
        let (quotes, slashes) = S::strings(self.block(self.at)?);
        if (quotes | slashes) & (!0 >> (63 - N)) == 1 << N && quotes >> N & 1 == 1 {
            let quoted = self.text.get(self.at - 1..=self.at + N)?;
            self.at += N + 1;
            return Some(Text { quoted, escaped: false });
        }
        self.string()
    }

    /// Where the string that `from` is in ends, and whether there are escapes before that.
    #[inline(always)]
    pub(super) fn long_string(&self, mut from: usize) -> Option<(usize, bool)> {
        let mut escaped = false;
        loop {
            let (mut quotes, mut slashes) = S::strings(self.block(from)?);
            loop {
                let next = (quotes | slashes).trailing_zeros() as usize;
                if next == BLOCK {
                    from += BLOCK;
                    break;
                }
                if quotes >> next & 1 == 1 {
                    return Some((from + next, escaped));
                }
                escaped = true;
                let behind = next + self.escape(from + next)?;
                if behind >= BLOCK {
                    from += behind;
                    break;
                }
                quotes &= !0 << behind;
                slashes &= !0 << behind;
            }
        }
    }

    /// The length of the escape that begins at the backslash at `at`.
    #[inline(always)]
    fn escape(&self, at: usize) -> Option<usize> {
        match self.bytes.get(at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
            b'u' => self.bytes.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit).then_some(6),
            _ => None,
        }
    }

    /// Strings behind the opening bracket of their array.
    #[inline(always)]
    fn strings(&mut self, all: &mut Addresses<'a>) -> Option<()> {
        if self.eat(b"]") {
            return Some(());
        }
        loop {
            all.last = Some(self.text()?);
            all.count += 1;
            if self.eat(b"]") {
                return Some(());
            }
            self.need(b",")?;
        }
    }

    /// How many strings there are behind the opening bracket of their array.
    #[inline(always)]
    fn count(&mut self) -> Option<usize> {
        let mut all = Addresses::default();
        self.strings(&mut all)?;
        Some(all.count)
    }

    #[inline(always)]
    fn code(&mut self) -> Option<u16> {
        let rest = self.rest();
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 || digits > 5 || digits > 1 && rest[0] == b'0' {
            return None;
        }
        let code = rest[..digits].iter().fold(0, |code, digit| 10 * code + u32::from(digit - b'0'));
        self.at += digits;
        u16::try_from(code).ok()
    }

    #[inline(always)]
    fn body(&mut self) -> Option<&'a str> {
        let from = self.at;
        if self.eat(b"null") {
            return None;
        }
        self.skip(1)?;
        self.text.get(from..self.at)
    }

    /// Any value, `depth` brackets deep.
    #[inline(always)]
    fn skip(&mut self, depth: usize) -> Option<()> {
        match self.rest().first()? {
            b'{' | b'[' => self.at = S::container(self, self.at, depth)?,
            b'"' => drop(self.text()?),
            _ => self.at += scalar(self.rest())?,
        }
        Some(())
    }

    /// Where the array or object that begins at `from`, `depth` brackets deep, is over.
    #[inline(always)]
    pub(super) fn container(&self, from: usize, depth: usize) -> Option<usize> {
        let room = self.max_depth - depth;
        let (mut at, mut open, mut in_string, mut escape_open) = (from, 0, 0, 0);
        loop {
            let Masks { mut quotes, slashes, opens, closes } = S::masks(self.block(at)?);
            if slashes | escape_open != 0 {
                quotes &= !self.escaped(at, slashes, &mut escape_open)?;
            }
            let inside = S::parity(quotes) ^ in_string;
            in_string = (inside.cast_signed() >> 63).cast_unsigned();
            if slashes & !inside != 0 {
                return None;
            }
            let (opens, mut closes) = (opens & !inside, closes & !inside);
            let (opened, closed) = (opens.count_ones() as usize, closes.count_ones() as usize);
            // More than there is, unless all of them open before the first one closes.
            if open + opened > room {
                return None;
            }
            if open <= closed {
                let mut seen = 0;
                while closes != 0 {
                    let before = closes.wrapping_sub(1) & !closes;
                    seen += 1;
                    if open + (opens & before).count_ones() as usize == seen {
                        return Some(at + closes.trailing_zeros() as usize + 1);
                    }
                    closes &= closes - 1;
                }
            }
            open = open + opened - closed;
            at += BLOCK;
        }
    }

    /// The bytes of the block at `at` that a backslash stands before; each escape is checked.
    #[inline(always)]
    fn escaped(&self, at: usize, mut slashes: u64, open: &mut u64) -> Option<u64> {
        let mut escaped = *open;
        slashes &= !*open;
        *open = 0;
        while slashes != 0 {
            let next = slashes.trailing_zeros();
            self.escape(at + next as usize)?;
            if next == 63 {
                *open = 1;
                break;
            }
            escaped |= 2 << next;
            slashes &= !(3 << next);
        }
        Some(escaped)
    }

    // === Bytes ===

    #[inline(always)]
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    #[inline(always)]
    fn eat<const N: usize>(&mut self, expected: &[u8; N]) -> bool {
        let found = self.rest().first_chunk() == Some(expected);
        if found {
            self.at += N;
        }
        found
    }

    #[inline(always)]
    fn need<const N: usize>(&mut self, expected: &[u8; N]) -> Option<()> {
        self.eat(expected).then_some(())
    }

    /// The block at `at`, with zeros behind the end; `None` when all of it lies behind the end.
    #[inline(always)]
    fn block(&self, at: usize) -> Option<&[u8; BLOCK]> {
        match self.bytes.get(at..).and_then(|b| b.first_chunk()) {
            Some(block) => Some(block),
            None => self.tail.get(at - self.tail_from..).and_then(|b| b.first_chunk()),
        }
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

/// The length of the literal or number at the beginning of `bytes`.
fn scalar(bytes: &[u8]) -> Option<usize> {
    if let Some(literal) = [&b"true"[..], b"false", b"null"].into_iter().find(|l| bytes.starts_with(l)) {
        return Some(literal.len());
    }
    let digits = |from: usize| bytes.iter().skip(from).take_while(|b| b.is_ascii_digit()).count();
    let mut at = usize::from(bytes.starts_with(b"-"));
    let whole = digits(at);
    if whole == 0 || whole > 1 && bytes.get(at) == Some(&b'0') {
        return None;
    }
    at += whole;
    if bytes.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        at += 1 + fraction;
        (fraction > 0).then_some(())?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at);
        at += exponent;
        (exponent > 0).then_some(())?;
    }
    Some(at)
}
