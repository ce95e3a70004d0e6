//! Looking for recurring issues, and recording what was found. The SQL finds, the domain decides what is new, the ledger
//! takes each change once, whoever finds it first.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use super::{Consequences, OpsError, projections_of, settle, warehouse};
use crate::{
    analytics::{self, engine::Engine, snapshot::Snapshot},
    domain::{
        entry::{EpisodeChange, EvaluateRecurrence, PreventionChange, Request, canonical},
        ids::{Id, IncidentId, sha256_hex},
        incident::Refusal,
        prevention::{self, Step},
        recurrence::{
            Alias, Episode, Occurrence, Rule,
            changes::{Change, QuietOver, RecordedEpisode, changes, quiet_over},
            current_aliases, fullest_window,
            issue::{Impact, Issue, Member, members_of},
            pattern::{FoundResource, others},
            stretch::{Reach, Stretch, beginning, least},
        },
        redact::Redactions,
        time::Timestamp,
        words::{EpisodeEvent, Interface, PreventionState},
    },
    lake::{
        Lake, LakeError, ledger,
        ledger::{Ledger, Submission},
    },
    tables::{Row, catalog::AUDIT_LOG, rows::RootCause},
};

/// How often a scan is made anew because somebody else recorded a change first, or the same.
const MAX_ROUNDS: u32 = 50;
/// Changes that are recorded of one look, at most: the next one finds the rest.
const MAX_CHANGES: usize = 2_000;
/// Changes of which everything that is told is held in memory at once.
const TOLD_AT_ONCE: usize = 64;
/// Who finds recurring issues.
const ACTOR: &str = "system:recurrence";
/// What an alert says about the incidents of an episode, and against other incidents, rests on those found within so many
/// days, or
const TOLD_DAYS: i64 = 91;
/// within so many windows if that is longer, before its last occurrence.
const TOLD_WINDOWS: i32 = 12;

/// What is looked at.
#[derive(Debug, Clone, Copy)]
enum Scope<'a> {
    /// Every cause, up to a moment. With `since`, what was over before is left alone.
    All { since: Option<Timestamp>, as_of: Timestamp },
    /// Causes of what was just recorded, each up to the last time it occurred: what is late is judged where it falls. With
    /// `since`, the earliest of it, what was over long before is left alone.
    Causes { fingerprints: &'a [String], since: Option<Timestamp> },
    /// Causes whose alerts are quiet no more, each up to now.
    Alerts { over: &'a [QuietOver], since: Timestamp, as_of: Timestamp },
}

impl Scope<'_> {
    /// What the look is for.
    fn interface(self) -> Interface {
        match self {
            Self::All { .. } | Self::Causes { .. } => Interface::Scan,
            Self::Alerts { .. } => Interface::Deliver,
        }
    }
}

/// Looks at every cause up to `as_of`, or up to now, as `engine` sees it, and records what changed. With `trailing`, only at
/// what was found so long before, and at what goes on since then: open episodes are closed and others changed as by a
/// look at everything, but an episode that was over before is not found any more. Incidents about one job run that were
/// reported more than a window apart, and on both sides of that moment, count at the later.
///
/// # Errors
/// [`OpsError`]; what was recorded until then stays, and another scan goes on from there. [`OpsError::Refused`] when
/// `trailing` is too short.
pub async fn scan(
    lake: &Lake,
    engine: Engine<'_>,
    ledger: &Ledger,
    as_of: Option<Timestamp>,
    trailing: Option<TimeDelta>,
) -> Result<Consequences, OpsError> {
    warehouse::agree(lake, engine).await?;
    let least = least(rule(lake));
    if trailing.is_some_and(|trailing| trailing < least) {
        return Err(OpsError::Refused(Refusal {
            message: "so short a stretch of time says too little about what recurs".into(),
            hint: format!("look at {} h at least, four times the window", least.num_hours()),
        }));
    }
    let as_of = as_of.unwrap_or_else(|| lake.context.now());
    let since = trailing.map(|trailing| as_of.plus(-trailing));
    run(lake, engine, ledger, Scope::All { since, as_of }).await
}

/// Looks at causes, given by their fingerprints before merges: at all that is known of them, or, when what was just recorded
/// about them was found at `found` or later, no further back than that takes.
///
/// # Errors
/// As [`scan`].
pub async fn follow(
    lake: &Lake,
    ledger: &Ledger,
    fingerprints: &[String],
    found: Option<Timestamp>,
) -> Result<Consequences, OpsError> {
    let since = found.map(|found| found.plus(-least(rule(lake))));
    run(lake, Engine::Local(lake), ledger, Scope::Causes { fingerprints, since }).await
}

/// Looks at the causes of alerts whose quiet time is over, so that each fires again if its issue still recurs, and is over if
/// not. Of an alert that somebody evaluated since nothing is recorded.
///
/// # Errors
/// As [`scan`].
pub async fn after_quiet(lake: &Lake, ledger: &Ledger, over: &[QuietOver]) -> Result<(), OpsError> {
    settle(lake).await?;
    let as_of = lake.context.now();
    let since = as_of.plus(-least(rule(lake)));
    run(lake, Engine::Local(lake), ledger, Scope::Alerts { over, since, as_of }).await?;
    Ok(())
}

async fn run(lake: &Lake, engine: Engine<'_>, ledger: &Ledger, scope: Scope<'_>) -> Result<Consequences, OpsError> {
    let mut new = BTreeSet::new();
    let mut in_vain = 0;
    while in_vain < MAX_ROUNDS {
        let Evaluations { requests, more } = evaluations(lake, engine, scope).await?;
        let interface = scope.interface();
        let submissions =
            requests.into_iter().map(|request| submission(request, interface)).collect::<Result<Vec<_>, _>>()?;
        let (before, mut outdated) = (new.len(), false);
        for answer in ledger.submit_all(submissions).await {
            match answer {
                Ok(recorded) if !recorded.known => drop(new.insert(recorded.receipt.seq)),
                Ok(_) => {}
                Err(error) if matches!(*error, LakeError::Outdated) => outdated = true,
                Err(error) => return Err(error.into()),
            }
        }
        settle(lake).await?;
        if !outdated && !more {
            let new: Vec<u64> = new.into_iter().collect();
            let recorded = projections_of(lake, &new).await?;
            return Ok(Consequences { alerts: recorded.escalation_events, recurring: recorded.recurrence_events });
        }
        if outdated || new.len() == before {
            in_vain += 1;
        }
    }
    Err(LakeError::TooBusy { table: AUDIT_LOG.name.into(), attempts: MAX_ROUNDS }.into())
}

/// The id follows from what was found and what stood there before: whoever finds the same sends the same.
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

/// When a cause counts as recurring, as the configuration says.
pub fn rule(lake: &Lake) -> Rule {
    let policy = lake.context.policy.recurring;
    let whole = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    Rule { threshold: whole(policy.threshold), window_hours: whole(policy.window_hours) }
}

/// What there is to record, of one look.
struct Evaluations {
    /// In the order in which they are to be recorded: of several about one cause each names the one before.
    requests: Vec<EvaluateRecurrence>,
    /// There are other changes.
    more: bool,
}

async fn evaluations(lake: &Lake, engine: Engine<'_>, scope: Scope<'_>) -> Result<Evaluations, OpsError> {
    let policy = lake.context.policy.recurring;
    let rule = rule(lake);
    // Before the queries: what is recorded while they run makes the requests outdated.
    let table = lake.table(AUDIT_LOG);
    let based_on = ledger::head(&table, &table.newest().await?).await?.chain.seq;
    let snapshot;
    let engine = match engine {
        Engine::Local(lake) => {
            snapshot = Snapshot::of(lake).await?;
            Engine::Snapshot(&snapshot)
        }
        engine => engine,
    };
    let aliases: Vec<Alias> = analytics::recurrence::aliases(engine).await?;
    let recorded = analytics::recurrence::recorded(engine).await?;
    let all_steps = analytics::recurrence::prevention_steps(engine).await?;
    let current = current_aliases(&aliases);
    let now = |cause: &str| current.get(cause).map_or_else(|| cause.to_owned(), |now| (*now).to_owned());
    let horizon = match scope {
        Scope::All { as_of, .. } => as_of,
        // A report may be a little ahead of our clock.
        Scope::Causes { .. } | Scope::Alerts { .. } => lake.context.now().plus(TimeDelta::hours(24)),
    };
    let wanted: Option<Vec<String>> = match scope {
        Scope::All { .. } => None,
        Scope::Causes { fingerprints, .. } => {
            let causes: BTreeSet<String> = fingerprints.iter().map(|cause| now(cause)).collect();
            Some(causes.into_iter().collect())
        }
        Scope::Alerts { over, .. } => {
            let is_meant = |known: &&RecordedEpisode| over.iter().any(|alert| alert.incident_id == known.incident_id);
            let causes: BTreeSet<String> = recorded.iter().filter(is_meant).map(|known| now(&known.cause)).collect();
            Some(causes.into_iter().collect())
        }
    };
    let wanted = wanted.as_deref();
    let looked_at = |cause: &String| wanted.is_none_or(|wanted| wanted.contains(cause));
    let since = match scope {
        Scope::All { since, .. } | Scope::Causes { since, .. } => since,
        Scope::Alerts { since, .. } => Some(since),
    };
    let reach = match since {
        None => Reach::back_to(beginning(), wanted, []),
        Some(since) => {
            let causes_now: Vec<String> = recorded.iter().map(|known| now(&known.cause)).collect();
            Reach::back_to(since, wanted, causes_now.iter().map(String::as_str).zip(&recorded))
        }
    };
    let earliest = earliest_found(lake).await?.unwrap_or(horizon);
    let mut episodes: Vec<Episode> =
        analytics::recurrence::trailing::episodes_within(engine, horizon, rule, &reach, earliest).await?;
    let mut adopted: BTreeMap<String, Timestamp> = BTreeMap::new();
    for cause in all_steps.iter().map(|step| now(&step.cause)).filter(looked_at).collect::<BTreeSet<_>>() {
        if let Some(at) = prevention::first_adoption(&prevention::steps_against(&cause, &all_steps, &aliases)) {
            adopted.insert(cause, at);
        }
    }
    let causes: Vec<String> = wanted.map_or_else(|| adopted.keys().cloned().collect(), <[String]>::to_vec);
    // Whether an action worked is told by what came since it was adopted; the incident that says so is the last before.
    let last_known =
        recorded.iter().filter(|known| adopted.contains_key(&now(&known.cause))).map(|known| known.last_at);
    let looked_back_to = match scope {
        Scope::All { since: None, .. } => Some(beginning()),
        Scope::All { .. } => adopted.values().copied().chain(last_known).min(),
        Scope::Causes { .. } | Scope::Alerts { .. } => reach.of.values().chain(adopted.values()).copied().min(),
    };
    let stretch = Stretch { since: looked_back_to.unwrap_or(horizon), as_of: horizon };
    let mut occurrences: BTreeMap<String, Vec<Occurrence>> = BTreeMap::new();
    for one in analytics::recurrence::occurrences(engine, stretch, &causes).await? {
        occurrences.entry(one.cause.clone()).or_default().push(one);
    }
    let of = |cause: &str| occurrences.get(cause).map_or(&[][..], Vec::as_slice);
    let mut recorded_of: BTreeMap<String, Vec<RecordedEpisode>> = BTreeMap::new();
    for episode in &recorded {
        recorded_of.entry(now(&episode.cause)).or_default().push(episode.clone());
    }
    let known = |cause: &str| recorded_of.get(cause).map_or(&[][..], Vec::as_slice);
    // Each cause up to the last time it occurred, or was looked at.
    let last_moment = |cause: &str| {
        let looked = known(cause).iter().map(|known| known.occurred_at).max();
        let occurred = of(cause).last().map(|last| last.occurred_at);
        looked.max(occurred)
    };
    let as_of = |cause: &str| match scope {
        Scope::All { as_of, .. } => as_of,
        Scope::Causes { .. } => last_moment(cause).unwrap_or_else(|| lake.context.now()),
        Scope::Alerts { as_of, .. } => last_moment(cause).map_or(as_of, |last| last.max(as_of)),
    };
    for episode in &mut episodes {
        episode.is_open = rule.spans(episode.last_at, as_of(&episode.cause));
    }
    let mut changed: Vec<Change> = match wanted {
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
    // An open episode says itself that an action did not keep the cause away.
    let silent: Vec<&String> =
        advanced.keys().filter(|cause| !changed.iter().any(|change| change.cause == **cause)).collect();
    for cause in silent {
        let open = episodes.iter().find(|episode| episode.cause == *cause && episode.is_open);
        let told = open.and_then(|open| known(cause).iter().find(|known| known.last_at == open.last_at));
        changed.extend(told.zip(open).map(|(told, open)| Change::again(told, open)));
    }
    if let Scope::Alerts { over, .. } = scope {
        let found_open = |known: &RecordedEpisode| {
            let cause = now(&known.cause);
            episodes.iter().find(|found| found.cause == cause && found.is_open && found.last_at == known.last_at)
        };
        changed.extend(quiet_over(over, &recorded, &changed, found_open));
    }
    let changing: BTreeSet<&str> = changed.iter().map(|change| change.cause.as_str()).collect();
    let more = changed.len() > MAX_CHANGES;
    let changes = &changed[..changed.len().min(MAX_CHANGES)];
    // What stands against each cause, and the last request about it, once the changes before are recorded.
    let mut steps_of: BTreeMap<&str, Vec<Step>> =
        changing.iter().map(|cause| (*cause, prevention::steps_against(cause, &all_steps, &aliases))).collect();
    let mut last_of: BTreeMap<&str, Id> = BTreeMap::new();
    let look = |change| Look { change, since: told_since(change, &steps_of[change.cause.as_str()], rule) };
    let looks: Vec<Look<'_>> = changes.iter().map(look).collect();
    let resources = resources(engine, &looks, horizon).await?;
    for looks in looks.chunks(TOLD_AT_ONCE) {
        let told = Told::of(engine, looks, horizon, rule).await?;
        for look in looks {
            let (change, cause) = (look.change, look.change.cause.as_str());
            let steps = steps_of.entry(cause).or_default();
            let issue = told.issue(look, rule, &resources, steps)?;
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
    // What did not fire is recorded too, for the causes that were asked about.
    let asked = wanted.filter(|_| matches!(scope, Scope::Causes { .. })).unwrap_or_default();
    let quiet = asked.iter().filter(|cause| {
        !changing.contains(cause.as_str())
            && !episodes.iter().any(|episode| episode.cause == **cause && episode.is_open)
    });
    let causes: BTreeSet<String> = quiet.cloned().chain(advanced.keys().cloned()).collect();
    for cause in causes.into_iter().filter(|cause| !changing.contains(cause.as_str())) {
        if let Some(last) = of(&cause).last() {
            let prevention = advanced.remove(&cause).unwrap_or_default();
            requests.push(EvaluateRecurrence { prevention, ..base(&cause, last.incident_id)? });
        }
    }
    Ok(Evaluations { requests, more })
}

fn id(text: &str) -> Result<Id, LakeError> {
    Id::new(text).map_err(|why| LakeError::Corrupt(format!("{text:?} {why}")))
}

/// When the earliest finding was found, or a little before. `None` when there is none.
async fn earliest_found(lake: &Lake) -> Result<Option<Timestamp>, LakeError> {
    let log = lake.table(RootCause::TABLE).newest().await?;
    let found = log.files.values().map(|file| file.parse_stats().min_time("found_at").unwrap_or_else(beginning));
    Ok(found.min())
}

/// From when on the incidents count that an alert tells of: those since an action was adopted in any case.
fn told_since(change: &Change, steps: &[Step], rule: Rule) -> Timestamp {
    let back = TimeDelta::days(TOLD_DAYS).max(rule.window() * TOLD_WINDOWS);
    let recent = change.last_at.plus(-back);
    prevention::first_adoption(steps).map_or(recent, |adopted| adopted.min(recent))
}

/// A change, and from when on the incidents count that its alert tells of.
#[derive(Clone, Copy)]
struct Look<'a> {
    change: &'a Change,
    since: Timestamp,
}

impl Look<'_> {
    /// About an episode that is still found.
    fn is_found(&self) -> bool {
        self.change.found.is_some()
    }
}

/// What the resources with the causes of changes are compared with, and when each had which of these causes.
async fn resources(
    engine: Engine<'_>,
    looks: &[Look<'_>],
    as_of: Timestamp,
) -> Result<Vec<FoundResource>, analytics::QueryError> {
    let found = || looks.iter().filter(|look| look.is_found());
    let causes: BTreeSet<String> = found().map(|look| look.change.cause.clone()).collect();
    let since = found().map(|look| look.since).min().unwrap_or(as_of);
    let causes: Vec<String> = causes.into_iter().collect();
    analytics::recurrence::resources(engine, Stretch { since, as_of }, &causes).await
}

/// What else the alerts of some changes tell, as the queries know it.
struct Told {
    members: Vec<Member>,
    impacts: BTreeMap<(String, Timestamp), Impact>,
    /// What was told last of episodes that are not found any more, by id.
    before: BTreeMap<String, String>,
}

impl Told {
    async fn of(
        engine: Engine<'_>,
        looks: &[Look<'_>],
        as_of: Timestamp,
        rule: Rule,
    ) -> Result<Self, analytics::QueryError> {
        let (found, lost): (Vec<&Look<'_>>, Vec<_>) = looks.iter().partition(|look| look.is_found());
        let impacts = found.iter().map(|look| (look.change.cause.clone(), look.since)).collect();
        let causes: BTreeSet<String> = found.iter().map(|look| look.change.cause.clone()).collect();
        let causes: Vec<String> = causes.into_iter().collect();
        // An episode is the same from its first occurrence on; incidents about one job run may be a little older.
        let since = found.iter().map(|look| look.change.first_at.plus(-rule.window())).min().unwrap_or(as_of);
        let found_since = found.iter().map(|look| look.since).min().unwrap_or(as_of);
        let stretch = Stretch { since, as_of };
        let lost: Vec<String> = lost.iter().map(|look| look.change.episode_id.clone()).collect();
        Ok(Self {
            members: analytics::recurrence::members(engine, stretch, rule, &causes, found_since).await?,
            impacts: analytics::recurrence::impacts(engine, &impacts, as_of).await?,
            before: analytics::recurrence::details(engine, &lost).await?,
        })
    }

    /// Everything the alert of a change shows; of what is not found any more, what it showed last.
    fn issue(
        &self,
        look: &Look<'_>,
        rule: Rule,
        resources: &[FoundResource],
        steps: &[Step],
    ) -> Result<Issue, LakeError> {
        let Look { change, since } = look;
        let Some(episode) = &change.found else {
            let lost = || LakeError::Corrupt(format!("nothing was told of episode {}", change.episode_id));
            return Ok(serde_json::from_str(self.before.get(&change.episode_id).ok_or_else(lost)?)?);
        };
        let own: Vec<Member> =
            members_of(episode, &self.members).filter(|member| member.found_at >= *since).cloned().collect();
        let impact = self.impacts.get(&(change.cause.clone(), *since)).copied();
        Ok(Issue::new(episode, rule, &own, &others(resources, &change.cause, *since), impact, steps))
    }
}

/// The steps that a request brings, behind those that are known.
fn steps_in(request: &EvaluateRecurrence, known: &[Step]) -> Vec<Step> {
    let seq = known.iter().map(|step| step.seq).max().map_or(1, |last| last + 1);
    let steps = (1..).zip(&request.prevention).map(|(ordinal, change)| Step {
        cause: request.cause.clone(),
        seq,
        ordinal,
        action: change.action.to_string(),
        state: change.state,
        occurred_at: request.as_of,
    });
    steps.collect()
}

/// What an opened episode recommends and nobody recommended before.
fn proposals(issue: &Issue, steps: &[Step], change: &Change) -> Result<Vec<PreventionChange>, LakeError> {
    if change.event == EpisodeEvent::Closed {
        return Ok(Vec::new());
    }
    let unknown = issue.actions.iter().filter(|action| !steps.iter().any(|step| step.action == action.name));
    unknown
        .map(|action| Ok(PreventionChange { action: id(&action.name)?, state: PreventionState::Proposed, note: None }))
        .collect()
}
