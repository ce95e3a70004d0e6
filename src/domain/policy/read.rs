//! Reading the configuration file, and saying everything that is wrong with it at once.

use std::{collections::BTreeMap, sync::LazyLock};

use chrono_tz::Tz;
use regex::Regex;
use toml::de::DeTable;

use super::{
    Channel, Digest, Policy, Recurring, Route,
    reader::{Place, Reader, SECRETS_HINT},
};
use crate::domain::{
    ids::Id,
    problems::{Problem, child, did_you_mean, quote},
    week::Zone,
    words::{ChannelKind, Severity, Trigger},
};

/// Also bounds what an alert keeps of a channel.
const MAX_RECIPIENT_CHARS: usize = 1000;

/// A year: longer is a trigger that should be disabled.
const MAX_COOL_DOWN_MINUTES: u32 = 525_600;

/// A week: whoever has not looked by then does not need a pager.
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
    // what is left of a broken file would give problems that are none
    let policy = if reader.problems.is_empty() { reader.policy(document.get_ref()) } else { Policy::default() };
    if reader.problems.is_empty() {
        return Ok(policy);
    }
    Err(reader.into_problems())
}

impl Reader<'_> {
    fn policy(&mut self, document: &DeTable) -> Policy {
        let root = Place { table: document, pointer: "", offset: 0 };
        let known =
            ["recurring", "escalation", "digest", "comply", "delivery", "smtp", "maintenance", "channels", "routes"];
        self.only(root, &known);
        let mut policy = Policy::default();
        let mut names = Vec::new();
        self.table(root, "recurring", |reader, place| policy.recurring = reader.recurring(place));
        self.table(root, "escalation", |reader, place| reader.escalation(place, &mut policy));
        self.table(root, "comply", |reader, place| reader.comply(place, &mut policy));
        self.table(root, "channels", |reader, place| names = reader.channels(place, &mut policy.channels));
        self.table(root, "digest", |reader, place| policy.digest = reader.digest(place, &names));
        self.table(root, "delivery", |reader, place| policy.delivery = reader.delivery(place, &names));
        self.table(root, "smtp", |reader, place| policy.smtp = reader.smtp(place));
        let maintenance = &mut policy.maintenance;
        self.tables(root, "maintenance", "maintenance as [[maintenance]]", |reader, place| {
            maintenance.extend(reader.maintenance(place));
        });
        let routes = &mut policy.routes;
        self.tables(root, "routes", "route as [[routes]]", |reader, place| routes.push(reader.route(place, &names)));
        policy
    }

    fn recurring(&mut self, place: Place) -> Recurring {
        self.only(place, &["threshold", "window_hours"]);
        let default = Recurring::default();
        Recurring {
            threshold: self.integer(place, "threshold", 2..=1_000_000).unwrap_or(default.threshold),
            window_hours: self.integer(place, "window_hours", 1..=8760).unwrap_or(default.window_hours),
        }
    }

    fn digest(&mut self, place: Place, channels: &[String]) -> Digest {
        self.only(place, &["time_zone", "channels"]);
        Digest {
            time_zone: self.time_zone(place).unwrap_or(Digest::default().time_zone),
            channels: self.named_channels(place, channels, "leave it out to send no digest"),
        }
    }

    pub(super) fn time_zone(&mut self, place: Place) -> Option<Tz> {
        let (value, pointer) = place.get("time_zone")?;
        let name = self.text_of(value, &pointer)?;
        let zone = name.parse::<Zone>().map(|zone| zone.0);
        if zone.is_err() {
            let message = format!("{} is not a time zone", quote(&name));
            let hint = "use a name of the IANA database, such as Europe/Berlin or UTC";
            self.problem(value.span().start, &pointer, message, Some(hint.into()));
        }
        zone.ok()
    }

    fn escalation(&mut self, place: Place, policy: &mut Policy) {
        let [percent, categories, kinds] = ["partial_checks_percent", "security_categories", "retrievable_evidence"];
        let triggers = Trigger::ALL.iter().map(|trigger| trigger.as_str());
        self.only(place, &[percent, categories, kinds].into_iter().chain(triggers).collect::<Vec<_>>());
        let escalation = &mut policy.escalation;
        // more than 100 % are never PARTIAL: `enabled = false` says that better
        if let Some(percent) = self.integer(place, percent, 0..=99) {
            escalation.partial_checks_percent = percent;
        }
        if let Some(categories) = self.texts(place, categories) {
            escalation.security_categories = categories;
        }
        if let Some(kinds) = self.texts(place, kinds) {
            escalation.retrievable_evidence = kinds;
        }
        for &trigger in Trigger::ALL {
            self.table(place, trigger.as_str(), |reader, place| {
                reader.only(place, &["severity", "cool_down_minutes", "enabled"]);
                let rule = escalation.rule_mut(trigger);
                if let Some((value, pointer)) = place.get("severity") {
                    rule.severity =
                        reader.word(value, &pointer, Severity::ALL, Severity::as_str).unwrap_or(rule.severity);
                }
                let cool_down = reader.integer(place, "cool_down_minutes", 0..=MAX_COOL_DOWN_MINUTES);
                rule.cool_down_minutes = cool_down.unwrap_or(rule.cool_down_minutes);
                rule.enabled = reader.boolean(place, "enabled").unwrap_or(rule.enabled);
            });
        }
    }

    /// The names that routes may use: also those of channels that are wrong otherwise, which is a problem of its own.
    fn channels(&mut self, place: Place, channels: &mut BTreeMap<Id, Channel>) -> Vec<String> {
        let mut names = Vec::new();
        for key in place.table.keys() {
            let (name, offset) = (key.get_ref().as_ref(), key.span().start);
            let secret = self.holds_secret(name);
            if secret || !CHANNEL_NAME.is_match(name) {
                let pointer = child(place.pointer, self.redactor.text(name));
                let hint = if secret { SECRETS_HINT } else { "use 1 to 64 letters, digits, dashes and underscores" };
                self.problem(offset, &pointer, "is not the name of a channel", Some(hint.into()));
                continue;
            }
            names.push(name.to_owned());
            self.table(place, name, |reader, place| {
                if let (Some(channel), Ok(name)) = (reader.channel(place), Id::new(name)) {
                    channels.insert(name, channel);
                }
            });
        }
        names
    }

    fn channel(&mut self, place: Place) -> Option<Channel> {
        self.only(place, &["kind", "to", "secret", "url", "webhook_secret", "per_minute"]);
        let kind = match place.get("kind") {
            Some((value, pointer)) => self.word(value, &pointer, ChannelKind::ALL, ChannelKind::as_str),
            None => {
                let kinds: Vec<_> = ChannelKind::ALL.iter().map(|kind| kind.as_str()).collect();
                let hint = format!("one of {}", kinds.join(", "));
                self.problem(place.offset, &child(place.pointer, "kind"), "is missing", Some(hint));
                None
            }
        };
        let to = self.recipient(place, kind);
        let reach = self.reach(place, kind);
        Some(Channel { kind: kind?, to, reach: reach? })
    }

    /// Blank is nobody, which the policy reports as a gap: it stops nothing from being recorded.
    fn recipient(&mut self, place: Place, kind: Option<ChannelKind>) -> Option<String> {
        let (value, pointer) = place.get("to")?;
        let to = self.text_of(value, &pointer)?.trim().to_owned();
        if to.is_empty() {
            return None;
        }
        let no_address = || to.split(',').map(str::trim).find(|address| !E_MAIL.is_match(address));
        let (message, hint) = if self.holds_secret(&to) {
            ("holds a secret".to_owned(), SECRETS_HINT)
        } else if to.chars().any(char::is_control) {
            let hint = "write one line; several addresses are separated by commas";
            ("holds a control character or a line end".to_owned(), hint)
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

    fn route(&mut self, place: Place, channels: &[String]) -> Route {
        self.only(place, &["triggers", "severities", "channels", "unacknowledged_minutes"]);
        let triggers = self.words(place, "triggers", Trigger::ALL, Trigger::as_str);
        let severities = self.words(place, "severities", Severity::ALL, Severity::as_str);
        Route {
            triggers: triggers.unwrap_or_else(|| Trigger::ALL.to_vec()),
            severities: severities.unwrap_or_else(|| Severity::ALL.to_vec()),
            channels: self.route_channels(place, channels),
            unacknowledged_minutes: self.integer(place, "unacknowledged_minutes", 1..=MAX_UNACKNOWLEDGED_MINUTES),
        }
    }

    fn route_channels(&mut self, place: Place, channels: &[String]) -> Vec<Id> {
        const NOBODY: &str = "name at least one channel: without, nobody is told";
        if place.get("channels").is_none() {
            self.problem(place.offset, &child(place.pointer, "channels"), "is missing", Some(NOBODY.into()));
        }
        self.named_channels(place, channels, NOBODY)
    }

    fn named_channels(&mut self, place: Place, channels: &[String], instead_of_none: &str) -> Vec<Id> {
        self.names_under(place, "channels", channels, instead_of_none)
    }

    /// Names of channels under `key`, each of which is one of `channels`.
    pub(super) fn names_under(
        &mut self,
        place: Place,
        key: &str,
        channels: &[String],
        instead_of_none: &str,
    ) -> Vec<Id> {
        let Some((value, pointer)) = place.get(key) else { return Vec::new() };
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
            let message = format!("{} is not a channel of this file", self.shown(&name));
            self.problem(item.span().start, &pointer, message, Some(hint));
        }
        named
    }
}
