//! AVX-512 and AVX2.

use std::arch::x86_64::*;

use super::portable::Portable;
use super::{BLOCK, Masks, Scan, Survey};
use crate::envelope::cursor::Cursor;
use crate::envelope::{Envelope, fast};

/// Declares the functions that the features of one instruction set are switched on for. Everything they call is
/// `inline(always)`, so that it is compiled for the same features.
macro_rules! entries {
    ($set:ident, $read:ident, $end:ident, $whole:ident, $features:literal) => {
        #[target_feature(enable = $features)]
        pub(super) fn $read<'a>(to: &mut Envelope<'a>, item: &'a [u8], max_depth: usize) -> Option<()> {
            fast::read::<$set>(to, item, max_depth)
        }

        #[target_feature(enable = $features)]
        pub(super) fn $whole(json: &str) -> bool {
            fast::is_whole::<$set>(json)
        }

        #[target_feature(enable = $features)]
        pub(super) fn $end(json: &str, from: usize) -> Option<usize> {
            fast::container_end::<$set>(json, from)
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

entries!(Avx512, read_avx512, end_avx512, is_whole_avx512, "avx512f,avx512bw,bmi1,bmi2,lzcnt,popcnt,pclmulqdq");
entries!(Avx2, read_avx2, end_avx2, is_whole_avx2, "avx2,bmi1,bmi2,lzcnt,popcnt,pclmulqdq");

// All methods below are reached from the functions above only, whose caller has asked for the features.

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
