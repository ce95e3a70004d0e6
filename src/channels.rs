//! Notification channels: PagerDuty, Slack, Teams, webhooks and mail servers. Sends rendered payloads; does not decide when.
//!
//! - here: [`ChannelTarget`], [`Payload`] and [`DeliveryAttempt`]
//! - [`secrets`]: reads secrets from the environment, files and secret scopes
//! - [`address`]: URLs that notifications may be sent to
//! - [`http`]: the HTTP client of all channels, and how a status becomes an outcome
//! - [`sanitise`]: removes secrets from what a receiver answered
//! - [`pagerduty`], [`slack`], [`teams`], [`webhook`], [`mail`]: the protocol of each channel
//! - [`pagerduty_webhook`]: webhooks that PagerDuty sends to us
//!
//! Nothing is retried here; the caller decides from the outcome. `RetryLater`: the receiver has certainly not accepted the
//! notification. `Unknown`: it may have. `Partly`: some recipients of the channel have it, and others can still get it.

mod address;
mod http;
pub mod mail;
mod pagerduty;
pub mod pagerduty_webhook;
mod sanitise;
pub mod secrets;
mod slack;
mod teams;
mod webhook;

use std::{fmt, sync::Arc};

use serde_json::Value;

pub use address::Address;
pub use http::HttpClient;
pub use mail::Email;
pub use secrets::{Secret, SecretError, Secrets};

use crate::domain::{
    notification::{DeliveryOutcome, Recipients, channel::ChannelKind},
    policy::notification::{ChannelConnection, Smtp},
    time::Timestamp,
};
use mail::SmtpChannel;

/// The address and the credentials of a channel. Secrets are never printed.
#[derive(Debug, Clone)]
pub enum ChannelTarget {
    /// `base` is the address of the Events API, `key` the routing key of the integration.
    Pagerduty {
        base: Address,
        key: Secret,
    },
    /// An pagerduty_webhook webhook: its URL is the secret.
    SlackWebhook {
        address: Address,
    },
    /// A bot. `base` is the address of the Web API.
    SlackBot {
        base: Address,
        token: Secret,
        channel: String,
    },
    /// A workflow with a webhook trigger: its URL is the secret.
    Teams {
        address: Address,
    },
    /// Any receiver of CloudEvents. Requests are signed if there is a key.
    Webhook {
        address: Address,
        key: Option<Secret>,
    },
    Mail(Arc<SmtpChannel>),
}

/// A rendered notification.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// The body of a request in JSON.
    Json(Value),
    /// A change event of PagerDuty.
    Change(Value),
    Email(Box<Email>),
}

/// The parameters of one delivery attempt, without the payload.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryAttempt<'a> {
    /// Identifies the notification. Every attempt to send it has the same id.
    pub id: &'a str,
    /// The receipt of the first notification of the same stream, where the receiver supports threads.
    pub thread: Option<&'a str>,
    /// The recipients to send to. `None`: all recipients of the channel.
    pub only: Option<&'a Recipients>,
    pub now: Timestamp,
}

/// A channel is configured incompletely or incorrectly.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("the channel has no {0}")]
    Missing(&'static str),
    /// The reason contains no more than the host of an address: the rest may be a secret.
    #[error("{what} cannot be used: {reason}")]
    Unusable { what: &'static str, reason: String },
    #[error("this machine cannot make encrypted connections: {0}")]
    NoEncryption(String),
}

impl TargetError {
    pub fn hint(&self) -> String {
        match self {
            Self::Secret(error) => error.hint(),
            Self::Missing("mail server") => "configure the mail server in [smtp]".into(),
            Self::Missing(what) => format!("set `{what}` of the channel in the configuration"),
            Self::Unusable { .. } => {
                "use an https:// address (http:// only for this machine); list mail addresses as a@b.example, c@d.example"
                    .into()
            }
            Self::NoEncryption(_) => "check the certificates that this machine trusts".into(),
        }
    }
}

impl ChannelTarget {
    /// Reads the secrets of the channel and checks its configuration. Sends nothing to the channel.
    ///
    /// # Errors
    /// [`TargetError`].
    pub async fn resolve(
        kind: ChannelKind,
        to: Option<&str>,
        connection: &ChannelConnection,
        smtp: Option<&Smtp>,
        secrets: &Secrets<'_>,
    ) -> Result<Self, TargetError> {
        let to = to.map(str::trim).filter(|to| !to.is_empty());
        let secret = match &connection.secret {
            Some(reference) => Some(secrets.read(reference).await?),
            None => None,
        };
        let needed = || secret.clone().ok_or(TargetError::Missing("secret"));
        let address = |what, text: &str| {
            text.parse::<Address>().map_err(|reason| TargetError::Unusable { what, reason: reason.into() })
        };
        let base = |usual: &str| address("the channel's `url`", connection.url.as_deref().unwrap_or(usual));
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
                let url = connection.url.as_deref().ok_or(TargetError::Missing("url"))?;
                Self::Webhook { address: address("the channel's `url`", url)?, key: secret }
            }
            ChannelKind::Email => {
                let smtp = smtp.ok_or(TargetError::Missing("mail server"))?;
                let to = to.ok_or(TargetError::Missing("to"))?;
                let password = match &smtp.password {
                    Some(reference) => Some(secrets.read(reference).await?),
                    None => None,
                };
                Self::Mail(Arc::new(SmtpChannel::new(smtp, to, password)?))
            }
        })
    }

    /// Makes one delivery attempt. The reason in the outcome is one short line without secrets.
    pub async fn send(&self, http: &HttpClient, payload: &Payload, attempt: DeliveryAttempt<'_>) -> DeliveryOutcome {
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
            (Self::Mail(channel), Payload::Email(email)) => channel.send(email, attempt.only, http.limit()).await,
            (target, _) => {
                DeliveryOutcome::Refused { reason: format!("{} does not accept this kind of payload", target.name()) }
            }
        };
        sanitise::outcome(outcome, &self.secrets())
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

    /// Secrets that a receiver may repeat in its response. They must not be recorded.
    fn secrets(&self) -> Vec<String> {
        let text = |secret: &Secret| secret.expose().to_owned();
        match self {
            Self::Pagerduty { key, .. } => vec![text(key)],
            Self::SlackWebhook { address } | Self::Teams { address } => address.secrets(),
            Self::SlackBot { token, .. } => vec![text(token)],
            Self::Webhook { address, key } => address.secrets().into_iter().chain(key.as_ref().map(text)).collect(),
            Self::Mail(channel) => channel.secrets(),
        }
    }
}

/// `PagerDuty at events.pagerduty.com`.
impl fmt::Display for ChannelTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = match self {
            Self::Pagerduty { base, .. } | Self::SlackBot { base, .. } => base.host(),
            Self::SlackWebhook { address } | Self::Teams { address } | Self::Webhook { address, .. } => address.host(),
            Self::Mail(channel) => channel.host(),
        };
        write!(f, "{} at {host}", self.name())
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
