//! Notices as mail: the same facts as plain text and as a page of its own, without a script, a style sheet or anything that
//! is fetched.

use maud::{DOCTYPE, html};

use super::said::{self, Said, Tone};
use crate::{
    domain::{
        delivery::{About, Content, Notice, Summary},
        ids::sha256_hex,
        words::Severity,
    },
    render::{
        digest::{html::html as digest_page, text},
        page::head,
        plain::{NA, within},
    },
};

/// Characters of a subject.
const MOST_SUBJECT: usize = 200;
/// Columns of the text.
const WIDTH: usize = 78;

/// A mail, without who it comes from and goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// One line.
    pub subject: String,
    pub text: String,
    pub html: String,
    /// What stands before the `@` of its id: the same for every attempt to send it.
    pub message_id: String,
    /// What stands before the `@` of the id to which all mail of the lane refers, the first included. No mail has that id,
    /// because what opens a lane can do so again. `None`: nothing follows.
    pub thread: Option<String>,
}

/// The mail of one notice.
pub fn mail(notice: &Notice, about: &About) -> Mail {
    let said = said::of(notice, about);
    let message_id = named(&format!("{}\n{}\n{}", notice.source, notice.says, notice.lane));
    match &notice.content {
        Content::Digest(digest) => {
            Mail { text: text::text(digest, WIDTH), html: digest_page(digest), ..laid_out(&said, message_id, None) }
        }
        Content::Change { .. } => laid_out(&said, message_id, None),
        Content::Alert(_) | Content::Undelivered(_) => {
            laid_out(&said, message_id, Some(named(&format!("thread\n{}", notice.lane))))
        }
    }
}

/// One mail for several alerts.
pub fn summary(lane: &str, summary: &Summary) -> Mail {
    let notices = summary.notices.iter().map(|(notice, _)| format!("{}/{}", notice.source, notice.says));
    let notices: Vec<String> = notices.collect();
    let message_id = named(&format!("summary\n{}\n{lane}", notices.join("\n")));
    laid_out(&said::summary(summary), message_id, None)
}

fn laid_out(said: &Said, message_id: String, thread: Option<String>) -> Mail {
    let subject = within(&said.headline, MOST_SUBJECT, |_| 1).into_owned();
    Mail { subject, text: plain(said), html: page(said), message_id, thread }
}

/// 32 hex digits.
fn named(what: &str) -> String {
    let mut hash = sha256_hex(what);
    hash.truncate(32);
    hash
}

/// Paragraphs. A command has a line of its own, which is never broken.
fn plain(said: &Said) -> String {
    let mut out = String::new();
    text::wrap(&mut out, "", "", &said.headline, WIDTH);
    let mut paragraph = |lines: &[(String, &str)]| {
        if !lines.is_empty() {
            out.push('\n');
            lines.iter().for_each(|(line, hanging)| text::wrap(&mut out, "", hanging, line, WIDTH));
        }
    };
    let opening: Vec<_> = said.opening.iter().map(|opening| (opening.clone(), "")).collect();
    paragraph(&opening);
    let body: Vec<_> = lines(said).into_iter().map(|line| (line, "  ")).collect();
    paragraph(&body);
    let facts: Vec<_> = said.facts.iter().map(|(what, value)| (format!("{what}: {value}"), "  ")).collect();
    paragraph(&facts);
    if !said.next.is_empty() {
        out.push('\n');
    }
    for (what, command) in &said.next {
        out.push_str(&format!("{what}:\n  {command}\n"));
    }
    if let Some(link) = &said.link {
        out.push_str(&format!("\nWorkspace: {link}\n"));
    }
    out
}

fn lines(said: &Said) -> Vec<String> {
    if said.body.is_empty() { Vec::new() } else { said.body.short(usize::MAX, usize::MAX) }
}

fn page(said: &Said) -> String {
    let break_words = "overflow-wrap: anywhere";
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                (head(&said.headline))
            }
            body style="margin: 0; padding: 16px; font: 16px/1.45 sans-serif; color-scheme: light dark" {
                div style={ "max-width: 40rem; margin: 0 auto; " (break_words) } {
                    p style={ "margin: 0; padding: 4px 12px; color: #ffffff; font-weight: bold; background: " (color(said.tone)) } {
                        (badge(said.tone))
                    }
                    h1 style="font-size: 20px; line-height: 1.3; margin: 12px 0" { (said.headline) }
                    @if let Some(opening) = &said.opening { p { strong { (opening) } } }
                    @for line in lines(said) { p style="margin: 8px 0" { (line) } }
                    @if !said.facts.is_empty() {
                        dl style="margin: 16px 0" {
                            @for (what, value) in &said.facts {
                                dt style="font-size: 14px; font-weight: bold" { (what) }
                                dd style="margin: 0 0 8px 0" { (value) }
                            }
                        }
                    }
                    @for (what, command) in &said.next {
                        p style="margin: 12px 0 4px 0; font-weight: bold" { (what) }
                        pre style={ "margin: 0; padding: 8px; border: 1px solid; white-space: pre-wrap; " (break_words) } {
                            code { (command) }
                        }
                    }
                    @if let Some(link) = &said.link {
                        p { a href=(link) rel="noopener noreferrer" { "Open the workspace, " (link.host_str().unwrap_or(NA)) } }
                    }
                }
            }
        }
    };
    page.into_string()
}

fn badge(tone: Tone) -> &'static str {
    match tone {
        Tone::Alarm(severity) => severity.as_str(),
        Tone::Taken => "ACKNOWLEDGED",
        Tone::Over => "RESOLVED",
        Tone::Note => "NOTE",
    }
}

/// White text is readable on each of them.
fn color(tone: Tone) -> &'static str {
    match tone {
        Tone::Alarm(Severity::Critical) => "#a50e0e",
        Tone::Alarm(Severity::High) => "#c5221f",
        Tone::Alarm(Severity::Medium) => "#8a5300",
        Tone::Alarm(Severity::Low) => "#2f5f8a",
        Tone::Taken => "#1a5fb4",
        Tone::Over => "#1e6b34",
        Tone::Note => "#5f6368",
    }
}
