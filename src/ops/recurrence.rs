//! Scans for recurring issues and records changes. SQL finds the episodes, the domain decides what is new, the ledger records
//! each change once, also if several scans run concurrently.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use super::{Consequences, OpsError, projections_of, settle, warehouse};
use crate::{
    analytics::{self, engine::Engine, snapshot::Snapshot},
    domain::{
        entry::{EpisodeChange, EvaluateRecurrence, PreventionChange, Request, canonical},
        ids::{Id, IncidentId, sha256_hex},
        incident::Refusal,
        interface::Interface,
        prevention::{self, PreventionStep, state::PreventionState},
        recurrence::{
            CauseMapping, Episode, Occurrence, RecurrenceRule,
            changes::{EpisodeTransition, ExpiredSuppression, RecordedEpisode, changes, reevaluations},
            current_aliases,
            event::EpisodeEvent,
            fullest_window,
            issue::{Impact, Issue, Member, members_of},
            pattern::{FoundResource, others},
            time_range::{CauseRanges, TimeRange, beginning, minimum_range},
        },
        redact::Redactions,
        time::Timestamp,
    },
    lake::{
        Lake, LakeError,
        ledger::{self, Ledger, Submission},
    },
    tables::{Row, catalog::AUDIT_LOG, rows::RootCause},
};

/// How often a scan is computed again after a conflict with a concurrent scan.
const MAX_ROUNDS: u32 = 50;
/// Maximum number of changes that one round records. The next round finds the rest.
const MAX_CHANGES: usize = 2_000;
/// Changes whose issue details are held in memory at once.
const DETAILS_CHUNK: usize = 64;
/// The actor of recurrence scans.
const ACTOR: &str = "system:recurrence";
/// The details of an alert cover incidents of this number of days before the last occurrence, or
const DETAILS_DAYS: i64 = 91;
/// of this number of windows, if that is longer.
const DETAILS_WINDOWS: i32 = 12;

/// The causes that a scan covers.
#[derive(Debug, Clone, Copy)]
enum ScanScope<'a> {
    /// Every cause, up to `as_of`. With `since`, episodes that ended earlier are skipped.
    All { since: Option<Timestamp>, as_of: Timestamp },
    /// The causes of new records, each up to its last occurrence: late reports are judged at their own time. With `since`,
    /// episodes that ended earlier are skipped.
    Causes { fingerprints: &'a [String], since: Option<Timestamp> },
    /// The causes of alerts whose snooze expired, each up to now.
    Alerts { expired: &'a [ExpiredSuppression], since: Timestamp, as_of: Timestamp },
}

impl ScanScope<'_> {
    /// Returns the interface that the requests are recorded with.
    fn interface(self) -> Interface {
        match self {
            Self::All { .. } | Self::Causes { .. } => Interface::Scan,
            Self::Alerts { .. } => Interface::Deliver,
        }
    }
}

/// Scans every cause up to `as_of` (default: now) and records changes. With `trailing`, scans only findings of that time
/// and episodes that continue in it. The result is the same as of a full scan, with two exceptions: episodes that ended
/// earlier are not found, and incidents about one job run that were reported more than a window apart, before and after
/// the start of the time range, count at the later time.
///
/// # Errors
/// [`OpsError`]. Changes that were recorded before the error stay recorded; the next scan continues from there.
/// [`OpsError::Refused`] if `trailing` is too short.
pub async fn scan(
    lake: &Lake,
    engine: Engine<'_>,
    ledger: &Ledger,
    as_of: Option<Timestamp>,
    trailing: Option<TimeDelta>,
) -> Result<Consequences, OpsError> {
    warehouse::check_same_lake(lake, engine).await?;
    let minimum = minimum_range(rule(lake));
    if trailing.is_some_and(|trailing| trailing < minimum) {
        return Err(OpsError::Refused(Refusal {
            message: "the time range is too short to find recurring issues".into(),
            hint: format!("scan at least {} h, four times the window", minimum.num_hours()),
        }));
    }
    let as_of = as_of.unwrap_or_else(|| lake.context.now());
    let since = trailing.map(|trailing| as_of.plus(-trailing));
    run_scan(lake, engine, ledger, ScanScope::All { since, as_of }).await
}

/// Scans causes, given by their fingerprints before merges. With `found`, the earliest time of the new findings about them,
/// the scan goes back only as far as these findings require.
///
/// # Errors
/// As [`scan`].
pub async fn scan_causes(
    lake: &Lake,
    ledger: &Ledger,
    fingerprints: &[String],
    found: Option<Timestamp>,
) -> Result<Consequences, OpsError> {
    let since = found.map(|found| found.plus(-minimum_range(rule(lake))));
    run_scan(lake, Engine::Local(lake), ledger, ScanScope::Causes { fingerprints, since }).await
}

/// Scans the causes of alerts whose snooze expired: an alert fires again if its issue still recurs, else it is resolved. An
/// alert that was evaluated since then is skipped.
///
/// # Errors
/// As [`scan`].
pub async fn scan_expired_snoozes(
    lake: &Lake,
    ledger: &Ledger,
    expired: &[ExpiredSuppression],
) -> Result<(), OpsError> {
    settle(lake).await?;
    let as_of = lake.context.now();
    let since = as_of.plus(-minimum_range(rule(lake)));
    run_scan(lake, Engine::Local(lake), ledger, ScanScope::Alerts { expired, since, as_of }).await?;
    Ok(())
}

async fn run_scan(
    lake: &Lake,
    engine: Engine<'_>,
    ledger: &Ledger,
    scope: ScanScope<'_>,
) -> Result<Consequences, OpsError> {
    let mut new = BTreeSet::new();
    let mut conflicts = 0;
    while conflicts < MAX_ROUNDS {
        let ScanPlan { requests, more } = plan_scan(lake, engine, scope).await?;
        let interface = scope.interface();
        let submissions =
            requests.into_iter().map(|request| submission(request, interface)).collect::<Result<Vec<_>, _>>()?;
        let (before, mut stale) = (new.len(), false);
        for answer in ledger.submit_all(submissions).await {
            match answer {
                Ok(recorded) if !recorded.known => drop(new.insert(recorded.receipt.seq)),
                Ok(_) => {}
                Err(error) if matches!(*error, LakeError::Stale) => stale = true,
                Err(error) => return Err(error.into()),
            }
        }
        settle(lake).await?;
        if !stale && !more {
            let new: Vec<u64> = new.into_iter().collect();
            let recorded = projections_of(lake, &new).await?;
            return Ok(Consequences { alerts: recorded.escalation_events, recurring: recorded.recurrence_events });
        }
        if stale || new.len() == before {
            conflicts += 1;
        }
    }
    Err(LakeError::TooBusy { table: AUDIT_LOG.name.into(), attempts: MAX_ROUNDS }.into())
}

/// Derives the id from the findings and the state before, so that concurrent scans send the same id for the same change.
fn request_id(request: &EvaluateRecurrence) -> Result<Id, LakeError> {
    let found = (
        &request.cause,
        request.incident_id,
        request.fullest,
        request.change.as_ref().map(|change| (&change.episode_id, change.event, &change.reason, &change.follows)),
        request.change.as_ref().map(|change| (change.issue.occurrences, change.issue.first_at, change.issue.last_at)),
        &request.prevention,
    );
    let text = match &request.after {
        None => canonical(&found)?,
        Some(after) => canonical(&(found, after))?,
    };
    let id = format!("recurrence-{}", &sha256_hex(text)[..32]);
    Id::new(id).map_err(LakeError::Corrupt)
}

fn submission(request: EvaluateRecurrence, interface: Interface) -> Result<Submission, OpsError> {
    let size = canonical(&request).map_err(LakeError::from)?.len();
    Ok(Submission {
        request_id: request_id(&request)?,
        request: Request::EvaluateRecurrence(Box::new(request)),
        redactions: Redactions::default(),
        interface,
        size,
    })
}

/// Returns the configured rule for when a cause counts as recurring.
pub fn rule(lake: &Lake) -> RecurrenceRule {
    let policy = lake.context.policy.recurring;
    let whole = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    RecurrenceRule { threshold: whole(policy.threshold), window_hours: whole(policy.window_hours) }
}

/// The requests of one round of a scan.
struct ScanPlan {
    /// In the order in which they are recorded: several requests about one cause refer to the one before.
    requests: Vec<EvaluateRecurrence>,
    /// There are more changes than one round records.
    more: bool,
}

async fn plan_scan(lake: &Lake, engine: Engine<'_>, scope: ScanScope<'_>) -> Result<ScanPlan, OpsError> {
    let policy = lake.context.policy.recurring;
    let rule = rule(lake);
    // Read before the queries: a concurrent change during the queries makes the requests stale.
    let table = lake.table(AUDIT_LOG);
    let based_on = ledger::head(&table, &table.newest_log().await?).await?.chain.seq;
    let snapshot;
    let engine = match engine {
        Engine::Local(lake) => {
            snapshot = Snapshot::of(lake).await?;
            Engine::Snapshot(&snapshot)
        }
        engine => engine,
    };
    let aliases: Vec<CauseMapping> = analytics::recurrence::aliases(engine).await?;
    let recorded = analytics::recurrence::recorded(engine).await?;
    let all_steps = analytics::recurrence::prevention_steps(engine).await?;
    let current = current_aliases(&aliases);
    let now = |cause: &str| current.get(cause).map_or_else(|| cause.to_owned(), |now| (*now).to_owned());
    let horizon = match scope {
        ScanScope::All { as_of, .. } => as_of,
        // The time of a report may be ahead of our clock.
        ScanScope::Causes { .. } | ScanScope::Alerts { .. } => lake.context.now().plus(TimeDelta::hours(24)),
    };
    let wanted: Option<Vec<String>> = match scope {
        ScanScope::All { .. } => None,
        ScanScope::Causes { fingerprints, .. } => {
            let causes: BTreeSet<String> = fingerprints.iter().map(|cause| now(cause)).collect();
            Some(causes.into_iter().collect())
        }
        ScanScope::Alerts { expired, .. } => {
            let is_expired =
                |known: &&RecordedEpisode| expired.iter().any(|alert| alert.incident_id == known.incident_id);
            let causes: BTreeSet<String> = recorded.iter().filter(is_expired).map(|known| now(&known.cause)).collect();
            Some(causes.into_iter().collect())
        }
    };
    let wanted = wanted.as_deref();
    let is_scanned = |cause: &String| wanted.is_none_or(|wanted| wanted.contains(cause));
    let since = match scope {
        ScanScope::All { since, .. } | ScanScope::Causes { since, .. } => since,
        ScanScope::Alerts { since, .. } => Some(since),
    };
    let ranges = match since {
        None => CauseRanges::starting_at(beginning(), wanted, []),
        Some(since) => {
            let causes_now: Vec<String> = recorded.iter().map(|known| now(&known.cause)).collect();
            CauseRanges::starting_at(since, wanted, causes_now.iter().map(String::as_str).zip(&recorded))
        }
    };
    let earliest = earliest_found(lake).await?.unwrap_or(horizon);
    let mut episodes: Vec<Episode> =
        analytics::recurrence::trailing::episodes_within(engine, horizon, rule, &ranges, earliest).await?;
    let mut adopted: BTreeMap<String, Timestamp> = BTreeMap::new();
    for cause in all_steps.iter().map(|step| now(&step.cause)).filter(is_scanned).collect::<BTreeSet<_>>() {
        if let Some(at) = prevention::first_adoption(&prevention::steps_against(&cause, &all_steps, &aliases)) {
            adopted.insert(cause, at);
        }
    }
    let causes: Vec<String> = wanted.map_or_else(|| adopted.keys().cloned().collect(), <[String]>::to_vec);
    // An action is judged by the occurrences since its adoption; the result is recorded with the last incident before it.
    let last_known =
        recorded.iter().filter(|known| adopted.contains_key(&now(&known.cause))).map(|known| known.last_at);
    let earliest_occurrence = match scope {
        ScanScope::All { since: None, .. } => Some(beginning()),
        ScanScope::All { .. } => adopted.values().copied().chain(last_known).min(),
        ScanScope::Causes { .. } | ScanScope::Alerts { .. } => {
            ranges.by_cause.values().chain(adopted.values()).copied().min()
        }
    };
    let time_range = TimeRange { since: earliest_occurrence.unwrap_or(horizon), as_of: horizon };
    let mut occurrences: BTreeMap<String, Vec<Occurrence>> = BTreeMap::new();
    for one in analytics::recurrence::occurrences(engine, time_range, &causes).await? {
        occurrences.entry(one.cause.clone()).or_default().push(one);
    }
    let of = |cause: &str| occurrences.get(cause).map_or(&[][..], Vec::as_slice);
    let mut recorded_of: BTreeMap<String, Vec<RecordedEpisode>> = BTreeMap::new();
    for episode in &recorded {
        recorded_of.entry(now(&episode.cause)).or_default().push(episode.clone());
    }
    let known = |cause: &str| recorded_of.get(cause).map_or(&[][..], Vec::as_slice);
    // Each cause is judged up to its last occurrence or its last scan.
    let last_moment = |cause: &str| {
        let scanned = known(cause).iter().map(|known| known.occurred_at).max();
        let occurred = of(cause).last().map(|last| last.occurred_at);
        scanned.max(occurred)
    };
    let as_of = |cause: &str| match scope {
        ScanScope::All { as_of, .. } => as_of,
        ScanScope::Causes { .. } => last_moment(cause).unwrap_or_else(|| lake.context.now()),
        ScanScope::Alerts { as_of, .. } => last_moment(cause).map_or(as_of, |last| last.max(as_of)),
    };
    for episode in &mut episodes {
        episode.is_open = rule.spans(episode.last_at, as_of(&episode.cause));
    }
    let mut changed: Vec<EpisodeTransition> = match wanted {
        None => changes(&episodes, &recorded, &aliases, horizon, rule),
        Some(wanted) => {
            let of_cause = |cause: &String| {
                let found = episodes.iter().filter(|episode| episode.cause == *cause);
                changes(&found.cloned().collect::<Vec<_>>(), known(cause), &aliases, as_of(cause), rule)
            };
            wanted.iter().flat_map(of_cause).collect()
        }
    };

    let mut requests = Vec::new();
    let base = |cause: &str, incident_id: IncidentId| -> Result<EvaluateRecurrence, LakeError> {
        Ok(EvaluateRecurrence {
            actor: id(ACTOR)?,
            incident_id,
            as_of: as_of(cause),
            based_on,
            cause: cause.to_owned(),
            threshold: policy.threshold,
            window_hours: policy.window_hours,
            fullest: Some(fullest_window(of(cause), rule)).filter(|fullest| *fullest > 0),
            after: None,
            change: None,
            prevention: Vec::new(),
        })
    };
    let mut advanced: BTreeMap<String, Vec<PreventionChange>> = BTreeMap::new();
    for cause in adopted.into_keys() {
        let steps = prevention::steps_against(&cause, &all_steps, &aliases);
        for step in prevention::advance(&steps, of(&cause), as_of(&cause), rule) {
            let change = PreventionChange { action: id(&step.action)?, state: step.state, note: Some(step.note) };
            advanced.entry(cause.clone()).or_default().push(change);
        }
    }
    // An open episode shows that an action did not prevent the cause.
    let without_change: Vec<&String> =
        advanced.keys().filter(|cause| !changed.iter().any(|change| change.cause == **cause)).collect();
    for cause in without_change {
        let open = episodes.iter().find(|episode| episode.cause == *cause && episode.is_open);
        let recorded_open = open.and_then(|open| known(cause).iter().find(|known| known.last_at == open.last_at));
        changed.extend(
            recorded_open.zip(open).map(|(recorded, open)| EpisodeTransition::prevention_changed(recorded, open)),
        );
    }
    if let ScanScope::Alerts { expired, .. } = scope {
        let found_open = |known: &RecordedEpisode| {
            let cause = now(&known.cause);
            episodes.iter().find(|found| found.cause == cause && found.is_open && found.last_at == known.last_at)
        };
        changed.extend(reevaluations(expired, &recorded, &changed, found_open));
    }
    let changing: BTreeSet<&str> = changed.iter().map(|change| change.cause.as_str()).collect();
    let more = changed.len() > MAX_CHANGES;
    let changes = &changed[..changed.len().min(MAX_CHANGES)];
    // The preventive steps against each cause and the last request about it, as of the earlier changes.
    let mut steps_of: BTreeMap<&str, Vec<PreventionStep>> =
        changing.iter().map(|cause| (*cause, prevention::steps_against(cause, &all_steps, &aliases))).collect();
    let mut last_of: BTreeMap<&str, Id> = BTreeMap::new();
    let context =
        |change| TransitionContext { change, since: details_since(change, &steps_of[change.cause.as_str()], rule) };
    let contexts: Vec<TransitionContext<'_>> = changes.iter().map(context).collect();
    let resources = resources(engine, &contexts, horizon).await?;
    for contexts in contexts.chunks(DETAILS_CHUNK) {
        let details = IssueDetails::of(engine, contexts, horizon, rule).await?;
        for context in contexts {
            let (change, cause) = (context.change, context.change.cause.as_str());
            let steps = steps_of.entry(cause).or_default();
            let issue = details.issue(context, rule, &resources, steps)?;
            let mut prevention = advanced.remove(cause).unwrap_or_default();
            prevention.extend(proposals(&issue, steps, change)?);
            let follows = recorded.iter().find(|known| known.episode_id == change.episode_id).map(|known| known.seq);
            let (episode_id, event, reason) = (id(&change.episode_id)?, change.event, change.reason.to_string());
            let request = EvaluateRecurrence {
                after: last_of.get(cause).cloned(),
                change: Some(EpisodeChange { episode_id, event, reason, follows, issue }),
                prevention,
                ..base(cause, change.incident_id)?
            };
            steps.extend(steps_in(&request, steps));
            last_of.insert(cause, request_id(&request)?);
            requests.push(request);
        }
    }
    // For the requested causes, a scan without a change is recorded too.
    let requested = wanted.filter(|_| matches!(scope, ScanScope::Causes { .. })).unwrap_or_default();
    let unchanged = requested.iter().filter(|cause| {
        !changing.contains(cause.as_str())
            && !episodes.iter().any(|episode| episode.cause == **cause && episode.is_open)
    });
    let causes: BTreeSet<String> = unchanged.cloned().chain(advanced.keys().cloned()).collect();
    for cause in causes.into_iter().filter(|cause| !changing.contains(cause.as_str())) {
        if let Some(last) = of(&cause).last() {
            let prevention = advanced.remove(&cause).unwrap_or_default();
            requests.push(EvaluateRecurrence { prevention, ..base(&cause, last.incident_id)? });
        }
    }
    Ok(ScanPlan { requests, more })
}

fn id(text: &str) -> Result<Id, LakeError> {
    Id::new(text).map_err(|why| LakeError::Corrupt(format!("{text:?} {why}")))
}

/// Returns the time of the earliest finding, or shortly before it. `None` without findings.
async fn earliest_found(lake: &Lake) -> Result<Option<Timestamp>, LakeError> {
    let log = lake.table(RootCause::TABLE).newest_log().await?;
    let found = log.files.values().map(|file| file.parse_stats().min_time("found_at").unwrap_or_else(beginning));
    Ok(found.min())
}

/// Returns the start of the time range that an alert's details cover. It includes the first adopted action.
fn details_since(change: &EpisodeTransition, steps: &[PreventionStep], rule: RecurrenceRule) -> Timestamp {
    let back = TimeDelta::days(DETAILS_DAYS).max(rule.window() * DETAILS_WINDOWS);
    let recent = change.last_at.plus(-back);
    prevention::first_adoption(steps).map_or(recent, |adopted| adopted.min(recent))
}

/// A change, and the start of the time range that its alert's details cover.
#[derive(Clone, Copy)]
struct TransitionContext<'a> {
    change: &'a EpisodeTransition,
    since: Timestamp,
}

impl TransitionContext<'_> {
    /// Returns whether the queries still find the episode.
    fn is_found(&self) -> bool {
        self.change.found.is_some()
    }
}

/// Reads the resources that the affected ones are compared with, and when each had one of the changes' causes.
async fn resources(
    engine: Engine<'_>,
    contexts: &[TransitionContext<'_>],
    as_of: Timestamp,
) -> Result<Vec<FoundResource>, analytics::QueryError> {
    let found = || contexts.iter().filter(|context| context.is_found());
    let causes: BTreeSet<String> = found().map(|context| context.change.cause.clone()).collect();
    let since = found().map(|context| context.since).min().unwrap_or(as_of);
    let causes: Vec<String> = causes.into_iter().collect();
    analytics::recurrence::resources(engine, TimeRange { since, as_of }, &causes).await
}

/// The details in the alerts of some changes, as read by the queries.
struct IssueDetails {
    members: Vec<Member>,
    impacts: BTreeMap<(String, Timestamp), Impact>,
    /// The last recorded details of episodes that are not found any more, by episode id.
    before: BTreeMap<String, String>,
}

impl IssueDetails {
    async fn of(
        engine: Engine<'_>,
        contexts: &[TransitionContext<'_>],
        as_of: Timestamp,
        rule: RecurrenceRule,
    ) -> Result<Self, analytics::QueryError> {
        let (found, lost): (Vec<&TransitionContext<'_>>, Vec<_>) =
            contexts.iter().partition(|context| context.is_found());
        let impacts = found.iter().map(|context| (context.change.cause.clone(), context.since)).collect();
        let causes: BTreeSet<String> = found.iter().map(|context| context.change.cause.clone()).collect();
        let causes: Vec<String> = causes.into_iter().collect();
        // Read from the first occurrence on. Incidents about one job run may be up to a window older.
        let since = found.iter().map(|context| context.change.first_at.plus(-rule.window())).min().unwrap_or(as_of);
        let found_since = found.iter().map(|context| context.since).min().unwrap_or(as_of);
        let time_range = TimeRange { since, as_of };
        let lost: Vec<String> = lost.iter().map(|context| context.change.episode_id.clone()).collect();
        Ok(Self {
            members: analytics::recurrence::members(engine, time_range, rule, &causes, found_since).await?,
            impacts: analytics::recurrence::impacts(engine, &impacts, as_of).await?,
            before: analytics::recurrence::details(engine, &lost).await?,
        })
    }

    /// Returns the issue that the alert of a change shows; for an episode that is not found any more, the last recorded one.
    fn issue(
        &self,
        context: &TransitionContext<'_>,
        rule: RecurrenceRule,
        resources: &[FoundResource],
        steps: &[PreventionStep],
    ) -> Result<Issue, LakeError> {
        let TransitionContext { change, since } = context;
        let Some(episode) = &change.found else {
            let lost = || LakeError::Corrupt(format!("no details of episode {} are recorded", change.episode_id));
            return Ok(serde_json::from_str(self.before.get(&change.episode_id).ok_or_else(lost)?)?);
        };
        let own: Vec<Member> =
            members_of(episode, &self.members).filter(|member| member.found_at >= *since).cloned().collect();
        let impact = self.impacts.get(&(change.cause.clone(), *since)).copied();
        Ok(Issue::new(episode, rule, &own, &others(resources, &change.cause, *since), impact, steps))
    }
}

/// Returns the preventive steps that a request adds to the known ones.
fn steps_in(request: &EvaluateRecurrence, known: &[PreventionStep]) -> Vec<PreventionStep> {
    let seq = known.iter().map(|step| step.seq).max().map_or(1, |last| last + 1);
    let steps = (1..).zip(&request.prevention).map(|(ordinal, change)| PreventionStep {
        cause: request.cause.clone(),
        seq,
        ordinal,
        action: change.action.to_string(),
        state: change.state,
        occurred_at: request.as_of,
    });
    steps.collect()
}

/// Returns the actions that an episode recommends for the first time.
fn proposals(
    issue: &Issue,
    steps: &[PreventionStep],
    change: &EpisodeTransition,
) -> Result<Vec<PreventionChange>, LakeError> {
    if change.event == EpisodeEvent::Closed {
        return Ok(Vec::new());
    }
    let unknown = issue.actions.iter().filter(|action| !steps.iter().any(|step| step.action == action.name));
    unknown
        .map(|action| Ok(PreventionChange { action: id(&action.name)?, state: PreventionState::Proposed, note: None }))
        .collect()
}
