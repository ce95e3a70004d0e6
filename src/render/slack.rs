//! Text from outside made safe for a Slack message, and the Block Kit blocks that hold it.
//!
//! It is in `plain_text` objects, which have no markup, mentions or links. Every text is escaped as Slack requires, cut at
//! the limit of its object, and never empty.

use serde_json::{Value, json};

use super::plain::{NA, fitting};

/// Characters of a header.
const MOST_HEADER: usize = 150;
/// Characters of a section's text.
pub const MOST_SECTION: usize = 3_000;
/// Characters of a message as JSON.
pub const MOST_MESSAGE: usize = 13_000;
/// Characters of one line of several. Leaves room for the next actions at the end.
pub const MOST_LINE: usize = 950;

pub fn header(text: &str) -> Value {
    json!({ "type": "header", "text": plain(text, MOST_HEADER) })
}

/// A title in bold. Not for text from outside.
pub fn titled(title: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": format!("*{title}*"), "verbatim": true } })
}

pub fn section(text: &str) -> Value {
    json!({ "type": "section", "text": plain(text, MOST_SECTION) })
}

pub fn context(text: &str) -> Value {
    json!({ "type": "context", "elements": [plain(text, MOST_SECTION)] })
}

/// A section with the lines that fit into `most` characters, and the number of the rest and the `hidden` ones.
pub fn lines(lines: impl ExactSizeIterator<Item = String>, hidden: usize, most: usize) -> Value {
    // counts escaped text; leaves room for the line with the number of the rest
    let room = most.min(MOST_SECTION) - 40;
    let escaped = lines.map(|line| escaped(&line, MOST_LINE));
    let shown = fitting(escaped, hidden, room, |line| line.chars().count() + 1);
    json!({ "type": "section", "text": { "type": "plain_text", "text": shown.join("\n"), "emoji": false } })
}

fn plain(text: &str, most: usize) -> Value {
    let text = if text.trim().is_empty() { NA } else { text };
    json!({ "type": "plain_text", "text": escaped(text, most), "emoji": false })
}

/// Text of at most `most` characters after escaping `&`, `<` and `>`; never cut inside an escape. Mentions of a whole channel
/// lose their `@`.
pub fn escaped(text: &str, most: usize) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut used = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let mut bytes = [0; 4];
        let spelled = match character {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '@' if is_channel_mention(&text[at + 1..]) => "＠",
            _ => character.encode_utf8(&mut bytes),
        };
        let length = spelled.chars().count();
        let left = if characters.peek().is_some() { 1 } else { 0 };
        if used + length + left > most {
            shown.push('…');
            break;
        }
        shown.push_str(spelled);
        used += length;
    }
    shown
}

fn is_channel_mention(text: &str) -> bool {
    let begins = |name: &&str| text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    ["here", "channel", "everyone", "group"].iter().any(begins)
}

/// Text for a field in which Slack interprets markup: markup characters become look-alikes, except an underscore inside a
/// word, which is no markup.
pub fn unmarked(text: &str) -> String {
    let in_word = |at: usize| {
        let alphanumeric = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        alphanumeric(at.checked_sub(1).and_then(|before| text.as_bytes().get(before)))
            && alphanumeric(text.as_bytes().get(at + 1))
    };
    let harmless = |(at, character)| match character {
        '*' => '＊',
        '_' if !in_word(at) => '＿',
        '~' => '～',
        '`' => '｀',
        '@' => '＠',
        '#' => '＃',
        other => other,
    };
    text.char_indices().map(harmless).collect()
}

/// Checks of Slack's limits and markup.
#[cfg(test)]
pub mod check {
    use serde_json::Value;

    use crate::render::example::assert_safe;

    /// Asserts all limits of Slack.
    pub fn check_limits(message: &Value) {
        assert!(message.to_string().chars().count() <= 13_000, "{}", message.to_string().chars().count());
        let blocks = message["blocks"].as_array().unwrap();
        assert!(!blocks.is_empty() && blocks.len() <= 50);
        let length = |text: &Value| text["text"].as_str().unwrap().chars().count();
        for block in blocks {
            match block["type"].as_str().unwrap() {
                "header" => assert!((1..=150).contains(&length(&block["text"]))),
                "section" => {
                    let fields = block["fields"].as_array().cloned().unwrap_or_default();
                    assert!(fields.len() <= 10 && fields.iter().all(|field| (1..=2_000).contains(&length(field))));
                    assert!(!fields.is_empty() || (1..=3_000).contains(&length(&block["text"])));
                }
                "context" => {
                    let elements = block["elements"].as_array().unwrap();
                    assert!(elements.len() <= 10 && elements.iter().all(|text| (1..=3_000).contains(&length(text))));
                }
                "rich_text" => {
                    let elements = block["elements"].as_array().unwrap();
                    assert!(!elements.is_empty() && elements.iter().all(|one| !one["elements"][0].is_null()));
                }
                "divider" => {}
                other => panic!("{other}"),
            }
        }
        assert!(message["text"].as_str().unwrap().chars().count() <= 300);
        check_harmless(message, "");
    }

    /// Asserts that no text mentions, links or marks up.
    fn check_harmless(value: &Value, kind: &str) {
        match value {
            Value::Object(fields) => {
                let kind = fields.get("type").and_then(Value::as_str).unwrap_or("mrkdwn");
                // a URL is not escaped
                let texts = fields.iter().filter(|(name, _)| *name != "url");
                texts.for_each(|(_, value)| check_harmless(value, kind));
            }
            Value::Array(items) => items.iter().for_each(|value| check_harmless(value, kind)),
            Value::String(text) => {
                assert!(!text.contains(['<', '>']), "{text}");
                let bare = text.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
                assert!(!bare.contains('&'), "{text}");
                for mention in ["@here", "@channel", "@everyone", "@group"] {
                    assert!(!text.to_lowercase().contains(mention), "{text}");
                }
                assert_safe(text);
                // only the titles of figures are marked up
                if kind == "mrkdwn" {
                    let word = |at: Option<&u8>| at.is_some_and(u8::is_ascii_alphanumeric);
                    let bytes = text.as_bytes();
                    let in_word = |at: usize| at > 0 && word(bytes.get(at - 1)) && word(bytes.get(at + 1));
                    let marks = text
                        .char_indices()
                        .filter(|(at, mark)| "*_~`@#".contains(*mark) && !(*mark == '_' && in_word(*at)));
                    let marks = marks.count();
                    assert!(marks == 0 || marks == 2 && text.starts_with('*'), "{text}");
                }
            }
            _ => {}
        }
    }
}
