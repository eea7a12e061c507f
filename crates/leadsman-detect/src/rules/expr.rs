//! Compiled selections and conditions: what an event must be, and which verbs and resources can be at all.

use std::collections::BTreeSet;

use leadsman_domain::{AuditEvent, Verb};

use super::field::{Field, verb_names};
use super::pattern::Pattern;

/// Every verb, in the order of the index.
pub(super) const VERBS: [Verb; 13] = [
    Verb::Get,
    Verb::List,
    Verb::Watch,
    Verb::Create,
    Verb::Update,
    Verb::Patch,
    Verb::Delete,
    Verb::DeleteCollection,
    Verb::Exec,
    Verb::Attach,
    Verb::PortForward,
    Verb::Proxy,
    Verb::Other,
];
const ALL_VERBS: u16 = (1 << VERBS.len()) - 1;

/// A condition over fields.
#[derive(Debug, Clone)]
pub(super) enum Expr {
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    Test(Test),
}

/// One field and the values it may have, or must have all of.
#[derive(Debug, Clone)]
pub(super) struct Test {
    pub(super) field: Field,
    pub(super) patterns: Vec<Pattern>,
    /// Whether every pattern must be found, not one of them.
    pub(super) all: bool,
    /// Whether an event without the field matches.
    pub(super) absent: bool,
}

impl Test {
    fn holds(&self, event: &AuditEvent) -> bool {
        self.holds_by(|test| self.field.any(event, test))
    }

    fn holds_by(&self, any: impl Fn(&dyn Fn(&str) -> bool) -> bool) -> bool {
        if self.absent && !any(&|_| true) {
            return true;
        }
        if self.all {
            self.patterns.iter().all(|p| any(&|value| p.matches(value)))
        } else {
            any(&|value| self.patterns.iter().any(|p| p.matches(value)))
        }
    }

    fn cost(&self) -> u32 {
        self.patterns.iter().map(Pattern::cost).sum()
    }
}

impl Expr {
    /// Whether the event matches.
    pub(super) fn holds(&self, event: &AuditEvent) -> bool {
        match self {
            Self::And(all) => all.iter().all(|e| e.holds(event)),
            Self::Or(any) => any.iter().any(|e| e.holds(event)),
            Self::Not(e) => !e.holds(event),
            Self::Test(test) => test.holds(event),
        }
    }

    /// The same condition with cheap tests before dear ones.
    pub(super) fn ordered(self) -> Self {
        let sorted = |parts: Vec<Self>| {
            let mut parts: Vec<Self> = parts.into_iter().map(Self::ordered).collect();
            parts.sort_by_key(Self::cost);
            parts
        };
        match self {
            Self::And(all) => Self::And(sorted(all)),
            Self::Or(any) => Self::Or(sorted(any)),
            Self::Not(e) => Self::Not(Box::new(e.ordered())),
            Self::Test(test) => Self::Test(test),
        }
    }

    fn cost(&self) -> u32 {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().map(Self::cost).sum(),
            Self::Not(e) => e.cost(),
            Self::Test(test) => test.cost(),
        }
    }

    /// Bit i tells whether an event with `VERBS[i]` can match at all.
    pub(super) fn verbs(&self) -> u16 {
        match self {
            Self::And(all) => all.iter().fold(ALL_VERBS, |mask, e| mask & e.verbs()),
            Self::Or(any) => any.iter().fold(0, |mask, e| mask | e.verbs()),
            Self::Not(e) if e.is_about_verbs() => ALL_VERBS & !e.verbs(),
            Self::Not(_) => ALL_VERBS,
            Self::Test(test) if test.field.is_verb() => VERBS.iter().enumerate().fold(0, |mask, (i, verb)| {
                let names = if test.field == Field::Verb { verb_names(*verb) } else { &verb_names(*verb)[..1] };
                mask | u16::from(test.holds_by(|t| names.iter().any(|n| t(n)))) << i
            }),
            Self::Test(_) => ALL_VERBS,
        }
    }

    fn is_about_verbs(&self) -> bool {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().all(Self::is_about_verbs),
            Self::Not(e) => e.is_about_verbs(),
            Self::Test(test) => test.field.is_verb(),
        }
    }

    /// The resources, in lower case, outside of which no event can match; `None` when there is no such bound.
    pub(super) fn resources(&self) -> Option<BTreeSet<String>> {
        match self {
            Self::And(all) => all.iter().filter_map(Self::resources).reduce(|a, b| &a & &b),
            Self::Or(any) => any.iter().try_fold(BTreeSet::new(), |a, e| e.resources().map(|b| &a | &b)),
            Self::Not(_) => None,
            Self::Test(Test { field: Field::Resource, patterns, absent: false, .. }) => {
                patterns.iter().map(|p| p.whole().map(str::to_ascii_lowercase)).collect()
            }
            Self::Test(_) => None,
        }
    }
}
