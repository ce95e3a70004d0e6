//! A letter, and how it is written down.

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

/// A mail, as it was rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// What it is called: the same on every attempt, so that receivers know it again. Before the `@`.
    pub id: String,
    /// What the letters it follows are called, the first one first.
    pub follows: Vec<String>,
    /// When it was written.
    pub at: Timestamp,
    pub subject: String,
    pub text: String,
    pub html: String,
    /// What belongs together, as receivers may sort by it.
    pub lane: String,
    /// The list it goes to, such as `alerts.ops-runbook`.
    pub list: Option<String>,
}

impl Letter {
    pub(super) fn written(&self, from: &Mailbox, to: &Mailboxes) -> Result<Vec<u8>, Error> {
        let id = |local: &str| format!("<{}@{}>", atom(local), from.email.domain());
        let mut builder = Message::builder()
            .from(from.clone())
            .mailbox(header::To::from(to.clone()))
            .subject(plain::line(&self.subject))
            .date(SystemTime::from(self.at.utc()))
            .message_id(Some(id(&self.id)));
        if let Some(last) = self.follows.last() {
            let all: Vec<String> = self.follows.iter().map(|one| id(one)).collect();
            builder = builder.in_reply_to(id(last)).references(all.join(" "));
        }
        // No machine answers it that it is out of office.
        builder = builder.raw_header(named("Auto-Submitted", "auto-generated"));
        builder = builder.raw_header(named("X-Ops-Runbook-Lane", &self.lane));
        if let Some(list) = &self.list {
            builder = builder.raw_header(named("List-Id", &format!("<{}>", atom(list))));
        }
        let parts = MultiPart::alternative_plain_html(self.text.clone(), self.html.clone());
        Ok(builder.multipart(parts)?.formatted())
    }
}

fn named(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), plain::line(value).into_owned())
}

/// What is no letter of an id becomes `=` and its bytes; different texts stay different.
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
