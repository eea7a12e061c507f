//! Which rows a tree is grown on.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::ForestError;

/// Tries to draw a row that was not drawn yet, for each row asked for. Beyond, weights are so uneven that another
/// way is faster.
const TRIES_PER_ROW: usize = 16;

/// The generator of one tree.
///
/// Every tree has its own stream, so that the order in which trees are grown, or the threads that grow
/// them, cannot change any of them.
pub(crate) fn generator(seed: u64, tree: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(tree as u64);
    rng
}

/// How rows are drawn.
pub(crate) enum Sampler {
    /// Each row as likely as any other.
    Even { rows: usize },
    /// In proportion to weights, which stand here summed up.
    Weighted { sums: Vec<f64>, drawable: usize },
}

impl Sampler {
    /// Errors: [`ForestError::Weights`] when a weight is negative or not finite, or none is positive.
    pub(crate) fn new(rows: usize, weights: Option<&[f32]>) -> Result<Self, ForestError> {
        let Some(weights) = weights else { return Ok(Self::Even { rows }) };
        if weights.len() != rows || weights.iter().any(|weight| !weight.is_finite() || *weight < 0.0) {
            return Err(ForestError::Weights);
        }
        let mut sum = 0.0;
        let sums = weights.iter().map(|weight| {
            sum += f64::from(*weight);
            sum
        });
        let sums: Vec<f64> = sums.collect();
        let drawable = positive(&sums).count();
        if drawable == 0 { Err(ForestError::Weights) } else { Ok(Self::Weighted { sums, drawable }) }
    }

    /// Rows that can be drawn at all.
    pub(crate) fn drawable(&self) -> usize {
        match self {
            Self::Even { rows } => *rows,
            Self::Weighted { drawable, .. } => *drawable,
        }
    }

    /// `amount` distinct rows, in no particular order; all that can be drawn if there are no more.
    pub(crate) fn draw(&self, amount: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
        match self {
            Self::Even { rows } if amount >= *rows => (0..*rows).collect(),
            Self::Even { rows } => even(*rows, amount, rng),
            Self::Weighted { sums, drawable } if amount >= *drawable => positive(sums).collect(),
            Self::Weighted { sums, .. } => weighted(sums, amount, rng),
        }
    }
}

/// `amount` distinct numbers below `n`, each subset equally likely.
///
/// The cost depends on `amount` alone: no pass over the `n` rows for each tree.
/// Source: Floyd's algorithm, in Bentley, Floyd, "A sample of brilliance", CACM 30(9), 1987.
fn even(n: usize, amount: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut seen = Seen::new(amount);
    let mut rows = Vec::with_capacity(amount);
    for last in n - amount..n {
        let drawn = rng.random_range(0..=last);
        if seen.insert(drawn) {
            rows.push(drawn);
        } else {
            seen.insert(last);
            rows.push(last);
        }
    }
    rows
}

/// Draws one row after the other, each time in proportion to the weights of those that are left.
fn weighted(sums: &[f64], amount: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let total = sums.last().copied().unwrap_or(0.0);
    let mut seen = Seen::new(amount);
    let mut rows = Vec::with_capacity(amount);
    for _ in 0..amount * TRIES_PER_ROW {
        let point = rng.random::<f64>() * total;
        let row = sums.partition_point(|sum| *sum <= point);
        // rounding may carry the point to the very end
        if row < sums.len() && seen.insert(row) {
            rows.push(row);
            if rows.len() == amount {
                return rows;
            }
        }
    }
    by_keys(sums, amount, rng)
}

/// The same distribution in one pass: the largest of u^(1/weight).
/// Source: Efraimidis, Spirakis, "Weighted random sampling with a reservoir", 2006.
fn by_keys(sums: &[f64], amount: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let weight = |row: usize| sums[row] - row.checked_sub(1).map_or(0.0, |before| sums[before]);
    let mut keys: Vec<(f64, usize)> =
        positive(sums).map(|row| ((1.0 - rng.random::<f64>()).ln() / weight(row), row)).collect();
    let amount = amount.min(keys.len());
    keys.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    keys.into_iter().take(amount).map(|(_, row)| row).collect()
}

/// Rows whose weight moves the sum.
fn positive(sums: &[f64]) -> impl Iterator<Item = usize> {
    (0..sums.len()).filter(|row| sums[*row] > row.checked_sub(1).map_or(0.0, |before| sums[before]))
}

/// A set of few numbers: open addressing in a table at most half full.
struct Seen {
    slots: Vec<usize>,
}

impl Seen {
    const EMPTY: usize = usize::MAX;

    fn new(amount: usize) -> Self {
        Self { slots: vec![Self::EMPTY; (2 * amount).next_power_of_two().max(2)] }
    }

    /// Whether `value` is new.
    fn insert(&mut self, value: usize) -> bool {
        let mask = self.slots.len() - 1;
        let mut slot = value.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as usize) >> 7 & mask;
        loop {
            match self.slots[slot] {
                Self::EMPTY => {
                    self.slots[slot] = value;
                    return true;
                }
                found if found == value => return false,
                _ => slot = (slot + 1) & mask,
            }
        }
    }
}
