//! The condition of a rule: `selection and not 1 of filter*`.

use super::RuleProblem;
use super::expr::Expr;

/// Longest condition, in bytes.
const MAX_CONDITION: usize = 1024;
/// Most parentheses and `not` inside each other.
const MAX_NESTING: usize = 32;

/// Compiles a condition over named selections.
pub(super) fn parse(text: &str, selections: &[(String, Expr)]) -> Result<Expr, RuleProblem> {
    if text.len() > MAX_CONDITION {
        return Err(wrong(text, "at most 1024 bytes"));
    }
    if text.contains('|') || text.contains("count(") {
        return Err(RuleProblem::Aggregation(text.trim().to_owned()));
    }
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let mut parser = Parser { words: spaced.split_whitespace().collect(), at: 0, selections };
    let expr = parser.or(0)?;
    match parser.peek() {
        None => Ok(expr),
        Some(word) => Err(wrong(word, "`and`, `or` or the end")),
    }
}

struct Parser<'a> {
    words: Vec<&'a str>,
    at: usize,
    selections: &'a [(String, Expr)],
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).copied()
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.peek().is_some_and(|w| w.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn or(&mut self, depth: usize) -> Result<Expr, RuleProblem> {
        let mut parts = vec![self.and(depth)?];
        while self.take("or") {
            parts.push(self.and(depth)?);
        }
        Ok(single_or(parts, Expr::Or))
    }

    fn and(&mut self, depth: usize) -> Result<Expr, RuleProblem> {
        let mut parts = vec![self.not(depth)?];
        while self.take("and") {
            parts.push(self.not(depth)?);
        }
        Ok(single_or(parts, Expr::And))
    }

    fn not(&mut self, depth: usize) -> Result<Expr, RuleProblem> {
        if depth > MAX_NESTING {
            return Err(wrong(self.peek().unwrap_or_default(), "at most 32 parentheses inside each other"));
        }
        if self.take("not") {
            return Ok(Expr::Not(Box::new(self.not(depth + 1)?)));
        }
        if self.take("(") {
            let inner = self.or(depth + 1)?;
            return if self.take(")") { Ok(inner) } else { Err(wrong(self.peek().unwrap_or("the end"), "`)`")) };
        }
        self.named()
    }

    fn named(&mut self) -> Result<Expr, RuleProblem> {
        let word = self.peek().ok_or_else(|| wrong("the end", "a selection"))?;
        self.at += 1;
        let join = match word.to_ascii_lowercase().as_str() {
            "1" | "any" if self.take("of") => Expr::Or,
            "all" if self.take("of") => Expr::And,
            "and" | "or" | ")" => return Err(wrong(word, "a selection, `not`, `(`, `1 of` or `all of`")),
            number if number.bytes().all(|b| b.is_ascii_digit()) => {
                return Err(wrong(word, "`1 of` or `all of`: other numbers cannot be counted"));
            }
            _ => return self.selections_like(word, false).map(|parts| single_or(parts, Expr::And)),
        };
        let pattern = self.peek().ok_or_else(|| wrong("the end", "`them` or a name with `*`"))?;
        self.at += 1;
        Ok(single_or(self.selections_like(pattern, true)?, join))
    }

    /// The selections that a name means: one, or with `of` all that fit `them` or a name with `*`.
    fn selections_like(&self, name: &str, many: bool) -> Result<Vec<Expr>, RuleProblem> {
        let fits = |candidate: &str| match (many, name.split_once('*')) {
            // Names that begin with an underscore are parts, which `them` leaves out.
            (true, _) if name == "them" => !candidate.starts_with('_'),
            (true, Some((start, end))) => {
                candidate.len() >= start.len() + end.len() && candidate.starts_with(start) && candidate.ends_with(end)
            }
            _ => candidate == name,
        };
        let found: Vec<Expr> = self.selections.iter().filter(|(n, _)| fits(n)).map(|(_, e)| e.clone()).collect();
        if found.is_empty() {
            let known = self.selections.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>().join(", ");
            return Err(RuleProblem::UnknownSelection { name: name.to_owned(), known });
        }
        Ok(found)
    }
}

fn single_or(mut parts: Vec<Expr>, join: fn(Vec<Expr>) -> Expr) -> Expr {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            join(parts)
        }
        None => join(parts),
    }
}

fn wrong(at: &str, wanted: &'static str) -> RuleProblem {
    RuleProblem::Condition { at: at.chars().take(64).collect(), wanted }
}
