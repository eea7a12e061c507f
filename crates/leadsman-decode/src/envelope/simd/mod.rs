//! 64 bytes at a time, by the widest registers that the CPU has.
//!
//! This is the one module of the crate with `unsafe` code, for three things: entering a function compiled for
//! instructions whose presence was just asked for, loading an array into a register, and calling bytes text after
//! every one of them was seen to be ASCII. All else, the bounds of every access above all, is safe code.
#![expect(unsafe_code, reason = "vector instructions chosen at run time; see the module's documentation")]

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use super::cursor::Cursor;
use super::{Envelope, fast};
use portable::Portable;

/// The unit of all scanning, in bytes: one bit of a mask each.
pub(super) const BLOCK: usize = 64;

/// Where the bytes that matter stand in a block: bit n for byte n.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Masks {
    pub(super) quotes: u64,
    pub(super) slashes: u64,
    /// `{` and `[`.
    pub(super) opens: u64,
    /// `}` and `]`.
    pub(super) closes: u64,
}

/// What all bytes of an event have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Survey {
    pub(super) ascii: bool,
    /// Some byte is below `0x20`.
    pub(super) control: bool,
}

/// One instruction set. Every method of every implementation gives the same results.
pub(super) trait Scan: Copy {
    /// Quotes and backslashes.
    fn strings(block: &[u8; BLOCK]) -> (u64, u64);
    fn masks(block: &[u8; BLOCK]) -> Masks;
    /// Bit n of the result is the parity of bits 0 to n.
    fn parity(bits: u64) -> u64;
    fn survey(bytes: &[u8]) -> Survey;
    /// [`Cursor::long_string`] and [`Cursor::container`], not inlined but compiled for this instruction set.
    fn long_string(cursor: &Cursor<'_, Self>, from: usize) -> Option<(usize, bool)>;
    fn container(cursor: &Cursor<'_, Self>, from: usize, depth: usize) -> Option<usize>;
}

/// The instructions that reading uses. Equal results, different speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel(Set);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Kernel {
    /// The fastest that this CPU has.
    #[must_use]
    #[inline]
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if has_avx512() {
                return Self(Set::Avx512);
            }
            if has_avx2() {
                return Self(Set::Avx2);
            }
        }
        Self(Set::Portable)
    }

    /// All that this CPU has, the fastest first.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self(Set::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            if has_avx2() {
                all.insert(0, Self(Set::Avx2));
            }
            if has_avx512() {
                all.insert(0, Self(Set::Avx512));
            }
        }
        all
    }

    /// A name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "AVX2",
            Set::Portable => "portable",
        }
    }

    /// As [`Envelope::fast`].
    #[must_use]
    #[inline]
    pub fn read(self, item: &[u8], max_depth: usize) -> Option<Envelope<'_>> {
        let mut envelope = Envelope::default();
        self.read_into(&mut envelope, item, max_depth).then_some(envelope)
    }

    /// As [`Self::read`] without moving the envelope, which takes a tenth of the time. After `false`, what is in `to`
    /// means nothing.
    #[must_use]
    #[inline]
    pub fn read_into<'a>(self, to: &mut Envelope<'a>, item: &'a [u8], max_depth: usize) -> bool {
        *to = Envelope::default();
        match self.0 {
            // SAFETY: `Set::Avx512` is only made where `has_avx512` holds.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => unsafe { x86::read_avx512(to, item, max_depth) },
            // SAFETY: `Set::Avx2` is only made where `has_avx2` holds.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { x86::read_avx2(to, item, max_depth) },
            Set::Portable => fast::read::<Portable>(to, item, max_depth),
        }
        .is_some()
    }
}

impl Kernel {
    /// Whether `json` is one value without blanks between tokens. `false` says only that `serde_json` decides.
    pub(crate) fn is_whole(self, json: &str) -> bool {
        match self.0 {
            // SAFETY: `Set::Avx512` is only made where `has_avx512` holds.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => unsafe { x86::is_whole_avx512(json) },
            // SAFETY: `Set::Avx2` is only made where `has_avx2` holds.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { x86::is_whole_avx2(json) },
            Set::Portable => fast::is_whole::<Portable>(json),
        }
    }

    /// Where the array or object is over that begins at `from` in well-formed JSON.
    pub(crate) fn container_end(self, json: &str, from: usize) -> Option<usize> {
        match self.0 {
            // SAFETY: `Set::Avx512` is only made where `has_avx512` holds.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => unsafe { x86::end_avx512(json, from) },
            // SAFETY: `Set::Avx2` is only made where `has_avx2` holds.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { x86::end_avx2(json, from) },
            Set::Portable => fast::container_end::<Portable>(json, from),
        }
    }
}

/// `bytes` as text; `None` when they are none, or hold a control character.
#[inline(always)]
pub(super) fn text<S: Scan>(bytes: &[u8]) -> Option<&str> {
    let Survey { ascii, control } = S::survey(bytes);
    if control {
        return None;
    }
    if ascii {
        // SAFETY: no byte has its highest bit set, so each is a character by itself.
        return Some(unsafe { std::str::from_utf8_unchecked(bytes) });
    }
    std::str::from_utf8(bytes).ok()
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("popcnt")
        && is_x86_feature_detected!("pclmulqdq")
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("popcnt")
        && is_x86_feature_detected!("pclmulqdq")
}
