//! 64 rows a register, with AVX-512 VBMI.
#![expect(unsafe_code, reason = "vector loads and stores, and one instruction by name; each says why it is sound")]

use std::arch::x86_64::*;

use super::super::{Lanes, Lookup, Sums};
use super::ENTRIES_PER_SUM;
use crate::tree::{Table, Tree};

/// Trees in flight, which hides the latency from one level to the next: as many as fit into sums of 16 bits.
const FLIGHT_512: usize = ENTRIES_PER_SUM;

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub(super) fn vbmi<const C: usize>(trees: &[Tree], block: &[Lanes; C], sums: &mut Sums) {
    let mut x = [_mm512_setzero_si512(); C];
    for (x, lanes) in x.iter_mut().zip(block) {
        *x = load512(&lanes.0);
    }
    if let Ok(columns) = <&[__m512i; 16]>::try_from(&x[..]) {
        let rows = turn_over512(*columns);
        walk512(trees, block, |column| pick_of_rows512(&rows, column), sums);
    } else {
        walk512(trees, block, |column| pick_of_columns512(&x, column), sums);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub(super) fn vbmi_entries(tables: &[Lookup], block: &[Lanes], sums: &mut Sums) {
    let mut wide = [_mm512_setzero_si512(); 4];
    for (tables, block) in tables.chunks(ENTRIES_PER_SUM).zip(block.chunks(ENTRIES_PER_SUM)) {
        let mut narrow = [_mm512_setzero_si512(); 2];
        for (table, lanes) in tables.iter().zip(block) {
            add_entry512(table, load512(&lanes.0), &mut narrow);
        }
        widen512(narrow, &mut wide);
    }
    store512(wide, sums);
}

/// Adds entry `at` of a table to sums of 16 bits in unpacked order.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn add_entry512(table: &Lookup, at: __m512i, narrow: &mut [__m512i; 2]) {
    let (low, high) = (look512(&table.low, at), look512(&table.high, at));
    narrow[0] = _mm512_add_epi16(narrow[0], _mm512_unpacklo_epi8(low, high));
    narrow[1] = _mm512_add_epi16(narrow[1], _mm512_unpackhi_epi8(low, high));
}

/// Adds sums of 16 bits to sums of 32 bits, unpacking once more.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn widen512(narrow: [__m512i; 2], wide: &mut [__m512i; 4]) {
    let zero = _mm512_setzero_si512();
    wide[0] = _mm512_add_epi32(wide[0], _mm512_unpacklo_epi16(narrow[0], zero));
    wide[1] = _mm512_add_epi32(wide[1], _mm512_unpackhi_epi16(narrow[0], zero));
    wide[2] = _mm512_add_epi32(wide[2], _mm512_unpacklo_epi16(narrow[1], zero));
    wide[3] = _mm512_add_epi32(wide[3], _mm512_unpackhi_epi16(narrow[1], zero));
}

/// Adds to the sums of the rows. Unpacking works inside 128-bit lanes, so that `wide[part]` holds rows
/// 16·lane + 4·part + 0..4 of each lane: parts and lanes change places first.
#[inline]
#[target_feature(enable = "avx512f")]
fn store512(wide: [__m512i; 4], sums: &mut Sums) {
    let low = [_mm512_shuffle_i32x4::<0x44>(wide[0], wide[1]), _mm512_shuffle_i32x4::<0x44>(wide[2], wide[3])];
    let high = [_mm512_shuffle_i32x4::<0xee>(wide[0], wide[1]), _mm512_shuffle_i32x4::<0xee>(wide[2], wide[3])];
    let lanes = [
        _mm512_shuffle_i32x4::<0x88>(low[0], low[1]),
        _mm512_shuffle_i32x4::<0xdd>(low[0], low[1]),
        _mm512_shuffle_i32x4::<0x88>(high[0], high[1]),
        _mm512_shuffle_i32x4::<0xdd>(high[0], high[1]),
    ];
    for (sums, lane) in sums.as_chunks_mut::<16>().0.iter_mut().zip(lanes) {
        // SAFETY: `sums` is the 64 bytes that are read and written; neither asks for an alignment.
        unsafe {
            let before = _mm512_loadu_si512(sums.as_ptr().cast());
            _mm512_storeu_si512(sums.as_mut_ptr().cast(), _mm512_add_epi32(before, lane));
        }
    }
}

/// Adds the path lengths. `pick` gives the value of each row in the column that stands in its lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn walk512<const C: usize>(
    trees: &[Tree],
    block: &[Lanes; C],
    pick: impl Fn(__m512i) -> __m512i + Copy,
    sums: &mut Sums,
) {
    let mut wide = [_mm512_setzero_si512(); 4];
    for trees in trees.chunks(FLIGHT_512) {
        let mut narrow = [_mm512_setzero_si512(); 2];
        vbmi_group(trees, block, pick, &mut narrow);
        widen512(narrow, &mut wide);
    }
    store512(wide, sums);
}

/// Adds the path lengths in up to [`FLIGHT_512`] trees to `narrow`, sums of 16 bits in unpacked order.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn vbmi_group<const C: usize>(
    trees: &[Tree],
    block: &[Lanes; C],
    pick: impl Fn(__m512i) -> __m512i + Copy,
    narrow: &mut [__m512i; 2],
) {
    let mut nodes = [_mm512_setzero_si512(); FLIGHT_512];
    for (tree, node) in trees.iter().zip(&mut nodes) {
        let table = tree.table();
        let (first, way1) = turn512::<1, 0, C>(table, block, _mm512_set1_epi8(1), []);
        let (second, way2) = turn512::<2, 1, C>(table, block, first, [way1]);
        let (third, way3) = turn512::<4, 2, C>(table, block, second, [way2, way1]);
        let (fourth, _) = turn512::<8, 3, C>(table, block, third, [way3, way2, way1]);
        *node = fourth;
    }
    descend512(trees, &mut nodes, pick, |entries, node| _mm512_permutexvar_epi8(node, part512(entries, 0)));
    descend512(trees, &mut nodes, pick, |entries, node| _mm512_permutexvar_epi8(node, part512(entries, 0)));
    // nodes 64..128, of whose numbers the permute takes the low six bits
    descend512(trees, &mut nodes, pick, |entries, node| _mm512_permutexvar_epi8(node, part512(entries, 1)));
    // nodes 128..256, the low seven bits; the step wraps to the number of the leaf
    descend512(trees, &mut nodes, pick, |entries, node| {
        _mm512_permutex2var_epi8(part512(entries, 2), node, part512(entries, 3))
    });
    for (tree, node) in trees.iter().zip(nodes) {
        add_entry512(&tree.table().path, node, narrow);
    }
}

/// One level of several trees: from nodes to their children. `look` gives the entry of a node.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn descend512(
    trees: &[Tree],
    nodes: &mut [__m512i; FLIGHT_512],
    pick: impl Fn(__m512i) -> __m512i,
    look: impl Fn(&[u8; 256], __m512i) -> __m512i,
) {
    for (tree, node) in trees.iter().zip(nodes) {
        let (threshold, column) = (look(&tree.table().threshold, *node), look(&tree.table().column, *node));
        *node = step512(*node, _mm512_cmpge_epu8_mask(pick(column), threshold));
    }
}

/// One of the first levels, with `N` nodes, which is so few that the columns of all of them are loaded; `ways` of the
/// levels above, the last one first, choose among them. Returns the nodes of the next level, and which rows went right.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn turn512<const N: usize, const L: usize, const C: usize>(
    table: &Table,
    block: &[Lanes; C],
    node: __m512i,
    ways: [u64; L],
) -> (__m512i, u64) {
    // one number, because the compiler would take vectors of columns apart again
    let columns = u64::from_le_bytes(table.column.as_chunks().0[N / 8]) >> (8 * N % 64);
    let mut x = [_mm512_setzero_si512(); N];
    for i in 0..N {
        x[i] = load512(&block[(columns >> (8 * i)) as usize % C].0);
    }
    let mut n = N;
    for way in ways {
        n /= 2;
        for i in 0..n {
            x[i] = _mm512_mask_blend_epi8(way, x[2 * i], x[2 * i + 1]);
        }
    }
    let right = _mm512_cmpge_epu8_mask(x[0], _mm512_permutexvar_epi8(node, part512(&table.threshold, 0)));
    (step512(node, right), right)
}

/// The child of `node`: the right one where `right` says so.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn step512(node: __m512i, right: u64) -> __m512i {
    let left = _mm512_add_epi8(node, node);
    _mm512_mask_add_epi8(left, right, left, _mm512_set1_epi8(1))
}

/// Byte `which`, modulo 16, of its row, for each of 64 rows that were [turned over](turn_over512): eight permutes, each for
/// the rows of the two registers that it reads.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn pick_of_rows512(x: &[__m512i; 16], which: __m512i) -> __m512i {
    let at = _mm512_or_si512(_mm512_and_si512(which, _mm512_set1_epi8(15)), begins512());
    let (mut even, mut odd) = (at, at);
    for four in 0..4 {
        let rows = 0x000f_000f_000f_000f << (4 * four);
        even = permute512(even, rows, x[4 * four], x[4 * four + 2]);
        odd = permute512(odd, rows, x[4 * four + 1], x[4 * four + 3]);
    }
    _mm512_mask_blend_epi8(0xaaaa_aaaa_aaaa_aaaa, even, odd)
}

/// Puts byte `at` of two registers in the place of `at`, in the lanes that `mask` has.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn permute512(mut at: __m512i, mask: u64, low: __m512i, high: __m512i) -> __m512i {
    // The intrinsic for this becomes three instructions: a copy, a permute without a mask, and a blend.
    // SAFETY: an instruction of AVX-512 VBMI, for which this is compiled; it reads registers and changes one of them.
    unsafe {
        std::arch::asm!(
            "vpermi2b {at}{{{mask}}}, {low}, {high}",
            at = inout(zmm_reg) at,
            mask = in(kreg) mask,
            low = in(zmm_reg) low,
            high = in(zmm_reg) high,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    at
}

/// Where the row of each lane begins in the pair of registers that holds it.
#[inline]
#[target_feature(enable = "avx512f")]
fn begins512() -> __m512i {
    const BEGINS: [u8; 64] = {
        let mut begins = [0; 64];
        let mut row = 0;
        while row < 64 {
            begins[row] = (16 * (row / 16) + 64 * (row / 2 % 2)) as u8;
            row += 1;
        }
        begins
    };
    load512(&BEGINS)
}

/// Turns 16 columns of 64 rows over: register `i` of the result holds rows i, 16 + i, 32 + i and 48 + i, 16 bytes each.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn turn_over512(mut x: [__m512i; 16]) -> [__m512i; 16] {
    for _ in 0..4 {
        let before = x;
        for i in 0..8 {
            x[2 * i] = _mm512_unpacklo_epi8(before[i], before[i + 8]);
            x[2 * i + 1] = _mm512_unpackhi_epi8(before[i], before[i + 8]);
        }
    }
    x
}

/// Byte `which` of the columns `x`, lane by lane: one blend for each bit and pair.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn pick_of_columns512<const C: usize>(x: &[__m512i; C], which: __m512i) -> __m512i {
    let mut x = *x;
    let (mut n, mut bit) = (C, 1);
    while n > 1 {
        n /= 2;
        let odd = _mm512_test_epi8_mask(which, _mm512_set1_epi8(bit));
        for i in 0..n {
            x[i] = _mm512_mask_blend_epi8(odd, x[2 * i], x[2 * i + 1]);
        }
        bit <<= 1;
    }
    x[0]
}

/// Entry `at` of a table, lane by lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn look512(table: &[u8; 256], at: __m512i) -> __m512i {
    let left = _mm512_permutex2var_epi8(part512(table, 0), at, part512(table, 1));
    let right = _mm512_permutex2var_epi8(part512(table, 2), at, part512(table, 3));
    _mm512_mask_blend_epi8(_mm512_movepi8_mask(at), left, right)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn part512(table: &[u8; 256], part: usize) -> __m512i {
    load512(&table.as_chunks().0[part])
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load512(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: the type holds the 64 bytes that are read, and the load asks for no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}
