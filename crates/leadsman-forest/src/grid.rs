//! From values to bins: one byte for each value, monotone in it.
//!
//! Bins are 1 to 254. 0 stays free for what is not known, and 255 so that a threshold can be out of reach.

/// Cells in one octave of 1 + the distance from the centre, as a power of two.
const CELLS_PER_OCTAVE_LOG2: u32 = 3;
/// Bits of a number that are finer than a cell.
const STEP_SHIFT: u32 = f32::MANTISSA_DIGITS - 1 - CELLS_PER_OCTAVE_LOG2;
const ONE: u32 = 1_f32.to_bits();
/// Cells above the centre, and below it.
const CELLS_PER_SIDE: u8 = 127;
/// Units of y in the median distance from the centre, so that the grid reaches 15,000 such distances. No round number, so
/// that whole numbers, which are common, do not come to lie on the edge of a cell, where rounding decides.
const UNITS_PER_SPREAD: f64 = 4.104_73;
/// Keeps the scale of columns with almost no spread, or a huge one, a number that can be multiplied with.
const SCALES: std::ops::RangeInclusive<f64> = 1e-300..=1e300;

/// Where the cells of one column lie.
///
/// With y = (x - `centre`) · `scale`, each octave of 1 + |y| is cut into equal cells: close to the centre they
/// are equally wide, far from it their width grows with the distance. So a column keeps its resolution
/// whether it holds an outlier of 10³⁰⁰ or differences of 10⁻³⁰⁰, nothing is looked up, and the map is a
/// handful of instructions that any processor does for many values at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Grid {
    pub(crate) centre: f64,
    pub(crate) scale: f64,
}

impl Grid {
    /// A grid for a column of which `values` are a sample; reorders them. All are finite.
    ///
    /// The centre is their median. The scale follows from the median distance to it; where most values are
    /// equal, from the mean distance.
    pub(crate) fn of_sample(values: &mut [f64]) -> Self {
        let centre = median(values).unwrap_or(0.0);
        values.iter_mut().for_each(|value| *value = (*value - centre).abs());
        let mut spread = median(values).unwrap_or(0.0);
        if spread <= 0.0 {
            // in one order, so that the order of the rows cannot change a bit of the sum
            values.sort_unstable_by(f64::total_cmp);
            let n = values.len() as f64;
            spread = values.iter().map(|distance| distance / n).sum();
        }
        let spread = if spread > 0.0 { spread } else { 1.0 };
        Self { centre, scale: (UNITS_PER_SPREAD / spread).clamp(*SCALES.start(), *SCALES.end()) }
    }

    /// `None` where no sample leads to such a grid.
    pub(crate) fn new(centre: f64, scale: f64) -> Option<Self> {
        (centre.is_finite() && SCALES.contains(&scale)).then_some(Self { centre, scale })
    }

    /// Bin of a value that is not NaN.
    pub(crate) fn bin(self, value: f64) -> u8 {
        cell(((value - self.centre) * self.scale) as f32)
    }
}

/// Bin at `y` units from the centre of a grid.
///
/// The bits of an IEEE number above 1 are its logarithm, cut into straight lines: the exponent counts octaves and the
/// highest bits of the fraction count equal parts of one.
#[inline(always)]
pub(crate) fn cell(y: f32) -> u8 {
    let steps = (((1.0 + y.abs()).to_bits() - ONE) >> STEP_SHIFT).min(u32::from(CELLS_PER_SIDE) - 1);
    // all ones below the centre, where the cells are counted down: 127 - steps is 128 + !steps
    let below = (y.to_bits().cast_signed() >> 31).cast_unsigned();
    (steps ^ below).wrapping_add(u32::from(CELLS_PER_SIDE) + 1) as u8
}

/// The middle of the cell of a bin, in units from the centre.
pub(crate) fn middle(bin: u8) -> f64 {
    MIDDLES[usize::from(bin)]
}

static MIDDLES: [f64; 256] = middles();

const fn middles() -> [f64; 256] {
    let mut middles = [0.0; 256];
    let mut steps = 0;
    // the last cell has no end; its middle is where one of the usual width would have it
    while steps < CELLS_PER_SIDE as usize {
        let middle = (distance(steps as u32) + distance(steps as u32 + 1)) / 2.0;
        middles[CELLS_PER_SIDE as usize + 1 + steps] = middle;
        middles[CELLS_PER_SIDE as usize - steps] = -middle;
        steps += 1;
    }
    middles
}

/// Distance from the centre at which a cell begins, in units.
const fn distance(steps: u32) -> f64 {
    f32::from_bits((steps << STEP_SHIFT) + ONE) as f64 - 1.0
}

fn median(values: &mut [f64]) -> Option<f64> {
    let middle = values.len() / 2;
    (!values.is_empty()).then(|| *values.select_nth_unstable_by(middle, f64::total_cmp).1)
}
