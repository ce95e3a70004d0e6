//! The receivers of notices: PagerDuty, Slack, Teams, webhooks, mail servers. What is sent comes here ready, and when is not decided here.
//!
//! - here: a channel as it is reached, what it is sent, and what came of it
//! - [`secrets`] are read from where the configuration says they are
//! - [`address`]: URLs that may be sent to
//! - [`http`]: one client for all, and what statuses mean; [`reason`]s are safe to be recorded
//! - [`pagerduty`], [`slack`], [`teams`], [`webhook`], [`mail`]: what each takes, and answers
//! - [`incoming`]: what PagerDuty tells us
//!
//! Nothing is sent again here: whoever sends knows from the [`Outcome`] whether it may be. Only what was surely not received is
//! [`Outcome::NotNow`]; what may have been is [`Outcome::Unknown`]. What some recipients of one channel have, and others may
//! still get, is [`Outcome::Partly`].

mod address;
mod http;
pub mod incoming;
pub mod mail;
mod pagerduty;
mod reason;
pub mod secrets;
mod slack;
mod teams;
mod webhook;

use std::{fmt, sync::Arc};

use serde_json::Value;

pub use address::Address;
pub use http::Http;
pub use mail::Letter;
pub use secrets::{Secret, SecretError, Secrets};

use crate::domain::{
    delivery::{Outcome, Recipients},
    policy::delivery::{Reach, Smtp},
    time::Timestamp,
    words::ChannelKind,
};
use mail::Post;

/// Where a channel is, and what shows that we may. Its secrets are never printed.
#[derive(Debug, Clone)]
pub enum Target {
    /// `base` is where the Events API is, `key` the routing key of the integration.
    Pagerduty {
        base: Address,
        key: Secret,
    },
    /// An incoming webhook: its URL is the secret.
    SlackWebhook {
        address: Address,
    },
    /// A bot: `base` is where the Web API is.
    SlackBot {
        base: Address,
        token: Secret,
        channel: String,
    },
    /// A workflow that begins with a webhook: its URL is the secret.
    Teams {
        address: Address,
    },
    /// Anything that takes CloudEvents, signed where there is a key.
    Webhook {
        address: Address,
        key: Option<Secret>,
    },
    Mail(Arc<Post>),
}

/// What is sent, as it was rendered.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// For everything that takes JSON.
    Json(Value),
    /// For PagerDuty's list of changes.
    Change(Value),
    Letter(Box<Letter>),
}

/// What is known of one attempt, besides what is sent.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// What is sent, by a name that every attempt to send it has.
    pub id: &'a str,
    /// What the receiver called the first of those that belong together: see [`Outcome::Accepted`].
    pub thread: Option<&'a str>,
    /// The recipients that it is sent to. `None`: all of the channel.
    pub only: Option<&'a Recipients>,
    pub now: Timestamp,
}

/// Why a channel cannot be reached as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("the channel has no {0}")]
    Missing(&'static str),
    /// The reason names a host at most: an address may be a secret.
    #[error("{what} cannot be used: {reason}")]
    Unusable { what: &'static str, reason: String },
    #[error("this machine cannot make encrypted connections: {0}")]
    NoEncryption(String),
}

impl TargetError {
    pub fn hint(&self) -> String {
        match self {
            Self::Secret(error) => error.hint(),
            Self::Missing("mail server") => "say in [smtp] how mail is sent".into(),
            Self::Missing(what) => format!("say it in the channel's `{what}`"),
            Self::Unusable { .. } => {
                "addresses begin with https://, on this machine http:// will do; mail goes to a@b.example, c@d.example"
                    .into()
            }
            Self::NoEncryption(_) => "look at the certificates that this machine trusts".into(),
        }
    }
}

impl Target {
    /// Reads the secrets that the channel needs. Sends nothing to the channel.
    ///
    /// # Errors
    /// [`TargetError`].
    pub async fn of(
        kind: ChannelKind,
        to: Option<&str>,
        reach: &Reach,
        smtp: Option<&Smtp>,
        secrets: &Secrets<'_>,
    ) -> Result<Self, TargetError> {
        let to = to.map(str::trim).filter(|to| !to.is_empty());
        let secret = match &reach.secret {
            Some(reference) => Some(secrets.read(reference).await?),
            None => None,
        };
        let needed = || secret.clone().ok_or(TargetError::Missing("secret"));
        let address = |what, text: &str| {
            text.parse::<Address>().map_err(|reason| TargetError::Unusable { what, reason: reason.into() })
        };
        let base = |usual: &str| address("the channel's `url`", reach.url.as_deref().unwrap_or(usual));
        Ok(match kind {
            ChannelKind::Pagerduty => Self::Pagerduty { base: base(pagerduty::BASE)?, key: needed()? },
            ChannelKind::Slack => {
                let secret = needed()?;
                if secret.expose().starts_with(slack::BOT) {
                    let channel = to.ok_or(TargetError::Missing("to"))?.to_owned();
                    Self::SlackBot { base: base(slack::BASE)?, token: secret, channel }
                } else {
                    Self::SlackWebhook {
                        address: address("the channel's secret, a bot's token or a URL,", secret.expose())?,
                    }
                }
            }
            ChannelKind::Teams => Self::Teams { address: address("the channel's secret, a URL,", needed()?.expose())? },
            ChannelKind::Webhook => {
                let url = reach.url.as_deref().ok_or(TargetError::Missing("url"))?;
                Self::Webhook { address: address("the channel's `url`", url)?, key: secret }
            }
            ChannelKind::Email => {
                let smtp = smtp.ok_or(TargetError::Missing("mail server"))?;
                let to = to.ok_or(TargetError::Missing("to"))?;
                let password = match &smtp.password {
                    Some(reference) => Some(secrets.read(reference).await?),
                    None => None,
                };
                Self::Mail(Arc::new(Post::new(smtp, to, password)?))
            }
        })
    }

    /// One attempt. What it says is one short line without secrets.
    pub async fn send(&self, http: &Http, payload: &Payload, attempt: Attempt<'_>) -> Outcome {
        let outcome = match (self, payload) {
            (Self::Pagerduty { base, key }, Payload::Json(event)) => {
                pagerduty::send(http, base, pagerduty::EVENTS, key, event, attempt).await
            }
            (Self::Pagerduty { base, key }, Payload::Change(event)) => {
                pagerduty::send(http, base, pagerduty::CHANGES, key, event, attempt).await
            }
            (Self::SlackWebhook { address }, Payload::Json(message)) => {
                slack::to_webhook(http, address, message, attempt).await
            }
            (Self::SlackBot { base, token, channel }, Payload::Json(message)) => {
                slack::as_bot(http, base, token, channel, message, attempt).await
            }
            (Self::Teams { address }, Payload::Json(message)) => teams::send(http, address, message, attempt).await,
            (Self::Webhook { address, key }, Payload::Json(event)) => {
                webhook::send(http, address, key.as_ref(), event, attempt).await
            }
            (Self::Mail(post), Payload::Letter(letter)) => post.send(letter, attempt.only, http.limit()).await,
            (target, _) => Outcome::Refused { reason: format!("{} takes no such message", target.name()) },
        };
        reason::clean(outcome, &self.hidden())
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Pagerduty { .. } => "PagerDuty",
            Self::SlackWebhook { .. } | Self::SlackBot { .. } => "Slack",
            Self::Teams { .. } => "Teams",
            Self::Webhook { .. } => "the webhook",
            Self::Mail(_) => "the mail server",
        }
    }

    /// What a receiver may repeat in its answer, and must not be recorded.
    fn hidden(&self) -> Vec<String> {
        let of = |secret: &Secret| secret.expose().to_owned();
        match self {
            Self::Pagerduty { key, .. } => vec![of(key)],
            Self::SlackWebhook { address } | Self::Teams { address } => address.secrets(),
            Self::SlackBot { token, .. } => vec![of(token)],
            Self::Webhook { address, key } => address.secrets().into_iter().chain(key.as_ref().map(of)).collect(),
            Self::Mail(post) => post.hidden(),
        }
    }
}

/// `PagerDuty at events.pagerduty.com`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = match self {
            Self::Pagerduty { base, .. } | Self::SlackBot { base, .. } => base.host(),
            Self::SlackWebhook { address } | Self::Teams { address } | Self::Webhook { address, .. } => address.host(),
            Self::Mail(post) => post.host(),
        };
        write!(f, "{} at {host}", self.name())
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
