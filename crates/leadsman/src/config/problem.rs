use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::invalid::Invalid;
use super::place::Excerpt;

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The shipped `leadsman.toml`.
    Default,
    /// A configuration file.
    File {
        /// Its path, as it was looked for.
        path: PathBuf,
        /// The place in it; `None` if the whole file is meant.
        position: Option<Position>,
    },
    /// An environment variable, by name.
    Variable(String),
    /// A flag of the command.
    Flag,
}

/// A place in a text. Both numbers start at 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// What is wrong with a layer of the configuration. Texts name the key, and never show a secret.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Fault {
    /// The file is there, or was asked for, but cannot be read.
    #[error("cannot read the configuration file: {reason}")]
    Unreadable {
        /// What the operating system says.
        reason: String,
    },
    /// The file is not TOML.
    #[error("not valid TOML: {reason}")]
    Syntax {
        /// What the parser says.
        reason: String,
    },
    /// A file or flag sets a key that does not exist.
    #[error("unknown key `{key}`")]
    UnknownKey {
        /// Full name of the key.
        key: String,
        /// The key that was meant, if one is close.
        suggestion: Option<String>,
    },
    /// A file has a section that does not exist.
    #[error("unknown section `[{section}]`")]
    UnknownSection {
        /// Full name of the section.
        section: String,
        /// The section that was meant, if one is close.
        suggestion: Option<String>,
    },
    /// A variable starts with `LEADSMAN_` and is no key.
    #[error("unknown variable `{name}`")]
    UnknownVariable {
        /// Its name.
        name: String,
        /// The variable that was meant, if one is close.
        suggestion: Option<String>,
    },
    /// The value has another type.
    #[error("`{key}` must be {expected}, not {found}")]
    WrongType {
        /// Full name of the key.
        key: String,
        /// The type, with article.
        expected: &'static str,
        /// What was found, with article.
        found: String,
    },
    /// A rule file that cannot be read, or a rule in it that is wrong.
    #[error("`detect.rules`: {reason}")]
    Rules {
        /// What is wrong, with file, line and rule.
        reason: String,
    },
    /// The value has the right type and cannot be.
    #[error("`{key}` {reason}")]
    Invalid {
        /// Full name of the key.
        key: String,
        /// What is wrong with it.
        #[source]
        reason: Invalid,
    },
    /// Everybody on the network could read and change everything.
    #[error("`server.auth` is \"none\", but `server.listen` is {listen}, which others can reach")]
    OpenToOthers {
        /// The address.
        listen: SocketAddr,
    },
    /// Two uses of one topic: findings would come back as events.
    #[error("`{first}` and `{second}` are the same topic `{topic}`")]
    SameTopic {
        /// One key.
        first: &'static str,
        /// The other key.
        second: &'static str,
        /// The topic.
        topic: String,
    },
    /// Events would travel in the clear without anybody having asked for that.
    #[error("`lake.endpoint` is without TLS, so everybody on the way can read the events")]
    PlainEndpoint,
}

/// Something wrong with the configuration, and where.
///
/// Displays as one line, such as ``unknown key `server.listn`, did you mean `listen`? (leadsman.toml:3:1)``.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// What is wrong.
    pub fault: Fault,
    /// Where.
    pub origin: Origin,
    /// The line of the file, if it may be shown.
    pub(super) excerpt: Option<Excerpt>,
}

/// Everything that is wrong with the configuration: lower layers first, then by place.
///
/// Displays as a report in the form of a compiler's, each problem opening with `error: `.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}", report(.problems))]
pub struct ConfigError {
    /// The problems, at least one.
    pub problems: Vec<Problem>,
}

/// Width of the message column of a report.
const MESSAGE: usize = 45;

fn report(problems: &[Problem]) -> String {
    let mut report = String::new();
    for problem in problems {
        let message = format!("error: {}", problem.fault);
        report.push_str(&format!("{message:<MESSAGE$}  {}\n", problem.origin));
        match (&problem.excerpt, problem.fault.advice()) {
            (Some(excerpt), advice) => report.push_str(&excerpt.render(advice.as_deref().unwrap_or_default())),
            (None, Some(advice)) => report.push_str(&format!("  help: {advice}\n")),
            (None, None) => {}
        }
    }
    report.push_str("  help: run `leadsman config show`");
    report
}

// === impl Origin ===

impl Origin {
    /// Name of the layer: `default`, `file`, `environment` or `flag`.
    #[must_use]
    pub fn layer(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File { .. } => "file",
            Self::Variable(_) => "environment",
            Self::Flag => "flag",
        }
    }

    /// The place in a file.
    pub(super) fn position(&self) -> Option<Position> {
        match self {
            Self::File { position, .. } => *position,
            Self::Default | Self::Variable(_) | Self::Flag => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, position: None } => write!(f, "{}", path.display()),
            Self::File { path, position: Some(at) } => write!(f, "{}:{}:{}", path.display(), at.line, at.column),
            Self::Variable(name) => f.write_str(name),
            Self::Flag => f.write_str("command line"),
        }
    }
}

// === impl Fault ===

impl Fault {
    /// What to do about it, where the message does not say so already.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::UnknownKey { suggestion, .. }
            | Self::UnknownSection { suggestion, .. }
            | Self::UnknownVariable { suggestion, .. } => {
                suggestion.as_ref().map(|name| format!("did you mean `{name}`?"))
            }
            Self::OpenToOthers { .. } => {
                Some("set `server.auth = \"token\"`, or listen on a loopback address such as 127.0.0.1".to_owned())
            }
            Self::SameTopic { .. } => Some("give each its own topic".to_owned()),
            Self::PlainEndpoint => Some("name an https:// URL, or set `lake.allow_http = true`".to_owned()),
            Self::Unreadable { .. }
            | Self::Syntax { .. }
            | Self::WrongType { .. }
            | Self::Rules { .. }
            | Self::Invalid { .. } => None,
        }
    }
}

// === impl Problem ===

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fault)?;
        if let Some(advice) = self.fault.advice() {
            write!(f, ", {advice}")?;
        }
        write!(f, " ({})", self.origin)
    }
}
