//! Plain integers, for any CPU.

use super::{BLOCK, Masks, Scan, Survey};
use crate::envelope::cursor::Cursor;

/// Eight bytes at a time, on any CPU.
#[derive(Debug, Clone, Copy)]
pub(super) struct Portable;

const EACH: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = EACH << 7;

/// Bit n is set where byte n of `block` is `byte`; `fold` is or-ed into the bytes before.
#[inline(always)]
fn find(block: &[u8; BLOCK], byte: u8, fold: u8) -> u64 {
    let mut found = 0;
    for (n, word) in block.as_chunks::<8>().0.iter().enumerate() {
        let differs = (u64::from_le_bytes(*word) | (EACH * u64::from(fold))) ^ (EACH * u64::from(byte));
        let equal = !(((differs & !HIGH) + !HIGH) | differs) & HIGH;
        // The multiplication moves the top bits of the eight bytes next to each other.
        found |= ((equal >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * n);
    }
    found
}

impl Scan for Portable {
    #[inline(always)]
    fn strings(block: &[u8; BLOCK]) -> (u64, u64) {
        (find(block, b'"', 0), find(block, b'\\', 0))
    }

    #[inline(always)]
    fn masks(block: &[u8; BLOCK]) -> Masks {
        let (quotes, slashes) = Self::strings(block);
        Masks { quotes, slashes, opens: find(block, b'{', 0x20), closes: find(block, b'}', 0x20) }
    }

    #[inline(always)]
    fn parity(mut bits: u64) -> u64 {
        for shift in [1, 2, 4, 8, 16, 32] {
            bits ^= bits << shift;
        }
        bits
    }

    #[inline(always)]
    fn survey(bytes: &[u8]) -> Survey {
        let (mut high, mut low) = (0, 0);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            let word = u64::from_le_bytes(*word);
            high |= word;
            low |= word.wrapping_sub(EACH * 0x20) & !word;
        }
        Survey {
            ascii: high & HIGH == 0 && rest.is_ascii(),
            control: low & HIGH != 0 || rest.iter().any(|b| *b < 0x20),
        }
    }

    #[inline(never)]
    fn long_string(cursor: &Cursor<'_, Self>, from: usize) -> Option<(usize, bool)> {
        cursor.long_string(from)
    }

    #[inline(never)]
    fn container(cursor: &Cursor<'_, Self>, from: usize, depth: usize) -> Option<usize> {
        cursor.container(from, depth)
    }
}
