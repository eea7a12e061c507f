//! Vector kernels of x86-64. Node tables and columns of bins stay in registers; nothing is gathered.
#![expect(
    unsafe_code,
    reason = "vector loads and stores, and calls that need a processor feature; each says why it is sound"
)]

mod avx2;
mod vbmi;

use std::arch::x86_64::*;

use linfa::Float;

use avx2::{avx2, avx2_entries};
use vbmi::{vbmi, vbmi_entries, vbmi_single};

use super::{Block, Lanes, Lookup, ROWS, Sums, portable};
use crate::Missing;
use crate::encode::{Cells, GROUP, Group};
use crate::score::Scale;
use crate::tree::Tree;

/// Entries of tables that fit into sums of 16 bits together: none is above 8191.
const ENTRIES_PER_SUM: usize = 8;

pub(crate) fn has_vbmi() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vbmi")
}

pub(crate) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
}

/// Falls back to the plain walk where the processor or the width of the blocks does not fit.
pub(crate) fn add_paths_vbmi(trees: &[Tree], blocks: &[Block], sums: &mut [Sums], between: &mut impl FnMut()) {
    let width = blocks.first().map_or(0, Block::width);
    if has_vbmi() {
        // SAFETY: the features that the functions are compiled for were detected just now.
        unsafe {
            match width {
                16 => return vbmi::<16>(trees, blocks, sums, between),
                32 => return vbmi::<32>(trees, blocks, sums, between),
                64 => return vbmi::<64>(trees, blocks, sums, between),
                _ => {}
            }
        }
    }
    portable::add_paths_by_row(trees, blocks, sums);
}

/// Falls back to the plain walk where the processor or the width of the block does not fit.
pub(crate) fn add_paths_by_column_vbmi(trees: &[Tree], columns: &[Lanes], sums: &mut Sums) {
    if !has_vbmi() {
        return portable::add_paths(trees, columns, sums);
    }
    // SAFETY: the features that the functions are compiled for were detected just now.
    unsafe {
        if let Ok(columns) = columns.try_into() {
            vbmi_single::<16>(trees, columns, sums);
        } else if let Ok(columns) = columns.try_into() {
            vbmi_single::<32>(trees, columns, sums);
        } else if let Ok(columns) = columns.try_into() {
            vbmi_single::<64>(trees, columns, sums);
        } else {
            portable::add_paths(trees, columns, sums);
        }
    }
}

/// Falls back to the plain walk where the processor or the width of the block does not fit.
pub(crate) fn add_paths_avx2(trees: &[Tree], block: &[Lanes], sums: &mut Sums) {
    if !has_avx2() {
        return portable::add_paths(trees, block, sums);
    }
    // SAFETY: the feature that the functions are compiled for was detected just now.
    unsafe {
        if let Ok(block) = <&[Lanes; 16]>::try_from(block) {
            avx2(trees, block, sums);
        } else if let Ok(block) = <&[Lanes; 32]>::try_from(block) {
            avx2(trees, block, sums);
        } else if let Ok(block) = <&[Lanes; 64]>::try_from(block) {
            avx2(trees, block, sums);
        } else {
            portable::add_paths(trees, block, sums);
        }
    }
}

pub(crate) fn encode_vbmi<F: Float>(
    group: &Group,
    rows: impl Iterator<Item = [F; GROUP]>,
    missing: Missing,
    each: impl FnMut(usize, [u8; GROUP]),
) -> bool {
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    fn encode<F: Float>(
        group: &Group,
        rows: impl Iterator<Item = [F; GROUP]>,
        missing: Missing,
        each: impl FnMut(usize, [u8; GROUP]),
    ) -> bool {
        group.encode(rows, missing, each)
    }
    // SAFETY: the features that the function is compiled for are detected first.
    if has_vbmi() { unsafe { encode(group, rows, missing, each) } } else { group.encode(rows, missing, each) }
}

pub(crate) fn encode_avx2<F: Float>(
    group: &Group,
    rows: impl Iterator<Item = [F; GROUP]>,
    missing: Missing,
    each: impl FnMut(usize, [u8; GROUP]),
) -> bool {
    #[target_feature(enable = "avx2")]
    fn encode<F: Float>(
        group: &Group,
        rows: impl Iterator<Item = [F; GROUP]>,
        missing: Missing,
        each: impl FnMut(usize, [u8; GROUP]),
    ) -> bool {
        group.encode(rows, missing, each)
    }
    // SAFETY: the feature that the function is compiled for is detected first.
    if has_avx2() { unsafe { encode(group, rows, missing, each) } } else { group.encode(rows, missing, each) }
}

pub(crate) fn scores_vbmi(scale: Scale, paths: &Sums, tails: &Sums) -> [f64; ROWS] {
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    fn scores(scale: Scale, paths: &Sums, tails: &Sums) -> [f64; ROWS] {
        scale.scores(paths, tails)
    }
    // SAFETY: the features that the function is compiled for are detected first.
    if has_vbmi() { unsafe { scores(scale, paths, tails) } } else { scale.scores(paths, tails) }
}

pub(crate) fn scores_avx2(scale: Scale, paths: &Sums, tails: &Sums) -> [f64; ROWS] {
    #[target_feature(enable = "avx2")]
    fn scores(scale: Scale, paths: &Sums, tails: &Sums) -> [f64; ROWS] {
        scale.scores(paths, tails)
    }
    // SAFETY: the feature that the function is compiled for is detected first.
    if has_avx2() { unsafe { scores(scale, paths, tails) } } else { scale.scores(paths, tails) }
}

pub(crate) fn transpose(cells: &Cells, columns: &mut [Lanes]) {
    // SAFETY: SSE2 is part of x86-64.
    unsafe { transpose_sse2(cells, columns) };
}

/// Turns squares of 16 × 16 bytes over: four times, rows 0..8 are interleaved with rows 8..16.
#[target_feature(enable = "sse2")]
fn transpose_sse2(cells: &Cells, columns: &mut [Lanes]) {
    for (quarter, rows) in cells.as_chunks::<16>().0.iter().enumerate() {
        let mut square = [_mm_setzero_si128(); 16];
        for (to, row) in square.iter_mut().zip(rows) {
            // SAFETY: a row is the 16 bytes that are read, and the load asks for no alignment.
            *to = unsafe { _mm_loadu_si128(row.as_ptr().cast()) };
        }
        for _ in 0..4 {
            let mut next = square;
            for i in 0..8 {
                next[2 * i] = _mm_unpacklo_epi8(square[i], square[i + 8]);
                next[2 * i + 1] = _mm_unpackhi_epi8(square[i], square[i + 8]);
            }
            square = next;
        }
        for (lanes, column) in columns.iter_mut().zip(square) {
            let to: &mut [u8; 16] = &mut lanes.0.as_chunks_mut().0[quarter];
            // SAFETY: `to` is the 16 bytes that are written; the store asks for no alignment.
            unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), column) };
        }
    }
}

pub(crate) fn add_entries_vbmi(tables: &[Lookup], block: &[Lanes], sums: &mut Sums) {
    // SAFETY: the features that the function is compiled for are detected first.
    if has_vbmi() { unsafe { vbmi_entries(tables, block, sums) } } else { portable::add_entries(tables, block, sums) }
}

pub(crate) fn add_entries_avx2(tables: &[Lookup], block: &[Lanes], sums: &mut Sums) {
    // SAFETY: the feature that the function is compiled for is detected first.
    if has_avx2() { unsafe { avx2_entries(tables, block, sums) } } else { portable::add_entries(tables, block, sums) }
}

/// Asks for each cache line that holds some of `values`.
pub(crate) fn prefetch<T>(values: &[T]) {
    const LINE: usize = 64;
    let firsts = values.iter().step_by((LINE / size_of::<T>().max(1)).max(1));
    // values need not begin where a line does: the last of them may lie in one more
    for value in firsts.chain(values.last()) {
        // SAFETY: the instruction is a hint about an address; it reads nothing and cannot fault.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) };
    }
}
