//! Parses the header of a SQL file: the comment at its beginning.

use std::{fmt, str::FromStr};

use super::engine::ParameterValue;
use crate::domain::time::Timestamp;

/// The header of a file of `sql/`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SqlHeader {
    pub what: String,
    pub grain: String,
    pub parameters: Vec<QueryParameter>,
    pub columns: Vec<ColumnNote>,
}

/// A named parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryParameter {
    /// Without the colon.
    pub name: String,
    pub kind: ParameterKind,
    /// Its purpose and its values.
    pub meaning: String,
}

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterKind {
    Timestamp,
    Int,
    Bigint,
    Text,
}

/// One line about columns of the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnNote {
    /// `…` means all columns of a table or view.
    pub names: Vec<String>,
    pub meaning: String,
}

impl SqlHeader {
    /// Parses the comment at the beginning of a file. Missing parts are empty.
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

    /// Returns the first sentence of the description.
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
            self.parameters.push(QueryParameter { name: name.to_owned(), kind, meaning });
        }
    }

    /// Parses a line about columns: three blanks after the dashes, names, two blanks, meaning. A deeper line continues the last one.
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

/// Returns the file without its header.
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
            _ => Err(format!("{text:?} is not a parameter type")),
        }
    }
}

/// Prints the type's name in SQL.
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
    /// Parses a value from the command line.
    ///
    /// # Errors
    /// The expected format.
    pub fn parse(self, text: &str) -> Result<ParameterValue, String> {
        let whole = |least: i64, most: i64| match text.parse::<i64>() {
            Ok(number) if (least..=most).contains(&number) => Ok(ParameterValue::Int(number)),
            _ => Err(format!("{text:?} is not a whole number from {least} to {most}")),
        };
        match self {
            Self::Timestamp => text.parse::<Timestamp>().map(ParameterValue::Timestamp),
            Self::Int => whole(i32::MIN.into(), i32::MAX.into()),
            Self::Bigint => whole(i64::MIN, i64::MAX),
            Self::Text => Ok(ParameterValue::from(text)),
        }
    }
}

#[cfg(test)]
mod tests;
