//! One tree, 64 rows a register: where each tree has columns of its own.

use std::arch::x86_64::*;

use super::super::super::{Lanes, Sums};
use super::{add_entry512, load512, part512, store512, widen512};
use crate::tree::{Table, Tree};

/// Adds the path lengths of the rows of one block in each tree, one tree after the other.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub(in super::super) fn vbmi_single<const C: usize>(trees: &[Tree], columns: &[Lanes; C], sums: &mut Sums) {
    for tree in trees {
        let mut wide = [_mm512_setzero_si512(); 4];
        let mut narrow = [_mm512_setzero_si512(); 2];
        let table = tree.table();
        add_entry512(&table.path, leaf512(table, columns), &mut narrow);
        widen512(narrow, &mut wide);
        store512(wide, sums);
    }
}

/// The leaf of each row.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn leaf512<const C: usize>(table: &Table, columns: &[Lanes; C]) -> __m512i {
    let (first, way1) = top512::<1, 0, C>(table, columns, _mm512_set1_epi8(1), []);
    let (second, way2) = top512::<2, 1, C>(table, columns, first, [way1]);
    let (third, way3) = top512::<4, 2, C>(table, columns, second, [way2, way1]);
    let (mut node, _) = top512::<8, 3, C>(table, columns, third, [way3, way2, way1]);
    // nodes 16..64, then 64..128, of whose numbers the permute takes the low six bits
    for part in [0, 0, 1] {
        let look = |entries: &[u8; 256]| _mm512_permutexvar_epi8(node, part512(entries, part));
        let bins = pick512(columns, look(&table.column));
        node = step512(node, _mm512_cmpge_epu8_mask(bins, look(&table.threshold)));
    }
    // nodes 128..256, the low seven bits; the step wraps to the number of the leaf
    let look = |entries: &[u8; 256]| _mm512_permutex2var_epi8(part512(entries, 2), node, part512(entries, 3));
    let bins = pick512(columns, look(&table.column));
    step512(node, _mm512_cmpge_epu8_mask(bins, look(&table.threshold)))
}

/// One of the first levels, with `N` nodes, which is so few that the columns of all of them are loaded; `ways` of the
/// levels above, the last one first, choose among them. Returns the nodes of the next level, and which rows went right.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn top512<const N: usize, const L: usize, const C: usize>(
    table: &Table,
    columns: &[Lanes; C],
    node: __m512i,
    ways: [u64; L],
) -> (__m512i, u64) {
    // one number, because the compiler would take vectors of columns apart again
    let numbers = u64::from_le_bytes(table.column.as_chunks().0[N / 8]) >> (8 * N % 64);
    let mut x = [_mm512_setzero_si512(); N];
    for i in 0..N {
        x[i] = load512(&columns[(numbers >> (8 * i)) as usize % C].0);
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

/// The bin in column `which`, lane by lane: one blend for each bit and pair.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn pick512<const C: usize>(columns: &[Lanes; C], which: __m512i) -> __m512i {
    let mut x = [which; C];
    for (x, lanes) in x.iter_mut().zip(columns) {
        *x = load512(&lanes.0);
    }
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
