//! Messages for Slack: `text` for notifications, and Block Kit blocks. For an incoming webhook and for `chat.postMessage`,
//! to which the sender adds the channel.
//!
//! Text from outside is in `plain_text` objects only. Commands and the address of the workspace are a `rich_text` block,
//! whose texts have no markup either.

use serde_json::{Value, json};

use super::outline::{self, NotificationOutline};
use crate::{
    domain::notification::{AlertSummary, IncidentContext, Notification, NotificationContent},
    render::{
        digest,
        plain::within,
        slack::{MOST_SECTION, escaped, header, lines, section, unmarked},
    },
};

/// Characters of the text of a notification.
const MOST_TEXT: usize = 300;
/// Characters of the opening, and of a fact.
const MOST_SENTENCE: usize = 320;
/// Characters of the body. With all other parts at their limits, the message is within Slack's limit.
const MOST_BODY: usize = 2_400;

/// The message of one notification.
pub fn message(notification: &Notification, about: &IncidentContext) -> Value {
    match &notification.content {
        NotificationContent::Digest(digest) => digest::slack::slack(digest),
        _ => lay_out(&outline::of(notification, about)),
    }
}

/// One message for several alerts.
pub fn summary(summary: &AlertSummary) -> Value {
    lay_out(&outline::summary(summary))
}

fn lay_out(outline: &NotificationOutline) -> Value {
    let mut blocks = vec![header(&outline.headline)];
    blocks.extend(outline.opening.as_deref().map(|opening| section(&escapable(opening))));
    if !outline.body.is_empty() {
        blocks.push(lines(outline.body.iter().map(str::to_owned), outline.body.hidden(), MOST_BODY));
    }
    if !outline.facts.is_empty() {
        let facts = outline.facts.iter().map(|(what, value)| format!("{what}: {}", escapable(value)));
        blocks.push(lines(facts, 0, MOST_SECTION));
    }
    blocks.push(next(outline));
    let text = unmarked(&escaped(&outline.headline, MOST_TEXT));
    json!({ "text": text, "blocks": blocks, "unfurl_links": false, "unfurl_media": false })
}

/// Text cut to the limit that it has after escaping.
fn escapable(text: &str) -> String {
    let weight = |character| match character {
        '&' => 5,
        '<' | '>' => 4,
        _ => 1,
    };
    within(text, MOST_SENTENCE, weight).into_owned()
}

/// Next actions with their commands, and the link to the workspace.
fn next(outline: &NotificationOutline) -> Value {
    let text = |text: &str| json!({ "type": "text", "text": text });
    let mut elements = Vec::new();
    for (what, command) in &outline.next {
        elements.push(json!({ "type": "rich_text_section", "elements": [text(&format!("{what}:"))] }));
        elements.push(json!({ "type": "rich_text_preformatted", "elements": [text(command)] }));
    }
    if let Some(link) = &outline.link {
        let link = json!({ "type": "link", "url": link.as_str(), "text": "Open the workspace" });
        elements.push(json!({ "type": "rich_text_section", "elements": [link] }));
    }
    json!({ "type": "rich_text", "elements": elements })
}
