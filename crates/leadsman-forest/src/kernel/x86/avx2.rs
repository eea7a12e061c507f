//! 32 rows a register, with AVX2.
#![expect(unsafe_code, reason = "vector loads and stores; each says why it is sound")]

use std::arch::x86_64::*;

use super::super::{Lanes, Lookup, ROWS, Sums};
use super::ENTRIES_PER_SUM;
use crate::tree::{Table, Tree};

/// Trees in flight: there are half the registers of AVX-512.
const FLIGHT_256: usize = 2;
/// A block in registers.
const HALVES: usize = ROWS / 32;

#[target_feature(enable = "avx2")]
pub(super) fn avx2<const C: usize>(trees: &[Tree], block: &[Lanes; C], sums: &mut Sums) {
    for half in 0..HALVES {
        let mut wide = [_mm256_setzero_si256(); 4];
        for trees in trees.chunks(ENTRIES_PER_SUM) {
            let mut narrow = [_mm256_setzero_si256(); 2];
            let (groups, rest) = trees.as_chunks::<FLIGHT_256>();
            for group in groups {
                avx2_group(group, block, half, &mut narrow);
            }
            for tree in rest {
                avx2_group(std::array::from_ref(tree), block, half, &mut narrow);
            }
            widen256(narrow, &mut wide);
        }
        store256(wide, half, sums);
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn avx2_entries(tables: &[Lookup], block: &[Lanes], sums: &mut Sums) {
    for half in 0..HALVES {
        let mut wide = [_mm256_setzero_si256(); 4];
        for (tables, block) in tables.chunks(ENTRIES_PER_SUM).zip(block.chunks(ENTRIES_PER_SUM)) {
            let mut narrow = [_mm256_setzero_si256(); 2];
            for (table, lanes) in tables.iter().zip(block) {
                add_entry256(table, half256(lanes, half), &mut narrow);
            }
            widen256(narrow, &mut wide);
        }
        store256(wide, half, sums);
    }
}

/// Adds entry `at` of a table to sums of 16 bits in unpacked order.
#[inline]
#[target_feature(enable = "avx2")]
fn add_entry256(table: &Lookup, at: __m256i, narrow: &mut [__m256i; 2]) {
    let (low, high) = (look256::<16>(&table.low, 0, at), look256::<16>(&table.high, 0, at));
    narrow[0] = _mm256_add_epi16(narrow[0], _mm256_unpacklo_epi8(low, high));
    narrow[1] = _mm256_add_epi16(narrow[1], _mm256_unpackhi_epi8(low, high));
}

/// Adds sums of 16 bits to sums of 32 bits, unpacking once more.
#[inline]
#[target_feature(enable = "avx2")]
fn widen256(narrow: [__m256i; 2], wide: &mut [__m256i; 4]) {
    let zero = _mm256_setzero_si256();
    wide[0] = _mm256_add_epi32(wide[0], _mm256_unpacklo_epi16(narrow[0], zero));
    wide[1] = _mm256_add_epi32(wide[1], _mm256_unpackhi_epi16(narrow[0], zero));
    wide[2] = _mm256_add_epi32(wide[2], _mm256_unpacklo_epi16(narrow[1], zero));
    wide[3] = _mm256_add_epi32(wide[3], _mm256_unpackhi_epi16(narrow[1], zero));
}

/// Adds to the sums of one half of the rows. Unpacking works inside 128-bit lanes, so that `wide[part]` holds rows
/// 16·lane + 4·part + 0..4 of each lane: parts and lanes change places first.
#[inline]
#[target_feature(enable = "avx2")]
fn store256(wide: [__m256i; 4], half: usize, sums: &mut Sums) {
    let rows = [
        _mm256_permute2x128_si256::<0x20>(wide[0], wide[1]),
        _mm256_permute2x128_si256::<0x20>(wide[2], wide[3]),
        _mm256_permute2x128_si256::<0x31>(wide[0], wide[1]),
        _mm256_permute2x128_si256::<0x31>(wide[2], wide[3]),
    ];
    for (sums, rows) in sums.as_chunks_mut::<8>().0[4 * half..].iter_mut().zip(rows) {
        // SAFETY: `sums` is the 32 bytes that are read and written; neither asks for an alignment.
        unsafe {
            let before = _mm256_loadu_si256(sums.as_ptr().cast());
            _mm256_storeu_si256(sums.as_mut_ptr().cast(), _mm256_add_epi32(before, rows));
        }
    }
}

/// Adds the path lengths of one half of the block in `W` trees to `narrow`, sums of 16 bits in unpacked order.
#[inline]
#[target_feature(enable = "avx2")]
fn avx2_group<const W: usize, const C: usize>(
    trees: &[Tree; W],
    block: &[Lanes; C],
    half: usize,
    narrow: &mut [__m256i; 2],
) {
    let mut node = [_mm256_setzero_si256(); W];
    for w in 0..W {
        node[w] = avx2_top(trees[w].table(), block, half);
    }
    for level in 3..8 {
        for w in 0..W {
            let table = trees[w].table();
            // level l holds the nodes 2^l .. 2^(l+1), 16 a shuffle
            let entry = |of: &[u8; 256]| match level {
                3 => look256::<1>(of, 0, node[w]),
                4 => look256::<1>(of, 1, node[w]),
                5 => look256::<2>(of, 2, node[w]),
                6 => look256::<4>(of, 4, node[w]),
                _ => look256::<8>(of, 8, node[w]),
            };
            let bins = pick256(block, half, entry(&table.column));
            let right = at_least256(bins, entry(&table.threshold));
            node[w] = _mm256_sub_epi8(_mm256_add_epi8(node[w], node[w]), right);
        }
    }
    for w in 0..W {
        let table = trees[w].table();
        add_entry256(&table.path, node[w], narrow);
    }
}

/// The first three levels have seven nodes: all are compared, and the way so far chooses. Returns nodes 8..16.
#[inline]
#[target_feature(enable = "avx2")]
fn avx2_top<const C: usize>(table: &Table, block: &[Lanes; C], half: usize) -> __m256i {
    let mut right = [_mm256_setzero_si256(); 8];
    for node in 1..8 {
        let bins = half256(&block[usize::from(table.column[node]) % C], half);
        right[node] = at_least256(bins, _mm256_set1_epi8(table.threshold[node].cast_signed()));
    }
    let choose = |by: __m256i, left: __m256i, right: __m256i| _mm256_blendv_epi8(left, right, by);
    let first = right[1];
    let second = choose(first, right[2], right[3]);
    let third = choose(first, choose(second, right[4], right[5]), choose(second, right[6], right[7]));
    let part = |mask: __m256i, value: i8| _mm256_and_si256(mask, _mm256_set1_epi8(value));
    let node = _mm256_or_si256(_mm256_set1_epi8(8), part(first, 4));
    _mm256_or_si256(node, _mm256_or_si256(part(second, 2), part(third, 1)))
}

/// Byte `which` of the columns of the block, lane by lane.
#[inline]
#[target_feature(enable = "avx2")]
fn pick256<const C: usize>(block: &[Lanes; C], half: usize, which: __m256i) -> __m256i {
    let mut x = [_mm256_setzero_si256(); C];
    for (x, lanes) in x.iter_mut().zip(block) {
        *x = half256(lanes, half);
    }
    // a blend looks at the highest bit of a byte only
    let bits = [
        _mm256_slli_epi16(which, 7),
        _mm256_slli_epi16(which, 6),
        _mm256_slli_epi16(which, 5),
        _mm256_slli_epi16(which, 4),
        _mm256_slli_epi16(which, 3),
        _mm256_slli_epi16(which, 2),
    ];
    blend256(x, &bits)
}

/// Entry `node` of a level that begins at entry 16·`from` of a table and has 16·`N` entries, lane by lane.
#[inline]
#[target_feature(enable = "avx2")]
fn look256<const N: usize>(table: &[u8; 256], from: usize, node: __m256i) -> __m256i {
    let low = _mm256_and_si256(node, _mm256_set1_epi8(15));
    let mut found = [_mm256_setzero_si256(); N];
    for (found, part) in found.iter_mut().zip(&table.as_chunks::<16>().0[from..from + N]) {
        // SAFETY: the type holds the 16 bytes that are read, and the load asks for no alignment.
        let part = unsafe { _mm_loadu_si128(part.as_ptr().cast()) };
        *found = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(part), low);
    }
    // bits 4, 5, 6 and 7 of the number say which of the parts counts
    let bits = [_mm256_slli_epi16(node, 3), _mm256_slli_epi16(node, 2), _mm256_slli_epi16(node, 1), node];
    blend256(found, &bits)
}

/// Reduces `x` to one by blends: the highest bit of `bits[0]` chooses within pairs, that of `bits[1]` within pairs of those…
#[inline]
#[target_feature(enable = "avx2")]
fn blend256<const N: usize, const B: usize>(mut x: [__m256i; N], bits: &[__m256i; B]) -> __m256i {
    let (mut n, mut level) = (N, 0);
    while n > 1 {
        n /= 2;
        for i in 0..n {
            x[i] = _mm256_blendv_epi8(x[2 * i], x[2 * i + 1], bits[level]);
        }
        level += 1;
    }
    x[0]
}

/// Bytes of ones where `bins` ≥ `threshold`.
#[inline]
#[target_feature(enable = "avx2")]
fn at_least256(bins: __m256i, threshold: __m256i) -> __m256i {
    _mm256_cmpeq_epi8(_mm256_max_epu8(bins, threshold), bins)
}

#[inline]
#[target_feature(enable = "avx2")]
fn half256(lanes: &Lanes, half: usize) -> __m256i {
    let bytes: &[u8; 32] = &lanes.0.as_chunks().0[half];
    // SAFETY: the type holds the 32 bytes that are read, and the load asks for no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}
