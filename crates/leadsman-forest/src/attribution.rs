//! Which columns made a row strange: fast, by path deltas.

use linfa::Float;
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut1};

use crate::tree::{STEPS_PER_EDGE, attribute};
use crate::{ForestError, IsolationForest};

/// Rows that are walked side by side: none waits for another, so a processor does several at a time.
const SIDE_BY_SIDE: usize = 8;

/// How much each column moved each row away from average depth.
///
/// A node of a tree has a mean depth D: the mean path length of the sample rows that pass it. On
/// the way to its leaf, a row that goes from a node to a child of smaller D became stranger, and
/// the column the node splits on is credited with D(node) - D(child). Along a path the credits add
/// up to D(root) - h, so that the shares of a row are complete.
///
/// In a guided forest the tail of a column counts as a tree that splits on this column alone.
///
/// Source: path deltas, as in Saabas, "Interpreting random forests", 2014, applied to path lengths.
#[derive(Debug, Clone, PartialEq)]
pub struct Attributions {
    /// Mean over the trees of D(root), the mean path length of the rows they were grown on, in edges.
    pub mean_root_depth: f64,
    /// E\[h\], the mean path length of each row, in edges. Shape: one entry per row.
    pub depth: Array1<f64>,
    /// Share of each column in each row, in edges; positive makes the row stranger.
    ///
    /// Shape: (rows × columns). A row sums to `mean_root_depth` - `depth` of that row, up to rounding.
    pub by_feature: Array2<f64>,
}

impl IsolationForest {
    /// How much each column adds to the strangeness of each row of `x`, at less than twice the cost of a plain walk.
    ///
    /// Shape: `x` is (rows × columns) with the columns of the fit.
    /// Units: edges of path length; see [`Attributions`].
    /// Errors: as [`score`](Self::score).
    pub fn attributions<F: Float>(&self, x: ArrayView2<'_, F>) -> Result<Attributions, ForestError> {
        self.check_width(x.ncols())?;
        let steps = STEPS_PER_EDGE * self.n_trees() as f64;
        let n_columns = self.encoder().n_columns();
        let mut depth = Array1::zeros(x.nrows());
        let mut by_feature = Array2::zeros(x.raw_dim());
        let mut bins = vec![0; SIDE_BY_SIDE * n_columns];
        let mut drops = vec![0; bins.len()];
        let indexes: Vec<usize> = (0..x.nrows()).collect();
        for rows in indexes.chunks(SIDE_BY_SIDE) {
            self.encoder().encode_rows(x, rows, &mut bins)?;
            drops.fill(0);
            let sums = match n_columns {
                0..=16 => self.add_drops::<16>(&bins, &mut drops),
                17..=32 => self.add_drops::<32>(&bins, &mut drops),
                33..=64 => self.add_drops::<64>(&bins, &mut drops),
                _ => self.add_drops::<256>(&bins, &mut drops),
            };
            let rows = rows.iter().zip(sums);
            for (((row, sum), drops), bins) in rows.zip(drops.chunks_exact(n_columns)).zip(bins.chunks_exact(n_columns))
            {
                depth[*row] = self.total(sum, self.tails().map_or(0, |tails| tails.path(bins))) / steps;
                let mut shares = by_feature.row_mut(*row);
                for (column, drop) in drops.iter().enumerate() {
                    shares[self.encoder().feature(column)] += f64::from(*drop) / steps;
                }
                self.add_tail_drops(bins, &mut shares, steps);
            }
        }
        Ok(Attributions { mean_root_depth: self.mean_path() / steps, depth, by_feature })
    }

    /// Credits each column with what its tail takes from the path length of a row.
    pub(crate) fn add_tail_drops(&self, bins: &[u8], shares: &mut ArrayViewMut1<'_, f64>, steps: f64) {
        let Some(tails) = self.tails() else { return };
        for (column, bin) in bins.iter().enumerate().take(self.n_features()) {
            shares[column] += tails.drop(column, *bin) / steps;
        }
    }

    /// Adds what each tree credits the columns of some rows with to `drops`, and returns the path lengths of the rows.
    ///
    /// `C` is no less than the columns that a table counts in.
    fn add_drops<const C: usize>(&self, bins: &[u8], drops: &mut [i32]) -> [u32; SIDE_BY_SIDE] {
        let n_columns = self.encoder().n_columns();
        let mut sums = [0; SIDE_BY_SIDE];
        let (mut own_bins, mut own_drops) = ([[0; C]; SIDE_BY_SIDE], [[0; C]; SIDE_BY_SIDE]);
        // Trees of a wide forest count in columns of their own, so that these are fetched and returned for each.
        for trees in self.trees().chunk_by(|a, _| a.columns().is_empty()) {
            let columns = trees[0].columns();
            let at =
                |row: usize, own: usize| row * n_columns + columns.get(own).map_or(own, |column| usize::from(*column));
            let n_own = if columns.is_empty() { n_columns.min(C) } else { columns.len() };
            for (row, (own_bins, own_drops)) in own_bins.iter_mut().zip(&mut own_drops).enumerate() {
                own_drops.fill(0);
                for (own, bin) in own_bins[..n_own].iter_mut().enumerate() {
                    *bin = bins[at(row, own)];
                }
            }
            for tree in trees {
                let paths = attribute(tree, &own_bins, &mut own_drops);
                sums.iter_mut().zip(paths).for_each(|(sum, path)| *sum += u32::from(path));
            }
            for (row, own_drops) in own_drops.iter().enumerate() {
                for (own, drop) in own_drops[..n_own].iter().enumerate() {
                    drops[at(row, own)] += drop;
                }
            }
        }
        sums
    }
}
