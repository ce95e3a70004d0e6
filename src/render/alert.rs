//! ESCALATION ALERTs, and what every trigger said. That nobody is told is never silent.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    listing,
    plain::{NA, line, na},
};
use crate::{
    domain::{
        policy::Destination,
        words::{AlertEvent, AlertStatus},
    },
    tables::rows::EscalationEvent,
};

/// One event of an alert: what people are told, or would be.
pub fn alert(row: &EscalationEvent) -> String {
    let severity = na(row.severity);
    let mut text = format!(
        "ESCALATION ALERT\n================\nSeverity: {severity}\nTrigger: {}\nEscalate To: {}\n\nMessage:\n-------\n",
        row.trigger,
        escalate_to(row),
    );
    let mut lines = row.message.as_deref().unwrap_or_default().lines().map(line);
    let _ = writeln!(text, "[{severity}] {}", lines.next().unwrap_or(NA.into()));
    for line in lines {
        let _ = writeln!(text, "{line}");
    }
    let _ = writeln!(text, "Incident ID: {}", row.incident_id);
    let status = row.status.map_or("never fired", AlertStatus::as_str);
    let _ = writeln!(text, "\nStatus: {status} ({} at {})", row.event, row.occurred_at);
    let _ = writeln!(text, "Reason: {}", line(&row.reason));
    let _ = writeln!(text, "Dedup key: {}", line(&row.dedup_key));
    if let Some(until) = row.quiet_until {
        let _ = writeln!(text, "Quiet until: {until}");
    }
    text
}

/// The channels, or loudly why nobody is told.
fn escalate_to(row: &EscalationEvent) -> String {
    let destinations = match destinations(row) {
        // nothing has held yet that could have gone anywhere
        _ if row.severity.is_none() => return NA.to_owned(),
        Err(unreadable) => return unreadable,
        Ok(destinations) => destinations,
    };
    if destinations.is_empty() {
        let severity = na(row.severity);
        return format!("NOBODY: no route matches {severity} {}; add [[routes]] to ops-runbook.toml", row.trigger);
    }
    let told = destinations.iter().filter_map(|destination| {
        let Destination { channel, kind, to, unacknowledged_minutes } = destination;
        let later = unacknowledged_minutes.map_or_else(String::new, later);
        Some(format!("{} ({kind}: {}){later}", line(channel.as_str()), line(to.as_deref()?)))
    });
    let silent = destinations.iter().filter(|destination| destination.to.is_none()).map(|destination| {
        let channel = line(destination.channel.as_str());
        format!(
            "NOBODY: channel {channel} ({}) has no recipient; set `to` under [channels.{channel}] in ops-runbook.toml",
            destination.kind
        )
    });
    told.chain(silent).collect::<Vec<_>>().join(", ")
}

/// After what time a destination is told, said behind it.
pub(super) fn later(minutes: u32) -> String {
    format!(" after {minutes} min without acknowledgement")
}

/// The routes as they were recorded; an error is a text for people.
fn destinations(row: &EscalationEvent) -> Result<Vec<Destination>, String> {
    row.destinations().map_err(|_| {
        format!("NOBODY: the recorded routes cannot be read: {}", line(row.routes.as_deref().unwrap_or_default()))
    })
}

/// Channels in few words, for a list; one that is told at once and later is one.
pub(super) fn told_to(row: &EscalationEvent) -> String {
    let destinations = destinations(row).unwrap_or_default();
    let mut names: Vec<_> = Vec::new();
    for destination in destinations.iter().filter(|destination| destination.to.is_some()) {
        let name = line(destination.channel.as_str());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() { "NOBODY".to_owned() } else { names.join(", ") }
}

/// What every trigger said in one request, those that did not fire included, and why. Any order; shown in that of the
/// evaluation.
pub fn evaluations(rows: &[EscalationEvent]) -> String {
    if rows.is_empty() {
        return "ESCALATION TRIGGERS: none was evaluated\n".into();
    }
    let mut rows: Vec<&EscalationEvent> = rows.iter().collect();
    rows.sort_by_key(|row| (row.incident_id, row.seq, row.ordinal));
    let fired = rows.iter().filter(|row| row.event == AlertEvent::Fired).count();
    let mut text = format!("ESCALATION TRIGGERS: {fired} of {} fired\n", rows.len());
    for row in rows {
        let _ = write!(text, "- {:<16} {:<12} {:<8} ", row.trigger, row.event, na(row.severity));
        let _ = match row.event {
            AlertEvent::Fired => writeln!(text, "to {}: {}", told_to(row), line(&row.reason)),
            _ => writeln!(text, "{}", line(&row.reason)),
        };
    }
    text
}

/// Alerts, one per line, the latest first. `events` are all events of the alerts to list, in any order; since when an alert
/// stands as it does is counted over them. Triggers that never fired are left out.
pub fn alerts_list(events: &[EscalationEvent], width: usize) -> String {
    let mut alerts: BTreeMap<&str, Vec<&EscalationEvent>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.status.is_some()) {
        alerts.entry(&event.dedup_key).or_default().push(event);
    }
    let mut lines: Vec<AlertLine> = alerts.into_values().filter_map(AlertLine::of).collect();
    if lines.is_empty() {
        return "There are no alerts to list.\n".into();
    }
    lines.sort_by(|one, other| {
        other.since.occurred_at.cmp(&one.since.occurred_at).then_with(|| one.now.dedup_key.cmp(&other.now.dedup_key))
    });
    let rows = lines.iter().map(|AlertLine { now, since, told }| {
        [
            now.incident_id.to_string(),
            now.trigger.to_string(),
            na(now.severity.or(told.and_then(|told| told.severity))),
            na(now.status),
            listing::minute(since.occurred_at),
            told.map_or_else(|| NA.to_owned(), told_to),
            line(&now.dedup_key).into_owned(),
        ]
    });
    let columns = [
        listing::fixed("INCIDENT"),
        listing::fixed("TRIGGER"),
        listing::fixed("SEVERITY"),
        listing::fixed("STATUS"),
        listing::fixed("SINCE (UTC)"),
        listing::flexible("TOLD TO", 10),
        listing::fixed("DEDUP KEY"),
    ];
    listing::table(columns, rows, width)
}

struct AlertLine<'a> {
    now: &'a EscalationEvent,
    /// The event that made it stand as it does now.
    since: &'a EscalationEvent,
    /// The last event at which people were to be told; `None`: it was suppressed from the first.
    told: Option<&'a EscalationEvent>,
}

impl<'a> AlertLine<'a> {
    fn of(mut events: Vec<&'a EscalationEvent>) -> Option<Self> {
        events.sort_by_key(|event| (event.seq, event.ordinal));
        let now = *events.last()?;
        let since = events.iter().rev().take_while(|event| event.status == now.status).last().copied()?;
        // without the firing itself, any later event still carries its routes
        let fired = events.iter().rev().find(|event| event.event == AlertEvent::Fired);
        let told = fired.or_else(|| {
            let carries = |event: &&&EscalationEvent| {
                !matches!(event.event, AlertEvent::Suppressed | AlertEvent::NotFired) && event.severity.is_some()
            };
            events.iter().rev().find(carries)
        });
        Some(Self { now, since, told: told.copied() })
    }
}

#[cfg(test)]
mod tests;
