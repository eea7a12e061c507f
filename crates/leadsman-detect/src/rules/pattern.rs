//! One value of a selection, compiled.

use core::net::IpAddr;

use regex::bytes::{Regex, RegexBuilder};

use super::RuleProblem;

/// Modifiers of the Sigma specification that are supported.
pub(super) const MODIFIERS: [&str; 8] = ["contains", "startswith", "endswith", "all", "re", "cidr", "exists", "cased"];
/// Longest regular expression, in bytes.
const MAX_REGEX: usize = 1024;
/// Most bytes a compiled regular expression may take, and its cache of states.
const REGEX_SIZE: usize = 1 << 20;

/// What a field's value is compared with.
#[derive(Debug, Clone)]
pub(super) enum Pattern {
    /// The whole value, its beginning, its end, or any part.
    Text {
        place: Place,
        text: Box<str>,
        cased: bool,
    },
    /// Wildcards between texts, or an expression of the rule's own. Linear in the value's length.
    Regex(Regex),
    Network {
        address: IpAddr,
        bits: u32,
    },
}

/// Where a text must stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Whole,
    Start,
    End,
    Anywhere,
}

impl Pattern {
    /// A value with Sigma's wildcards: `*` is any text, `?` one character, `\` takes their meaning away.
    pub(super) fn text(value: &str, place: Place, cased: bool) -> Result<Self, RuleProblem> {
        let parts = parts(value);
        // The four shapes that most values have need no expression.
        let plain = match (parts.as_slice(), place) {
            ([Part::Text(_)], place) => Some(place),
            ([Part::Any, Part::Text(_)], Place::Whole | Place::End) => Some(Place::End),
            ([Part::Text(_), Part::Any], Place::Whole | Place::Start) => Some(Place::Start),
            ([Part::Any, Part::Text(_), Part::Any], _) => Some(Place::Anywhere),
            _ => None,
        }
        .zip(parts.iter().find_map(|p| if let Part::Text(t) = p { Some(t) } else { None }));
        if let Some((place, text)) = plain {
            return Ok(Self::Text { place, text: text.as_str().into(), cased });
        }
        let mut pattern = "(?s)".to_owned();
        if matches!(place, Place::Whole | Place::Start) {
            pattern.push('^');
        }
        for part in &parts {
            match part {
                Part::Any => pattern.push_str(".*"),
                // One character of UTF-8: expressions see bytes.
                Part::One => pattern.push_str("(?:[\\x00-\\x7f]|[\\xc0-\\xff][\\x80-\\xbf]*)"),
                Part::Text(text) => pattern.push_str(&regex::escape(text)),
            }
        }
        if matches!(place, Place::Whole | Place::End) {
            pattern.push('$');
        }
        build(&pattern, value, !cased).map(Self::Regex)
    }

    /// A regular expression, case-sensitive as Sigma has it, found anywhere unless anchored.
    pub(super) fn regex(value: &str) -> Result<Self, RuleProblem> {
        if value.len() > MAX_REGEX {
            let pattern: String = value.chars().take(32).collect();
            return Err(RuleProblem::Regex { pattern, reason: format!("it has more than {MAX_REGEX} bytes") });
        }
        build(value, value, false).map(Self::Regex)
    }

    /// An IPv4 or IPv6 network.
    pub(super) fn network(value: &str) -> Result<Self, RuleProblem> {
        let wrong = || RuleProblem::Cidr(value.to_owned());
        let (address, bits) = value.split_once('/').ok_or_else(wrong)?;
        let (address, bits): (IpAddr, u32) =
            (address.parse().map_err(|_| wrong())?, bits.parse().map_err(|_| wrong())?);
        if bits > if address.is_ipv4() { 32 } else { 128 } {
            return Err(wrong());
        }
        Ok(Self::Network { address, bits })
    }

    /// Whether `value` matches.
    pub(super) fn matches(&self, value: &str) -> bool {
        match self {
            Self::Text { place, text, cased } => found(value.as_bytes(), text.as_bytes(), *place, *cased),
            Self::Regex(regex) => regex.is_match(value.as_bytes()),
            Self::Network { address, bits } => value.parse().is_ok_and(|ip| in_network(ip, *address, *bits)),
        }
    }

    /// The text, if the whole value must be equal to it.
    pub(super) fn whole(&self) -> Option<&str> {
        match self {
            Self::Text { place: Place::Whole, text, .. } => Some(text),
            Self::Text { place: Place::Start | Place::End | Place::Anywhere, .. }
            | Self::Regex(_)
            | Self::Network { .. } => None,
        }
    }

    /// Rank by cost: cheap tests go first.
    pub(super) fn cost(&self) -> u32 {
        match self {
            Self::Text { place: Place::Whole | Place::Start | Place::End, .. } => 1,
            Self::Network { .. } => 4,
            Self::Text { place: Place::Anywhere, .. } => 8,
            Self::Regex(_) => 16,
        }
    }
}

fn found(value: &[u8], text: &[u8], place: Place, cased: bool) -> bool {
    let same = |a: &[u8]| if cased { a == text } else { a.eq_ignore_ascii_case(text) };
    match place {
        Place::Whole => same(value),
        Place::Start => value.get(..text.len()).is_some_and(same),
        Place::End => value.len().checked_sub(text.len()).is_some_and(|at| same(&value[at..])),
        Place::Anywhere => text.is_empty() || value.windows(text.len()).any(same),
    }
}

fn in_network(ip: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            (ip.to_bits() ^ network.to_bits()).checked_shr(32 - bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => {
            (ip.to_bits() ^ network.to_bits()).checked_shr(128 - bits).unwrap_or(0) == 0
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// Expressions see bytes and ASCII classes: telemetry is mostly that, and the tables of Unicode stay out.
fn build(pattern: &str, shown: &str, fold: bool) -> Result<Regex, RuleProblem> {
    RegexBuilder::new(pattern)
        .unicode(false)
        .case_insensitive(fold)
        .size_limit(REGEX_SIZE)
        .dfa_size_limit(REGEX_SIZE)
        .build()
        .map_err(|e| {
            let reason = e.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            RuleProblem::Regex { pattern: shown.to_owned(), reason }
        })
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    One,
    Any,
}

fn parts(value: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        let literal = match c {
            '*' => {
                if parts.last() != Some(&Part::Any) {
                    parts.push(Part::Any);
                }
                continue;
            }
            '?' => {
                parts.push(Part::One);
                continue;
            }
            '\\' => chars.next_if(|next| matches!(next, '*' | '?' | '\\')).unwrap_or('\\'),
            c => c,
        };
        match parts.last_mut() {
            Some(Part::Text(text)) => text.push(literal),
            Some(Part::One | Part::Any) | None => parts.push(Part::Text(literal.to_string())),
        }
    }
    parts
}
