//! Redaction of secrets. It runs before data is hashed, stored, logged, sent or quoted in an error.
//!
//! A secret is found by its pattern (a Databricks token, a webhook URL), by its assignment (`pwd=…`) or by its JSON key. It is
//! replaced by `[REDACTED:<kind>]`, or with a redaction key by `[REDACTED:<kind>:<12 hex digits>]`, which is equal for equal secrets.

use std::{borrow::Cow, collections::BTreeMap, fmt, ops::Range, sync::LazyLock};

use hmac::{Hmac, KeyInit, Mac};
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::Sha256;

use self::{
    names::{is_reference, is_secret_value, kind_of},
    patterns::PATTERNS,
};
use super::ids::hex;

mod names;
mod patterns;

/// Number of redacted secrets by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Redactions(BTreeMap<String, u64>);

impl Redactions {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(kind, count)| (kind.as_str(), *count))
    }

    /// Adds the counts of another document.
    pub fn add(&mut self, other: &Self) {
        for (kind, count) in &other.0 {
            *self.0.entry(kind.clone()).or_default() += count;
        }
    }

    fn count(&mut self, kind: &str) {
        *self.0.entry(kind.to_owned()).or_default() += 1;
    }
}

/// Redacts secrets in text and JSON. Redaction is idempotent.
#[derive(Clone, Default)]
pub struct Redactor {
    key: Option<Vec<u8>>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("keyed", &self.key.is_some()).finish_non_exhaustive()
    }
}

/// Substrings of secret names. A name without one of them is not the name of a secret.
const NAME_NEEDLES: &[&str] =
    &["token", "secret", "passw", "pwd", "passphrase", "key", "credential", "authorization", "connection", "sas"];

/// A possible secret name and the separator before its value.
static ASSIGNMENT: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = format!(
        r#"(?i)(?P<name>[a-z0-9_.-]*(?:{})[a-z0-9_.-]*)(?P<sep>\\*["']?\s*(?:=>|:=|==?|:)\s*|[ \t]+)(?P<scheme>\\*["']?(?:bearer|basic|digest|token|apikey|negotiate)\s+)?"#,
        NAME_NEEDLES.join("|")
    );
    Regex::new(&pattern).expect("a valid expression")
});

/// Fast check for any needle in lower-case text; most texts have none.
static ANY_NEEDLE: LazyLock<Regex> = LazyLock::new(|| {
    let needles = PATTERNS.iter().flat_map(|pattern| pattern.needles).chain(NAME_NEEDLES).copied();
    Regex::new(&needles.map(regex::escape).collect::<Vec<_>>().join("|")).expect("a valid expression")
});

static MARKER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\[REDACTED:[a-z0-9-]+(?::[0-9a-f]{12})?\]").expect("a valid expression"));

impl Redactor {
    /// Creates a redactor. With a key, equal secrets get equal markers.
    pub fn new(key: Option<Vec<u8>>) -> Self {
        Self { key }
    }

    /// Redacts one string, such as an error message or a URL.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.redact(text, &mut Redactions::default()) {
            Some(redacted) => Cow::Owned(redacted),
            None => Cow::Borrowed(text),
        }
    }

    /// Redacts a document in place: string values, object keys, and all values under keys that name a secret.
    pub fn value(&self, value: &mut Value) -> Redactions {
        let mut redactions = Redactions::default();
        self.walk(value, None, &mut redactions);
        redactions
    }

    fn walk(&self, value: &mut Value, named: Option<&'static str>, redactions: &mut Redactions) {
        match value {
            Value::String(text) => {
                let redacted = match named {
                    Some(kind) => self.whole(text, kind, redactions),
                    None => self.redact(text, redactions),
                };
                if let Some(redacted) = redacted {
                    *text = redacted;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.walk(item, named, redactions)),
            Value::Object(object) => self.walk_object(object, redactions),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn walk_object(&self, object: &mut Map<String, Value>, redactions: &mut Redactions) {
        // {"key": "DB_PASSWORD", "value": "…"} names its secret too
        let pair = ["key", "name"].iter().find_map(|label| kind_of(object.get(*label)?.as_str()?));
        for (name, value) in object.iter_mut() {
            let named = kind_of(name).or(pair.filter(|_| name == "value"));
            self.walk(value, named, redactions);
        }
        if !object.keys().any(|name| self.redact(name, &mut Redactions::default()).is_some()) {
            return;
        }
        for (name, value) in std::mem::take(object) {
            let name = self.redact(&name, redactions).unwrap_or(name);
            let mut free = name.clone();
            let mut copy = 2;
            while object.contains_key(&free) {
                free = format!("{name}#{copy}");
                copy += 1;
            }
            object.insert(free, value);
        }
    }

    /// Redacts the value of a key that names a secret.
    fn whole(&self, text: &str, kind: &'static str, redactions: &mut Redactions) -> Option<String> {
        let marked = MARKER.find(text).is_some_and(|mark| mark.len() == text.len());
        if text.trim().is_empty() || marked || is_reference(text) {
            return None;
        }
        let kind = match secrets(text).as_slice() {
            [(span, kind)] if span.len() == text.len() => kind,
            _ => kind,
        };
        redactions.count(kind);
        Some(self.mark(kind, text))
    }

    /// Redacts a text. Returns `None` if it contains no secret. Passes are repeated until one finds nothing, because a redaction
    /// changes the context of the remaining text. Each pass leaves less text outside the markers, so it ends.
    fn redact(&self, text: &str, redactions: &mut Redactions) -> Option<String> {
        let mut redacted = self.pass(text, redactions)?;
        while let Some(next) = self.pass(&redacted, redactions) {
            redacted = next;
        }
        Some(redacted)
    }

    fn pass(&self, text: &str, redactions: &mut Redactions) -> Option<String> {
        if !ANY_NEEDLE.is_match(&text.to_ascii_lowercase()) {
            return None;
        }
        let mut out = String::new();
        let mut copied = 0;
        let marks = MARKER.find_iter(text).map(|mark| mark.range()).chain(std::iter::once(text.len()..text.len()));
        let mut start = 0;
        for mark in marks {
            for (span, kind) in secrets(&text[start..mark.start]) {
                let (from, to) = (start + span.start, start + span.end);
                out.push_str(&text[copied..from]);
                out.push_str(&self.mark(kind, &text[from..to]));
                redactions.count(kind);
                copied = to;
            }
            start = mark.end;
        }
        (copied > 0).then(|| out + &text[copied..])
    }

    fn mark(&self, kind: &str, secret: &str) -> String {
        let keyed = self.key.as_ref().and_then(|key| Hmac::<Sha256>::new_from_slice(key).ok());
        match keyed {
            Some(mac) => {
                let digest = mac.chain_update(secret).finalize().into_bytes();
                format!("[REDACTED:{kind}:{}]", hex(&digest[..6]))
            }
            None => format!("[REDACTED:{kind}]"),
        }
    }
}

/// Returns the ranges of the secrets in order. They are not empty and do not overlap.
fn secrets(text: &str) -> Vec<(Range<usize>, &'static str)> {
    let lower = text.to_ascii_lowercase();
    if !ANY_NEEDLE.is_match(&lower) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (rank, pattern) in PATTERNS.iter().enumerate() {
        if pattern.needles.iter().any(|needle| lower.contains(needle)) {
            for captures in pattern.secret().captures_iter(text) {
                let Some(secret) = captures.iter().skip(1).flatten().next().or(captures.get(0)) else {
                    continue;
                };
                if !is_reference(secret.as_str()) && (!pattern.doubtful || names::looks_secret(secret.as_str(), 8)) {
                    found.push((secret.range(), rank, pattern.kind));
                }
            }
        }
    }
    if NAME_NEEDLES.iter().any(|needle| lower.contains(needle)) {
        found.extend(assignments(text).into_iter().map(|(span, kind)| (span, usize::MAX, kind)));
    }
    found.sort_by_key(|(span, rank, _)| (span.start, *rank));
    let mut merged: Vec<(Range<usize>, usize, &'static str)> = Vec::new();
    for (span, rank, kind) in found.into_iter().filter(|(span, ..)| !span.is_empty()) {
        match merged.last_mut() {
            Some((last, best, name)) if span.start < last.end => {
                last.end = last.end.max(span.end);
                if rank < *best {
                    (*best, *name) = (rank, kind);
                }
            }
            _ => merged.push((span, rank, kind)),
        }
    }
    merged.into_iter().map(|(span, _, kind)| (span, kind)).collect()
}

/// Returns secrets that are assigned to a secret name, such as `pwd=…`, `"client_secret": "…"` or `--token …`.
fn assignments(text: &str) -> Vec<(Range<usize>, &'static str)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(captures) = ASSIGNMENT.captures_at(text, from) {
        let (Some(whole), Some(name), Some(separator)) = (captures.get(0), captures.name("name"), captures.name("sep"))
        else {
            break;
        };
        let scheme = captures.name("scheme");
        // if this is no secret, the search continues after the separator, because the value may be `name=secret`
        from = separator.end();
        let Some(kind) = kind_of(name.as_str()) else { continue };
        let start = whole.end();
        let value = names::value_at(text, start);
        let before = &text[..name.start()];
        if is_secret_value(name.as_str(), before, separator.as_str(), scheme.is_some(), &text[value.clone()]) {
            from = value.end.max(from);
            found.push((value, kind));
        }
    }
    found
}

#[cfg(test)]
mod tests;
