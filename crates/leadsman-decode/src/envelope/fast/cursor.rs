//! A place in compact JSON, and the steps over it.

use std::marker::PhantomData;

use super::{Block, Brackets, Machine, Part, STEP, Value};

/// The envelope's own nesting down to where values are skipped: the event, a part of it, an array in there.
const OWN_DEPTH: usize = 3;

/// Reads forward over `json`. Each step returns `None` on anything that is not as expected; the place is then lost.
pub(super) struct Cursor<'a, M> {
    json: &'a str,
    at: usize,
    /// Loaded, and shifted, where less than a block is left.
    tail: &'a Block,
    /// How deep a skipped value may nest.
    room: usize,
    machine: PhantomData<M>,
}

impl<'a, M: Machine> Cursor<'a, M> {
    /// `None` when the item is shorter than a block, or the depth allowed is less than that of an envelope.
    #[inline(always)]
    pub(super) fn new(json: &'a str, max_depth: usize) -> Option<Self> {
        let tail = json.as_bytes().last_chunk()?;
        Some(Self { json, at: 0, tail, room: max_depth.checked_sub(OWN_DEPTH)?, machine: PhantomData })
    }

    #[inline(always)]
    pub(super) fn at_end(&self) -> bool {
        self.at == self.json.len()
    }

    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }

    /// Steps over `expected` if it is next.
    #[inline(always)]
    pub(super) fn eat<const N: usize>(&mut self, expected: &[u8; N]) -> bool {
        let next = self.json.as_bytes().get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        let found = next == Some(expected);
        if found {
            self.at += N;
        }
        found
    }

    /// The block that begins at `at`, and by how many bytes it begins earlier than that.
    #[inline(always)]
    fn block(&self, at: usize) -> Option<(&'a Block, usize)> {
        let rest = self.json.as_bytes().get(at..)?;
        match rest.first_chunk() {
            Some(block) => Some((block, 0)),
            None if rest.is_empty() => None,
            None => Some((self.tail, STEP - rest.len())),
        }
    }

    /// Takes a string if `key`, which ends with the opening quote, is next.
    #[inline(always)]
    pub(super) fn text<const N: usize>(&mut self, key: &[u8; N], into: &mut Value<'a>) -> Option<()> {
        if self.eat(key) {
            *into = self.string()?;
        }
        Some(())
    }

    /// The string whose opening quote was stepped over.
    #[inline(always)]
    fn string(&mut self) -> Option<Value<'a>> {
        let start = self.at;
        let mut at = start;
        let mut escaped = false;
        'blocks: loop {
            let (block, early) = self.block(at)?;
            let [mut quotes, mut backslashes] = M::strings(block).map(|bits| bits >> early);
            // a backslash below the first quote makes what follows it part of the string
            while backslashes & (quotes ^ quotes.wrapping_sub(1)) != 0 {
                let first = backslashes.trailing_zeros() as usize;
                escaped = true;
                let next = first + self.escape(at + first)?;
                if next >= STEP {
                    at += next;
                    continue 'blocks;
                }
                let later = u64::MAX << next;
                (quotes, backslashes) = (quotes & later, backslashes & later);
            }
            if quotes != 0 {
                at += quotes.trailing_zeros() as usize;
                break;
            }
            at += STEP;
        }
        self.at = at + 1;
        if escaped {
            self.json.get(start - 1..self.at).map(Value::Escaped)
        } else {
            self.json.get(start..at).map(Value::Text)
        }
    }

    /// The length of the escape at `at`.
    #[inline(always)]
    fn escape(&self, at: usize) -> Option<usize> {
        let bytes = self.json.as_bytes();
        match bytes.get(at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
            b'u' if bytes.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => Some(6),
            _ => None,
        }
    }

    /// Takes a string, or `null` for none, that was not taken before.
    #[inline(always)]
    pub(super) fn set(&mut self, into: &mut Value<'a>) -> Option<()> {
        if *into != Value::Absent {
            return None;
        }
        if self.eat(b"\"") {
            *into = self.string()?;
            return Some(());
        }
        self.eat(b"null").then_some(())
    }

    /// Begins an object that was not met before.
    #[inline(always)]
    pub(super) fn part(&self, part: &mut Part) -> Option<()> {
        (*part == Part::Absent && self.peek()? == b'{').then_some(())?;
        *part = Part::Object;
        Some(())
    }

    /// The members up to the end of an object, of which the opening brace or some members were read.
    #[inline(always)]
    pub(super) fn rest_of_object(&mut self, mut member: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        if self.eat(b"{}") {
            return Some(());
        }
        loop {
            let separator = self.peek()?;
            self.at += 1;
            match separator {
                b'}' => return Some(()),
                b',' | b'{' => {}
                _ => return None,
            }
            let true = self.eat(b"\"") else { return None };
            let Value::Text(key) = self.string()? else { return None };
            let true = self.eat(b":") else { return None };
            member(self, key)?;
        }
    }

    /// An array of strings: the last of them, and how many there are.
    #[inline(always)]
    pub(super) fn strings(&mut self) -> Option<(Value<'a>, usize)> {
        if self.eat(b"[]") {
            return Some((Value::Absent, 0));
        }
        let true = self.eat(b"[\"") else { return None };
        let mut count = 0;
        loop {
            let last = self.string()?;
            count += 1;
            if self.eat(b"]") {
                return Some((last, count));
            }
            let true = self.eat(b",\"") else { return None };
        }
    }

    /// A whole number.
    #[inline(always)]
    pub(super) fn integer(&mut self) -> Option<Value<'a>> {
        let start = self.at;
        self.eat(b"-");
        let first = self.peek()?;
        let digits = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        let count = self.at - digits;
        (count == 1 || (count > 1 && first != b'0')).then_some(())?;
        self.json.get(start..self.at).map(Value::Other)
    }

    /// Any value, as it stands; `null` is none.
    #[inline(always)]
    pub(super) fn body(&mut self) -> Option<Option<&'a str>> {
        if self.eat(b"null") {
            return Some(None);
        }
        let start = self.at;
        self.skip()?;
        self.json.get(start..self.at).map(Some)
    }

    /// Steps over any value.
    #[inline(always)]
    pub(super) fn skip(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => {
                self.at += 1;
                self.string().map(drop)
            }
            b'{' | b'[' => self.skip_container(),
            b't' => self.eat(b"true").then_some(()),
            b'f' => self.eat(b"false").then_some(()),
            b'n' => self.eat(b"null").then_some(()),
            _ => self.integer().map(drop),
        }
    }

    /// Steps over an object or array: to where as many brackets are closed as were opened, strings left out.
    #[inline(always)]
    fn skip_container(&mut self) -> Option<()> {
        let mut at = self.at;
        let (mut depth, mut in_string, mut escape_goes_on) = (0, 0u64, 0u64);
        loop {
            let (block, early) = self.block(at)?;
            let Brackets { quotes, backslashes, opening, closing } = M::brackets(block);
            let [mut quotes, backslashes, opening, closing] =
                [quotes, backslashes, opening, closing].map(|bits| bits >> early);
            if backslashes | escape_goes_on != 0 {
                quotes &= !escaped(backslashes, &mut escape_goes_on);
            }
            let inside = M::prefix_xor(quotes) ^ in_string;
            // the last byte is inside a string: so is the first one of the next block
            in_string = (inside >> (STEP - 1)).wrapping_neg();
            let opening = opening & !inside;
            let closing = closing & !inside;
            let (opened, closes) = (opening.count_ones(), closing.count_ones());
            // At most this deep: what may be too deep is for the plain reader to judge.
            if (depth + opened) as usize > self.room {
                return None;
            }
            // The end is the closing bracket before which one less is closed than opened; each guess is a lower bound.
            let mut wanted = depth.max(1);
            while wanted <= closes {
                let end = M::nth(closing, wanted - 1);
                let needed = depth + (opening & !(u64::MAX << end)).count_ones();
                if needed == wanted {
                    self.at = at + end as usize + 1;
                    return Some(());
                }
                wanted = needed;
            }
            depth = depth + opened - closes;
            at += STEP;
        }
    }
}

/// The bytes that a backslash before them makes part of a string. In a run of backslashes every other one escapes;
/// a subtraction that borrows through the run finds which, without a loop.
#[inline(always)]
fn escaped(backslashes: u64, goes_on: &mut u64) -> u64 {
    const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    let fresh = backslashes & !*goes_on;
    let alternate = ((fresh << 1) | ODD).wrapping_sub(fresh) ^ ODD;
    let escaped = alternate ^ (backslashes | *goes_on);
    *goes_on = (alternate & backslashes) >> (STEP - 1);
    escaped
}
