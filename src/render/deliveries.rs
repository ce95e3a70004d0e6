//! What people were told, and what came of it.

use super::{
    listing,
    plain::{NA, line, na},
};
use crate::{
    domain::{
        delivery::{Delivered, DeliveryStep},
        words::DeliveryEvent,
    },
    tables::rows::Delivery,
};

/// One step in a line, for whoever watches.
pub fn step(step: &DeliveryStep) -> String {
    let mut text = format!(
        "{:<9} {:<11} {} over {} ({}), attempt {}",
        step.event,
        step.says,
        line(&step.lane),
        line(step.channel.as_str()),
        step.kind,
        step.attempt
    );
    if let Some(reason) = &step.reason {
        text.push_str(&format!(": {}", line(reason)));
    }
    match (step.event, step.until) {
        (event, Some(until)) if is_asked_again(event) => text.push_str(&format!("; again at {until}")),
        (DeliveryEvent::Dead, _) => text.push_str("; given up"),
        _ => {}
    }
    text
}

fn is_asked_again(event: DeliveryEvent) -> bool {
    matches!(event, DeliveryEvent::Partly | DeliveryEvent::Retry | DeliveryEvent::Unknown)
}

/// What somebody has to know of a step that did not end as it should.
pub fn problem(told: &DeliveryStep) -> Option<String> {
    match told.event {
        DeliveryEvent::Dead => Some(format!("error: {}", step(told))),
        // Some recipients were refused.
        DeliveryEvent::Delivered if told.reason.is_some() => Some(format!("warning: {}", step(told))),
        event => is_asked_again(event).then(|| format!("warning: {}", step(told))),
    }
}

/// What a deliverer did, in a few lines.
pub fn summary(told: &Delivered) -> String {
    let Delivered { delivered, messages, retried, unknown, dead, skipped, waiting, unsettled } = told;
    if told == (&Delivered { waiting: *waiting, ..Delivered::default() }) && *waiting == 0 {
        return "Nothing was due.\n".into();
    }
    let mut text = format!("Delivered: {delivered}, in {messages} messages\n");
    for (count, what) in [
        (
            *retried,
            format!(
                "Attempts that failed, or not all were told: {retried}, of {unknown} nobody knows whether they were received"
            ),
        ),
        (*skipped, format!("Left out: {skipped}, too old or over")),
        (
            *dead,
            format!("GIVEN UP: {dead}; `ops-runbook sql \"SELECT * FROM deliveries WHERE event = 'dead'\"` says why"),
        ),
        (
            *unsettled,
            format!(
                "NOT TOLD YET: {unsettled}, tried and not accepted, or not for all recipients; run it again, or let --watch \
                 go on"
            ),
        ),
        (waiting - unsettled, format!("Waiting for their time: {}", waiting - unsettled)),
    ] {
        if count > 0 {
            text.push_str(&what);
            text.push('\n');
        }
    }
    text
}

/// Who was told of an alert, and what came of it: one line a step, claims left out.
pub fn list(rows: &[Delivery], width: usize) -> String {
    let rows: Vec<&Delivery> = rows.iter().filter(|row| row.event != DeliveryEvent::Claimed).collect();
    if rows.is_empty() {
        return "Nobody was told yet.\n".into();
    }
    let lines = rows.iter().map(|row| {
        [
            listing::minute(row.occurred_at),
            row.says.to_string(),
            line(row.channel.as_str()).into_owned(),
            row.event.to_string(),
            row.attempt.to_string(),
            row.reason.as_deref().map_or_else(|| NA.to_owned(), |reason| line(reason).into_owned()),
            na(row.until_at.filter(|_| is_asked_again(row.event))),
        ]
    });
    let columns = [
        listing::fixed("WHEN (UTC)"),
        listing::fixed("SAYS"),
        listing::flexible("CHANNEL", 10),
        listing::fixed("EVENT"),
        listing::fixed("ATTEMPT"),
        listing::flexible("REASON", 12),
        listing::fixed("AGAIN AT"),
    ];
    listing::table(columns, lines, width)
}
