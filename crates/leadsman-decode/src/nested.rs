//! Telemetry inside telemetry: text, base64 and compressed bytes that a wrapping holds.

use std::io::Read;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use leadsman_domain::{Format, RejectReason, SkipReason, Timestamp};
use serde_json::value::RawValue;

use crate::collect::{Collector, Terms};
use crate::inflate::{self, Inflate};
use crate::json;
use crate::line::Item;
use crate::refusal::Refusal;

/// Most wrappings around an item. Lambda, CloudWatch and CloudEvents together are three.
const MAX_NESTING: usize = 4;
/// How base64 of gzip and of zstd begins.
const BASE64_MAGIC: [&[u8]; 2] = [b"H4sI", b"KLUv/"];
/// Longest RFC 3339 time, with some room.
const MAX_TIME: usize = 40;

/// Senders differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Collector<'_> {
    /// What a wrapping holds: JSON of any known format, or lines of it, plain or compressed.
    pub(crate) fn payload(&mut self, line: u64, bytes: &[u8], terms: Terms<'_>) {
        if terms.depth == MAX_NESTING {
            let refusal = Refusal::new(RejectReason::TooNested, format!("wrapped more than {MAX_NESTING} times"));
            return self.reject(line, refusal, bytes);
        }
        let terms = Terms { depth: terms.depth + 1, ..terms };
        if inflate::is_compressed(bytes) {
            return match self.inflate(bytes, terms) {
                Ok(plain) if inflate::is_compressed(&plain) => self.payload(line, &plain, terms),
                Ok(plain) => self.lines(line, &plain, terms),
                Err(refusal) => self.reject(line, refusal, bytes),
            };
        }
        self.lines(line, bytes, terms);
    }

    /// As [`Self::payload`], of a JSON value: a string holds the payload, anything else is it.
    pub(crate) fn value(&mut self, line: u64, value: &RawValue, terms: Terms<'_>) {
        match json::text(value) {
            Some(text) => self.payload(line, text.as_bytes(), terms),
            None => self.payload(line, value.get().as_bytes(), terms),
        }
    }

    /// As [`Self::payload`], in base64.
    pub(crate) fn base64(&mut self, line: u64, text: &[u8], terms: Terms<'_>) {
        match BASE64.decode(text) {
            Ok(bytes) => self.payload(line, &bytes, terms),
            Err(_) => self.reject(line, Refusal::new(RejectReason::MalformedBase64, "not base64"), text),
        }
    }

    /// A line of a log that may hold telemetry or something else.
    pub(crate) fn log_line(&mut self, line: u64, text: &[u8], terms: Terms<'_>) {
        let start = text.trim_ascii_start();
        let telemetry = matches!(start.first(), Some(b'{' | b'[')) || is_base64(start) || after_time(start).is_some();
        if telemetry { self.payload(line, text, terms) } else { self.skip(SkipReason::OtherLog) }
    }

    /// What is not a JSON document may hold one: several behind each other without a line break (Firehose),
    /// base64 of compressed data (Kinesis), or a time and a document (CloudWatch export).
    ///
    /// `false` when it is none of them, and nothing was taken.
    pub(crate) fn not_a_document(&mut self, item: Item<'_>, text: &str, terms: Terms<'_>) -> bool {
        let trimmed = text.trim_ascii();
        match trimmed.as_bytes().first() {
            Some(b'{' | b'[') => self.concatenated(item, trimmed, terms),
            Some(_) if is_base64(trimmed.as_bytes()) => {
                self.base64(item.line, trimmed.as_bytes(), terms);
                true
            }
            Some(_) => match after_time(trimmed.as_bytes()) {
                Some(message) => {
                    self.format(Format::CloudWatchExport);
                    self.log_line(item.line, message, terms);
                    true
                }
                None => false,
            },
            None => false,
        }
    }

    fn concatenated(&mut self, item: Item<'_>, text: &str, terms: Terms<'_>) -> bool {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
        let Some(Ok(first)) = values.next() else { return false };
        let mut rest = text.get(values.byte_offset()..).unwrap_or_default().trim_ascii_start();
        if !rest.starts_with(['{', '[']) {
            return false;
        }
        self.document(Item { line: item.line, bytes: first.get().as_bytes() }, terms);
        while let Some(value) = values.next() {
            let Ok(value) = value else { break };
            self.document(Item { line: item.line, bytes: value.get().as_bytes() }, terms);
            rest = text.get(values.byte_offset()..).unwrap_or_default().trim_ascii_start();
        }
        if !rest.is_empty() {
            let refusal = Refusal::new(RejectReason::MalformedJson, "not JSON, behind documents on the same line");
            self.reject(item.line, refusal, rest.as_bytes());
        }
        true
    }

    fn lines(&mut self, line: u64, bytes: &[u8], terms: Terms<'_>) {
        let bytes = bytes.trim_ascii();
        if bytes.is_empty() {
            return self.skip(SkipReason::Empty);
        }
        if memchr::memchr(b'\n', bytes).is_none() || json::scan(bytes).complete {
            return self.whole(line, bytes, terms);
        }
        for part in bytes.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|part| !part.is_empty()) {
            self.whole(line, part, terms);
        }
    }

    fn whole(&mut self, line: u64, bytes: &[u8], terms: Terms<'_>) {
        if bytes.len() > terms.limits.max_item_bytes {
            return self.reject(line, Refusal::too_large(terms.limits.max_item_bytes), bytes);
        }
        self.document(Item { line, bytes }, terms);
    }

    /// Inflates within the limits of one record, which all its compressed parts share.
    fn inflate(&mut self, bytes: &[u8], terms: Terms<'_>) -> Result<Vec<u8>, Refusal> {
        let mut limits = *terms.limits;
        limits.max_decompressed = limits.max_decompressed.saturating_sub(self.inflated);
        let mut plain = Vec::new();
        let result = Inflate::record(bytes, &limits).and_then(|mut inflate| inflate.read_to_end(&mut plain));
        self.inflated = self.inflated.saturating_add(plain.len() as u64);
        result.map(|_| plain).map_err(|_| inflate::refusal())
    }
}

fn is_base64(text: &[u8]) -> bool {
    BASE64_MAGIC.iter().any(|magic| text.starts_with(magic))
}

/// What follows an RFC 3339 time and a blank.
fn after_time(text: &[u8]) -> Option<&[u8]> {
    if !text.first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let head = text.get(..MAX_TIME.min(text.len()))?;
    let blank = memchr::memchr(b' ', head)?;
    let (time, rest) = text.split_at(blank);
    let time = std::str::from_utf8(time).ok()?;
    Timestamp::parse(time).is_ok().then(|| rest.trim_ascii_start())
}
