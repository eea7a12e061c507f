use std::io;
use std::path::Path;
use std::sync::Arc;

use leadsman_detect::rules::{Decoys, RuleError, RuleSet, RuleSource, SHIPPED};

use super::read_file;
use super::values::DetectConfig;

/// Everything that is wrong with rules, at least one thing.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct RulesError(pub(super) Vec<RulesFault>);

/// Why rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RulesFault {
    /// A file cannot be read.
    #[error("cannot read the rule file {file}: {reason}")]
    Unreadable {
        /// Its path.
        file: String,
        /// What the operating system says.
        reason: io::Error,
    },
    /// A rule, or a decoy, is wrong.
    #[error(transparent)]
    Rule(#[from] RuleError),
}

impl DetectConfig {
    /// The rules that score: the built-in ones, those of files, decoys.
    ///
    /// Errors: [`RulesError`], when a file changed since the configuration was loaded, which compiled it as well.
    pub fn rule_set(&self) -> Result<Arc<RuleSet>, RulesError> {
        compile(self, &read_file)
    }
}

/// As [`DetectConfig::rule_set`], from anywhere.
pub(super) fn compile(
    detect: &DetectConfig,
    read: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Arc<RuleSet>, RulesError> {
    let alone = |error: RuleError| RulesError(vec![error.into()]);
    if detect.rules.is_empty() && detect.decoys == Decoys::default() {
        return RuleSet::shipped().map_err(alone);
    }
    let (mut texts, mut wrong) = (Vec::new(), Vec::new());
    for path in &detect.rules {
        let file = path.display().to_string();
        match read(path) {
            Ok(text) => texts.push((file, text)),
            Err(reason) => wrong.push(RulesFault::Unreadable { file, reason }),
        }
    }
    let decoys = detect.decoys.to_sigma().map_err(alone)?;
    let mut sources = vec![SHIPPED];
    sources.extend(texts.iter().map(|(name, text)| RuleSource { name, text }));
    wrong.extend(RuleSet::problems(&sources).into_iter().map(RulesFault::from));
    if !wrong.is_empty() {
        return Err(RulesError(wrong));
    }
    sources.push(RuleSource { name: "detect.decoys", text: &decoys });
    RuleSet::compile(&sources).map(Arc::new).map_err(alone)
}
