//! The policy: when a cause counts as recurring, which triggers escalate how urgently, how jobs are checked, and who is told.
//!
//! It comes from the configuration file; [`Policy::default`] is what holds without one. Whom nobody would be told about is
//! never silent: [`Policy::gaps`] says so.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize, Serializer};

use super::{
    entry::canonical,
    ids::{Id, sha256_hex},
    problems::Problem,
    words::{ChannelKind, Severity, Trigger},
};

pub mod comply;
pub mod delivery;
mod read;
mod read_delivery;
mod reader;

/// What a configuration file says, with the defaults where it is silent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Policy {
    pub recurring: Recurring,
    pub escalation: Escalation,
    pub digest: Digest,
    pub comply: comply::Comply,
    pub delivery: delivery::Delivery,
    /// `None`: no mail can be sent.
    pub smtp: Option<delivery::Smtp>,
    /// All that are under way count.
    pub maintenance: Vec<delivery::Maintenance>,
    /// By name.
    pub channels: BTreeMap<Id, Channel>,
    /// All that match count.
    pub routes: Vec<Route>,
}

/// When a cause counts as recurring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Recurring {
    /// Distinct incidents, 2 or more.
    pub threshold: u32,
    /// Hours in which they happen, ends inclusive: 1 to 8,760.
    pub window_hours: u32,
}

impl Default for Recurring {
    fn default() -> Self {
        Self { threshold: 3, window_hours: 168 }
    }
}

/// How the weekly digest is made, and who gets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Digest {
    /// The zone its weeks, days and hours are in.
    #[serde(serialize_with = "zone_name")]
    pub time_zone: Tz,
    /// Names of channels that exist.
    pub channels: Vec<Id>,
}

impl Default for Digest {
    fn default() -> Self {
        Self { time_zone: Tz::UTC, channels: Vec::new() }
    }
}

fn zone_name<S: Serializer>(zone: &Tz, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(zone.name())
}

/// When a trigger holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Escalation {
    /// Strictly more than so many percent of the checks PARTIAL: 0 to 99.
    pub partial_checks_percent: u32,
    /// Categories of checks that are about security, in any case.
    pub security_categories: Vec<String>,
    /// Kinds of evidence that a tool retrieves, so that their absence is an access issue.
    pub retrievable_evidence: Vec<String>,
    pub missing_evidence: Rule,
    pub partial_checks: Rule,
    pub security_finding: Rule,
    pub recurring: Rule,
    pub access_issue: Rule,
}

/// What a trigger that holds leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rule {
    pub severity: Severity,
    /// After people were told about an alert that is over, they are not told about it again for so many minutes.
    pub cool_down_minutes: u32,
    /// A disabled trigger is evaluated and recorded, and never holds.
    pub enabled: bool,
}

impl Default for Escalation {
    fn default() -> Self {
        let rule = |severity, cool_down_minutes| Rule { severity, cool_down_minutes, enabled: true };
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            partial_checks_percent: 50,
            security_categories: words(&["Security"]),
            retrievable_evidence: words(&[
                "run_output",
                "notebook_source",
                "notebook",
                "code",
                "source",
                "sql",
                "query",
            ]),
            missing_evidence: rule(Severity::Medium, 240),
            partial_checks: rule(Severity::Low, 1440),
            security_finding: rule(Severity::Critical, 60),
            recurring: rule(Severity::High, 1440),
            access_issue: rule(Severity::Medium, 240),
        }
    }
}

impl Escalation {
    pub fn rule(&self, trigger: Trigger) -> &Rule {
        match trigger {
            Trigger::MissingEvidence => &self.missing_evidence,
            Trigger::PartialChecks => &self.partial_checks,
            Trigger::SecurityFinding => &self.security_finding,
            Trigger::Recurring => &self.recurring,
            Trigger::AccessIssue => &self.access_issue,
        }
    }

    fn rule_mut(&mut self, trigger: Trigger) -> &mut Rule {
        match trigger {
            Trigger::MissingEvidence => &mut self.missing_evidence,
            Trigger::PartialChecks => &mut self.partial_checks,
            Trigger::SecurityFinding => &mut self.security_finding,
            Trigger::Recurring => &mut self.recurring,
            Trigger::AccessIssue => &mut self.access_issue,
        }
    }
}

/// A way to reach people. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Channel {
    pub kind: ChannelKind,
    /// The service, the #channel, the addresses, comma-separated. `None`: nobody gets what is sent there.
    pub to: Option<String>,
    #[serde(flatten)]
    pub reach: delivery::Reach,
}

/// Which alerts go to which channels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Route {
    pub triggers: Vec<Trigger>,
    pub severities: Vec<Severity>,
    /// Names of channels that exist.
    pub channels: Vec<Id>,
    /// Only what nobody acknowledged for so many minutes. `None`: at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unacknowledged_minutes: Option<u32>,
}

/// Where an alert goes, as it is kept with the alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    pub channel: Id,
    pub kind: ChannelKind,
    /// `None`: the channel has no recipient, nobody is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Only if nobody acknowledged it for so many minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unacknowledged_minutes: Option<u32>,
}

impl Destination {
    /// Somebody is told as soon as the alert fires.
    fn is_at_once(&self) -> bool {
        self.to.is_some() && self.unacknowledged_minutes.is_none()
    }
}

/// Who would be told if a trigger held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ToldIf {
    pub trigger: Trigger,
    pub severity: Severity,
    /// A disabled trigger never holds.
    pub enabled: bool,
    pub cool_down_minutes: u32,
    /// Routes that match, by their place in the file, from 1.
    pub routes: Vec<u32>,
    pub destinations: Vec<Destination>,
}

impl Policy {
    /// Reads a configuration file, TOML.
    ///
    /// # Errors
    /// Every problem there is, in the order of the file, each with its line. None holds a secret.
    pub fn parse(toml: &str) -> Result<Self, Vec<Problem>> {
        read::policy(toml)
    }

    /// Names this policy in records: 16 hex digits of SHA-256 over its canonical JSON, defaults included.
    pub fn digest(&self) -> String {
        let mut digest = sha256_hex(canonical(self).expect("words, numbers and lists of them are JSON"));
        digest.truncate(16);
        digest
    }

    pub fn severity(&self, trigger: Trigger) -> Severity {
        self.escalation.rule(trigger).severity
    }

    pub fn cool_down(&self, trigger: Trigger) -> TimeDelta {
        TimeDelta::minutes(self.escalation.rule(trigger).cool_down_minutes.into())
    }

    pub fn enabled(&self, trigger: Trigger) -> bool {
        self.escalation.rule(trigger).enabled
    }

    /// Every channel of every matching route, each once for every time after which it is told, in the order of the file.
    /// Empty: no route matches.
    pub fn destinations(&self, trigger: Trigger, severity: Severity) -> Vec<Destination> {
        let mut destinations: Vec<Destination> = Vec::new();
        for route in self.routes.iter().filter(|route| route.matches(trigger, severity)) {
            let unacknowledged_minutes = route.unacknowledged_minutes;
            for name in &route.channels {
                let Some(channel) = self.channels.get(name) else { continue };
                let (channel, kind, to) = (name.clone(), channel.kind, channel.to.clone());
                let destination = Destination { channel, kind, to, unacknowledged_minutes };
                if !destinations.contains(&destination) {
                    destinations.push(destination);
                }
            }
        }
        destinations
    }

    /// Who would be told if `trigger` held, as urgent as the policy says, or as `severity` does.
    pub fn told_if(&self, trigger: Trigger, severity: Option<Severity>) -> ToldIf {
        let severity = severity.unwrap_or_else(|| self.severity(trigger));
        let matching = |(number, route): (u32, &Route)| route.matches(trigger, severity).then_some(number);
        ToldIf {
            trigger,
            severity,
            enabled: self.enabled(trigger),
            cool_down_minutes: self.escalation.rule(trigger).cool_down_minutes,
            routes: (1..).zip(&self.routes).filter_map(matching).collect(),
            destinations: self.destinations(trigger, severity),
        }
    }

    /// Whom nobody would be told about, and channels that reach nobody; one sentence each.
    pub fn gaps(&self) -> Vec<String> {
        let mut gaps = Vec::new();
        for &trigger in Trigger::ALL.iter().filter(|trigger| self.enabled(**trigger)) {
            let severity = self.severity(trigger);
            let destinations = self.destinations(trigger, severity);
            if destinations.is_empty() {
                gaps.push(format!(
                    "nobody is told about {severity} {trigger}: no route matches; add [[routes]] to ops-runbook.toml"
                ));
            } else if destinations.iter().all(|destination| destination.to.is_none()) {
                let mut names: Vec<_> = destinations.iter().map(|destination| destination.channel.as_str()).collect();
                names.dedup();
                gaps.push(format!(
                    "nobody is told about {severity} {trigger}: its routes lead to {} only, without a recipient",
                    names.join(", ")
                ));
            } else if !destinations.iter().any(Destination::is_at_once) {
                gaps.push(format!(
                    "nobody is told about {severity} {trigger} at once: every route that leads to somebody waits for \
                     unacknowledged_minutes; add one without to [[routes]]"
                ));
            }
        }
        for (name, channel) in &self.channels {
            if channel.to.is_none() {
                gaps.push(format!(
                    "channel {name} ({}) has no recipient; set `to` under [channels.{name}]",
                    channel.kind
                ));
            }
            let told = self.routes.iter().flat_map(|route| &route.channels).chain(&self.digest.channels);
            if !told.chain(&self.delivery.undelivered).any(|told| told == name) {
                gaps.push(format!("channel {name} ({}) is on no route; name it in [[routes]]", channel.kind));
            }
        }
        gaps
    }

    /// Channels over which nothing can be sent as things are configured; one sentence each.
    pub fn unreachable(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for (name, channel) in self.channels.iter().filter(|(_, channel)| channel.to.is_some()) {
            let lacks = match channel.kind {
                ChannelKind::Pagerduty if channel.reach.secret.is_none() => "its routing key: `secret`",
                ChannelKind::Slack if channel.reach.secret.is_none() => "its webhook URL or bot token: `secret`",
                ChannelKind::Teams if channel.reach.secret.is_none() => "its webhook URL: `secret`",
                ChannelKind::Webhook if channel.reach.url.is_none() => "its address: `url`",
                ChannelKind::Email if self.smtp.is_none() => "a mail server: [smtp]",
                _ => continue,
            };
            missing.push(format!("channel {name} ({}) cannot be reached; set {lacks}", channel.kind));
        }
        missing
    }
}

impl Route {
    fn matches(&self, trigger: Trigger, severity: Severity) -> bool {
        self.triggers.contains(&trigger) && self.severities.contains(&severity)
    }
}

#[cfg(test)]
mod tests;
