//! The steps by vectors of x86-64: AVX-512 or AVX2, chosen at run time.
#![expect(unsafe_code, reason = "vector loads and calls of functions for processors that have the feature")]

use std::arch::x86_64::{
    __m128i, __m256i, __m512i, _mm_clmulepi64_si128, _mm_cvtsi128_si64, _mm_set_epi64x, _mm_set1_epi8,
    _mm256_cmpeq_epi8, _mm256_cmpgt_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8,
    _mm512_cmpeq_epi8_mask, _mm512_cmplt_epi8_mask, _mm512_loadu_si512, _mm512_or_si512, _mm512_set1_epi8, _pdep_u64,
};

use super::{Block, Brackets, Envelope, Machine, Reader, portable, walk};

/// The best reader that this processor can run.
pub(super) fn reader() -> Option<Reader> {
    avx512().or_else(avx2)
}

pub(super) fn avx512() -> Option<Reader> {
    let found = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("popcnt")
        && is_x86_feature_detected!("pclmulqdq");
    // SAFETY: the processor has every feature that the function is compiled for.
    found.then_some(|item, max_depth| unsafe { read_avx512(item, max_depth) })
}

pub(super) fn avx2() -> Option<Reader> {
    let found = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("popcnt")
        && is_x86_feature_detected!("pclmulqdq");
    // SAFETY: the processor has every feature that the function is compiled for.
    found.then_some(|item, max_depth| unsafe { read_avx2(item, max_depth) })
}

#[target_feature(enable = "avx512f,avx512bw,bmi1,bmi2,lzcnt,popcnt,pclmulqdq")]
fn read_avx512(item: &[u8], max_depth: usize) -> Option<Envelope<'_>> {
    walk::<Avx512>(text::<Avx512>(item)?, max_depth)
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,pclmulqdq")]
fn read_avx2(item: &[u8], max_depth: usize) -> Option<Envelope<'_>> {
    walk::<Avx2>(text::<Avx2>(item)?, max_depth)
}

/// `item` as text, when it is UTF-8 without control characters.
#[inline(always)]
fn text<M: Vectors>(item: &[u8]) -> Option<&str> {
    let (blocks, _) = item.as_chunks();
    let tail = item.last_chunk()?;
    let odd = blocks.iter().fold(M::odd(tail), |odd, block| odd | M::odd(block));
    if odd != 0 {
        return portable::text(item);
    }
    // SAFETY: the blocks and the tail cover every byte, and all are ASCII.
    Some(unsafe { std::str::from_utf8_unchecked(item) })
}

trait Vectors: Machine {
    /// Bytes that are control characters or not ASCII.
    fn odd(block: &Block) -> u64;
}

/// 64 bytes in one register. Only named in functions compiled for AVX-512.
struct Avx512;

impl Avx512 {
    #[inline(always)]
    fn load(block: &Block) -> __m512i {
        // SAFETY: the block holds the 64 bytes; the type is only used where the processor has AVX-512.
        unsafe { _mm512_loadu_si512(block.as_ptr().cast()) }
    }

    #[inline(always)]
    fn equal(bytes: __m512i, wanted: u8) -> u64 {
        // SAFETY: the type is only used where the processor has AVX-512BW.
        unsafe { _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(wanted.cast_signed())) }
    }
}

impl Machine for Avx512 {
    #[inline(always)]
    fn strings(block: &Block) -> [u64; 2] {
        let bytes = Self::load(block);
        [Self::equal(bytes, b'"'), Self::equal(bytes, b'\\')]
    }

    #[inline(always)]
    fn brackets(block: &Block) -> Brackets {
        let bytes = Self::load(block);
        // SAFETY: the type is only used where the processor has AVX-512.
        let folded = unsafe { _mm512_or_si512(bytes, _mm512_set1_epi8(FOLD)) };
        Brackets {
            quotes: Self::equal(bytes, b'"'),
            backslashes: Self::equal(bytes, b'\\'),
            opening: Self::equal(folded, b'{'),
            closing: Self::equal(folded, b'}'),
        }
    }

    #[inline(always)]
    fn prefix_xor(bits: u64) -> u64 {
        prefix_xor(bits)
    }

    #[inline(always)]
    fn nth(bits: u64, below: u32) -> u32 {
        nth(bits, below)
    }
}

impl Vectors for Avx512 {
    #[inline(always)]
    fn odd(block: &Block) -> u64 {
        // SAFETY: the type is only used where the processor has AVX-512BW.
        unsafe { _mm512_cmplt_epi8_mask(Self::load(block), _mm512_set1_epi8(BLANK)) }
    }
}

/// 64 bytes in two registers. Only named in functions compiled for AVX2.
struct Avx2;

type Pair = [__m256i; 2];

impl Avx2 {
    #[inline(always)]
    fn load(block: &Block) -> Pair {
        let (halves, _) = block.as_chunks::<32>();
        // SAFETY: each half holds 32 bytes; the type is only used where the processor has AVX2.
        [0, 1].map(|half: usize| unsafe { _mm256_loadu_si256(halves[half].as_ptr().cast()) })
    }

    #[inline(always)]
    fn bits(pair: Pair) -> u64 {
        // SAFETY: the type is only used where the processor has AVX2.
        let [low, high] = pair.map(|half| unsafe { _mm256_movemask_epi8(half) }.cast_unsigned());
        u64::from(low) | u64::from(high) << 32
    }

    #[inline(always)]
    fn equal(pair: Pair, wanted: u8) -> u64 {
        // SAFETY: the type is only used where the processor has AVX2.
        Self::bits(pair.map(|half| unsafe { _mm256_cmpeq_epi8(half, _mm256_set1_epi8(wanted.cast_signed())) }))
    }
}

impl Machine for Avx2 {
    #[inline(always)]
    fn strings(block: &Block) -> [u64; 2] {
        let bytes = Self::load(block);
        [Self::equal(bytes, b'"'), Self::equal(bytes, b'\\')]
    }

    #[inline(always)]
    fn brackets(block: &Block) -> Brackets {
        let bytes = Self::load(block);
        // SAFETY: the type is only used where the processor has AVX2.
        let folded = bytes.map(|half| unsafe { _mm256_or_si256(half, _mm256_set1_epi8(FOLD)) });
        Brackets {
            quotes: Self::equal(bytes, b'"'),
            backslashes: Self::equal(bytes, b'\\'),
            opening: Self::equal(folded, b'{'),
            closing: Self::equal(folded, b'}'),
        }
    }

    #[inline(always)]
    fn prefix_xor(bits: u64) -> u64 {
        prefix_xor(bits)
    }

    #[inline(always)]
    fn nth(bits: u64, below: u32) -> u32 {
        nth(bits, below)
    }
}

impl Vectors for Avx2 {
    #[inline(always)]
    fn odd(block: &Block) -> u64 {
        // SAFETY: the type is only used where the processor has AVX2.
        Self::bits(Self::load(block).map(|half| unsafe { _mm256_cmpgt_epi8(_mm256_set1_epi8(BLANK), half) }))
    }
}

/// What `[` and `{`, and `]` and `}`, differ in.
const FOLD: i8 = 0x20;
/// As signed bytes, control characters and what is not ASCII are below it.
const BLANK: i8 = 0x20;

/// By a multiplication without carries, with all ones.
#[inline(always)]
fn prefix_xor(bits: u64) -> u64 {
    // SAFETY: only called where the processor has PCLMULQDQ.
    unsafe {
        let product: __m128i = _mm_clmulepi64_si128::<0>(_mm_set_epi64x(0, bits.cast_signed()), _mm_set1_epi8(-1));
        _mm_cvtsi128_si64(product).cast_unsigned()
    }
}

/// By depositing one bit.
#[inline(always)]
fn nth(bits: u64, below: u32) -> u32 {
    // SAFETY: only called where the processor has BMI2.
    unsafe { _pdep_u64(1 << below, bits) }.trailing_zeros()
}
