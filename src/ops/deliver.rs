//! Telling people: what is due is claimed in the ledger, sent, and what came of it recorded.
//!
//! - here: the loop of one deliverer
//! - [`start`]: what a deliverer knows before it reads on in the ledger
//! - [`compose`]: from a notice to what its channel is sent

mod compose;
mod start;

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
    delivery::{Address, Attempt, Http, Target, TargetError},
    domain::{
        delivery::{
            About, Delivered, DeliveryStep, Outcome, RecordDeliveries,
            outbox::{Due, Outbox, Plan, Quiet, Sending},
        },
        entry::{Entry, Request, canonical},
        ids::{Id, IncidentId},
        incident::Incident,
        recurrence::changes::QuietOver,
        redact::{Redactions, Redactor},
        steps::EvaluateEscalations,
        time::Timestamp,
        words::{DeliveryEvent, Interface, Trigger},
    },
    lake::{
        Lake, LakeError,
        ledger::{self, Committer, Ledger, Submission},
        log::Log,
        table::Table,
    },
    tables::catalog::AUDIT_LOG,
};

/// Who tells people.
const ACTOR: &str = "system:deliver";
/// Messages on their way at once.
const FLYING: usize = 256;
/// Incidents whose names are kept in memory.
const MAX_ABOUTS: usize = 10_000;
/// Steps in one row of the ledger, at most.
const MAX_STEPS: usize = 1_000;
/// A deliverer that ends when nothing is due waits for what is due within so long.
const PATIENCE: TimeDelta = TimeDelta::seconds(10);
/// The first pause after an attempt; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// What cannot be reached as it is configured is not reached in a moment either.
const UNCONFIGURED_S: u64 = 60;
/// A receiver that asks to wait for longer is asked again after this.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);
/// How often whoever watches the deliverer hears that it lives.
const BEAT_EVERY: Duration = Duration::from_secs(60);
/// How often the tables are brought up while a deliverer goes on.
const SETTLE_EVERY: Duration = Duration::from_secs(60);
/// After an error the next attempt begins after so long, and later each time.
const AFTER_ERROR: Duration = Duration::from_secs(2);

/// Where channels lead, and what shows that we may.
#[derive(Debug)]
pub struct Receivers {
    pub http: Http,
    /// By channel; or why it cannot be reached.
    pub targets: BTreeMap<Id, Result<Arc<Target>, TargetError>>,
}

/// How long a deliverer goes on.
#[derive(Debug, Clone)]
pub enum Until {
    /// Nothing is due any more.
    Done,
    /// It is told to stop. The ledger is looked at so often.
    Stopped { every: Duration },
}

/// What a deliverer says while it goes on.
#[derive(Debug)]
pub enum Said<'a> {
    Sent(&'a DeliveryStep),
    /// It could not read, or record, and tries again.
    Failed(&'a OpsError),
    /// Whoever watches could not be told that it lives.
    NoBeat(String),
}

/// Tells people what is due, until there is nothing more or `stop` says so. What is on its way then is waited for.
///
/// # Errors
/// [`OpsError`] of a deliverer that goes on until it is done; another one tries again.
pub async fn deliver(
    lake: &Lake,
    redactor: &Redactor,
    receivers: &Receivers,
    until: &Until,
    heartbeat: Option<&Address>,
    stop: CancellationToken,
    mut say: impl FnMut(Said<'_>),
) -> Result<Delivered, OpsError> {
    // Where nothing was ever recorded nobody is to be told of anything: whoever asks has another lake in mind.
    existing_lake(lake).await?;
    let mut counts = Delivered::default();
    let mut failed = 0;
    loop {
        let (ledger, committer) = match open_ledger(lake).await {
            Ok(opened) => opened,
            Err(error) => {
                again(until, &stop, &mut failed, error.into(), &mut say).await?;
                continue;
            }
        };
        let mut deliverer = Deliverer {
            lake,
            redactor,
            receivers,
            heartbeat,
            id: id(&lake.context.uuid().to_string())?,
            ledger,
            abouts: HashMap::new(),
            flying: JoinSet::new(),
            counts,
            settled_to: 0,
            beat_at: None,
            beating: None,
            dead_since_beat: false,
        };
        let ended = deliverer.run(until, &stop, &mut failed, &mut say).await;
        // What is on its way is lost to the ledger otherwise: it would be sent again.
        let landed = deliverer.land(&mut say).await;
        counts = deliverer.counts;
        drop(deliverer);
        Committer::finished(committer).await;
        match ended.and(landed) {
            Ok(()) => break,
            Err(error) => again(until, &stop, &mut failed, error, &mut say).await?,
        }
        if stop.is_cancelled() {
            break;
        }
    }
    settle(lake).await?;
    Ok(counts)
}

/// After an error: ends, or waits for a while.
async fn again(
    until: &Until,
    stop: &CancellationToken,
    failed: &mut u32,
    error: OpsError,
    say: &mut impl FnMut(Said<'_>),
) -> Result<(), OpsError> {
    if matches!(until, Until::Done) || stop.is_cancelled() {
        return Err(error);
    }
    say(Said::Failed(&error));
    let pause = AFTER_ERROR * 2_u32.saturating_pow((*failed).min(5));
    *failed += 1;
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = stop.cancelled() => {}
    }
    Ok(())
}

/// What came of a message.
struct Landed {
    sending: Sending,
    outcome: Outcome,
}

struct Deliverer<'a> {
    lake: &'a Lake,
    redactor: &'a Redactor,
    receivers: &'a Receivers,
    heartbeat: Option<&'a Address>,
    id: Id,
    ledger: Ledger,
    abouts: HashMap<IncidentId, About>,
    flying: JoinSet<Landed>,
    counts: Delivered,
    /// Up to this row of the ledger nothing waits any more.
    settled_to: u64,
    beat_at: Option<Instant>,
    /// One that is on its way: nobody waits for a page because of it.
    beating: Option<JoinHandle<Result<(), String>>>,
    dead_since_beat: bool,
}

/// The part of the ledger that has been read.
struct Read {
    table: Table,
    log: Log,
    outbox: Outbox,
}

impl Deliverer<'_> {
    async fn run(
        &mut self,
        until: &Until,
        stop: &CancellationToken,
        failed: &mut u32,
        say: &mut impl FnMut(Said<'_>),
    ) -> Result<(), OpsError> {
        let table = self.lake.table(AUDIT_LOG);
        let log = table.newest().await?;
        let mut read = Read { table, log, outbox: start::outbox(self.lake).await? };
        let mut settled = Instant::now();
        while !stop.is_cancelled() {
            self.catch_up(&mut read).await?;
            self.settled_to = read.outbox.settled_to();
            if self.quiet_over(&mut read.outbox).await? {
                continue;
            }
            let now = self.lake.context.now();
            let plan = read.outbox.plan(now, FLYING.saturating_sub(self.flying.len()));
            let next = plan.next;
            if !(plan.send.is_empty() && plan.leave.is_empty()) {
                match self.begin(read.outbox.seen(), plan, now, say).await {
                    Err(OpsError::Commit(error)) if matches!(*error, LakeError::Outdated) => {
                        // Whoever was first goes on; several do not meet again at once.
                        let pause = rand::rng().random_range(0..50);
                        tokio::time::sleep(Duration::from_millis(pause)).await;
                    }
                    begun => begun?,
                }
                continue;
            }
            *failed = 0;
            self.counts.waiting = read.outbox.waiting() as u64;
            self.counts.unsettled = read.outbox.unsettled(now) as u64;
            self.beat(say).await;
            if settled.elapsed() > SETTLE_EVERY {
                settle(self.lake).await?;
                settled = Instant::now();
            }
            let in_time = |next: Timestamp| (next.seconds_since(now).max(0.0) * 1e6) as u64;
            let wait = next.map(|next| Duration::from_micros(in_time(next)));
            let wait = match until {
                Until::Done if self.flying.is_empty() && next.is_none_or(|next| next > now.plus(PATIENCE)) => {
                    return Ok(());
                }
                Until::Done => wait.unwrap_or(LONGEST_PAUSE),
                Until::Stopped { every } => wait.map_or(*every, |wait| wait.min(*every)),
            };
            tokio::select! {
                Some(landed) = self.flying.join_next() => self.landed(landed.ok(), say).await?,
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => {}
            }
        }
        Ok(())
    }

    /// Reads what the ledger took since.
    async fn catch_up(&mut self, read: &mut Read) -> Result<(), OpsError> {
        read.table.refresh(&mut read.log).await?;
        let head = ledger::head(&read.table, &read.log).await?.chain.seq;
        while read.outbox.seen() < head {
            let last = head.min(read.outbox.seen() + CHUNK as u64);
            for (seq, text) in ledger::entries(&read.table, &read.log, read.outbox.seen(), last).await? {
                let entry = Entry::parse(&text).map_err(|error| LakeError::Corrupt(format!("entry {seq}: {error}")))?;
                self.meet(&entry);
                read.outbox.add(&entry);
            }
            if read.outbox.seen() < last {
                return Err(LakeError::Corrupt(format!("row {last} cannot be found")).into());
            }
        }
        Ok(())
    }

    /// Keeps what an entry says of its incident.
    fn meet(&mut self, entry: &Entry) {
        let Some(incident_id) = entry.facts.incident_id else { return };
        let about = match &entry.request {
            Request::RecordReport(report) | Request::OpenIncident(report) => start::about(&Incident::of(report)),
            _ => match &entry.facts.incident {
                Some(incident) => start::about(incident),
                None => return,
            },
        };
        if self.abouts.len() >= MAX_ABOUTS {
            self.abouts.clear();
        }
        self.abouts.insert(incident_id, about);
    }

    /// Alerts whose quiet time is over are evaluated. Whether any was.
    async fn quiet_over(&mut self, outbox: &mut Outbox) -> Result<bool, OpsError> {
        let now = self.lake.context.now();
        let over = outbox.quiet_over(now);
        // Whether an issue still recurs its cause says, not the incident.
        let (recurring, own): (Vec<_>, Vec<_>) =
            over.iter().partition(|(_, quiet)| quiet.trigger == Trigger::Recurring);
        for (key, quiet) in own {
            let step = EvaluateEscalations {
                incident_id: quiet.incident_id,
                actor: id(ACTOR)?,
                at: None,
                request_id: Some(id(&format!("quiet-over/{key}/{}", quiet.until))?),
            };
            let submission = prepare_step(step, self.redactor, now, Interface::Deliver)
                .map_err(|problems| LakeError::Corrupt(format!("an evaluation cannot be asked for: {problems:?}")))?;
            self.ledger.submit(submission).await?;
        }
        if !recurring.is_empty() {
            let issues: Vec<QuietOver> = recurring
                .iter()
                .map(|(_, Quiet { incident_id, until, seq, .. })| QuietOver {
                    incident_id: *incident_id,
                    until: *until,
                    seq: *seq,
                })
                .collect();
            recurrence::after_quiet(self.lake, &self.ledger, &issues).await?;
            recurring.iter().for_each(|(key, _)| outbox.evaluated(key));
        }
        Ok(!over.is_empty())
    }

    /// Records what is about to be sent and what is not sent any more, then sends.
    async fn begin(
        &mut self,
        seen: u64,
        plan: Plan,
        now: Timestamp,
        say: &mut impl FnMut(Said<'_>),
    ) -> Result<(), OpsError> {
        let lease = TimeDelta::seconds(self.lake.context.policy.delivery.lease_seconds.into());
        let mut steps = Vec::new();
        for left in plan.leave.iter().take(MAX_STEPS) {
            steps.push(DeliveryStep {
                reason: Some(left.reason.clone()),
                ..left.notice.step(left.event, left.attempts)
            });
        }
        let mut sendings = Vec::new();
        for (number, sending) in (1..).zip(plan.send) {
            if !steps.is_empty() && steps.len() + sending.dues().len() > MAX_STEPS {
                break;
            }
            let bundle = matches!(sending, Sending::Several(..)).then_some(number);
            steps.extend(sending.dues().iter().map(|due| DeliveryStep {
                until: Some(now.plus(lease)),
                bundle,
                ..due.notice.step(DeliveryEvent::Claimed, due.attempt)
            }));
            sendings.push(sending);
        }
        let begun = Instant::now();
        self.record(steps, Some(seen), now, say).await?;
        // Nobody else sends it before the lease is over; what could not begin early enough is left to whoever comes then.
        if begun.elapsed() * 2 > lease.to_std().unwrap_or_default() {
            return Ok(());
        }
        self.know(&sendings).await?;
        for sending in sendings {
            self.send(sending, now);
        }
        Ok(())
    }

    /// Looks up the incidents that no entry has told of.
    async fn know(&mut self, sendings: &[Sending]) -> Result<(), OpsError> {
        let incidents = sendings.iter().flat_map(Sending::dues).filter_map(|due| due.notice.incident_id());
        let unknown: Vec<IncidentId> = incidents.filter(|incident| !self.abouts.contains_key(incident)).collect();
        if !unknown.is_empty() {
            self.abouts.extend(start::abouts(self.lake, &unknown).await?);
        }
        Ok(())
    }

    fn send(&mut self, sending: Sending, now: Timestamp) {
        let Some(first) = sending.dues().first() else { return };
        let target = match self.receivers.targets.get(&first.notice.channel) {
            Some(Ok(target)) => Ok(Arc::clone(target)),
            Some(Err(why)) => Err(format!("the channel cannot be reached: {why}")),
            None => Err("the channel cannot be reached: it is not in the configuration".to_owned()),
        };
        let about = |due: &Due| {
            let known = due.notice.incident_id().and_then(|incident| self.abouts.get(&incident));
            known.cloned().unwrap_or_default()
        };
        let message = compose::message(&sending, about);
        let http = self.receivers.http.clone();
        self.flying.spawn(async move {
            let outcome = match (target, message) {
                (Err(reason), _) => Outcome::NotNow { reason, after_s: Some(UNCONFIGURED_S) },
                (Ok(_), None) => Outcome::Refused { reason: "its channel is told nothing of this kind".into() },
                (Ok(target), Some(message)) => {
                    let (thread, only) = (message.thread.as_deref(), sending.only());
                    let attempt = Attempt { id: &message.id, thread, only, now };
                    target.send(&http, &message.payload, attempt).await
                }
            };
            Landed { sending, outcome }
        });
    }

    /// Records what came of a message, and of all others that have landed.
    async fn landed(&mut self, landed: Option<Landed>, say: &mut impl FnMut(Said<'_>)) -> Result<(), OpsError> {
        let mut all: Vec<Landed> = landed.into_iter().collect();
        while let Some(landed) = self.flying.try_join_next() {
            all.extend(landed.ok());
        }
        let now = self.lake.context.now();
        let mut steps = Vec::new();
        for Landed { sending, outcome } in &all {
            self.counts.messages += u64::from(matches!(outcome, Outcome::Accepted { .. } | Outcome::Partly { .. }));
            // What was one message is one the next time too.
            let attempt = sending.dues().iter().map(|due| due.attempt).max().unwrap_or(1);
            let pause = pause(attempt);
            steps.extend(sending.dues().iter().map(|due| came_of(due, outcome, now, pause)));
        }
        for steps in steps.chunks(MAX_STEPS) {
            self.record(steps.to_vec(), None, now, say).await?;
        }
        Ok(())
    }

    /// Waits for everything on its way, and records what came of it.
    async fn land(&mut self, say: &mut impl FnMut(Said<'_>)) -> Result<(), OpsError> {
        while let Some(landed) = self.flying.join_next().await {
            self.landed(landed.ok(), say).await?;
        }
        self.beaten(say).await;
        Ok(())
    }

    async fn record(
        &mut self,
        steps: Vec<DeliveryStep>,
        based_on: Option<u64>,
        at: Timestamp,
        say: &mut impl FnMut(Said<'_>),
    ) -> Result<(), OpsError> {
        if steps.is_empty() {
            return Ok(());
        }
        let (actor, deliverer, settled_to) = (id(ACTOR)?, self.id.clone(), self.settled_to);
        let request = RecordDeliveries { actor, deliverer, at, based_on, settled_to, steps };
        let size = canonical(&request).map_err(LakeError::from)?.len();
        let submission = Submission {
            // Every attempt is one: what is the same for all of them is the notice.
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
                    self.dead_since_beat = true;
                }
                DeliveryEvent::Skipped => self.counts.skipped += 1,
            }
            say(Said::Sent(step));
        }
        Ok(())
    }

    /// Whoever watches hears that the deliverer lives; not when something was given up since.
    async fn beat(&mut self, say: &mut impl FnMut(Said<'_>)) {
        let Some(address) = self.heartbeat else { return };
        if self.beating.as_ref().is_some_and(JoinHandle::is_finished) {
            self.beaten(say).await;
        }
        if self.beating.is_some() || self.beat_at.is_some_and(|at| at.elapsed() < BEAT_EVERY) {
            return;
        }
        self.beat_at = Some(Instant::now());
        if std::mem::take(&mut self.dead_since_beat) {
            return say(Said::NoBeat("a notice was given up since the last one".into()));
        }
        let (http, address) = (self.receivers.http.clone(), address.clone());
        self.beating = Some(tokio::spawn(async move { http.beat(&address).await }));
    }

    /// Waits for the beat on its way, and tells if it did not arrive.
    async fn beaten(&mut self, say: &mut impl FnMut(Said<'_>)) {
        if let Some(beating) = self.beating.take()
            && let Ok(Err(why)) = beating.await
        {
            say(Said::NoBeat(why));
        }
    }
}

/// What is recorded of an attempt. The next one, where there is one, comes after `pause`.
fn came_of(due: &Due, outcome: &Outcome, now: Timestamp, pause: TimeDelta) -> DeliveryStep {
    let step = |event: DeliveryEvent, reason: Option<&String>| DeliveryStep {
        reason: reason.cloned(),
        ..due.notice.step(event, due.attempt)
    };
    match outcome {
        Outcome::Accepted { receipt, refused } => {
            DeliveryStep { receipt: receipt.clone(), ..step(DeliveryEvent::Delivered, refused.as_ref()) }
        }
        Outcome::Partly { receipt, waits_for, reason } => DeliveryStep {
            until: Some(now.plus(pause)),
            waits_for: Some(waits_for.clone()),
            receipt: receipt.clone(),
            ..step(DeliveryEvent::Partly, Some(reason))
        },
        Outcome::Refused { reason } => {
            let reason = match &due.only {
                None => reason.clone(),
                Some(_) => format!("{reason}; others have it"),
            };
            step(DeliveryEvent::Dead, Some(&reason))
        }
        Outcome::Unknown { reason } => {
            DeliveryStep { until: Some(now.plus(pause)), ..step(DeliveryEvent::Unknown, Some(reason)) }
        }
        Outcome::NotNow { reason, after_s } => {
            let asked = after_s.map(|after| TimeDelta::seconds(after.min(LONGEST_WAIT.as_secs()).cast_signed()));
            let wait = asked.unwrap_or_default().max(pause);
            DeliveryStep {
                until: Some(now.plus(wait)),
                channel_until: asked.map(|asked| now.plus(asked)),
                ..step(DeliveryEvent::Retry, Some(reason))
            }
        }
    }
}

/// 1 s, 2 s, 4 s … 300 s, each between half and all of it: many that wait do not come back at once.
fn pause(attempt: u32) -> TimeDelta {
    let longest = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1))).min(LONGEST_PAUSE);
    let pause = longest.mul_f64(rand::rng().random_range(0.5..=1.0));
    TimeDelta::from_std(pause).unwrap_or_default()
}

fn id(text: &str) -> Result<Id, LakeError> {
    Id::new(text).map_err(|why| LakeError::Corrupt(format!("{text:?} {why}")))
}
