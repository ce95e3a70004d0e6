//! The RUNBOOK ENTRY: recorded remediation steps as blocks of shell that are safe to paste at 3 a.m.
//!
//! - [`change`]: what a settings step changes
//! - [`settings`]: job, cluster and warehouse settings: check, apply, validate, roll back
//! - [`drift`]: whether live settings still equal the captured ones
//! - [`recorded`]: statements and commands somebody wrote
//! - [`shell`]: what every block begins with, and how it reaches the workspace
//! - [`jq`]: the programs that compare and compute settings
//! - [`quote`]: values as shell, JSON and text
//! - [`layout`]: the text and the Markdown; [`script`]: one bash file
//!
//! A block is one subshell in parentheses: half of one does nothing, and a failure never ends the shell it was pasted
//! into. It reads `DATABRICKS_HOST` and credentials from the environment, stops when the host is not the incident's
//! workspace, and writes only what it has just found to be as captured. Values stand in it as ASCII JSON in single
//! quotes, so that what is shown is what runs.

mod change;
pub mod drift;
mod jq;
mod layout;
mod quote;
mod recorded;
mod script;
mod settings;
mod shell;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use layout::{markdown, text};
pub use script::script;

use crate::{
    domain::{
        ids::IncidentId,
        time::Timestamp,
        words::{RemediationKind, RemediationResult},
    },
    tables::rows::{IncidentState, RootCause, RunbookStep},
};
use quote::shown;
use shell::Shell;

/// With which program the blocks reach the workspace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Tool {
    #[default]
    /// The databricks command line, version 0.2xx or 1.x; it takes care of signing in
    Cli,
    /// curl, with a token in DATABRICKS_TOKEN
    Curl,
}

/// The rows a runbook is made from, all of one incident, in any order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sources<'a> {
    pub steps: &'a [RunbookStep],
    pub states: &'a [IncidentState],
    pub causes: &'a [RootCause],
}

/// The steps known after one of the requests that brought any.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Version {
    /// 1, 2, 3 …
    pub version: u32,
    /// The audit_log row that made it.
    pub seq: u64,
    pub recorded_at: Timestamp,
    /// How many entries the runbook has.
    pub entries: usize,
}

/// The runbook of an incident.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Runbook {
    pub incident_id: IncidentId,
    /// None while no step was recorded.
    pub version: Option<u32>,
    pub versions: Vec<Version>,
    pub with: Tool,
    pub entries: Vec<Entry>,
}

/// One remediation step, to be done again or undone. Texts from outside are hostile in every output language; blocks
/// and notes are quoted already.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// 1, 2, 3 … in the runbook; stays the same in later versions.
    pub number: usize,
    pub kind: RemediationKind,
    pub title: String,
    /// When the step was first recorded.
    pub created: Timestamp,
    pub cause_summary: Option<String>,
    /// Whether it has been done.
    pub applied: bool,
    pub result: Option<RemediationResult>,
    /// What to know before anything is pasted.
    pub notes: Vec<String>,
    pub check: Part,
    pub apply: Part,
    pub validate: Part,
    pub test: Part,
    pub monitor: Part,
    pub rollback: Part,
    pub escalation: String,
}

/// One numbered step of an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Part {
    pub heading: String,
    /// One line each, printed as comments before the block.
    pub notes: Vec<String>,
    /// What to paste into bash. None where there is nothing to run; then the notes say why.
    pub block: Option<String>,
    /// One line each, printed as comments after the block.
    pub expected: Vec<String>,
}

impl Part {
    fn run(heading: &str, block: String) -> Self {
        Self { heading: heading.into(), block: Some(block), ..Self::default() }
    }

    fn without(heading: &str, why: impl Into<String>) -> Self {
        Self { heading: heading.into(), notes: vec![why.into()], ..Self::default() }
    }
}

/// There is no such version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the runbook of {incident_id} has no version {wanted}; {}", match there {
    0 => "it has none at all, because no remediation step was recorded".to_owned(),
    1 => "it has version 1 only".to_owned(),
    there => format!("it has versions 1 to {there}"),
})]
pub struct NoVersion {
    pub incident_id: IncidentId,
    pub wanted: u32,
    pub there: u32,
}

/// The versions of an incident's runbook, oldest first: one for every request that brought steps.
pub fn versions(steps: &[RunbookStep]) -> Vec<Version> {
    let mut seqs: Vec<u64> = steps.iter().map(|step| step.seq).collect();
    seqs.sort_unstable();
    seqs.dedup();
    let mut found = Vec::new();
    for (version, seq) in (1..).zip(seqs) {
        let Some(step) = steps.iter().find(|step| step.seq == seq) else { continue };
        found.push(Version { version, seq, recorded_at: step.recorded_at, entries: known_at(steps, seq).len() });
    }
    found
}

/// A step as it stands, and when it was first recorded.
struct Known {
    step: RunbookStep,
    created: Timestamp,
}

/// The steps known after the request `seq`. One that was recorded again stands where it stood at first, as it was
/// recorded last; what was captured before the change is kept when the later record lacks it.
fn known_at(steps: &[RunbookStep], seq: u64) -> Vec<Known> {
    let mut rows: Vec<&RunbookStep> = steps.iter().filter(|step| step.seq <= seq).collect();
    rows.sort_by_key(|step| (step.seq, step.ordinal));
    let mut known: Vec<Known> = Vec::new();
    for row in rows {
        match known.iter_mut().find(|earlier| earlier.step.seq < row.seq && same_step(&earlier.step, row)) {
            Some(earlier) => {
                let captured = earlier.step.captured_settings.take();
                earlier.step = row.clone();
                earlier.step.captured_settings = row.captured_settings.clone().or(captured);
            }
            None => known.push(Known { step: row.clone(), created: row.recorded_at }),
        }
    }
    known
}

/// The steps known now, in the order of the runbook's entries.
pub fn standing_steps(steps: &[RunbookStep]) -> Vec<RunbookStep> {
    known_at(steps, u64::MAX).into_iter().map(|known| known.step).collect()
}

/// New values of the same settings are the same step; other settings are another.
fn same_step(one: &RunbookStep, other: &RunbookStep) -> bool {
    let settings = |step: &RunbookStep| {
        let changes = object(step.changes.as_deref()).unwrap_or_default();
        changes.into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>()
    };
    (one.kind, &one.resource_kind, &one.resource_id, &one.task_keys, &one.statement, &one.command)
        == (other.kind, &other.resource_kind, &other.resource_id, &other.task_keys, &other.statement, &other.command)
        && settings(one) == settings(other)
}

/// The runbook of an incident; the latest version unless told otherwise.
///
/// # Errors
/// [`NoVersion`].
pub fn runbook(
    incident_id: IncidentId,
    sources: Sources<'_>,
    version: Option<u32>,
    with: Tool,
) -> Result<Runbook, NoVersion> {
    let versions = versions(sources.steps);
    let there = versions.last().map_or(0, |latest| latest.version);
    let chosen = match version {
        None => versions.last(),
        Some(wanted) => {
            let found = versions.iter().find(|version| version.version == wanted);
            Some(found.ok_or(NoVersion { incident_id, wanted, there })?)
        }
    };
    let state = sources.states.iter().max_by_key(|state| state.seq);
    let cause = sources.causes.iter().max_by_key(|cause| cause.seq);
    let mut entries = Vec::new();
    if let Some(chosen) = chosen {
        for (number, known) in (1..).zip(known_at(sources.steps, chosen.seq)) {
            entries.push(entry(number, &known, state, cause, with));
        }
    }
    Ok(Runbook { incident_id, version: chosen.map(|chosen| chosen.version), versions, with, entries })
}

/// What the blocks of an entry are made from.
struct Context<'a> {
    number: usize,
    step: &'a RunbookStep,
    /// The job the incident is about, where it is about one.
    job: Option<&'a str>,
    shell: Shell,
}

fn entry(number: usize, known: &Known, state: Option<&IncidentState>, cause: Option<&RootCause>, with: Tool) -> Entry {
    let step = &known.step;
    let shell = Shell { tool: with, workspace: state.and_then(|state| shell::origin(state.workspace_url.as_deref()?)) };
    let mut notes = Vec::new();
    if shell.workspace.is_none() {
        let workspace = state.map_or_else(|| "n/a".into(), |state| shown(state.workspace_id.as_str()));
        notes.push(format!(
            "The address of the workspace was not recorded: make sure that DATABRICKS_HOST is workspace {workspace}."
        ));
    }
    let job = state
        .filter(|state| state.resource_kind.as_ref().is_some_and(|kind| kind.as_str() == "job"))
        .and_then(|state| state.resource_id.as_ref())
        .map(|id| id.as_str());
    let context = Context { number, step, job, shell };
    let mut entry = Entry {
        number,
        kind: step.kind,
        title: step.title.clone(),
        created: known.created,
        cause_summary: cause.map(|cause| cause.cause_summary.as_ref().unwrap_or(&cause.root_cause).clone()),
        applied: step.applied,
        result: step.result,
        notes,
        check: Part::default(),
        apply: Part::default(),
        validate: Part::default(),
        test: Part::default(),
        monitor: Part::default(),
        rollback: Part::default(),
        escalation: escalation(cause),
    };
    match step.kind {
        RemediationKind::JobSettings | RemediationKind::ClusterSettings | RemediationKind::WarehouseSettings => {
            settings::fill(&mut entry, &context);
        }
        RemediationKind::Sql => recorded::statement(&mut entry, &context),
        RemediationKind::Command => recorded::command(&mut entry, &context),
    }
    entry
}

/// SPEC.md's sentence, with the run and the error where they are known.
fn escalation(cause: Option<&RootCause>) -> String {
    let run = cause.and_then(|cause| {
        let run = cause.occurrence_key.strip_prefix("run ")?;
        run.strip_prefix(cause.workspace_id.as_str())?.strip_prefix('/')
    });
    let error = cause.and_then(|cause| match (&cause.error_class, &cause.error_message) {
        (Some(class), Some(message)) => Some(format!("{class}: {message}")),
        (class, message) => class.clone().or_else(|| message.clone()),
    });
    let run = run.map_or_else(String::new, |run| format!(" {}", shown(run)));
    let error = error.map_or_else(String::new, |error| format!(" {}", shown(&error)));
    format!(
        "If still failing after 3 retries, escalate to Databricks support with run_id{run} and error message{error}."
    )
}

/// A JSON object column; `None` also for what is no object.
fn object(column: Option<&str>) -> Option<Map<String, Value>> {
    serde_json::from_str(column?).ok()
}
