//! The outbox: pending notifications, folded from the ledger's entries.
//!
//! Related notifications form a stream and are sent in order. Streams are independent of each other.
//!
//! A notification leaves its stream through a recorded step, with one exception: before the first attempt it is removed
//! silently when it is obsolete. Examples are an alert that was resolved before it was sent, and one whose severity rose.
//!
//! When some recipients accepted a notification, only the others are retried. A newer notification in the stream stops the
//! retries and goes to all recipients.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Range,
    sync::Arc,
};

use chrono::TimeDelta;

use super::{
    AlertContent, DeliveryStep, Notification, NotificationContent, Recipients, RecordDeliveries, SummaryReason,
    Undelivered, follow_up_stream, token_bucket::TokenBucket,
};
use crate::domain::{
    check::Severity,
    entry::{Entry, Request},
    escalation::{AlertChange, status::AlertEvent, trigger::Trigger},
    ids::{EventRef, Id, IncidentId},
    interface::Interface,
    notification::{
        channel::ChannelKind,
        event::{DeliveryEvent, NotificationKind},
    },
    policy::{Destination, Policy},
    remediation::RemediationResult,
    report::Remediation,
    time::Timestamp,
};

/// Age at which an undelivered digest is dropped.
const MAX_DIGEST_AGE: TimeDelta = TimeDelta::days(7);
/// Maximum number of alerts in one summary message.
pub const MAX_BUNDLE: usize = 500;

/// Channel and key of a stream.
type StreamId = (Id, String);

/// Pending notifications, and the delivery state of open alerts.
#[derive(Debug, Clone)]
pub struct Outbox {
    policy: Arc<Policy>,
    /// Last ledger row that was added.
    last_seq: u64,
    streams: BTreeMap<StreamId, Stream>,
    /// Streams with sent or pending notifications of an alert, by deduplication key.
    alerts: BTreeMap<String, BTreeSet<StreamId>>,
    /// Alerts that are suppressed until a given time, by deduplication key.
    suppressed: BTreeMap<String, SuppressedAlert>,
    /// Ledger rows after which an outbox must not start, because the tables would show an open stream as resolved: a resolution
    /// of the first row was replaced in the row after the last one before it was sent. Ordered by end.
    replaced_resolutions: Vec<Range<u64>>,
    buckets: BTreeMap<Id, TokenBucket>,
    /// Channels whose receiver accepts nothing before a given time.
    paused: BTreeMap<Id, Timestamp>,
    /// Time of the last claim before the first added entry.
    claimed_before: Option<Timestamp>,
    /// True after the first recorded delivery step of the lake.
    has_deliveries: bool,
}

#[derive(Debug, Clone, Default)]
struct Stream {
    /// Deduplication key of its alert.
    dedup_key: Option<String>,
    kind: Option<ChannelKind>,
    to: String,
    queue: VecDeque<QueuedNotification>,
    /// True if the receiver may show an open alert: a trigger was claimed, and no later resolution.
    is_open: bool,
    /// Message id that the receiver returned for the first notification.
    receipt: Option<String>,
}

#[derive(Debug, Clone)]
struct QueuedNotification {
    notification: Notification,
    /// First ledger row from which the notification follows.
    row: u64,
    /// Start of the waiting time.
    since: Timestamp,
    not_before: Timestamp,
    attempts: u32,
    first_tried: Option<Timestamp>,
    /// Expiry of the current claim.
    claimed_until: Option<Timestamp>,
    /// Recipients that are retried after others accepted it. `None`: all of the channel.
    only: Option<Recipients>,
}

/// An alert that is suppressed until a given time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuppressedAlert {
    pub incident_id: IncidentId,
    pub trigger: Trigger,
    pub until: Timestamp,
    /// Ledger row that suppressed it.
    pub seq: u64,
}

/// A stream in which an unresolved alert was sent before the first added entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifiedStream {
    pub channel: Id,
    pub kind: ChannelKind,
    pub stream: String,
    pub dedup_key: String,
    pub receipt: Option<String>,
}

/// A notification that is due now.
#[derive(Debug, Clone, PartialEq)]
pub struct DueNotification {
    pub notification: Notification,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Message id that the receiver returned for the first notification of the stream.
    pub receipt: Option<String>,
    /// Recipients of this attempt. `None`: all of the channel.
    pub only: Option<Recipients>,
}

/// One message to a channel.
#[derive(Debug, Clone, PartialEq)]
pub enum OutboundMessage {
    Single(Box<DueNotification>),
    /// Several alerts of the channel.
    Summary(SummaryReason, Vec<DueNotification>),
}

impl OutboundMessage {
    /// Returns the recipients of the message, the same for all its notifications. `None`: all of the channel.
    pub fn recipients(&self) -> Option<&Recipients> {
        self.notifications().first()?.only.as_ref()
    }

    /// Builds a message from the first notifications of some streams. Returns `None` without any.
    fn from_heads(because: Option<SummaryReason>, heads: &[StreamHead<'_>]) -> Option<Self> {
        let due = |head: &StreamHead<'_>| DueNotification {
            notification: head.queued.notification.clone(),
            attempt: head.queued.attempts + 1,
            receipt: head.stream.receipt.clone(),
            only: head.queued.only.clone(),
        };
        match because {
            Some(because) => Some(Self::Summary(because, heads.iter().map(due).collect())),
            None => heads.first().map(|head| Self::Single(Box::new(due(head)))),
        }
    }

    /// Returns the notifications in the message.
    pub fn notifications(&self) -> &[DueNotification] {
        match self {
            Self::Single(due) => std::slice::from_ref(&**due),
            Self::Summary(_, due) => due,
        }
    }
}

/// A notification that leaves its stream without being sent.
#[derive(Debug, Clone, PartialEq)]
pub struct DroppedNotification {
    pub notification: Notification,
    pub attempts: u32,
    /// [`DeliveryEvent::Dead`] or [`DeliveryEvent::Skipped`].
    pub event: DeliveryEvent,
    pub reason: String,
}

/// Messages to send now, and notifications to drop.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DeliveryPlan {
    pub send: Vec<OutboundMessage>,
    pub dropped: Vec<DroppedNotification>,
    /// Time of the next action, unless a new entry arrives earlier.
    pub next: Option<Timestamp>,
}

impl Outbox {
    /// Creates an outbox as of ledger row `last_seq`. All notifications up to that row are final, except that the streams in
    /// `open` expect a resolution. `claimed_before` is the time of the last claim; `None`: there was none.
    pub fn new(
        policy: Arc<Policy>,
        last_seq: u64,
        open: Vec<NotifiedStream>,
        claimed_before: Option<Timestamp>,
    ) -> Self {
        let mut outbox = Self {
            policy,
            last_seq,
            streams: BTreeMap::new(),
            alerts: BTreeMap::new(),
            suppressed: BTreeMap::new(),
            replaced_resolutions: Vec::new(),
            buckets: BTreeMap::new(),
            paused: BTreeMap::new(),
            has_deliveries: claimed_before.is_some(),
            claimed_before,
        };
        for notified in open {
            let id = (notified.channel, notified.stream);
            let to = outbox.policy.channels.get(&id.0).and_then(|channel| channel.to.clone()).unwrap_or_default();
            let (kind, dedup_key) = (Some(notified.kind), Some(notified.dedup_key.clone()));
            let stream = Stream { dedup_key, kind, to, is_open: true, receipt: notified.receipt, ..Stream::default() };
            outbox.alerts.entry(notified.dedup_key).or_default().insert(id.clone());
            outbox.streams.insert(id, stream);
        }
        outbox
    }

    /// Returns the last ledger row that was added.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Returns the ledger row up to which all notifications are final.
    pub fn settled_to(&self) -> u64 {
        let queued = self.streams.values().flat_map(|stream| &stream.queue).map(|queued| queued.row);
        let suppressed = self.suppressed.values().map(|alert| alert.seq);
        let settled = queued.chain(suppressed).min().map_or(self.last_seq, |first| first - 1).min(self.last_seq);
        // The range with the last end first, because a range may start within an earlier one.
        self.replaced_resolutions
            .iter()
            .rev()
            .fold(settled, |settled, rows| if rows.contains(&settled) { rows.start - 1 } else { settled })
    }

    /// Returns the number of pending notifications, including claimed ones.
    pub fn waiting(&self) -> usize {
        self.streams.values().map(|stream| stream.queue.len()).sum()
    }

    /// Returns the number of pending notifications that have a failed attempt and no current claim.
    pub fn unsettled(&self, now: Timestamp) -> usize {
        let is_claimed = |queued: &QueuedNotification| queued.claimed_until.is_some_and(|until| until > now);
        let queued = self.streams.values().flat_map(|stream| &stream.queue);
        queued.filter(|queued| queued.attempts > 0 && !is_claimed(queued)).count()
    }

    /// Returns the alerts whose suppression has expired. Their triggers must be evaluated again.
    pub fn expired_suppressions(&self, now: Timestamp) -> Vec<(String, SuppressedAlert)> {
        let expired = self.suppressed.iter().filter(|(_, alert)| alert.until <= now);
        expired.map(|(key, alert)| (key.clone(), alert.clone())).collect()
    }

    /// Removes a suppression after its alert was evaluated.
    pub fn remove_suppression(&mut self, dedup_key: &str) {
        self.suppressed.remove(dedup_key);
    }

    /// Adds the next entry of the ledger.
    pub fn add(&mut self, entry: &Entry) {
        self.last_seq = entry.seq;
        if let Some(incident_id) = entry.facts.incident_id {
            for (ordinal, change) in (1..).zip(&entry.facts.alerts) {
                self.add_alert_change(entry, EventRef { seq: entry.seq, ordinal }, incident_id, change);
            }
        }
        match &entry.request {
            Request::RecordDeliveries(request) => self.add_deliveries(entry, request),
            Request::RecordDigest(request) => {
                let stream = format!("digest/{}/{}", request.digest.week.week, request.digest.week.time_zone);
                let content = NotificationContent::Digest(Box::new(request.digest.clone()));
                let is_no_pager = |channel: &Id| {
                    self.policy.channels.get(channel).is_some_and(|it| it.kind != ChannelKind::Pagerduty)
                };
                let channels: Vec<Id> =
                    self.policy.digest.channels.iter().filter(|it| is_no_pager(it)).cloned().collect();
                for channel in channels {
                    self.push_plain(entry, channel, NotificationKind::Digest, stream.clone(), content.clone());
                }
            }
            Request::RecordReport(report) | Request::OpenIncident(report) => {
                self.push_changes(entry, &report.remediation)
            }
            Request::RecordRemediation(step) => self.push_changes(entry, &[step.remediation()]),
            Request::EvaluateEscalations(step) if entry.interface == Interface::Deliver => {
                let now = entry.recorded_at;
                let evaluated = |alert: &SuppressedAlert| alert.incident_id == step.incident_id && alert.until <= now;
                self.suppressed.retain(|_, alert| alert.trigger == Trigger::Recurring || !evaluated(alert));
            }
            _ => {}
        }
        if !self.replaced_resolutions.is_empty() {
            let settled = self.settled_to();
            self.replaced_resolutions.retain(|rows| rows.end > settled);
        }
    }

    fn add_alert_change(&mut self, entry: &Entry, source: EventRef, incident_id: IncidentId, change: &AlertChange) {
        let key = &change.dedup_key;
        match (change.event, change.quiet_until) {
            // A recurring alert without a message was snoozed before its trigger held, so no notification is due.
            (AlertEvent::Suppressed, Some(until))
                if change.trigger != Trigger::Recurring || change.message.is_some() =>
            {
                let alert = SuppressedAlert { incident_id, trigger: change.trigger, until, seq: entry.seq };
                self.suppressed.insert(key.clone(), alert);
            }
            (AlertEvent::NotFired | AlertEvent::Repeated, _) => return,
            _ => drop(self.suppressed.remove(key)),
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
                    let (notification_kind, stream) = match unacknowledged_minutes {
                        None => (NotificationKind::Trigger, key.clone()),
                        Some(minutes) => (NotificationKind::Again, follow_up_stream(key, *minutes)),
                    };
                    let id = (channel.clone(), stream.clone());
                    let delay = TimeDelta::minutes(unacknowledged_minutes.unwrap_or(0).into());
                    self.alerts.entry(key.clone()).or_default().insert(id.clone());
                    let target = self.streams.entry(id).or_default();
                    // The new notification replaces an older one of its kind that was not attempted yet.
                    target.queue.retain(|queued| {
                        queued.attempts > 0 || queued.notification.notification_kind != notification_kind
                    });
                    (target.kind, target.to, target.dedup_key) = (Some(*kind), to.clone(), Some(key.clone()));
                    let not_before = entry.recorded_at.plus(delay);
                    target.queue.push_back(QueuedNotification {
                        notification: Notification {
                            source,
                            notification_kind,
                            channel: channel.clone(),
                            kind: *kind,
                            to: to.clone(),
                            stream,
                            at: entry.decided_at(),
                            content: NotificationContent::Alert(content(severity, *unacknowledged_minutes)),
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
                let resolved = matches!(change.event, AlertEvent::Cleared | AlertEvent::Resolved);
                let notification_kind =
                    if resolved { NotificationKind::Resolve } else { NotificationKind::Acknowledge };
                let streams = self.alerts.get(key).cloned().unwrap_or_default();
                for id in streams {
                    let Some(stream) = self.streams.get_mut(&id) else { continue };
                    let replaced = stream.queue.iter().filter(|queued| queued.attempts == 0);
                    let resolutions =
                        replaced.filter(|queued| queued.notification.notification_kind == NotificationKind::Resolve);
                    self.replaced_resolutions.extend(resolutions.map(|queued| queued.row..entry.seq));
                    stream.queue.retain(|queued| queued.attempts > 0);
                    let Some(kind) = stream.kind.filter(|_| stream.is_open) else { continue };
                    // PagerDuty already has the state that it reported.
                    if entry.interface == Interface::Pagerduty && kind == ChannelKind::Pagerduty {
                        stream.is_open = !resolved;
                        continue;
                    }
                    let (channel, key) = id;
                    stream.queue.push_back(QueuedNotification {
                        notification: Notification {
                            source,
                            notification_kind,
                            channel,
                            kind,
                            to: stream.to.clone(),
                            stream: key,
                            at: entry.decided_at(),
                            content: NotificationContent::Alert(content(severity, None)),
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
                if resolved {
                    self.remove_alert(key);
                }
            }
            AlertEvent::Repeated | AlertEvent::NotFired => {}
        }
    }

    /// Removes a resolved alert, and its streams without pending notifications.
    fn remove_alert(&mut self, dedup_key: &str) {
        let Some(streams) = self.alerts.remove(dedup_key) else { return };
        for id in streams {
            if self.streams.get(&id).is_some_and(|stream| stream.queue.is_empty()) {
                self.streams.remove(&id);
            }
        }
    }

    /// Queues the applied remediation steps for the pagers that got alerts of the incident.
    fn push_changes(&mut self, entry: &Entry, steps: &[Remediation]) {
        let Some(incident_id) = entry.facts.incident_id else { return };
        let is_applied = |step: &&Remediation| step.applied && step.result != Some(RemediationResult::Failed);
        let prefix = format!("{incident_id}/");
        let alerts = self.alerts.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        let streams = alerts.flat_map(|(_, streams)| streams);
        let pager = |id: &&StreamId| self.streams.get(*id).is_some_and(|it| it.kind == Some(ChannelKind::Pagerduty));
        let pagers: BTreeSet<Id> = streams.filter(pager).map(|(channel, _)| channel.clone()).collect();
        for (number, step) in (1..).zip(steps.iter().filter(is_applied)) {
            let content = NotificationContent::Change {
                incident_id,
                title: step.title.clone(),
                actor: entry.request.actor().clone(),
            };
            for channel in &pagers {
                let stream = format!("change/{incident_id}/{}.{number}", entry.seq);
                self.push_plain(entry, channel.clone(), NotificationKind::Change, stream, content.clone());
            }
        }
    }

    /// Queues a notification that does not belong to an alert.
    fn push_plain(
        &mut self,
        entry: &Entry,
        channel: Id,
        notification_kind: NotificationKind,
        stream: String,
        content: NotificationContent,
    ) {
        let source = EventRef { seq: entry.seq, ordinal: 1 };
        self.push((source, entry.seq), entry.recorded_at, channel, notification_kind, stream, content);
    }

    /// Queues a notification. `row` is the first ledger row from which it follows.
    fn push(
        &mut self,
        (source, row): (EventRef, u64),
        at: Timestamp,
        channel: Id,
        notification_kind: NotificationKind,
        stream: String,
        content: NotificationContent,
    ) {
        let Some(known) = self.policy.channels.get(&channel) else { return };
        let (kind, Some(to)) = (known.kind, known.to.clone()) else { return };
        let target = self.streams.entry((channel.clone(), stream.clone())).or_default();
        (target.kind, target.to) = (Some(kind), to.clone());
        // A later revision replaces one that was not attempted yet.
        target.queue.retain(|queued| queued.attempts > 0);
        target.queue.push_back(QueuedNotification {
            notification: Notification { source, notification_kind, channel, kind, to, stream, at, content },
            row,
            since: at,
            not_before: at,
            attempts: 0,
            first_tried: None,
            claimed_until: None,
            only: None,
        });
    }

    fn add_deliveries(&mut self, entry: &Entry, request: &RecordDeliveries) {
        self.has_deliveries = true;
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
            self.add_step(EventRef { seq: entry.seq, ordinal }, request.at, step);
        }
    }

    fn add_step(&mut self, source: EventRef, at: Timestamp, step: &DeliveryStep) {
        let id = (step.channel.clone(), step.stream.clone());
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let is_same = |queued: &QueuedNotification| {
            let Notification { source, notification_kind, .. } = &queued.notification;
            *source == step.source && *notification_kind == step.notification_kind
        };
        let Some(index) = stream.queue.iter().position(is_same) else { return };
        let mut abandoned = None;
        match step.event {
            DeliveryEvent::Claimed => {
                let queued = &mut stream.queue[index];
                // Only the first attempt changes the state: the alert may have been resolved before a retry.
                if queued.attempts == 0 {
                    match step.notification_kind {
                        NotificationKind::Trigger | NotificationKind::Again => stream.is_open = true,
                        NotificationKind::Resolve => stream.is_open = false,
                        _ => {}
                    }
                }
                queued.attempts = step.attempt;
                queued.first_tried.get_or_insert(at);
                queued.claimed_until = step.until;
            }
            DeliveryEvent::Partly | DeliveryEvent::Retry | DeliveryEvent::Unknown => {
                let queued = &mut stream.queue[index];
                if step.event == DeliveryEvent::Partly {
                    queued.only.clone_from(&step.waits_for);
                }
                queued.claimed_until = None;
                queued.not_before = step.until.unwrap_or(at);
            }
            DeliveryEvent::Delivered => {
                if stream.receipt.is_none() {
                    stream.receipt.clone_from(&step.receipt);
                }
                stream.queue.remove(index);
            }
            DeliveryEvent::Skipped => drop(stream.queue.remove(index)),
            DeliveryEvent::Dead => abandoned = stream.queue.remove(index),
        }
        let is_resolved = stream.dedup_key.as_ref().is_none_or(|key| !self.alerts.contains_key(key));
        if is_resolved && stream.queue.is_empty() {
            self.streams.remove(&id);
        }
        let Some(QueuedNotification { notification, row, only, .. }) = abandoned else { return };
        let (NotificationContent::Alert(alert), NotificationKind::Trigger | NotificationKind::Again) =
            (notification.content, notification.notification_kind)
        else {
            return;
        };
        let reason = step.reason.clone().unwrap_or_default();
        for channel in self.fallback_channels(&notification.channel) {
            let stream = format!("undelivered/{}/{}", notification.channel, notification.stream);
            let content = NotificationContent::Undelivered(Undelivered {
                alert: alert.clone(),
                channel: notification.channel.clone(),
                kind: notification.kind,
                recipients: only.clone(),
                reason: reason.clone(),
            });
            self.push((source, row), at, channel, NotificationKind::Undelivered, stream, content);
        }
    }

    /// Returns the channels that are notified when delivery to `failed` was abandoned.
    fn fallback_channels(&self, failed: &Id) -> Vec<Id> {
        let named = &self.policy.delivery.undelivered;
        let all = self.policy.channels.keys();
        let chosen: Vec<&Id> = if named.is_empty() { all.collect() } else { named.iter().collect() };
        chosen.into_iter().filter(|channel| *channel != failed).cloned().collect()
    }

    fn bucket(&mut self, channel: &Id, now: Timestamp) -> &mut TokenBucket {
        let rate = self.policy.channels.get(channel).map_or(1, |channel| channel.connection.per_minute);
        let before = self.claimed_before;
        self.buckets.entry(channel.clone()).or_insert_with(|| TokenBucket::new(rate, before, now))
    }

    /// Plans the deliveries at `now`, with at most `max_messages` messages.
    pub fn plan(&mut self, now: Timestamp, max_messages: usize) -> DeliveryPlan {
        let channels: BTreeSet<Id> = self.streams.keys().map(|(channel, _)| channel.clone()).collect();
        let tokens: BTreeMap<Id, (usize, Timestamp)> =
            channels.into_iter().map(|channel| (channel.clone(), self.bucket(&channel, now).tokens(now))).collect();
        let mut plan = DeliveryPlan::default();
        let mut ready: BTreeMap<&Id, Vec<StreamHead<'_>>> = BTreeMap::new();
        let mut stale: BTreeMap<&Id, Vec<StreamHead<'_>>> = BTreeMap::new();
        let mut later = |at: Timestamp| plan.next = Some(plan.next.map_or(at, |next: Timestamp| next.min(at)));
        for ((channel, _), stream) in &self.streams {
            let Some(queued) = stream.queue.front() else { continue };
            match self.readiness(stream, queued, now) {
                Readiness::NotBefore(at) => later(at),
                Readiness::Dropped(event, reason) => plan.dropped.push(DroppedNotification {
                    notification: queued.notification.clone(),
                    attempts: queued.attempts,
                    event,
                    reason,
                }),
                Readiness::Ready => ready.entry(channel).or_default().push(StreamHead { queued, stream }),
                Readiness::Stale => stale.entry(channel).or_default().push(StreamHead { queued, stream }),
            }
        }
        if let Some(until) = self.suppressed.values().map(|alert| alert.until).min() {
            later(until);
        }
        let mut room = max_messages;
        for (channel, (tokens, refilled)) in &tokens {
            let (mut stale, ready) =
                (stale.remove(channel).unwrap_or_default(), ready.remove(channel).unwrap_or_default());
            let (mut alerts, mut rest): (Vec<_>, Vec<_>) = ready
                .into_iter()
                .partition(|head| head.queued.notification.notification_kind == NotificationKind::Trigger);
            // All notifications of a message have the same recipients.
            stale.sort_by_key(|head| &head.queued.only);
            alerts.sort_by_key(|head| (&head.queued.only, head.priority()));
            rest.sort_by_key(StreamHead::priority);
            let stale = stale.chunk_by(StreamHead::same_recipients).flat_map(|same| same.chunks(MAX_BUNDLE));
            let stale = stale.map(|part| (Some(SummaryReason::Stale), part));
            let mut fired = Vec::new();
            for same in alerts.chunk_by(StreamHead::same_recipients) {
                let is_read = same.first().is_some_and(|head| head.queued.notification.kind.is_read());
                let many = is_read && same.len() > self.policy.delivery.bundle_over as usize;
                let at_once = if many { MAX_BUNDLE } else { 1 };
                fired.extend(same.chunks(at_once).map(|part| (many.then_some(SummaryReason::Many), part)));
            }
            fired.sort_by_key(|(_, part)| part.first().map(StreamHead::priority));
            let mut messages = stale.chain(fired).chain(rest.chunks(1).map(|part| (None, part)));
            let some = (*tokens).min(room);
            let sent = plan.send.len();
            plan.send.extend(
                messages.by_ref().take(some).filter_map(|(because, part)| OutboundMessage::from_heads(because, part)),
            );
            room -= plan.send.len() - sent;
            if messages.next().is_some() {
                let at = if room > 0 { *refilled } else { now };
                plan.next = Some(plan.next.map_or(at, |next| next.min(at)));
            }
        }
        plan
    }

    /// Returns whether the first notification of `stream` can be sent at `now`.
    fn readiness(&self, stream: &Stream, queued: &QueuedNotification, now: Timestamp) -> Readiness {
        let QueuedNotification { notification, since, not_before, attempts, first_tried, claimed_until, only, .. } =
            queued;
        if let Some(until) = claimed_until.filter(|until| *until > now) {
            return Readiness::NotBefore(until);
        }
        if let Some(only) = only.as_ref().filter(|_| stream.queue.len() > 1) {
            let reason = format!("{only} did not get it yet; all recipients get the newer notification instead");
            return Readiness::Dropped(DeliveryEvent::Skipped, reason);
        }
        if *not_before > now {
            return Readiness::NotBefore(*not_before);
        }
        if let Some(until) = self.paused.get(&notification.channel).filter(|until| **until > now) {
            return Readiness::NotBefore(*until);
        }
        let delivery = &self.policy.delivery;
        let retry_time = TimeDelta::minutes(delivery.give_up_minutes.into());
        if let Some(first) = first_tried.filter(|first| first.plus(retry_time) <= now) {
            let reason = match only {
                None => format!("not delivered since {first}, in {attempts} attempts"),
                Some(only) => format!(
                    "not delivered to {only} since {first}, in {attempts} attempts; the other recipients have it"
                ),
            };
            return Readiness::Dropped(DeliveryEvent::Dead, reason);
        }
        let maintenance_end = |at: Timestamp| {
            let (NotificationContent::Alert(alert), NotificationKind::Trigger | NotificationKind::Again) =
                (&notification.content, notification.notification_kind)
            else {
                return None;
            };
            let windows = self.policy.maintenance.iter();
            windows.filter_map(|window| window.holds(alert.trigger, alert.severity, at)).max()
        };
        if let Some(until) = maintenance_end(now) {
            return Readiness::NotBefore(until);
        }
        let older_than = |max_age: TimeDelta| {
            // A notification that was held back by maintenance ages from the end of it.
            let since = maintenance_end(*since).unwrap_or(*since);
            first_tried.unwrap_or(now) > since.plus(max_age)
        };
        let stale = TimeDelta::minutes(delivery.stale_minutes.into());
        let too_old = match notification.notification_kind {
            NotificationKind::Trigger | NotificationKind::Change | NotificationKind::Undelivered => older_than(stale),
            NotificationKind::Digest => older_than(MAX_DIGEST_AGE),
            // The receiver has the trigger and must get what follows it.
            NotificationKind::Again | NotificationKind::Acknowledge | NotificationKind::Resolve => false,
        };
        match notification.notification_kind {
            _ if !too_old && !self.policy.channels.contains_key(&notification.channel) => {
                let reason = format!("there is no channel {} in the configuration", notification.channel);
                Readiness::Dropped(DeliveryEvent::Dead, reason)
            }
            _ if !too_old => Readiness::Ready,
            NotificationKind::Trigger if !self.has_deliveries => {
                let reason = "it fired before the first notification was sent from this lake".to_owned();
                Readiness::Dropped(DeliveryEvent::Skipped, reason)
            }
            NotificationKind::Trigger if self.policy.channels.contains_key(&notification.channel) => Readiness::Stale,
            _ => Readiness::Dropped(
                DeliveryEvent::Skipped,
                format!("it could not be sent since {since} and is too old now"),
            ),
        }
    }
}

/// First notification of a stream.
#[derive(Clone, Copy)]
struct StreamHead<'a> {
    queued: &'a QueuedNotification,
    stream: &'a Stream,
}

impl StreamHead<'_> {
    /// Returns the sort key: the most severe notification first, then the oldest.
    fn priority(&self) -> (Reverse<Option<Severity>>, EventRef) {
        (Reverse(self.queued.notification.urgency()), self.queued.notification.source)
    }

    fn same_recipients(&self, other: &Self) -> bool {
        self.queued.only == other.queued.only
    }
}

/// Whether a notification can be sent.
enum Readiness {
    NotBefore(Timestamp),
    Ready,
    /// It is old, and is sent in a summary with other old alerts.
    Stale,
    /// It is not sent; the event and reason to record.
    Dropped(DeliveryEvent, String),
}

#[cfg(test)]
mod tests;
