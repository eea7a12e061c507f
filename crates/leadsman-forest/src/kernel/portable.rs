//! The plain walk: what every other kernel must equal.

use super::{Lanes, Lookup, ROWS, Sums};
use crate::encode::Cells;
use crate::tree::{LEAVES, MAX_DEPTH, Tree};

pub(crate) fn add_paths(trees: &[Tree], block: &[Lanes], sums: &mut Sums) {
    // Blocks of a width known to the compiler need no check of the column at every node.
    if let Ok(block) = <&[Lanes; 16]>::try_from(block) {
        walk(trees, |column| &block[column % 16], sums);
    } else if let Ok(block) = <&[Lanes; 32]>::try_from(block) {
        walk(trees, |column| &block[column % 32], sums);
    } else {
        walk(trees, |column| &block[column], sums);
    }
}

/// Rows whose walks go on side by side: none waits for another, so a processor does several at a time.
const SIDE_BY_SIDE: usize = 8;

fn walk<'a>(trees: &[Tree], lanes: impl Fn(usize) -> &'a Lanes, sums: &mut Sums) {
    for tree in trees {
        let table = tree.table();
        for (group, sums) in sums.as_chunks_mut::<SIDE_BY_SIDE>().0.iter_mut().enumerate() {
            let mut nodes = [1_usize; SIDE_BY_SIDE];
            for _ in 0..MAX_DEPTH {
                for (at, node) in nodes.iter_mut().enumerate() {
                    let lanes = lanes(usize::from(table.column[*node % LEAVES]));
                    let bin = lanes.0[(group * SIDE_BY_SIDE + at) % ROWS];
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
