//! Powers of two that are the same on every platform.

/// ln(2)^k / k! for k from 13 down to 0: the power series of 2^x.
const SERIES: [f64; 14] = series();

const fn series() -> [f64; 14] {
    let mut series = [1.0; 14];
    let (mut term, mut k) = (1.0, 1);
    while k < 14 {
        term *= std::f64::consts::LN_2 / k as f64;
        series[13 - k] = term;
        k += 1;
    }
    series
}

/// Numbers that are done side by side.
const SIDE_BY_SIDE: usize = 32;

/// Puts 2^x in the place of each x from -1000 to 0; smaller ones are taken for -1000.
///
/// Units in the last place: 2. The operating system's `exp2` may round differently from one release to the
/// next, and a stored forest must score the same for ever; and these are done for many rows at once.
#[inline(always)]
pub(crate) fn exp2(values: &mut [f64]) {
    let (groups, rest) = values.as_chunks_mut();
    // loops, because what the library would call is not compiled for the vectors of the caller
    for group in groups {
        exp2_group::<SIDE_BY_SIDE>(group);
    }
    for value in rest {
        exp2_group(std::array::from_mut(value));
    }
}

#[inline(always)]
fn exp2_group<const N: usize>(values: &mut [f64; N]) {
    // Adding this leaves no room for a fraction: the sum is rounded to a whole number, which its lowest bits hold.
    const ROUND: f64 = 1.5 * (1_u64 << 52) as f64;
    let (mut x, mut rounded, mut power) = ([0.0; N], [0.0; N], [0.0; N]);
    for at in 0..N {
        x[at] = if values[at] > -1000.0 { values[at] } else { -1000.0 };
        rounded[at] = x[at] + ROUND;
    }
    for factor in SERIES {
        for at in 0..N {
            power[at] = power[at] * (x[at] - (rounded[at] - ROUND)) + factor;
        }
    }
    for at in 0..N {
        // the exponent is counted up by the whole number, which is negative: in two's complement that wraps
        values[at] = f64::from_bits(power[at].to_bits().wrapping_add(rounded[at].to_bits() << 52));
    }
}
