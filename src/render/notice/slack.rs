//! Messages for Slack: `text` for notifications, and Block Kit blocks. For an incoming webhook and for `chat.postMessage`,
//! to which the sender adds the channel.
//!
//! Text from outside stands in `plain_text` objects only. Commands and the address of the workspace are a `rich_text` block,
//! whose texts know no markup either.

use serde_json::{Value, json};

use super::said::{self, Said};
use crate::{
    domain::delivery::{About, Content, Notice, Summary},
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
/// Characters of what happened. With everything else at its longest, the message is within Slack's limit.
const MOST_BODY: usize = 2_400;

/// The message of one notice.
pub fn message(notice: &Notice, about: &About) -> Value {
    match &notice.content {
        Content::Digest(digest) => digest::slack::slack(digest),
        _ => laid_out(&said::of(notice, about)),
    }
}

/// One message for several alerts.
pub fn summary(summary: &Summary) -> Value {
    laid_out(&said::summary(summary))
}

fn laid_out(said: &Said) -> Value {
    let mut blocks = vec![header(&said.headline)];
    blocks.extend(said.opening.as_deref().map(|opening| section(&escapable(opening))));
    if !said.body.is_empty() {
        blocks.push(lines(said.body.iter().map(str::to_owned), said.body.hidden(), MOST_BODY));
    }
    if !said.facts.is_empty() {
        let facts = said.facts.iter().map(|(what, value)| format!("{what}: {}", escapable(value)));
        blocks.push(lines(facts, 0, MOST_SECTION));
    }
    blocks.push(next(said));
    let text = unmarked(&escaped(&said.headline, MOST_TEXT));
    json!({ "text": text, "blocks": blocks, "unfurl_links": false, "unfurl_media": false })
}

/// Cut so that it has at most so many characters when it is escaped.
fn escapable(text: &str) -> String {
    let weight = |character| match character {
        '&' => 5,
        '<' | '>' => 4,
        _ => 1,
    };
    within(text, MOST_SENTENCE, weight).into_owned()
}

/// What to do next: our own words, commands that can be copied, and the workspace.
fn next(said: &Said) -> Value {
    let text = |text: &str| json!({ "type": "text", "text": text });
    let mut elements = Vec::new();
    for (what, command) in &said.next {
        elements.push(json!({ "type": "rich_text_section", "elements": [text(&format!("{what}:"))] }));
        elements.push(json!({ "type": "rich_text_preformatted", "elements": [text(command)] }));
    }
    if let Some(link) = &said.link {
        let link = json!({ "type": "link", "url": link.as_str(), "text": "Open the workspace" });
        elements.push(json!({ "type": "rich_text_section", "elements": [link] }));
    }
    json!({ "type": "rich_text", "elements": elements })
}
