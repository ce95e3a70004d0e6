//! Identity of root causes: whether two findings have the same cause, and why.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde::{Deserialize, Serialize};

use super::ids::sha256_hex;

/// Version of the normal form. Fingerprints of different versions never match.
pub const ALGORITHM: &str = "c1";

/// Source from which a cause was identified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CauseSource {
    /// The code in the report.
    Code,
    /// The normal form of the report's text.
    Text,
}

/// A root cause in comparable form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// `code:<code>`, or `c1:` and 16 hex digits of SHA-256 over the normal form.
    pub fingerprint: String,
    /// Compared value: the code, or the normal form of the text.
    pub normalised: String,
    pub source: CauseSource,
}

/// Tokens of the normal form. The first alternative that matches at a position wins.
static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"(?x)
          (?P<mask> <(?:time|uuid|hex|url|host|ip|email|path|num)> )
        | (?P<time> [0-9]{4}[-/][0-9]{2}[-/][0-9]{2}
                    (?:(?:t|\ +)[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?\ ?(?:z\b|utc\b|[+-][0-9]{2}:?[0-9]{2})?)?
                  | [0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?\ ?(?:z\b|utc\b)? )
        | (?P<uuid> [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12} )
        | (?P<path> (?:dbfs|file|s3[an]?|abfss?|wasbs?|adl|gs|hdfs)://?[^\s"'<>,;()]+
                  | [a-z]:\\[^\s"'<>,;()]+
                  | /[\w.@%+=-]+(?:/[\w.@%+=-]*)+ )
        | (?P<url>  [a-z][a-z0-9+.-]*://[^\s"'<>,;()]+ )
        | (?P<email> [a-z0-9._%+-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)+ )
        | (?P<ip>   [0-9]{1,3}(?:\.[0-9]{1,3}){3}(?::[0-9]+)? )
        | (?P<host> (?:[a-z0-9-]+\.)+(?:com|net|org|gov|edu|cloud|internal|local|test)(?::[0-9]+)? )
        | (?P<num>  \p{Nd}+(?:[.,]\p{Nd}+)+ )
        | (?P<word> [\p{Alphabetic}\p{M}\p{Nd}_]+ )
        "#,
    )
    .expect("a valid expression")
});

/// Returns the normal form: lower case, one space between words, no punctuation; times, ids, addresses, paths and numbers
/// masked.
///
/// Underscores inside an identifier stay. Normalising a normal form does not change it.
pub fn normalise(text: &str) -> String {
    let text = text.to_lowercase();
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(captures) = TOKEN.captures_at(&text, from) {
        let Some(token) = captures.get(0) else { break };
        let before = text[..token.start()].chars().next_back();
        let after = &text[token.end()..];
        let (mask, end) = match kind(&captures) {
            // `reads/writes/deletes` is not a path, `java.net.SocketException` is not a host
            "path" if token.as_str().starts_with('/') && before.is_some_and(char::is_alphanumeric) => {
                ("", token.start() + 1)
            }
            "host" if continues(after) => word(&text, token.start(), &mut out),
            "word" => word(&text, token.start(), &mut out),
            "mask" => (token.as_str(), token.end()),
            "time" => ("<time>", token.end()),
            "uuid" => ("<uuid>", token.end()),
            "path" => ("<path>", token.end()),
            "url" => ("<url>", token.end()),
            "email" => ("<email>", token.end()),
            "ip" => ("<ip>", token.end()),
            "host" => ("<host>", token.end()),
            _ => ("<num>", token.end()),
        };
        push(&mut out, mask);
        from = end;
    }
    out
}

fn kind(captures: &Captures) -> &'static str {
    const KINDS: [&str; 10] = ["mask", "time", "uuid", "path", "url", "email", "ip", "host", "num", "word"];
    KINDS.into_iter().find(|kind| captures.name(kind).is_some()).unwrap_or("word")
}

fn continues(after: &str) -> bool {
    let mut chars = after.chars();
    match chars.next() {
        Some('.') => chars.next().is_some_and(char::is_alphanumeric),
        Some(char) => char.is_alphanumeric() || char == '_',
        None => false,
    }
}

/// Splits the word at `start` and masks hex ids and numbers anywhere in it.
fn word(text: &str, start: usize, out: &mut String) -> (&'static str, usize) {
    static WORD: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"[\p{Alphabetic}\p{M}\p{Nd}_]+").expect("a valid expression"));
    static DIGITS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\p{Nd}+").expect("a valid expression"));
    let Some(found) = WORD.find_at(text, start) else {
        return ("", text.len());
    };
    let parts: Vec<_> = found.as_str().split('_').map(|part| if is_hex_id(part) { " <hex> " } else { part }).collect();
    for piece in DIGITS.replace_all(&parts.join("_"), " <num> ").split_whitespace() {
        push(out, piece.trim_matches('_'));
    }
    // A dash or dot before the word, which the host pattern consumed, is punctuation.
    ("", found.end())
}

fn is_hex_id(part: &str) -> bool {
    let digits = part.strip_prefix("0x").unwrap_or(part);
    let hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mixed =
        digits.bytes().any(|byte| byte.is_ascii_digit()) && digits.bytes().any(|byte| byte.is_ascii_lowercase());
    hex && (digits.len() < part.len() || digits.len() >= 8 && mixed)
}

/// Appends a piece. Consecutive numbers become one, because their count is not part of the cause.
fn push(out: &mut String, piece: &str) {
    if piece.is_empty() || piece == "<num>" && out.ends_with("<num>") {
        return;
    }
    if !out.is_empty() {
        out.push(' ');
    }
    out.push_str(piece);
}

/// Normal forms of an unknown cause.
const UNKNOWN: &[&str] = &[
    "unknown",
    "n a",
    "na",
    "none",
    "null",
    "nil",
    "nothing",
    "not known",
    "not yet known",
    "unclear",
    "not clear",
    "undetermined",
    "not determined",
    "not yet determined",
    "to be determined",
    "cannot be determined",
    "could not be determined",
    "can not be determined",
    "tbd",
    "tba",
    "tbc",
    "todo",
    "under investigation",
    "being investigated",
    "investigating",
    "investigation ongoing",
    "investigation pending",
    "pending investigation",
    "pending",
    "not available",
    "unavailable",
    "not found",
    "not identified",
    "not yet identified",
    "unidentified",
    "inconclusive",
    "unspecified",
    "not specified",
    "unsure",
    "not sure",
    "no idea",
    "unexplained",
    "do not know",
    "don t know",
    "needs investigation",
];

/// Words that are ignored when a text is compared with [`UNKNOWN`].
const FILLERS: &[&str] = &[
    "root",
    "cause",
    "causes",
    "reason",
    "the",
    "a",
    "is",
    "are",
    "was",
    "it",
    "this",
    "still",
    "currently",
    "as",
    "of",
    "now",
    "yet",
    "exact",
    "actual",
    "no",
    "error",
    "failure",
    "issue",
    "problem",
    "rca",
];

/// Returns true if the text states an unknown cause, as `N/A`, `Root cause: unknown`, `?` or `TBD, see logs` do.
fn is_unknown(text: &str) -> bool {
    // After the first clause, `unknown: …` only has guesses.
    let clause = text.split([':', ';', ',', '(', '—', '–']).find(|clause| {
        let words = normalise(clause);
        words.split(' ').any(|word| !FILLERS.contains(&word) && !word.is_empty())
    });
    let is_unknown_text = |text: &str| {
        let words = normalise(text);
        let significant: Vec<_> = words.split(' ').filter(|word| !FILLERS.contains(word)).collect();
        UNKNOWN.contains(&words.as_str()) || UNKNOWN.contains(&significant.join(" ").as_str())
    };
    clause.is_none_or(is_unknown_text) || is_unknown_text(text)
}

/// Returns the cause of a report. A code takes precedence over the text; `None` when neither names a cause.
pub fn identify(code: Option<&str>, root_cause: &str) -> Option<Cause> {
    let code = code.map(|code| code.trim().to_lowercase()).filter(|code| !is_unknown(code));
    if let Some(code) = code {
        return Some(Cause { fingerprint: format!("code:{code}"), normalised: code, source: CauseSource::Code });
    }
    let normalised = normalise(root_cause);
    let only_masks = normalised.split(' ').all(|word| word.is_empty() || word.starts_with('<'));
    if only_masks || is_unknown(root_cause) {
        return None;
    }
    let digest = sha256_hex(&normalised);
    let fingerprint = format!("{ALGORITHM}:{}", &digest[..16]);
    Some(Cause { fingerprint, normalised, source: CauseSource::Text })
}

/// Explains to people why two root causes are the same or different.
pub fn explain(a: &str, b: &str) -> String {
    let (first, second) = (normalise(a), normalise(b));
    match (identify(None, a), identify(None, b)) {
        (Some(_), Some(_)) if first == second => format!("They match: both normalise to {first:?} ({ALGORITHM})."),
        (Some(_), Some(_)) => {
            let differ = |one: &str, other: &str| {
                let words: Vec<_> =
                    one.split(' ').filter(|word| !other.split(' ').any(|known| known == *word)).collect();
                if words.is_empty() { "no other words".to_owned() } else { format!("{:?}", words.join(" ")) }
            };
            format!(
                "They do not match: the first normalises to {first:?}, the second to {second:?} ({ALGORITHM}). Only the first \
                 has {}, only the second {}.",
                differ(&first, &second),
                differ(&second, &first)
            )
        }
        (known, _) => {
            let which = if known.is_none() { "first" } else { "second" };
            format!(
                "They do not match: the {which} names no cause, and unknown is never a cause. They normalise to {first:?} and \
                 {second:?} ({ALGORITHM})."
            )
        }
    }
}

#[cfg(test)]
mod tests;
