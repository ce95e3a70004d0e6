//! A mail and its MIME format.

use std::time::SystemTime;

use lettre::{
    Message,
    error::Error,
    message::{
        Mailbox, Mailboxes, MultiPart,
        header::{self, HeaderName, HeaderValue},
    },
};

use crate::{domain::time::Timestamp, render::plain};

/// A rendered mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    /// The part of the `Message-ID` before the `@`: the same on every attempt, so that receivers detect duplicates.
    pub id: String,
    /// The ids of the earlier mails of the same thread, the first one first.
    pub references: Vec<String>,
    /// The time in the `Date` header.
    pub at: Timestamp,
    pub subject: String,
    pub text: String,
    pub html: String,
    /// The stream of the notification, sent as `X-Ops-Runbook-Lane` so that receivers can sort by it.
    pub stream: String,
    /// The `List-Id`, such as `alerts.ops-runbook`.
    pub list: Option<String>,
}

impl Email {
    /// Returns the mail with its headers, ready to be transmitted.
    pub(super) fn format(&self, from: &Mailbox, to: &Mailboxes) -> Result<Vec<u8>, Error> {
        let id = |local: &str| format!("<{}@{}>", atom(local), from.email.domain());
        let mut builder = Message::builder()
            .from(from.clone())
            .mailbox(header::To::from(to.clone()))
            .subject(plain::line(&self.subject))
            .date(SystemTime::from(self.at.utc()))
            .message_id(Some(id(&self.id)));
        if let Some(last) = self.references.last() {
            let all: Vec<String> = self.references.iter().map(|one| id(one)).collect();
            builder = builder.in_reply_to(id(last)).references(all.join(" "));
        }
        // Keeps out-of-office replies away.
        builder = builder.raw_header(raw("Auto-Submitted", "auto-generated"));
        builder = builder.raw_header(raw("X-Ops-Runbook-Lane", &self.stream));
        if let Some(list) = &self.list {
            builder = builder.raw_header(raw("List-Id", &format!("<{}>", atom(list))));
        }
        let parts = MultiPart::alternative_plain_html(self.text.clone(), self.html.clone());
        Ok(builder.multipart(parts)?.formatted())
    }
}

fn raw(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), plain::line(value).into_owned())
}

/// Encodes a text as an atom of an id: other bytes become `=` and two hexadecimal digits. Different texts stay different.
fn atom(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut atom, byte| {
        if byte.is_ascii_alphanumeric() || b"._+-".contains(&byte) {
            atom.push(char::from(byte));
        } else {
            let _ = write!(atom, "={byte:02x}");
        }
        atom
    })
}
