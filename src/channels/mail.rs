//! Mail by SMTP.
//!
//! The outcome of an interrupted session depends on its progress: until the text was transmitted, nothing was accepted.

mod email;

use std::{
    fmt,
    net::IpAddr,
    str::FromStr,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use lettre::{
    Address,
    message::{Mailbox, Mailboxes},
    transport::smtp::{
        Error,
        authentication::{Credentials, Mechanism},
        client::{AsyncSmtpConnection, TlsParameters},
        commands::{Data, Mail, Rcpt},
        extension::{ClientId, Extension, MailBodyParameter, MailParameter},
    },
};
use tokio::time::{Instant, timeout};
use url::Host;

pub use email::Email;

use super::{Secret, TargetError, address, http};
use crate::domain::{
    notification::{DeliveryOutcome, Recipients},
    policy::notification::{Encryption, Smtp},
};

/// Connections that are kept for the next mail.
const KEPT: usize = 2;
/// An idle connection is closed after this time: servers close theirs after some minutes.
const IDLE: Duration = Duration::from_secs(60);

/// A mail channel: the server, the sender and the recipients.
pub struct SmtpChannel {
    host: String,
    port: u16,
    encryption: Encryption,
    /// `None`: no encryption.
    tls: Option<TlsParameters>,
    login: Option<(String, Secret)>,
    from: Mailbox,
    to: Mailboxes,
    idle: Mutex<Vec<(AsyncSmtpConnection, Instant)>>,
}

impl fmt::Debug for SmtpChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpChannel").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// Recipients that the server did not accept, each with the reason.
#[derive(Default)]
struct RejectedRecipients {
    refused: Vec<(String, String)>,
    /// Rejected temporarily: to be retried.
    deferred: Vec<(String, String)>,
}

impl RejectedRecipients {
    fn count(&self) -> usize {
        self.refused.len() + self.deferred.len()
    }
}

/// `a@x: 550 no; b@x: 550 no`
fn list<'a>(rejected: impl IntoIterator<Item = &'a (String, String)>) -> String {
    let one = |(address, why): &(String, String)| format!("{address}: {why}");
    rejected.into_iter().map(one).collect::<Vec<_>>().join("; ")
}

impl SmtpChannel {
    /// Checks the configuration. Opens no connection.
    ///
    /// # Errors
    /// [`TargetError::Unusable`] if an address is invalid or mail would leave this machine without encryption;
    /// [`TargetError::NoEncryption`].
    pub fn new(smtp: &Smtp, to: &str, password: Option<Secret>) -> Result<Self, TargetError> {
        let unusable = |what, reason: &str| TargetError::Unusable { what, reason: reason.to_owned() };
        let from = smtp.from.parse().map_err(|_| unusable("the sender of mail", "it is not an address"))?;
        let to: Mailboxes = to
            .trim()
            .trim_end_matches(',')
            .parse()
            .map_err(|_| unusable("the channel's `to`", "it is not a list of addresses"))?;
        if to.iter().next().is_none() {
            return Err(unusable("the channel's `to`", "it is not a list of addresses"));
        }
        if smtp.encryption == Encryption::None && !is_local(&smtp.host) {
            return Err(unusable("the mail server", "mail without encryption is sent to this machine only"));
        }
        if smtp.user.is_some() != password.is_some() {
            return Err(unusable("the mail server", "it has a user without a password, or a password without a user"));
        }
        let tls = match smtp.encryption {
            Encryption::None => None,
            Encryption::StartTls | Encryption::Tls => Some(
                TlsParameters::new(smtp.host.clone())
                    .map_err(|error| TargetError::NoEncryption(http::chain(&error)))?,
            ),
        };
        Ok(Self {
            host: smtp.host.clone(),
            port: smtp.port,
            encryption: smtp.encryption,
            tls,
            login: smtp.user.clone().zip(password),
            from,
            to,
            idle: Mutex::default(),
        })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Returns the password in all forms that are sent: a server may repeat a line that it does not understand.
    pub(super) fn secrets(&self) -> Vec<String> {
        let Some((user, password)) = &self.login else { return Vec::new() };
        let password = password.expose();
        let plain = BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
        vec![password.to_owned(), plain, BASE64_STANDARD.encode(password)]
    }

    /// Sends the mail to the recipients that the server accepts; the outcome names the others. The headers list all
    /// recipients of the channel, even if only some of them get this copy.
    pub(super) async fn send(&self, email: &Email, only: Option<&Recipients>, limit: Duration) -> DeliveryOutcome {
        let is_wanted = |address: &&Address| only.is_none_or(|only| only.contains(address.as_ref()));
        let to: Vec<&Address> = self.to.iter().map(|one| &one.email).filter(is_wanted).collect();
        if let Some(only) = only.filter(|_| to.is_empty()) {
            return DeliveryOutcome::Refused { reason: format!("the channel no longer has the recipients {only}") };
        }
        let mail = match email.format(&self.from, &self.to) {
            Ok(mail) => mail,
            Err(error) => return DeliveryOutcome::Refused { reason: format!("the mail cannot be formatted: {error}") },
        };
        let transmitting = AtomicBool::new(false);
        match timeout(limit, self.deliver(&to, &mail, &transmitting)).await {
            Ok(Ok(outcome) | Err(outcome)) => outcome,
            Err(_) if transmitting.load(Ordering::Relaxed) => {
                DeliveryOutcome::Unknown { reason: "the mail server did not confirm in time".into() }
            }
            Err(_) => {
                DeliveryOutcome::RetryLater { reason: "the mail server did not respond in time".into(), after_s: None }
            }
        }
    }

    /// Sends the mail over an idle connection or a new one. `transmitting` is set once the text is transmitted.
    async fn deliver(
        &self,
        to: &[&Address],
        mail: &[u8],
        transmitting: &AtomicBool,
    ) -> Result<DeliveryOutcome, DeliveryOutcome> {
        if let Some(mut connection) = self.take_idle() {
            match self.send_envelope(&mut connection, to, mail).await {
                // The server closed the connection, or is about to.
                Err(error) if error.status().is_none_or(|code| u16::from(code) == 421) && !error.is_client() => {}
                envelope => return self.send_text(connection, envelope, to, mail, transmitting).await,
            }
        }
        let mut connection = self.connect().await.map_err(|error| outcome_of(&error))?;
        let envelope = self.send_envelope(&mut connection, to, mail).await;
        self.send_text(connection, envelope, to, mail, transmitting).await
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let hello = ClientId::default();
        let wrapped = self.tls.clone().filter(|_| self.encryption == Encryption::Tls);
        let server = (self.host.trim_matches(['[', ']']), self.port);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(server, Some(http::CONNECT), &hello, wrapped, None).await?;
        if let Some(tls) = self.tls.clone().filter(|_| self.encryption == Encryption::StartTls) {
            connection.starttls(tls, &hello).await?;
        }
        if let Some((user, password)) = &self.login {
            let credentials = Credentials::new(user.clone(), password.expose().to_owned());
            connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await?;
        }
        Ok(connection)
    }

    /// Sends the sender and the recipients. Returns the recipients that the server rejected.
    async fn send_envelope(
        &self,
        connection: &mut AsyncSmtpConnection,
        to: &[&Address],
        mail: &[u8],
    ) -> Result<RejectedRecipients, Error> {
        let mut parameters = Vec::new();
        // Texts are encoded, addresses cannot be.
        if !mail.is_ascii() && connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            parameters.extend([MailParameter::SmtpUtfEight, MailParameter::Body(MailBodyParameter::EightBitMime)]);
        }
        connection.command(Mail::new(Some(self.from.email.clone()), parameters)).await?;
        let mut rejected = RejectedRecipients::default();
        for to in to {
            match connection.command(Rcpt::new((*to).clone(), Vec::new())).await {
                Ok(_) => {}
                Err(error) if error.status().is_some() => {
                    let list = if error.is_transient() { &mut rejected.deferred } else { &mut rejected.refused };
                    list.push((to.to_string(), describe(&error)));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(rejected)
    }

    /// Sends the text, unless the server rejected all recipients.
    async fn send_text(
        &self,
        mut connection: AsyncSmtpConnection,
        envelope: Result<RejectedRecipients, Error>,
        to: &[&Address],
        mail: &[u8],
        transmitting: &AtomicBool,
    ) -> Result<DeliveryOutcome, DeliveryOutcome> {
        let rejected = envelope.map_err(|error| outcome_of(&error))?;
        let RejectedRecipients { refused, deferred } = &rejected;
        if rejected.count() == to.len() {
            let reason = format!("the mail server accepts no recipient: {}", list(deferred.iter().chain(refused)));
            return Err(match deferred.is_empty() {
                true => DeliveryOutcome::Refused { reason },
                false => DeliveryOutcome::RetryLater { reason, after_s: None },
            });
        }
        connection.command(Data).await.map_err(|error| outcome_of(&error))?;
        transmitting.store(true, Ordering::Relaxed);
        let answer = match connection.message(mail).await {
            Ok(answer) => answer,
            Err(error) if error.status().is_some() => return Err(outcome_of(&error)),
            Err(error) => {
                let reason = format!("the mail server did not confirm: {}", describe(&error));
                return Err(DeliveryOutcome::Unknown { reason });
            }
        };
        let receipt = answer.message().collect::<Vec<_>>().join(" ");
        self.keep_idle(connection);
        let not_for = (!refused.is_empty()).then(|| format!("not for {}", list(refused)));
        let later = format!("not yet for {}", list(deferred));
        let waits_for = Recipients::new(rejected.deferred.into_iter().map(|(address, _)| address).collect());
        Ok(match waits_for {
            None => DeliveryOutcome::Accepted { receipt: Some(receipt), refused: not_for },
            Some(waits_for) => {
                let reason = not_for.map_or(later.clone(), |not_for| format!("{later}; {not_for}"));
                DeliveryOutcome::Partly { receipt: Some(receipt), waits_for, reason }
            }
        })
    }

    fn take_idle(&self) -> Option<AsyncSmtpConnection> {
        let mut idle = self.idle.lock().ok()?;
        idle.retain(|(_, since)| since.elapsed() < IDLE);
        idle.pop().map(|(connection, _)| connection)
    }

    fn keep_idle(&self, connection: AsyncSmtpConnection) {
        if let Ok(mut idle) = self.idle.lock()
            && idle.len() < KEPT
        {
            idle.push((connection, Instant::now()));
        }
    }
}

/// Returns the outcome of an error before the server accepted the mail.
fn outcome_of(error: &Error) -> DeliveryOutcome {
    if error.is_client() {
        DeliveryOutcome::Refused {
            reason: format!("the mail server does not support what is configured: {}", describe(error)),
        }
    } else if error.is_permanent() {
        DeliveryOutcome::Refused { reason: format!("the mail server answered {}", describe(error)) }
    } else if error.is_transient() {
        DeliveryOutcome::RetryLater { reason: format!("the mail server answered {}", describe(error)), after_s: None }
    } else {
        DeliveryOutcome::RetryLater {
            reason: format!("the mail server cannot be reached: {}", describe(error)),
            after_s: None,
        }
    }
}

/// Returns the server's reply, such as `550 no such user`, or the cause of a local error.
fn describe(error: &Error) -> String {
    match (error.status(), std::error::Error::source(error)) {
        (Some(code), Some(text)) => format!("{code} {text}"),
        (Some(code), None) => code.to_string(),
        (None, Some(cause)) => http::chain(cause),
        (None, None) => error.to_string(),
    }
}

fn is_local(host: &str) -> bool {
    match IpAddr::from_str(host.trim_matches(['[', ']'])) {
        Ok(address) => address.is_loopback(),
        Err(_) => address::is_local(&Host::Domain(host)),
    }
}

#[cfg(test)]
mod tests;
