use arrow::array::{AsArray, BooleanArray};
use datafusion::datasource::MemTable;

use super::*;
use crate::{
    domain::{
        check::Severity,
        escalation::{
            status::{AlertEvent, AlertStatus},
            trigger::Trigger,
        },
        ids::{Id, IncidentId},
        time::Timestamp,
    },
    tables::{
        rows::{Delivery, EscalationEvent},
        to_batch,
    },
};

fn event(key: &str, seq: u64, ordinal: i32, event: AlertEvent, status: Option<AlertStatus>) -> EscalationEvent {
    let at = Timestamp::from_micros(1_770_000_000_000_000 + seq as i64).unwrap();
    EscalationEvent {
        incident_id: IncidentId::from_ordinal(1),
        seq,
        ordinal,
        occurred_at: at,
        recorded_at: at,
        trigger: Trigger::MissingEvidence,
        event,
        status,
        severity: Some(Severity::Medium),
        dedup_key: key.into(),
        reason: "a reason".into(),
        message: Some("a message".into()),
        routes: None,
        quiet_until: None,
        actor: Id::new("user:sre@example.test").unwrap(),
    }
}

/// Returns the rows of the outbox as `key seq.ordinal`, with `!` for an alert without recipients.
async fn outbox(events: &[EscalationEvent]) -> Vec<String> {
    let session = session();
    for (name, batch) in
        [("escalation_events", to_batch(events).unwrap()), ("deliveries", to_batch::<Delivery>(&[]).unwrap())]
    {
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
        session.register_table(name, Arc::new(table)).unwrap();
    }
    let (_, sql) = views().find(|(name, _)| *name == "outbox").unwrap();
    let columns = "dedup_key || ' ' || CAST(seq AS VARCHAR) || '.' || CAST(ordinal AS VARCHAR) AS event, unrouted";
    let frame = session.sql(&format!("SELECT {columns} FROM ({sql}) AS outbox ORDER BY seq, ordinal")).await.unwrap();
    let mut rows = Vec::new();
    for batch in frame.collect().await.unwrap() {
        let events = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8).unwrap();
        let unrouted: &BooleanArray = batch.column(1).as_boolean();
        for (event, unrouted) in events.as_string::<i32>().iter().zip(unrouted) {
            rows.push(format!("{}{}", event.unwrap(), if unrouted.unwrap() { "!" } else { "" }));
        }
    }
    rows
}

#[tokio::test]
async fn the_outbox_holds_alerts_that_fired_and_are_open() {
    use AlertEvent::{Acknowledged, Cleared, Fired, NotFired, Repeated, Resolved, Suppressed};
    let fired = (Fired, Some(AlertStatus::Open));
    let cleared = (Cleared, Some(AlertStatus::Resolved));
    let lives = [
        ("open", vec![fired, (Repeated, Some(AlertStatus::Open))]),
        ("risen", vec![fired, fired]),
        ("again", vec![fired, cleared, (NotFired, Some(AlertStatus::Resolved)), fired]),
        ("cleared", vec![fired, cleared]),
        ("acknowledged", vec![fired, (Acknowledged, Some(AlertStatus::Acknowledged))]),
        ("resolved", vec![fired, (Resolved, Some(AlertStatus::Resolved))]),
        ("suppressed", vec![fired, (Suppressed, Some(AlertStatus::Suppressed))]),
        ("never", vec![(NotFired, None)]),
        ("quiet", vec![(Suppressed, Some(AlertStatus::Suppressed))]),
    ];
    let mut events = Vec::new();
    for (key, life) in &lives {
        for (seq, (what, status)) in (10..).zip(life) {
            events.push(event(key, seq, 1, *what, *status));
        }
    }
    // within one request the ordinal decides
    events.push(event("same", 10, 2, Cleared, Some(AlertStatus::Resolved)));
    events.push(event("same", 10, 1, Fired, Some(AlertStatus::Open)));
    let mut found = outbox(&events).await;
    found.sort();
    assert_eq!(found, ["again 13.1!", "open 10.1!", "risen 10.1!", "risen 11.1!"]);
}

#[tokio::test]
async fn the_outbox_marks_alerts_without_recipients() {
    let routes = [None, Some("[]"), Some(r##"[{"channel":"chat","kind":"slack","to":"#oncall"}]"##)];
    let events: Vec<_> = (1..)
        .zip(routes)
        .map(|(seq, routes)| EscalationEvent {
            routes: routes.map(str::to_owned),
            ..event(&format!("k{seq}"), seq, 1, AlertEvent::Fired, Some(AlertStatus::Open))
        })
        .collect();
    assert_eq!(outbox(&events).await, ["k1 1.1!", "k2 2.1!", "k3 3.1"]);
}
