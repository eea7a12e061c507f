//! From rows of values to blocks of bins.

use linfa::Float;
use ndarray::{Array2, ArrayView1, ArrayView2};

use crate::category::{self, Category};
use crate::grid::{Grid, cell};
use crate::kernel::{self, Kernel, Lanes, ROWS};
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

    /// Writes the bins of up to 64 rows of `x` as columns; `block` has at least one entry for each column.
    ///
    /// `false` when a value cannot be encoded.
    pub(crate) fn encode_block<F: Float>(
        &self,
        kernel: Kernel,
        x: ArrayView2<'_, F>,
        rows: &[usize],
        block: &mut [Lanes],
    ) -> bool {
        let accepted = self.encode_groups(kernel, x, rows, |from, width, cells| {
            kernel::transpose(kernel, cells, &mut block[from..from + width]);
        });
        self.encode_categories(x, rows, |row, column, bin| block[column].0[row] = bin);
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
            let accepted = self.encode_groups(Kernel::best(), x, rows, |from, width, cells| {
                for (bins, cells) in bins.chunks_exact_mut(n_columns).zip(cells) {
                    bins[from..from + width].copy_from_slice(&cells[..width]);
                }
            });
            if !accepted && let Some(row) = rows.iter().find(|row| !self.accepts_row(x.row(**row))) {
                return Err(self.refusal_in_row(x.row(*row), *row));
            }
            self.encode_categories(x, rows, |row, column, bin| bins[row * n_columns + column] = bin);
        }
        Ok(())
    }

    /// Shows `each` the bins of up to 64 rows, one group of columns after the other: its first column, its width, and
    /// the bins. `false` when a value cannot be encoded.
    fn encode_groups<F: Float>(
        &self,
        kernel: Kernel,
        x: ArrayView2<'_, F>,
        rows: &[usize],
        mut each: impl FnMut(usize, usize, &Cells),
    ) -> bool {
        let mut accepted = true;
        let mut cells: Cells = [[0; GROUP]; ROWS];
        prefetch_behind(x, rows);
        for (index, group) in self.groups.iter().enumerate() {
            let from = index * GROUP;
            let width = GROUP.min(self.grids.len() - from);
            accepted &= match in_place(x, rows, from) {
                Some(chunks) => kernel::encode(kernel, group, &chunks[..rows.len()], self.missing, &mut cells),
                None => {
                    let copies = copies(x, rows, from, width);
                    let chunks: [&[F; GROUP]; ROWS] = std::array::from_fn(|row| &copies[row]);
                    kernel::encode(kernel, group, &chunks[..rows.len()], self.missing, &mut cells)
                }
            };
            each(from, width, &cells);
        }
        accepted
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
    /// The bins of rows, `false` when one holds a value that cannot be encoded.
    ///
    /// Nothing here depends on the processor: it is compiled once for each kernel, which decides how many
    /// columns are done at once.
    #[inline(always)]
    pub(crate) fn encode<F: Float>(&self, rows: &[&[F; GROUP]], missing: Missing, cells: &mut Cells) -> bool {
        // a value times 0 is 0 for finite ones and NaN for all others
        let mut faults = [F::zero(); GROUP];
        for (row, cells) in rows.iter().zip(cells.iter_mut()) {
            for at in 0..GROUP {
                let value = row[at];
                let missing_here = value.is_nan();
                faults[at] += if missing_here && missing == Missing::Typical { F::zero() } else { value * F::zero() };
                let y = ((widen(value) - self.centre[at]) * self.scale[at]) as f32;
                cells[at] = cell(if missing_here { 0.0 } else { y });
            }
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

/// Asks for the rows that come next: they arrive while these are walked through the trees.
fn prefetch_behind<F: Float>(x: ArrayView2<'_, F>, rows: &[usize]) {
    let next = rows.last().map_or(0, |row| (row + 1) * x.ncols());
    let behind = x.to_slice().and_then(|all| all.get(next..));
    kernel::prefetch(behind.map_or(&[], |behind| &behind[..behind.len().min(rows.len() * x.ncols())]));
}

/// The values of each row in one group of columns, where they lie; `None` unless all rows have them in one piece.
fn in_place<'a, F: Float>(x: ArrayView2<'a, F>, rows: &[usize], from: usize) -> Option<[&'a [F; GROUP]; ROWS]> {
    let (all, width) = (x.to_slice()?, x.ncols());
    let first = *rows.first()?;
    let mut chunks = [all.get(first * width..)?.get(from..)?.first_chunk()?; ROWS];
    if from + GROUP > width {
        return None;
    }
    if rows.last()? - first + 1 == rows.len() {
        // rows in a row: one check for all of them
        let together = all.get(first * width..)?.chunks_exact(width);
        chunks.iter_mut().zip(together).take(rows.len()).for_each(|(to, row)| {
            if let Some(chunk) = row[from..].first_chunk() {
                *to = chunk;
            }
        });
        return Some(chunks);
    }
    for (to, row) in chunks.iter_mut().zip(rows) {
        *to = all.get(row * width + from..)?.first_chunk()?;
    }
    Some(chunks)
}

/// The values of each row in one group of columns, of which there are `width`; zeros behind them.
fn copies<F: Float>(x: ArrayView2<'_, F>, rows: &[usize], from: usize, width: usize) -> [[F; GROUP]; ROWS] {
    let mut copies = [[F::zero(); GROUP]; ROWS];
    for (copy, row) in copies.iter_mut().zip(rows) {
        let values = x.row(*row);
        copy.iter_mut().zip(values.iter().skip(from).take(width)).for_each(|(to, value)| *to = *value);
    }
    copies
}

/// The value as the widest kind of number.
#[inline(always)]
pub(crate) fn widen<F: Float>(value: F) -> f64 {
    // linfa has two kinds of numbers, and both have this conversion
    value.to_f64().unwrap_or(f64::NAN)
}
