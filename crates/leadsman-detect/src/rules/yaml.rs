//! YAML as a tree with line numbers. Bounded: depth, values, no anchors, aliases or tags, so that no file can unfold.

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};

use super::RuleProblem;

/// Deepest nesting of a rule file.
pub(super) const MAX_DEPTH: usize = 16;
/// Most scalars, lists and maps of a rule file.
pub(super) const MAX_NODES: usize = 200_000;

/// A value and the line it begins on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// `~`, `null` or nothing, unquoted.
    Null,
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// What went wrong, and where.
pub(super) type At = (usize, RuleProblem);

impl Node {
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            Value::Null | Value::Text(_) | Value::List(_) => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }
}

/// The documents of a file.
pub(super) fn documents(text: &str) -> Result<Vec<Node>, At> {
    let mut reader = Reader { parser: Parser::new_from_str(text), nodes: 0, line: 1 };
    let mut documents = Vec::new();
    loop {
        match reader.next()? {
            None => return Ok(documents),
            Some(Event::DocumentStart(_)) => {
                let Some(first) = reader.next()? else { return Ok(documents) };
                let node = reader.node(first, 0)?;
                if node.value != Value::Null {
                    documents.push(node);
                }
            }
            Some(_) => {}
        }
    }
}

struct Reader<'t> {
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    nodes: usize,
    /// Line of the last event.
    line: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<Option<Event<'t>>, At> {
        match self.parser.next_event() {
            None | Some(Ok((Event::StreamEnd, _))) => Ok(None),
            Some(Ok((event, span))) => {
                self.line = span.start.line();
                Ok(Some(event))
            }
            Some(Err(e)) => Err(broken(&e)),
        }
    }

    fn must(&mut self) -> Result<Event<'t>, At> {
        let line = self.line;
        self.next()?.ok_or((line, RuleProblem::Yaml("it ends too early".to_owned())))
    }

    fn node(&mut self, event: Event<'t>, depth: usize) -> Result<Node, At> {
        let line = self.line;
        self.nodes += 1;
        if depth >= MAX_DEPTH {
            return Err((line, RuleProblem::TooDeep));
        }
        if self.nodes > MAX_NODES {
            return Err((line, RuleProblem::TooManyValues));
        }
        let value = match event {
            Event::Scalar(text, style, 0, None) => match (style, &*text) {
                (ScalarStyle::Plain, "" | "~" | "null" | "Null" | "NULL") => Value::Null,
                _ => Value::Text(text.into_owned()),
            },
            Event::SequenceStart(0, None) => {
                let mut items = Vec::new();
                loop {
                    match self.must()? {
                        Event::SequenceEnd => break Value::List(items),
                        event => items.push(self.node(event, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(0, None) => self.map(depth)?,
            Event::Alias(_) | Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) => {
                return Err((line, RuleProblem::Alias));
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => return Err((line, RuleProblem::Yaml("a value is missing".to_owned()))),
        };
        Ok(Node { line, value })
    }

    fn map(&mut self, depth: usize) -> Result<Value, At> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        let mut keys = std::collections::BTreeSet::new();
        loop {
            let event = self.must()?;
            if event == Event::MappingEnd {
                return Ok(Value::Map(entries));
            }
            let key = self.node(event, depth + 1)?;
            let Value::Text(name) = key.value else {
                return Err((key.line, RuleProblem::Yaml("a key must be text".to_owned())));
            };
            if !keys.insert(name.clone()) {
                return Err((key.line, RuleProblem::DuplicateKey(name)));
            }
            let event = self.must()?;
            let mut value = self.node(event, depth + 1)?;
            // An error about an entry is looked for at its key; a block value begins a line later.
            value.line = key.line;
            entries.push((name, value));
        }
    }
}

fn broken(e: &ScanError) -> At {
    (e.marker().line(), RuleProblem::Yaml(e.info().to_owned()))
}
