//! From a YAML document to a rule.

use leadsman_domain::RuleLevel;

use crate::attack;

use super::condition;
use super::expr::{Expr, Test};
use super::field::Field;
use super::pattern::{MODIFIERS, Pattern, Place};
use super::yaml::{At, Node, Value};
use super::{Rule, RuleProblem};

/// Most values of all selections of a rule together.
const MAX_VALUES: usize = 1_000;
/// Longest title, in bytes; the specification allows 256.
const MAX_TITLE: usize = 256;

/// The title of a document, for messages.
pub(super) fn title(document: &Node) -> Option<String> {
    document.get("title").and_then(Node::text).map(|t| t.chars().take(MAX_TITLE).collect())
}

/// Compiles one document; `None` when its status switches it off.
pub(super) fn rule(document: &Node) -> Result<(String, Option<Rule>), At> {
    let line = document.line;
    for unsupported in ["correlation", "filter", "action"] {
        if let Some(node) = document.get(unsupported) {
            return Err((node.line, RuleProblem::Document(unsupported)));
        }
    }
    let title = required(document, "title", "a text of at most 256 bytes", |t| t.len() <= MAX_TITLE)?;
    let id = required(document, "id", "a UUID", is_uuid)?.to_ascii_lowercase();
    if matches!(document.get("status").and_then(Node::text), Some("deprecated" | "unsupported")) {
        return Ok((id, None));
    }
    log_source(document)?;
    let level = document.get("level").ok_or((line, RuleProblem::Missing("level")))?;
    let level = level
        .text()
        .and_then(RuleLevel::named)
        .ok_or_else(|| invalid(level.line, "level", "one of informational, low, medium, high, critical"))?;
    let tags = match document.get("tags") {
        None => Vec::new(),
        Some(Node { value: Value::List(tags), .. }) => tags.iter().filter_map(Node::text).collect(),
        Some(node) => return Err(invalid(node.line, "tags", "a list of texts")),
    };
    let detection = document.get("detection").ok_or((line, RuleProblem::Missing("detection")))?;
    let expr = detect(detection)?.ordered();
    let description = document.get("description").and_then(Node::text).unwrap_or_default().trim().to_owned();
    Ok((
        id.clone(),
        Some(Rule { id, title: title.to_owned(), description, level, techniques: attack::of_tags(&tags), expr }),
    ))
}

fn required<'n>(
    document: &'n Node,
    key: &'static str,
    wanted: &'static str,
    ok: impl Fn(&str) -> bool,
) -> Result<&'n str, At> {
    let node = document.get(key).ok_or((document.line, RuleProblem::Missing(key)))?;
    node.text().filter(|t| !t.is_empty() && ok(t)).ok_or_else(|| invalid(node.line, key, wanted))
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

fn log_source(document: &Node) -> Result<(), At> {
    let source = document.get("logsource").ok_or((document.line, RuleProblem::Missing("logsource")))?;
    let is = |key: &str, wanted: &str| source.get(key).and_then(Node::text) == Some(wanted);
    if is("product", "kubernetes") && is("service", "audit") {
        Ok(())
    } else {
        Err((source.line, RuleProblem::LogSource))
    }
}

fn detect(detection: &Node) -> Result<Expr, At> {
    let Value::Map(entries) = &detection.value else {
        return Err(invalid(detection.line, "detection", "a map of selections and a condition"));
    };
    let mut condition = None;
    let mut selections = Vec::new();
    let mut values = 0;
    for (name, node) in entries {
        match name.as_str() {
            "condition" => condition = Some(node),
            "timeframe" => return Err((node.line, RuleProblem::Aggregation("timeframe".to_owned()))),
            _ => selections.push((name.clone(), selection(name, node, &mut values)?)),
        }
        if values > MAX_VALUES {
            return Err((node.line, RuleProblem::TooManyValues));
        }
    }
    let condition = condition.ok_or((detection.line, RuleProblem::Missing("condition")))?;
    let text = condition.text().ok_or_else(|| invalid(condition.line, "condition", "one text"))?;
    condition::parse(text, &selections).map_err(|problem| (condition.line, problem))
}

/// A map is all of its fields, a list of maps any of them.
fn selection(name: &str, node: &Node, values: &mut usize) -> Result<Expr, At> {
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => {
            let tests = entries.iter().map(|(key, value)| {
                field(key, value, values).map_err(|(line, problem)| (line.max(value.line), problem))
            });
            Ok(Expr::And(tests.collect::<Result<_, _>>()?))
        }
        Value::List(items) if !items.is_empty() => {
            let maps = items.iter().map(|item| match item.value {
                Value::Map(_) => selection(name, item, values),
                Value::Text(_) | Value::Null => Err((item.line, RuleProblem::Keywords(name.to_owned()))),
                Value::List(_) => Err(invalid(item.line, name, "a map, or a list of maps")),
            });
            Ok(Expr::Or(maps.collect::<Result<_, _>>()?))
        }
        Value::Text(_) => Err((node.line, RuleProblem::Keywords(name.to_owned()))),
        Value::Map(_) | Value::List(_) | Value::Null => Err(invalid(node.line, name, "a map, or a list of maps")),
    }
}

/// How values are read.
#[derive(Default)]
struct Modifiers {
    place: Option<Place>,
    all: bool,
    regex: bool,
    cidr: bool,
    exists: bool,
    cased: bool,
}

fn field(key: &str, node: &Node, values: &mut usize) -> Result<Expr, At> {
    let at = |problem| (node.line, problem);
    let mut names = key.split('|');
    let name = names.next().unwrap_or_default();
    if name.is_empty() {
        return Err(at(RuleProblem::Keywords(key.to_owned())));
    }
    let field = Field::named(name).ok_or_else(|| at(RuleProblem::UnknownField(name.to_owned())))?;
    let modifiers = modifiers(key, names).map_err(at)?;
    let items = match &node.value {
        Value::List(items) if items.is_empty() => return Err(invalid(node.line, key, "at least one value")),
        Value::List(items) => items.as_slice(),
        Value::Null | Value::Text(_) => std::slice::from_ref(node),
        Value::Map(_) => return Err(invalid(node.line, key, "a value or a list of values")),
    };
    *values += items.len();
    if modifiers.exists {
        let missing = || Expr::Test(Test { field, patterns: Vec::new(), all: false, absent: true });
        return match items {
            [one] if one.text() == Some("true") => Ok(Expr::Not(Box::new(missing()))),
            [one] if one.text() == Some("false") => Ok(missing()),
            _ => Err(invalid(node.line, key, "true or false")),
        };
    }
    let mut test = Test { field, patterns: Vec::with_capacity(items.len()), all: modifiers.all, absent: false };
    for item in items {
        let pattern = match &item.value {
            // An empty value and none are the same in audit events.
            Value::Null => None,
            Value::Text(text) if text.is_empty() => None,
            Value::Text(text) if modifiers.regex => Some(Pattern::regex(text)),
            Value::Text(text) if modifiers.cidr => Some(Pattern::network(text)),
            Value::Text(text) => Some(Pattern::text(text, modifiers.place.unwrap_or(Place::Whole), modifiers.cased)),
            Value::List(_) | Value::Map(_) => return Err(invalid(item.line, key, "a value or a list of values")),
        };
        match pattern {
            Some(pattern) => test.patterns.push(pattern.map_err(|problem| (item.line, problem))?),
            None if modifiers.all || modifiers.place.is_some() || modifiers.regex || modifiers.cidr => {
                return Err((item.line, RuleProblem::Modifiers(key.to_owned())));
            }
            None => test.absent = true,
        }
    }
    Ok(Expr::Test(test))
}

fn modifiers<'k>(key: &str, names: impl Iterator<Item = &'k str>) -> Result<Modifiers, RuleProblem> {
    let mut found = Modifiers::default();
    let mut kinds = 0;
    for name in names {
        match name {
            "contains" => found.place = Some(Place::Anywhere),
            "startswith" => found.place = Some(Place::Start),
            "endswith" => found.place = Some(Place::End),
            "re" => found.regex = true,
            "cidr" => found.cidr = true,
            "exists" => found.exists = true,
            "all" => found.all = true,
            "cased" => found.cased = true,
            other => return Err(RuleProblem::UnknownModifier(other.to_owned())),
        }
        kinds += usize::from(MODIFIERS.contains(&name) && !matches!(name, "all" | "cased"));
    }
    let plain = !(found.regex || found.cidr || found.exists);
    if kinds > 1 || (found.cased && !plain) || (found.exists && found.all) {
        return Err(RuleProblem::Modifiers(key.to_owned()));
    }
    Ok(found)
}

fn invalid(line: usize, key: &str, wanted: &'static str) -> At {
    (line, RuleProblem::Invalid { key: key.to_owned(), wanted })
}
