//! Replays the ledger under other escalation rules and compares the fired alerts with those of the original rules.

use std::collections::BTreeMap;

use serde::Serialize;

use super::AlertChange;
use crate::domain::{
    check::Severity,
    entry::{Entry, Request},
    escalation::{status::AlertEvent, trigger::Trigger},
    ids::{IncidentId, RequestKey},
    incident::{History, opening_facts},
    policy::{Destination, Policy},
    time::Timestamp,
};

/// Severity and destinations of an alert that fired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FiredAlert {
    pub severity: Option<Severity>,
    pub destinations: Vec<Destination>,
}

impl FiredAlert {
    fn from_change(change: &AlertChange) -> Self {
        Self { severity: change.severity, destinations: change.routes.clone() }
    }

    /// Returns the destinations that have an address.
    pub fn reachable(&self) -> impl Iterator<Item = &Destination> {
        self.destinations.iter().filter(|destination| destination.to.is_some())
    }
}

/// Comparison of an alert under the original rules with the same alert under the other rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayDifference {
    /// It fired under both, with equal severity and destinations.
    Same,
    /// It fired under both, with another severity or destination.
    Changed,
    /// It fired only under the original rules.
    Gone,
    /// It fired only under the other rules.
    New,
}

/// One alert in one row of the audit log, under the original and the other rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlertComparison {
    pub incident_id: IncidentId,
    pub seq: u64,
    pub recorded_at: Timestamp,
    pub trigger: Trigger,
    pub dedup_key: String,
    pub difference: ReplayDifference,
    pub then: Option<FiredAlert>,
    pub with_rules: Option<FiredAlert>,
}

/// Decides all requests again under other rules, each as of its time of recording.
#[derive(Debug)]
pub struct EscalationReplay {
    rules: Policy,
    since: Timestamp,
    histories: BTreeMap<IncidentId, History>,
    pub found: ReplayResult,
}

/// Result of a replay.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct ReplayResult {
    /// Number of rows about incidents in the compared time range.
    pub rows: u64,
    /// Alerts that fired in it under either rules, in the order of the audit log.
    pub firings: Vec<AlertComparison>,
    /// Number of steps in it that are not legal under the other rules, because the alert would have another status.
    pub moot: u64,
}

impl EscalationReplay {
    pub fn new(rules: Policy, since: Timestamp) -> Self {
        Self { rules, since, histories: BTreeMap::new(), found: ReplayResult::default() }
    }

    /// Adds the next entry. Entries before `since` are needed too, because alerts may have been open at that time.
    pub fn add(&mut self, mut entry: Entry) {
        let Some(id) = entry.facts.incident_id else { return };
        let counts = entry.recorded_at >= self.since;
        let original = std::mem::take(&mut entry.facts.alerts);
        match &entry.request {
            Request::RecordReport(report) | Request::OpenIncident(report) => {
                let key = RequestKey::of(&entry.request_id);
                entry.facts.alerts = opening_facts(report, id, &key, &self.rules, entry.recorded_at).alerts;
                if let Some(history) = History::opened(&entry) {
                    self.histories.insert(id, history);
                }
            }
            request => {
                let Some(history) = self.histories.get_mut(&id) else { return };
                match history.decide(request, &self.rules, entry.seq, entry.recorded_at) {
                    Ok(facts) => entry.facts.alerts = facts.alerts,
                    Err(_) => self.found.moot += u64::from(counts),
                }
                history.apply(&entry);
            }
        }
        if counts {
            self.found.rows += 1;
            self.compare(id, &entry, &original);
        }
    }

    fn compare(&mut self, incident_id: IncidentId, entry: &Entry, original: &[AlertChange]) {
        let mut keys: Vec<(&str, Trigger)> = Vec::new();
        let fired = |change: &&AlertChange| change.event == AlertEvent::Fired;
        for change in original.iter().chain(&entry.facts.alerts).filter(fired) {
            if !keys.iter().any(|(key, _)| *key == change.dedup_key) {
                keys.push((&change.dedup_key, change.trigger));
            }
        }
        let firing = |changes: &[AlertChange], key: &str| {
            changes.iter().filter(fired).find(|change| change.dedup_key == key).map(FiredAlert::from_change)
        };
        for (key, trigger) in keys {
            let (then, with_rules) = (firing(original, key), firing(&entry.facts.alerts, key));
            let difference = match (&then, &with_rules) {
                (Some(then), Some(with_rules)) if then == with_rules => ReplayDifference::Same,
                (Some(_), Some(_)) => ReplayDifference::Changed,
                (_, None) => ReplayDifference::Gone,
                (None, _) => ReplayDifference::New,
            };
            self.found.firings.push(AlertComparison {
                incident_id,
                seq: entry.seq,
                recorded_at: entry.recorded_at,
                trigger,
                dedup_key: key.to_owned(),
                difference,
                then,
                with_rules,
            });
        }
    }
}
