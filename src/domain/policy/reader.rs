//! Reads typed values from a TOML file and collects problems with their lines.

use std::{fmt::Display, ops::RangeInclusive};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::domain::{
    problems::{Problem, child, did_you_mean, quote, with_article},
    redact::Redactor,
};

pub const SECRETS_HINT: &str = "secrets are given by reference, such as env:NAME, never in this file";

/// Reads values from a TOML file and collects all problems.
pub struct Reader<'t> {
    text: &'t str,
    pub redactor: Redactor,
    /// Each problem with its byte offset in the file, which is the sort key.
    pub problems: Vec<(usize, Problem)>,
}

/// A table of the file with its JSON pointer and byte offset.
#[derive(Clone, Copy)]
pub struct TomlTable<'v, 't> {
    pub entries: &'v DeTable<'t>,
    pub pointer: &'v str,
    pub offset: usize,
}

impl<'v, 't> TomlTable<'v, 't> {
    pub fn get(&self, key: &str) -> Option<(&'v Spanned<DeValue<'t>>, String)> {
        Some((self.entries.get(key)?, child(self.pointer, key)))
    }
}

/// Function that returns the text of a value in the file.
pub type ToText<W> = fn(W) -> &'static str;

impl<'t> Reader<'t> {
    pub fn new(text: &'t str) -> Self {
        Self { text, redactor: Redactor::default(), problems: Vec::new() }
    }

    /// Returns the problems in the order of the file.
    pub fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|(offset, _)| *offset);
        self.problems.into_iter().map(|(_, problem)| problem).collect()
    }
}

impl Reader<'_> {
    /// Reads the table at `key`, if there is one.
    pub fn table(&mut self, table: TomlTable, key: &str, read: impl FnOnce(&mut Self, TomlTable)) {
        let Some((value, pointer)) = table.get(key) else { return };
        match value.get_ref().as_table() {
            Some(entries) => read(self, TomlTable { entries, pointer: &pointer, offset: value.span().start }),
            None => self.wrong_type(value, &pointer, "table"),
        }
    }

    /// Reads the tables of the array at `key`, if there is one. `written` names an item and its syntax, such as `route as [[routes]]`.
    pub fn tables(&mut self, table: TomlTable, key: &str, written: &str, mut read: impl FnMut(&mut Self, TomlTable)) {
        let Some((value, pointer)) = table.get(key) else { return };
        let Some(items) = value.get_ref().as_array() else {
            let message = format!("must be an array of tables, but is {}", self.what(value.get_ref()));
            self.problem(value.span().start, &pointer, message, Some(format!("write each {written}")));
            return;
        };
        for (index, item) in items.iter().enumerate() {
            let pointer = child(&pointer, index);
            match item.get_ref().as_table() {
                Some(entries) => read(self, TomlTable { entries, pointer: &pointer, offset: item.span().start }),
                None => self.wrong_type(item, &pointer, "table"),
            }
        }
    }

    /// Adds a problem for each key that is not in `known`.
    pub fn refuse_unknown_keys(&mut self, table: TomlTable, known: &[&str]) {
        for (key, value) in table.entries.iter().filter(|(key, _)| !known.contains(&key.get_ref().as_ref())) {
            let name = key.get_ref().as_ref();
            let names: Vec<String> = known.iter().map(|name| (*name).to_owned()).collect();
            let secret = value.get_ref().as_str().is_some_and(|text| self.is_secret_under(name, text));
            let hint = match did_you_mean(name, &names) {
                _ if secret => SECRETS_HINT.to_owned(),
                Some(hint) => hint,
                None => format!("known here: {}", known.join(", ")),
            };
            let pointer = child(table.pointer, self.redactor.text(name));
            self.problem(key.span().start, &pointer, "is not a setting", Some(hint));
        }
    }

    pub fn integer(&mut self, table: TomlTable, key: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let (value, pointer) = table.get(key)?;
        let Some(integer) = value.get_ref().as_integer() else {
            self.wrong_type(value, &pointer, "integer");
            return None;
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let within = number.and_then(|number| u32::try_from(number).ok()).filter(|number| range.contains(number));
        if within.is_none() {
            let message = format!("must be {} to {}, but is {integer}", range.start(), range.end());
            self.problem(value.span().start, &pointer, message, None);
        }
        within
    }

    pub fn boolean(&mut self, table: TomlTable, key: &str) -> Option<bool> {
        let (value, pointer) = table.get(key)?;
        let found = value.get_ref().as_bool();
        if found.is_none() {
            self.wrong_type(value, &pointer, "boolean");
        }
        found
    }

    pub fn texts(&mut self, table: TomlTable, key: &str) -> Option<Vec<String>> {
        let (value, pointer) = table.get(key)?;
        let mut texts = Vec::new();
        for (item, pointer) in self.items(value, &pointer, "leave it out for the default") {
            match self.text_of(item, &pointer) {
                Some(text) if text.trim().is_empty() => self.problem(item.span().start, &pointer, "is empty", None),
                text => texts.extend(text.map(|text| text.trim().to_owned())),
            }
        }
        Some(texts)
    }

    pub fn choices<W: Copy>(&mut self, table: TomlTable, key: &str, all: &[W], spell: ToText<W>) -> Option<Vec<W>> {
        let (value, pointer) = table.get(key)?;
        let mut words = Vec::new();
        for (item, pointer) in self.items(value, &pointer, "leave it out for all") {
            words.extend(self.choice(item, &pointer, all, spell));
        }
        Some(words)
    }

    pub fn choice<W: Copy>(
        &mut self,
        value: &Spanned<DeValue>,
        pointer: &str,
        all: &[W],
        spell: ToText<W>,
    ) -> Option<W> {
        let text = self.text_of(value, pointer)?;
        let found = all.iter().copied().find(|word| spell(*word) == text);
        if found.is_none() {
            let words: Vec<String> = all.iter().map(|word| spell(*word).to_owned()).collect();
            let message = format!("{} is not one of {}", self.shown(&text), words.join(", "));
            self.problem(value.span().start, pointer, message, did_you_mean(&text, &words));
        }
        found
    }

    /// Returns the items of a non-empty array with their pointers.
    pub fn items<'v, 't>(
        &mut self,
        value: &'v Spanned<DeValue<'t>>,
        pointer: &str,
        instead_of_none: &str,
    ) -> Vec<(&'v Spanned<DeValue<'t>>, String)> {
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(value, pointer, "array");
            return Vec::new();
        };
        if array.is_empty() {
            self.problem(value.span().start, pointer, "is empty", Some(instead_of_none.into()));
        }
        array.iter().enumerate().map(|(index, item)| (item, child(pointer, index))).collect()
    }

    pub fn text_of(&mut self, value: &Spanned<DeValue>, pointer: &str) -> Option<String> {
        let text = value.get_ref().as_str().map(str::to_owned);
        if text.is_none() {
            self.wrong_type(value, pointer, "string");
        }
        text
    }

    pub fn wrong_type(&mut self, value: &Spanned<DeValue>, pointer: &str, expected: &str) {
        let message = format!("must be {}, but is {}", with_article(expected), self.what(value.get_ref()));
        let hint = match (expected, value.get_ref()) {
            ("array", DeValue::String(_)) => Some("put it in brackets".to_owned()),
            ("string", DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_)) => {
                Some("put it in quotes".to_owned())
            }
            ("integer" | "boolean", DeValue::String(_)) => Some("write it without quotes".to_owned()),
            _ => None,
        };
        self.problem(value.span().start, pointer, message, hint);
    }

    pub fn what(&self, value: &DeValue) -> String {
        match value {
            DeValue::String(text) => format!("the string {}", self.shown(text)),
            other => with_article(other.type_str()),
        }
    }

    /// Quotes a value of the file for a message, without secrets.
    pub fn shown(&self, text: &str) -> String {
        if is_routing_key(text) { "a secret".into() } else { quote(&self.redactor.text(text)) }
    }

    /// Returns true if the redactor finds a secret in the text, or the text is a routing key.
    pub fn holds_secret(&self, text: &str) -> bool {
        self.redactor.text(text) != text || is_routing_key(text)
    }

    /// Returns true if the text contains a secret, or its key names one.
    fn is_secret_under(&self, key: &str, text: &str) -> bool {
        let mut document = serde_json::json!({ key: text });
        !self.redactor.value(&mut document).is_empty() || self.holds_secret(text)
    }

    /// Adds a problem at a byte offset of the file.
    pub fn problem(&mut self, offset: usize, pointer: &str, message: impl Display, hint: Option<String>) {
        let line = 1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
        let message = format!("{message}, line {line}");
        self.problems.push((offset, Problem { pointer: pointer.to_owned(), message, hint }));
    }
}

/// Returns true for 32 letters and digits, which is the form of a PagerDuty routing key.
fn is_routing_key(text: &str) -> bool {
    text.len() == 32
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().any(|byte| byte.is_ascii_digit())
}
