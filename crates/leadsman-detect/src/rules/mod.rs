//! The rule floor: rules in the [Sigma](https://github.com/SigmaHQ/sigma-specification) form for Kubernetes audit
//! events, and decoys.
//!
//! A rule set is compiled once. Rules are indexed by verb and resource, so an event is compared with the few that can
//! match it, and matching allocates nothing. Levels decide what a hit means: `high` and `critical` always report,
//! `medium` counts by how new the action is for its actor ([`evidence`]), `low` and `informational` are context.
//!
//! ```
//! use leadsman_detect::rules::{RuleSet, RuleSource};
//!
//! let text = "
//! title: Secrets of the vault are read
//! id: 5a4a5c8e-35a7-4fd8-9d8f-0c6a3d2c3b11
//! logsource: { product: kubernetes, service: audit }
//! detection:
//!   selection: { objectRef.resource: secrets, objectRef.namespace: vault }
//!   operator: { user.username: 'system:serviceaccount:vault:operator' }
//!   condition: selection and not operator
//! level: high
//! ";
//! let rules = RuleSet::compile(&[RuleSource { name: "mine.yml", text }])?;
//! assert_eq!(rules.rules().len(), 1);
//! # Ok::<(), leadsman_detect::rules::RuleError>(())
//! ```

mod compile;
mod condition;
mod decoys;
mod error;
mod expr;
mod field;
mod index;
mod newness;
mod pattern;
mod yaml;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use leadsman_domain::{AuditEvent, ContentHash, RuleHit, RuleLevel, Technique};

pub use decoys::Decoys;
pub use error::{RuleError, RuleProblem};
pub use newness::{evidence, newness};

use self::expr::Expr;
use self::index::Index;
use self::yaml::At;

/// Most bytes of a rule file.
pub const MAX_BYTES: usize = 1 << 20;
/// Most rules of a set.
pub const MAX_RULES: usize = 4_096;

/// The rules that are built in.
pub const SHIPPED: RuleSource<'static> =
    RuleSource { name: "kubernetes-audit.yml", text: include_str!("../../rules/kubernetes-audit.yml") };

/// A rule file: what messages call it, and its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleSource<'t> {
    /// The name.
    pub name: &'t str,
    /// YAML of one document a rule.
    pub text: &'t str,
}

/// A compiled rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its UUID, in lower case.
    pub id: String,
    /// What it finds.
    pub title: String,
    /// Why that matters.
    pub description: String,
    /// How much a hit means.
    pub level: RuleLevel,
    /// ATT&CK techniques of its tags.
    pub techniques: Vec<Technique>,
    expr: Expr,
}

impl Rule {
    /// How a finding refers to it.
    #[must_use]
    pub fn hit(&self) -> RuleHit {
        RuleHit { id: self.id.clone(), title: self.title.clone(), level: self.level }
    }
}

/// Rules, ready to match.
#[derive(Debug, Clone)]
pub struct RuleSet {
    rules: Vec<Rule>,
    index: Index,
    digest: String,
}

impl RuleSet {
    /// The rules that are built in, alone.
    ///
    /// Errors: [`RuleError`] when this build's rule file is broken, which its tests rule out.
    pub fn shipped() -> Result<Arc<Self>, RuleError> {
        static SET: OnceLock<Result<Arc<RuleSet>, RuleError>> = OnceLock::new();
        SET.get_or_init(|| Self::compile(&[SHIPPED]).map(Arc::new)).clone()
    }

    /// Everything that is wrong with files, each seen alone; in order.
    #[must_use]
    pub fn problems(sources: &[RuleSource<'_>]) -> Vec<RuleError> {
        sources.iter().filter_map(|source| file(source).err()).flatten().collect()
    }

    /// Compiles files, in order. A rule replaces the rule of the same id of an earlier file; one whose `status` is
    /// `deprecated` or `unsupported` takes it out.
    ///
    /// Errors: the first [`RuleError`], which names file, line and rule; [`Self::problems`] has the others.
    pub fn compile(sources: &[RuleSource<'_>]) -> Result<Self, RuleError> {
        let mut rules: BTreeMap<String, Rule> = BTreeMap::new();
        let mut digest = ContentHash::new("leadsman rule set v1");
        for source in sources {
            digest = digest.field(source.text);
            for (id, rule) in file(source).map_err(|mut all| all.swap_remove(0))? {
                match rule {
                    Some(rule) => rules.insert(id, rule),
                    None => rules.remove(&id),
                };
            }
            if rules.len() > MAX_RULES {
                return Err(error(source, None, (1, RuleProblem::TooManyRules)));
            }
        }
        let rules: Vec<Rule> = rules.into_values().collect();
        let index = Index::new(rules.iter().map(|r| &r.expr));
        Ok(Self { rules, index, digest: format!("{:032x}", digest.finish()) })
    }

    /// The rules that match an event, by id. Allocates nothing; time grows with the rules for its verb and resource.
    pub fn matching<'r>(&'r self, event: &AuditEvent) -> impl Iterator<Item = &'r Rule> {
        let candidates = self.index.candidates(event).iter().filter_map(|i| self.rules.get(usize::from(*i)));
        candidates.filter(move |rule| rule.expr.holds(event))
    }

    /// Every rule, by id.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Identity of the set: changes with every byte of its files.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

/// The rules of one file by id; `None` for those that are switched off.
///
/// Errors: what is wrong with it, at least one.
fn file(source: &RuleSource<'_>) -> Result<BTreeMap<String, Option<Rule>>, Vec<RuleError>> {
    if source.text.len() > MAX_BYTES {
        return Err(vec![error(source, None, (1, RuleProblem::TooLarge))]);
    }
    let documents = yaml::documents(source.text).map_err(|at| vec![error(source, None, at)])?;
    let (mut found, mut wrong) = (BTreeMap::new(), Vec::new());
    for document in &documents {
        let problem = match compile::rule(document) {
            Ok((id, rule)) => {
                let before = found.insert(id.clone(), rule);
                before.map(|_| (document.line, RuleProblem::DuplicateId(id)))
            }
            Err(at) => Some(at),
        };
        wrong.extend(problem.map(|at| error(source, compile::title(document), at)));
    }
    if wrong.is_empty() { Ok(found) } else { Err(wrong) }
}

fn error(source: &RuleSource<'_>, rule: Option<String>, (line, problem): At) -> RuleError {
    RuleError { file: source.name.to_owned(), line, rule, problem }
}
