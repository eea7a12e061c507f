//! The steps on any processor: eight bytes at a time.

use super::{Block, Brackets, Machine};

/// Plain 64-bit arithmetic.
pub(super) struct Portable;

impl Machine for Portable {
    fn strings(block: &Block) -> [u64; 2] {
        [equal(block, b'"'), equal(block, b'\\')]
    }

    fn brackets(block: &Block) -> Brackets {
        Brackets {
            quotes: equal(block, b'"'),
            backslashes: equal(block, b'\\'),
            opening: equal(block, b'{') | equal(block, b'['),
            closing: equal(block, b'}') | equal(block, b']'),
        }
    }

    fn prefix_xor(mut bits: u64) -> u64 {
        for distance in [1, 2, 4, 8, 16, 32] {
            bits ^= bits << distance;
        }
        bits
    }

    fn nth(bits: u64, below: u32) -> u32 {
        (0..below).fold(bits, |bits, _| bits & bits.wrapping_sub(1)).trailing_zeros()
    }
}

/// One bit for each byte that equals `wanted`.
fn equal(block: &Block, wanted: u8) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let (words, _) = block.as_chunks::<8>();
    let wanted = u64::from_le_bytes([wanted; 8]);
    words.iter().enumerate().fold(0, |bits, (index, word)| {
        let differs = u64::from_le_bytes(*word) ^ wanted;
        // the high bit of each byte that is zero, then these eight bits side by side
        let zero = !(((differs & LOW) + LOW) | differs | LOW);
        bits | (((zero >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * index))
    })
}

/// `item` as text, when it is UTF-8 without control characters.
pub(super) fn text(item: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(item).ok()?;
    item.iter().all(|byte| *byte >= b' ').then_some(text)
}
