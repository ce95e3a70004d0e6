//! Notifications as mail: the same content as plain text and as an HTML page without scripts, style sheets or external
//! resources.

use maud::{DOCTYPE, html};

use super::outline::{self, NotificationOutline, Tone};
use crate::{
    domain::{
        check::Severity,
        ids::sha256_hex,
        notification::{AlertSummary, IncidentContext, Notification, NotificationContent},
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

/// A mail without sender and recipients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// One line.
    pub subject: String,
    pub text: String,
    pub html: String,
    /// The part of its id before the `@`: the same for every attempt to send it.
    pub message_id: String,
    /// The part before the `@` of the id that all mail of the stream refers to, including the first one. No mail has that id,
    /// because a stream can be opened more than once. `None`: no other mail follows.
    pub thread: Option<String>,
}

/// The mail of one notification.
pub fn mail(notification: &Notification, about: &IncidentContext) -> Mail {
    let outline = outline::of(notification, about);
    let message_id =
        named(&format!("{}\n{}\n{}", notification.source, notification.notification_kind, notification.stream));
    match &notification.content {
        NotificationContent::Digest(digest) => {
            Mail { text: text::text(digest, WIDTH), html: digest_page(digest), ..lay_out(&outline, message_id, None) }
        }
        NotificationContent::Change { .. } => lay_out(&outline, message_id, None),
        NotificationContent::Alert(_) | NotificationContent::Undelivered(_) => {
            lay_out(&outline, message_id, Some(named(&format!("thread\n{}", notification.stream))))
        }
    }
}

/// One mail for several alerts.
pub fn summary(stream: &str, summary: &AlertSummary) -> Mail {
    let notifications = summary
        .notifications
        .iter()
        .map(|(notification, _)| format!("{}/{}", notification.source, notification.notification_kind));
    let notifications: Vec<String> = notifications.collect();
    let message_id = named(&format!("summary\n{}\n{stream}", notifications.join("\n")));
    lay_out(&outline::summary(summary), message_id, None)
}

fn lay_out(outline: &NotificationOutline, message_id: String, thread: Option<String>) -> Mail {
    let subject = within(&outline.headline, MOST_SUBJECT, |_| 1).into_owned();
    Mail { subject, text: plain(outline), html: page(outline), message_id, thread }
}

/// 32 hex digits.
fn named(what: &str) -> String {
    let mut hash = sha256_hex(what);
    hash.truncate(32);
    hash
}

/// The text in paragraphs. A command has its own line, which is never wrapped.
fn plain(outline: &NotificationOutline) -> String {
    let mut out = String::new();
    text::wrap(&mut out, "", "", &outline.headline, WIDTH);
    let mut paragraph = |lines: &[(String, &str)]| {
        if !lines.is_empty() {
            out.push('\n');
            lines.iter().for_each(|(line, hanging)| text::wrap(&mut out, "", hanging, line, WIDTH));
        }
    };
    let opening: Vec<_> = outline.opening.iter().map(|opening| (opening.clone(), "")).collect();
    paragraph(&opening);
    let body: Vec<_> = lines(outline).into_iter().map(|line| (line, "  ")).collect();
    paragraph(&body);
    let facts: Vec<_> = outline.facts.iter().map(|(what, value)| (format!("{what}: {value}"), "  ")).collect();
    paragraph(&facts);
    if !outline.next.is_empty() {
        out.push('\n');
    }
    for (what, command) in &outline.next {
        out.push_str(&format!("{what}:\n  {command}\n"));
    }
    if let Some(link) = &outline.link {
        out.push_str(&format!("\nWorkspace: {link}\n"));
    }
    out
}

fn lines(outline: &NotificationOutline) -> Vec<String> {
    if outline.body.is_empty() { Vec::new() } else { outline.body.short(usize::MAX, usize::MAX) }
}

fn page(outline: &NotificationOutline) -> String {
    let break_words = "overflow-wrap: anywhere";
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                (head(&outline.headline))
            }
            body style="margin: 0; padding: 16px; font: 16px/1.45 sans-serif; color-scheme: light dark" {
                div style={ "max-width: 40rem; margin: 0 auto; " (break_words) } {
                    p style={ "margin: 0; padding: 4px 12px; color: #ffffff; font-weight: bold; background: " (color(outline.tone)) } {
                        (badge(outline.tone))
                    }
                    h1 style="font-size: 20px; line-height: 1.3; margin: 12px 0" { (outline.headline) }
                    @if let Some(opening) = &outline.opening { p { strong { (opening) } } }
                    @for line in lines(outline) { p style="margin: 8px 0" { (line) } }
                    @if !outline.facts.is_empty() {
                        dl style="margin: 16px 0" {
                            @for (what, value) in &outline.facts {
                                dt style="font-size: 14px; font-weight: bold" { (what) }
                                dd style="margin: 0 0 8px 0" { (value) }
                            }
                        }
                    }
                    @for (what, command) in &outline.next {
                        p style="margin: 12px 0 4px 0; font-weight: bold" { (what) }
                        pre style={ "margin: 0; padding: 8px; border: 1px solid; white-space: pre-wrap; " (break_words) } {
                            code { (command) }
                        }
                    }
                    @if let Some(link) = &outline.link {
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
        Tone::Alert(severity) => severity.as_str(),
        Tone::Acknowledged => "ACKNOWLEDGED",
        Tone::Resolved => "RESOLVED",
        Tone::Info => "NOTE",
    }
}

/// The background of the badge. White text is readable on it.
fn color(tone: Tone) -> &'static str {
    match tone {
        Tone::Alert(Severity::Critical) => "#a50e0e",
        Tone::Alert(Severity::High) => "#c5221f",
        Tone::Alert(Severity::Medium) => "#8a5300",
        Tone::Alert(Severity::Low) => "#2f5f8a",
        Tone::Acknowledged => "#1a5fb4",
        Tone::Resolved => "#1e6b34",
        Tone::Info => "#5f6368",
    }
}
