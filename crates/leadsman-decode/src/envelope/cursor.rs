//! Values of compact JSON, found 64 bytes at a time.

use super::simd::{BLOCK, Masks, Scan};
use super::{Addresses, Text};

/// A position in an event.
pub(super) struct Cursor<'a, S> {
    pub(super) text: &'a str,
    bytes: &'a [u8],
    pub(super) at: usize,
    max_depth: usize,
    /// The end of `bytes` with zeros behind it: a block that reaches beyond the end is read here instead.
    tail: [u8; 2 * BLOCK],
    tail_from: usize,
    set: std::marker::PhantomData<S>,
}

impl<'a, S: Scan> Cursor<'a, S> {
    #[inline(always)]
    pub(super) fn new(text: &'a str, max_depth: usize) -> Self {
        let bytes = text.as_bytes();
        let mut tail = [0; 2 * BLOCK];
        match bytes.last_chunk::<BLOCK>() {
            Some(last) => tail[..BLOCK].copy_from_slice(last),
            None => tail[..bytes.len()].copy_from_slice(bytes),
        }
        let tail_from = bytes.len().saturating_sub(BLOCK);
        Self { text, bytes, at: 0, max_depth, tail, tail_from, set: std::marker::PhantomData }
    }

    /// The members of an object behind its opening bracket, or behind one of its values.
    #[inline(always)]
    pub(super) fn members(
        &mut self,
        mut first: bool,
        mut member: impl FnMut(&mut Self, &str) -> Option<()>,
    ) -> Option<()> {
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
    pub(super) fn text(&mut self) -> Option<Text<'a>> {
        self.need(b"\"")?;
        self.string()
    }

    /// A string behind its opening quote.
    #[inline(always)]
    pub(super) fn string(&mut self) -> Option<Text<'a>> {
        let from = self.at - 1;
        let escaped = self.pass_string()?;
        Some(Text { quoted: self.text.get(from..self.at)?, escaped })
    }

    /// Goes behind the string whose opening quote was passed. Returns whether there are escapes in it.
    #[inline(always)]
    fn pass_string(&mut self) -> Option<bool> {
        let (quotes, slashes) = S::strings(self.block(self.at)?);
        let before_quote = quotes.wrapping_sub(1) & !quotes;
        let (end, escaped) = if quotes != 0 && slashes & before_quote == 0 {
            (self.at + quotes.trailing_zeros() as usize, false)
        } else {
            S::long_string(self, self.at)?
        };
        self.at = end + 1;
        Some(escaped)
    }

    /// As [`Self::string`], where the text mostly has `N` bytes: then the place of what follows does not depend on what
    /// was read, and the CPU need not wait for it.
    #[inline(always)]
    pub(super) fn string_of<const N: usize>(&mut self) -> Option<Text<'a>> {
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
    pub(super) fn strings(&mut self, all: &mut Addresses<'a>) -> Option<()> {
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
    pub(super) fn count(&mut self) -> Option<usize> {
        let mut all = Addresses::default();
        self.strings(&mut all)?;
        Some(all.count)
    }

    #[inline(always)]
    pub(super) fn code(&mut self) -> Option<u16> {
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
    pub(super) fn body(&mut self) -> Option<&'a str> {
        let from = self.at;
        if self.eat(b"null") {
            return None;
        }
        self.skip(1)?;
        self.text.get(from..self.at)
    }

    /// Any value by the full grammar, without blanks between tokens and less than 128 brackets deep.
    #[inline(always)]
    pub(super) fn whole(&mut self) -> Option<()> {
        // The brackets around the current value, the innermost lowest: 1 is an object.
        let (mut around, mut depth) = (0u128, 0);
        loop {
            let begun = match self.rest().first()? {
                b'"' => {
                    self.at += 1;
                    self.pass_string()?;
                    false
                }
                b'{' => {
                    self.at += 1;
                    !self.eat(b"}")
                }
                b'[' => {
                    self.at += 1;
                    !self.eat(b"]")
                }
                _ => {
                    self.at += scalar(self.rest())?;
                    false
                }
            };
            if begun {
                let is_object = self.bytes.get(self.at - 1) == Some(&b'{');
                depth += 1;
                if depth == 128 {
                    return None;
                }
                around = around << 1 | u128::from(is_object);
                if is_object {
                    self.key()?;
                }
                continue;
            }
            loop {
                if depth == 0 {
                    return Some(());
                }
                let is_object = around & 1 == 1;
                if self.eat(b",") {
                    if is_object {
                        self.key()?;
                    }
                    break;
                }
                self.need(if is_object { b"}" } else { b"]" })?;
                around >>= 1;
                depth -= 1;
            }
        }
    }

    #[inline(always)]
    fn key(&mut self) -> Option<()> {
        self.need(b"\"")?;
        self.pass_string()?;
        self.need(b":")
    }

    /// Any value, `depth` brackets deep.
    #[inline(always)]
    pub(super) fn skip(&mut self, depth: usize) -> Option<()> {
        match self.rest().first()? {
            b'{' | b'[' => self.at = S::container(self, self.at, depth)?,
            b'"' => {
                self.at += 1;
                self.pass_string()?;
            }
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
    pub(super) fn eat<const N: usize>(&mut self, expected: &[u8; N]) -> bool {
        let found = self.rest().first_chunk() == Some(expected);
        if found {
            self.at += N;
        }
        found
    }

    #[inline(always)]
    pub(super) fn need<const N: usize>(&mut self, expected: &[u8; N]) -> Option<()> {
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
