//! 64 bytes at a time, by the widest registers that the CPU has.
//!
//! This is the one module of the crate with `unsafe` code, for three things: entering a function compiled for
//! instructions whose presence was just asked for, loading an array into a register, and calling bytes text after
//! every one of them was seen to be ASCII. All else, the bounds of every access above all, is safe code.
#![expect(unsafe_code, reason = "vector instructions chosen at run time; see the module's documentation")]

use super::Envelope;
use super::fast::{self, Cursor};

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

/// Eight bytes at a time, on any CPU.
#[derive(Debug, Clone, Copy)]
pub(super) struct Portable;

const EACH: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = EACH << 7;

/// Bit n is set where byte n of `block` is `byte`; `fold` is or-ed into the bytes before.
#[inline(always)]
fn find(block: &[u8; BLOCK], byte: u8, fold: u8) -> u64 {
    let mut found = 0;
    for (n, word) in block.as_chunks::<8>().0.iter().enumerate() {
        let differs = (u64::from_le_bytes(*word) | (EACH * u64::from(fold))) ^ (EACH * u64::from(byte));
        let equal = !(((differs & !HIGH) + !HIGH) | differs) & HIGH;
        // The multiplication moves the top bits of the eight bytes next to each other.
        found |= ((equal >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * n);
    }
    found
}

impl Scan for Portable {
    #[inline(always)]
    fn strings(block: &[u8; BLOCK]) -> (u64, u64) {
        (find(block, b'"', 0), find(block, b'\\', 0))
    }

    #[inline(always)]
    fn masks(block: &[u8; BLOCK]) -> Masks {
        let (quotes, slashes) = Self::strings(block);
        Masks { quotes, slashes, opens: find(block, b'{', 0x20), closes: find(block, b'}', 0x20) }
    }

    #[inline(always)]
    fn parity(mut bits: u64) -> u64 {
        for shift in [1, 2, 4, 8, 16, 32] {
            bits ^= bits << shift;
        }
        bits
    }

    #[inline(always)]
    fn survey(bytes: &[u8]) -> Survey {
        let (mut high, mut low) = (0, 0);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            let word = u64::from_le_bytes(*word);
            high |= word;
            low |= word.wrapping_sub(EACH * 0x20) & !word;
        }
        Survey {
            ascii: high & HIGH == 0 && rest.is_ascii(),
            control: low & HIGH != 0 || rest.iter().any(|b| *b < 0x20),
        }
    }

    #[inline(never)]
    fn long_string(cursor: &Cursor<'_, Self>, from: usize) -> Option<(usize, bool)> {
        cursor.long_string(from)
    }

    #[inline(never)]
    fn container(cursor: &Cursor<'_, Self>, from: usize, depth: usize) -> Option<usize> {
        cursor.container(from, depth)
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{BLOCK, Cursor, Envelope, Masks, Portable, Scan, Survey, fast};

    /// Declares the functions that the features of one instruction set are switched on for. Everything they call is
    /// `inline(always)`, so that it is compiled for the same features.
    macro_rules! entries {
        ($set:ident, $read:ident, $features:literal) => {
            #[target_feature(enable = $features)]
            pub(super) fn $read<'a>(to: &mut Envelope<'a>, item: &'a [u8], max_depth: usize) -> Option<()> {
                fast::read::<$set>(to, item, max_depth)
            }

            impl $set {
                #[target_feature(enable = $features)]
                fn long_string_entry(cursor: &Cursor<'_, Self>, from: usize) -> Option<(usize, bool)> {
                    cursor.long_string(from)
                }

                #[target_feature(enable = $features)]
                fn container_entry(cursor: &Cursor<'_, Self>, from: usize, depth: usize) -> Option<usize> {
                    cursor.container(from, depth)
                }
            }
        };
    }

    #[derive(Debug, Clone, Copy)]
    pub(super) struct Avx512;
    #[derive(Debug, Clone, Copy)]
    pub(super) struct Avx2;

    entries!(Avx512, read_avx512, "avx512f,avx512bw,bmi1,bmi2,lzcnt,popcnt,pclmulqdq");
    entries!(Avx2, read_avx2, "avx2,bmi1,bmi2,lzcnt,popcnt,pclmulqdq");

    // All methods below are reached from the two functions above only, whose caller has asked for the features.

    #[inline(always)]
    fn parity(bits: u64) -> u64 {
        // SAFETY: see above. A product without carries by all ones is the parity of all lower bits.
        unsafe {
            let product = _mm_clmulepi64_si128::<0>(_mm_set_epi64x(0, bits.cast_signed()), _mm_set1_epi8(-1));
            _mm_cvtsi128_si64(product).cast_unsigned()
        }
    }

    impl Scan for Avx512 {
        #[inline(always)]
        fn strings(block: &[u8; BLOCK]) -> (u64, u64) {
            // SAFETY: see above; the array is as large as the register.
            unsafe {
                let v = _mm512_loadu_si512(block.as_ptr().cast());
                (
                    _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8(b'"'.cast_signed())),
                    _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8(b'\\'.cast_signed())),
                )
            }
        }

        #[inline(always)]
        fn masks(block: &[u8; BLOCK]) -> Masks {
            // SAFETY: see above; the array is as large as the register.
            unsafe {
                let v = _mm512_loadu_si512(block.as_ptr().cast());
                let folded = _mm512_or_si512(v, _mm512_set1_epi8(0x20));
                Masks {
                    quotes: _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8(b'"'.cast_signed())),
                    slashes: _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8(b'\\'.cast_signed())),
                    opens: _mm512_cmpeq_epi8_mask(folded, _mm512_set1_epi8(b'{'.cast_signed())),
                    closes: _mm512_cmpeq_epi8_mask(folded, _mm512_set1_epi8(b'}'.cast_signed())),
                }
            }
        }

        #[inline(always)]
        fn parity(bits: u64) -> u64 {
            parity(bits)
        }

        #[inline(always)]
        fn survey(bytes: &[u8]) -> Survey {
            let Some(last) = bytes.last_chunk::<BLOCK>() else { return Portable::survey(bytes) };
            // SAFETY: see above; each array is as large as the register.
            unsafe {
                let mut high = _mm512_setzero_si512();
                let mut low = _mm512_set1_epi8(-1);
                for block in bytes.as_chunks::<BLOCK>().0 {
                    let v = _mm512_loadu_si512(block.as_ptr().cast());
                    high = _mm512_or_si512(high, v);
                    low = _mm512_min_epu8(low, v);
                }
                // Overlaps the block before it; not read first, because memory is fetched forwards.
                let v = _mm512_loadu_si512(last.as_ptr().cast());
                (high, low) = (_mm512_or_si512(high, v), _mm512_min_epu8(low, v));
                Survey {
                    ascii: _mm512_movepi8_mask(high) == 0,
                    control: _mm512_cmplt_epu8_mask(low, _mm512_set1_epi8(0x20)) != 0,
                }
            }
        }

        #[inline(always)]
        fn long_string(cursor: &Cursor<'_, Self>, from: usize) -> Option<(usize, bool)> {
            // SAFETY: see above.
            unsafe { Self::long_string_entry(cursor, from) }
        }

        #[inline(always)]
        fn container(cursor: &Cursor<'_, Self>, from: usize, depth: usize) -> Option<usize> {
            // SAFETY: see above.
            unsafe { Self::container_entry(cursor, from, depth) }
        }
    }

    /// The halves of a block.
    #[inline(always)]
    fn halves(block: &[u8; BLOCK]) -> [__m256i; 2] {
        // SAFETY: see above; the two loads are the two halves of the array.
        unsafe { [_mm256_loadu_si256(block.as_ptr().cast()), _mm256_loadu_si256(block.as_ptr().add(32).cast())] }
    }

    #[inline(always)]
    fn equal(halves: [__m256i; 2], byte: u8) -> u64 {
        // SAFETY: see above.
        unsafe {
            let wanted = _mm256_set1_epi8(byte.cast_signed());
            let low = _mm256_movemask_epi8(_mm256_cmpeq_epi8(halves[0], wanted)).cast_unsigned();
            let high = _mm256_movemask_epi8(_mm256_cmpeq_epi8(halves[1], wanted)).cast_unsigned();
            u64::from(low) | (u64::from(high) << 32)
        }
    }

    impl Scan for Avx2 {
        #[inline(always)]
        fn strings(block: &[u8; BLOCK]) -> (u64, u64) {
            let halves = halves(block);
            (equal(halves, b'"'), equal(halves, b'\\'))
        }

        #[inline(always)]
        fn masks(block: &[u8; BLOCK]) -> Masks {
            let halves = halves(block);
            // SAFETY: see above.
            let folded = unsafe {
                let fold = _mm256_set1_epi8(0x20);
                [_mm256_or_si256(halves[0], fold), _mm256_or_si256(halves[1], fold)]
            };
            Masks {
                quotes: equal(halves, b'"'),
                slashes: equal(halves, b'\\'),
                opens: equal(folded, b'{'),
                closes: equal(folded, b'}'),
            }
        }

        #[inline(always)]
        fn parity(bits: u64) -> u64 {
            parity(bits)
        }

        #[inline(always)]
        fn survey(bytes: &[u8]) -> Survey {
            let Some(last) = bytes.last_chunk::<BLOCK>() else { return Portable::survey(bytes) };
            // SAFETY: see above.
            unsafe {
                let (mut high, mut low) = (_mm256_setzero_si256(), _mm256_set1_epi8(-1));
                for block in bytes.as_chunks::<BLOCK>().0 {
                    for half in halves(block) {
                        high = _mm256_or_si256(high, half);
                        low = _mm256_min_epu8(low, half);
                    }
                }
                for half in halves(last) {
                    high = _mm256_or_si256(high, half);
                    low = _mm256_min_epu8(low, half);
                }
                let limit = _mm256_set1_epi8(0x20);
                let above = _mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_min_epu8(low, limit), limit));
                Survey { ascii: _mm256_movemask_epi8(high) == 0, control: above != -1 }
            }
        }

        #[inline(always)]
        fn long_string(cursor: &Cursor<'_, Self>, from: usize) -> Option<(usize, bool)> {
            // SAFETY: see above.
            unsafe { Self::long_string_entry(cursor, from) }
        }

        #[inline(always)]
        fn container(cursor: &Cursor<'_, Self>, from: usize, depth: usize) -> Option<usize> {
            // SAFETY: see above.
            unsafe { Self::container_entry(cursor, from, depth) }
        }
    }
}
