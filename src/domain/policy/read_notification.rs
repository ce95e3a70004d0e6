//! Parses the settings of notifications: channel connections, delivery, mail server and maintenance windows.

use chrono::{NaiveTime, Weekday};
use url::{Host, Url};

use super::{
    notification::{
        ChannelConnection, DeliveryPolicy, Encryption, MAX_WEEKLY_MINUTES, MaintenanceWindow, SecretRef, Smtp,
        WindowSchedule,
    },
    read::E_MAIL,
    reader::{Reader, SECRETS_HINT, TomlTable},
};
use crate::domain::{
    check::Severity, escalation::trigger::Trigger, host::is_local, notification::channel::ChannelKind, problems::child,
    time::Timestamp,
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
    /// Reads the connection settings of a channel.
    pub(super) fn connection(&mut self, table: TomlTable, kind: Option<ChannelKind>) -> Option<ChannelConnection> {
        let secret = self.secret(table, "secret");
        let webhook_secret = self.secret(table, "webhook_secret");
        let url = self.address(table, "url");
        let per_minute = self.integer(table, "per_minute", 1..=60_000);
        let kind = kind?;
        let takes = |key: &str| match key {
            "secret" => kind != ChannelKind::Email,
            "url" => matches!(kind, ChannelKind::Pagerduty | ChannelKind::Slack | ChannelKind::Webhook),
            _ => kind == ChannelKind::Pagerduty,
        };
        for key in ["secret", "url", "webhook_secret"].into_iter().filter(|key| !takes(key)) {
            if let Some((value, pointer)) = table.get(key) {
                let hint = match kind {
                    ChannelKind::Email => "mail is sent by the server under [smtp]",
                    ChannelKind::Teams => "the URL of the workflow is the secret",
                    _ => "leave it out",
                };
                self.problem(
                    value.span().start,
                    &pointer,
                    format!("is not a setting of {kind} channels"),
                    Some(hint.into()),
                );
            }
        }
        let per_minute = per_minute.unwrap_or_else(|| ChannelConnection::default_rate(kind));
        Some(ChannelConnection { secret, url, webhook_secret, per_minute })
    }

    fn secret(&mut self, table: TomlTable, key: &str) -> Option<SecretRef> {
        let (value, pointer) = table.get(key)?;
        let text = self.text_of(value, &pointer)?;
        match text.trim().parse() {
            Ok(reference) => Some(reference),
            Err(forms) => {
                self.problem(value.span().start, &pointer, forms, Some(SECRETS_HINT.into()));
                None
            }
        }
    }

    /// Reads a URL that contains no secret and is safe to send secrets to: HTTPS, or HTTP on this machine.
    fn address(&mut self, table: TomlTable, key: &str) -> Option<String> {
        let (value, pointer) = table.get(key)?;
        let text = self.text_of(value, &pointer)?.trim().to_owned();
        let url = Url::parse(&text).ok().filter(Url::has_host);
        let (message, hint) = match url {
            _ if self.holds_secret(&text) => ("contains a secret".to_owned(), SECRETS_HINT),
            None => (format!("{} is not a URL", self.shown(&text)), "write it such as https://hooks.example.test/ops"),
            Some(url) if !url.username().is_empty() || url.password().is_some() => {
                ("contains a user name or a password".to_owned(), SECRETS_HINT)
            }
            Some(url) if url.scheme() == "https" => return Some(text),
            Some(url) if url.scheme() == "http" && url.host().is_some_and(|host| is_local(&host)) => return Some(text),
            Some(_) => ("is not encrypted".to_owned(), "use https://; http:// is for this machine only"),
        };
        self.problem(value.span().start, &pointer, message, Some(hint.into()));
        None
    }

    pub(super) fn delivery(&mut self, table: TomlTable, channels: &[String]) -> DeliveryPolicy {
        let keys =
            ["stale_minutes", "give_up_minutes", "lease_seconds", "timeout_seconds", "bundle_over", "undelivered"];
        self.refuse_unknown_keys(table, &keys);
        let default = DeliveryPolicy::default();
        let [stale, give_up, lease, timeout, bundle, undelivered] = keys;
        let read = DeliveryPolicy {
            stale_minutes: self.integer(table, stale, 1..=10_080).unwrap_or(default.stale_minutes),
            give_up_minutes: self.integer(table, give_up, 1..=10_080).unwrap_or(default.give_up_minutes),
            lease_seconds: self.integer(table, lease, 2..=3_600).unwrap_or(default.lease_seconds),
            timeout_seconds: self.integer(table, timeout, 1..=300).unwrap_or(default.timeout_seconds),
            bundle_over: self.integer(table, bundle, 1..=1_000_000).unwrap_or(default.bundle_over),
            undelivered: self.channel_names(table, undelivered, channels, "leave it out for all other channels"),
        };
        if read.lease_seconds < 2 * read.timeout_seconds {
            let message = format!(
                "must be at least twice as long as timeout_seconds, {}, but is {}",
                read.timeout_seconds, read.lease_seconds
            );
            let hint = "a shorter lease lets another process send the same notification".to_owned();
            let configured = [lease, timeout].iter().find_map(|key| table.get(key));
            let offset = configured.map_or(table.offset, |(value, _)| value.span().start);
            self.problem(offset, &child(table.pointer, lease), message, Some(hint));
        }
        read
    }

    pub(super) fn smtp(&mut self, table: TomlTable) -> Option<Smtp> {
        self.refuse_unknown_keys(table, &["host", "port", "encryption", "from", "user", "password"]);
        let host = self.required_text(table, "host", "name the mail server, such as smtp.example.test");
        let from = self.required_text(table, "from", "give the sender, such as ops-runbook@example.test");
        let encryption = match table.get("encryption") {
            Some((value, pointer)) => self.choice(value, &pointer, Encryption::ALL, Encryption::as_str),
            None => Some(Encryption::StartTls),
        };
        let usual = if encryption == Some(Encryption::Tls) { 465 } else { 587 };
        let port = self.integer(table, "port", 1..=65_535).and_then(|port| u16::try_from(port).ok()).unwrap_or(usual);
        let has = |key: &str| table.get(key).is_some();
        let user = if has("user") {
            self.required_text(table, "user", "leave it out if the server needs no login")
        } else {
            None
        };
        let password = self.secret(table, "password");
        match host.as_deref().map(Host::parse) {
            Some(Err(_)) => {
                let shown = self.shown(host.as_deref().unwrap_or_default());
                // The part before an @ may contain a password.
                let (message, hint) = match host.as_deref() {
                    Some(text) if text.contains('@') => ("contains more than a host name".to_owned(), SECRETS_HINT),
                    _ => (format!("{shown} is not a host name"), "set the port with the key port"),
                };
                self.bad_value(table, "host", message, hint);
            }
            Some(Ok(host)) if encryption == Some(Encryption::None) && !is_local(&host) => {
                let message = "none is allowed for a mail server on this machine only".to_owned();
                self.bad_value(table, "encryption", message, "use starttls or tls");
            }
            _ => {}
        }
        if let Some(from) = from.as_deref().filter(|from| !E_MAIL.is_match(from)) {
            let message = format!("{} is not an e-mail address", self.shown(from));
            self.bad_value(table, "from", message, "write it such as ops-runbook@example.test");
        }
        if has("user") != has("password") {
            let key = if has("user") { "user" } else { "password" };
            self.bad_value(table, key, "needs both user and password".into(), "give both, or neither");
        }
        Some(Smtp { host: host?, port, encryption: encryption?, from: from?, user, password })
    }

    /// Adds a problem with the value under `key`, or with its table if there is none.
    fn bad_value(&mut self, table: TomlTable, key: &str, message: String, hint: &str) {
        let offset = table.get(key).map_or(table.offset, |(value, _)| value.span().start);
        self.problem(offset, &child(table.pointer, key), message, Some(hint.to_owned()));
    }

    /// Reads a required text of one line.
    fn required_text(&mut self, table: TomlTable, key: &str, hint: &str) -> Option<String> {
        let Some((value, pointer)) = table.get(key) else {
            self.problem(table.offset, &child(table.pointer, key), "is missing", Some(hint.to_owned()));
            return None;
        };
        let text = self.text_of(value, &pointer)?.trim().to_owned();
        if text.is_empty() || text.chars().any(char::is_control) {
            self.problem(value.span().start, &pointer, "is empty, or more than one line", Some(hint.to_owned()));
            return None;
        }
        Some(text)
    }

    pub(super) fn maintenance(&mut self, table: TomlTable) -> Option<MaintenanceWindow> {
        let once = ["from", "until"];
        let weekly = ["days", "start", "minutes", "time_zone"];
        self.refuse_unknown_keys(table, &[&once[..], &weekly, &["triggers", "severities", "reason"]].concat());
        let triggers = self.choices(table, "triggers", Trigger::ALL, Trigger::as_str);
        let severities = self.choices(table, "severities", Severity::ALL, Severity::as_str);
        let reason = self.required_text(table, "reason", "give a reason; it is shown with the alert");
        let has = |keys: &[&str]| keys.iter().any(|key| table.get(key).is_some());
        let span = match (has(&once), has(&weekly)) {
            (true, false) => self.once(table),
            (false, true) => self.weekly(table),
            _ => {
                let hint = "give from and until, or days, start, minutes and time_zone";
                self.problem(table.offset, table.pointer, "has no schedule, or two", Some(hint.into()));
                None
            }
        };
        Some(MaintenanceWindow {
            span: span?,
            triggers: triggers.unwrap_or_else(|| Trigger::ALL.to_vec()),
            severities: severities.unwrap_or_else(|| Severity::ALL.to_vec()),
            reason: reason?,
        })
    }

    fn once(&mut self, table: TomlTable) -> Option<WindowSchedule> {
        let mut moment = |key: &str| -> Option<Timestamp> {
            let text = self.required_text(table, key, "a time with a zone, such as \"2026-02-11T12:36:00Z\"")?;
            let parsed = text.parse::<Timestamp>();
            if let Err(why) = &parsed {
                let offset = table.get(key).map_or(table.offset, |(value, _)| value.span().start);
                self.problem(offset, &child(table.pointer, key), why, None);
            }
            parsed.ok()
        };
        let (from, until) = (moment("from"), moment("until"));
        let (from, until) = (from?, until?);
        if until <= from {
            self.bad_value(table, "until", "is not after from".into(), "set until to a time after from");
        }
        Some(WindowSchedule::Once { from, until })
    }

    fn weekly(&mut self, table: TomlTable) -> Option<WindowSchedule> {
        let days = self.choices(table, "days", &DAYS, day_name).unwrap_or_else(|| DAYS.to_vec());
        let start = self.required_text(table, "start", "give the time of day, such as \"22:30\"");
        let start = start.and_then(|text| {
            let parsed = NaiveTime::parse_from_str(&text, "%H:%M");
            if parsed.is_err() {
                let message = format!("{} is not a time of day", self.shown(&text));
                self.bad_value(table, "start", message, "write it such as 22:30");
            }
            parsed.ok()
        });
        let minutes = self.integer(table, "minutes", 1..=MAX_WEEKLY_MINUTES);
        if table.get("minutes").is_none() {
            self.bad_value(table, "minutes", "is missing".into(), "give the duration in minutes");
        }
        let time_zone = self.time_zone(table);
        if table.get("time_zone").is_none() {
            self.bad_value(
                table,
                "time_zone",
                "is missing".into(),
                "a name of the IANA database, such as Europe/Berlin or UTC",
            );
        }
        Some(WindowSchedule::Weekly { days, start: start?, minutes: minutes?, time_zone: time_zone? })
    }
}
