//! The RUNBOOK ENTRY: recorded remediation steps as blocks of shell that are safe to paste.
//!
//! - [`change`]: parses what a settings step changes
//! - [`settings`]: blocks for job, cluster and warehouse settings: check, apply, validate, roll back
//! - [`drift`]: compares live settings with the captured ones
//! - [`recorded`]: blocks for recorded SQL statements and commands
//! - [`shell`]: the start of every block, and its calls of the workspace's API
//! - [`jq`]: the jq programs that compare and compute settings
//! - [`quote`]: quotes values for shell, JSON and text
//! - [`layout`]: the runbook as text and Markdown; [`script`]: as one bash file
//!
//! A block is one subshell in parentheses: an incomplete paste runs nothing, and a failure never ends the surrounding shell. It
//! reads `DATABRICKS_HOST` and credentials from the environment, and stops if the host is not the incident's workspace. It
//! writes settings only after it has checked that the live ones equal the capture. Values are ASCII JSON in single quotes, so
//! the shown text is exactly what runs.

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
        remediation::{RemediationKind, RemediationResult},
        time::Timestamp,
    },
    tables::rows::{IncidentState, RootCause, RunbookStep},
};
use quote::shown;
use shell::Shell;

/// The program with which the blocks call the workspace's API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum RunbookTool {
    #[default]
    /// The databricks command line, version 0.2xx or 1.x, which signs in
    Cli,
    /// curl, with a token in DATABRICKS_TOKEN
    Curl,
}

/// The rows of one incident from which its runbook is made, in any order.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunbookRows<'a> {
    pub steps: &'a [RunbookStep],
    pub states: &'a [IncidentState],
    pub causes: &'a [RootCause],
}

/// A version of a runbook: the steps known after one request that recorded steps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunbookVersion {
    /// 1, 2, 3 …
    pub version: u32,
    /// The audit_log row that created it.
    pub seq: u64,
    pub recorded_at: Timestamp,
    /// The number of entries.
    pub entries: usize,
}

/// The runbook of an incident.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Runbook {
    pub incident_id: IncidentId,
    /// None if no step was recorded.
    pub version: Option<u32>,
    pub versions: Vec<RunbookVersion>,
    pub with: RunbookTool,
    pub entries: Vec<RunbookEntry>,
}

/// One remediation step, ready to be applied or rolled back. Texts from outside are not escaped; blocks and notes are quoted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunbookEntry {
    /// 1, 2, 3 … in the runbook; stays the same in later versions.
    pub number: usize,
    pub kind: RemediationKind,
    pub title: String,
    /// When the step was first recorded.
    pub created: Timestamp,
    pub cause_summary: Option<String>,
    /// Whether the step was applied.
    pub applied: bool,
    pub result: Option<RemediationResult>,
    /// Warnings to read before pasting.
    pub notes: Vec<String>,
    pub check: EntryPart,
    pub apply: EntryPart,
    pub validate: EntryPart,
    pub test: EntryPart,
    pub monitor: EntryPart,
    pub rollback: EntryPart,
    pub escalation: String,
}

/// One numbered step of an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EntryPart {
    pub heading: String,
    /// One line each, printed as comments before the block.
    pub notes: Vec<String>,
    /// The block to paste into bash. None if there is nothing to run; then the notes give the reason.
    pub block: Option<String>,
    /// One line each, printed as comments after the block.
    pub expected: Vec<String>,
}

impl EntryPart {
    fn run(heading: &str, block: String) -> Self {
        Self { heading: heading.into(), block: Some(block), ..Self::default() }
    }

    fn without(heading: &str, why: impl Into<String>) -> Self {
        Self { heading: heading.into(), notes: vec![why.into()], ..Self::default() }
    }
}

/// The runbook has no such version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the runbook of {incident_id} has no version {wanted}; {}", match latest {
    0 => "it has no version, because no remediation step was recorded".to_owned(),
    1 => "it has version 1 only".to_owned(),
    latest => format!("it has versions 1 to {latest}"),
})]
pub struct UnknownVersion {
    pub incident_id: IncidentId,
    pub wanted: u32,
    pub latest: u32,
}

/// The versions of an incident's runbook, oldest first: one for every request that recorded steps.
pub fn versions(steps: &[RunbookStep]) -> Vec<RunbookVersion> {
    let mut seqs: Vec<u64> = steps.iter().map(|step| step.seq).collect();
    seqs.sort_unstable();
    seqs.dedup();
    let mut found = Vec::new();
    for (version, seq) in (1..).zip(seqs) {
        let Some(step) = steps.iter().find(|step| step.seq == seq) else { continue };
        found.push(RunbookVersion { version, seq, recorded_at: step.recorded_at, entries: steps_at(steps, seq).len() });
    }
    found
}

/// A step as last recorded, and the time at which it was first recorded.
struct KnownStep {
    step: RunbookStep,
    created: Timestamp,
}

/// The steps known after the request `seq`. A step that was recorded again keeps its position and has its latest content. Its
/// captured settings are kept if the later record has none.
fn steps_at(steps: &[RunbookStep], seq: u64) -> Vec<KnownStep> {
    let mut rows: Vec<&RunbookStep> = steps.iter().filter(|step| step.seq <= seq).collect();
    rows.sort_by_key(|step| (step.seq, step.ordinal));
    let mut known: Vec<KnownStep> = Vec::new();
    for row in rows {
        match known.iter_mut().find(|earlier| earlier.step.seq < row.seq && same_step(&earlier.step, row)) {
            Some(earlier) => {
                let captured = earlier.step.captured_settings.take();
                earlier.step = row.clone();
                earlier.step.captured_settings = row.captured_settings.clone().or(captured);
            }
            None => known.push(KnownStep { step: row.clone(), created: row.recorded_at }),
        }
    }
    known
}

/// The current steps, in the order of the runbook's entries.
pub fn current_steps(steps: &[RunbookStep]) -> Vec<RunbookStep> {
    steps_at(steps, u64::MAX).into_iter().map(|known| known.step).collect()
}

/// Whether two rows are the same step. New values of the same settings are; other settings are another step.
fn same_step(one: &RunbookStep, other: &RunbookStep) -> bool {
    let settings = |step: &RunbookStep| {
        let changes = object(step.changes.as_deref()).unwrap_or_default();
        changes.into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>()
    };
    (one.kind, &one.resource_kind, &one.resource_id, &one.task_keys, &one.statement, &one.command)
        == (other.kind, &other.resource_kind, &other.resource_id, &other.task_keys, &other.statement, &other.command)
        && settings(one) == settings(other)
}

/// Returns the runbook of an incident in the given version, or in the latest one.
///
/// # Errors
/// [`UnknownVersion`].
pub fn runbook(
    incident_id: IncidentId,
    sources: RunbookRows<'_>,
    version: Option<u32>,
    with: RunbookTool,
) -> Result<Runbook, UnknownVersion> {
    let versions = versions(sources.steps);
    let latest = versions.last().map_or(0, |latest| latest.version);
    let chosen = match version {
        None => versions.last(),
        Some(wanted) => {
            let found = versions.iter().find(|version| version.version == wanted);
            Some(found.ok_or(UnknownVersion { incident_id, wanted, latest })?)
        }
    };
    let state = sources.states.iter().max_by_key(|state| state.seq);
    let cause = sources.causes.iter().max_by_key(|cause| cause.seq);
    let mut entries = Vec::new();
    if let Some(chosen) = chosen {
        for (number, known) in (1..).zip(steps_at(sources.steps, chosen.seq)) {
            entries.push(entry(number, &known, state, cause, with));
        }
    }
    Ok(Runbook { incident_id, version: chosen.map(|chosen| chosen.version), versions, with, entries })
}

/// The input for the blocks of an entry.
struct StepContext<'a> {
    number: usize,
    step: &'a RunbookStep,
    /// The job that the incident is about, if any.
    job: Option<&'a str>,
    shell: Shell,
}

fn entry(
    number: usize,
    known: &KnownStep,
    state: Option<&IncidentState>,
    cause: Option<&RootCause>,
    with: RunbookTool,
) -> RunbookEntry {
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
    let context = StepContext { number, step, job, shell };
    let mut entry = RunbookEntry {
        number,
        kind: step.kind,
        title: step.title.clone(),
        created: known.created,
        cause_summary: cause.map(|cause| cause.cause_summary.as_ref().unwrap_or(&cause.root_cause).clone()),
        applied: step.applied,
        result: step.result,
        notes,
        check: EntryPart::default(),
        apply: EntryPart::default(),
        validate: EntryPart::default(),
        test: EntryPart::default(),
        monitor: EntryPart::default(),
        rollback: EntryPart::default(),
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

/// The specification's sentence, with run and error if they are known.
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

/// A column with a JSON object; `None` if it is absent or another JSON value.
fn object(column: Option<&str>) -> Option<Map<String, Value>> {
    serde_json::from_str(column?).ok()
}
