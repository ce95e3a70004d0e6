use proptest::prelude::*;

use super::*;
use crate::domain::{
    entry::{ENTRY_VERSION, Facts},
    escalation::dedup_key,
    steps::EvaluateEscalations,
    words::AlertStatus,
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

/// A ledger in memory, and the outbox that follows it.
struct World {
    policy: Arc<Policy>,
    entries: Vec<Entry>,
    outbox: Outbox,
    now: Timestamp,
    interface: Interface,
    /// What each recipient got, in its order.
    got: BTreeMap<(Id, String, &'static str), Vec<Got>>,
}

/// The event that was told of, and as what.
type Got = (EventRef, NoticeKind);

/// Those that every channel leads to.
const EVERYBODY: [&str; 3] = ["a", "b", "c"];

fn recipients(all: &[&str]) -> Option<Recipients> {
    Recipients::new(all.iter().map(|&one| one.to_owned()).collect())
}

fn asked(only: Option<&Recipients>) -> Vec<&'static str> {
    EVERYBODY.into_iter().filter(|one| only.is_none_or(|only| only.contains(one))).collect()
}

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn key(incident: u64) -> String {
    dedup_key(IncidentId::from_ordinal(incident), Trigger::SecurityFinding, "0123456789abcdef")
}

impl World {
    fn new() -> Self {
        let policy = Arc::new(Policy::parse(CONFIG).unwrap());
        let now = "2026-03-01T00:00:00Z".parse().unwrap();
        let outbox = Outbox::new(Arc::clone(&policy), 0, Vec::new(), None);
        Self { outbox, policy, entries: Vec::new(), now, interface: Interface::Cli, got: BTreeMap::new() }
    }

    /// One in which something was told before.
    fn begun() -> Self {
        let mut world = Self::new();
        world.deliver(Vec::new());
        world
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

    fn plan(&mut self) -> Plan {
        self.outbox.plan(self.now, 1_000)
    }

    /// Whoever takes over knows what the ledger's rows say, and nothing else.
    fn restart(&mut self) {
        self.outbox = Outbox::new(Arc::clone(&self.policy), 0, Vec::new(), None);
        self.entries.iter().for_each(|entry| self.outbox.add(entry));
    }

    /// What came of an attempt. Partly: the first of those that are asked has it, and the others wait.
    fn came_of(&mut self, due: &Due, outcome: DeliveryEvent) -> DeliveryStep {
        let asked = asked(due.only.as_ref());
        let waits_for = recipients(&asked[1..]).filter(|_| outcome == DeliveryEvent::Partly);
        let (outcome, told) = match (outcome, &waits_for) {
            (DeliveryEvent::Partly, Some(_)) => (outcome, &asked[..1]),
            (DeliveryEvent::Partly | DeliveryEvent::Delivered, _) => (DeliveryEvent::Delivered, &asked[..]),
            _ => (outcome, &[][..]),
        };
        let Notice { channel, lane, source, says, .. } = &due.notice;
        for one in told {
            self.got.entry((channel.clone(), lane.clone(), one)).or_default().push((*source, *says));
        }
        let until = Some(self.now.plus(TimeDelta::seconds(1)));
        DeliveryStep { until, waits_for, ..due.notice.step(outcome, due.attempt) }
    }

    /// Claims and sends everything that is due; says what it was.
    fn send(&mut self, outcome: DeliveryEvent) -> Vec<String> {
        let plan = self.plan();
        let dues: Vec<Due> = plan.send.iter().flat_map(Sending::dues).cloned().collect();
        let claimed = Some(self.now.plus(TimeDelta::minutes(1)));
        let steps = plan.send.iter().enumerate().flat_map(|(number, sending)| {
            let bundle = matches!(sending, Sending::Several(..)).then_some(number as u32);
            let claim = move |due: &Due| due.notice.step(DeliveryEvent::Claimed, due.attempt);
            sending.dues().iter().map(move |due| DeliveryStep { until: claimed, bundle, ..claim(due) })
        });
        let left = plan.leave.iter().map(|left| left.notice.step(left.event, left.attempts));
        let steps: Vec<DeliveryStep> = steps.chain(left).collect();
        self.deliver(steps);
        for sending in &plan.send {
            assert!(sending.dues().iter().all(|due| due.only.as_ref() == sending.only()), "{sending:#?}");
        }
        let came = dues.iter().map(|due| self.came_of(due, outcome)).collect();
        self.deliver(came);
        let said = |sending: &Sending| match sending {
            Sending::One(due) => format!("{} {} {}", due.notice.channel, due.notice.says, due.notice.lane),
            Sending::Several(why, dues) => format!("{} {why:?} {}", dues[0].notice.channel, dues.len()),
        };
        let left = plan.leave.iter().map(|left| format!("{} {} {}", left.notice.channel, left.event, left.notice.lane));
        plan.send.iter().map(said).chain(left).collect()
    }
}

#[test]
fn an_alert_is_told_acknowledged_and_over_on_every_channel_it_was_told_on() {
    let mut world = World::begun();
    world.fire(1, Severity::High);
    let lane = key(1);
    assert_eq!(world.send(DeliveryEvent::Delivered), [format!("chat trigger {lane}"), format!("pager trigger {lane}")]);
    assert_eq!(world.send(DeliveryEvent::Delivered), [""; 0]);
    world.alert(1, AlertEvent::Repeated, Severity::High, None);
    assert_eq!(world.send(DeliveryEvent::Delivered), [""; 0]);
    world.alert(1, AlertEvent::Acknowledged, Severity::High, None);
    world.alert(1, AlertEvent::Cleared, Severity::High, None);
    // One after the other: the second waits until it is known what came of the first.
    let acknowledge = [format!("chat resolve {lane}"), format!("pager resolve {lane}")];
    assert_eq!(world.send(DeliveryEvent::Delivered), acknowledge, "what is over need not be called acknowledged");
    assert_eq!(world.outbox.waiting(), 0);
    assert_eq!(world.outbox.settled_to(), world.outbox.seen());
}

#[test]
fn an_alert_that_comes_back_before_it_was_told_to_be_over_is_over_in_the_end() {
    let mut world = World::begun();
    world.fire(1, Severity::High);
    world.send(DeliveryEvent::Delivered);
    world.alert(1, AlertEvent::Resolved, Severity::High, None);
    world.fire(1, Severity::High);
    world.alert(1, AlertEvent::Cleared, Severity::High, None);
    let lane = key(1);
    assert_eq!(world.send(DeliveryEvent::Delivered), [format!("chat resolve {lane}"), format!("pager resolve {lane}")]);
    assert_eq!(world.outbox.waiting(), 0);
}

#[test]
fn what_nobody_was_told_of_is_over_without_a_word() {
    let mut world = World::begun();
    world.fire(1, Severity::High);
    world.fire(1, Severity::Critical);
    world.alert(1, AlertEvent::Resolved, Severity::Critical, None);
    assert_eq!(world.send(DeliveryEvent::Delivered), [""; 0]);
    assert_eq!(world.outbox.settled_to(), world.outbox.seen());
}

#[test]
fn an_alert_that_nobody_acknowledges_is_told_again() {
    let mut world = World::begun();
    world.fire(1, Severity::Critical);
    world.fire(2, Severity::Critical);
    assert_eq!(world.send(DeliveryEvent::Delivered).len(), 4);
    world.pass(14);
    assert_eq!(world.send(DeliveryEvent::Delivered), [""; 0]);
    world.alert(2, AlertEvent::Acknowledged, Severity::Critical, None);
    assert_eq!(world.send(DeliveryEvent::Delivered).len(), 2);
    world.pass(1);
    let again = format!("{}/after-15m", key(1));
    assert_eq!(world.send(DeliveryEvent::Delivered), [format!("pager again {again}")]);
    world.alert(1, AlertEvent::Resolved, Severity::Critical, None);
    let mut over = vec![format!("chat resolve {}", key(1)), format!("pager resolve {}", key(1))];
    over.push(format!("pager resolve {again}"));
    assert_eq!(world.send(DeliveryEvent::Delivered), over);
}

#[test]
fn a_lane_waits_for_its_first_and_lanes_do_not_wait_for_each_other() {
    let mut world = World::begun();
    world.fire(1, Severity::Medium);
    assert_eq!(world.send(DeliveryEvent::Unknown), [format!("chat trigger {}", key(1))]);
    world.fire(2, Severity::Medium);
    world.alert(1, AlertEvent::Resolved, Severity::Medium, None);
    assert_eq!(world.send(DeliveryEvent::Delivered), [format!("chat trigger {}", key(2))]);
    world.pass(1);
    // Nobody knows whether it was received, so it is told before what follows it.
    assert_eq!(world.send(DeliveryEvent::Delivered), [format!("chat trigger {}", key(1))]);
    assert_eq!(world.send(DeliveryEvent::Delivered), [format!("chat resolve {}", key(1))]);
}

#[test]
fn a_channel_that_cannot_be_told_is_told_of_elsewhere_once() {
    let mut world = World::begun();
    world.fire(1, Severity::Medium);
    for _ in 0..32 {
        world.send(DeliveryEvent::Retry);
        world.pass(1);
    }
    let dead = world.entries.iter().filter_map(|entry| match &entry.request {
        Request::RecordDeliveries(request) => {
            Some(request.steps.iter().filter(|step| step.event == DeliveryEvent::Dead))
        }
        _ => None,
    });
    let channels: Vec<&str> = dead.flatten().map(|step| step.channel.as_str()).collect();
    assert_eq!(channels, ["chat"]);
    let mut world = World::begun();
    world.fire(1, Severity::Medium);
    world.send(DeliveryEvent::Dead);
    let lane = format!("undelivered/chat/{}", key(1));
    assert_eq!(
        world.send(DeliveryEvent::Dead),
        [format!("hook undelivered {lane}"), format!("pager undelivered {lane}")]
    );
    assert_eq!(world.send(DeliveryEvent::Delivered), [""; 0], "of those that failed too nobody is told");
}

#[test]
fn many_at_once_are_one_message_where_people_read_and_old_ones_everywhere() {
    let mut world = World::begun();
    for incident in 1..=4 {
        world.fire(incident, Severity::High);
    }
    let sent = world.send(DeliveryEvent::Delivered);
    assert_eq!(sent[0], "chat Many 4");
    assert_eq!(sent.iter().filter(|one| one.starts_with("pager trigger")).count(), 4);
    world.fire(5, Severity::High);
    world.fire(6, Severity::High);
    world.pass(61);
    assert_eq!(world.send(DeliveryEvent::Delivered), ["chat Stale 2", "pager Stale 2"]);
}

#[test]
fn a_first_run_says_nothing_of_old_alerts() {
    let mut world = World::new();
    world.fire(1, Severity::High);
    world.pass(61);
    world.fire(2, Severity::Medium);
    let mut sent = world.send(DeliveryEvent::Delivered);
    sent.sort();
    let old = key(1);
    assert_eq!(
        sent,
        [format!("chat skipped {old}"), format!("chat trigger {}", key(2)), format!("pager skipped {old}")]
    );
    assert_eq!(world.outbox.settled_to(), world.outbox.seen());
    world.alert(1, AlertEvent::Resolved, Severity::High, None);
    assert_eq!(world.send(DeliveryEvent::Delivered), [""; 0]);
}

#[test]
fn a_channel_that_is_gone_is_told_of_elsewhere_unless_it_is_an_old_story() {
    let mut world = World::new();
    world.fire(1, Severity::Medium);
    world.pass(61);
    world.fire(2, Severity::Medium);
    let without = CONFIG.replace("[channels.chat]", "[channels.talk]").replace("\"chat\"", "\"talk\"");
    world.policy = Arc::new(Policy::parse(&without).unwrap());
    world.outbox = Outbox::new(Arc::clone(&world.policy), 0, Vec::new(), None);
    let entries = world.entries.clone();
    entries.iter().for_each(|entry| world.outbox.add(entry));
    let mut left = world.send(DeliveryEvent::Delivered);
    left.sort();
    assert_eq!(left, [format!("chat dead {}", key(2)), format!("chat skipped {}", key(1))]);
    let told = world.send(DeliveryEvent::Delivered);
    assert_eq!(told.len(), 3, "all that are left: {told:?}");
}

#[test]
fn maintenance_holds_what_it_is_for_and_then_it_is_told_if_it_still_stands() {
    let mut world = World::begun();
    world.now = "2026-03-01T10:30:00Z".parse().unwrap();
    world.fire(1, Severity::Low);
    world.fire(2, Severity::Low);
    world.fire(3, Severity::Medium);
    assert_eq!(world.send(DeliveryEvent::Delivered), [format!("chat trigger {}", key(3))]);
    world.alert(2, AlertEvent::Cleared, Severity::Low, None);
    world.now = "2026-03-01T11:59:59Z".parse().unwrap();
    let plan = world.plan();
    assert_eq!((plan.send.len(), plan.next), (0, Some("2026-03-01T12:00:00Z".parse().unwrap())));
    world.now = "2026-03-01T12:00:00Z".parse().unwrap();
    assert_eq!(world.send(DeliveryEvent::Delivered), [format!("chat trigger {}", key(1))], "not stale: it was held");
}

#[test]
fn quiet_alerts_are_evaluated_when_their_time_is_over() {
    let mut world = World::begun();
    let until = world.now.plus(TimeDelta::minutes(10));
    world.fire(1, Severity::High);
    world.send(DeliveryEvent::Delivered);
    world.alert(1, AlertEvent::Suppressed, Severity::High, Some(until));
    assert_eq!(world.send(DeliveryEvent::Delivered).len(), 2, "the pager stops ringing");
    assert!(world.outbox.quiet_over(world.now).is_empty());
    assert_eq!(world.plan().next, Some(until));
    world.pass(10);
    let over = world.outbox.quiet_over(world.now);
    assert_eq!(over.len(), 1);
    assert!(world.outbox.settled_to() < over[0].1.seq);
    world.alert(1, AlertEvent::Fired, Severity::High, None);
    assert!(world.outbox.quiet_over(world.now).is_empty());
    assert_eq!(world.send(DeliveryEvent::Delivered).len(), 2);
}

#[test]
fn a_recurring_issue_that_was_quiet_is_looked_at_by_its_cause() {
    let mut world = World::begun();
    let until = world.now.plus(TimeDelta::minutes(10));
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
    world.add(evaluate.clone().into(), Some(1), vec![recurring(AlertEvent::Suppressed, None)]);
    world.pass(10);
    assert_eq!(world.outbox.quiet_over(world.now), [], "it never held");
    world.add(evaluate.clone().into(), Some(1), vec![recurring(AlertEvent::Suppressed, Some("look"))]);
    let silenced = world.outbox.seen();
    world.interface = Interface::Deliver;
    world.add(evaluate.into(), Some(1), Vec::new());
    let over = world.outbox.quiet_over(world.now);
    assert_eq!(over.len(), 1, "no evaluation of its incident says anything about it");
    assert_eq!((over[0].1.trigger, over[0].1.seq), (Trigger::Recurring, silenced));
    assert!(world.outbox.settled_to() < silenced);
    world.outbox.evaluated(&over[0].0);
    assert_eq!((world.outbox.quiet_over(world.now), world.outbox.settled_to()), (Vec::new(), world.outbox.seen()));
}

#[test]
fn what_follows_a_message_knows_what_the_receiver_called_it() {
    let mut world = World::begun();
    world.fire(1, Severity::Medium);
    let due = world.plan().send[0].dues()[0].clone();
    assert_eq!((due.receipt.as_deref(), world.outbox.unsettled(world.now)), (None, 0));
    let until = Some(world.now.plus(TimeDelta::minutes(1)));
    world.deliver(vec![DeliveryStep { until, ..due.notice.step(DeliveryEvent::Claimed, 1) }]);
    assert_eq!(world.outbox.unsettled(world.now), 0, "somebody is sending it");
    world.pass(1);
    assert_eq!(world.outbox.unsettled(world.now), 1);
    let receipt = Some("1772323200.000100".to_owned());
    world.deliver(vec![DeliveryStep { receipt: receipt.clone(), ..due.notice.step(DeliveryEvent::Delivered, 1) }]);
    world.alert(1, AlertEvent::Resolved, Severity::Medium, None);
    assert_eq!((world.plan().send[0].dues()[0].receipt.clone(), world.outbox.unsettled(world.now)), (receipt, 0));
}

#[test]
fn a_claim_keeps_others_away_until_its_time_is_over() {
    let mut world = World::begun();
    world.fire(1, Severity::Medium);
    let plan = world.plan();
    let due = plan.send[0].dues()[0].clone();
    let until = world.now.plus(TimeDelta::minutes(1));
    world.deliver(vec![DeliveryStep { until: Some(until), ..due.notice.step(DeliveryEvent::Claimed, 1) }]);
    let plan = world.plan();
    assert_eq!((plan.send.len(), plan.next), (0, Some(until)));
    world.pass(1);
    assert_eq!(world.plan().send[0].dues()[0].attempt, 2);
}

#[test]
fn what_some_have_is_sent_to_the_others_only() {
    let mut world = World::begun();
    world.fire(1, Severity::Medium);
    assert_eq!(world.plan().send[0].only(), None);
    world.send(DeliveryEvent::Partly);
    assert_eq!(world.outbox.unsettled(world.now), 1);
    for (outcome, rest) in [
        (DeliveryEvent::Retry, &["b", "c"][..]),
        (DeliveryEvent::Unknown, &["b", "c"]),
        (DeliveryEvent::Partly, &["b", "c"]),
        (DeliveryEvent::Retry, &["c"]),
        (DeliveryEvent::Delivered, &["c"]),
    ] {
        world.pass(1);
        // One that was killed while it sent, and another one.
        let due = world.plan().send[0].dues()[0].clone();
        let until = Some(world.now.plus(TimeDelta::minutes(1)));
        world.deliver(vec![DeliveryStep { until, ..due.notice.step(DeliveryEvent::Claimed, due.attempt) }]);
        world.pass(1);
        world.restart();
        assert_eq!(world.plan().send[0].only(), recipients(rest).as_ref());
        assert_eq!(world.send(outcome), [format!("chat trigger {}", key(1))]);
    }
    assert_eq!(world.outbox.waiting(), 0);
    assert!(world.got.values().all(|got| got.len() == 1), "{:?}", world.got);
    // All of them are told what comes after it.
    world.alert(1, AlertEvent::Resolved, Severity::Medium, None);
    assert_eq!(world.plan().send[0].only(), None);
}

#[test]
fn what_comes_after_is_told_to_all_at_once() {
    let mut world = World::begun();
    world.fire(1, Severity::Medium);
    world.send(DeliveryEvent::Partly);
    world.pass(1);
    let due = world.plan().send[0].dues()[0].clone();
    let until = world.now.plus(TimeDelta::minutes(1));
    world.deliver(vec![DeliveryStep { until: Some(until), ..due.notice.step(DeliveryEvent::Claimed, due.attempt) }]);
    world.alert(1, AlertEvent::Acknowledged, Severity::Medium, None);
    assert_eq!(
        (world.plan().send.len(), world.plan().next),
        (0, Some(until)),
        "it is not told before what is sent now"
    );
    let came = world.came_of(&due, DeliveryEvent::Retry);
    world.deliver(vec![came]);
    let left = &world.plan().leave[0];
    assert_eq!(
        (left.event, left.reason.as_str()),
        (DeliveryEvent::Skipped, "b, c did not get it yet; everybody is told what came after it")
    );
    assert_eq!(world.send(DeliveryEvent::Delivered), [format!("chat skipped {}", key(1))]);
    assert_eq!(world.send(DeliveryEvent::Delivered), [format!("chat acknowledge {}", key(1))]);
    let got: Vec<usize> = world.got.values().map(Vec::len).collect();
    assert_eq!(got, [2, 1, 1], "{:?}", world.got);
}

#[test]
fn who_could_not_be_told_is_told_of_elsewhere_by_name() {
    let mut world = World::begun();
    world.fire(1, Severity::Medium);
    let since = world.now;
    world.send(DeliveryEvent::Partly);
    world.pass(29);
    world.send(DeliveryEvent::Retry);
    world.pass(1);
    let left = &world.plan().leave[0];
    let reason = format!("not delivered to b, c since {since}, in 2 attempts; others have it");
    assert_eq!((left.event, &left.reason), (DeliveryEvent::Dead, &reason));
    world.send(DeliveryEvent::Delivered);
    let told: Vec<Notice> = world.plan().send.iter().flat_map(Sending::dues).map(|due| due.notice.clone()).collect();
    let of = |notice: &Notice| match &notice.content {
        Content::Undelivered(undelivered) => undelivered.recipients.clone(),
        _ => None,
    };
    assert_eq!(told.iter().map(|notice| notice.channel.as_str()).collect::<Vec<_>>(), ["hook", "pager"]);
    assert!(told.iter().all(|notice| of(notice) == recipients(&["b", "c"])), "{told:#?}");
}

#[test]
fn one_message_goes_to_the_same_recipients() {
    let mut world = World::begun();
    for incident in 1..=4 {
        world.fire(incident, Severity::Medium);
    }
    assert_eq!(world.send(DeliveryEvent::Partly), ["chat Many 4"]);
    world.pass(1);
    for incident in 5..=9 {
        world.fire(incident, Severity::Low);
    }
    let plan = world.plan();
    let told: Vec<(usize, Vec<&str>)> =
        plan.send.iter().map(|sending| (sending.dues().len(), asked(sending.only()))).collect();
    assert_eq!(told, [(4, vec!["b", "c"]), (5, EVERYBODY.to_vec())], "the most severe first");
}

#[derive(Debug, Clone)]
enum Happens {
    Alert(u64, AlertEvent, Severity),
    Sends(DeliveryEvent),
    /// Claims everything, and dies.
    Dies,
    Passes(i64),
}

fn happens() -> impl Strategy<Value = Happens> {
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
        4 => (1_u64..6, event, severity).prop_map(|(incident, event, severity)| Happens::Alert(incident, event, severity)),
        3 => prop::sample::select(outcomes.to_vec()).prop_map(Happens::Sends),
        1 => Just(Happens::Dies),
        2 => prop::sample::select(vec![1_i64, 5, 20, 70]).prop_map(Happens::Passes),
    ]
}

/// What was sent in each lane, in its order.
fn sent(world: &World) -> BTreeMap<(Id, String), Vec<NoticeKind>> {
    let mut lanes: BTreeMap<(Id, String), Vec<NoticeKind>> = BTreeMap::new();
    for entry in &world.entries {
        let Request::RecordDeliveries(request) = &entry.request else { continue };
        for step in request.steps.iter().filter(|step| step.event == DeliveryEvent::Delivered) {
            lanes.entry((step.channel.clone(), step.lane.clone())).or_default().push(step.says);
        }
    }
    lanes
}

proptest! {
    #[test]
    fn whatever_happens_lanes_keep_their_order_and_end(steps in prop::collection::vec(happens(), 1..60)) {
        let mut world = World::begun();
        for step in steps {
            match step {
                Happens::Alert(incident, event, severity) => {
                    let quiet = (event == AlertEvent::Suppressed).then(|| world.now.plus(TimeDelta::minutes(30)));
                    world.alert(incident, event, severity, quiet);
                }
                Happens::Sends(outcome) => drop(world.send(outcome)),
                Happens::Dies => {
                    let until = Some(world.now.plus(TimeDelta::minutes(1)));
                    let plan = world.plan();
                    let dues = plan.send.iter().flat_map(Sending::dues);
                    let claim = |due: &Due| due.notice.step(DeliveryEvent::Claimed, due.attempt);
                    let steps = dues.map(|due| DeliveryStep { until, ..claim(due) }).collect();
                    world.deliver(steps);
                }
                Happens::Passes(minutes) => world.pass(minutes),
            }
            prop_assert!(world.outbox.settled_to() <= world.outbox.seen());

            // Whoever begins with what is settled knows the same.
            let settled = world.outbox.settled_to();
            let known = world.told(settled);
            let mut again = Outbox::new(Arc::clone(&world.policy), settled, known, Some(world.now));
            world.entries.iter().filter(|entry| entry.seq > settled).for_each(|entry| again.add(entry));
            let waiting = |outbox: &Outbox| -> Vec<(Notice, u32, Timestamp, Option<Recipients>)> {
                let all = outbox.lanes.values().flat_map(|lane| lane.waiting.clone());
                all.map(|waiting| (waiting.notice, waiting.attempts, waiting.not_before, waiting.only)).collect()
            };
            prop_assert_eq!(waiting(&again), waiting(&world.outbox));
        }
        // In the end everything is told.
        for _ in 0..200 {
            world.pass(1);
            world.send(DeliveryEvent::Delivered);
        }
        prop_assert_eq!(world.outbox.waiting(), 0);
        for ((channel, lane), told) in sent(&world) {
            if told.first() == Some(&NoticeKind::Undelivered) {
                continue;
            }
            let late = [NoticeKind::Acknowledge, NoticeKind::Resolve];
            prop_assert!(!late.contains(&told[0]) || world.was_claimed(&channel, &lane), "{channel} {lane} {told:?}");
        }
        // Nobody got anything twice, nor what came before after what came later; what was delivered everybody has.
        for (whose, got) in &world.got {
            let moments: Vec<EventRef> = got.iter().map(|(source, _)| *source).collect();
            prop_assert!(moments.is_sorted_by(|a, b| a < b), "{whose:?}: {got:?}");
        }
        for (channel, lane, source, says) in world.delivered() {
            for one in EVERYBODY {
                let got = world.got.get(&(channel.clone(), lane.clone(), one));
                prop_assert!(got.is_some_and(|got| got.contains(&(source, says))), "{one}: {channel} {lane} {source}");
            }
        }
        // What is over at the end was told so last, wherever it was told.
        for incident in 1..6 {
            let last = world.entries.iter().rev().flat_map(|entry| &entry.facts.alerts)
                .find(|change| change.dedup_key == key(incident) && !matches!(change.event, AlertEvent::NotFired | AlertEvent::Repeated));
            if last.is_some_and(|change| matches!(change.event, AlertEvent::Cleared | AlertEvent::Resolved)) {
                let lane = (id("pager"), key(incident));
                if let Some(told) = sent(&world).get(&lane).filter(|_| !world.was_given_up(&lane.0, &lane.1)) {
                    prop_assert_ne!(told.last(), Some(&NoticeKind::Trigger));
                }
            }
        }
    }
}

impl World {
    /// What was told of alerts that were not over at `settled`, as the tables say it.
    fn told(&self, settled: u64) -> Vec<Told> {
        let last = |dedup_key: &str, over: bool| {
            let changes = self.entries.iter().filter(|entry| entry.seq <= settled).rev();
            let mut changes =
                changes.flat_map(|entry| entry.facts.alerts.iter().map(move |change| (entry.seq, change)));
            let counts = |change: &AlertChange| {
                let is_over = change.status == Some(AlertStatus::Resolved);
                change.dedup_key == dedup_key && change.event != AlertEvent::NotFired && (!over || is_over)
            };
            changes.find(|(_, change)| counts(change)).map_or(0, |(seq, _)| seq)
        };
        let mut lanes: BTreeMap<(Id, String), (ChannelKind, u64, u64)> = BTreeMap::new();
        for entry in &self.entries {
            let Request::RecordDeliveries(request) = &entry.request else { continue };
            let claims = request.steps.iter().filter(|step| step.event == DeliveryEvent::Claimed);
            for step in claims.filter(|step| step.source.seq <= settled) {
                let lane = lanes.entry((step.channel.clone(), step.lane.clone())).or_insert((step.kind, 0, 0));
                match step.says {
                    NoticeKind::Trigger | NoticeKind::Again => lane.1 = lane.1.max(step.source.seq),
                    NoticeKind::Resolve => lane.2 = lane.2.max(step.source.seq),
                    _ => {}
                }
            }
        }
        let told = lanes.into_iter().filter(|(_, (_, told, over))| told > over);
        let told = told.map(|((channel, lane), (kind, ..))| {
            let dedup_key = super::super::alert_key(&lane).to_owned();
            Told { channel, kind, lane, dedup_key, receipt: None }
        });
        told.filter(|told| last(&told.dedup_key, false) > last(&told.dedup_key, true)).collect()
    }

    fn delivered(&self) -> Vec<(Id, String, EventRef, NoticeKind)> {
        let mut delivered = Vec::new();
        for entry in &self.entries {
            let Request::RecordDeliveries(request) = &entry.request else { continue };
            let steps = request.steps.iter().filter(|step| step.event == DeliveryEvent::Delivered);
            delivered.extend(steps.map(|step| (step.channel.clone(), step.lane.clone(), step.source, step.says)));
        }
        delivered
    }

    fn has(&self, channel: &Id, lane: &str, wanted: impl Fn(&DeliveryStep) -> bool) -> bool {
        self.entries.iter().any(|entry| match &entry.request {
            Request::RecordDeliveries(request) => {
                request.steps.iter().any(|step| step.channel == *channel && step.lane == lane && wanted(step))
            }
            _ => false,
        })
    }

    fn was_claimed(&self, channel: &Id, lane: &str) -> bool {
        let alert = |says: NoticeKind| matches!(says, NoticeKind::Trigger | NoticeKind::Again);
        self.has(channel, lane, |step| step.event == DeliveryEvent::Claimed && alert(step.says))
    }

    fn was_given_up(&self, channel: &Id, lane: &str) -> bool {
        self.has(channel, lane, |step| step.event == DeliveryEvent::Dead)
    }
}
