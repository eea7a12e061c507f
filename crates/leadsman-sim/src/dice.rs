use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Alphabet of the suffixes Kubernetes generates: no vowels, so that no words come out.
const SUFFIX: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Seeded randomness of one actor on one day (or of one habit, for ever).
///
/// The distributions are spelled out here and use no transcendental function, so that a stream is the same bytes
/// on every platform and with every version of the generator's front end.
#[derive(Clone)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// The generator that belongs to this seed, scope, name and number.
    pub(crate) fn new(seed: u64, scope: &str, name: &str, number: i64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(key(seed, scope, name, number)))
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        unit(self.bits())
    }

    /// Uniform in `[low, high)`.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform in `0..n`; 0 for `n = 0`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    pub(crate) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Bell-shaped with mean 0 and variance 1, within ±6 (Irwin–Hall).
    pub(crate) fn bell(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    /// One of `items`, which is never empty.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// One of `items`, which is never empty, by weight.
    pub(crate) fn weighted<T: Copy>(&mut self, items: &[(T, f64)]) -> T {
        let mut left = self.unit() * items.iter().map(|(_, w)| w).sum::<f64>();
        for &(item, weight) in items {
            left -= weight;
            if left < 0.0 {
                return item;
            }
        }
        items[items.len() - 1].0
    }

    pub(crate) fn uuid(&mut self) -> String {
        uuid(self.bits(), self.bits())
    }

    /// `n` letters as in the generated part of a pod's name.
    pub(crate) fn suffix(&mut self, n: usize) -> String {
        (0..n).map(|_| char::from(*self.pick(SUFFIX))).collect()
    }

    /// `n` lower-case hexadecimal digits.
    pub(crate) fn hex(&mut self, n: usize) -> String {
        (0..n).map(|_| char::from(*self.pick(b"0123456789abcdef"))).collect()
    }
}

/// A key that depends on all its parts: FNV-1a over the texts, then two rounds of splitmix64.
pub(crate) fn key(seed: u64, scope: &str, name: &str, number: i64) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in scope.bytes().chain([0xff]).chain(name.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    mix(mix(seed ^ hash).wrapping_add(number as u64))
}

/// The finaliser of splitmix64.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The upper 53 bits as a number in `[0, 1)`.
pub(crate) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// A version 4 UUID, lower case.
pub(crate) fn uuid(high: u64, low: u64) -> String {
    let high = (high & !0xf000) | 0x4000;
    let low = (low & !(0b11 << 62)) | (0b10 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

/// The UUID that belongs to a thing for ever.
pub(crate) fn fixed_uuid(seed: u64, scope: &str, name: &str, number: i64) -> String {
    let high = key(seed, scope, name, number);
    uuid(high, mix(high))
}
