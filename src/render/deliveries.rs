//! Attempts to deliver notifications, and their results.

use super::{
    listing,
    plain::{NA, line, na},
};
use crate::{
    domain::notification::{DeliveryCounts, DeliveryStep, event::DeliveryEvent},
    tables::rows::Delivery,
};

/// One step of a delivery, on one line.
pub fn step(step: &DeliveryStep) -> String {
    let mut text = format!(
        "{:<9} {:<11} {} over {} ({}), attempt {}",
        step.event,
        step.notification_kind,
        line(&step.stream),
        line(step.channel.as_str()),
        step.kind,
        step.attempt
    );
    if let Some(reason) = &step.reason {
        text.push_str(&format!(": {}", line(reason)));
    }
    match (step.event, step.until) {
        (event, Some(until)) if is_retried(event) => text.push_str(&format!("; next attempt at {until}")),
        (DeliveryEvent::Dead, _) => text.push_str("; given up"),
        _ => {}
    }
    text
}

fn is_retried(event: DeliveryEvent) -> bool {
    matches!(event, DeliveryEvent::Partly | DeliveryEvent::Retry | DeliveryEvent::Unknown)
}

/// The error or warning of a step that did not fully succeed.
pub fn problem(delivery: &DeliveryStep) -> Option<String> {
    match delivery.event {
        DeliveryEvent::Dead => Some(format!("error: {}", step(delivery))),
        // some recipients were refused
        DeliveryEvent::Delivered if delivery.reason.is_some() => Some(format!("warning: {}", step(delivery))),
        event => is_retried(event).then(|| format!("warning: {}", step(delivery))),
    }
}

/// The counts of one run, in a few lines.
pub fn summary(counts: &DeliveryCounts) -> String {
    let DeliveryCounts { delivered, messages, retried, unknown, dead, skipped, waiting, unsettled } = counts;
    if counts == (&DeliveryCounts { waiting: *waiting, ..DeliveryCounts::default() }) && *waiting == 0 {
        return "Nothing was due.\n".into();
    }
    let mut text = format!("Delivered: {delivered}, in {messages} messages\n");
    for (count, what) in [
        (*retried, format!("Failed or partly failed attempts: {retried}, {unknown} of them with an unknown result")),
        (*skipped, format!("Skipped, because too old or already resolved: {skipped}")),
        (
            *dead,
            format!(
                "GIVEN UP: {dead}; `ops-runbook sql \"SELECT * FROM deliveries WHERE event = 'dead'\"` shows the reasons"
            ),
        ),
        (
            *unsettled,
            format!(
                "NOT DELIVERED YET: {unsettled}, refused or not accepted for all recipients; the next run, or --watch, retries"
            ),
        ),
        (waiting - unsettled, format!("Due later: {}", waiting - unsettled)),
    ] {
        if count > 0 {
            text.push_str(&what);
            text.push('\n');
        }
    }
    text
}

/// The deliveries of an alert, one line per step, without claims.
pub fn list(rows: &[Delivery], width: usize) -> String {
    let rows: Vec<&Delivery> = rows.iter().filter(|row| row.event != DeliveryEvent::Claimed).collect();
    if rows.is_empty() {
        return "No notification was sent yet.\n".into();
    }
    let lines = rows.iter().map(|row| {
        [
            listing::minute(row.occurred_at),
            row.says.to_string(),
            line(row.channel.as_str()).into_owned(),
            row.event.to_string(),
            row.attempt.to_string(),
            row.reason.as_deref().map_or_else(|| NA.to_owned(), |reason| line(reason).into_owned()),
            na(row.until_at.filter(|_| is_retried(row.event))),
        ]
    });
    let columns = [
        listing::fixed("WHEN (UTC)"),
        listing::fixed("NOTIFICATION"),
        listing::flexible("CHANNEL", 10),
        listing::fixed("EVENT"),
        listing::fixed("ATTEMPT"),
        listing::flexible("REASON", 12),
        listing::fixed("NEXT ATTEMPT"),
    ];
    listing::table(columns, lines, width)
}
