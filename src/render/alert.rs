//! ESCALATION ALERTs, evaluations of triggers, and lists of alerts. A missing channel or recipient is always shown.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    listing,
    plain::{NA, line, na},
};
use crate::{
    domain::{
        escalation::status::{AlertEvent, AlertStatus},
        policy::Destination,
    },
    tables::rows::EscalationEvent,
};

/// One event of an alert, in the layout of the specification.
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
        let _ = writeln!(text, "Snoozed until: {until}");
    }
    text
}

/// The channels, or the reason why there are none.
fn escalate_to(row: &EscalationEvent) -> String {
    let destinations = match destinations(row) {
        // the trigger never held, so there was nothing to route
        _ if row.severity.is_none() => return NA.to_owned(),
        Err(unreadable) => return unreadable,
        Ok(destinations) => destinations,
    };
    if destinations.is_empty() {
        let severity = na(row.severity);
        return format!("NO CHANNEL: no route matches {severity} {}; add [[routes]] to ops-runbook.toml", row.trigger);
    }
    let reachable = destinations.iter().filter_map(|destination| {
        let Destination { channel, kind, to, unacknowledged_minutes } = destination;
        let later = unacknowledged_minutes.map_or_else(String::new, later);
        Some(format!("{} ({kind}: {}){later}", line(channel.as_str()), line(to.as_deref()?)))
    });
    let unreachable = destinations.iter().filter(|destination| destination.to.is_none()).map(|destination| {
        let channel = line(destination.channel.as_str());
        format!(
            "NO RECIPIENT: channel {channel} ({}) has none; set `to` under [channels.{channel}] in ops-runbook.toml",
            destination.kind
        )
    });
    reachable.chain(unreachable).collect::<Vec<_>>().join(", ")
}

/// The delay after which a destination is notified, as a suffix.
pub(super) fn later(minutes: u32) -> String {
    format!(" after {minutes} min without acknowledgement")
}

/// The recorded routes; the error is a text for people.
fn destinations(row: &EscalationEvent) -> Result<Vec<Destination>, String> {
    row.destinations().map_err(|_| {
        format!("NO CHANNEL: the recorded routes cannot be read: {}", line(row.routes.as_deref().unwrap_or_default()))
    })
}

/// The names of the channels with a recipient, each once; `NO CHANNEL` if there are none.
pub(super) fn channel_names(row: &EscalationEvent) -> String {
    let destinations = destinations(row).unwrap_or_default();
    let mut names: Vec<_> = Vec::new();
    for destination in destinations.iter().filter(|destination| destination.to.is_some()) {
        let name = line(destination.channel.as_str());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() { "NO CHANNEL".to_owned() } else { names.join(", ") }
}

/// The evaluation of every trigger in one request, with its reason, including triggers that did not fire. `rows` may have
/// any order; the text has that of the evaluation.
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
            AlertEvent::Fired => writeln!(text, "to {}: {}", channel_names(row), line(&row.reason)),
            _ => writeln!(text, "{}", line(&row.reason)),
        };
    }
    text
}

/// Alerts, one per line, the latest change of status first. `events` are all events of the alerts to list, in any order.
/// Triggers that never fired are left out.
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
    let rows = lines.iter().map(|AlertLine { now, since, notified }| {
        [
            now.incident_id.to_string(),
            now.trigger.to_string(),
            na(now.severity.or(notified.and_then(|event| event.severity))),
            na(now.status),
            listing::minute(since.occurred_at),
            notified.map_or_else(|| NA.to_owned(), channel_names),
            line(&now.dedup_key).into_owned(),
        ]
    });
    let columns = [
        listing::fixed("INCIDENT"),
        listing::fixed("TRIGGER"),
        listing::fixed("SEVERITY"),
        listing::fixed("STATUS"),
        listing::fixed("SINCE (UTC)"),
        listing::flexible("CHANNELS", 10),
        listing::fixed("DEDUP KEY"),
    ];
    listing::table(columns, rows, width)
}

struct AlertLine<'a> {
    now: &'a EscalationEvent,
    /// The event since which it has its current status.
    since: &'a EscalationEvent,
    /// The last event with channels to notify; `None` if the alert was suppressed from the start.
    notified: Option<&'a EscalationEvent>,
}

impl<'a> AlertLine<'a> {
    fn of(mut events: Vec<&'a EscalationEvent>) -> Option<Self> {
        events.sort_by_key(|event| (event.seq, event.ordinal));
        let now = *events.last()?;
        let since = events.iter().rev().take_while(|event| event.status == now.status).last().copied()?;
        // if the firing is not among the events, any later event has its routes too
        let fired = events.iter().rev().find(|event| event.event == AlertEvent::Fired);
        let notified = fired.or_else(|| {
            let has_routes = |event: &&&EscalationEvent| {
                !matches!(event.event, AlertEvent::Suppressed | AlertEvent::NotFired) && event.severity.is_some()
            };
            events.iter().rev().find(has_routes)
        });
        Some(Self { now, since, notified: notified.copied() })
    }
}

#[cfg(test)]
mod tests;
