//! From rows of values to blocks of bins.

use linfa::Float;
use ndarray::{Array2, ArrayView1, ArrayView2};

use crate::category::{self, Category};
use crate::grid::{Grid, cell};
use crate::kernel::{self, Block, Kernel, ROWS};
use crate::{ForestError, Missing};

/// Columns that are encoded together: one register of single-precision numbers.
pub(crate) const GROUP: usize = 16;

/// The bins of some rows in one group of columns, row by row.
pub(crate) type Cells = [[u8; GROUP]; ROWS];

/// How each column of a forest becomes bins.
///
/// The first bins of a row are those of its columns in order; behind them stand further views of its categorical columns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Encoder {
    grids: Vec<Grid>,
    groups: Vec<Group>,
    categories: Vec<Category>,
    missing: Missing,
}

/// The grids of a group of columns, side by side.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    centre: [f64; GROUP],
    scale: [f64; GROUP],
}

impl Encoder {
    pub(crate) fn new(grids: Vec<Grid>, categories: Vec<Category>, missing: Missing) -> Self {
        let group = |grids: &[Grid]| {
            let mut group = Group { centre: [0.0; GROUP], scale: [1.0; GROUP] };
            for (at, grid) in grids.iter().enumerate() {
                (group.centre[at], group.scale[at]) = (grid.centre, grid.scale);
            }
            group
        };
        let groups = grids.chunks(GROUP).map(group).collect();
        Self { grids, groups, categories, missing }
    }

    /// An encoder for columns of which `rows` is a sample, its values finite, or NaN where one is missing.
    pub(crate) fn of_sample(rows: &Array2<f64>, categorical: &[usize], missing: Missing, seed: u64) -> Self {
        let mut values = Vec::with_capacity(rows.nrows());
        let grid = |column: ArrayView1<'_, f64>| {
            values.clear();
            values.extend(column.iter().filter(|value| !value.is_nan()));
            Grid::of_sample(&mut values)
        };
        let grids = rows.columns().into_iter().map(grid).collect();
        let category = |column: &usize| Category::of_sample(*column, rows.column(*column), seed);
        Self::new(grids, categorical.iter().map(category).collect(), missing)
    }

    /// Columns of the matrices it takes.
    pub(crate) fn n_features(&self) -> usize {
        self.grids.len()
    }

    /// Bins of one row.
    pub(crate) fn n_columns(&self) -> usize {
        self.grids.len() + self.categories.len() * category::EXTRA_VIEWS
    }

    /// The column of the matrix that a bin comes from.
    pub(crate) fn feature(&self, column: usize) -> usize {
        match column.checked_sub(self.grids.len()) {
            None => column,
            Some(view) => self.categories[view / category::EXTRA_VIEWS].feature(),
        }
    }

    /// Columns of bins that come from the same column of the matrix: 1, or more for a categorical one.
    pub(crate) fn views(&self, column: usize) -> usize {
        let feature = self.feature(column);
        if self.categories.iter().any(|category| category.feature() == feature) { category::VIEWS } else { 1 }
    }

    pub(crate) fn grids(&self) -> &[Grid] {
        &self.grids
    }

    pub(crate) fn categories(&self) -> &[Category] {
        &self.categories
    }

    pub(crate) fn missing(&self) -> Missing {
        self.missing
    }

    /// Whether a value can be encoded.
    pub(crate) fn accepts(&self, value: f64) -> bool {
        value.is_finite() || (value.is_nan() && self.missing == Missing::Typical)
    }

    /// Writes the bins of `row`; `bins` has one entry for each column. `false` when a value cannot be encoded.
    pub(crate) fn encode_row<F: Float>(&self, row: ArrayView1<'_, F>, bins: &mut [u8]) -> bool {
        let mut accepted = true;
        for ((value, grid), bin) in row.iter().zip(&self.grids).zip(bins.iter_mut()) {
            let value = widen(*value);
            accepted &= self.accepts(value);
            *bin = if value.is_nan() { cell(0.0) } else { grid.bin(value) };
        }
        for (index, category) in self.categories.iter().enumerate() {
            let views = category.bins(widen(row[category.feature()]));
            bins[category.feature()] = views[0];
            let from = self.grids.len() + index * category::EXTRA_VIEWS;
            bins[from..from + category::EXTRA_VIEWS].copy_from_slice(&views[1..]);
        }
        accepted
    }

    /// Writes the bins of up to 64 rows of `x` into `block`, which is at least as wide. `false` when a value cannot be encoded.
    pub(crate) fn encode_block<F: Float>(
        &self,
        kernel: Kernel,
        x: ArrayView2<'_, F>,
        rows: &[usize],
        block: &mut Block,
    ) -> bool {
        let mut accepted = true;
        let mut cells: Cells = [[0; GROUP]; ROWS];
        for from in (0..self.grids.len()).step_by(GROUP) {
            accepted &= self.encode_group(kernel, x, rows, from, |row, bins| {
                cells[row % ROWS] = bins;
                block.set_bins(row, from, bins);
            });
            block.set_columns(kernel, from, GROUP.min(self.grids.len() - from), &cells);
        }
        self.encode_categories(x, rows, |row, column, bin| block.set(row, column, bin));
        accepted
    }

    /// Writes the bins of `rows` of `x` as rows; `bins` holds one entry for each row and column.
    ///
    /// Errors: `NotFinite` when a value cannot be encoded.
    pub(crate) fn encode_rows<F: Float>(
        &self,
        x: ArrayView2<'_, F>,
        rows: &[usize],
        bins: &mut [u8],
    ) -> Result<(), ForestError> {
        let n_columns = self.n_columns();
        for (rows, bins) in rows.chunks(ROWS).zip(bins.chunks_mut(ROWS * n_columns)) {
            let mut accepted = true;
            for from in (0..self.grids.len()).step_by(GROUP) {
                let width = GROUP.min(self.grids.len() - from);
                accepted &= self.encode_group(Kernel::best(), x, rows, from, |row, cells| {
                    bins[row * n_columns + from..][..width].copy_from_slice(&cells[..width]);
                });
            }
            if !accepted && let Some(row) = rows.iter().find(|row| !self.accepts_row(x.row(**row))) {
                return Err(self.refusal_in_row(x.row(*row), *row));
            }
            self.encode_categories(x, rows, |row, column, bin| bins[row * n_columns + column] = bin);
        }
        Ok(())
    }

    /// Shows `each` the bins of some rows in the group of columns from `from`: position of the row, bins.
    /// `false` when a value cannot be encoded.
    fn encode_group<F: Float>(
        &self,
        kernel: Kernel,
        x: ArrayView2<'_, F>,
        rows: &[usize],
        from: usize,
        each: impl FnMut(usize, [u8; GROUP]),
    ) -> bool {
        let group = &self.groups[from / GROUP];
        match x.to_slice() {
            Some(all) if from + GROUP <= x.ncols() => {
                let values = rows.iter().map(|row| {
                    let mut values = [F::zero(); GROUP];
                    values.copy_from_slice(&all[row * x.ncols() + from..][..GROUP]);
                    values
                });
                kernel::encode(kernel, group, values, self.missing, each)
            }
            // somewhere in memory, or fewer columns than a group has
            Some(_) | None => {
                let values = rows.iter().map(|row| {
                    let mut values = [F::zero(); GROUP];
                    let part = x.row(*row).into_iter().skip(from);
                    values.iter_mut().zip(part).for_each(|(to, value)| *to = *value);
                    values
                });
                kernel::encode(kernel, group, values, self.missing, each)
            }
        }
    }

    /// Shows `each` the bins of categorical columns: position of the row, column, bin.
    fn encode_categories<F: Float>(
        &self,
        x: ArrayView2<'_, F>,
        rows: &[usize],
        mut each: impl FnMut(usize, usize, u8),
    ) {
        for (index, category) in self.categories.iter().enumerate() {
            let further = self.grids.len() + index * category::EXTRA_VIEWS;
            for (at, row) in rows.iter().enumerate() {
                let [first, views @ ..] = category.bins(widen(x[[*row, category.feature()]]));
                each(at, category.feature(), first);
                views.iter().enumerate().for_each(|(view, bin)| each(at, further + view, *bin));
            }
        }
    }

    /// Whether all values of a row can be encoded.
    pub(crate) fn accepts_row<F: Float>(&self, row: ArrayView1<'_, F>) -> bool {
        row.iter().all(|value| self.accepts(widen(*value)))
    }

    /// The first value of `row` that cannot be encoded.
    pub(crate) fn refusal_in_row<F: Float>(&self, row: ArrayView1<'_, F>, index: usize) -> ForestError {
        let column = row.iter().position(|value| !self.accepts(widen(*value))).unwrap_or(0);
        ForestError::NotFinite { row: index, column }
    }

    /// The first value of `x` that cannot be encoded, in row order.
    pub(crate) fn refusal<F: Float>(&self, x: ArrayView2<'_, F>) -> Option<ForestError> {
        x.indexed_iter()
            .find(|(_, value)| !self.accepts(widen(**value)))
            .map(|((row, column), _)| ForestError::NotFinite { row, column })
    }
}

impl Group {
    /// Shows `each` the bins of rows: position of the row, bins. `false` when one holds a value that cannot be encoded.
    ///
    /// Nothing here depends on the processor: it is compiled once for each kernel, which decides how many
    /// columns are done at once.
    #[inline(always)]
    pub(crate) fn encode<F: Float>(
        &self,
        rows: impl Iterator<Item = [F; GROUP]>,
        missing: Missing,
        mut each: impl FnMut(usize, [u8; GROUP]),
    ) -> bool {
        // a value times 0 is 0 for finite ones and NaN for all others
        let mut faults = [F::zero(); GROUP];
        for (row, values) in rows.enumerate() {
            // in two steps, because numbers of the first are twice as wide
            let mut y = [0.0; GROUP];
            for at in 0..GROUP {
                let value = values[at];
                let known = missing == Missing::Refused || !value.is_nan();
                faults[at] += if known { value * F::zero() } else { F::zero() };
                y[at] = if known { ((widen(value) - self.centre[at]) * self.scale[at]) as f32 } else { 0.0 };
            }
            let mut bins = [0; GROUP];
            for at in 0..GROUP {
                bins[at] = cell(y[at]);
            }
            each(row, bins);
        }
        faults.iter().all(|fault| *fault == F::zero())
    }
}

/// Asks for rows that are encoded soon.
pub(crate) fn prefetch_rows<F: Float>(x: ArrayView2<'_, F>, rows: &[usize]) {
    let Some(all) = x.to_slice() else { return };
    for row in rows {
        kernel::prefetch(all.get(row * x.ncols()..(row + 1) * x.ncols()).unwrap_or(&[]));
    }
}

/// The values of `n` rows from row `from`, in at most `parts` parts; none where they do not lie side by side, or there are no
/// such rows.
pub(crate) fn behind<F>(x: ArrayView2<'_, F>, from: usize, n: usize, parts: usize) -> std::slice::Chunks<'_, F> {
    let behind = x.to_slice().and_then(|all| all.get(from * x.ncols()..)).unwrap_or(&[]);
    let behind = &behind[..behind.len().min(n * x.ncols())];
    behind.chunks(behind.len().div_ceil(parts.max(1)).max(1))
}

/// The value as the widest kind of number.
#[inline(always)]
pub(crate) fn widen<F: Float>(value: F) -> f64 {
    // linfa has two kinds of numbers, and both have this conversion
    value.to_f64().unwrap_or(f64::NAN)
}
