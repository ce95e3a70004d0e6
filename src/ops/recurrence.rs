//! Looking for recurring issues, and recording what was found. The SQL finds, the domain decides what is new, the ledger
//! takes each change once, whoever finds it first.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use futures::TryStreamExt;
use serde::Deserialize;

use super::{Consequences, OpsError, projections_of, rows, settle};
use crate::{
    analytics,
    domain::{
        entry::{EpisodeChange, EvaluateRecurrence, PreventionChange, Request, canonical},
        ids::{Id, IncidentId, sha256_hex},
        prevention,
        recurrence::{
            Alias, CauseCount, Episode, Occurrence, Rule,
            changes::{Change, RecordedEpisode, changes},
            current_aliases,
            issue::{Issue, Member, members_of},
        },
        redact::Redactions,
        time::Timestamp,
        words::{EpisodeEvent, Interface, PreventionState},
    },
    lake::{
        Lake, LakeError, ledger,
        ledger::{Ledger, Submission},
    },
    tables::catalog::AUDIT_LOG,
};

/// How often a scan is made anew because somebody else recorded a change first.
const MAX_ROUNDS: u32 = 50;
/// Requests sent to the ledger at once.
const IN_FLIGHT: usize = 64;
/// Who finds recurring issues.
const ACTOR: &str = "system:recurrence";

/// What is looked at.
#[derive(Debug, Clone, Copy)]
enum Scope<'a> {
    /// Every cause, up to a moment.
    All(Timestamp),
    /// Causes of what was just recorded, each up to the last time it occurred: what is late is judged where it falls.
    Causes(&'a [String]),
}

/// Looks at every cause up to `as_of`, or up to now, and records what changed.
///
/// # Errors
/// [`OpsError`]; what was recorded until then stays, and another scan goes on from there.
pub async fn scan(lake: &Lake, ledger: &Ledger, as_of: Option<Timestamp>) -> Result<Consequences, OpsError> {
    run(lake, ledger, Scope::All(as_of.unwrap_or_else(|| lake.context.now()))).await
}

/// Looks at the causes of what was just recorded, given by their fingerprints before merges.
///
/// # Errors
/// As [`scan`].
pub async fn follow(lake: &Lake, ledger: &Ledger, fingerprints: &[String]) -> Result<Consequences, OpsError> {
    run(lake, ledger, Scope::Causes(fingerprints)).await
}

async fn run(lake: &Lake, ledger: &Ledger, scope: Scope<'_>) -> Result<Consequences, OpsError> {
    let mut new = BTreeSet::new();
    for _ in 0..MAX_ROUNDS {
        let requests = evaluations(lake, scope).await?;
        let mut outdated = false;
        let answers = requests.into_iter().map(|request| async move {
            let submission = submission(request)?;
            match ledger.submit(submission).await {
                Ok(recorded) => Ok(Some(recorded)),
                Err(error) if matches!(*error, LakeError::Outdated) => Ok(None),
                Err(error) => Err(OpsError::Commit(error)),
            }
        });
        let mut answers = futures::StreamExt::buffered(futures::stream::iter(answers), IN_FLIGHT);
        while let Some(answer) = answers.try_next().await? {
            match answer {
                Some(recorded) if !recorded.known => drop(new.insert(recorded.receipt.seq)),
                Some(_) => {}
                None => outdated = true,
            }
        }
        settle(lake).await?;
        if !outdated {
            let new: Vec<u64> = new.into_iter().collect();
            let recorded = projections_of(lake, &new).await?;
            return Ok(Consequences { alerts: recorded.escalation_events, recurring: recorded.recurrence_events });
        }
    }
    Err(LakeError::TooBusy { table: AUDIT_LOG.name.into(), attempts: MAX_ROUNDS }.into())
}

/// The id follows from what was found and what stood there before: whoever finds the same sends the same.
fn submission(request: EvaluateRecurrence) -> Result<Submission, OpsError> {
    let found = (
        &request.cause,
        request.incident_id,
        request.fullest,
        request.change.as_ref().map(|change| (&change.episode_id, change.event, &change.reason, &change.follows)),
        request.change.as_ref().map(|change| (change.issue.occurrences, change.issue.first_at, change.issue.last_at)),
        &request.prevention,
    );
    let text = canonical(&found).map_err(LakeError::from)?;
    let id = format!("recurrence-{}", &sha256_hex(text)[..32]);
    let request_id = Id::new(id).map_err(LakeError::Corrupt)?;
    let size = canonical(&request).map_err(LakeError::from)?.len();
    Ok(Submission {
        request_id,
        request: Request::EvaluateRecurrence(Box::new(request)),
        redactions: Redactions::default(),
        interface: Interface::Scan,
        size,
    })
}

/// When a cause counts as recurring, as the configuration says.
pub fn rule(lake: &Lake) -> Rule {
    let policy = lake.context.policy.recurring;
    let whole = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    Rule { threshold: whole(policy.threshold), window_hours: whole(policy.window_hours) }
}

/// What there is to record.
async fn evaluations(lake: &Lake, scope: Scope<'_>) -> Result<Vec<EvaluateRecurrence>, OpsError> {
    let policy = lake.context.policy.recurring;
    let rule = rule(lake);
    // Before the queries: what is recorded while they run makes the requests outdated.
    let table = lake.table(AUDIT_LOG);
    let based_on = ledger::head(&table, &table.log().await?).await?.chain.seq;
    let aliases: Vec<Alias> = analytics::recurrence::aliases(lake).await?;
    let recorded = analytics::recurrence::recorded(lake).await?;
    let all_steps = analytics::recurrence::prevention_steps(lake).await?;
    let current = current_aliases(&aliases);
    let now = |cause: &str| current.get(cause).map_or_else(|| cause.to_owned(), |now| (*now).to_owned());
    let horizon = match scope {
        Scope::All(as_of) => as_of,
        // A report may be a little ahead of our clock.
        Scope::Causes(_) => lake.context.now().plus(TimeDelta::hours(24)),
    };
    let wanted: Option<Vec<String>> = match scope {
        Scope::All(_) => None,
        Scope::Causes(fingerprints) => {
            let causes: BTreeSet<String> = fingerprints.iter().map(|cause| now(cause)).collect();
            Some(causes.into_iter().collect())
        }
    };
    let wanted = wanted.as_deref();
    let looked_at = |cause: &String| wanted.is_none_or(|wanted| wanted.contains(cause));
    let mut episodes: Vec<Episode> = analytics::recurrence::episodes(lake, horizon, rule, wanted).await?;
    let counts: Vec<CauseCount> = match wanted {
        None => Vec::new(),
        Some(_) => analytics::recurrence::cause_counts(lake, horizon, rule, wanted).await?,
    };
    // Each cause up to the last time it occurred, or was looked at.
    let mut moments: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for count in &counts {
        let known = recorded.iter().filter(|known| now(&known.cause) == count.cause);
        let last_look = known.map(|known| known.occurred_at).max();
        moments.insert(&count.cause, last_look.map_or(count.last_at, |look| look.max(count.last_at)));
    }
    let as_of = |cause: &str| match scope {
        Scope::All(as_of) => as_of,
        Scope::Causes(_) => moments.get(cause).copied().unwrap_or_else(|| lake.context.now()),
    };
    for episode in &mut episodes {
        episode.is_open = rule.spans(episode.last_at, as_of(&episode.cause));
    }
    let mut changed: Vec<Change> = Vec::new();
    match scope {
        Scope::All(as_of) => changed = changes(&episodes, &recorded, &aliases, as_of, rule),
        Scope::Causes(_) => {
            for (cause, as_of) in &moments {
                let known = recorded.iter().filter(|known| now(&known.cause) == *cause);
                let known: Vec<RecordedEpisode> = known.cloned().collect();
                let found = episodes.iter().filter(|episode| episode.cause == *cause);
                let found: Vec<Episode> = found.cloned().collect();
                changed.extend(changes(&found, &known, &aliases, *as_of, rule));
            }
        }
    }
    let mut causes: BTreeSet<String> = changed.iter().map(|change| change.cause.clone()).collect();
    causes.extend(moments.keys().map(|cause| (*cause).to_owned()));
    causes.extend(all_steps.iter().map(|step| now(&step.cause)).filter(looked_at));
    let causes: Vec<String> = causes.into_iter().collect();
    let members: Vec<Member> = analytics::recurrence::members(lake, horizon, rule, &causes).await?;
    let occurrences: Vec<Occurrence> = analytics::recurrence::occurrences(lake, horizon, &causes).await?;

    let mut requests = Vec::new();
    for cause in &causes {
        let own_steps = &prevention::steps_against(cause, &all_steps, &aliases);
        let own: Vec<Occurrence> = occurrences.iter().filter(|one| one.cause == *cause).cloned().collect();
        let as_of = as_of(cause);
        let mut advanced: Vec<PreventionChange> = prevention::advance(own_steps, &own, as_of, rule)
            .into_iter()
            .map(|step| Ok(PreventionChange { action: id(&step.action)?, state: step.state, note: Some(step.note) }))
            .collect::<Result<_, LakeError>>()?;
        let base = |incident_id: IncidentId| EvaluateRecurrence {
            actor: Id::new(ACTOR).unwrap_or_else(|_| unreachable!("a constant")),
            incident_id,
            as_of,
            based_on,
            cause: cause.clone(),
            threshold: policy.threshold,
            window_hours: policy.window_hours,
            fullest: counts.iter().find(|count| count.cause == *cause).map(|count| count.fullest_window),
            change: None,
            prevention: Vec::new(),
        };
        let mut said = false;
        for change in changed.iter().filter(|change| change.cause == *cause) {
            let issue = issue(lake, horizon, rule, change, &members, own_steps).await?;
            let mut prevention = std::mem::take(&mut advanced);
            prevention.extend(proposals(&issue, own_steps, change)?);
            let follows = recorded.iter().find(|known| known.episode_id == change.episode_id).map(|known| known.seq);
            requests.push(EvaluateRecurrence {
                change: Some(EpisodeChange {
                    episode_id: id(&change.episode_id)?,
                    event: change.event,
                    reason: change.reason.to_string(),
                    follows,
                    issue,
                }),
                prevention,
                ..base(change.incident_id)
            });
            said = true;
        }
        let open = episodes.iter().any(|episode| episode.cause == *cause && episode.is_open);
        let (last, quiet) = (own.last(), !said && !open);
        if let Some(last) = last
            && (!advanced.is_empty() || quiet && moments.contains_key(cause.as_str()))
        {
            requests.push(EvaluateRecurrence { prevention: advanced, ..base(last.incident_id) });
        }
    }
    Ok(requests)
}

fn id(text: &str) -> Result<Id, LakeError> {
    Id::new(text).map_err(|why| LakeError::Corrupt(format!("{text:?} {why}")))
}

/// Everything the alert shows; of what is not found any more, what it showed last.
async fn issue(
    lake: &Lake,
    horizon: Timestamp,
    rule: Rule,
    change: &Change,
    members: &[Member],
    steps: &[prevention::Step],
) -> Result<Issue, OpsError> {
    let Some(episode) = &change.found else {
        #[derive(Deserialize)]
        struct Told {
            episode_id: String,
            detail: String,
        }
        let told: Vec<Told> = rows(lake, "SELECT episode_id, detail FROM recurring_issues").await?;
        let told = told.into_iter().find(|told| told.episode_id == change.episode_id);
        let lost = || LakeError::Corrupt(format!("nothing was told of episode {}", change.episode_id));
        let told = told.ok_or_else(lost)?;
        return Ok(serde_json::from_str(&told.detail).map_err(LakeError::from)?);
    };
    let own: Vec<Member> = members_of(episode, members).cloned().collect();
    let others = analytics::recurrence::others(lake, horizon, &change.cause).await?;
    let impact = analytics::recurrence::impact(lake, horizon, &change.cause).await?;
    Ok(Issue::new(episode, rule, &own, &others, impact, steps))
}

/// What an opened episode recommends and nobody recommended before.
fn proposals(issue: &Issue, steps: &[prevention::Step], change: &Change) -> Result<Vec<PreventionChange>, LakeError> {
    if change.event == EpisodeEvent::Closed {
        return Ok(Vec::new());
    }
    let unknown = issue.actions.iter().filter(|action| !steps.iter().any(|step| step.action == action.name));
    unknown
        .map(|action| Ok(PreventionChange { action: id(&action.name)?, state: PreventionState::Proposed, note: None }))
        .collect()
}
