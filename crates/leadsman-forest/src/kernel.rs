//! Walking many rows through many trees at once.
//!
//! Each kernel adds the path lengths of 64 rows over some trees. All work on whole numbers, so that they agree
//! to the last bit; which one runs is chosen when the program runs.

mod block;
pub(crate) mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::fmt;

use linfa::Float;

pub(crate) use block::{Block, Lanes};

use crate::Missing;
use crate::encode::{Cells, GROUP, Group};
use crate::score::Scale;
use crate::tree::Tree;

/// Rows that a kernel takes at a time.
pub(crate) const ROWS: usize = 64;
/// Most columns for which a vector kernel holds a block; a tree with more is walked row by row.
pub(crate) const MAX_VECTOR_COLUMNS: usize = 64;

/// Blocks of rows that go through the trees together.
pub(crate) const BLOCKS: usize = 8;
/// Trees whose tables, of a KiB each, fit into the nearest cache beside these blocks.
pub(crate) const TREES_IN_CACHE: usize = 16;

/// A number of 16 bits for each byte, in the form that byte permutes of a processor take. None is above 8191.
#[derive(Debug, Clone, PartialEq, Eq)]
#[repr(C, align(64))]
pub(crate) struct Lookup {
    pub(crate) low: [u8; 256],
    pub(crate) high: [u8; 256],
}

impl Lookup {
    pub(crate) fn new(values: [u16; 256]) -> Self {
        Self { low: values.map(|value| value.to_le_bytes()[0]), high: values.map(|value| value.to_le_bytes()[1]) }
    }

    /// Entry `at`, of 0 to 255.
    pub(crate) fn get(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.low[at % 256], self.high[at % 256]])
    }
}

/// Sums of path lengths, in steps, one for each row of a block.
pub(crate) type Sums = [u32; ROWS];

/// How rows are walked through the trees: the same scores at another speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kernel {
    /// 64 rows a register, with the byte permutes of AVX-512 VBMI.
    Avx512Vbmi,
    /// 32 rows a register, with the byte shuffles of AVX2.
    Avx2,
    /// A plain walk, for every processor.
    Portable,
}

impl Kernel {
    /// Every kernel, the fastest first.
    pub const ALL: [Self; 3] = [Self::Avx512Vbmi, Self::Avx2, Self::Portable];

    /// The fastest kernel of this processor.
    #[must_use]
    pub fn best() -> Self {
        Self::ALL.into_iter().find(|kernel| kernel.is_available()).unwrap_or(Self::Portable)
    }

    /// Whether this processor can run it.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vbmi => x86::has_vbmi(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => x86::has_avx2(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512Vbmi | Self::Avx2 => false,
            Self::Portable => true,
        }
    }

    /// The name in benchmarks and errors.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Avx512Vbmi => "avx512vbmi",
            Self::Avx2 => "avx2",
            Self::Portable => "portable",
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Adds the path length of each row of some blocks in each of `trees`, whose tables count in the columns of the blocks.
///
/// Calls `between` for each block and at most [`TREES_IN_CACHE`] trees: where others get a word in.
pub(crate) fn add_paths(
    kernel: Kernel,
    trees: &[Tree],
    blocks: &[Block],
    sums: &mut [Sums],
    between: &mut impl FnMut(),
) {
    if kernel == Kernel::Avx512Vbmi {
        #[cfg(target_arch = "x86_64")]
        return x86::add_paths_vbmi(trees, blocks, sums, between);
        #[cfg(not(target_arch = "x86_64"))]
        return portable::add_paths_by_row(trees, blocks, sums);
    }
    for trees in trees.chunks(TREES_IN_CACHE) {
        for (block, sums) in blocks.iter().zip(sums.iter_mut()) {
            between();
            add_paths_by_column(kernel, trees, block.columns(), sums);
        }
    }
}

/// The same for one block, of any width, of which there are columns only.
pub(crate) fn add_paths_by_column(kernel: Kernel, trees: &[Tree], columns: &[Lanes], sums: &mut Sums) {
    match kernel {
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx512Vbmi => x86::add_paths_by_column_vbmi(trees, columns, sums),
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx2 => x86::add_paths_avx2(trees, columns, sums),
        #[cfg(not(target_arch = "x86_64"))]
        Kernel::Avx512Vbmi | Kernel::Avx2 => portable::add_paths(trees, columns, sums),
        Kernel::Portable => portable::add_paths(trees, columns, sums),
    }
}

/// Adds the entry of each row of `block` in the table of each column.
pub(crate) fn add_entries(kernel: Kernel, tables: &[Lookup], block: &[Lanes], sums: &mut Sums) {
    match kernel {
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx512Vbmi => x86::add_entries_vbmi(tables, block, sums),
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx2 => x86::add_entries_avx2(tables, block, sums),
        #[cfg(not(target_arch = "x86_64"))]
        Kernel::Avx512Vbmi | Kernel::Avx2 => portable::add_entries(tables, block, sums),
        Kernel::Portable => portable::add_entries(tables, block, sums),
    }
}

/// Asks the processor to fetch `values`, which are needed soon; says nothing and changes nothing.
pub(crate) fn prefetch<T>(values: &[T]) {
    #[cfg(target_arch = "x86_64")]
    x86::prefetch(values);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

/// Shows `each` the bins of rows in one group of columns; `false` when a value cannot be encoded.
pub(crate) fn encode<F: Float>(
    kernel: Kernel,
    group: &Group,
    rows: impl Iterator<Item = [F; GROUP]>,
    missing: Missing,
    each: impl FnMut(usize, [u8; GROUP]),
) -> bool {
    match kernel {
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx512Vbmi => x86::encode_vbmi(group, rows, missing, each),
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx2 => x86::encode_avx2(group, rows, missing, each),
        #[cfg(not(target_arch = "x86_64"))]
        Kernel::Avx512Vbmi | Kernel::Avx2 => group.encode(rows, missing, each),
        Kernel::Portable => group.encode(rows, missing, each),
    }
}

/// Scores of the rows of a block, by their path lengths in the trees and in the tails.
pub(crate) fn scores(kernel: Kernel, scale: Scale, paths: &Sums, tails: &Sums) -> [f64; ROWS] {
    match kernel {
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx512Vbmi => x86::scores_vbmi(scale, paths, tails),
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx2 => x86::scores_avx2(scale, paths, tails),
        #[cfg(not(target_arch = "x86_64"))]
        Kernel::Avx512Vbmi | Kernel::Avx2 => scale.scores(paths, tails),
        Kernel::Portable => scale.scores(paths, tails),
    }
}

/// Turns rows of bins into columns.
pub(crate) fn transpose(kernel: Kernel, cells: &Cells, columns: &mut [Lanes]) {
    match kernel {
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx512Vbmi | Kernel::Avx2 => x86::transpose(cells, columns),
        #[cfg(not(target_arch = "x86_64"))]
        Kernel::Avx512Vbmi | Kernel::Avx2 => portable::transpose(cells, columns),
        Kernel::Portable => portable::transpose(cells, columns),
    }
}

/// Columns that a block is padded to, so that kernels find a number of them they were compiled for.
pub(crate) fn padded(columns: usize) -> usize {
    match columns {
        0..=16 => 16,
        17..=32 => 32,
        33..=MAX_VECTOR_COLUMNS => MAX_VECTOR_COLUMNS,
        more => more.next_multiple_of(GROUP),
    }
}
