//! A short, repeatable run of every fuzz target: its seeds, and mutations of them from a fixed random source.

#[path = "../fuzz/invariants.rs"]
mod invariants;

use std::fs;
use std::path::{Path, PathBuf};

use leadsman_decode::Limits;

/// Mutations per target.
const RUNS: usize = 100_000;
/// Every so many-th input goes through every check; the others are decoded once.
const THOROUGH: usize = 16;
/// Every so many-th input is decoded under tight limits.
const TIGHT: usize = 4;
const MAX_LENGTH: usize = 4 << 10;

/// Pieces that mean something to a decoder.
const WORDS: [&[u8]; 24] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b",",
    b":",
    b"\n",
    b"null",
    b"true",
    b"0",
    b"-1",
    b"1e999",
    b"\"\"",
    b"\\u0000",
    b"\xff",
    b"\x1f\x8b",
    b"H4sI",
    b"\"items\":[",
    b"\"message\":",
    b"\"data\":",
    b"18446744073709551616",
    b"{}",
];

/// SplitMix64 (Steele, Lea and Flood 2014): a fixed seed gives the same mutations everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

fn files(directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(directory);
    let listed = fs::read_dir(directory).expect("the directory is part of the crate");
    let mut paths: Vec<_> = listed.map(|entry| entry.expect("an entry can be read").path()).collect();
    paths.sort();
    paths
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let paths = files(&format!("seeds/{target}"));
    paths.into_iter().map(|path| fs::read(path).expect("a seed can be read")).collect()
}

fn mutated(seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = seeds[dice.below(seeds.len())].clone();
    for _ in 0..=dice.below(4) {
        let at = dice.below(bytes.len() + 1);
        match dice.below(7) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << dice.below(8);
                }
            }
            1 => drop(bytes.splice(at..at, WORDS[dice.below(WORDS.len())].iter().copied())),
            2 => {
                let end = (at + dice.below(40)).min(bytes.len());
                bytes.drain(at..end);
            }
            3 => {
                let end = (at + dice.below(200)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                let to = dice.below(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            4 => {
                let other = &seeds[dice.below(seeds.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[dice.below(other.len() + 1)..]);
            }
            5 => bytes.truncate(at),
            _ => {
                let end = (at + 1 + dice.below(12)).min(bytes.len());
                bytes.splice(at.min(end)..end, WORDS[dice.below(WORDS.len())].iter().copied());
            }
        }
    }
    bytes.truncate(MAX_LENGTH);
    bytes
}

fn run(target: &str) {
    let seeds = seeds(target);
    assert!(!seeds.is_empty());
    for seed in &seeds {
        invariants::check(target, seed);
    }
    let mut dice = Dice(7);
    for n in 0..RUNS {
        let bytes = mutated(&seeds, &mut dice);
        if n % THOROUGH == 0 {
            invariants::check(target, &bytes);
        } else {
            let limits = if n % TIGHT == 1 { invariants::TIGHT } else { Limits::default() };
            invariants::check_once(target, &bytes, &limits);
        }
    }
}

macro_rules! targets {
    ($($target:ident)+) => {
        $(#[test] fn $target() { run(stringify!($target)); })+

        #[test]
        fn every_target_has_a_test_and_a_program() {
            assert_eq!([$(stringify!($target)),+], invariants::TARGETS);
            let programs = files("fuzz_targets");
            let programs: Vec<_> = programs.iter().filter_map(|path| path.file_stem()?.to_str()).collect();
            assert_eq!(programs, invariants::TARGETS);
        }
    };
}

targets! { aks audit aws canonical cloud_events envelope falco gke hubble metrics mixed remote_write shipper tetragon tracee }
