//! How people are told: how channels are reached, and when somebody is left in peace.

use std::{fmt, str::FromStr};

use chrono::{Datelike, NaiveTime, TimeDelta, TimeZone, Weekday};
use chrono_tz::Tz;
use serde::{Serialize, Serializer};

use crate::domain::{
    ids::Id,
    time::Timestamp,
    words::{ChannelKind, Severity, Trigger},
};

/// Where a secret is. Never the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// A variable of the environment.
    Env(String),
    /// A file that holds nothing else.
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
        let word = |word: &str| {
            (1..=128).contains(&word.len())
                && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.@".contains(&byte))
        };
        let found = match text.split_once(':') {
            Some(("env", name)) if named(name) => Self::Env(name.to_owned()),
            Some(("file", path)) if !path.trim().is_empty() && !path.chars().any(char::is_control) => {
                Self::File(path.to_owned())
            }
            Some(("databricks", rest)) => match rest.split_once('/') {
                Some((scope, key)) if word(scope) && word(key) => {
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

/// How a channel is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// What shows that we may: a routing key, the URL of a webhook, a bot's token, a key to sign with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretRef>,
    /// Where, unless it is where the service always is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// PagerDuty: what it signs with when it tells us what happened there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_secret: Option<SecretRef>,
    /// Notices a minute, at most.
    pub per_minute: u32,
}

impl Reach {
    /// What the services take: PagerDuty 120 events a minute and key, Slack and Teams a message a second and more.
    pub fn usual_rate(kind: ChannelKind) -> u32 {
        match kind {
            ChannelKind::Pagerduty => 120,
            ChannelKind::Slack | ChannelKind::Teams | ChannelKind::Email => 60,
            ChannelKind::Webhook => 600,
        }
    }
}

/// When notices are sent, given up, and put together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// What fired longer ago than this is not sent by itself any more, but named in a summary. A first run says nothing of it.
    pub stale_minutes: u32,
    /// A notice that could not be sent for so long is given up, and others are told.
    pub give_up_minutes: u32,
    /// For so long nobody else sends what a deliverer is about to send.
    pub lease_seconds: u32,
    /// How long a receiver may take to answer.
    pub timeout_seconds: u32,
    /// When more than so many alerts wait for a channel that people read, they become one message.
    pub bundle_over: u32,
    /// Who is told that a channel could not be: all other channels unless given.
    pub undelivered: Vec<Id>,
}

impl Default for Delivery {
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

/// How mail is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Smtp {
    pub host: String,
    pub port: u16,
    pub encryption: Encryption,
    /// Who it comes from.
    pub from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
}

/// How a connection to a mail server is kept private.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Encryption {
    /// It must be asked for, and must be given.
    StartTls,
    /// From the first byte.
    Tls,
    /// To this machine only.
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

/// A time in which alerts wait: they are sent when it is over, if they still stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Maintenance {
    pub span: Span,
    pub triggers: Vec<Trigger>,
    pub severities: Vec<Severity>,
    pub reason: String,
}

/// When maintenance is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Span {
    Once {
        from: Timestamp,
        until: Timestamp,
    },
    /// On these days, beginning at this time of the clock on the wall.
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

/// The longest maintenance that comes back every week.
pub const MAX_WEEKLY_MINUTES: u32 = 24 * 60;

impl Span {
    /// Until when maintenance goes on that is under way at `now`.
    pub fn until(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Once { from, until } => (*from <= now && now < *until).then_some(*until),
            Self::Weekly { days, start, minutes, time_zone } => {
                let today = now.utc().with_timezone(time_zone).date_naive();
                // It may have begun yesterday. A time that the clock skips begins when the clock goes on; of one that comes
                // twice the first counts.
                let begun =
                    [today.pred_opt(), Some(today)].into_iter().flatten().filter(|day| days.contains(&day.weekday()));
                let ends = begun.filter_map(|day| {
                    let wall = day.and_time(*start);
                    let begins = time_zone
                        .from_local_datetime(&wall)
                        .earliest()
                        .or_else(|| time_zone.from_local_datetime(&(wall + TimeDelta::hours(1))).earliest())?;
                    let begins = Timestamp::new(begins.to_utc());
                    let ends = begins.plus(TimeDelta::minutes(i64::from(*minutes)));
                    (begins <= now && now < ends).then_some(ends)
                });
                ends.max()
            }
        }
    }
}

impl Maintenance {
    /// Until when an alert waits.
    pub fn holds(&self, trigger: Trigger, severity: Severity, now: Timestamp) -> Option<Timestamp> {
        let meant = self.triggers.contains(&trigger) && self.severities.contains(&severity);
        self.span.until(now).filter(|_| meant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn weekly_maintenance_is_in_the_time_of_its_zone() {
        let time_zone: Tz = "Europe/Berlin".parse().unwrap();
        let start = NaiveTime::from_hms_opt(22, 30, 0).unwrap();
        let span = Span::Weekly { days: vec![Weekday::Sat], start, minutes: 240, time_zone };
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
        // In the night in which the clock goes forward, 02:30 is skipped.
        let start = NaiveTime::from_hms_opt(2, 30, 0).unwrap();
        let skipped = Span::Weekly { days: vec![Weekday::Sun], start, minutes: 60, time_zone };
        assert_eq!(skipped.until(at("2026-03-29T01:30:00Z")), Some(at("2026-03-29T02:30:00Z")));
    }

    #[test]
    fn secrets_are_where_they_say() {
        for text in ["env:PD_KEY", "file:/run/secrets/pd", "databricks:ops/pagerduty-key"] {
            assert_eq!(text.parse::<SecretRef>().unwrap().to_string(), text);
        }
        for text in ["", "PD_KEY", "env:", "env:1A", "env:A B", "file:", "databricks:ops", "databricks:/x", "https://x"]
        {
            assert!(text.parse::<SecretRef>().is_err(), "{text}");
        }
    }
}
