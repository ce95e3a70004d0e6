//! Reading how people are told: what channels need, the mail server, maintenance.

use chrono::{NaiveTime, Weekday};
use url::{Host, Url};

use super::{
    delivery::{Delivery, Encryption, MAX_WEEKLY_MINUTES, Maintenance, Reach, SecretRef, Smtp, Span},
    read::E_MAIL,
    reader::{Place, Reader, SECRETS_HINT},
};
use crate::domain::{
    host::is_local,
    problems::child,
    time::Timestamp,
    words::{ChannelKind, Severity, Trigger},
};

const DAYS: [Weekday; 7] =
    [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri, Weekday::Sat, Weekday::Sun];

fn day_name(day: Weekday) -> &'static str {
    match day {
        Weekday::Mon => "monday",
        Weekday::Tue => "tuesday",
        Weekday::Wed => "wednesday",
        Weekday::Thu => "thursday",
        Weekday::Fri => "friday",
        Weekday::Sat => "saturday",
        Weekday::Sun => "sunday",
    }
}

impl Reader<'_> {
    /// What a channel needs to be reached.
    pub(super) fn reach(&mut self, place: Place, kind: Option<ChannelKind>) -> Option<Reach> {
        let secret = self.secret(place, "secret");
        let webhook_secret = self.secret(place, "webhook_secret");
        let url = self.address(place, "url");
        let per_minute = self.integer(place, "per_minute", 1..=60_000);
        let kind = kind?;
        let takes = |key: &str| match key {
            "secret" => kind != ChannelKind::Email,
            "url" => matches!(kind, ChannelKind::Pagerduty | ChannelKind::Slack | ChannelKind::Webhook),
            _ => kind == ChannelKind::Pagerduty,
        };
        for key in ["secret", "url", "webhook_secret"].into_iter().filter(|key| !takes(key)) {
            if let Some((value, pointer)) = place.get(key) {
                let hint = match kind {
                    ChannelKind::Email => "mail is sent by the server under [smtp]",
                    ChannelKind::Teams => "the URL of the workflow is the secret",
                    _ => "leave it out",
                };
                self.problem(value.span().start, &pointer, format!("is nothing that {kind} takes"), Some(hint.into()));
            }
        }
        let per_minute = per_minute.unwrap_or_else(|| Reach::usual_rate(kind));
        Some(Reach { secret, url, webhook_secret, per_minute })
    }

    fn secret(&mut self, place: Place, key: &str) -> Option<SecretRef> {
        let (value, pointer) = place.get(key)?;
        let text = self.text_of(value, &pointer)?;
        match text.trim().parse() {
            Ok(reference) => Some(reference),
            Err(forms) => {
                self.problem(value.span().start, &pointer, forms, Some(SECRETS_HINT.into()));
                None
            }
        }
    }

    /// An address without a secret in it, over which secrets may be sent.
    fn address(&mut self, place: Place, key: &str) -> Option<String> {
        let (value, pointer) = place.get(key)?;
        let text = self.text_of(value, &pointer)?.trim().to_owned();
        let url = Url::parse(&text).ok().filter(Url::has_host);
        let (message, hint) = match url {
            _ if self.holds_secret(&text) => ("holds a secret".to_owned(), SECRETS_HINT),
            None => (format!("{} is not a URL", self.shown(&text)), "write it such as https://hooks.example.test/ops"),
            Some(url) if !url.username().is_empty() || url.password().is_some() => {
                ("holds a name or a password".to_owned(), SECRETS_HINT)
            }
            Some(url) if url.scheme() == "https" => return Some(text),
            Some(url) if url.scheme() == "http" && url.host().is_some_and(|host| is_local(&host)) => return Some(text),
            Some(_) => ("is not encrypted".to_owned(), "use https://; http:// is for this machine only"),
        };
        self.problem(value.span().start, &pointer, message, Some(hint.into()));
        None
    }

    pub(super) fn delivery(&mut self, place: Place, channels: &[String]) -> Delivery {
        let keys =
            ["stale_minutes", "give_up_minutes", "lease_seconds", "timeout_seconds", "bundle_over", "undelivered"];
        self.only(place, &keys);
        let default = Delivery::default();
        let [stale, give_up, lease, timeout, bundle, undelivered] = keys;
        let read = Delivery {
            stale_minutes: self.integer(place, stale, 1..=10_080).unwrap_or(default.stale_minutes),
            give_up_minutes: self.integer(place, give_up, 1..=10_080).unwrap_or(default.give_up_minutes),
            lease_seconds: self.integer(place, lease, 2..=3_600).unwrap_or(default.lease_seconds),
            timeout_seconds: self.integer(place, timeout, 1..=300).unwrap_or(default.timeout_seconds),
            bundle_over: self.integer(place, bundle, 1..=1_000_000).unwrap_or(default.bundle_over),
            undelivered: self.names_under(place, undelivered, channels, "leave it out for all other channels"),
        };
        if read.lease_seconds < 2 * read.timeout_seconds {
            let message = format!(
                "must be at least twice as long as timeout_seconds, {}, but is {}",
                read.timeout_seconds, read.lease_seconds
            );
            let hint = "somebody else would send what is being sent".to_owned();
            let said = [lease, timeout].iter().find_map(|key| place.get(key));
            let offset = said.map_or(place.offset, |(value, _)| value.span().start);
            self.problem(offset, &child(place.pointer, lease), message, Some(hint));
        }
        read
    }

    pub(super) fn smtp(&mut self, place: Place) -> Option<Smtp> {
        self.only(place, &["host", "port", "encryption", "from", "user", "password"]);
        let host = self.needed(place, "host", "name the mail server, such as smtp.example.test");
        let from = self.needed(place, "from", "say who mail comes from, such as ops-runbook@example.test");
        let encryption = match place.get("encryption") {
            Some((value, pointer)) => self.word(value, &pointer, Encryption::ALL, Encryption::as_str),
            None => Some(Encryption::StartTls),
        };
        let usual = if encryption == Some(Encryption::Tls) { 465 } else { 587 };
        let port = self.integer(place, "port", 1..=65_535).and_then(|port| u16::try_from(port).ok()).unwrap_or(usual);
        let has = |key: &str| place.get(key).is_some();
        let user = if has("user") { self.needed(place, "user", "leave it out where nobody logs in") } else { None };
        let password = self.secret(place, "password");
        match host.as_deref().map(Host::parse) {
            Some(Err(_)) => {
                let shown = self.shown(host.as_deref().unwrap_or_default());
                // What stands before an @ may be a password.
                let (message, hint) = match host.as_deref() {
                    Some(text) if text.contains('@') => ("holds more than the name of a host".to_owned(), SECRETS_HINT),
                    _ => (format!("{shown} is not the name of a host"), "leave the port out of it"),
                };
                self.unfit(place, "host", message, hint);
            }
            Some(Ok(host)) if encryption == Some(Encryption::None) && !is_local(&host) => {
                let message = "none is for a mail server on this machine only".to_owned();
                self.unfit(place, "encryption", message, "use starttls or tls");
            }
            _ => {}
        }
        if let Some(from) = from.as_deref().filter(|from| !E_MAIL.is_match(from)) {
            let message = format!("{} is not an e-mail address", self.shown(from));
            self.unfit(place, "from", message, "such as ops-runbook@example.test");
        }
        if has("user") != has("password") {
            let key = if has("user") { "user" } else { "password" };
            self.unfit(place, key, "user and password come together".into(), "give both, or neither");
        }
        Some(Smtp { host: host?, port, encryption: encryption?, from: from?, user, password })
    }

    /// What is wrong with a value that is there.
    fn unfit(&mut self, place: Place, key: &str, message: String, hint: &str) {
        let offset = place.get(key).map_or(place.offset, |(value, _)| value.span().start);
        self.problem(offset, &child(place.pointer, key), message, Some(hint.to_owned()));
    }

    /// A text that must be there.
    fn needed(&mut self, place: Place, key: &str, hint: &str) -> Option<String> {
        let Some((value, pointer)) = place.get(key) else {
            self.problem(place.offset, &child(place.pointer, key), "is missing", Some(hint.to_owned()));
            return None;
        };
        let text = self.text_of(value, &pointer)?.trim().to_owned();
        if text.is_empty() || text.chars().any(char::is_control) {
            self.problem(value.span().start, &pointer, "is empty, or more than one line", Some(hint.to_owned()));
            return None;
        }
        Some(text)
    }

    pub(super) fn maintenance(&mut self, place: Place) -> Option<Maintenance> {
        let once = ["from", "until"];
        let weekly = ["days", "start", "minutes", "time_zone"];
        self.only(place, &[&once[..], &weekly, &["triggers", "severities", "reason"]].concat());
        let triggers = self.words(place, "triggers", Trigger::ALL, Trigger::as_str);
        let severities = self.words(place, "severities", Severity::ALL, Severity::as_str);
        let reason = self.needed(place, "reason", "say why: people see it");
        let has = |keys: &[&str]| keys.iter().any(|key| place.get(key).is_some());
        let span = match (has(&once), has(&weekly)) {
            (true, false) => self.once(place),
            (false, true) => self.weekly(place),
            _ => {
                let hint = "give from and until, or days, start, minutes and time_zone";
                self.problem(place.offset, place.pointer, "must say when it is, in one way", Some(hint.into()));
                None
            }
        };
        Some(Maintenance {
            span: span?,
            triggers: triggers.unwrap_or_else(|| Trigger::ALL.to_vec()),
            severities: severities.unwrap_or_else(|| Severity::ALL.to_vec()),
            reason: reason?,
        })
    }

    fn once(&mut self, place: Place) -> Option<Span> {
        let mut moment = |key: &str| -> Option<Timestamp> {
            let text = self.needed(place, key, "a time with a zone, such as \"2026-02-11T12:36:00Z\"")?;
            let parsed = text.parse::<Timestamp>();
            if let Err(why) = &parsed {
                let offset = place.get(key).map_or(place.offset, |(value, _)| value.span().start);
                self.problem(offset, &child(place.pointer, key), why, None);
            }
            parsed.ok()
        };
        let (from, until) = (moment("from"), moment("until"));
        let (from, until) = (from?, until?);
        if until <= from {
            self.unfit(
                place,
                "until",
                "is not after from".into(),
                "maintenance goes on until then, and not any longer",
            );
        }
        Some(Span::Once { from, until })
    }

    fn weekly(&mut self, place: Place) -> Option<Span> {
        let days = self.words(place, "days", &DAYS, day_name).unwrap_or_else(|| DAYS.to_vec());
        let start = self.needed(place, "start", "the time on the clock, such as \"22:30\"");
        let start = start.and_then(|text| {
            let parsed = NaiveTime::parse_from_str(&text, "%H:%M");
            if parsed.is_err() {
                let message = format!("{} is not a time of the clock", self.shown(&text));
                self.unfit(place, "start", message, "write it such as 22:30");
            }
            parsed.ok()
        });
        let minutes = self.integer(place, "minutes", 1..=MAX_WEEKLY_MINUTES);
        if place.get("minutes").is_none() {
            self.unfit(place, "minutes", "is missing".into(), "say how long it is");
        }
        let time_zone = self.time_zone(place);
        if place.get("time_zone").is_none() {
            self.unfit(
                place,
                "time_zone",
                "is missing".into(),
                "a name of the IANA database, such as Europe/Berlin or UTC",
            );
        }
        Some(Span::Weekly { days, start: start?, minutes: minutes?, time_zone: time_zone? })
    }
}
