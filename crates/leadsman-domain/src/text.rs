use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// Text that a client of the API server chose: never an identity, never printed raw.
///
/// Most are short and many are kept in several places: up to 23 bytes stand in the value, longer text is shared.
///
/// `Display` escapes control, bidirectional and invisible characters and caps the length, so it is safe in
/// a terminal, a log line and plain text. HTML, CSV and the like need their own escaping on top.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Untrusted(SmolStr);

/// Longest rendering of one untrusted text, in characters.
const MAX_SHOWN: usize = 256;
/// Longest identifier that may stand in a sentence: a DNS-1123 subdomain.
const MAX_IDENTIFIER: usize = 253;

impl Untrusted {
    /// Wraps text from telemetry.
    pub fn new(text: impl Into<SmolStr>) -> Self {
        Self(text.into())
    }

    /// The text as it came: for matching and hashing, never for showing.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(&self.0, MAX_SHOWN, f)
    }
}

fn write_escaped(text: &str, max: usize, f: &mut impl fmt::Write) -> fmt::Result {
    for (n, c) in text.chars().enumerate() {
        if n == max {
            return f.write_char('…');
        }
        if c.is_control() || is_invisible(c) { write!(f, "\\u{{{:x}}}", u32::from(c))? } else { f.write_char(c)? }
    }
    Ok(())
}

/// Bidirectional controls, zero-width characters, separators, the byte-order mark and tag characters:
/// they change how neighbouring text reads without being seen.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// `text` if it is a well-formed identifier (user, account, namespace, resource, address), else a quoted,
/// escaped and capped form of it. Sentences contain nothing else from telemetry.
#[must_use]
pub fn identifier(text: &str) -> Cow<'_, str> {
    let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'-' | b'_' | b'/' | b'@');
    if !text.is_empty() && text.len() <= MAX_IDENTIFIER && text.bytes().all(ok) {
        return Cow::Borrowed(text);
    }
    let mut quoted = String::from("‹");
    // Writing into a String cannot fail.
    if write_escaped(text, 64, &mut quoted).is_ok() {
        quoted.push('›');
    }
    Cow::Owned(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_what_changes_a_terminal_or_hides() {
        let shown = Untrusted::new("a\x1b[2Jb\r\nc\u{202e}d").to_string();
        assert_eq!(shown, "a\\u{1b}[2Jb\\u{d}\\u{a}c\\u{202e}d");
    }

    #[test]
    fn identifiers_pass_and_the_rest_is_quoted() {
        assert_eq!(identifier("system:serviceaccount:shop/cart"), "system:serviceaccount:shop/cart");
        assert_eq!(identifier("jane doe"), "‹jane doe›");
        assert_eq!(identifier(""), "‹›");
        assert_eq!(identifier("x\n"), "‹x\\u{a}›");
    }

    proptest! {
        #[test]
        fn nothing_shown_holds_a_control_character(text in ".*") {
            let text = text + "\u{0}\u{7f}\u{9b}\n";
            for shown in [Untrusted::new(text.clone()).to_string(), identifier(&text).into_owned()] {
                prop_assert!(!shown.chars().any(|c| c.is_control() || is_invisible(c)));
                prop_assert!(shown.chars().count() <= MAX_SHOWN * 10 + 1);
            }
        }
    }
}
