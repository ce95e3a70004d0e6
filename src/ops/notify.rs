//! Sends due notifications: claims them in the ledger, sends them and records the outcome.
//!
//! - here: the loop of one sender process
//! - [`load`]: loads the outbox from the tables, without settled notifications
//! - [`compose`]: renders a notification for its channel

mod compose;
mod load;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use chrono::TimeDelta;
use rand::RngExt;
use tokio::{
    task::{JoinHandle, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{CHUNK, OpsError, existing_lake, open_ledger, prepare_step, recurrence, settle};
use crate::{
    channels::{Address, ChannelTarget, DeliveryAttempt, HttpClient, TargetError},
    domain::{
        entry::{Entry, Request, canonical},
        escalation::trigger::Trigger,
        ids::{Id, IncidentId},
        incident::Incident,
        interface::Interface,
        notification::{
            DeliveryCounts, DeliveryOutcome, DeliveryStep, IncidentContext, RecordDeliveries,
            event::DeliveryEvent,
            outbox::{DeliveryPlan, DueNotification, OutboundMessage, Outbox, SuppressedAlert},
        },
        recurrence::changes::ExpiredSuppression,
        redact::{Redactions, Redactor},
        steps::EvaluateEscalations,
        time::Timestamp,
    },
    lake::{
        Lake, LakeError,
        ledger::{self, Committer, Ledger, Submission},
        log::Log,
        table::Table,
    },
    tables::catalog::AUDIT_LOG,
};

/// The actor of deliveries.
const ACTOR: &str = "system:deliver";
/// Concurrent messages.
const MAX_IN_FLIGHT: usize = 256;
/// Incidents whose titles are cached.
const MAX_CACHED_INCIDENTS: usize = 10_000;
/// Maximum number of steps in one row of the ledger.
const MAX_STEPS: usize = 1_000;
/// [`SendMode::UntilDone`] also waits for notifications that become due within this time.
const SHORT_WAIT: TimeDelta = TimeDelta::seconds(10);
/// The backoff after the first attempt. It doubles with every further attempt.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);
/// The wait after a channel could not be resolved: its configuration does not change soon.
const UNCONFIGURED_S: u64 = 60;
/// The longest wait that a receiver can request.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);
/// The interval of heartbeats.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(60);
/// The interval of projections while the sender runs.
const SETTLE_INTERVAL: Duration = Duration::from_secs(60);
/// The backoff after an error. It doubles with every further error.
const AFTER_ERROR: Duration = Duration::from_secs(2);

/// The channels of the configuration, with their credentials.
#[derive(Debug)]
pub struct ConfiguredChannels {
    pub http: HttpClient,
    /// By channel id. An error says why the channel cannot be used.
    pub targets: BTreeMap<Id, Result<Arc<ChannelTarget>, TargetError>>,
}

/// How long the sender runs.
#[derive(Debug, Clone)]
pub enum SendMode {
    /// Until no notification is due.
    UntilDone,
    /// Until it is stopped. Polls the ledger for new entries.
    UntilStopped { poll_interval: Duration },
}

/// The progress of the sender.
#[derive(Debug)]
pub enum SendProgress<'a> {
    Sent(&'a DeliveryStep),
    /// Reading or recording failed. The sender retries.
    Failed(&'a OpsError),
    /// A heartbeat was not sent or not accepted.
    HeartbeatFailed(String),
}

/// Sends due notifications until none is due or `stop` is cancelled. Then waits for the messages in flight.
///
/// # Errors
/// [`OpsError`] with [`SendMode::UntilDone`]. With [`SendMode::UntilStopped`] the sender retries.
pub async fn send_due(
    lake: &Lake,
    redactor: &Redactor,
    channels: &ConfiguredChannels,
    until: &SendMode,
    heartbeat: Option<&Address>,
    stop: CancellationToken,
    mut progress: impl FnMut(SendProgress<'_>),
) -> Result<DeliveryCounts, OpsError> {
    // A missing lake has no notifications: it is probably a wrong location.
    existing_lake(lake).await?;
    let mut counts = DeliveryCounts::default();
    let mut failed = 0;
    loop {
        let (ledger, committer) = match open_ledger(lake).await {
            Ok(opened) => opened,
            Err(error) => {
                back_off_after_error(until, &stop, &mut failed, error.into(), &mut progress).await?;
                continue;
            }
        };
        let mut sender = NotificationSender {
            lake,
            redactor,
            channels,
            heartbeat,
            id: id(&lake.context.uuid().to_string())?,
            ledger,
            incidents_by_id: HashMap::new(),
            in_flight: JoinSet::new(),
            counts,
            settled_to: 0,
            last_heartbeat_at: None,
            pending_heartbeat: None,
            dead_since_heartbeat: false,
        };
        let result = sender.run(until, &stop, &mut failed, &mut progress).await;
        // Otherwise the results of messages in flight would be lost, and they would be sent again.
        let finished = sender.finish_in_flight(&mut progress).await;
        counts = sender.counts;
        drop(sender);
        Committer::finished(committer).await;
        match result.and(finished) {
            Ok(()) => break,
            Err(error) => back_off_after_error(until, &stop, &mut failed, error, &mut progress).await?,
        }
        if stop.is_cancelled() {
            break;
        }
    }
    settle(lake).await?;
    Ok(counts)
}

/// After an error: returns it, or waits before the next attempt.
async fn back_off_after_error(
    until: &SendMode,
    stop: &CancellationToken,
    failed: &mut u32,
    error: OpsError,
    progress: &mut impl FnMut(SendProgress<'_>),
) -> Result<(), OpsError> {
    if matches!(until, SendMode::UntilDone) || stop.is_cancelled() {
        return Err(error);
    }
    progress(SendProgress::Failed(&error));
    let backoff = AFTER_ERROR * 2_u32.saturating_pow((*failed).min(5));
    *failed += 1;
    tokio::select! {
        () = tokio::time::sleep(backoff) => {}
        () = stop.cancelled() => {}
    }
    Ok(())
}

/// The outcome of sending one message.
struct SendResult {
    message: OutboundMessage,
    outcome: DeliveryOutcome,
}

/// One sender process with its view of the ledger.
struct NotificationSender<'a> {
    lake: &'a Lake,
    redactor: &'a Redactor,
    channels: &'a ConfiguredChannels,
    heartbeat: Option<&'a Address>,
    id: Id,
    ledger: Ledger,
    incidents_by_id: HashMap<IncidentId, IncidentContext>,
    in_flight: JoinSet<SendResult>,
    counts: DeliveryCounts,
    /// All notifications up to this row of the ledger are settled.
    settled_to: u64,
    last_heartbeat_at: Option<Instant>,
    /// A heartbeat in flight. It runs in the background, so that it delays no notification.
    pending_heartbeat: Option<JoinHandle<Result<(), String>>>,
    dead_since_heartbeat: bool,
}

/// Reads the ledger into the outbox.
struct OutboxReader {
    table: Table,
    log: Log,
    outbox: Outbox,
}

impl NotificationSender<'_> {
    async fn run(
        &mut self,
        until: &SendMode,
        stop: &CancellationToken,
        failed: &mut u32,
        progress: &mut impl FnMut(SendProgress<'_>),
    ) -> Result<(), OpsError> {
        let table = self.lake.table(AUDIT_LOG);
        let log = table.newest_log().await?;
        let mut reader = OutboxReader { table, log, outbox: load::outbox(self.lake).await? };
        let mut settled = Instant::now();
        while !stop.is_cancelled() {
            self.catch_up(&mut reader).await?;
            self.settled_to = reader.outbox.settled_to();
            if self.evaluate_expired_snoozes(&mut reader.outbox).await? {
                continue;
            }
            let now = self.lake.context.now();
            let plan = reader.outbox.plan(now, MAX_IN_FLIGHT.saturating_sub(self.in_flight.len()));
            let next = plan.next;
            if !(plan.send.is_empty() && plan.dropped.is_empty()) {
                match self.claim_and_send(reader.outbox.last_seq(), plan, now, progress).await {
                    Err(OpsError::Commit(error)) if matches!(*error, LakeError::Stale) => {
                        // A concurrent sender was first. A random backoff avoids a second conflict.
                        let backoff = rand::rng().random_range(0..50);
                        tokio::time::sleep(Duration::from_millis(backoff)).await;
                    }
                    claimed => claimed?,
                }
                continue;
            }
            *failed = 0;
            self.counts.waiting = reader.outbox.waiting() as u64;
            self.counts.unsettled = reader.outbox.unsettled(now) as u64;
            self.send_heartbeat(progress).await;
            if settled.elapsed() > SETTLE_INTERVAL {
                settle(self.lake).await?;
                settled = Instant::now();
            }
            let micros_until = |next: Timestamp| (next.seconds_since(now).max(0.0) * 1e6) as u64;
            let wait = next.map(|next| Duration::from_micros(micros_until(next)));
            let wait = match until {
                SendMode::UntilDone
                    if self.in_flight.is_empty() && next.is_none_or(|next| next > now.plus(SHORT_WAIT)) =>
                {
                    return Ok(());
                }
                SendMode::UntilDone => wait.unwrap_or(LONGEST_BACKOFF),
                SendMode::UntilStopped { poll_interval } => {
                    wait.map_or(*poll_interval, |wait| wait.min(*poll_interval))
                }
            };
            tokio::select! {
                Some(sent) = self.in_flight.join_next() => self.record_results(sent.ok(), progress).await?,
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => {}
            }
        }
        Ok(())
    }

    /// Reads the new entries of the ledger.
    async fn catch_up(&mut self, reader: &mut OutboxReader) -> Result<(), OpsError> {
        reader.table.refresh(&mut reader.log).await?;
        let head = ledger::head(&reader.table, &reader.log).await?.chain.seq;
        while reader.outbox.last_seq() < head {
            let last = head.min(reader.outbox.last_seq() + CHUNK as u64);
            for (seq, text) in ledger::entries(&reader.table, &reader.log, reader.outbox.last_seq(), last).await? {
                let entry = Entry::parse(&text).map_err(|error| LakeError::Corrupt(format!("entry {seq}: {error}")))?;
                self.remember_incident(&entry);
                reader.outbox.add(&entry);
            }
            if reader.outbox.last_seq() < last {
                return Err(LakeError::Corrupt(format!("row {last} cannot be found")).into());
            }
        }
        Ok(())
    }

    /// Caches the incident of an entry.
    fn remember_incident(&mut self, entry: &Entry) {
        let Some(incident_id) = entry.facts.incident_id else { return };
        let about = match &entry.request {
            Request::RecordReport(report) | Request::OpenIncident(report) => {
                load::incident_summary(&Incident::of(report))
            }
            _ => match &entry.facts.incident {
                Some(incident) => load::incident_summary(incident),
                None => return,
            },
        };
        if self.incidents_by_id.len() >= MAX_CACHED_INCIDENTS {
            self.incidents_by_id.clear();
        }
        self.incidents_by_id.insert(incident_id, about);
    }

    /// Evaluates alerts whose snooze has expired. Returns whether there were any.
    async fn evaluate_expired_snoozes(&mut self, outbox: &mut Outbox) -> Result<bool, OpsError> {
        let now = self.lake.context.now();
        let expired = outbox.expired_suppressions(now);
        // A recurring issue is evaluated by its cause, not by its incident.
        let (recurring, own): (Vec<_>, Vec<_>) =
            expired.iter().partition(|(_, alert)| alert.trigger == Trigger::Recurring);
        for (key, alert) in own {
            let step = EvaluateEscalations {
                incident_id: alert.incident_id,
                actor: id(ACTOR)?,
                at: None,
                request_id: Some(id(&format!("quiet-over/{key}/{}", alert.until))?),
            };
            let submission = prepare_step(step, self.redactor, now, Interface::Deliver)
                .map_err(|problems| LakeError::Corrupt(format!("an evaluation cannot be requested: {problems:?}")))?;
            self.ledger.submit(submission).await?;
        }
        if !recurring.is_empty() {
            let issues: Vec<ExpiredSuppression> = recurring
                .iter()
                .map(|(_, SuppressedAlert { incident_id, until, seq, .. })| ExpiredSuppression {
                    incident_id: *incident_id,
                    until: *until,
                    seq: *seq,
                })
                .collect();
            recurrence::scan_expired_snoozes(self.lake, &self.ledger, &issues).await?;
            recurring.iter().for_each(|(key, _)| outbox.remove_suppression(key));
        }
        Ok(!expired.is_empty())
    }

    /// Records claims and skipped notifications, then sends the claimed ones.
    async fn claim_and_send(
        &mut self,
        last_seq: u64,
        plan: DeliveryPlan,
        now: Timestamp,
        progress: &mut impl FnMut(SendProgress<'_>),
    ) -> Result<(), OpsError> {
        let lease = TimeDelta::seconds(self.lake.context.policy.delivery.lease_seconds.into());
        let mut steps = Vec::new();
        for dropped in plan.dropped.iter().take(MAX_STEPS) {
            steps.push(DeliveryStep {
                reason: Some(dropped.reason.clone()),
                ..dropped.notification.step(dropped.event, dropped.attempts)
            });
        }
        let mut messages = Vec::new();
        for (number, message) in (1..).zip(plan.send) {
            if !steps.is_empty() && steps.len() + message.notifications().len() > MAX_STEPS {
                break;
            }
            let bundle = matches!(message, OutboundMessage::Summary(..)).then_some(number);
            steps.extend(message.notifications().iter().map(|due| DeliveryStep {
                until: Some(now.plus(lease)),
                bundle,
                ..due.notification.step(DeliveryEvent::Claimed, due.attempt)
            }));
            messages.push(message);
        }
        let started = Instant::now();
        self.record(steps, Some(last_seq), now, progress).await?;
        // The lease must cover sending. If recording took too long, another sender takes over after the lease expires.
        if started.elapsed() * 2 > lease.to_std().unwrap_or_default() {
            return Ok(());
        }
        self.load_incidents(&messages).await?;
        for message in messages {
            self.send(message, now);
        }
        Ok(())
    }

    /// Loads the incidents that are not cached.
    async fn load_incidents(&mut self, messages: &[OutboundMessage]) -> Result<(), OpsError> {
        let incidents =
            messages.iter().flat_map(OutboundMessage::notifications).filter_map(|due| due.notification.incident_id());
        let unknown: Vec<IncidentId> =
            incidents.filter(|incident| !self.incidents_by_id.contains_key(incident)).collect();
        if !unknown.is_empty() {
            self.incidents_by_id.extend(load::incident_summaries(self.lake, &unknown).await?);
        }
        Ok(())
    }

    fn send(&mut self, message: OutboundMessage, now: Timestamp) {
        let Some(first) = message.notifications().first() else { return };
        let target = match self.channels.targets.get(&first.notification.channel) {
            Some(Ok(target)) => Ok(Arc::clone(target)),
            Some(Err(why)) => Err(format!("the channel cannot be reached: {why}")),
            None => Err("the channel cannot be reached: it is not in the configuration".to_owned()),
        };
        let about = |due: &DueNotification| {
            let known = due.notification.incident_id().and_then(|incident| self.incidents_by_id.get(&incident));
            known.cloned().unwrap_or_default()
        };
        let rendered = compose::message(&message, about);
        let http = self.channels.http.clone();
        self.in_flight.spawn(async move {
            let outcome = match (target, rendered) {
                (Err(reason), _) => DeliveryOutcome::RetryLater { reason, after_s: Some(UNCONFIGURED_S) },
                (Ok(_), None) => {
                    DeliveryOutcome::Refused { reason: "the channel does not support this kind of notification".into() }
                }
                (Ok(target), Some(rendered)) => {
                    let (thread, only) = (rendered.thread.as_deref(), message.recipients());
                    let attempt = DeliveryAttempt { id: &rendered.id, thread, only, now };
                    target.send(&http, &rendered.payload, attempt).await
                }
            };
            SendResult { message, outcome }
        });
    }

    /// Records the result of a message, and of all others that have finished.
    async fn record_results(
        &mut self,
        first: Option<SendResult>,
        progress: &mut impl FnMut(SendProgress<'_>),
    ) -> Result<(), OpsError> {
        let mut all: Vec<SendResult> = first.into_iter().collect();
        while let Some(sent) = self.in_flight.try_join_next() {
            all.extend(sent.ok());
        }
        let now = self.lake.context.now();
        let mut steps = Vec::new();
        for SendResult { message, outcome } in &all {
            self.counts.messages +=
                u64::from(matches!(outcome, DeliveryOutcome::Accepted { .. } | DeliveryOutcome::Partly { .. }));
            // Notifications of one message are retried as one message.
            let attempt = message.notifications().iter().map(|due| due.attempt).max().unwrap_or(1);
            let backoff = backoff(attempt);
            steps.extend(message.notifications().iter().map(|due| outcome_step(due, outcome, now, backoff)));
        }
        for steps in steps.chunks(MAX_STEPS) {
            self.record(steps.to_vec(), None, now, progress).await?;
        }
        Ok(())
    }

    /// Waits for all messages in flight and records their results.
    async fn finish_in_flight(&mut self, progress: &mut impl FnMut(SendProgress<'_>)) -> Result<(), OpsError> {
        while let Some(sent) = self.in_flight.join_next().await {
            self.record_results(sent.ok(), progress).await?;
        }
        self.finish_heartbeat(progress).await;
        Ok(())
    }

    async fn record(
        &mut self,
        steps: Vec<DeliveryStep>,
        based_on: Option<u64>,
        at: Timestamp,
        progress: &mut impl FnMut(SendProgress<'_>),
    ) -> Result<(), OpsError> {
        if steps.is_empty() {
            return Ok(());
        }
        let (actor, deliverer, settled_to) = (id(ACTOR)?, self.id.clone(), self.settled_to);
        let request = RecordDeliveries { actor, deliverer, at, based_on, settled_to, steps };
        let size = canonical(&request).map_err(LakeError::from)?.len();
        let submission = Submission {
            // Every attempt is a request of its own; the notification is the same.
            request_id: id(&format!("deliver-{}", self.lake.context.uuid()))?,
            request: Request::RecordDeliveries(Box::new(request.clone())),
            redactions: Redactions::default(),
            interface: Interface::Deliver,
            size,
        };
        self.ledger.submit(submission).await?;
        for step in &request.steps {
            match step.event {
                DeliveryEvent::Claimed => continue,
                DeliveryEvent::Delivered => self.counts.delivered += 1,
                DeliveryEvent::Partly | DeliveryEvent::Retry => self.counts.retried += 1,
                DeliveryEvent::Unknown => {
                    self.counts.retried += 1;
                    self.counts.unknown += 1;
                }
                DeliveryEvent::Dead => {
                    self.counts.dead += 1;
                    self.dead_since_heartbeat = true;
                }
                DeliveryEvent::Skipped => self.counts.skipped += 1,
            }
            progress(SendProgress::Sent(step));
        }
        Ok(())
    }

    /// Sends a heartbeat if it is due, but not if a notification was given up since the last one.
    async fn send_heartbeat(&mut self, progress: &mut impl FnMut(SendProgress<'_>)) {
        let Some(address) = self.heartbeat else { return };
        if self.pending_heartbeat.as_ref().is_some_and(JoinHandle::is_finished) {
            self.finish_heartbeat(progress).await;
        }
        if self.pending_heartbeat.is_some()
            || self.last_heartbeat_at.is_some_and(|at| at.elapsed() < HEARTBEAT_INTERVAL)
        {
            return;
        }
        self.last_heartbeat_at = Some(Instant::now());
        if std::mem::take(&mut self.dead_since_heartbeat) {
            return progress(SendProgress::HeartbeatFailed(
                "a notification was given up since the last heartbeat".into(),
            ));
        }
        let (http, address) = (self.channels.http.clone(), address.clone());
        self.pending_heartbeat = Some(tokio::spawn(async move { http.send_heartbeat(&address).await }));
    }

    /// Waits for the heartbeat in flight and reports its failure.
    async fn finish_heartbeat(&mut self, progress: &mut impl FnMut(SendProgress<'_>)) {
        if let Some(pending_heartbeat) = self.pending_heartbeat.take()
            && let Ok(Err(why)) = pending_heartbeat.await
        {
            progress(SendProgress::HeartbeatFailed(why));
        }
    }
}

/// Returns the step that records an attempt. A retry is due after `backoff`.
fn outcome_step(due: &DueNotification, outcome: &DeliveryOutcome, now: Timestamp, backoff: TimeDelta) -> DeliveryStep {
    let step = |event: DeliveryEvent, reason: Option<&String>| DeliveryStep {
        reason: reason.cloned(),
        ..due.notification.step(event, due.attempt)
    };
    match outcome {
        DeliveryOutcome::Accepted { receipt, refused } => {
            DeliveryStep { receipt: receipt.clone(), ..step(DeliveryEvent::Delivered, refused.as_ref()) }
        }
        DeliveryOutcome::Partly { receipt, waits_for, reason } => DeliveryStep {
            until: Some(now.plus(backoff)),
            waits_for: Some(waits_for.clone()),
            receipt: receipt.clone(),
            ..step(DeliveryEvent::Partly, Some(reason))
        },
        DeliveryOutcome::Refused { reason } => {
            let reason = match &due.only {
                None => reason.clone(),
                Some(_) => format!("{reason}; the other recipients have it"),
            };
            step(DeliveryEvent::Dead, Some(&reason))
        }
        DeliveryOutcome::Unknown { reason } => {
            DeliveryStep { until: Some(now.plus(backoff)), ..step(DeliveryEvent::Unknown, Some(reason)) }
        }
        DeliveryOutcome::RetryLater { reason, after_s } => {
            let requested = after_s.map(|after| TimeDelta::seconds(after.min(LONGEST_WAIT.as_secs()).cast_signed()));
            let wait = requested.unwrap_or_default().max(backoff);
            DeliveryStep {
                until: Some(now.plus(wait)),
                channel_until: requested.map(|wait| now.plus(wait)),
                ..step(DeliveryEvent::Retry, Some(reason))
            }
        }
    }
}

/// Returns the backoff after an attempt: 1 s, 2 s, 4 s … 300 s, with a random factor between 0.5 and 1.
fn backoff(attempt: u32) -> TimeDelta {
    let longest = FIRST_BACKOFF.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1))).min(LONGEST_BACKOFF);
    let backoff = longest.mul_f64(rand::rng().random_range(0.5..=1.0));
    TimeDelta::from_std(backoff).unwrap_or_default()
}

fn id(text: &str) -> Result<Id, LakeError> {
    Id::new(text).map_err(|why| LakeError::Corrupt(format!("{text:?} {why}")))
}
