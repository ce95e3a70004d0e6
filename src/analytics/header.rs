//! What a SQL file says of itself: the comment it begins with, as data.

use std::{fmt, str::FromStr};

use super::engine::Value;
use crate::domain::time::Timestamp;

/// The header of a file of `sql/`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    pub what: String,
    pub grain: String,
    pub parameters: Vec<Parameter>,
    pub columns: Vec<ColumnNote>,
}

/// A named parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Without the colon.
    pub name: String,
    pub kind: ParameterKind,
    /// What it is for, and what may be given.
    pub meaning: String,
}

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterKind {
    Timestamp,
    Int,
    Bigint,
    Text,
}

/// One line about columns of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnNote {
    /// `…` stands for all columns of a table or view.
    pub names: Vec<String>,
    pub meaning: String,
}

impl Header {
    /// Reads the comment that a file begins with. What it does not say is empty.
    pub fn of(sql: &str) -> Self {
        let mut header = Self::default();
        let mut section = "";
        for line in sql.lines().map_while(|line| line.strip_prefix("--")) {
            let named = ["What:", "Grain:", "Parameters:", "Columns:"]
                .into_iter()
                .find_map(|name| line.trim_start().strip_prefix(name).map(|rest| (name, rest)));
            let text = match named {
                Some((name, rest)) => {
                    section = name;
                    rest
                }
                None => line,
            };
            match section {
                "What:" => join(&mut header.what, text),
                "Grain:" => join(&mut header.grain, text),
                "Parameters:" => header.add_parameter(text.trim()),
                "Columns:" if named.is_none() => header.add_column(text),
                _ => {}
            }
        }
        header
    }

    /// The first sentence of what the file answers.
    pub fn summary(&self) -> &str {
        self.what.split_once(". ").map_or(self.what.trim_end_matches('.'), |(first, _)| first)
    }

    fn add_parameter(&mut self, text: &str) {
        let Some(rest) = text.strip_prefix(':') else {
            if let Some(last) = self.parameters.last_mut() {
                join(&mut last.meaning, text);
            }
            return;
        };
        let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let rest = rest.trim_start();
        let (kind, meaning) = rest.split_at(rest.find(|c: char| !c.is_ascii_uppercase()).unwrap_or(rest.len()));
        if let Ok(kind) = kind.parse() {
            let meaning = meaning.trim_start_matches([',', ';']).trim().to_owned();
            self.parameters.push(Parameter { name: name.to_owned(), kind, meaning });
        }
    }

    /// A note begins three blanks behind the dashes, with names and two blanks; what is further in goes on with it.
    fn add_column(&mut self, text: &str) {
        let begins = text.strip_prefix("   ").filter(|text| !text.starts_with(' '));
        match (begins, self.columns.last_mut()) {
            (Some(text), _) => {
                let (names, meaning) = text.split_once("  ").unwrap_or((text, ""));
                let names = names.split(',').map(|name| name.trim().to_owned()).collect();
                self.columns.push(ColumnNote { names, meaning: meaning.trim().to_owned() });
            }
            (None, Some(last)) => join(&mut last.meaning, text),
            (None, None) => {}
        }
    }
}

/// The file without its header.
pub fn body(sql: &str) -> &str {
    let header: usize = sql.split_inclusive('\n').take_while(|line| line.starts_with("--")).map(str::len).sum();
    &sql[header..]
}

fn join(text: &mut String, more: &str) {
    let more = more.trim();
    if !text.is_empty() && !more.is_empty() {
        text.push(' ');
    }
    text.push_str(more);
}

impl FromStr for ParameterKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "TIMESTAMP" => Ok(Self::Timestamp),
            "INT" => Ok(Self::Int),
            "BIGINT" => Ok(Self::Bigint),
            "STRING" => Ok(Self::Text),
            _ => Err(format!("{text:?} is no type of a parameter")),
        }
    }
}

/// The type's name in SQL.
impl fmt::Display for ParameterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timestamp => "TIMESTAMP",
            Self::Int => "INT",
            Self::Bigint => "BIGINT",
            Self::Text => "STRING",
        })
    }
}

impl ParameterKind {
    /// A value as it is given on the command line.
    ///
    /// # Errors
    /// Says what the text should be.
    pub fn parse(self, text: &str) -> Result<Value, String> {
        let whole = |least: i64, most: i64| match text.parse::<i64>() {
            Ok(number) if (least..=most).contains(&number) => Ok(Value::Int(number)),
            _ => Err(format!("{text:?} is not a whole number from {least} to {most}")),
        };
        match self {
            Self::Timestamp => text.parse::<Timestamp>().map(Value::Timestamp),
            Self::Int => whole(i32::MIN.into(), i32::MAX.into()),
            Self::Bigint => whole(i64::MIN, i64::MAX),
            Self::Text => Ok(Value::from(text)),
        }
    }
}

#[cfg(test)]
mod tests;
