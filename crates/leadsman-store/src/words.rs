//! The words that text is searched by. Both engines are given the same ones, so that both find the same.

use std::collections::BTreeSet;

use leadsman_domain::Finding;

/// A longer word is cut, in a finding and in a query alike. PostgreSQL takes 2,046 bytes.
const LONGEST: usize = 64;
/// Words of a finding that are indexed: far more than sentences hold, far fewer than PostgreSQL takes.
const OF_FINDING: usize = 2_000;
/// Words of a query that are looked for.
const OF_QUERY: usize = 32;

/// The distinct words of a finding, separated by spaces.
pub(crate) fn of_finding(finding: &Finding) -> String {
    let texts = [&finding.title, &finding.explanation.sentence, &finding.entity.id];
    let texts = texts.into_iter().chain(finding.rules.iter().map(|rule| &rule.title));
    let words: BTreeSet<String> = texts.flat_map(|text| split(text)).take(OF_FINDING).collect();
    words.into_iter().collect::<Vec<_>>().join(" ")
}

/// The words of a query; empty when the text has none.
pub(crate) fn of_query(text: &str) -> Vec<String> {
    split(text).take(OF_QUERY).collect()
}

/// Letters and digits of any script, in lower case.
fn split(text: &str) -> impl Iterator<Item = String> + '_ {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| word.chars().take(LONGEST).flat_map(char::to_lowercase).filter(|c| c.is_alphanumeric()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_letters_and_digits() {
        for (text, words) in [
            ("system:serviceaccount:Shop/cart-7", &["system", "serviceaccount", "shop", "cart", "7"][..]),
            ("\"'*&|!()<->:; \0\u{202e}", &[]),
            ("\u{c4}rger \u{130}stanbul", &["\u{e4}rger", "istanbul"]),
        ] {
            assert_eq!(of_query(text), words, "{text}");
        }
        assert_eq!(of_query(&"x".repeat(10_000)), ["x".repeat(LONGEST)]);
        assert_eq!(of_query(&"x ".repeat(10_000)).len(), OF_QUERY);
    }
}
