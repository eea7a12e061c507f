use std::io;
use std::path::{Path, PathBuf};

use super::effective::{Effective, Entry};
use super::keys::{Draft, Value};
use super::place::{Document, Excerpt};
use super::problem::{ConfigError, Fault, Origin, Problem};
use super::values::{Auth, Config, Topic};
use super::{DEFAULTS, environment, file, rules};

/// Everything the configuration is made of besides the defaults.
pub struct Layers<'a> {
    /// The file given with `--config`, which replaces `./leadsman.toml` and must exist.
    pub file: Option<&'a Path>,
    /// The environment. Of interest are `LEADSMAN_*`, `AWS_*`, `XDG_CONFIG_HOME` and `HOME`.
    pub environment: Vec<(String, String)>,
    /// Keys set by flags, with the value as text: `("server.listen", "0.0.0.0:8080")`. The last of a key wins.
    pub flags: Vec<(String, String)>,
    /// Reads a file; [`super::read_file`] reads it from the disk.
    pub read: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// A loaded configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// For the program.
    pub config: Config,
    /// For people: every value and where it comes from.
    pub effective: Effective,
}

/// A value of a known key and of its type, and where it stands.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) value: Value,
    pub(super) origin: Origin,
    pub(super) excerpt: Option<Excerpt>,
}

/// What a layer holds.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) settings: Vec<Setting>,
    pub(super) problems: Vec<Problem>,
}

/// Puts the layers together and checks them.
///
/// Errors: [`ConfigError`] with every problem of every layer, even of values that a higher layer overrides.
pub fn load(layers: &Layers<'_>) -> Result<Loaded, ConfigError> {
    let mut stack = vec![file::read(Document { path: Path::new("leadsman.toml"), text: DEFAULTS }).into_defaults()];
    stack.extend(files(layers).iter().map(|place| place.read(layers.read)));
    stack.push(environment::variables(&layers.environment));
    stack.push(environment::flags(&layers.flags));

    let mut draft = Draft::new();
    let mut effective = Effective::default();
    let mut problems = Vec::new();
    for (rank, layer) in stack.into_iter().enumerate() {
        problems.extend(layer.problems.into_iter().map(|problem| (rank, problem)));
        for Setting { key, value, origin, excerpt } in layer.settings {
            match draft.set(&key, &value) {
                Ok(()) => effective.set(key, Entry { value, origin, excerpt, rank }),
                Err(reason) => {
                    problems.push((rank, Problem { fault: Fault::Invalid { key, reason }, origin, excerpt }));
                }
            }
        }
    }
    problems.extend(contradictions(&draft, &effective));
    problems.extend(wrong_rules(&draft, &effective, layers.read));
    if problems.is_empty() {
        draft.config.lake.access.variables = environment::of_cloud(&layers.environment);
        return Ok(Loaded { config: draft.finish(), effective });
    }
    problems.sort_by_key(|(rank, problem)| (*rank, problem.origin.position()));
    Err(ConfigError { problems: problems.into_iter().map(|(_, problem)| problem).collect() })
}

/// Values that are fine each, but not together. Blames the one set by the higher layer.
fn contradictions(draft: &Draft, effective: &Effective) -> Vec<(usize, Problem)> {
    let mut found = Vec::new();
    let mut contradict = |first, second, fault| {
        if let Some(entry) = effective.higher(first, second) {
            let problem = Problem { fault, origin: entry.origin.clone(), excerpt: entry.excerpt.clone() };
            found.push((entry.rank, problem));
        }
    };
    let server = &draft.config.server;
    if server.auth == Auth::None && !server.listen.ip().to_canonical().is_loopback() {
        contradict("server.listen", "server.auth", Fault::OpenToOthers { listen: server.listen });
    }
    let access = &draft.config.lake.access;
    if !access.allow_http && access.endpoint.as_ref().is_some_and(|url| url.starts_with("http://")) {
        contradict("lake.endpoint", "lake.allow_http", Fault::PlainEndpoint);
    }
    let kafka = &draft.kafka;
    let of = |key, topics: &[Topic]| topics.iter().map(|t| (key, t.name.clone())).collect::<Vec<_>>();
    let mut topics = of("kafka.audit_topics", &kafka.audit_topics);
    topics.extend(of("kafka.metrics_topics", &kafka.metrics_topics));
    topics.push(("kafka.events_topic", kafka.events_topic.clone()));
    topics.push(("kafka.findings_topic", kafka.findings_topic.clone()));
    for (index, (second, topic)) in topics.iter().enumerate() {
        if let Some((first, _)) = topics[..index].iter().find(|(_, other)| other == topic) {
            contradict(first, second, Fault::SameTopic { first, second, topic: topic.clone() });
        }
    }
    found
}

/// What is wrong with the rules that the configuration names.
fn wrong_rules(
    draft: &Draft,
    effective: &Effective,
    read: &dyn Fn(&Path) -> io::Result<String>,
) -> Vec<(usize, Problem)> {
    let Err(rules::RulesError(wrong)) = rules::compile(&draft.config.detect, read) else { return Vec::new() };
    let Some(entry) = effective.get("detect.rules") else { return Vec::new() };
    let problem = |wrong: rules::RulesFault| {
        let fault = Fault::Rules { reason: wrong.to_string() };
        (entry.rank, Problem { fault, origin: entry.origin.clone(), excerpt: entry.excerpt.clone() })
    };
    wrong.into_iter().map(problem).collect()
}

/// A file that may be part of the configuration.
struct Place {
    path: PathBuf,
    need: Need,
}

/// Which failures to read a file are fine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// None: it was asked for.
    Asked,
    /// It does not exist.
    IfThere,
    /// Also no permission: daemons and containers often run with somebody else's `HOME`.
    IfOurs,
}

/// Where files are looked for, lowest layer first.
fn files(layers: &Layers<'_>) -> Vec<Place> {
    let variable = |name: &str| {
        let found = layers.environment.iter().find(|(variable, _)| variable == name);
        // The XDG base directory specification has relative paths ignored.
        found.map(|(_, value)| PathBuf::from(value)).filter(|path| path.is_absolute())
    };
    let home = variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")));
    let mut places = vec![Place { path: PathBuf::from("/etc/leadsman/leadsman.toml"), need: Need::IfThere }];
    places.extend(home.map(|home| Place { path: home.join("leadsman/leadsman.toml"), need: Need::IfOurs }));
    places.push(match layers.file {
        Some(file) => Place { path: file.to_path_buf(), need: Need::Asked },
        None => Place { path: PathBuf::from("leadsman.toml"), need: Need::IfThere },
    });
    places
}

// === impl Place ===

impl Place {
    fn read(&self, read: &dyn Fn(&Path) -> io::Result<String>) -> Read {
        match read(&self.path) {
            Ok(text) => file::read(Document { path: &self.path, text: &text }),
            Err(error) if self.need.allows(error.kind()) => Read::default(),
            Err(error) => {
                let fault = Fault::Unreadable { reason: error.to_string() };
                let origin = Origin::File { path: self.path.clone(), position: None };
                Read { settings: Vec::new(), problems: vec![Problem { fault, origin, excerpt: None }] }
            }
        }
    }
}

// === impl Need ===

impl Need {
    fn allows(self, error: io::ErrorKind) -> bool {
        let is_absent = matches!(error, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
        match self {
            Self::Asked => false,
            Self::IfThere => is_absent,
            Self::IfOurs => is_absent || error == io::ErrorKind::PermissionDenied,
        }
    }
}

// === impl Read ===

impl Read {
    /// The shipped file is no file on this machine that one could open.
    fn into_defaults(mut self) -> Self {
        for setting in &mut self.settings {
            setting.origin = Origin::Default;
            setting.excerpt = None;
        }
        self
    }
}
