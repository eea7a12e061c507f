//! The bins of some rows, in the order that a kernel reads them.

use super::{Kernel, MAX_VECTOR_COLUMNS, ROWS, transpose};
use crate::encode::{Cells, GROUP};

/// A row of registers: 64 bytes where a cache line begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub(crate) struct Lanes(pub(crate) [u8; ROWS]);

impl Lanes {
    pub(crate) const ZERO: Self = Self([0; ROWS]);
}

/// The bins of 64 rows, row by row, column by column, or both: what is not needed stays empty.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    width: usize,
    rows: Vec<Lanes>,
    columns: Vec<Lanes>,
}

impl Block {
    /// A block of `width` columns for the trees of `kernel` and, if asked for, for [`add_entries`](super::add_entries).
    pub(crate) fn new(kernel: Kernel, width: usize, entries: bool) -> Self {
        let by_row = kernel == Kernel::Avx512Vbmi && width <= MAX_VECTOR_COLUMNS;
        let lanes = |needed: bool| if needed { vec![Lanes::ZERO; width] } else { Vec::new() };
        Self { width, rows: lanes(by_row), columns: lanes(entries || !by_row) }
    }

    /// Columns, [`padded`](super::padded).
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// `width` bytes for each row; empty where the kernel reads columns.
    pub(crate) fn rows(&self) -> &[Lanes] {
        &self.rows
    }

    /// 64 bytes for each column; empty where nothing reads them.
    pub(crate) fn columns(&self) -> &[Lanes] {
        &self.columns
    }

    /// Puts the bins of one row in a group of columns in place, where the kernel reads rows.
    #[inline]
    pub(crate) fn set_bins(&mut self, row: usize, from: usize, bins: [u8; GROUP]) {
        let at = row * self.width + from;
        if let Some(lanes) = self.rows.get_mut(at / ROWS) {
            lanes.0.as_chunks_mut().0[at % ROWS / GROUP] = bins;
        }
    }

    /// Puts `width` columns from `from`, which is where a group begins, in place, where something reads columns.
    pub(crate) fn set_columns(&mut self, kernel: Kernel, from: usize, width: usize, cells: &Cells) {
        if !self.columns.is_empty() {
            transpose(kernel, cells, &mut self.columns[from..from + width]);
        }
    }

    /// Puts one bin in place.
    pub(crate) fn set(&mut self, row: usize, column: usize, bin: u8) {
        if let Some(lanes) = self.columns.get_mut(column) {
            lanes.0[row] = bin;
        }
        let at = row * self.width + column;
        if let Some(lanes) = self.rows.get_mut(at / ROWS) {
            lanes.0[at % ROWS] = bin;
        }
    }
}
