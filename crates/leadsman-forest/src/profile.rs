//! How the bins of each column are distributed in the training data.

use crate::encode::Encoder;
use crate::grid;

/// Natural logarithms are held in steps of 1/256, like path lengths.
pub(crate) const STEPS_PER_NAT: f64 = 256.0;
/// Rows that a profile is made of, at most.
pub(crate) const PROFILE_ROWS: usize = 8192;
/// Weight of a categorical column, whose kurtosis means nothing: that of a normal one.
const CATEGORICAL_KURTOSIS: f64 = 3.0;

/// Number of sample rows in each bin of one column.
pub(crate) type Histogram = [u32; 256];

/// Counts the bins of each column; `bins` are those of some rows, row by row.
pub(crate) fn histograms(bins: &[u8], n_columns: usize) -> Vec<Histogram> {
    let mut histograms = vec![[0; 256]; n_columns];
    for row in bins.chunks_exact(n_columns) {
        for (histogram, bin) in histograms.iter_mut().zip(row) {
            histogram[usize::from(*bin)] += 1;
        }
    }
    histograms
}

/// How likely a guided node tries each column: in proportion to the square root of its kurtosis, so that columns with few
/// and far values come first. 0 for a constant one.
pub(crate) fn column_weights(encoder: &Encoder, histograms: &[Histogram]) -> Vec<f64> {
    let weight = |(column, histogram): (usize, &Histogram)| {
        let views = encoder.views(column);
        if views > 1 { CATEGORICAL_KURTOSIS.sqrt() / views as f64 } else { kurtosis(histogram).sqrt() }
    };
    histograms.iter().enumerate().map(weight).collect()
}

/// m₄ / m₂² of the middles of the bins; 0 where all rows share one.
fn kurtosis(histogram: &Histogram) -> f64 {
    let n: f64 = histogram.iter().map(|count| f64::from(*count)).sum();
    let moment = |mean: f64, power: i32| {
        let term = |(bin, count): (u8, &u32)| f64::from(*count) * (grid::middle(bin) - mean).powi(power);
        (0..=u8::MAX).zip(histogram).filter(|(_, count)| **count > 0).map(term).sum::<f64>() / n
    };
    let mean = moment(0.0, 1);
    let variance = moment(mean, 2);
    if variance > 0.0 { moment(mean, 4) / (variance * variance) } else { 0.0 }
}

/// How far out each bin of a column lies: -ln of the share of rows that lie no less far out on the same side, doubled for
/// the two sides; of a category, -ln of the share of rows that have it. In steps; 0 for all bins of a constant column.
pub(crate) fn tail(histogram: &Histogram, categorical: bool) -> [u16; 256] {
    let total: u32 = histogram.iter().sum();
    let mut tail = [0; 256];
    if histogram.contains(&total) {
        return tail;
    }
    let share = |count: u32| f64::from(count + 1) / f64::from(total + 1);
    let mut below = 0;
    for (step, count) in tail.iter_mut().zip(histogram) {
        let share = if categorical { share(*count) } else { 2.0 * share(below + count).min(share(total - below)) };
        // at most ln(8193), which is far below the largest number
        *step = (-libm::log(share.min(1.0)) * STEPS_PER_NAT).round() as u16;
        below += count;
    }
    tail
}
