//! Which rules can match an event at all, by resource and verb.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use leadsman_domain::AuditEvent;

use super::expr::{Expr, VERBS};

type ByVerb = [Box<[u16]>; VERBS.len()];

/// Positions of the rules to compare an event with.
#[derive(Debug, Clone)]
pub(super) struct Index {
    /// By resource in lower case, ascending.
    resources: Vec<(Box<str>, ByVerb)>,
    /// For every other resource.
    others: ByVerb,
}

impl Index {
    pub(super) fn new<'e>(rules: impl Iterator<Item = &'e Expr>) -> Self {
        let bounds: Vec<(u16, Option<BTreeSet<String>>)> = rules.map(|e| (e.verbs(), e.resources())).collect();
        let named: BTreeSet<&String> = bounds.iter().filter_map(|(_, r)| r.as_ref()).flatten().collect();
        let row = |resource: Option<&String>| -> ByVerb {
            std::array::from_fn(|verb| {
                let possible = bounds.iter().enumerate().filter(|(_, (verbs, resources))| {
                    let named = resources.as_ref().is_none_or(|r| resource.is_some_and(|name| r.contains(name)));
                    verbs & 1 << verb != 0 && named
                });
                // A set holds at most MAX_RULES rules.
                possible.map(|(i, _)| i as u16).collect()
            })
        };
        Self { resources: named.iter().map(|n| (n.as_str().into(), row(Some(n)))).collect(), others: row(None) }
    }

    pub(super) fn candidates(&self, event: &AuditEvent) -> &[u16] {
        let resource = event.object.resource.raw();
        // All but never in lower case already; then whole words are compared.
        let found = if resource.bytes().any(|b| b.is_ascii_uppercase()) {
            self.resources.binary_search_by(|(name, _)| caseless(name, resource))
        } else {
            self.resources.binary_search_by(|(name, _)| name.as_ref().cmp(resource))
        };
        let row = found.ok().and_then(|i| self.resources.get(i)).map_or(&self.others, |(_, row)| row);
        &row[event.verb as usize]
    }
}

/// Order of a lower-case text and any other, without regard to case.
fn caseless(lower: &str, other: &str) -> Ordering {
    lower.bytes().cmp(other.bytes().map(|b| b.to_ascii_lowercase()))
}
