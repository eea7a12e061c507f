//! How deep a row lies in a random binary tree on average.

/// Up to here harmonic numbers are summed. Beyond, the first term the series drops is below 2e-17.
const LARGEST_SUM: u32 = 256;

const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;

/// Average path length c(n) of an unsuccessful search in a binary search tree of `n` keys: the
/// depth a leaf of `n` rows would have reached on average, had it been split further.
///
/// c(n) = 2·H(n-1) - 2·(n-1)/n, c(2) = 1, c(0) = c(1) = 0. The paper approximates H(i) by
/// ln(i) + 0.5772, which makes c(3) 0.46 too small; we use H itself, which also yields c(2).
///
/// Units: edges. Source: Liu, Ting, Zhou, "Isolation Forest", ICDM 2008, eq. 1.
pub(crate) fn average_path_length(n: u32) -> f64 {
    if n < 2 {
        return 0.0;
    }
    2.0 * harmonic(n - 1) - 2.0 * f64::from(n - 1) / f64::from(n)
}

/// The `n`-th harmonic number, for `n` from 1.
fn harmonic(n: u32) -> f64 {
    if n <= LARGEST_SUM {
        // smallest terms first, so that they are not lost
        return (1..=n).rev().map(|i| 1.0 / f64::from(i)).sum();
    }
    let inverse = 1.0 / f64::from(n);
    let square = inverse * inverse;
    f64::from(n).ln() + EULER_GAMMA + inverse / 2.0 - square / 12.0 + square * square / 120.0
}
