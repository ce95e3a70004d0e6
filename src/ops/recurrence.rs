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
    tables::{
        catalog::AUDIT_LOG,
        rows::{CauseAlias, PreventiveAction},
    },
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
    let aliases: Vec<Alias> = aliases(lake).await?;
    let recorded = recorded(lake).await?;
    let horizon = match scope {
        Scope::All(as_of) => as_of,
        // A report may be a little ahead of our clock.
        Scope::Causes(_) => lake.context.now().plus(TimeDelta::hours(24)),
    };
    let wanted: Option<BTreeSet<String>> = match scope {
        Scope::All(_) => None,
        Scope::Causes(fingerprints) => {
            let current = current_aliases(&aliases);
            let now =
                |cause: &String| current.get(cause.as_str()).map_or_else(|| cause.clone(), |now| (*now).to_owned());
            Some(fingerprints.iter().map(now).collect())
        }
    };
    let looked_at = |cause: &str| wanted.as_ref().is_none_or(|wanted| wanted.contains(cause));
    let mut episodes: Vec<Episode> = analytics::recurrence::episodes(lake, horizon, rule).await?;
    episodes.retain(|episode| looked_at(&episode.cause));
    let counts: Vec<CauseCount> = match scope {
        Scope::All(_) => Vec::new(),
        Scope::Causes(_) => analytics::recurrence::cause_counts(lake, horizon, rule).await?,
    };
    // Each cause up to the last time it occurred, or was looked at.
    let mut moments: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for count in counts.iter().filter(|count| looked_at(&count.cause)) {
        let last_look = recorded.iter().filter(|known| known.cause == count.cause).map(|known| known.occurred_at).max();
        moments.insert(&count.cause, last_look.map_or(count.last_at, |look| look.max(count.last_at)));
    }
    let as_of = |cause: &str| match scope {
        Scope::All(as_of) => as_of,
        Scope::Causes(_) => moments.get(cause).copied().unwrap_or(horizon),
    };
    for episode in &mut episodes {
        episode.is_open = rule.spans(episode.last_at, as_of(&episode.cause));
    }
    let mut changed: Vec<Change> = Vec::new();
    match scope {
        Scope::All(as_of) => changed = changes(&episodes, &recorded, &aliases, as_of, rule),
        Scope::Causes(_) => {
            let current = current_aliases(&aliases);
            for (cause, as_of) in &moments {
                let of_cause = |known: &&RecordedEpisode| {
                    current.get(known.cause.as_str()).unwrap_or(&known.cause.as_str()) == cause
                };
                let known: Vec<RecordedEpisode> = recorded.iter().filter(of_cause).cloned().collect();
                let found: Vec<Episode> = episodes.iter().filter(|episode| episode.cause == *cause).cloned().collect();
                changed.extend(changes(&found, &known, &aliases, *as_of, rule));
            }
        }
    }
    let mut causes: BTreeSet<String> = changed.iter().map(|change| change.cause.clone()).collect();
    causes.extend(moments.keys().map(|cause| (*cause).to_owned()));
    let steps = steps(lake).await?;
    causes.extend(steps.keys().filter(|cause| looked_at(cause)).cloned());
    let causes: Vec<String> = causes.into_iter().collect();
    let members: Vec<Member> = analytics::recurrence::members(lake, horizon, rule, &causes).await?;
    let occurrences: Vec<Occurrence> = analytics::recurrence::occurrences(lake, horizon, &causes).await?;

    let mut requests = Vec::new();
    for cause in &causes {
        let none = Vec::new();
        let own_steps = steps.get(cause).unwrap_or(&none);
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

/// Everything the alert shows. What is not found any more is told as it was last recorded, without members.
async fn issue(
    lake: &Lake,
    horizon: Timestamp,
    rule: Rule,
    change: &Change,
    members: &[Member],
    steps: &[prevention::Step],
) -> Result<Issue, OpsError> {
    let episode = change.found.clone().unwrap_or_else(|| Episode {
        cause: change.cause.clone(),
        first_at: change.first_at,
        last_at: change.last_at,
        occurrences: change.occurrences,
        incidents: 0,
        is_open: false,
        first_incident_id: change.incident_id,
        last_incident_id: change.incident_id,
        reached_incident_id: change.incident_id,
    });
    let own: Vec<Member> = members_of(&episode, members).cloned().collect();
    let others = analytics::recurrence::others(lake, horizon, &change.cause).await?;
    let impact = analytics::recurrence::impact(lake, horizon, &change.cause).await?;
    Ok(Issue::new(&episode, rule, &own, &others, impact, steps))
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

/// Every alias ever declared.
///
/// # Errors
/// The query's.
pub async fn aliases(lake: &Lake) -> Result<Vec<Alias>, OpsError> {
    let rows: Vec<CauseAlias> = rows(lake, "SELECT * FROM cause_aliases").await?;
    Ok(rows
        .into_iter()
        .map(|row| Alias {
            seq: row.seq,
            ordinal: row.ordinal,
            cause_fingerprint: row.cause_fingerprint,
            counts_as: row.counts_as,
        })
        .collect())
}

/// Episodes as they were recorded last.
async fn recorded(lake: &Lake) -> Result<Vec<RecordedEpisode>, OpsError> {
    #[derive(Deserialize)]
    struct Known {
        episode_id: String,
        incident_id: IncidentId,
        seq: u64,
        first_seq: u64,
        occurred_at: Timestamp,
        cause_fingerprint: String,
        event: EpisodeEvent,
        incidents: i32,
        first_at: Timestamp,
        last_at: Timestamp,
        threshold: i32,
        window_hours: i32,
    }
    let known: Vec<Known> = rows(
        lake,
        "SELECT now.episode_id, now.incident_id, now.seq, first.first_seq, now.occurred_at, now.cause_fingerprint, now.event, \
         now.incidents, now.first_at, now.last_at, now.threshold, now.window_hours FROM recurring_issues AS now \
         JOIN (SELECT episode_id, min(seq) AS first_seq FROM recurrence_events GROUP BY episode_id) AS first \
         ON first.episode_id = now.episode_id",
    )
    .await?;
    Ok(known
        .into_iter()
        .map(|row| RecordedEpisode {
            episode_id: row.episode_id,
            incident_id: row.incident_id,
            seq: row.seq,
            first_seq: row.first_seq,
            occurred_at: row.occurred_at,
            cause: row.cause_fingerprint,
            event: row.event,
            occurrences: u64::try_from(row.incidents).unwrap_or(0),
            first_at: row.first_at,
            last_at: row.last_at,
            rule: Rule { threshold: row.threshold, window_hours: row.window_hours },
        })
        .collect())
}

/// The recorded states of preventive actions, by cause.
async fn steps(lake: &Lake) -> Result<BTreeMap<String, Vec<prevention::Step>>, OpsError> {
    let rows: Vec<PreventiveAction> = rows(lake, "SELECT * FROM preventive_actions").await?;
    let mut steps: BTreeMap<String, Vec<prevention::Step>> = BTreeMap::new();
    for row in rows {
        steps.entry(row.cause_fingerprint).or_default().push(prevention::Step {
            seq: row.seq,
            ordinal: row.ordinal,
            action: row.action.to_string(),
            state: row.state,
            occurred_at: row.occurred_at,
        });
    }
    Ok(steps)
}
