//! The settings of notifications: channel connections, delivery, the mail server and maintenance windows.

use std::{fmt, str::FromStr};

use chrono::{Datelike, NaiveTime, TimeDelta, TimeZone, Weekday};
use chrono_tz::Tz;
use serde::{Serialize, Serializer};

use crate::domain::{
    check::Severity, escalation::trigger::Trigger, ids::Id, notification::channel::ChannelKind, time::Timestamp,
};

/// Reference to a secret. It never contains the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// An environment variable.
    Env(String),
    /// A file that contains only the secret.
    File(String),
    /// A secret of a Databricks workspace.
    Databricks { scope: String, key: String },
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{path}"),
            Self::Databricks { scope, key } => write!(f, "databricks:{scope}/{key}"),
        }
    }
}

/// `env:NAME`, `file:PATH`, `databricks:SCOPE/KEY`.
impl FromStr for SecretRef {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = |name: &str| {
            !name.is_empty()
                && !name.starts_with(|first: char| first.is_ascii_digit())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        let valid = |name: &str| {
            (1..=128).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.@".contains(&byte))
        };
        let found = match text.split_once(':') {
            Some(("env", name)) if named(name) => Self::Env(name.to_owned()),
            Some(("file", path)) if !path.trim().is_empty() && !path.chars().any(char::is_control) => {
                Self::File(path.to_owned())
            }
            Some(("databricks", rest)) => match rest.split_once('/') {
                Some((scope, key)) if valid(scope) && valid(key) => {
                    Self::Databricks { scope: scope.to_owned(), key: key.to_owned() }
                }
                _ => return Err(SECRET_FORMS),
            },
            _ => return Err(SECRET_FORMS),
        };
        Ok(found)
    }
}

const SECRET_FORMS: &str = "must be env:NAME, file:PATH or databricks:SCOPE/KEY";

impl Serialize for SecretRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Connection settings of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChannelConnection {
    /// The credential: a routing key, the URL of a webhook, the token of a bot, or a signing key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretRef>,
    /// URL, if it is not the default of the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// PagerDuty: the secret with which it signs its webhooks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_secret: Option<SecretRef>,
    /// Maximum number of notifications a minute.
    pub per_minute: u32,
}

impl ChannelConnection {
    /// Returns the default rate limit in notifications a minute. PagerDuty accepts 120 events a minute and key; Slack and Teams
    /// accept at least one message a second.
    pub fn default_rate(kind: ChannelKind) -> u32 {
        match kind {
            ChannelKind::Pagerduty => 120,
            ChannelKind::Slack | ChannelKind::Teams | ChannelKind::Email => 60,
            ChannelKind::Webhook => 600,
        }
    }
}

/// Settings for sending, abandoning and bundling notifications.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliveryPolicy {
    /// Alerts that fired longer ago are not sent individually, but listed in a summary. The first run omits them.
    pub stale_minutes: u32,
    /// A notification that could not be sent for this long is abandoned, and other channels are notified.
    pub give_up_minutes: u32,
    /// Time for which a sender has claimed a notification; no other sender sends it.
    pub lease_seconds: u32,
    /// Timeout of a request to a receiver.
    pub timeout_seconds: u32,
    /// More pending alerts than this for one channel that people read are sent as one message.
    pub bundle_over: u32,
    /// Channels that are notified when another channel could not be. Empty: all other channels.
    pub undelivered: Vec<Id>,
}

impl Default for DeliveryPolicy {
    fn default() -> Self {
        Self {
            stale_minutes: 120,
            give_up_minutes: 60,
            lease_seconds: 60,
            timeout_seconds: 10,
            bundle_over: 10,
            undelivered: Vec::new(),
        }
    }
}

/// Mail server settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Smtp {
    pub host: String,
    pub port: u16,
    pub encryption: Encryption,
    /// Sender address.
    pub from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
}

/// Encryption of the connection to a mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Encryption {
    /// STARTTLS is required.
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// No encryption; allowed for this machine only.
    None,
}

impl Encryption {
    pub const ALL: &[Self] = &[Self::StartTls, Self::Tls, Self::None];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::StartTls => "starttls",
            Self::Tls => "tls",
            Self::None => "none",
        }
    }
}

/// A time window in which alerts are held back. They are sent at its end if they are still open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MaintenanceWindow {
    pub span: WindowSchedule,
    pub triggers: Vec<Trigger>,
    pub severities: Vec<Severity>,
    pub reason: String,
}

/// Schedule of a maintenance window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum WindowSchedule {
    Once {
        from: Timestamp,
        until: Timestamp,
    },
    /// On these weekdays, from this local time on.
    Weekly {
        #[serde(serialize_with = "day_names")]
        days: Vec<Weekday>,
        start: NaiveTime,
        minutes: u32,
        #[serde(serialize_with = "super::zone_name")]
        time_zone: Tz,
    },
}

fn day_names<S: Serializer>(days: &[Weekday], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(days.iter().map(ToString::to_string))
}

/// The longest weekly maintenance window.
pub const MAX_WEEKLY_MINUTES: u32 = 24 * 60;

impl WindowSchedule {
    /// Returns the end of the window that is active at `now`.
    pub fn until(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Once { from, until } => (*from <= now && now < *until).then_some(*until),
            Self::Weekly { days, start, minutes, time_zone } => {
                let today = now.utc().with_timezone(time_zone).date_naive();
                // The window may have begun yesterday. A local time that the clock skips is moved to the time after the gap; the
                // first of two equal local times counts.
                let started =
                    [today.pred_opt(), Some(today)].into_iter().flatten().filter(|day| days.contains(&day.weekday()));
                let ends = started.filter_map(|day| {
                    let local = day.and_time(*start);
                    let begins = time_zone
                        .from_local_datetime(&local)
                        .earliest()
                        .or_else(|| time_zone.from_local_datetime(&(local + TimeDelta::hours(1))).earliest())?;
                    let begins = Timestamp::new(begins.to_utc());
                    let ends = begins.plus(TimeDelta::minutes(i64::from(*minutes)));
                    (begins <= now && now < ends).then_some(ends)
                });
                ends.max()
            }
        }
    }
}

impl MaintenanceWindow {
    /// Returns the time until which an alert is held back.
    pub fn holds(&self, trigger: Trigger, severity: Severity, now: Timestamp) -> Option<Timestamp> {
        let applies = self.triggers.contains(&trigger) && self.severities.contains(&severity);
        self.span.until(now).filter(|_| applies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn weekly_maintenance_uses_the_local_time_of_its_zone() {
        let time_zone: Tz = "Europe/Berlin".parse().unwrap();
        let start = NaiveTime::from_hms_opt(22, 30, 0).unwrap();
        let span = WindowSchedule::Weekly { days: vec![Weekday::Sat], start, minutes: 240, time_zone };
        for (now, until) in [
            ("2026-07-04T20:29:59Z", None),
            ("2026-07-04T20:30:00Z", Some("2026-07-05T00:30:00Z")),
            ("2026-07-05T00:29:59Z", Some("2026-07-05T00:30:00Z")),
            ("2026-07-05T00:30:00Z", None),
            ("2026-01-03T21:30:00Z", Some("2026-01-04T01:30:00Z")),
            ("2026-07-05T20:30:00Z", None),
        ] {
            assert_eq!(span.until(at(now)), until.map(at), "{now}");
        }
        // The clock goes forward in this night and skips 02:30.
        let start = NaiveTime::from_hms_opt(2, 30, 0).unwrap();
        let skipped = WindowSchedule::Weekly { days: vec![Weekday::Sun], start, minutes: 60, time_zone };
        assert_eq!(skipped.until(at("2026-03-29T01:30:00Z")), Some(at("2026-03-29T02:30:00Z")));
    }

    #[test]
    fn secret_references_are_parsed() {
        for text in ["env:PD_KEY", "file:/run/secrets/pd", "databricks:ops/pagerduty-key"] {
            assert_eq!(text.parse::<SecretRef>().unwrap().to_string(), text);
        }
        for text in ["", "PD_KEY", "env:", "env:1A", "env:A B", "file:", "databricks:ops", "databricks:/x", "https://x"]
        {
            assert!(text.parse::<SecretRef>().is_err(), "{text}");
        }
    }
}
