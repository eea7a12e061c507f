use std::ops::{Range, RangeInclusive};

use toml::de::{DeTable, DeValue};

use super::keys::{self, Kind, SECTIONS, Value};
use super::layers::{Read, Setting};
use super::place::Document;
use super::problem::{Fault, Problem};
use super::suggest;

/// Reads one file: its settings of known keys and right types, and everything wrong with the others.
pub(super) fn read(document: Document<'_>) -> Read {
    let (text, mut errors) = without_bare_keys(document);
    let (table, further) = DeTable::parse_recoverable(&text);
    errors.extend(further);
    let mut reader = Reader { document, doubtful: Doubtful::default(), read: Read::default() };
    reader.syntax(&errors);
    reader.table("", table.get_ref());
    reader.read
}

/// The text with its lines that lack a `=` blanked, and an error for each of them. At such a line the parser stops,
/// while from all other errors it recovers.
fn without_bare_keys(document: Document<'_>) -> (String, Vec<toml::de::Error>) {
    // Whoever has more such lines has no TOML at all.
    const MOST: usize = 20;
    let (mut text, mut errors) = (document.text.to_owned(), Vec::new());
    for _ in 0..MOST {
        let (_, found) = DeTable::parse_recoverable(&text);
        let Some(error) = found.into_iter().find(|error| error.message().starts_with("key with no value")) else {
            break;
        };
        let line = document.line(error.span().unwrap_or_default().start);
        text.replace_range(line.clone(), &" ".repeat(line.len()));
        errors.push(error);
    }
    (text, errors)
}

/// Lines that may not mean what they say, as the file has syntax errors.
#[derive(Default)]
struct Doubtful {
    /// Lines with an error.
    broken: Vec<usize>,
    /// The line from which it is unknown what belongs to what.
    lost_from: Option<usize>,
}

struct Reader<'a> {
    document: Document<'a>,
    doubtful: Doubtful,
    read: Read,
}

// === impl Doubtful ===

impl Doubtful {
    fn has(&self, lines: &RangeInclusive<usize>) -> bool {
        self.lost_from.is_some_and(|lost| *lines.end() >= lost) || self.broken.iter().any(|line| lines.contains(line))
    }
}

// === impl Reader ===

impl Reader<'_> {
    /// Reports the first error of each line, as the parser takes offence several times at one mistake.
    fn syntax(&mut self, errors: &[toml::de::Error]) {
        let mut errors: Vec<_> = errors.iter().map(|error| (error.span().unwrap_or_default(), error)).collect();
        errors.sort_by_key(|(span, _)| span.start);
        // After an open bracket the parser takes keys for entries, or for keys of another section.
        let is_lost = errors.iter().any(|(_, error)| error.message().starts_with("unclosed"));
        for (span, error) in &errors {
            let line = self.document.position(span.start).line;
            if self.doubtful.has(&(line..=line)) {
                continue;
            }
            self.doubtful.broken.push(line);
            self.doubtful.lost_from = is_lost.then_some(line).or(self.doubtful.lost_from);
            let fault = Fault::Syntax { reason: error.message().to_owned() };
            let excerpt = self.document.excerpt_of_syntax(span);
            self.read.problems.push(Problem { fault, origin: self.document.origin(span.start), excerpt });
        }
    }

    fn table(&mut self, section: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key =
                if section.is_empty() { name.get_ref().to_string() } else { format!("{section}.{}", name.get_ref()) };
            // After several errors a key is left with half a value. A table is as good as its keys.
            let lines = self.document.position(name.span().start).line..=self.document.position(value.span().end).line;
            if !value.get_ref().is_table() && self.doubtful.has(&lines) {
                continue;
            }
            let is_section = SECTIONS.contains(&Some(&key));
            let (found, span) = (value.get_ref(), value.span());
            match (found.as_table(), keys::kind(&key)) {
                // An unquoted `sasl.password` is a table to TOML.
                (Some(inner), _) if is_section || keys::property(&key).is_some() => {
                    self.table(&key, inner);
                }
                (None, _) if is_section => self.wrong_type(key, "a section", found, &span),
                (_, Some(kind)) => self.value(key, kind, found, &span),
                (Some(_), None) => self.unknown_section(key, &name.span()),
                (None, None) => {
                    let suggestion = suggest::key(&key);
                    self.problem(Fault::UnknownKey { key, suggestion }, &name.span());
                }
            }
        }
    }

    fn value(&mut self, key: String, kind: Kind, found: &DeValue<'_>, span: &Range<usize>) {
        match value(kind, found) {
            Some(value) => {
                let (origin, excerpt) = (self.document.origin(span.start), self.document.excerpt(span));
                self.read.settings.push(Setting { key, value, origin, excerpt });
            }
            None => self.wrong_type(key, kind.expected(), found, span),
        }
    }

    fn wrong_type(&mut self, key: String, expected: &'static str, found: &DeValue<'_>, span: &Range<usize>) {
        let found = describe(found).to_owned();
        self.problem(Fault::WrongType { key, expected, found }, span);
    }

    fn unknown_section(&mut self, section: String, span: &Range<usize>) {
        let line = self.document.position(span.start).line;
        if !self.doubtful.has(&(line..=line)) {
            let suggestion = suggest::nearest(&section, SECTIONS.into_iter().flatten()).map(str::to_owned);
            self.problem(Fault::UnknownSection { section, suggestion }, span);
        }
    }

    fn problem(&mut self, fault: Fault, span: &Range<usize>) {
        let (origin, excerpt) = (self.document.origin(span.start), self.document.excerpt(span));
        self.read.problems.push(Problem { fault, origin, excerpt });
    }
}

/// The value, if it is of this kind.
fn value(kind: Kind, found: &DeValue<'_>) -> Option<Value> {
    match (kind, found) {
        (Kind::Text, found) => found.as_str().map(|text| Value::Text(text.to_owned())),
        (Kind::Bool, found) => found.as_bool().map(Value::Bool),
        (Kind::Whole, found) => whole(found).map(Value::Whole),
        (Kind::Number, DeValue::Float(number)) => number.as_str().parse().ok().map(Value::Number),
        // TOML tells 5 from 5.0; people do not. Through the decimal text, as no cast is exact for all.
        (Kind::Number, found) => whole(found).and_then(|number| number.to_string().parse().ok()).map(Value::Number),
        (Kind::List, found) => strings(found).map(Value::List),
    }
}

fn whole(found: &DeValue<'_>) -> Option<i64> {
    found.as_integer().and_then(|number| i64::from_str_radix(number.as_str(), number.radix()).ok())
}

/// The texts of a list of strings only.
pub(super) fn strings(found: &DeValue<'_>) -> Option<Vec<String>> {
    found.as_array()?.iter().map(|entry| entry.get_ref().as_str().map(str::to_owned)).collect()
}

fn describe(found: &DeValue<'_>) -> &'static str {
    match found {
        DeValue::String(_) => "a string",
        DeValue::Integer(number) if whole(found).is_none() && !number.as_str().is_empty() => "a number beyond 64 bits",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(entries) if entries.iter().all(|entry| entry.get_ref().is_str()) => "a list of strings",
        DeValue::Array(_) => "a list with other entries",
        DeValue::Table(_) => "a section",
    }
}
