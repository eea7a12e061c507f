//! YAML of our own files as JSON values: anchors, aliases and merge keys, no tags.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

use super::Result;

/// The first document of a text.
pub(crate) fn parse(text: &str) -> Result<Value> {
    let mut reader = Reader { parser: Parser::new_from_str(text), anchors: HashMap::new() };
    loop {
        match reader.next()? {
            Event::DocumentStart(_) => {
                let first = reader.next()?;
                return reader.value(first);
            }
            Event::StreamEnd => return Err("the text holds no document".into()),
            _ => {}
        }
    }
}

struct Reader<'t> {
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    anchors: HashMap<usize, Value>,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<Event<'t>> {
        Ok(self.parser.next_event().ok_or("the text ends early")??.0)
    }

    fn value(&mut self, event: Event<'t>) -> Result<Value> {
        let (anchor, value) = match event {
            Event::Alias(anchor) => return Ok(self.anchors.get(&anchor).cloned().ok_or("an alias of nothing")?),
            Event::Scalar(text, style, anchor, _) => (anchor, scalar(&text, style)),
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => break,
                        item => items.push(self.value(item)?),
                    }
                }
                (anchor, Value::Array(items))
            }
            Event::MappingStart(anchor, _) => (anchor, self.mapping()?),
            other => return Err(format!("{other:?} where a value should be").into()),
        };
        self.anchors.insert(anchor, value.clone());
        Ok(value)
    }

    /// What is merged gives way to what the mapping says itself.
    fn mapping(&mut self) -> Result<Value> {
        let (mut own, mut merged) = (Map::new(), Map::new());
        loop {
            let key = match self.next()? {
                Event::MappingEnd => break,
                key => self.value(key)?,
            };
            let event = self.next()?;
            let value = self.value(event)?;
            match (key, value) {
                (Value::String(key), Value::Object(members)) if key == "<<" => merged.extend(members),
                (Value::String(key), value) => {
                    if own.insert(key.clone(), value).is_some() {
                        return Err(format!("{key} stands twice").into());
                    }
                }
                (key, _) => return Err(format!("{key} is no text").into()),
            }
        }
        for (key, value) in merged {
            own.entry(key).or_insert(value);
        }
        Ok(Value::Object(own))
    }
}

/// Plain words may be numbers and the like; what is quoted is text.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    match (style, text) {
        (ScalarStyle::Plain, "" | "null" | "~") => Value::Null,
        (ScalarStyle::Plain, "true") => true.into(),
        (ScalarStyle::Plain, "false") => false.into(),
        (ScalarStyle::Plain, number) => number.parse::<i64>().map_or_else(|_| number.into(), Value::from),
        (_, text) => text.into(),
    }
}
