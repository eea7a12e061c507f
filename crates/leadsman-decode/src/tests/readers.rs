//! Reading piece by piece: lines, and failures of the reader itself.

use std::io::{self, BufReader, Cursor, Read};

use leadsman_domain::RejectReason;

use super::{context, ids, now, numbered};
use crate::{AuditReader, Limits, Line, LineReader, RawItem};

/// Fails after its content, as a network file system does.
pub(super) struct Failing(Cursor<Vec<u8>>);

impl Failing {
    pub(super) fn new(content: String) -> Self {
        Self(Cursor::new(content.into_bytes()))
    }
}

impl Read for Failing {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self.0.read(to)? {
            0 => Err(io::ErrorKind::TimedOut.into()),
            n => Ok(n),
        }
    }
}

fn item(line: u64, bytes: &str) -> RawItem {
    RawItem { line, bytes: bytes.as_bytes().to_vec() }
}

#[test]
fn lines_are_numbered_and_bounded() {
    let text = "\u{feff}one\r\n\n  \ntwo\n0123456789ABC\nthree";
    for capacity in [1, 2, 3, 7, 100] {
        let reader = BufReader::with_capacity(capacity, text.as_bytes());
        let lines: Vec<_> = LineReader::new(reader, 10).map(Result::unwrap).collect();
        assert_eq!(
            lines,
            [
                Line::Whole(item(1, "one")),
                Line::Whole(item(4, "two")),
                Line::TooLong(item(5, "0123456789")),
                Line::Whole(item(6, "three")),
            ],
            "{capacity}"
        );
    }
}

#[test]
fn a_failing_reader_is_an_error_after_what_came_before() {
    let text = format!("{}\n{}\n{{\"cut", numbered(1), numbered(2));
    let failing = Failing(Cursor::new(text.into_bytes()));
    let mut reader = AuditReader::new(failing, context(), Limits::default(), now()).unwrap();
    assert_eq!(ids(&reader.next_chunk(10).unwrap().unwrap()), ["0001", "0002"]);
    let error = reader.next_chunk(10).unwrap_err();
    assert_eq!((error.line, error.source.kind()), (3, io::ErrorKind::TimedOut));
    assert!(reader.next_chunk(10).unwrap().is_none());
    // Under gzip too, it is the reader's failure and not damaged data.
    let packed = super::gzip(numbered(1).as_bytes());
    let failing = Failing(Cursor::new(packed[..packed.len() - 9].to_vec()));
    let mut reader = AuditReader::new(failing, context(), Limits::default(), now()).unwrap();
    assert_eq!(reader.next_chunk(10).unwrap_err().source.kind(), io::ErrorKind::TimedOut);
    assert!(AuditReader::new(Failing(Cursor::default()), context(), Limits::default(), now()).is_err());
}

#[test]
fn a_chunk_of_a_long_list_holds_no_more_than_was_asked() {
    let items: Vec<_> = (0..10).map(numbered).collect();
    let text = format!("[{},nonsense]", items.join(","));
    let mut reader = AuditReader::new(text.as_bytes(), context(), Limits::default(), now()).unwrap();
    let mut sizes = Vec::new();
    let mut rejects = Vec::new();
    while let Some(chunk) = reader.next_chunk(4).unwrap() {
        sizes.push(chunk.events.len());
        rejects.extend(chunk.rejects.into_iter().map(|r| r.reason));
    }
    assert_eq!((sizes, rejects), (vec![4, 4, 2], vec![RejectReason::MalformedJson]));
}
