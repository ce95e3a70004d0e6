//! Known root causes: lists them, merges and splits them, and explains whether two match.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Consequences, OpsError, existing_lake, open_ledger, recurrence, rows, settle};
use crate::{
    analytics::{self, engine::Engine},
    domain::{
        cause,
        entry::{AliasCauses, CauseAlias, Request},
        ids::{Id, IncidentId},
        incident::Refusal,
        interface::Interface,
        redact::Redactor,
        time::Timestamp,
    },
    lake::{
        Lake, LakeError,
        ledger::{self, Submission, SubmissionResult},
    },
    tables::catalog::AUDIT_LOG,
};

/// How often a request is computed again after a conflict with a concurrent writer.
const MAX_ROUNDS: u32 = 50;

/// A cause that at least one finding names.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KnownCause {
    pub cause_fingerprint: String,
    pub cause_normalised: Option<String>,
    /// The wording of the latest finding.
    pub root_cause: String,
    pub cause_code: Option<String>,
}

/// A change to the aliases of causes.
#[derive(Debug, Clone)]
pub enum CauseChange {
    /// From now on `causes` count as `into`.
    Merge { causes: Vec<String>, into: String },
    /// From now on `cause` counts as itself again.
    Split { cause: String },
}

/// Merges causes, or splits one off again, and recomputes their recurrence.
///
/// # Errors
/// [`OpsError::NoCause`], [`OpsError::Refused`], or the lake's.
pub async fn change(
    lake: &Lake,
    change: &CauseChange,
    actor: &Id,
    reason: Option<&str>,
    redactor: &Redactor,
    interface: Interface,
) -> Result<(SubmissionResult, Consequences), OpsError> {
    existing_lake(lake).await?;
    let (ledger, committer) = open_ledger(lake).await?;
    let at = lake.context.now();
    for _ in 0..MAX_ROUNDS {
        let (request, touched) = request(lake, change, actor, reason, at).await?;
        let submission = redacted_submission(request, redactor, interface)?;
        let recorded = match ledger.submit(submission).await {
            Err(error) if matches!(*error, LakeError::Stale) => continue,
            answer => answer?,
        };
        settle(lake).await?;
        let consequences = recurrence::scan_causes(lake, &ledger, &touched, None).await?;
        drop(ledger);
        committer.finished().await;
        return Ok((recorded, consequences));
    }
    Err(LakeError::TooBusy { table: AUDIT_LOG.name.into(), attempts: MAX_ROUNDS }.into())
}

fn redacted_submission(
    request: AliasCauses,
    redactor: &Redactor,
    interface: Interface,
) -> Result<Submission, OpsError> {
    let mut value = serde_json::to_value(&request).map_err(LakeError::from)?;
    let redactions = redactor.value(&mut value);
    let request: AliasCauses = serde_json::from_value(value).map_err(LakeError::from)?;
    let request = Request::AliasCauses(request);
    let request_id = super::request_id(None, &request).map_err(LakeError::Corrupt)?;
    Ok(Submission { request_id, request, redactions, interface, size: 1024 })
}

/// Returns the request, and the causes whose recurrence it can change: the causes before and after it.
async fn request(
    lake: &Lake,
    change: &CauseChange,
    actor: &Id,
    reason: Option<&str>,
    at: Timestamp,
) -> Result<(AliasCauses, Vec<String>), OpsError> {
    let table = lake.table(AUDIT_LOG);
    let based_on = ledger::head(&table, &table.newest_log().await?).await?.chain.seq;
    let known: BTreeSet<String> = known(lake).await?.into_iter().map(|cause| cause.cause_fingerprint).collect();
    let declared = analytics::recurrence::aliases(Engine::Local(lake)).await?;
    let current = crate::domain::recurrence::current_aliases(&declared);
    let now = |cause: &str| current.get(cause).map_or_else(|| cause.to_owned(), |now| (*now).to_owned());
    let exists = |cause: &String| if known.contains(cause) { Ok(()) } else { Err(OpsError::NoCause(cause.clone())) };
    let alias = |cause: &str, counts_as: &str| CauseAlias { cause: cause.into(), counts_as: counts_as.into() };
    let mut aliases = BTreeSet::new();
    match change {
        CauseChange::Merge { causes, into } => {
            exists(into)?;
            let target = now(into);
            for cause in causes {
                exists(cause)?;
                let root = now(cause);
                if root == target {
                    return Err(refused(
                        format!("{cause} and {into} already count as one cause"),
                        "`ops-runbook cause list` shows which causes count as one",
                    ));
                }
                // Aliases of the cause move along: an alias never points to another alias.
                let followers = known.iter().filter(|other| now(other) == root);
                aliases.extend(followers.map(|other| alias(other, &target)));
                aliases.insert(alias(&root, &target));
            }
        }
        CauseChange::Split { cause } => {
            exists(cause)?;
            if now(cause) == *cause {
                let others: Vec<&String> =
                    known.iter().filter(|other| *other != cause && now(other) == *cause).collect();
                let hint = match others.first() {
                    None => "`ops-runbook cause list` shows which causes count as one".into(),
                    Some(other) => format!("split off a cause that counts as it: `ops-runbook cause split {other}`"),
                };
                return Err(refused(format!("{cause} already counts as itself"), &hint));
            }
            aliases.insert(alias(cause, cause));
        }
    }
    let touched: BTreeSet<String> =
        aliases.iter().flat_map(|alias| [alias.cause.clone(), alias.counts_as.clone(), now(&alias.cause)]).collect();
    let request = AliasCauses {
        actor: actor.clone(),
        at,
        aliases: aliases.into_iter().collect(),
        reason: reason.map(ToOwned::to_owned),
        based_on,
    };
    Ok((request, touched.into_iter().collect()))
}

fn refused(message: String, hint: &str) -> OpsError {
    OpsError::Refused(Refusal { message, hint: hint.to_owned() })
}

/// Returns every known cause once, with the wording of its latest finding.
///
/// # Errors
/// The query's.
pub async fn known(lake: &Lake) -> Result<Vec<KnownCause>, OpsError> {
    rows(
        lake,
        "SELECT cause_fingerprint, cause_normalised, root_cause, cause_code FROM (SELECT cause_fingerprint, \
         cause_normalised, root_cause, cause_code, row_number() OVER (PARTITION BY cause_fingerprint ORDER BY seq DESC NULLS \
         LAST) AS age_rank FROM root_causes WHERE cause_fingerprint IS NOT NULL) AS ranked WHERE age_rank = 1 ORDER BY 1",
    )
    .await
}

/// Explains why two causes match or not. Each is given as an incident id, a fingerprint or a wording.
///
/// # Errors
/// [`OpsError::NoIncident`], [`OpsError::NoCause`], or the lake's.
pub async fn explain(lake: &Lake, first: &str, second: &str) -> Result<String, OpsError> {
    let known: BTreeMap<String, KnownCause> =
        known(lake).await?.into_iter().map(|cause| (cause.cause_fingerprint.clone(), cause)).collect();
    let (first, second) = (find(lake, first, &known).await?, find(lake, second, &known).await?);
    let declared = analytics::recurrence::aliases(Engine::Local(lake)).await?;
    let current = crate::domain::recurrence::current_aliases(&declared);
    let mut text = match (&first.1, &second.1) {
        (Some(one), Some(other)) if one.starts_with("code:") || other.starts_with("code:") => match one == other {
            true => format!(
                "They match: both have the code {:?}, which takes precedence over the wording.",
                &one["code:".len()..]
            ),
            false => format!("They do not match: {one} and {other}. A code takes precedence over the wording."),
        },
        _ => cause::explain(&first.0, &second.0),
    };
    let now = |cause: &Option<String>| {
        cause.as_ref().map(|cause| current.get(cause.as_str()).map_or_else(|| cause.clone(), |now| (*now).to_owned()))
    };
    if let (Some(one), Some(other)) = (now(&first.1), now(&second.1)) {
        let declared = (Some(&one), Some(&other)) != (first.1.as_ref(), second.1.as_ref());
        text.push_str(&match (one == other, declared) {
            (true, true) => format!("\nThey were merged: both count as {one}."),
            (false, true) => format!("\nAfter the recorded merges they count as {one} and {other}."),
            (_, false) => String::new(),
        });
    }
    Ok(text)
}

/// Returns the wording and the fingerprint of a cause, given as an incident id, a fingerprint or a wording.
///
/// # Errors
/// As [`explain`].
pub(super) async fn find(
    lake: &Lake,
    text: &str,
    known: &BTreeMap<String, KnownCause>,
) -> Result<(String, Option<String>), OpsError> {
    if text.starts_with("INC-")
        && let Ok(incident_id) = text.parse::<IncidentId>()
    {
        let (_, projections) = super::incident(lake, incident_id).await?;
        return projections
            .root_causes
            .into_iter()
            .max_by_key(|row| row.seq)
            .map(|row| (row.root_cause, row.cause_fingerprint))
            .ok_or_else(|| {
                refused(format!("{incident_id} has no root cause yet"), "record one with `ops-runbook incident rca`")
            });
    }
    if let Some(cause) = known.get(text) {
        return Ok((cause.root_cause.clone(), Some(cause.cause_fingerprint.clone())));
    }
    if text.starts_with("code:") || text.starts_with(&format!("{}:", cause::ALGORITHM)) {
        return Err(OpsError::NoCause(text.to_owned()));
    }
    Ok((text.to_owned(), cause::identify(None, text).map(|cause| cause.fingerprint)))
}
