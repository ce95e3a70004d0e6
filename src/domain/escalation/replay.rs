//! What other rules would have told people over history, against what the rules of then told.

use std::collections::BTreeMap;

use serde::Serialize;

use super::AlertChange;
use crate::domain::{
    entry::{Entry, Request},
    ids::{IncidentId, RequestKey},
    incident::{History, opening_facts},
    policy::{Destination, Policy},
    time::Timestamp,
    words::{AlertEvent, Severity, Trigger},
};

/// An alert that fired: how urgent it was, and where it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Firing {
    pub severity: Option<Severity>,
    pub destinations: Vec<Destination>,
}

impl Firing {
    fn of(change: &AlertChange) -> Self {
        Self { severity: change.severity, destinations: change.routes.clone() }
    }

    /// Channels that lead to somebody.
    pub fn told(&self) -> impl Iterator<Item = &Destination> {
        self.destinations.iter().filter(|destination| destination.to.is_some())
    }
}

/// How a firing under the rules of then compares with one under the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// Fired under both, as urgently and to the same channels.
    Same,
    /// Fired under both, but another way.
    Changed,
    /// Fired then, and would not under the other rules.
    Gone,
    /// Did not fire then, and would under the other rules.
    New,
}

/// What one row of the audit log made of one alert, under the rules of then and under the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compared {
    pub incident_id: IncidentId,
    pub seq: u64,
    pub recorded_at: Timestamp,
    pub trigger: Trigger,
    pub dedup_key: String,
    pub difference: Difference,
    pub then: Option<Firing>,
    pub with_rules: Option<Firing>,
}

/// Decides every request anew under other rules, each as of the moment at which the ledger took it.
#[derive(Debug)]
pub struct Replay {
    rules: Policy,
    since: Timestamp,
    histories: BTreeMap<IncidentId, History>,
    pub found: Replayed,
}

/// What a replay found.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Replayed {
    /// Rows about incidents that were recorded since the moment asked for.
    pub rows: u64,
    /// Everything that fired since under either rules, in the order of the audit log.
    pub firings: Vec<Compared>,
    /// Steps since that dealt with an alert which would not have stood as it did.
    pub moot: u64,
}

impl Replay {
    pub fn new(rules: Policy, since: Timestamp) -> Self {
        Self { rules, since, histories: BTreeMap::new(), found: Replayed::default() }
    }

    /// Takes the next entry. All from the first on are needed, also those before `since`: alerts that were open then are.
    pub fn add(&mut self, mut entry: Entry) {
        let Some(id) = entry.facts.incident_id else { return };
        let counts = entry.recorded_at >= self.since;
        let then = std::mem::take(&mut entry.facts.alerts);
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
            self.compare(id, &entry, &then);
        }
    }

    fn compare(&mut self, incident_id: IncidentId, entry: &Entry, then: &[AlertChange]) {
        let mut keys: Vec<(&str, Trigger)> = Vec::new();
        let fired = |change: &&AlertChange| change.event == AlertEvent::Fired;
        for change in then.iter().chain(&entry.facts.alerts).filter(fired) {
            if !keys.iter().any(|(key, _)| *key == change.dedup_key) {
                keys.push((&change.dedup_key, change.trigger));
            }
        }
        let firing = |changes: &[AlertChange], key: &str| {
            changes.iter().filter(fired).find(|change| change.dedup_key == key).map(Firing::of)
        };
        for (key, trigger) in keys {
            let (then, with_rules) = (firing(then, key), firing(&entry.facts.alerts, key));
            let difference = match (&then, &with_rules) {
                (Some(then), Some(with_rules)) if then == with_rules => Difference::Same,
                (Some(_), Some(_)) => Difference::Changed,
                (_, None) => Difference::Gone,
                (None, _) => Difference::New,
            };
            self.found.firings.push(Compared {
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
