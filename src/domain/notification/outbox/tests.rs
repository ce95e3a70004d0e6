use proptest::prelude::*;

use super::*;
use crate::domain::{
    entry::{ENTRY_VERSION, Facts},
    escalation::{dedup_key, status::AlertStatus},
    steps::EvaluateEscalations,
};

const CONFIG: &str = r##"
    [delivery]
    bundle_over = 3
    stale_minutes = 60
    give_up_minutes = 30
    [channels.pager]
    kind = "pagerduty"
    to = "on-call"
    secret = "env:PAGER"
    [channels.chat]
    kind = "slack"
    to = "#ops"
    secret = "env:CHAT"
    [channels.hook]
    kind = "webhook"
    to = "hook"
    url = "https://hooks.example.test/ops"
    [[routes]]
    severities = ["CRITICAL", "HIGH"]
    channels = ["pager", "chat"]
    [[routes]]
    severities = ["LOW", "MEDIUM"]
    channels = ["chat"]
    [[routes]]
    severities = ["CRITICAL"]
    channels = ["pager"]
    unacknowledged_minutes = 15
    [[maintenance]]
    from = "2026-03-01T10:00:00Z"
    until = "2026-03-01T12:00:00Z"
    severities = ["LOW"]
    reason = "migration"
"##;

/// A ledger in memory and an outbox that follows it.
struct Simulation {
    policy: Arc<Policy>,
    entries: Vec<Entry>,
    outbox: Outbox,
    now: Timestamp,
    interface: Interface,
    /// Notifications that each recipient received, in order, by channel, stream and recipient.
    received: BTreeMap<(Id, String, &'static str), Vec<Received>>,
}

/// Source event and kind of a received notification.
type Received = (EventRef, NotificationKind);

/// Recipients of every channel.
const RECIPIENTS: [&str; 3] = ["a", "b", "c"];

fn recipients(all: &[&str]) -> Option<Recipients> {
    Recipients::new(all.iter().map(|&one| one.to_owned()).collect())
}

fn addressed(only: Option<&Recipients>) -> Vec<&'static str> {
    RECIPIENTS.into_iter().filter(|one| only.is_none_or(|only| only.contains(one))).collect()
}

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn key(incident: u64) -> String {
    dedup_key(IncidentId::from_ordinal(incident), Trigger::SecurityFinding, "0123456789abcdef")
}

impl Simulation {
    fn new() -> Self {
        let policy = Arc::new(Policy::parse(CONFIG).unwrap());
        let now = "2026-03-01T00:00:00Z".parse().unwrap();
        let outbox = Outbox::new(Arc::clone(&policy), 0, Vec::new(), None);
        Self { outbox, policy, entries: Vec::new(), now, interface: Interface::Cli, received: BTreeMap::new() }
    }

    /// A lake in which deliveries were recorded before.
    fn with_deliveries() -> Self {
        let mut simulation = Self::new();
        simulation.deliver(Vec::new());
        simulation
    }

    fn pass(&mut self, minutes: i64) {
        self.now = self.now.plus(TimeDelta::minutes(minutes));
    }

    fn add(&mut self, request: Request, incident: Option<u64>, alerts: Vec<AlertChange>) {
        let seq = self.entries.len() as u64 + 1;
        let entry = Entry {
            version: ENTRY_VERSION,
            seq,
            recorded_at: self.now,
            interface: self.interface,
            request_id: id(&format!("r-{seq}")),
            request,
            facts: Facts { incident_id: incident.map(IncidentId::from_ordinal), alerts, ..Facts::default() },
        };
        self.outbox.add(&entry);
        self.entries.push(entry);
    }

    fn alert(&mut self, incident: u64, event: AlertEvent, severity: Severity, quiet_until: Option<Timestamp>) {
        let status = match event {
            AlertEvent::Fired | AlertEvent::Repeated => AlertStatus::Open,
            AlertEvent::Acknowledged => AlertStatus::Acknowledged,
            AlertEvent::Suppressed => AlertStatus::Suppressed,
            AlertEvent::Cleared | AlertEvent::Resolved | AlertEvent::NotFired => AlertStatus::Resolved,
        };
        let change = AlertChange {
            trigger: Trigger::SecurityFinding,
            event,
            status: Some(status),
            severity: Some(severity),
            dedup_key: key(incident),
            reason: "a reason".into(),
            message: Some("look".into()),
            routes: self.policy.destinations(Trigger::SecurityFinding, severity),
            quiet_until,
        };
        let incident_id = IncidentId::from_ordinal(incident);
        let step = EvaluateEscalations { incident_id, actor: id("user:x"), at: None, request_id: None };
        self.add(step.into(), Some(incident), vec![change]);
    }

    fn fire(&mut self, incident: u64, severity: Severity) {
        self.alert(incident, AlertEvent::Fired, severity, None);
    }

    fn deliver(&mut self, steps: Vec<DeliveryStep>) {
        let request = RecordDeliveries {
            actor: id("system:deliver"),
            deliverer: id("d"),
            at: self.now,
            based_on: None,
            settled_to: self.outbox.settled_to(),
            steps,
        };
        self.add(Request::RecordDeliveries(Box::new(request)), None, Vec::new());
    }

    fn plan(&mut self) -> DeliveryPlan {
        self.outbox.plan(self.now, 1_000)
    }

    /// Rebuilds the outbox from the ledger, as a new sender does.
    fn restart(&mut self) {
        self.outbox = Outbox::new(Arc::clone(&self.policy), 0, Vec::new(), None);
        self.entries.iter().for_each(|entry| self.outbox.add(entry));
    }

    /// Returns the step for the outcome of an attempt. With `partly`, only the first addressed recipient accepts.
    fn outcome_step(&mut self, due: &DueNotification, outcome: DeliveryEvent) -> DeliveryStep {
        let addressed = addressed(due.only.as_ref());
        let waits_for = recipients(&addressed[1..]).filter(|_| outcome == DeliveryEvent::Partly);
        let (outcome, accepted) = match (outcome, &waits_for) {
            (DeliveryEvent::Partly, Some(_)) => (outcome, &addressed[..1]),
            (DeliveryEvent::Partly | DeliveryEvent::Delivered, _) => (DeliveryEvent::Delivered, &addressed[..]),
            _ => (outcome, &[][..]),
        };
        let Notification { channel, stream, source, notification_kind, .. } = &due.notification;
        for one in accepted {
            self.received
                .entry((channel.clone(), stream.clone(), one))
                .or_default()
                .push((*source, *notification_kind));
        }
        let until = Some(self.now.plus(TimeDelta::seconds(1)));
        DeliveryStep { until, waits_for, ..due.notification.step(outcome, due.attempt) }
    }

    /// Claims and sends everything that is due. Returns a line for each message and each dropped notification.
    fn send(&mut self, outcome: DeliveryEvent) -> Vec<String> {
        let plan = self.plan();
        let dues: Vec<DueNotification> = plan.send.iter().flat_map(OutboundMessage::notifications).cloned().collect();
        let claimed = Some(self.now.plus(TimeDelta::minutes(1)));
        let steps = plan.send.iter().enumerate().flat_map(|(number, sending)| {
            let bundle = matches!(sending, OutboundMessage::Summary(..)).then_some(number as u32);
            let claim = move |due: &DueNotification| due.notification.step(DeliveryEvent::Claimed, due.attempt);
            sending.notifications().iter().map(move |due| DeliveryStep { until: claimed, bundle, ..claim(due) })
        });
        let dropped = plan.dropped.iter().map(|one| one.notification.step(one.event, one.attempts));
        let steps: Vec<DeliveryStep> = steps.chain(dropped).collect();
        self.deliver(steps);
        for sending in &plan.send {
            assert!(
                sending.notifications().iter().all(|due| due.only.as_ref() == sending.recipients()),
                "{sending:#?}"
            );
        }
        let outcomes = dues.iter().map(|due| self.outcome_step(due, outcome)).collect();
        self.deliver(outcomes);
        let message = |sending: &OutboundMessage| match sending {
            OutboundMessage::Single(due) => format!(
                "{} {} {}",
                due.notification.channel, due.notification.notification_kind, due.notification.stream
            ),
            OutboundMessage::Summary(why, dues) => format!("{} {why:?} {}", dues[0].notification.channel, dues.len()),
        };
        let dropped = plan
            .dropped
            .iter()
            .map(|one| format!("{} {} {}", one.notification.channel, one.event, one.notification.stream));
        plan.send.iter().map(message).chain(dropped).collect()
    }
}

#[test]
fn every_channel_of_an_alert_gets_its_trigger_and_its_resolution() {
    let mut simulation = Simulation::with_deliveries();
    simulation.fire(1, Severity::High);
    let stream = key(1);
    assert_eq!(
        simulation.send(DeliveryEvent::Delivered),
        [format!("chat trigger {stream}"), format!("pager trigger {stream}")]
    );
    assert_eq!(simulation.send(DeliveryEvent::Delivered), [""; 0]);
    simulation.alert(1, AlertEvent::Repeated, Severity::High, None);
    assert_eq!(simulation.send(DeliveryEvent::Delivered), [""; 0]);
    simulation.alert(1, AlertEvent::Acknowledged, Severity::High, None);
    simulation.alert(1, AlertEvent::Cleared, Severity::High, None);
    let resolve = [format!("chat resolve {stream}"), format!("pager resolve {stream}")];
    assert_eq!(simulation.send(DeliveryEvent::Delivered), resolve, "a resolved alert needs no acknowledgement");
    assert_eq!(simulation.outbox.waiting(), 0);
    assert_eq!(simulation.outbox.settled_to(), simulation.outbox.last_seq());
}

#[test]
fn an_alert_that_fires_again_before_its_resolution_was_sent_is_resolved_in_the_end() {
    let mut simulation = Simulation::with_deliveries();
    simulation.fire(1, Severity::High);
    simulation.send(DeliveryEvent::Delivered);
    simulation.alert(1, AlertEvent::Resolved, Severity::High, None);
    simulation.fire(1, Severity::High);
    simulation.alert(1, AlertEvent::Cleared, Severity::High, None);
    let stream = key(1);
    assert_eq!(
        simulation.send(DeliveryEvent::Delivered),
        [format!("chat resolve {stream}"), format!("pager resolve {stream}")]
    );
    assert_eq!(simulation.outbox.waiting(), 0);
}

#[test]
fn an_alert_that_was_not_sent_needs_no_resolution() {
    let mut simulation = Simulation::with_deliveries();
    simulation.fire(1, Severity::High);
    simulation.fire(1, Severity::Critical);
    simulation.alert(1, AlertEvent::Resolved, Severity::Critical, None);
    assert_eq!(simulation.send(DeliveryEvent::Delivered), [""; 0]);
    assert_eq!(simulation.outbox.settled_to(), simulation.outbox.last_seq());
}

#[test]
fn an_unacknowledged_alert_is_sent_again() {
    let mut simulation = Simulation::with_deliveries();
    simulation.fire(1, Severity::Critical);
    simulation.fire(2, Severity::Critical);
    assert_eq!(simulation.send(DeliveryEvent::Delivered).len(), 4);
    simulation.pass(14);
    assert_eq!(simulation.send(DeliveryEvent::Delivered), [""; 0]);
    simulation.alert(2, AlertEvent::Acknowledged, Severity::Critical, None);
    assert_eq!(simulation.send(DeliveryEvent::Delivered).len(), 2);
    simulation.pass(1);
    let again = format!("{}/after-15m", key(1));
    assert_eq!(simulation.send(DeliveryEvent::Delivered), [format!("pager again {again}")]);
    simulation.alert(1, AlertEvent::Resolved, Severity::Critical, None);
    let mut resolved = vec![format!("chat resolve {}", key(1)), format!("pager resolve {}", key(1))];
    resolved.push(format!("pager resolve {again}"));
    assert_eq!(simulation.send(DeliveryEvent::Delivered), resolved);
}

#[test]
fn notifications_of_a_stream_are_sent_in_order_and_streams_are_independent() {
    let mut simulation = Simulation::with_deliveries();
    simulation.fire(1, Severity::Medium);
    assert_eq!(simulation.send(DeliveryEvent::Unknown), [format!("chat trigger {}", key(1))]);
    simulation.fire(2, Severity::Medium);
    simulation.alert(1, AlertEvent::Resolved, Severity::Medium, None);
    assert_eq!(simulation.send(DeliveryEvent::Delivered), [format!("chat trigger {}", key(2))]);
    simulation.pass(1);
    // It may not have been received, so it is sent again before the next one.
    assert_eq!(simulation.send(DeliveryEvent::Delivered), [format!("chat trigger {}", key(1))]);
    assert_eq!(simulation.send(DeliveryEvent::Delivered), [format!("chat resolve {}", key(1))]);
}

#[test]
fn a_failed_channel_is_reported_to_the_other_channels_once() {
    let mut simulation = Simulation::with_deliveries();
    simulation.fire(1, Severity::Medium);
    for _ in 0..32 {
        simulation.send(DeliveryEvent::Retry);
        simulation.pass(1);
    }
    let dead = simulation.entries.iter().filter_map(|entry| match &entry.request {
        Request::RecordDeliveries(request) => {
            Some(request.steps.iter().filter(|step| step.event == DeliveryEvent::Dead))
        }
        _ => None,
    });
    let channels: Vec<&str> = dead.flatten().map(|step| step.channel.as_str()).collect();
    assert_eq!(channels, ["chat"]);
    let mut simulation = Simulation::with_deliveries();
    simulation.fire(1, Severity::Medium);
    simulation.send(DeliveryEvent::Dead);
    let stream = format!("undelivered/chat/{}", key(1));
    assert_eq!(
        simulation.send(DeliveryEvent::Dead),
        [format!("hook undelivered {stream}"), format!("pager undelivered {stream}")]
    );
    assert_eq!(simulation.send(DeliveryEvent::Delivered), [""; 0], "failures of such reports are not reported");
}

#[test]
fn many_alerts_share_a_message_on_read_channels_and_old_alerts_on_all_channels() {
    let mut simulation = Simulation::with_deliveries();
    for incident in 1..=4 {
        simulation.fire(incident, Severity::High);
    }
    let sent = simulation.send(DeliveryEvent::Delivered);
    assert_eq!(sent[0], "chat Many 4");
    assert_eq!(sent.iter().filter(|one| one.starts_with("pager trigger")).count(), 4);
    simulation.fire(5, Severity::High);
    simulation.fire(6, Severity::High);
    simulation.pass(61);
    assert_eq!(simulation.send(DeliveryEvent::Delivered), ["chat Stale 2", "pager Stale 2"]);
}

#[test]
fn the_first_run_skips_old_alerts() {
    let mut simulation = Simulation::new();
    simulation.fire(1, Severity::High);
    simulation.pass(61);
    simulation.fire(2, Severity::Medium);
    let mut sent = simulation.send(DeliveryEvent::Delivered);
    sent.sort();
    let old = key(1);
    assert_eq!(
        sent,
        [format!("chat skipped {old}"), format!("chat trigger {}", key(2)), format!("pager skipped {old}")]
    );
    assert_eq!(simulation.outbox.settled_to(), simulation.outbox.last_seq());
    simulation.alert(1, AlertEvent::Resolved, Severity::High, None);
    assert_eq!(simulation.send(DeliveryEvent::Delivered), [""; 0]);
}

#[test]
fn a_removed_channel_is_reported_elsewhere_unless_the_alert_is_old() {
    let mut simulation = Simulation::new();
    simulation.fire(1, Severity::Medium);
    simulation.pass(61);
    simulation.fire(2, Severity::Medium);
    let without = CONFIG.replace("[channels.chat]", "[channels.talk]").replace("\"chat\"", "\"talk\"");
    simulation.policy = Arc::new(Policy::parse(&without).unwrap());
    simulation.outbox = Outbox::new(Arc::clone(&simulation.policy), 0, Vec::new(), None);
    let entries = simulation.entries.clone();
    entries.iter().for_each(|entry| simulation.outbox.add(entry));
    let mut dropped = simulation.send(DeliveryEvent::Delivered);
    dropped.sort();
    assert_eq!(dropped, [format!("chat dead {}", key(2)), format!("chat skipped {}", key(1))]);
    let reports = simulation.send(DeliveryEvent::Delivered);
    assert_eq!(reports.len(), 3, "all remaining channels: {reports:?}");
}

#[test]
fn alerts_in_a_maintenance_window_are_sent_at_its_end_if_still_open() {
    let mut simulation = Simulation::with_deliveries();
    simulation.now = "2026-03-01T10:30:00Z".parse().unwrap();
    simulation.fire(1, Severity::Low);
    simulation.fire(2, Severity::Low);
    simulation.fire(3, Severity::Medium);
    assert_eq!(simulation.send(DeliveryEvent::Delivered), [format!("chat trigger {}", key(3))]);
    simulation.alert(2, AlertEvent::Cleared, Severity::Low, None);
    simulation.now = "2026-03-01T11:59:59Z".parse().unwrap();
    let plan = simulation.plan();
    assert_eq!((plan.send.len(), plan.next), (0, Some("2026-03-01T12:00:00Z".parse().unwrap())));
    simulation.now = "2026-03-01T12:00:00Z".parse().unwrap();
    assert_eq!(
        simulation.send(DeliveryEvent::Delivered),
        [format!("chat trigger {}", key(1))],
        "held back by maintenance, it is not stale"
    );
}

#[test]
fn suppressed_alerts_are_evaluated_when_the_suppression_expires() {
    let mut simulation = Simulation::with_deliveries();
    let until = simulation.now.plus(TimeDelta::minutes(10));
    simulation.fire(1, Severity::High);
    simulation.send(DeliveryEvent::Delivered);
    simulation.alert(1, AlertEvent::Suppressed, Severity::High, Some(until));
    assert_eq!(simulation.send(DeliveryEvent::Delivered).len(), 2, "the pager stops ringing");
    assert!(simulation.outbox.expired_suppressions(simulation.now).is_empty());
    assert_eq!(simulation.plan().next, Some(until));
    simulation.pass(10);
    let expired = simulation.outbox.expired_suppressions(simulation.now);
    assert_eq!(expired.len(), 1);
    assert!(simulation.outbox.settled_to() < expired[0].1.seq);
    simulation.alert(1, AlertEvent::Fired, Severity::High, None);
    assert!(simulation.outbox.expired_suppressions(simulation.now).is_empty());
    assert_eq!(simulation.send(DeliveryEvent::Delivered).len(), 2);
}

#[test]
fn a_suppressed_recurring_alert_is_evaluated_by_cause() {
    let mut simulation = Simulation::with_deliveries();
    let until = simulation.now.plus(TimeDelta::minutes(10));
    let recurring = |event: AlertEvent, message: Option<&str>| AlertChange {
        trigger: Trigger::Recurring,
        event,
        status: Some(AlertStatus::Suppressed),
        severity: None,
        dedup_key: dedup_key(IncidentId::from_ordinal(1), Trigger::Recurring, "0123456789abcdef"),
        reason: "a reason".into(),
        message: message.map(str::to_owned),
        routes: Vec::new(),
        quiet_until: Some(until),
    };
    let evaluate = EvaluateEscalations {
        incident_id: IncidentId::from_ordinal(1),
        actor: id("user:x"),
        at: None,
        request_id: None,
    };
    simulation.add(evaluate.clone().into(), Some(1), vec![recurring(AlertEvent::Suppressed, None)]);
    simulation.pass(10);
    assert_eq!(simulation.outbox.expired_suppressions(simulation.now), [], "it never held");
    simulation.add(evaluate.clone().into(), Some(1), vec![recurring(AlertEvent::Suppressed, Some("look"))]);
    let suppressed_at = simulation.outbox.last_seq();
    simulation.interface = Interface::Deliver;
    simulation.add(evaluate.into(), Some(1), Vec::new());
    let expired = simulation.outbox.expired_suppressions(simulation.now);
    assert_eq!(expired.len(), 1, "an evaluation of the incident does not evaluate the recurring alert");
    assert_eq!((expired[0].1.trigger, expired[0].1.seq), (Trigger::Recurring, suppressed_at));
    assert!(simulation.outbox.settled_to() < suppressed_at);
    simulation.outbox.remove_suppression(&expired[0].0);
    assert_eq!(
        (simulation.outbox.expired_suppressions(simulation.now), simulation.outbox.settled_to()),
        (Vec::new(), simulation.outbox.last_seq())
    );
}

#[test]
fn later_notifications_carry_the_receipt_of_the_first() {
    let mut simulation = Simulation::with_deliveries();
    simulation.fire(1, Severity::Medium);
    let due = simulation.plan().send[0].notifications()[0].clone();
    assert_eq!((due.receipt.as_deref(), simulation.outbox.unsettled(simulation.now)), (None, 0));
    let until = Some(simulation.now.plus(TimeDelta::minutes(1)));
    simulation.deliver(vec![DeliveryStep { until, ..due.notification.step(DeliveryEvent::Claimed, 1) }]);
    assert_eq!(simulation.outbox.unsettled(simulation.now), 0, "it is claimed");
    simulation.pass(1);
    assert_eq!(simulation.outbox.unsettled(simulation.now), 1);
    let receipt = Some("1772323200.000100".to_owned());
    simulation
        .deliver(vec![DeliveryStep { receipt: receipt.clone(), ..due.notification.step(DeliveryEvent::Delivered, 1) }]);
    simulation.alert(1, AlertEvent::Resolved, Severity::Medium, None);
    assert_eq!(
        (simulation.plan().send[0].notifications()[0].receipt.clone(), simulation.outbox.unsettled(simulation.now)),
        (receipt, 0)
    );
}

#[test]
fn a_claimed_notification_is_due_again_when_the_claim_expires() {
    let mut simulation = Simulation::with_deliveries();
    simulation.fire(1, Severity::Medium);
    let plan = simulation.plan();
    let due = plan.send[0].notifications()[0].clone();
    let until = simulation.now.plus(TimeDelta::minutes(1));
    simulation.deliver(vec![DeliveryStep { until: Some(until), ..due.notification.step(DeliveryEvent::Claimed, 1) }]);
    let plan = simulation.plan();
    assert_eq!((plan.send.len(), plan.next), (0, Some(until)));
    simulation.pass(1);
    assert_eq!(simulation.plan().send[0].notifications()[0].attempt, 2);
}

#[test]
fn after_a_partial_delivery_only_the_other_recipients_are_retried() {
    let mut simulation = Simulation::with_deliveries();
    simulation.fire(1, Severity::Medium);
    assert_eq!(simulation.plan().send[0].recipients(), None);
    simulation.send(DeliveryEvent::Partly);
    assert_eq!(simulation.outbox.unsettled(simulation.now), 1);
    for (outcome, rest) in [
        (DeliveryEvent::Retry, &["b", "c"][..]),
        (DeliveryEvent::Unknown, &["b", "c"]),
        (DeliveryEvent::Partly, &["b", "c"]),
        (DeliveryEvent::Retry, &["c"]),
        (DeliveryEvent::Delivered, &["c"]),
    ] {
        simulation.pass(1);
        // A sender is killed while it sends, and another one takes over.
        let due = simulation.plan().send[0].notifications()[0].clone();
        let until = Some(simulation.now.plus(TimeDelta::minutes(1)));
        simulation.deliver(vec![DeliveryStep { until, ..due.notification.step(DeliveryEvent::Claimed, due.attempt) }]);
        simulation.pass(1);
        simulation.restart();
        assert_eq!(simulation.plan().send[0].recipients(), recipients(rest).as_ref());
        assert_eq!(simulation.send(outcome), [format!("chat trigger {}", key(1))]);
    }
    assert_eq!(simulation.outbox.waiting(), 0);
    assert!(simulation.received.values().all(|received| received.len() == 1), "{:?}", simulation.received);
    // All recipients get the next notification.
    simulation.alert(1, AlertEvent::Resolved, Severity::Medium, None);
    assert_eq!(simulation.plan().send[0].recipients(), None);
}

#[test]
fn a_newer_notification_replaces_the_retries_and_goes_to_all_recipients() {
    let mut simulation = Simulation::with_deliveries();
    simulation.fire(1, Severity::Medium);
    simulation.send(DeliveryEvent::Partly);
    simulation.pass(1);
    let due = simulation.plan().send[0].notifications()[0].clone();
    let until = simulation.now.plus(TimeDelta::minutes(1));
    simulation.deliver(vec![DeliveryStep {
        until: Some(until),
        ..due.notification.step(DeliveryEvent::Claimed, due.attempt)
    }]);
    simulation.alert(1, AlertEvent::Acknowledged, Severity::Medium, None);
    assert_eq!(
        (simulation.plan().send.len(), simulation.plan().next),
        (0, Some(until)),
        "it waits for the claimed notification"
    );
    let outcome = simulation.outcome_step(&due, DeliveryEvent::Retry);
    simulation.deliver(vec![outcome]);
    let dropped = &simulation.plan().dropped[0];
    assert_eq!(
        (dropped.event, dropped.reason.as_str()),
        (DeliveryEvent::Skipped, "b, c did not get it yet; all recipients get the newer notification instead")
    );
    assert_eq!(simulation.send(DeliveryEvent::Delivered), [format!("chat skipped {}", key(1))]);
    assert_eq!(simulation.send(DeliveryEvent::Delivered), [format!("chat acknowledge {}", key(1))]);
    let counts: Vec<usize> = simulation.received.values().map(Vec::len).collect();
    assert_eq!(counts, [2, 1, 1], "{:?}", simulation.received);
}

#[test]
fn recipients_without_delivery_are_reported_by_name() {
    let mut simulation = Simulation::with_deliveries();
    simulation.fire(1, Severity::Medium);
    let since = simulation.now;
    simulation.send(DeliveryEvent::Partly);
    simulation.pass(29);
    simulation.send(DeliveryEvent::Retry);
    simulation.pass(1);
    let dropped = &simulation.plan().dropped[0];
    let reason = format!("not delivered to b, c since {since}, in 2 attempts; the other recipients have it");
    assert_eq!((dropped.event, &dropped.reason), (DeliveryEvent::Dead, &reason));
    simulation.send(DeliveryEvent::Delivered);
    let reports: Vec<Notification> = simulation
        .plan()
        .send
        .iter()
        .flat_map(OutboundMessage::notifications)
        .map(|due| due.notification.clone())
        .collect();
    let failed = |report: &Notification| match &report.content {
        NotificationContent::Undelivered(undelivered) => undelivered.recipients.clone(),
        _ => None,
    };
    assert_eq!(reports.iter().map(|report| report.channel.as_str()).collect::<Vec<_>>(), ["hook", "pager"]);
    assert!(reports.iter().all(|report| failed(report) == recipients(&["b", "c"])), "{reports:#?}");
}

#[test]
fn all_notifications_of_a_message_have_the_same_recipients() {
    let mut simulation = Simulation::with_deliveries();
    for incident in 1..=4 {
        simulation.fire(incident, Severity::Medium);
    }
    assert_eq!(simulation.send(DeliveryEvent::Partly), ["chat Many 4"]);
    simulation.pass(1);
    for incident in 5..=9 {
        simulation.fire(incident, Severity::Low);
    }
    let plan = simulation.plan();
    let sent: Vec<(usize, Vec<&str>)> =
        plan.send.iter().map(|sending| (sending.notifications().len(), addressed(sending.recipients()))).collect();
    assert_eq!(sent, [(4, vec!["b", "c"]), (5, RECIPIENTS.to_vec())], "the most severe first");
}

#[test]
fn an_outbox_does_not_start_where_a_replaced_resolution_hides_an_open_stream() {
    let mut simulation = Simulation::with_deliveries();
    simulation.fire(3, Severity::Low);
    let snoozed = Some(simulation.now.plus(TimeDelta::minutes(30)));
    simulation.send(DeliveryEvent::Retry);
    simulation.alert(3, AlertEvent::Resolved, Severity::Low, None);
    let resolved = simulation.outbox.last_seq();
    // Its suppression stays, and so does the row up to which all notifications are final.
    simulation.alert(1, AlertEvent::Suppressed, Severity::Low, snoozed);
    simulation.fire(3, Severity::Low);
    simulation.alert(3, AlertEvent::Acknowledged, Severity::Low, None);
    simulation.pass(20);
    for kind in ["trigger", "acknowledge"] {
        assert_eq!(simulation.send(DeliveryEvent::Delivered), [format!("chat {kind} {}", key(3))]);
    }
    assert_eq!(simulation.outbox.settled_to(), resolved - 1);
}

#[derive(Debug, Clone)]
enum SimulatedEvent {
    Alert(u64, AlertEvent, Severity),
    Send(DeliveryEvent),
    /// A sender claims everything that is due and crashes.
    Crash,
    /// Minutes pass.
    Pass(i64),
}

fn any_event() -> impl Strategy<Value = SimulatedEvent> {
    let severity = prop::sample::select(Severity::ALL);
    let event = prop::sample::select(AlertEvent::ALL);
    let outcomes = [
        DeliveryEvent::Delivered,
        DeliveryEvent::Partly,
        DeliveryEvent::Retry,
        DeliveryEvent::Unknown,
        DeliveryEvent::Dead,
    ];
    prop_oneof![
        4 => (1_u64..6, event, severity).prop_map(|(incident, event, severity)| SimulatedEvent::Alert(incident, event, severity)),
        3 => prop::sample::select(outcomes.to_vec()).prop_map(SimulatedEvent::Send),
        1 => Just(SimulatedEvent::Crash),
        2 => prop::sample::select(vec![1_i64, 5, 20, 70]).prop_map(SimulatedEvent::Pass),
    ]
}

/// Kinds of the delivered notifications of each stream, in order.
fn sent(simulation: &Simulation) -> BTreeMap<(Id, String), Vec<NotificationKind>> {
    let mut streams: BTreeMap<(Id, String), Vec<NotificationKind>> = BTreeMap::new();
    for entry in &simulation.entries {
        let Request::RecordDeliveries(request) = &entry.request else { continue };
        for step in request.steps.iter().filter(|step| step.event == DeliveryEvent::Delivered) {
            streams.entry((step.channel.clone(), step.stream.clone())).or_default().push(step.notification_kind);
        }
    }
    streams
}

proptest! {
    #[test]
    fn streams_keep_their_order_and_end_for_all_event_sequences(steps in prop::collection::vec(any_event(), 1..60)) {
        let mut simulation = Simulation::with_deliveries();
        for step in steps {
            match step {
                SimulatedEvent::Alert(incident, event, severity) => {
                    let quiet_until = (event == AlertEvent::Suppressed).then(|| simulation.now.plus(TimeDelta::minutes(30)));
                    simulation.alert(incident, event, severity, quiet_until);
                }
                SimulatedEvent::Send(outcome) => drop(simulation.send(outcome)),
                SimulatedEvent::Crash => {
                    let until = Some(simulation.now.plus(TimeDelta::minutes(1)));
                    let plan = simulation.plan();
                    let dues = plan.send.iter().flat_map(OutboundMessage::notifications);
                    let claim = |due: &DueNotification| due.notification.step(DeliveryEvent::Claimed, due.attempt);
                    let steps = dues.map(|due| DeliveryStep { until, ..claim(due) }).collect();
                    simulation.deliver(steps);
                }
                SimulatedEvent::Pass(minutes) => simulation.pass(minutes),
            }
            prop_assert!(simulation.outbox.settled_to() <= simulation.outbox.last_seq());

            // An outbox that starts at the settled row has the same state.
            let settled = simulation.outbox.settled_to();
            let open = simulation.open_streams(settled);
            let mut restarted = Outbox::new(Arc::clone(&simulation.policy), settled, open, Some(simulation.now));
            simulation.entries.iter().filter(|entry| entry.seq > settled).for_each(|entry| restarted.add(entry));
            let waiting = |outbox: &Outbox| -> Vec<(Notification, u32, Timestamp, Option<Recipients>)> {
                let all = outbox.streams.values().flat_map(|stream| stream.queue.clone());
                all.map(|queued| (queued.notification, queued.attempts, queued.not_before, queued.only)).collect()
            };
            prop_assert_eq!(waiting(&restarted), waiting(&simulation.outbox));
        }
        // In the end everything is delivered.
        for _ in 0..200 {
            simulation.pass(1);
            simulation.send(DeliveryEvent::Delivered);
        }
        prop_assert_eq!(simulation.outbox.waiting(), 0);
        for ((channel, stream), kinds) in sent(&simulation) {
            if kinds.first() == Some(&NotificationKind::Undelivered) {
                continue;
            }
            let late = [NotificationKind::Acknowledge, NotificationKind::Resolve];
            prop_assert!(!late.contains(&kinds[0]) || simulation.was_claimed(&channel, &stream), "{channel} {stream} {kinds:?}");
        }
        // No recipient got a notification twice or out of order, and all recipients have each delivered notification.
        for (recipient, received) in &simulation.received {
            let sources: Vec<EventRef> = received.iter().map(|(source, _)| *source).collect();
            prop_assert!(sources.is_sorted_by(|a, b| a < b), "{recipient:?}: {received:?}");
        }
        for (channel, stream, source, kind) in simulation.delivered() {
            for one in RECIPIENTS {
                let received = simulation.received.get(&(channel.clone(), stream.clone(), one));
                let has_it = received.is_some_and(|received| received.contains(&(source, kind)));
                prop_assert!(has_it, "{one}: {channel} {stream} {source}");
            }
        }
        // Where a resolved alert was sent, its last notification is not the trigger.
        for incident in 1..6 {
            let last = simulation.entries.iter().rev().flat_map(|entry| &entry.facts.alerts)
                .find(|change| change.dedup_key == key(incident) && !matches!(change.event, AlertEvent::NotFired | AlertEvent::Repeated));
            if last.is_some_and(|change| matches!(change.event, AlertEvent::Cleared | AlertEvent::Resolved)) {
                let stream = (id("pager"), key(incident));
                if let Some(kinds) = sent(&simulation).get(&stream).filter(|_| !simulation.was_abandoned(&stream.0, &stream.1)) {
                    prop_assert_ne!(kinds.last(), Some(&NotificationKind::Trigger));
                }
            }
        }
    }
}

impl Simulation {
    /// Returns the streams of the alerts that were unresolved at row `settled`, as the query over the tables does.
    fn open_streams(&self, settled: u64) -> Vec<NotifiedStream> {
        let last = |dedup_key: &str, resolved: bool| {
            let changes = self.entries.iter().filter(|entry| entry.seq <= settled).rev();
            let mut changes =
                changes.flat_map(|entry| entry.facts.alerts.iter().map(move |change| (entry.seq, change)));
            let counts = |change: &AlertChange| {
                let is_resolved = change.status == Some(AlertStatus::Resolved);
                change.dedup_key == dedup_key && change.event != AlertEvent::NotFired && (!resolved || is_resolved)
            };
            changes.find(|(_, change)| counts(change)).map_or(0, |(seq, _)| seq)
        };
        let mut streams: BTreeMap<(Id, String), (ChannelKind, u64, u64)> = BTreeMap::new();
        for entry in &self.entries {
            let Request::RecordDeliveries(request) = &entry.request else { continue };
            let claims = request.steps.iter().filter(|step| step.event == DeliveryEvent::Claimed);
            for step in claims.filter(|step| step.source.seq <= settled) {
                let stream = streams.entry((step.channel.clone(), step.stream.clone())).or_insert((step.kind, 0, 0));
                match step.notification_kind {
                    NotificationKind::Trigger | NotificationKind::Again => stream.1 = stream.1.max(step.source.seq),
                    NotificationKind::Resolve => stream.2 = stream.2.max(step.source.seq),
                    _ => {}
                }
            }
        }
        let open = streams.into_iter().filter(|(_, (_, triggered, resolved))| triggered > resolved);
        let open = open.map(|((channel, stream), (kind, ..))| {
            let dedup_key = super::super::alert_key(&stream).to_owned();
            NotifiedStream { channel, kind, stream, dedup_key, receipt: None }
        });
        open.filter(|stream| last(&stream.dedup_key, false) > last(&stream.dedup_key, true)).collect()
    }

    fn delivered(&self) -> Vec<(Id, String, EventRef, NotificationKind)> {
        let mut delivered = Vec::new();
        for entry in &self.entries {
            let Request::RecordDeliveries(request) = &entry.request else { continue };
            let steps = request.steps.iter().filter(|step| step.event == DeliveryEvent::Delivered);
            delivered.extend(
                steps.map(|step| (step.channel.clone(), step.stream.clone(), step.source, step.notification_kind)),
            );
        }
        delivered
    }

    fn has(&self, channel: &Id, stream: &str, wanted: impl Fn(&DeliveryStep) -> bool) -> bool {
        self.entries.iter().any(|entry| match &entry.request {
            Request::RecordDeliveries(request) => {
                request.steps.iter().any(|step| step.channel == *channel && step.stream == stream && wanted(step))
            }
            _ => false,
        })
    }

    fn was_claimed(&self, channel: &Id, stream: &str) -> bool {
        let alert = |kind: NotificationKind| matches!(kind, NotificationKind::Trigger | NotificationKind::Again);
        self.has(channel, stream, |step| step.event == DeliveryEvent::Claimed && alert(step.notification_kind))
    }

    fn was_abandoned(&self, channel: &Id, stream: &str) -> bool {
        self.has(channel, stream, |step| step.event == DeliveryEvent::Dead)
    }
}
