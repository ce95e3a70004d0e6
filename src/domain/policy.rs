//! The policy: the recurrence threshold, the severity of each trigger, the compliance rules for jobs, and the notification routes.
//!
//! It is read from the configuration file; [`Policy::default`] applies without one. [`Policy::gaps`] lists alerts that no route
//! would deliver.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize, Serializer};

use super::{
    check::Severity,
    entry::canonical,
    escalation::trigger::Trigger,
    ids::{Id, sha256_hex},
    notification::channel::ChannelKind,
    problems::Problem,
};

pub mod compliance;
pub mod file;
pub mod notification;
mod read;
mod read_notification;
mod reader;

/// The settings of a configuration file. Settings that the file omits have their defaults.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Policy {
    pub recurring: RecurrencePolicy,
    pub escalation: EscalationPolicy,
    pub digest: DigestPolicy,
    pub comply: compliance::CompliancePolicy,
    pub delivery: notification::DeliveryPolicy,
    /// Mail server. `None`: no mail can be sent.
    pub smtp: Option<notification::Smtp>,
    /// All windows that are active at a time apply.
    pub maintenance: Vec<notification::MaintenanceWindow>,
    /// Channels by name.
    pub channels: BTreeMap<Id, Channel>,
    /// All routes that match an alert apply.
    pub routes: Vec<Route>,
}

/// Threshold at which a cause counts as recurring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RecurrencePolicy {
    /// Distinct incidents, 2 or more.
    pub threshold: u32,
    /// Window in hours, ends inclusive: 1 to 8,760.
    pub window_hours: u32,
}

impl Default for RecurrencePolicy {
    fn default() -> Self {
        Self { threshold: 3, window_hours: 168 }
    }
}

/// Time zone and recipients of the weekly digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DigestPolicy {
    /// Time zone of its weeks, days and hours.
    #[serde(serialize_with = "zone_name")]
    pub time_zone: Tz,
    /// Names of channels that exist.
    pub channels: Vec<Id>,
}

impl Default for DigestPolicy {
    fn default() -> Self {
        Self { time_zone: Tz::UTC, channels: Vec::new() }
    }
}

fn zone_name<S: Serializer>(zone: &Tz, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(zone.name())
}

/// Conditions of the escalation triggers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EscalationPolicy {
    /// The partial-checks trigger holds when more than this percentage of checks is PARTIAL: 0 to 99.
    pub partial_checks_percent: u32,
    /// Categories of checks that are about security; case is ignored.
    pub security_categories: Vec<String>,
    /// Kinds of evidence that a tool retrieves. If such evidence is missing, it is an access issue.
    pub retrievable_evidence: Vec<String>,
    pub missing_evidence: TriggerRule,
    pub partial_checks: TriggerRule,
    pub security_finding: TriggerRule,
    pub recurring: TriggerRule,
    pub access_issue: TriggerRule,
}

/// Severity and cool-down of one trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TriggerRule {
    pub severity: Severity,
    /// Minutes after the last notification of a resolved alert during which the same alert is suppressed.
    pub cool_down_minutes: u32,
    /// A disabled trigger is evaluated and recorded, but never holds.
    pub enabled: bool,
}

impl Default for EscalationPolicy {
    fn default() -> Self {
        let rule = |severity, cool_down_minutes| TriggerRule { severity, cool_down_minutes, enabled: true };
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Self {
            partial_checks_percent: 50,
            security_categories: texts(&["Security"]),
            retrievable_evidence: texts(&[
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

impl EscalationPolicy {
    pub fn rule(&self, trigger: Trigger) -> &TriggerRule {
        match trigger {
            Trigger::MissingEvidence => &self.missing_evidence,
            Trigger::PartialChecks => &self.partial_checks,
            Trigger::SecurityFinding => &self.security_finding,
            Trigger::Recurring => &self.recurring,
            Trigger::AccessIssue => &self.access_issue,
        }
    }

    fn rule_mut(&mut self, trigger: Trigger) -> &mut TriggerRule {
        match trigger {
            Trigger::MissingEvidence => &mut self.missing_evidence,
            Trigger::PartialChecks => &mut self.partial_checks,
            Trigger::SecurityFinding => &mut self.security_finding,
            Trigger::Recurring => &mut self.recurring,
            Trigger::AccessIssue => &mut self.access_issue,
        }
    }
}

/// A notification channel. It holds references to secrets, never secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Channel {
    pub kind: ChannelKind,
    /// Recipient: a service, a #channel, or comma-separated addresses. `None`: the channel has no recipient.
    pub to: Option<String>,
    #[serde(flatten)]
    pub connection: notification::ChannelConnection,
}

/// Rule that sends alerts to channels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Route {
    pub triggers: Vec<Trigger>,
    pub severities: Vec<Severity>,
    /// Names of channels that exist.
    pub channels: Vec<Id>,
    /// The route applies to alerts that were not acknowledged for this many minutes. `None`: it applies at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unacknowledged_minutes: Option<u32>,
}

/// Destination of an alert, as it is stored with the alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    pub channel: Id,
    pub kind: ChannelKind,
    /// Recipient. `None`: the channel has no recipient and the alert is not delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The destination applies if the alert was not acknowledged for this many minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unacknowledged_minutes: Option<u32>,
}

impl Destination {
    /// Returns true if a recipient is notified as soon as the alert fires.
    fn is_immediate(&self) -> bool {
        self.to.is_some() && self.unacknowledged_minutes.is_none()
    }
}

/// Destinations of the alert that a trigger would raise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TriggerRouting {
    pub trigger: Trigger,
    pub severity: Severity,
    /// A disabled trigger never holds.
    pub enabled: bool,
    pub cool_down_minutes: u32,
    /// Numbers of the matching routes in the order of the file, from 1.
    pub routes: Vec<u32>,
    pub destinations: Vec<Destination>,
}

impl Policy {
    /// Parses a configuration file in TOML.
    ///
    /// # Errors
    /// All problems in the order of the file, each with its line. No problem contains a secret.
    pub fn parse(toml: &str) -> Result<Self, Vec<Problem>> {
        read::policy(toml)
    }

    /// Returns the fingerprint that identifies this policy in records: the first 16 hex digits of SHA-256 over its canonical JSON,
    /// defaults included.
    pub fn fingerprint(&self) -> String {
        let mut digest = sha256_hex(canonical(self).expect("a policy is serialisable as JSON"));
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

    /// Returns the channels of all matching routes in the order of the file. A channel appears once for each delay. Empty: no
    /// route matches.
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

    /// Returns the destinations of the alert that `trigger` would raise, with the severity of the policy or the given one.
    pub fn routing(&self, trigger: Trigger, severity: Option<Severity>) -> TriggerRouting {
        let severity = severity.unwrap_or_else(|| self.severity(trigger));
        let matching = |(number, route): (u32, &Route)| route.matches(trigger, severity).then_some(number);
        TriggerRouting {
            trigger,
            severity,
            enabled: self.enabled(trigger),
            cool_down_minutes: self.escalation.rule(trigger).cool_down_minutes,
            routes: (1..).zip(&self.routes).filter_map(matching).collect(),
            destinations: self.destinations(trigger, severity),
        }
    }

    /// Returns one sentence for each alert that no route delivers and for each channel that is not usable.
    pub fn gaps(&self) -> Vec<String> {
        let mut gaps = Vec::new();
        for &trigger in Trigger::ALL.iter().filter(|trigger| self.enabled(**trigger)) {
            let severity = self.severity(trigger);
            let destinations = self.destinations(trigger, severity);
            if destinations.is_empty() {
                gaps.push(format!(
                    "{severity} {trigger} alerts are not delivered: no route matches; add [[routes]] to ops-runbook.toml"
                ));
            } else if destinations.iter().all(|destination| destination.to.is_none()) {
                let mut names: Vec<_> = destinations.iter().map(|destination| destination.channel.as_str()).collect();
                names.dedup();
                gaps.push(format!(
                    "{severity} {trigger} alerts are not delivered: the routes use only channels without a recipient: {}",
                    names.join(", ")
                ));
            } else if !destinations.iter().any(Destination::is_immediate) {
                gaps.push(format!(
                    "{severity} {trigger} alerts are not delivered at once: every route with a recipient has \
                     unacknowledged_minutes; add a route without it to [[routes]]"
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
            let used = self.routes.iter().flat_map(|route| &route.channels).chain(&self.digest.channels);
            if !used.chain(&self.delivery.undelivered).any(|used| used == name) {
                gaps.push(format!("channel {name} ({}) is on no route; name it in [[routes]]", channel.kind));
            }
        }
        gaps
    }

    /// Returns one sentence for each channel whose configuration is incomplete.
    pub fn unreachable(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for (name, channel) in self.channels.iter().filter(|(_, channel)| channel.to.is_some()) {
            let lacks = match channel.kind {
                ChannelKind::Pagerduty if channel.connection.secret.is_none() => "its routing key: `secret`",
                ChannelKind::Slack if channel.connection.secret.is_none() => "its webhook URL or bot token: `secret`",
                ChannelKind::Teams if channel.connection.secret.is_none() => "its webhook URL: `secret`",
                ChannelKind::Webhook if channel.connection.url.is_none() => "its address: `url`",
                ChannelKind::Email if self.smtp.is_none() => "a mail server: [smtp]",
                _ => continue,
            };
            missing.push(format!("channel {name} ({}) is not configured completely; set {lacks}", channel.kind));
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
