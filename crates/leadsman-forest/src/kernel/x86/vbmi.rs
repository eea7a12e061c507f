//! 64 rows a register, with AVX-512 VBMI: eight trees at once.
//!
//! The bins of a row in all columns are few bytes, which makes them a table that a byte permute looks a column up in, if the
//! lanes of a register belong to few rows. So lanes are divided among rows and trees. In the six upper levels, of which
//! there are few nodes, register `i` stands for rows 8·i to 8·i + 8 in all eight trees: byte 8·row + tree. Two permutes then
//! read 32 columns, and the nodes of all trees stand side by side in tables of a few registers. In the two lower levels
//! these tables would be too large: a register is a tree of 64 rows, and only to look columns up they are turned over.
#![expect(unsafe_code, reason = "vector loads and stores, and two instructions by name; each says why it is sound")]

mod single;

use std::arch::x86_64::*;

use super::super::{BLOCKS, Block, Lanes, Lookup, Sums};
use super::ENTRIES_PER_SUM;
use crate::tree::{Table, Tree};

pub(super) use single::vbmi_single;

/// Trees at once, and registers of rows: as many as fit into sums of 16 bits.
const FLIGHT: usize = ENTRIES_PER_SUM;

/// Stands for trees that are missing in the last group: adds nothing.
static NO_TREE: Table = Table::EMPTY;

/// The upper levels of eight trees side by side: 16 entries of each tree for nodes 1 to 15, then 16 of each for
/// nodes 16 to 31, then 32 of each for nodes 32 to 63.
#[repr(C, align(64))]
struct Upper {
    threshold: [u8; 512],
    column: [u8; 512],
}

impl Upper {
    fn new(tables: &[&Table; FLIGHT]) -> Self {
        let mut upper = Self { threshold: [0; 512], column: [0; 512] };
        for (tree, table) in tables.iter().enumerate() {
            for (to, from) in [(&mut upper.threshold, &table.threshold), (&mut upper.column, &table.column)] {
                to[16 * tree..][..16].copy_from_slice(&from[..16]);
                to[128 + 16 * tree..][..16].copy_from_slice(&from[16..32]);
                to[256 + 32 * tree..][..32].copy_from_slice(&from[32..64]);
            }
        }
        upper
    }
}

/// Adds the path lengths of the rows of blocks that have `C` columns, or none that are held by row.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub(super) fn vbmi<const C: usize>(trees: &[Tree], blocks: &[Block], sums: &mut [Sums], between: &mut impl FnMut()) {
    for (blocks, sums) in blocks.chunks(BLOCKS).zip(sums.chunks_mut(BLOCKS)) {
        let mut wide = [[_mm512_setzero_si512(); 4]; BLOCKS];
        for trees in trees.chunks(FLIGHT) {
            let tables: [&Table; FLIGHT] = std::array::from_fn(|at| trees.get(at).map_or(&NO_TREE, Tree::table));
            let upper = Upper::new(&tables);
            for (block, wide) in blocks.iter().zip(&mut wide) {
                between();
                if let Ok(rows) = <&[Lanes; C]>::try_from(block.rows()) {
                    widen512(walk512(&tables, &upper, rows), wide);
                }
            }
        }
        for (wide, sums) in wide.into_iter().zip(sums) {
            store_turned512(wide, sums);
        }
    }
}

/// The path lengths of 64 rows in eight trees, as sums of 16 bits in unpacked order of turned rows.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn walk512<const C: usize>(tables: &[&Table; FLIGHT], upper: &Upper, rows: &[Lanes; C]) -> [__m512i; 2] {
    // the compiler would take an addition of what it knows to be 1 apart again
    let one = std::hint::black_box(_mm512_set1_epi8(1));
    let mut nodes = upper512(upper, rows, one);
    for _ in 0..4 {
        nodes = turn512(nodes);
    }
    // nodes 64..128, of whose numbers the permute takes the low six bits: above them stand bits of the tree
    lower512(tables, rows, &mut nodes, one, |entries, node| _mm512_permutexvar_epi8(node, part512(entries, 1)));
    // nodes 128..256, the low seven bits; the step wraps to the number of the leaf
    lower512(tables, rows, &mut nodes, one, |entries, node| {
        _mm512_permutex2var_epi8(part512(entries, 2), node, part512(entries, 3))
    });
    let mut narrow = [_mm512_setzero_si512(); 2];
    for (table, node) in tables.iter().zip(nodes) {
        add_entry512(&table.path, node, &mut narrow);
    }
    narrow
}

/// From the roots down to nodes 64 to 127, of whose numbers the low six bits are right.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn upper512<const C: usize>(upper: &Upper, rows: &[Lanes; C], one: __m512i) -> [__m512i; FLIGHT] {
    const TREES: [u8; 64] = {
        let mut trees = [0; 64];
        let mut byte = 0;
        while byte < 64 {
            trees[byte] = 16 * (byte % FLIGHT) as u8;
            byte += 1;
        }
        trees
    };
    let look = |entries: &[u8; 512], from: usize, at| {
        let parts = entries.as_chunks().0;
        _mm512_permutex2var_epi8(load512(&parts[from]), at, load512(&parts[from + 1]))
    };
    // 16·tree + node
    let trees = load512(&TREES);
    let mut nodes = [_mm512_add_epi8(trees, one); FLIGHT];
    let first = |entries: &[u8; 512], node| look(entries, 0, node);
    level512(upper, rows, &mut nodes, trees, one, first);
    level512(upper, rows, &mut nodes, trees, one, first);
    level512(upper, rows, &mut nodes, trees, one, first);
    // 16·tree + node - 16
    level512(upper, rows, &mut nodes, _mm512_add_epi8(trees, _mm512_set1_epi8(16)), one, first);
    let zero = _mm512_setzero_si512();
    level512(upper, rows, &mut nodes, zero, one, |entries, node| look(entries, 2, node));
    // 32·tree + node - 32: trees 4 to 7 have tables of their own
    level512(upper, rows, &mut nodes, zero, one, |entries, node| {
        _mm512_mask_blend_epi8(0xf0f0_f0f0_f0f0_f0f0, look(entries, 4, node), look(entries, 6, node))
    });
    nodes
}

/// One of the upper levels: from nodes to their children, less `base`. `look` gives the entry of a node.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn level512<const C: usize>(
    upper: &Upper,
    rows: &[Lanes; C],
    nodes: &mut [__m512i; FLIGHT],
    base: __m512i,
    one: __m512i,
    look: impl Fn(&[u8; 512], __m512i) -> __m512i,
) {
    for (node, rows) in nodes.iter_mut().zip(rows.chunks_exact(C / FLIGHT)) {
        let bins = pick512::<C>(rows, look(&upper.column, *node));
        let right = _mm512_cmpge_epu8_mask(bins, look(&upper.threshold, *node));
        let left = _mm512_sub_epi8(_mm512_add_epi8(*node, *node), base);
        *node = _mm512_mask_add_epi8(left, right, left, one);
    }
}

/// One of the lower levels, for which each register of `nodes` is a tree. `look` gives the entry of a node.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn lower512<const C: usize>(
    tables: &[&Table; FLIGHT],
    rows: &[Lanes; C],
    nodes: &mut [__m512i; FLIGHT],
    one: __m512i,
    look: impl Fn(&[u8; 256], __m512i) -> __m512i,
) {
    let mut x = *nodes;
    for (x, table) in x.iter_mut().zip(tables) {
        *x = look(&table.column, *x);
    }
    for _ in 0..3 {
        x = turn512(x);
    }
    for (x, rows) in x.iter_mut().zip(rows.chunks_exact(C / FLIGHT)) {
        *x = pick512::<C>(rows, *x);
    }
    for _ in 0..4 {
        x = turn512(x);
    }
    for ((bins, node), table) in x.iter().zip(nodes).zip(tables) {
        let right = _mm512_cmpge_epu8_mask(*bins, look(&table.threshold, *node));
        let left = _mm512_add_epi8(*node, *node);
        *node = _mm512_mask_add_epi8(left, right, left, one);
    }
}

/// Interleaves the first four registers with the last four. Three times make eight trees of 64 rows eight registers of
/// eight rows, four times turn them back: of the number of a byte, which is register, row and tree, all seven bits inside a
/// 128-bit lane go round by one.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn turn512(x: [__m512i; FLIGHT]) -> [__m512i; FLIGHT] {
    let mut y = x;
    for i in 0..FLIGHT / 2 {
        y[2 * i] = _mm512_unpacklo_epi8(x[i], x[i + FLIGHT / 2]);
        y[2 * i + 1] = _mm512_unpackhi_epi8(x[i], x[i + FLIGHT / 2]);
    }
    y
}

/// The bin in column `which` of each of eight rows: one permute for each 128 bytes of them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn pick512<const C: usize>(rows: &[Lanes], which: __m512i) -> __m512i {
    let mut begins = [0; 64];
    for (byte, begin) in begins.iter_mut().enumerate() {
        *begin = (byte / FLIGHT * C % 128) as u8;
    }
    let mut at = _mm512_or_si512(which, load512(&begins));
    for (part, rows) in rows.as_chunks().0.iter().enumerate() {
        let lanes = 128 / C * FLIGHT;
        at = permute512(at, (u64::MAX >> (64 - lanes)) << (lanes * part), rows);
    }
    at
}

/// Puts byte `at` of two registers in the place of `at`, in the lanes that `mask` has.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn permute512(mut at: __m512i, mask: u64, of: &[Lanes; 2]) -> __m512i {
    // The intrinsic for this becomes three instructions: a copy, a permute without a mask, and a blend. And of loads, the
    // compiler would keep what it read before, on the stack, where it must be stored first.
    // SAFETY: instructions of AVX-512, for which this is compiled; they read the 128 bytes of `of`, which begin at a
    // multiple of 64, and change two registers.
    unsafe {
        std::arch::asm!(
            "vmovdqa64 {low}, [{of}]",
            "vpermi2b {at}{{{mask}}}, {low}, [{of} + 64]",
            of = in(reg) of,
            low = out(zmm_reg) _,
            at = inout(zmm_reg) at,
            mask = in(kreg) mask,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    at
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
    add512(lanes, sums);
}

/// The same for rows that were [turned](turn512): `wide[part]` holds rows 16·part + 2·lane + 0, 1, 8 and 9 of each lane.
#[inline]
#[target_feature(enable = "avx512f")]
fn store_turned512(wide: [__m512i; 4], sums: &mut Sums) {
    let order = _mm512_setr_epi32(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    let mut rows = wide;
    for rows in &mut rows {
        *rows = _mm512_permutexvar_epi32(order, *rows);
    }
    add512(rows, sums);
}

/// Adds to the sums of the rows, which are in order.
#[inline]
#[target_feature(enable = "avx512f")]
fn add512(rows: [__m512i; 4], sums: &mut Sums) {
    for (sums, rows) in sums.as_chunks_mut::<16>().0.iter_mut().zip(rows) {
        // SAFETY: `sums` is the 64 bytes that are read and written; neither asks for an alignment.
        unsafe {
            let before = _mm512_loadu_si512(sums.as_ptr().cast());
            _mm512_storeu_si512(sums.as_mut_ptr().cast(), _mm512_add_epi32(before, rows));
        }
    }
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
