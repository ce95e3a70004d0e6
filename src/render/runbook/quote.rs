//! Quotes values for a shell, for JSON in a shell, and for text that may be pasted by mistake.

use std::fmt::Write;

use serde_json::Value;

use crate::render::plain::line;

/// JSON as one single-quoted word of a shell.
///
/// Pure ASCII, without characters on which a shell, its history or a linter acts. Such characters occur only in strings, where
/// JSON escapes them as `\u…`.
pub fn json_word(value: &Value) -> String {
    let mut pretty = String::new();
    spread(&mut pretty, value, 0);
    let mut word = String::from("'");
    escape(&mut word, &pretty);
    word.push('\'');
    word
}

/// Values of up to this many bytes stay on one line.
const WIDTH: usize = 96;

fn spread(out: &mut String, value: &Value, depth: usize) {
    let flat = value.to_string();
    let (open, close, members) = match value {
        Value::Object(members) if flat.len() > WIDTH => {
            let members = members.iter().map(|(name, member)| (Some(name), member)).collect::<Vec<_>>();
            ('{', '}', members)
        }
        Value::Array(items) if flat.len() > WIDTH => ('[', ']', items.iter().map(|item| (None, item)).collect()),
        _ => {
            out.push_str(&flat);
            return;
        }
    };
    out.push(open);
    for (index, (name, member)) in members.into_iter().enumerate() {
        out.push_str(if index > 0 { ",\n" } else { "\n" });
        out.push_str(&"  ".repeat(depth + 1));
        if let Some(name) = name {
            let _ = write!(out, "{}: ", Value::from(name.as_str()));
        }
        spread(out, member, depth + 1);
    }
    let _ = write!(out, "\n{}{close}", "  ".repeat(depth));
}

/// JSON on one line of ASCII.
pub fn json_line(value: &Value) -> String {
    let mut text = String::new();
    escape(&mut text, &value.to_string());
    text
}

fn escape(out: &mut String, json: &str) {
    for character in json.chars() {
        let acts = matches!(character, '\'' | '!' | '$' | '`' | '\u{7f}') || !character.is_ascii();
        if !acts {
            out.push(character);
            continue;
        }
        let mut units = [0; 2];
        for unit in character.encode_utf16(&mut units) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
}

/// Text from outside for a line outside the blocks. It is quoted for a shell, unless it is plain words, because whole runbooks
/// get pasted.
pub fn shown(text: &str) -> String {
    let text = line(text);
    let plain = |character: char| {
        character.is_alphanumeric()
            || (!character.is_ascii())
            || matches!(character, ' ' | '_' | '-' | '.' | ',' | ':' | '/' | '@' | '%' | '+')
    };
    if !text.is_empty() && text.chars().all(plain) {
        return text.into_owned();
    }
    // only NUL cannot be quoted, and `line` has escaped it
    shlex::try_quote(&text).map_or_else(|_| "n/a".into(), std::borrow::Cow::into_owned)
}

/// Whether redaction removed a part of it. Such a value must not be written to a workspace.
pub fn is_redacted(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("[REDACTED:"),
        Value::Array(items) => items.iter().any(is_redacted),
        Value::Object(members) => {
            members.iter().any(|(name, member)| name.contains("[REDACTED:") || is_redacted(member))
        }
        _ => false,
    }
}
