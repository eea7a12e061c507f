//! From path lengths to scores.

use crate::exp2::exp2;

/// What turns the path lengths of a row into its score.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// Path length that scores 0.5; 0 where there is nothing to compare with, and all rows do.
    pub(crate) unit: f64,
    /// What one step of a tail counts in steps of a path.
    pub(crate) weight: f64,
}

impl Scale {
    /// Path length over trees and tails, in steps of a path.
    #[inline(always)]
    pub(crate) fn total(self, path: u32, tail: u32) -> f64 {
        f64::from(path) + self.weight * f64::from(tail)
    }

    /// Scores of some rows, by their path lengths in the trees and in the tails.
    ///
    /// Nothing here depends on the processor: it is compiled once for each kernel.
    #[inline(always)]
    pub(crate) fn scores<const N: usize>(self, paths: &[u32; N], tails: &[u32; N]) -> [f64; N] {
        let mut scores = [-1.0; N];
        if self.unit > 0.0 {
            for at in 0..N {
                scores[at] = -self.total(paths[at], tails[at]) / self.unit;
            }
        }
        exp2(&mut scores);
        scores
    }
}
