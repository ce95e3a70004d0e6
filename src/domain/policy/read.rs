//! Parses the configuration file and reports all of its problems at once.

use std::{collections::BTreeMap, sync::LazyLock};

use chrono_tz::Tz;
use regex::Regex;
use toml::de::DeTable;

use super::{
    Channel, DigestPolicy, Policy, RecurrencePolicy, Route,
    reader::{Reader, SECRETS_HINT, TomlTable},
};
use crate::domain::{
    check::Severity,
    escalation::trigger::Trigger,
    ids::Id,
    notification::channel::ChannelKind,
    problems::{Problem, child, did_you_mean, quote},
    week::Zone,
};

/// Limit of a recipient; it also bounds the size of a destination that is stored with an alert.
const MAX_RECIPIENT_CHARS: usize = 1000;

/// One year. A trigger with a longer cool-down should be disabled instead.
const MAX_COOL_DOWN_MINUTES: u32 = 525_600;

/// One week. A later reminder is not useful.
const MAX_UNACKNOWLEDGED_MINUTES: u32 = 10_080;

static CHANNEL_NAME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$").expect("a valid expression"));

pub(super) static E_MAIL: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[^\s@,;<>]+@[^\s@,;<>]+$").expect("a valid expression"));

pub fn policy(text: &str) -> Result<Policy, Vec<Problem>> {
    let mut reader = Reader::new(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let message = reader.redactor.text(error.message()).replace('\n', ", ");
        reader.problem(error.span().map_or(0, |span| span.start), "", format!("is not TOML: {message}"), None);
    }
    // the readable rest of a broken file would lead to false problems
    let policy = if reader.problems.is_empty() { reader.policy(document.get_ref()) } else { Policy::default() };
    if reader.problems.is_empty() {
        return Ok(policy);
    }
    Err(reader.into_problems())
}

impl Reader<'_> {
    fn policy(&mut self, document: &DeTable) -> Policy {
        let root = TomlTable { entries: document, pointer: "", offset: 0 };
        let known =
            ["recurring", "escalation", "digest", "comply", "delivery", "smtp", "maintenance", "channels", "routes"];
        self.refuse_unknown_keys(root, &known);
        let mut policy = Policy::default();
        let mut names = Vec::new();
        self.table(root, "recurring", |reader, table| policy.recurring = reader.recurring(table));
        self.table(root, "escalation", |reader, table| reader.escalation(table, &mut policy));
        self.table(root, "comply", |reader, table| reader.comply(table, &mut policy));
        self.table(root, "channels", |reader, table| names = reader.channels(table, &mut policy.channels));
        self.table(root, "digest", |reader, table| policy.digest = reader.digest(table, &names));
        self.table(root, "delivery", |reader, table| policy.delivery = reader.delivery(table, &names));
        self.table(root, "smtp", |reader, table| policy.smtp = reader.smtp(table));
        let maintenance = &mut policy.maintenance;
        self.tables(root, "maintenance", "maintenance as [[maintenance]]", |reader, table| {
            maintenance.extend(reader.maintenance(table));
        });
        let routes = &mut policy.routes;
        self.tables(root, "routes", "route as [[routes]]", |reader, table| routes.push(reader.route(table, &names)));
        policy
    }

    fn recurring(&mut self, table: TomlTable) -> RecurrencePolicy {
        self.refuse_unknown_keys(table, &["threshold", "window_hours"]);
        let default = RecurrencePolicy::default();
        RecurrencePolicy {
            threshold: self.integer(table, "threshold", 2..=1_000_000).unwrap_or(default.threshold),
            window_hours: self.integer(table, "window_hours", 1..=8760).unwrap_or(default.window_hours),
        }
    }

    fn digest(&mut self, table: TomlTable, channels: &[String]) -> DigestPolicy {
        self.refuse_unknown_keys(table, &["time_zone", "channels"]);
        DigestPolicy {
            time_zone: self.time_zone(table).unwrap_or(DigestPolicy::default().time_zone),
            channels: self.named_channels(table, channels, "leave it out to send no digest"),
        }
    }

    pub(super) fn time_zone(&mut self, table: TomlTable) -> Option<Tz> {
        let (value, pointer) = table.get("time_zone")?;
        let name = self.text_of(value, &pointer)?;
        let zone = name.parse::<Zone>().map(|zone| zone.0);
        if zone.is_err() {
            let message = format!("{} is not a time zone", quote(&name));
            let hint = "use a name of the IANA database, such as Europe/Berlin or UTC";
            self.problem(value.span().start, &pointer, message, Some(hint.into()));
        }
        zone.ok()
    }

    fn escalation(&mut self, table: TomlTable, policy: &mut Policy) {
        let [percent, categories, kinds] = ["partial_checks_percent", "security_categories", "retrievable_evidence"];
        let triggers = Trigger::ALL.iter().map(|trigger| trigger.as_str());
        self.refuse_unknown_keys(table, &[percent, categories, kinds].into_iter().chain(triggers).collect::<Vec<_>>());
        let escalation = &mut policy.escalation;
        // 100 would disable the trigger, for which there is `enabled = false`
        if let Some(percent) = self.integer(table, percent, 0..=99) {
            escalation.partial_checks_percent = percent;
        }
        if let Some(categories) = self.texts(table, categories) {
            escalation.security_categories = categories;
        }
        if let Some(kinds) = self.texts(table, kinds) {
            escalation.retrievable_evidence = kinds;
        }
        for &trigger in Trigger::ALL {
            self.table(table, trigger.as_str(), |reader, table| {
                reader.refuse_unknown_keys(table, &["severity", "cool_down_minutes", "enabled"]);
                let rule = escalation.rule_mut(trigger);
                if let Some((value, pointer)) = table.get("severity") {
                    rule.severity =
                        reader.choice(value, &pointer, Severity::ALL, Severity::as_str).unwrap_or(rule.severity);
                }
                let cool_down = reader.integer(table, "cool_down_minutes", 0..=MAX_COOL_DOWN_MINUTES);
                rule.cool_down_minutes = cool_down.unwrap_or(rule.cool_down_minutes);
                rule.enabled = reader.boolean(table, "enabled").unwrap_or(rule.enabled);
            });
        }
    }

    /// Reads the channels and returns the names that routes may use, including names of invalid channels. Those have their own
    /// problem.
    fn channels(&mut self, table: TomlTable, channels: &mut BTreeMap<Id, Channel>) -> Vec<String> {
        let mut names = Vec::new();
        for key in table.entries.keys() {
            let (name, offset) = (key.get_ref().as_ref(), key.span().start);
            let secret = self.holds_secret(name);
            if secret || !CHANNEL_NAME.is_match(name) {
                let pointer = child(table.pointer, self.redactor.text(name));
                let hint = if secret { SECRETS_HINT } else { "use 1 to 64 letters, digits, dashes and underscores" };
                self.problem(offset, &pointer, "is not a valid channel name", Some(hint.into()));
                continue;
            }
            names.push(name.to_owned());
            self.table(table, name, |reader, table| {
                if let (Some(channel), Ok(name)) = (reader.channel(table), Id::new(name)) {
                    channels.insert(name, channel);
                }
            });
        }
        names
    }

    fn channel(&mut self, table: TomlTable) -> Option<Channel> {
        self.refuse_unknown_keys(table, &["kind", "to", "secret", "url", "webhook_secret", "per_minute"]);
        let kind = match table.get("kind") {
            Some((value, pointer)) => self.choice(value, &pointer, ChannelKind::ALL, ChannelKind::as_str),
            None => {
                let kinds: Vec<_> = ChannelKind::ALL.iter().map(|kind| kind.as_str()).collect();
                let hint = format!("one of {}", kinds.join(", "));
                self.problem(table.offset, &child(table.pointer, "kind"), "is missing", Some(hint));
                None
            }
        };
        let to = self.recipient(table, kind);
        let connection = self.connection(table, kind);
        Some(Channel { kind: kind?, to, connection: connection? })
    }

    /// Reads the recipient. A blank one is allowed: the policy reports it as a gap, and incidents can still be recorded.
    fn recipient(&mut self, table: TomlTable, kind: Option<ChannelKind>) -> Option<String> {
        let (value, pointer) = table.get("to")?;
        let to = self.text_of(value, &pointer)?.trim().to_owned();
        if to.is_empty() {
            return None;
        }
        let no_address = || to.split(',').map(str::trim).find(|address| !E_MAIL.is_match(address));
        let (message, hint) = if self.holds_secret(&to) {
            ("contains a secret".to_owned(), SECRETS_HINT)
        } else if to.chars().any(char::is_control) {
            let hint = "write one line; several addresses are separated by commas";
            ("contains a control character or a line break".to_owned(), hint)
        } else if to.chars().count() > MAX_RECIPIENT_CHARS {
            let hint = "use a group address, or several channels";
            (format!("is longer than {MAX_RECIPIENT_CHARS} characters"), hint)
        } else if let Some(text) = no_address().filter(|_| kind == Some(ChannelKind::Email)) {
            let hint = "write addresses, separated by commas, such as data-oncall@example.test";
            (format!("{} is not an e-mail address", quote(text)), hint)
        } else {
            return Some(to);
        };
        self.problem(value.span().start, &pointer, message, Some(hint.into()));
        None
    }

    fn route(&mut self, table: TomlTable, channels: &[String]) -> Route {
        self.refuse_unknown_keys(table, &["triggers", "severities", "channels", "unacknowledged_minutes"]);
        let triggers = self.choices(table, "triggers", Trigger::ALL, Trigger::as_str);
        let severities = self.choices(table, "severities", Severity::ALL, Severity::as_str);
        Route {
            triggers: triggers.unwrap_or_else(|| Trigger::ALL.to_vec()),
            severities: severities.unwrap_or_else(|| Severity::ALL.to_vec()),
            channels: self.route_channels(table, channels),
            unacknowledged_minutes: self.integer(table, "unacknowledged_minutes", 1..=MAX_UNACKNOWLEDGED_MINUTES),
        }
    }

    fn route_channels(&mut self, table: TomlTable, channels: &[String]) -> Vec<Id> {
        const NO_CHANNEL: &str = "name at least one channel";
        if table.get("channels").is_none() {
            self.problem(table.offset, &child(table.pointer, "channels"), "is missing", Some(NO_CHANNEL.into()));
        }
        self.named_channels(table, channels, NO_CHANNEL)
    }

    fn named_channels(&mut self, table: TomlTable, channels: &[String], instead_of_none: &str) -> Vec<Id> {
        self.channel_names(table, "channels", channels, instead_of_none)
    }

    /// Reads an array of channel names under `key`. Each must be one of `channels`.
    pub(super) fn channel_names(
        &mut self,
        table: TomlTable,
        key: &str,
        channels: &[String],
        instead_of_none: &str,
    ) -> Vec<Id> {
        let Some((value, pointer)) = table.get(key) else { return Vec::new() };
        let mut named = Vec::new();
        for (item, pointer) in self.items(value, &pointer, instead_of_none) {
            let Some(name) = self.text_of(item, &pointer) else { continue };
            if channels.contains(&name) {
                named.extend(Id::new(name));
                continue;
            }
            let hint = did_you_mean(&name, channels).unwrap_or_else(|| match channels {
                [] => "this file defines no channel; add [channels.NAME]".into(),
                _ => format!("this file defines {}", channels.join(", ")),
            });
            let message = format!("{} is not a channel in this file", self.shown(&name));
            self.problem(item.span().start, &pointer, message, Some(hint));
        }
        named
    }
}
