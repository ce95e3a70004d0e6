//! Messages for a Teams workflow: an Adaptive Card 1.4.
//!
//! `TextBlock` and `FactSet` interpret a part of Markdown, so every text is in a `RichTextBlock`, whose runs do not.

use serde_json::{Value, json};

use super::outline::{self, NotificationOutline, Tone};
use crate::{
    domain::{
        check::Severity,
        notification::{AlertSummary, IncidentContext, Notification},
    },
    render::plain::{fitting, within},
};

/// Bytes of the headline, the opening, and a fact. With all parts at their limits, a message is within the limit of 28 KB.
const MOST_SENTENCE: usize = 900;
/// Bytes of one line of the body.
const MOST_LINE: usize = 2_000;
/// Bytes of the body.
const MOST_BODY: usize = 8_000;
/// Bytes around a line of the body.
const AROUND: usize = 200;

/// The message of one notification.
pub fn message(notification: &Notification, about: &IncidentContext) -> Value {
    lay_out(&outline::of(notification, about))
}

/// One message for several alerts.
pub fn summary(summary: &AlertSummary) -> Value {
    lay_out(&outline::summary(summary))
}

fn lay_out(outline: &NotificationOutline) -> Value {
    let mut headline = run(&outline.headline, MOST_SENTENCE);
    headline["size"] = "Large".into();
    headline["weight"] = "Bolder".into();
    headline["color"] = color(outline.tone).into();
    let mut body = vec![block(vec![headline])];
    body.extend(outline.opening.as_deref().map(|opening| block(vec![run(opening, MOST_SENTENCE)])));
    let lines = outline.body.iter().map(|line| within(line, MOST_LINE, weight).into_owned());
    let lines =
        fitting(lines, outline.body.hidden(), MOST_BODY, |line| AROUND + line.chars().map(weight).sum::<usize>());
    body.extend(lines.iter().map(|line| block(vec![run(line, MOST_LINE)])));
    for (what, value) in &outline.facts {
        let mut label = run(&format!("{what}: "), MOST_SENTENCE);
        label["weight"] = "Bolder".into();
        body.push(block(vec![label, run(value, MOST_SENTENCE)]));
    }
    for (what, command) in &outline.next {
        let mut command = run(command, MOST_SENTENCE);
        command["fontType"] = "Monospace".into();
        body.push(block(vec![run(&format!("{what}: "), MOST_SENTENCE), command]));
    }
    let actions: Vec<Value> = outline
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
                "fallbackText": outline.bare_headline,
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

/// Bytes of a character in JSON, as UTF-8 or UTF-16, whichever is more: Teams does not document which it counts.
fn weight(character: char) -> usize {
    let bytes = character.len_utf8().max(2 * character.len_utf16());
    if matches!(character, '"' | '\\') { 2 * bytes } else { bytes }
}

fn color(tone: Tone) -> &'static str {
    match tone {
        Tone::Alert(Severity::Critical | Severity::High) => "Attention",
        Tone::Alert(Severity::Medium) => "Warning",
        Tone::Alert(Severity::Low) | Tone::Info => "Default",
        Tone::Acknowledged => "Accent",
        Tone::Resolved => "Good",
    }
}
