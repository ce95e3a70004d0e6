//! What waits to be told, folded from the ledger's entries.
//!
//! Notices that belong together wait in one lane and are told in their order; lanes do not wait for each other. What was
//! never attempted and need not be told any more leaves its lane without a word: an alert that is over before anybody was
//! told of it, one whose severity rose meanwhile. Everything else leaves by a recorded step. What some recipients of a
//! channel have waits for the others only, and for as long as nothing comes after it: then all are told that.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use chrono::TimeDelta;

use super::{
    AlertContent, Content, DeliveryStep, Notice, Recipients, RecordDeliveries, SummaryReason, Undelivered,
    bucket::Bucket, later_lane,
};
use crate::domain::{
    entry::{Entry, Request},
    escalation::AlertChange,
    ids::{EventRef, Id, IncidentId},
    policy::{Destination, Policy},
    report::Remediation,
    time::Timestamp,
    words::{AlertEvent, ChannelKind, DeliveryEvent, Interface, NoticeKind, RemediationResult, Severity, Trigger},
};

/// A digest that could not be told for so long is not told any more.
const STALE_DIGEST: TimeDelta = TimeDelta::days(7);
/// Alerts that one message tells of, at most.
pub const MAX_BUNDLE: usize = 500;

/// A lane: the channel, and the key under which its notices belong together.
type LaneId = (Id, String);

/// The notices that wait, and what is known of those that were told.
#[derive(Debug, Clone)]
pub struct Outbox {
    policy: Arc<Policy>,
    /// The ledger's last row that was added.
    seen: u64,
    lanes: BTreeMap<LaneId, Lane>,
    /// By dedup key, the lanes on which an alert was told or waits to be.
    alerts: BTreeMap<String, BTreeSet<LaneId>>,
    /// Alerts that are quiet until a moment, by dedup key.
    quiet: BTreeMap<String, Quiet>,
    buckets: BTreeMap<Id, Bucket>,
    /// Channels over which the receiver takes nothing before a moment.
    paused: BTreeMap<Id, Timestamp>,
    /// The latest moment at which something was claimed before the first entry that was added.
    claimed_before: Option<Timestamp>,
    /// Whether anybody ever told people of anything.
    begun: bool,
}

#[derive(Debug, Clone, Default)]
struct Lane {
    /// The alert it is about.
    dedup_key: Option<String>,
    kind: Option<ChannelKind>,
    to: String,
    waiting: VecDeque<Waiting>,
    /// The receiver may know of an alert, and nobody began to tell that it is over.
    told: bool,
    /// What the receiver calls the first notice.
    receipt: Option<String>,
}

#[derive(Debug, Clone)]
struct Waiting {
    notice: Notice,
    /// The first row of the ledger that it takes to know of it.
    row: u64,
    /// Since when it waits.
    since: Timestamp,
    not_before: Timestamp,
    attempts: u32,
    first_tried: Option<Timestamp>,
    /// Until when somebody is sending it.
    claimed_until: Option<Timestamp>,
    /// Those that are still to be told, where others have it.
    only: Option<Recipients>,
}

/// An alert that is quiet until a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quiet {
    pub incident_id: IncidentId,
    pub trigger: Trigger,
    pub until: Timestamp,
    /// The ledger's row since which it is.
    pub seq: u64,
}

/// A lane on which an alert that is not over was told, from before the first entry that was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub channel: Id,
    pub kind: ChannelKind,
    pub lane: String,
    pub dedup_key: String,
    pub receipt: Option<String>,
}

/// A notice that is to be sent now.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    pub notice: Notice,
    /// Counted from 1.
    pub attempt: u32,
    /// What the receiver calls the first notice of the lane.
    pub receipt: Option<String>,
    /// The recipients that it is sent to. `None`: all of the channel.
    pub only: Option<Recipients>,
}

/// What is sent as one message.
#[derive(Debug, Clone, PartialEq)]
pub enum Sending {
    One(Box<Due>),
    /// Alerts of one channel.
    Several(SummaryReason, Vec<Due>),
}

impl Sending {
    /// The recipients that it is sent to: the same for everything that it tells. `None`: all of the channel.
    pub fn only(&self) -> Option<&Recipients> {
        self.dues().first()?.only.as_ref()
    }

    /// `None`: there is nothing to be sent.
    fn of(because: Option<SummaryReason>, heads: &[Head<'_>]) -> Option<Self> {
        let due = |head: &Head<'_>| Due {
            notice: head.waiting.notice.clone(),
            attempt: head.waiting.attempts + 1,
            receipt: head.lane.receipt.clone(),
            only: head.waiting.only.clone(),
        };
        match because {
            Some(because) => Some(Self::Several(because, heads.iter().map(due).collect())),
            None => heads.first().map(|head| Self::One(Box::new(due(head)))),
        }
    }

    /// The notices that it tells.
    pub fn dues(&self) -> &[Due] {
        match self {
            Self::One(due) => std::slice::from_ref(&**due),
            Self::Several(_, dues) => dues,
        }
    }
}

/// What leaves its lane without being sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Left {
    pub notice: Notice,
    pub attempts: u32,
    /// [`DeliveryEvent::Dead`] or [`DeliveryEvent::Skipped`].
    pub event: DeliveryEvent,
    pub reason: String,
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    pub send: Vec<Sending>,
    pub leave: Vec<Left>,
    /// When there is something to be done next, unless another entry comes.
    pub next: Option<Timestamp>,
}

impl Outbox {
    /// An outbox after the ledger's row `seen`, up to which everything is settled but the lanes in `told`.
    /// `claimed_before`: when something was claimed last; `None`: never was.
    pub fn new(policy: Arc<Policy>, seen: u64, told: Vec<Told>, claimed_before: Option<Timestamp>) -> Self {
        let mut outbox = Self {
            policy,
            seen,
            lanes: BTreeMap::new(),
            alerts: BTreeMap::new(),
            quiet: BTreeMap::new(),
            buckets: BTreeMap::new(),
            paused: BTreeMap::new(),
            begun: claimed_before.is_some(),
            claimed_before,
        };
        for told in told {
            let id = (told.channel, told.lane);
            let to = outbox.policy.channels.get(&id.0).and_then(|channel| channel.to.clone()).unwrap_or_default();
            let (kind, dedup_key) = (Some(told.kind), Some(told.dedup_key.clone()));
            let lane = Lane { dedup_key, kind, to, told: true, receipt: told.receipt, ..Lane::default() };
            outbox.alerts.entry(told.dedup_key).or_default().insert(id.clone());
            outbox.lanes.insert(id, lane);
        }
        outbox
    }

    /// The ledger's last row that was added.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Up to this row of the ledger nothing waits any more.
    pub fn settled_to(&self) -> u64 {
        let waiting = self.lanes.values().flat_map(|lane| &lane.waiting).map(|waiting| waiting.row);
        let quiet = self.quiet.values().map(|quiet| quiet.seq);
        waiting.chain(quiet).min().map_or(self.seen, |first| first - 1).min(self.seen)
    }

    /// How many notices wait, those included that somebody is sending.
    pub fn waiting(&self) -> usize {
        self.lanes.values().map(|lane| lane.waiting.len()).sum()
    }

    /// How many of them were tried and not accepted yet, while nobody is sending them.
    pub fn unsettled(&self, now: Timestamp) -> usize {
        let is_sent = |waiting: &Waiting| waiting.claimed_until.is_some_and(|until| until > now);
        let waiting = self.lanes.values().flat_map(|lane| &lane.waiting);
        waiting.filter(|waiting| waiting.attempts > 0 && !is_sent(waiting)).count()
    }

    /// Alerts whose quiet time is over: whether they still hold is to be evaluated.
    pub fn quiet_over(&self, now: Timestamp) -> Vec<(String, Quiet)> {
        let over = self.quiet.iter().filter(|(_, quiet)| quiet.until <= now);
        over.map(|(key, quiet)| (key.clone(), quiet.clone())).collect()
    }

    /// Whatever came of it, this alert was evaluated when its quiet time was over.
    pub fn evaluated(&mut self, dedup_key: &str) {
        self.quiet.remove(dedup_key);
    }

    /// Takes in the ledger's next entry.
    pub fn add(&mut self, entry: &Entry) {
        self.seen = entry.seq;
        if let Some(incident_id) = entry.facts.incident_id {
            for (ordinal, change) in (1..).zip(&entry.facts.alerts) {
                self.alert(entry, EventRef { seq: entry.seq, ordinal }, incident_id, change);
            }
        }
        match &entry.request {
            Request::RecordDeliveries(request) => self.deliveries(entry, request),
            Request::RecordDigest(request) => {
                let lane = format!("digest/{}/{}", request.digest.week.week, request.digest.week.time_zone);
                let content = Content::Digest(Box::new(request.digest.clone()));
                let is_read = |channel: &Id| {
                    self.policy.channels.get(channel).is_some_and(|it| it.kind != ChannelKind::Pagerduty)
                };
                let channels: Vec<Id> = self.policy.digest.channels.iter().filter(|it| is_read(it)).cloned().collect();
                for channel in channels {
                    self.plain(entry, channel, NoticeKind::Digest, lane.clone(), content.clone());
                }
            }
            Request::RecordReport(report) | Request::OpenIncident(report) => self.changes(entry, &report.remediation),
            Request::RecordRemediation(step) => self.changes(entry, &[step.remediation()]),
            // Whatever came of it, the evaluation was made.
            Request::EvaluateEscalations(step) if entry.interface == Interface::Deliver => {
                let now = entry.recorded_at;
                let evaluated = |quiet: &Quiet| quiet.incident_id == step.incident_id && quiet.until <= now;
                self.quiet.retain(|_, quiet| quiet.trigger == Trigger::Recurring || !evaluated(quiet));
            }
            _ => {}
        }
    }

    fn alert(&mut self, entry: &Entry, source: EventRef, incident_id: IncidentId, change: &AlertChange) {
        let key = &change.dedup_key;
        match (change.event, change.quiet_until) {
            // Of what was silenced before it ever held there is nothing to be told.
            (AlertEvent::Suppressed, Some(until))
                if change.trigger != Trigger::Recurring || change.message.is_some() =>
            {
                let quiet = Quiet { incident_id, trigger: change.trigger, until, seq: entry.seq };
                self.quiet.insert(key.clone(), quiet);
            }
            (AlertEvent::NotFired | AlertEvent::Repeated, _) => return,
            _ => drop(self.quiet.remove(key)),
        }
        let content = |severity: Severity, unacknowledged_minutes: Option<u32>| AlertContent {
            incident_id,
            trigger: change.trigger,
            severity,
            dedup_key: key.clone(),
            message: change.message.clone().unwrap_or_default(),
            reason: change.reason.clone(),
            actor: entry.request.actor().clone(),
            unacknowledged_minutes,
        };
        let severity = change.severity.unwrap_or(Severity::Low);
        match change.event {
            AlertEvent::Fired => {
                for destination in &change.routes {
                    let Destination { channel, kind, to: Some(to), unacknowledged_minutes } = destination else {
                        continue;
                    };
                    let (says, lane) = match unacknowledged_minutes {
                        None => (NoticeKind::Trigger, key.clone()),
                        Some(minutes) => (NoticeKind::Again, later_lane(key, *minutes)),
                    };
                    let id = (channel.clone(), lane.clone());
                    let waits = TimeDelta::minutes(unacknowledged_minutes.unwrap_or(0).into());
                    self.alerts.entry(key.clone()).or_default().insert(id.clone());
                    let lane_now = self.lanes.entry(id).or_default();
                    // The later one says what counts now.
                    lane_now.waiting.retain(|waiting| waiting.attempts > 0 || waiting.notice.says != says);
                    (lane_now.kind, lane_now.to, lane_now.dedup_key) = (Some(*kind), to.clone(), Some(key.clone()));
                    let not_before = entry.recorded_at.plus(waits);
                    lane_now.waiting.push_back(Waiting {
                        notice: Notice {
                            source,
                            says,
                            channel: channel.clone(),
                            kind: *kind,
                            to: to.clone(),
                            lane,
                            at: entry.decided_at(),
                            content: Content::Alert(content(severity, *unacknowledged_minutes)),
                        },
                        row: source.seq,
                        since: not_before,
                        not_before,
                        attempts: 0,
                        first_tried: None,
                        claimed_until: None,
                        only: None,
                    });
                }
            }
            AlertEvent::Acknowledged | AlertEvent::Suppressed | AlertEvent::Cleared | AlertEvent::Resolved => {
                let over = matches!(change.event, AlertEvent::Cleared | AlertEvent::Resolved);
                let says = if over { NoticeKind::Resolve } else { NoticeKind::Acknowledge };
                let lanes = self.alerts.get(key).cloned().unwrap_or_default();
                for id in lanes {
                    let Some(lane) = self.lanes.get_mut(&id) else { continue };
                    lane.waiting.retain(|waiting| waiting.attempts > 0);
                    let Some(kind) = lane.kind.filter(|_| lane.told) else { continue };
                    // Where it was dealt with it is known.
                    if entry.interface == Interface::Pagerduty && kind == ChannelKind::Pagerduty {
                        lane.told = !over;
                        continue;
                    }
                    let (channel, name) = id;
                    lane.waiting.push_back(Waiting {
                        notice: Notice {
                            source,
                            says,
                            channel,
                            kind,
                            to: lane.to.clone(),
                            lane: name,
                            at: entry.decided_at(),
                            content: Content::Alert(content(severity, None)),
                        },
                        row: source.seq,
                        since: entry.recorded_at,
                        not_before: entry.recorded_at,
                        attempts: 0,
                        first_tried: None,
                        claimed_until: None,
                        only: None,
                    });
                }
                if over {
                    self.forget(key);
                }
            }
            AlertEvent::Repeated | AlertEvent::NotFired => {}
        }
    }

    /// Lanes of an alert that is over, once nothing waits in them.
    fn forget(&mut self, dedup_key: &str) {
        let Some(lanes) = self.alerts.remove(dedup_key) else { return };
        for id in lanes {
            if self.lanes.get(&id).is_some_and(|lane| lane.waiting.is_empty()) {
                self.lanes.remove(&id);
            }
        }
    }

    /// Pagers that were told of the incident are told what was changed.
    fn changes(&mut self, entry: &Entry, steps: &[Remediation]) {
        let Some(incident_id) = entry.facts.incident_id else { return };
        let is_done = |step: &&Remediation| step.applied && step.result != Some(RemediationResult::Failed);
        let about = format!("{incident_id}/");
        let alerts = self.alerts.range(about.clone()..).take_while(|(key, _)| key.starts_with(&about));
        let lanes = alerts.flat_map(|(_, lanes)| lanes);
        let pager = |id: &&LaneId| self.lanes.get(*id).is_some_and(|lane| lane.kind == Some(ChannelKind::Pagerduty));
        let pagers: BTreeSet<Id> = lanes.filter(pager).map(|(channel, _)| channel.clone()).collect();
        for (number, step) in (1..).zip(steps.iter().filter(is_done)) {
            let content =
                Content::Change { incident_id, title: step.title.clone(), actor: entry.request.actor().clone() };
            for channel in &pagers {
                let lane = format!("change/{incident_id}/{}.{number}", entry.seq);
                self.plain(entry, channel.clone(), NoticeKind::Change, lane, content.clone());
            }
        }
    }

    /// A notice that no alert is behind.
    fn plain(&mut self, entry: &Entry, channel: Id, says: NoticeKind, lane: String, content: Content) {
        let source = EventRef { seq: entry.seq, ordinal: 1 };
        self.push((source, entry.seq), entry.recorded_at, channel, says, lane, content);
    }

    /// `row`: the first one that it takes to know of it.
    fn push(
        &mut self,
        (source, row): (EventRef, u64),
        at: Timestamp,
        channel: Id,
        says: NoticeKind,
        lane: String,
        content: Content,
    ) {
        let Some(known) = self.policy.channels.get(&channel) else { return };
        let (kind, Some(to)) = (known.kind, known.to.clone()) else { return };
        let waits = self.lanes.entry((channel.clone(), lane.clone())).or_default();
        (waits.kind, waits.to) = (Some(kind), to.clone());
        // A later revision says what counts now.
        waits.waiting.retain(|waiting| waiting.attempts > 0);
        waits.waiting.push_back(Waiting {
            notice: Notice { source, says, channel, kind, to, lane, at, content },
            row,
            since: at,
            not_before: at,
            attempts: 0,
            first_tried: None,
            claimed_until: None,
            only: None,
        });
    }

    fn deliveries(&mut self, entry: &Entry, request: &RecordDeliveries) {
        self.begun = true;
        let mut bundles = BTreeSet::new();
        for (ordinal, step) in (1..).zip(&request.steps) {
            if step.event == DeliveryEvent::Claimed
                && step.bundle.is_none_or(|bundle| bundles.insert((step.channel.clone(), bundle)))
            {
                self.bucket(&step.channel, request.at).take(request.at);
            }
            if let Some(until) = step.channel_until {
                self.paused.insert(step.channel.clone(), until);
            }
            self.step(EventRef { seq: entry.seq, ordinal }, request.at, step);
        }
    }

    fn step(&mut self, source: EventRef, at: Timestamp, step: &DeliveryStep) {
        let id = (step.channel.clone(), step.lane.clone());
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let is_meant = |waiting: &Waiting| waiting.notice.source == step.source && waiting.notice.says == step.says;
        let Some(place) = lane.waiting.iter().position(is_meant) else { return };
        let mut gone = None;
        match step.event {
            DeliveryEvent::Claimed => {
                let waiting = &mut lane.waiting[place];
                // Another attempt tells nothing new: it may be over since the first.
                if waiting.attempts == 0 {
                    match step.says {
                        NoticeKind::Trigger | NoticeKind::Again => lane.told = true,
                        NoticeKind::Resolve => lane.told = false,
                        _ => {}
                    }
                }
                waiting.attempts = step.attempt;
                waiting.first_tried.get_or_insert(at);
                waiting.claimed_until = step.until;
            }
            DeliveryEvent::Partly | DeliveryEvent::Retry | DeliveryEvent::Unknown => {
                let waiting = &mut lane.waiting[place];
                if step.event == DeliveryEvent::Partly {
                    waiting.only.clone_from(&step.waits_for);
                }
                waiting.claimed_until = None;
                waiting.not_before = step.until.unwrap_or(at);
            }
            DeliveryEvent::Delivered => {
                if lane.receipt.is_none() {
                    lane.receipt.clone_from(&step.receipt);
                }
                lane.waiting.remove(place);
            }
            DeliveryEvent::Skipped => drop(lane.waiting.remove(place)),
            DeliveryEvent::Dead => gone = lane.waiting.remove(place),
        }
        let is_over = lane.dedup_key.as_ref().is_none_or(|key| !self.alerts.contains_key(key));
        if is_over && lane.waiting.is_empty() {
            self.lanes.remove(&id);
        }
        let Some(Waiting { notice, row, only, .. }) = gone else { return };
        let (Content::Alert(alert), NoticeKind::Trigger | NoticeKind::Again) = (notice.content, notice.says) else {
            return;
        };
        let reason = step.reason.clone().unwrap_or_default();
        for channel in self.others(&notice.channel) {
            let lane = format!("undelivered/{}/{}", notice.channel, notice.lane);
            let content = Content::Undelivered(Undelivered {
                alert: alert.clone(),
                channel: notice.channel.clone(),
                kind: notice.kind,
                recipients: only.clone(),
                reason: reason.clone(),
            });
            self.push((source, row), at, channel, NoticeKind::Undelivered, lane, content);
        }
    }

    /// Who is told that a channel could not be.
    fn others(&self, failed: &Id) -> Vec<Id> {
        let named = &self.policy.delivery.undelivered;
        let all = self.policy.channels.keys();
        let chosen: Vec<&Id> = if named.is_empty() { all.collect() } else { named.iter().collect() };
        chosen.into_iter().filter(|channel| *channel != failed).cloned().collect()
    }

    fn bucket(&mut self, channel: &Id, now: Timestamp) -> &mut Bucket {
        let rate = self.policy.channels.get(channel).map_or(1, |channel| channel.reach.per_minute);
        let before = self.claimed_before;
        self.buckets.entry(channel.clone()).or_insert_with(|| Bucket::new(rate, before, now))
    }

    /// What is to be done at `now`, at most `most` messages.
    pub fn plan(&mut self, now: Timestamp, most: usize) -> Plan {
        let channels: BTreeSet<Id> = self.lanes.keys().map(|(channel, _)| channel.clone()).collect();
        let tokens: BTreeMap<Id, (usize, Timestamp)> =
            channels.into_iter().map(|channel| (channel.clone(), self.bucket(&channel, now).tokens(now))).collect();
        let mut plan = Plan::default();
        let mut ready: BTreeMap<&Id, Vec<Head<'_>>> = BTreeMap::new();
        let mut stale: BTreeMap<&Id, Vec<Head<'_>>> = BTreeMap::new();
        let mut later = |at: Timestamp| plan.next = Some(plan.next.map_or(at, |next: Timestamp| next.min(at)));
        for ((channel, _), lane) in &self.lanes {
            let Some(waiting) = lane.waiting.front() else { continue };
            match self.standing(lane, waiting, now) {
                Standing::Later(at) => later(at),
                Standing::Leaves(event, reason) => {
                    plan.leave.push(Left { notice: waiting.notice.clone(), attempts: waiting.attempts, event, reason })
                }
                Standing::Ready => ready.entry(channel).or_default().push(Head { waiting, lane }),
                Standing::Stale => stale.entry(channel).or_default().push(Head { waiting, lane }),
            }
        }
        if let Some(until) = self.quiet.values().map(|quiet| quiet.until).min() {
            later(until);
        }
        let mut room = most;
        for (channel, (tokens, refilled)) in &tokens {
            let (mut stale, ready) =
                (stale.remove(channel).unwrap_or_default(), ready.remove(channel).unwrap_or_default());
            let (mut alerts, mut rest): (Vec<_>, Vec<_>) =
                ready.into_iter().partition(|head| head.waiting.notice.says == NoticeKind::Trigger);
            // One message goes to the same recipients.
            stale.sort_by_key(|head| &head.waiting.only);
            alerts.sort_by_key(|head| (&head.waiting.only, head.turn()));
            rest.sort_by_key(Head::turn);
            let stale = stale.chunk_by(Head::goes_with).flat_map(|same| same.chunks(MAX_BUNDLE));
            let stale = stale.map(|part| (Some(SummaryReason::Stale), part));
            let mut fired = Vec::new();
            for same in alerts.chunk_by(Head::goes_with) {
                let is_read = same.first().is_some_and(|head| head.waiting.notice.kind.is_read());
                let many = is_read && same.len() > self.policy.delivery.bundle_over as usize;
                let at_once = if many { MAX_BUNDLE } else { 1 };
                fired.extend(same.chunks(at_once).map(|part| (many.then_some(SummaryReason::Many), part)));
            }
            fired.sort_by_key(|(_, part)| part.first().map(Head::turn));
            let mut messages = stale.chain(fired).chain(rest.chunks(1).map(|part| (None, part)));
            let some = (*tokens).min(room);
            let sent = plan.send.len();
            plan.send.extend(messages.by_ref().take(some).filter_map(|(because, part)| Sending::of(because, part)));
            room -= plan.send.len() - sent;
            if messages.next().is_some() {
                let at = if room > 0 { *refilled } else { now };
                plan.next = Some(plan.next.map_or(at, |next| next.min(at)));
            }
        }
        plan
    }

    /// `waiting` is the first in its `lane`.
    fn standing(&self, lane: &Lane, waiting: &Waiting, now: Timestamp) -> Standing {
        let Waiting { notice, since, not_before, attempts, first_tried, claimed_until, only, .. } = waiting;
        if let Some(until) = claimed_until.filter(|until| *until > now) {
            return Standing::Later(until);
        }
        if let Some(only) = only.as_ref().filter(|_| lane.waiting.len() > 1) {
            let reason = format!("{only} did not get it yet; everybody is told what came after it");
            return Standing::Leaves(DeliveryEvent::Skipped, reason);
        }
        if *not_before > now {
            return Standing::Later(*not_before);
        }
        if let Some(until) = self.paused.get(&notice.channel).filter(|until| **until > now) {
            return Standing::Later(*until);
        }
        let delivery = &self.policy.delivery;
        let patience = TimeDelta::minutes(delivery.give_up_minutes.into());
        if let Some(first) = first_tried.filter(|first| first.plus(patience) <= now) {
            let reason = match only {
                None => format!("not delivered since {first}, in {attempts} attempts"),
                Some(only) => format!("not delivered to {only} since {first}, in {attempts} attempts; others have it"),
            };
            return Standing::Leaves(DeliveryEvent::Dead, reason);
        }
        let held = |at: Timestamp| {
            let (Content::Alert(alert), NoticeKind::Trigger | NoticeKind::Again) = (&notice.content, notice.says)
            else {
                return None;
            };
            let windows = self.policy.maintenance.iter();
            windows.filter_map(|window| window.holds(alert.trigger, alert.severity, at)).max()
        };
        if let Some(until) = held(now) {
            return Standing::Later(until);
        }
        let old = |most: TimeDelta| {
            // What waited for the end of maintenance is as old as that end.
            let since = held(*since).unwrap_or(*since);
            first_tried.unwrap_or(now) > since.plus(most)
        };
        let stale = TimeDelta::minutes(delivery.stale_minutes.into());
        let too_old = match notice.says {
            NoticeKind::Trigger | NoticeKind::Change | NoticeKind::Undelivered => old(stale),
            NoticeKind::Digest => old(STALE_DIGEST),
            // What was told is told to its end.
            NoticeKind::Again | NoticeKind::Acknowledge | NoticeKind::Resolve => false,
        };
        match notice.says {
            _ if !too_old && !self.policy.channels.contains_key(&notice.channel) => {
                let reason = format!("there is no channel {} in the configuration", notice.channel);
                Standing::Leaves(DeliveryEvent::Dead, reason)
            }
            _ if !too_old => Standing::Ready,
            NoticeKind::Trigger if !self.begun => {
                let reason = "it fired before anybody was told of anything".to_owned();
                Standing::Leaves(DeliveryEvent::Skipped, reason)
            }
            NoticeKind::Trigger if self.policy.channels.contains_key(&notice.channel) => Standing::Stale,
            _ => Standing::Leaves(
                DeliveryEvent::Skipped,
                format!("nobody could be told since {since}; it is too old now"),
            ),
        }
    }
}

/// The first notice of a lane.
#[derive(Clone, Copy)]
struct Head<'a> {
    waiting: &'a Waiting,
    lane: &'a Lane,
}

impl Head<'_> {
    /// The most severe first, then the oldest.
    fn turn(&self) -> (Reverse<Option<Severity>>, EventRef) {
        (Reverse(self.waiting.notice.urgency()), self.waiting.notice.source)
    }

    fn goes_with(&self, other: &Self) -> bool {
        self.waiting.only == other.waiting.only
    }
}

enum Standing {
    /// Not before this moment.
    Later(Timestamp),
    Ready,
    /// It is told with others like it.
    Stale,
    Leaves(DeliveryEvent, String),
}

#[cfg(test)]
mod tests;
