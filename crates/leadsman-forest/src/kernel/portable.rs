//! The plain walk: what every other kernel must equal.

use super::{Block, Lanes, Lookup, ROWS, Sums};
use crate::encode::Cells;
use crate::tree::{LEAVES, MAX_DEPTH, Tree};

pub(crate) fn add_paths(trees: &[Tree], columns: &[Lanes], sums: &mut Sums) {
    // Blocks of a width known to the compiler need no check of the column at every node.
    if let Ok(columns) = <&[Lanes; 16]>::try_from(columns) {
        walk(trees, |row, column| columns[column % 16].0[row], sums);
    } else if let Ok(columns) = <&[Lanes; 32]>::try_from(columns) {
        walk(trees, |row, column| columns[column % 32].0[row], sums);
    } else {
        walk(trees, |row, column| columns[column].0[row], sums);
    }
}

/// The same for blocks that are held by row.
pub(crate) fn add_paths_by_row(trees: &[Tree], blocks: &[Block], sums: &mut [Sums]) {
    for (block, sums) in blocks.iter().zip(sums) {
        let bin = |row: usize, column: usize| {
            let at = row * block.width() + column;
            block.rows()[at / ROWS].0[at % ROWS]
        };
        walk(trees, bin, sums);
    }
}

/// Rows whose walks go on side by side: none waits for another, so a processor does several at a time.
const SIDE_BY_SIDE: usize = 8;

/// `bin` gives the bin of a row, below 64, in a column.
fn walk(trees: &[Tree], bin: impl Fn(usize, usize) -> u8, sums: &mut Sums) {
    for tree in trees {
        let table = tree.table();
        for (group, sums) in sums.as_chunks_mut::<SIDE_BY_SIDE>().0.iter_mut().enumerate() {
            let mut nodes = [1_usize; SIDE_BY_SIDE];
            for _ in 0..MAX_DEPTH {
                for (at, node) in nodes.iter_mut().enumerate() {
                    let column = usize::from(table.column[*node % LEAVES]);
                    let bin = bin((group * SIDE_BY_SIDE + at) % ROWS, column);
                    *node = 2 * *node + usize::from(bin >= table.threshold[*node % LEAVES]);
                }
            }
            for (sum, node) in sums.iter_mut().zip(nodes) {
                *sum += u32::from(table.path.get(node - LEAVES));
            }
        }
    }
}

pub(crate) fn add_entries(tables: &[Lookup], block: &[Lanes], sums: &mut Sums) {
    for (table, lanes) in tables.iter().zip(block) {
        for (sum, bin) in sums.iter_mut().zip(lanes.0) {
            *sum += u32::from(table.get(usize::from(bin)));
        }
    }
}

pub(crate) fn transpose(cells: &Cells, columns: &mut [Lanes]) {
    for (column, lanes) in columns.iter_mut().enumerate() {
        for (bin, cells) in lanes.0.iter_mut().zip(cells) {
            *bin = cells[column];
        }
    }
}
