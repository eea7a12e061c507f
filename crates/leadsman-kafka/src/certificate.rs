//! How long certificates hold, read from their PEM files.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leadsman_domain::Timestamp;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
/// Longer files hold no certificates of ours.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Why it cannot be said how long a file's certificates hold.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// There is no certificate that we understand.
    #[error("holds no certificate in PEM")]
    NotPem,
}

/// When the first of a file's certificates ends: of a chain that is the client's own, and a bundle of authorities is as
/// good as its last.
///
/// Errors: when the file is not there, or holds none.
pub fn ends(path: &Path) -> Result<Vec<Timestamp>, CertificateError> {
    if std::fs::metadata(path)?.len() > MAX_BYTES {
        return Err(CertificateError::NotPem);
    }
    let text = std::fs::read_to_string(path)?;
    let found: Vec<_> = text.split(BEGIN).skip(1).filter_map(|rest| end(rest.split(END).next()?)).collect();
    if found.is_empty() { Err(CertificateError::NotPem) } else { Ok(found) }
}

fn end(base64: &str) -> Option<Timestamp> {
    let digits: String = base64.split_whitespace().collect();
    not_after(&STANDARD.decode(digits).ok()?)
}

/// The end of validity. RFC 5280, section 4.1: a certificate begins with the part that is signed, and that with an
/// optional version, serial number, algorithm, issuer, validity.
fn not_after(der: &[u8]) -> Option<Timestamp> {
    let (_, certificate, _) = element(der)?;
    let (_, signed, _) = element(certificate)?;
    let (tag, _, rest) = element(signed)?;
    // [0] is the version; without it the serial number comes first.
    let mut rest = if tag == 0xa0 { element(rest)?.2 } else { rest };
    for _ in ["algorithm", "issuer"] {
        rest = element(rest)?.2;
    }
    let (_, validity, _) = element(rest)?;
    let (_, _, rest) = element(validity)?;
    let (tag, time, _) = element(rest)?;
    moment(tag, std::str::from_utf8(time).ok()?)
}

/// An element of DER: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        // Four bytes of length are more than any certificate has.
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0_usize, |length, byte| (length << 8) | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// `UTCTime`, whose years are those from 1950 to 2049, or `GeneralizedTime`; both in seconds and ending in Z.
fn moment(tag: u8, text: &str) -> Option<Timestamp> {
    let full = match (tag, text.get(..2)?.parse::<u8>().ok()?) {
        (0x17, year) => format!("{}{text}", if year < 50 { "20" } else { "19" }),
        (0x18, _) => text.to_owned(),
        _ => return None,
    };
    let part = |range| full.get(range);
    let (date, time) = (full.get(..8)?, full.get(8..15)?);
    if !time.ends_with('Z') || !date.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let text = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0..4)?,
        part(4..6)?,
        part(6..8)?,
        part(8..10)?,
        part(10..12)?,
        part(12..14)?
    );
    Timestamp::parse(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_both_kinds_are_read() {
        let is = |tag, text, expected: Option<&str>| {
            assert_eq!(moment(tag, text), expected.map(|e| Timestamp::parse(e).unwrap()), "{text}");
        };
        is(0x17, "261130120000Z", Some("2026-11-30T12:00:00Z"));
        is(0x17, "500101000000Z", Some("1950-01-01T00:00:00Z"));
        is(0x18, "20501231235959Z", Some("2050-12-31T23:59:59Z"));
        is(0x18, "99991231235959Z", None);
        is(0x17, "2611301200Z", None);
        is(0x17, "", None);
        is(0x02, "261130120000Z", None);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut der = vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(not_after(&der), None, "longer than there is");
        der.truncate(3);
        assert_eq!(not_after(&der), None);
        assert_eq!(not_after(&[]), None);
        assert_eq!(not_after(&[0x30, 0x02, 0x30, 0x00]), None);
        assert!(end("not base64").is_none());
    }
}
