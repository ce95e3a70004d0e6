//! Names of secrets, and texts that look like secrets.

use std::{ops::Range, sync::LazyLock};

use regex::Regex;

/// Last words of secret names, with the reported kinds.
const LAST_WORDS: &[(&str, &str)] = &[
    ("password", "password"),
    ("passwd", "password"),
    ("pwd", "password"),
    ("passphrase", "password"),
    ("authorization", "authorization"),
    ("secret", "secret"),
    ("token", "token"),
    ("apikey", "api-key"),
    ("credential", "secret"),
    ("credentials", "secret"),
];

/// Ends of two words and more; `key` alone does not name a secret.
const LAST_TWO_WORDS: &[(&str, &str)] = &[
    ("api_key", "api-key"),
    ("access_key", "aws-key"),
    ("secret_key", "aws-key"),
    ("account_key", "azure-account-key"),
    ("storage_key", "azure-account-key"),
    ("shared_key", "secret"),
    ("signing_key", "secret"),
    ("encryption_key", "secret"),
    ("secret_access_key", "aws-key"),
    ("session_token", "aws-key"),
    ("sas_token", "azure-sas"),
    ("private_key", "private-key"),
    ("private_key_pem", "private-key"),
    ("routing_key", "pagerduty-routing-key"),
    ("integration_key", "pagerduty-routing-key"),
    ("service_key", "pagerduty-routing-key"),
    ("connection_string", "connection-string"),
];

/// Names of tokens that are no credentials.
const HARMLESS: &[&str] = &[
    "idempotency_token",
    "page_token",
    "continuation_token",
    "cancellation_token",
    "pagination_token",
    "client_request_token",
    "sync_token",
];

/// Converts `clientSecret`, `client-secret`, `client.secret` to `client_secret`.
fn words(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let mut after_lower = false;
    for char in name.chars() {
        if char.is_ascii_uppercase() && after_lower {
            out.push('_');
        }
        after_lower = char.is_ascii_lowercase() || char.is_ascii_digit();
        out.push(if char.is_alphanumeric() { char.to_ascii_lowercase() } else { '_' });
    }
    out
}

/// Returns the kind of secret that a name identifies. `None`: the name only mentions one, as `secret_scope` and `max_tokens`.
pub fn kind_of(name: &str) -> Option<&'static str> {
    if name.contains("[REDACTED:") {
        return None;
    }
    let words = words(name);
    let words = words.trim_matches('_');
    // names of Azure settings end in their host: fs.azure.account.key.<account>.dfs.core.windows.net
    let setting = words.contains("_core_").then(|| {
        let ends = ["account_key", "client_secret", "fixed_token", "shared_secret", "azure_sas"];
        let end = ends.iter().find_map(|end| Some((*end, words.find(&format!("{end}_"))?)));
        end.map(|(end, _)| match end {
            "account_key" => "azure-account-key",
            "client_secret" | "shared_secret" => "secret",
            _ => "azure-sas",
        })
    });
    if let Some(kind) = setting.flatten() {
        return Some(kind);
    }
    if HARMLESS.iter().any(|harmless| words.ends_with(harmless)) {
        return None;
    }
    let ends_with = |end: &str| words.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('_'));
    let longest = LAST_TWO_WORDS.iter().filter(|(end, _)| ends_with(end)).max_by_key(|(end, _)| end.len());
    // one-word compounds such as `sslpassword` and `authtoken` end the same way
    let last = || LAST_WORDS.iter().find(|(end, _)| words.ends_with(end));
    longest.or_else(last).map(|(_, kind)| *kind)
}

static REFERENCE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?ix)^(?: \{\{\s*secrets/[^{}]*\}\} | \$\{[^{}]*\} | \$\([^()]*\) | \$[A-Z_][A-Z0-9_]* | \{\{[^{}]*\}\}
            | dbutils\.secrets\.get\b.* | os\.(?:environ|getenv)\b.* | env:\w+ | <[\w\ -]*> | \*+ | x{3,} | \.{3} | …
            | none | null | true | false | undefined | redacted | \[redacted\]
            ) [)\]}.,;:]*$",
    )
    .expect("a valid expression")
});

/// Returns true for a reference or placeholder instead of a secret: `{{secrets/scope/key}}`, `${TOKEN}`, `***`.
pub fn is_reference(value: &str) -> bool {
    REFERENCE.is_match(value.trim())
}

/// Returns the range of the value at `start`: within quotes, or up to white space or a delimiter.
pub fn value_at(text: &str, start: usize) -> Range<usize> {
    let rest = &text[start..];
    let escapes = rest.len() - rest.trim_start_matches('\\').len();
    if let Some(quote @ ('"' | '\'')) = rest[escapes..].chars().next() {
        let inner = start + escapes + 1;
        let mut escaped = false;
        let end = text[inner..].char_indices().find(|(_, char)| {
            let closes = *char == quote && !escaped;
            escaped = escapes == 0 && *char == '\\' && !escaped;
            closes
        });
        return match end {
            Some((length, _)) => inner..inner + text[inner..inner + length].trim_end_matches('\\').len(),
            None => inner..inner + bare_length(&text[inner..]),
        };
    }
    if let Some(length) = rest.starts_with('{').then(|| rest.find('}')).flatten() {
        let length = length + 1 + usize::from(rest[length + 1..].starts_with('}'));
        if length <= 256 {
            return start..start + length;
        }
    }
    start..start + bare_length(rest)
}

fn bare_length(text: &str) -> usize {
    let ends = |char: char| char.is_whitespace() || matches!(char, ';' | '&' | '"' | '\'' | ',' | '<' | '>' | ')');
    text.find(ends).unwrap_or(text.len())
}

/// Returns true if the value after a secret's name is a secret, and not the rest of a sentence.
pub fn is_secret_value(name: &str, before: &str, separator: &str, scheme: bool, value: &str) -> bool {
    if value.trim().is_empty() || is_reference(value) {
        return false;
    }
    let password = kind_of(name) == Some("password");
    let flag = name.starts_with("--") && name.len() > 2;
    if separator.trim().is_empty() {
        // white space is a separator in Spark configuration files and on command lines, but not in a sentence
        return flag || name.contains('.') && looks_secret(value, 16);
    }
    let quoted_name = separator.starts_with(['"', '\'', '\\']);
    let in_connection_string = before.trim_end_matches(' ').ends_with(['?', '&', ';']);
    let tight = separator == "=" && password && !SENTENCE_WORDS.contains(&value.to_ascii_lowercase().as_str());
    let secret = |least| looks_secret(value, least) || separator.contains('=') && looks_named(value, least);
    // a name with `password`, or a header with its scheme, needs less evidence
    quoted_name || in_connection_string || flag || tight || secret(if password || scheme { 6 } else { 8 })
}

/// Words after `password=` in sentences about passwords.
const SENTENCE_WORDS: &[&str] =
    &["expired", "missing", "empty", "invalid", "wrong", "unset", "required", "rotated", "changed", "unknown", "yes"];

/// Returns true for a text of at least `least` characters with digits, mixed case or symbols and without spaces. Words, code names,
/// paths and URLs do not look like secrets.
pub fn looks_secret(value: &str, least: usize) -> bool {
    let value = value.trim_end_matches(['.', ',', ':', '!', '?', ')', ']', '}']);
    if value.len() < least || value.contains(char::is_whitespace) {
        return false;
    }
    if value.len() > 256 {
        return true;
    }
    if value.starts_with('/') || value.contains("://") {
        return false;
    }
    let bytes = value.as_bytes();
    let digit = bytes.iter().any(u8::is_ascii_digit);
    let mixed = bytes.windows(2).any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase());
    let symbol = bytes.iter().any(|byte| b"!#$%^&*+=~@|?".contains(byte));
    let long = bytes.len() >= 20 && bytes.iter().all(u8::is_ascii_alphanumeric);
    digit || mixed || symbol || long
}

/// Returns true for a text after an equals sign that contains a dash or an underscore, except codes such as `PERMISSION_DENIED`.
fn looks_named(value: &str, least: usize) -> bool {
    let value = value.trim_end_matches(['.', ',', ':', '!', '?', ')', ']', '}']);
    let code = value.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let plain = value.len() >= least && !value.starts_with('/') && !value.contains(char::is_whitespace);
    plain && !code && !value.contains("://") && value.contains(['-', '_', '.', '/'])
}
