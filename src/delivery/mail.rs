//! Mail, by SMTP.
//!
//! How far a conversation came decides what its end means: before the text was handed over, nothing was received.

mod letter;

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

pub use letter::Letter;

use super::{Secret, TargetError, address, http};
use crate::domain::{
    delivery::{Outcome, Recipients},
    policy::delivery::{Encryption, Smtp},
};

/// Connections that are kept for the next letter.
const KEPT: usize = 2;
/// A connection that was not used for so long is given up: servers do so after some minutes.
const IDLE: Duration = Duration::from_secs(60);

/// One way to several people: the server, who writes, and to whom.
pub struct Post {
    host: String,
    port: u16,
    encryption: Encryption,
    /// `None` where there is none.
    tls: Option<TlsParameters>,
    login: Option<(String, Secret)>,
    from: Mailbox,
    to: Mailboxes,
    idle: Mutex<Vec<(AsyncSmtpConnection, Instant)>>,
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// Recipients that the server does not take, and why.
#[derive(Default)]
struct Unwanted {
    refused: Vec<(String, String)>,
    /// Not now: to be asked again.
    deferred: Vec<(String, String)>,
}

impl Unwanted {
    fn count(&self) -> usize {
        self.refused.len() + self.deferred.len()
    }
}

/// `a@x: 550 no; b@x: 550 no`
fn each<'a>(unwanted: impl IntoIterator<Item = &'a (String, String)>) -> String {
    let one = |(address, why): &(String, String)| format!("{address}: {why}");
    unwanted.into_iter().map(one).collect::<Vec<_>>().join("; ")
}

impl Post {
    /// Makes no connection.
    ///
    /// # Errors
    /// [`TargetError::Unusable`] names what is no address, or that mail would be sent in the clear;
    /// [`TargetError::NoEncryption`].
    pub fn new(smtp: &Smtp, to: &str, password: Option<Secret>) -> Result<Self, TargetError> {
        let unusable = |what, reason: &str| TargetError::Unusable { what, reason: reason.to_owned() };
        let from = smtp.from.parse().map_err(|_| unusable("the sender of mail", "it is no address"))?;
        let to: Mailboxes = to
            .trim()
            .trim_end_matches(',')
            .parse()
            .map_err(|_| unusable("the channel's `to`", "these are no addresses"))?;
        if to.iter().next().is_none() {
            return Err(unusable("the channel's `to`", "these are no addresses"));
        }
        if smtp.encryption == Encryption::None && !is_local(&smtp.host) {
            return Err(unusable("the mail server", "without encryption mail is sent to this machine only"));
        }
        if smtp.user.is_some() != password.is_some() {
            return Err(unusable(
                "the mail server",
                "there is a user without a password, or a password without a user",
            ));
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

    /// The password, and how it is sent: a server may repeat what it does not understand.
    pub(super) fn hidden(&self) -> Vec<String> {
        let Some((user, password)) = &self.login else { return Vec::new() };
        let password = password.expose();
        let plain = BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
        vec![password.to_owned(), plain, BASE64_STANDARD.encode(password)]
    }

    /// Whoever can be told is: recipients that the server refuses are named, as long as there are others. It is
    /// the same letter for whoever it is sent to.
    pub(super) async fn send(&self, letter: &Letter, only: Option<&Recipients>, limit: Duration) -> Outcome {
        let is_meant = |address: &&Address| only.is_none_or(|only| only.contains(address.as_ref()));
        let to: Vec<&Address> = self.to.iter().map(|one| &one.email).filter(is_meant).collect();
        if let Some(only) = only.filter(|_| to.is_empty()) {
            return Outcome::Refused { reason: format!("the channel does not lead to {only} any more") };
        }
        let mail = match letter.written(&self.from, &self.to) {
            Ok(mail) => mail,
            Err(error) => return Outcome::Refused { reason: format!("the letter cannot be written: {error}") },
        };
        let handed_over = AtomicBool::new(false);
        match timeout(limit, self.talk(&to, &mail, &handed_over)).await {
            Ok(Ok(outcome) | Err(outcome)) => outcome,
            Err(_) if handed_over.load(Ordering::Relaxed) => {
                Outcome::Unknown { reason: "the mail server did not confirm in time".into() }
            }
            Err(_) => Outcome::NotNow { reason: "the mail server takes too long".into(), after_s: None },
        }
    }

    /// What came of it; the error says how far it came.
    async fn talk(&self, to: &[&Address], mail: &[u8], handed_over: &AtomicBool) -> Result<Outcome, Outcome> {
        if let Some(mut connection) = self.kept() {
            match self.announce(&mut connection, to, mail).await {
                // It was closed meanwhile, or is about to be.
                Err(error) if error.status().is_none_or(|code| u16::from(code) == 421) && !error.is_client() => {}
                announced => return self.hand_over(connection, announced, to, mail, handed_over).await,
            }
        }
        let mut connection = self.connect().await.map_err(|error| unsent(&error))?;
        let announced = self.announce(&mut connection, to, mail).await;
        self.hand_over(connection, announced, to, mail, handed_over).await
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

    /// From whom, and to whom. Answers who is not taken.
    async fn announce(
        &self,
        connection: &mut AsyncSmtpConnection,
        to: &[&Address],
        mail: &[u8],
    ) -> Result<Unwanted, Error> {
        let mut parameters = Vec::new();
        // Texts are encoded; addresses cannot be.
        if !mail.is_ascii() && connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            parameters.extend([MailParameter::SmtpUtfEight, MailParameter::Body(MailBodyParameter::EightBitMime)]);
        }
        connection.command(Mail::new(Some(self.from.email.clone()), parameters)).await?;
        let mut unwanted = Unwanted::default();
        for to in to {
            match connection.command(Rcpt::new((*to).clone(), Vec::new())).await {
                Ok(_) => {}
                Err(error) if error.status().is_some() => {
                    let those = if error.is_transient() { &mut unwanted.deferred } else { &mut unwanted.refused };
                    those.push((to.to_string(), told(&error)));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(unwanted)
    }

    /// The text, unless nobody gets it.
    async fn hand_over(
        &self,
        mut connection: AsyncSmtpConnection,
        announced: Result<Unwanted, Error>,
        to: &[&Address],
        mail: &[u8],
        handed_over: &AtomicBool,
    ) -> Result<Outcome, Outcome> {
        let unwanted = announced.map_err(|error| unsent(&error))?;
        let Unwanted { refused, deferred } = &unwanted;
        if unwanted.count() == to.len() {
            let reason = format!("the mail server takes no recipient: {}", each(deferred.iter().chain(refused)));
            return Err(match deferred.is_empty() {
                true => Outcome::Refused { reason },
                false => Outcome::NotNow { reason, after_s: None },
            });
        }
        connection.command(Data).await.map_err(|error| unsent(&error))?;
        handed_over.store(true, Ordering::Relaxed);
        let answer = match connection.message(mail).await {
            Ok(answer) => answer,
            Err(error) if error.status().is_some() => return Err(unsent(&error)),
            Err(error) => {
                let reason = format!("the mail server did not confirm: {}", told(&error));
                return Err(Outcome::Unknown { reason });
            }
        };
        let receipt = answer.message().collect::<Vec<_>>().join(" ");
        self.keep(connection);
        let not_for = (!refused.is_empty()).then(|| format!("not for {}", each(refused)));
        let later = format!("not yet for {}", each(deferred));
        let waits_for = Recipients::new(unwanted.deferred.into_iter().map(|(address, _)| address).collect());
        Ok(match waits_for {
            None => Outcome::Accepted { receipt: Some(receipt), refused: not_for },
            Some(waits_for) => {
                let reason = not_for.map_or(later.clone(), |not_for| format!("{later}; {not_for}"));
                Outcome::Partly { receipt: Some(receipt), waits_for, reason }
            }
        })
    }

    fn kept(&self) -> Option<AsyncSmtpConnection> {
        let mut idle = self.idle.lock().ok()?;
        idle.retain(|(_, since)| since.elapsed() < IDLE);
        idle.pop().map(|(connection, _)| connection)
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        if let Ok(mut idle) = self.idle.lock()
            && idle.len() < KEPT
        {
            idle.push((connection, Instant::now()));
        }
    }
}

/// Nothing was received, or the server says that it is not taken.
fn unsent(error: &Error) -> Outcome {
    if error.is_client() {
        Outcome::Refused { reason: format!("the mail server will not do: {}", told(error)) }
    } else if error.is_permanent() {
        Outcome::Refused { reason: format!("the mail server answers {}", told(error)) }
    } else if error.is_transient() {
        Outcome::NotNow { reason: format!("the mail server answers {}", told(error)), after_s: None }
    } else {
        Outcome::NotNow { reason: format!("the mail server cannot be reached: {}", told(error)), after_s: None }
    }
}

/// `550 no such user`, or what went wrong here.
fn told(error: &Error) -> String {
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
