//! Looking at events without keeping them. That it sees what reading gives is checked by fuzzing (`tests/fuzz.rs`).

use std::io;

use super::readers::Failing;
use super::{context, now, numbered};
use crate::{AuditScanner, EventView, Limits, Memory, Part};

/// Which parts there were, the actors that were seen, and the lines of rejects.
fn scan(reader: impl io::Read, limits: Limits) -> (String, usize, Vec<u64>, Option<(u64, io::ErrorKind)>) {
    let mut scanner = AuditScanner::new(reader, context(), limits, now()).unwrap();
    let (mut parts, mut seen, mut lines, mut error) = (String::new(), 0, Vec::new(), None);
    let mut watch = |_: &EventView<'_>| seen += 1;
    loop {
        let part = match scanner.next(Memory::default(), &mut watch) {
            Ok(Some(part)) => part,
            Ok(None) => break,
            Err(e) => {
                error = Some((e.line, e.source.kind()));
                continue;
            }
        };
        let decoded = match part {
            Part::Read(decoded) => {
                parts.push('r');
                decoded
            }
            Part::Lines(block) => {
                parts.push('l');
                block.read(&context(), &limits, now(), &mut watch)
            }
        };
        lines.extend(decoded.rejects.iter().map(|reject| reject.line));
    }
    (parts, seen, lines, error)
}

fn lines(count: usize) -> String {
    (0..count).map(|n| if n % 100 == 99 { "{\"bad\":}\r\n".to_owned() } else { numbered(n) + "\n" }).collect()
}

#[test]
fn lines_are_handed_out_in_blocks_and_numbered() {
    let text = lines(1_000);
    let bad: Vec<u64> = (1..=10).map(|n| n * 100).collect();
    let (parts, seen, rejects, error) = scan(text.as_bytes(), Limits::default());
    assert_eq!((seen, rejects, error), (990, bad.clone(), None));
    assert!(parts.starts_with("rll") && !parts[1..].contains('r'), "{parts}");
    // A line longer than an item may be is skipped, and blocks go on behind it.
    let text = format!("{text}{{\"long\":\"{}\"}}\n{text}", "x".repeat(3_000));
    let (parts, seen, rejects, error) = scan(text.as_bytes(), Limits { max_item_bytes: 1_000, ..Limits::default() });
    let behind = (1..=10).map(|n| n * 100 + 1_001);
    assert_eq!((seen, error), (1_980, None));
    assert_eq!(rejects, bad.iter().copied().chain([1_001]).chain(behind).collect::<Vec<_>>());
    assert!(parts.contains("lrrl"), "{parts}");
    // A line longer than a block, but not too long.
    let text = format!("{0}\n{{\"long\":\"{1}\"}}\n{0}\n", numbered(1), "x".repeat(600_000));
    assert_eq!(scan(text.as_bytes(), Limits::default()).1, 2);
}

#[test]
fn a_document_over_several_lines_is_read_here() {
    let items: Vec<_> = (0..10).map(numbered).collect();
    let (parts, seen, rejects, error) = scan(format!("[\n{}\n]", items.join(",\n")).as_bytes(), Limits::default());
    assert_eq!((seen, rejects, error), (10, Vec::new(), None));
    assert!(!parts.contains('l'), "{parts}");
}

#[test]
fn a_failing_reader_is_an_error_after_what_came_before() {
    let failing = Failing::new(format!("{}{{\"cut", lines(1_000)));
    let (_, seen, rejects, error) = scan(failing, Limits::default());
    assert_eq!((seen, rejects.len(), error), (990, 10, Some((1_001, io::ErrorKind::TimedOut))));
    // Damaged data is a reject, whose line is that of the damage.
    let packed = super::zstd(lines(1_000).as_bytes());
    let (_, seen, rejects, error) = scan(&packed[..packed.len() - 9], Limits::default());
    assert!(seen <= 990 && error.is_none() && rejects.len() <= 11, "{seen} {rejects:?}");
    assert_eq!(rejects.last(), Some(&(seen as u64 + rejects.len() as u64)));
}
