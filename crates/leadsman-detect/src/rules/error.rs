use super::field::Field;
use super::pattern::MODIFIERS;
use super::yaml::{MAX_DEPTH, MAX_NODES};
use super::{MAX_BYTES, MAX_RULES};

/// A rule file cannot be used: where, in which rule, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {}{problem}", self.rule_prefix())]
pub struct RuleError {
    /// The file, or what was given as its name.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Title of the rule, once it is known.
    pub rule: Option<String>,
    /// Why.
    pub problem: RuleProblem,
}

impl RuleError {
    fn rule_prefix(&self) -> String {
        self.rule.as_ref().map_or_else(String::new, |r| format!("rule `{r}`: "))
    }
}

/// Why a rule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleProblem {
    /// The file is too long.
    #[error("the file has more than {MAX_BYTES} bytes: split it")]
    TooLarge,
    /// There are more rules than a set can hold.
    #[error("more than {MAX_RULES} rules: leave some out")]
    TooManyRules,
    /// It is no YAML.
    #[error("this is not YAML: {0}")]
    Yaml(String),
    /// Nested too deep.
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// More parts than a rule file needs.
    #[error("more than {MAX_NODES} values: split the file")]
    TooManyValues,
    /// Anchors, aliases and tags.
    #[error("anchors, aliases and tags are refused: write the value out")]
    Alias,
    /// A key occurs twice.
    #[error("the key `{0}` occurs twice")]
    DuplicateKey(String),
    /// A required part is missing.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A value of the wrong kind.
    #[error("`{key}` must be {wanted}")]
    Invalid {
        /// The key.
        key: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// Two rules of one file share an id.
    #[error("the id {0} belongs to another rule of this file: give each rule its own")]
    DuplicateId(String),
    /// The rule is for other logs.
    #[error("the log source must be `product: kubernetes` with `service: audit`: other logs are not matched")]
    LogSource,
    /// A Sigma correlation, or a filter.
    #[error("`{0}` documents are not supported: detectors of bursts and sequences are built in, write a plain rule")]
    Document(&'static str),
    /// A field that events do not have.
    #[error("unknown field `{0}`; known fields: {known}", known = Field::names())]
    UnknownField(String),
    /// A modifier that is not supported.
    #[error("unknown modifier `{0}`; known modifiers: {known}", known = MODIFIERS.join(", "))]
    UnknownModifier(String),
    /// Modifiers that contradict each other.
    #[error("the modifiers of `{0}` cannot be combined")]
    Modifiers(String),
    /// A list of texts without a field.
    #[error(
        "`{0}` is a list of keywords, which match anywhere in a log line: name the field, as in `requestURI|contains`"
    )]
    Keywords(String),
    /// A regular expression that does not compile or is too large.
    #[error("`{pattern}` is no usable regular expression: {reason}")]
    Regex {
        /// The expression.
        pattern: String,
        /// Why not.
        reason: String,
    },
    /// No network.
    #[error("`{0}` is no network: write it as 10.0.0.0/8 or 2001:db8::/32")]
    Cidr(String),
    /// The condition has an aggregation.
    #[error("`{0}` aggregates events, which conditions cannot: bursts are judged by the forest and by novelty")]
    Aggregation(String),
    /// The condition cannot be read.
    #[error("the condition cannot be read at `{at}`: {wanted}")]
    Condition {
        /// Where.
        at: String,
        /// What should stand there.
        wanted: &'static str,
    },
    /// The condition names what does not exist.
    #[error("the condition names `{name}`, but detection has only {known}")]
    UnknownSelection {
        /// What it names.
        name: String,
        /// What there is.
        known: String,
    },
    /// A decoy or an exception that is no name.
    #[error("the decoy `{0}` is no name: write namespace/name, or a namespace, of lower-case letters, digits, - and .")]
    Decoy(String),
}
