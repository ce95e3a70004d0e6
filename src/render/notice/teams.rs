//! Messages for a Teams workflow: an Adaptive Card 1.4.
//!
//! `TextBlock` and `FactSet` take a part of Markdown, so every text stands in a `RichTextBlock`, whose runs take none.

use serde_json::{Value, json};

use super::said::{self, Said, Tone};
use crate::{
    domain::{
        delivery::{About, Notice, Summary},
        words::Severity,
    },
    render::plain::{fitting, within},
};

/// Bytes of the headline, the opening, and a fact. A message has at most 28 KB; with everything at its longest it has less.
const MOST_SENTENCE: usize = 900;
/// Bytes of one line of what happened.
const MOST_LINE: usize = 2_000;
/// Bytes of what happened.
const MOST_BODY: usize = 8_000;
/// Bytes around a line of what happened.
const AROUND: usize = 200;

/// The message of one notice.
pub fn message(notice: &Notice, about: &About) -> Value {
    laid_out(&said::of(notice, about))
}

/// One message for several alerts.
pub fn summary(summary: &Summary) -> Value {
    laid_out(&said::summary(summary))
}

fn laid_out(said: &Said) -> Value {
    let mut headline = run(&said.headline, MOST_SENTENCE);
    headline["size"] = "Large".into();
    headline["weight"] = "Bolder".into();
    headline["color"] = color(said.tone).into();
    let mut body = vec![block(vec![headline])];
    body.extend(said.opening.as_deref().map(|opening| block(vec![run(opening, MOST_SENTENCE)])));
    let lines = said.body.iter().map(|line| within(line, MOST_LINE, weight).into_owned());
    let lines = fitting(lines, said.body.hidden(), MOST_BODY, |line| AROUND + line.chars().map(weight).sum::<usize>());
    body.extend(lines.iter().map(|line| block(vec![run(line, MOST_LINE)])));
    for (what, value) in &said.facts {
        let mut label = run(&format!("{what}: "), MOST_SENTENCE);
        label["weight"] = "Bolder".into();
        body.push(block(vec![label, run(value, MOST_SENTENCE)]));
    }
    for (what, command) in &said.next {
        let mut command = run(command, MOST_SENTENCE);
        command["fontType"] = "Monospace".into();
        body.push(block(vec![run(&format!("{what}: "), MOST_SENTENCE), command]));
    }
    let actions: Vec<Value> = said
        .link
        .iter()
        .map(|link| json!({ "type": "Action.OpenUrl", "title": "Open the workspace", "url": link.as_str() }))
        .collect();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "fallbackText": said.bare,
                "msteams": { "width": "Full" },
                "body": body,
                "actions": actions,
            },
        }],
    })
}

fn block(inlines: Vec<Value>) -> Value {
    json!({ "type": "RichTextBlock", "inlines": inlines })
}

fn run(text: &str, most: usize) -> Value {
    json!({ "type": "TextRun", "text": within(text, most, weight) })
}

/// Bytes of a character in JSON, as UTF-8 or as UTF-16, whichever are more: nobody says which of them Teams counts.
fn weight(character: char) -> usize {
    let bytes = character.len_utf8().max(2 * character.len_utf16());
    if matches!(character, '"' | '\\') { 2 * bytes } else { bytes }
}

fn color(tone: Tone) -> &'static str {
    match tone {
        Tone::Alarm(Severity::Critical | Severity::High) => "Attention",
        Tone::Alarm(Severity::Medium) => "Warning",
        Tone::Alarm(Severity::Low) | Tone::Note => "Default",
        Tone::Taken => "Accent",
        Tone::Over => "Good",
    }
}
