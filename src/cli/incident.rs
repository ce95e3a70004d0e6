//! `incident`: opens, logs and shows incidents.

use std::path::PathBuf;

use clap::Subcommand;
use schemars::JsonSchema;
use serde_json::json;

use super::{
    commands::{self, CommandResult},
    exit::{CommandError, ExitStatus},
    help::examples,
    output::Output,
};
use crate::{
    domain::{
        entry::Request,
        ids::IncidentId,
        interface::Interface,
        problems::Problem,
        redact::Redactor,
        steps::{
            AcknowledgeIncident, CloseIncident, CorrectEvent, EscalateIncident, LogEvent, OpenIncident,
            RecordRemediation, RecordRootCause, RecordVerification, ReopenIncident, Step,
        },
    },
    lake::{Lake, ledger::Submission},
    ops::{
        self,
        artifacts::record,
        reading::{SearchIncidents, newest_runbook},
        similar::FindSimilarIncidents,
    },
    render::{self, listing, postmortem, timeline},
};

#[derive(Debug, Subcommand)]
pub enum IncidentCommand {
    /// Open an incident
    #[command(after_help = examples!(
        "ops-runbook incident open \"daily-etl failed\" --workspace 7474656068489128",
        "ops-runbook incident open \"daily-etl failed\" --workspace 7474656068489128 --resource job:36051",
    ))]
    Open(OpenIncident),
    /// Log a discovery, fetched evidence, an analysis or a note
    #[command(after_help = examples!(
        "ops-runbook incident log INC-1042 \"the driver ran out of memory\" --kind ANALYZE",
        "ops-runbook incident log INC-1042 \"read the run output\" --kind FETCH --tool get_run_output",
    ))]
    Log(LogEvent),
    /// Acknowledge an incident and its open alerts
    #[command(after_help = examples!(
        "ops-runbook incident ack INC-1042",
        "ops-runbook incident ack INC-1042 \"I am looking into it\"",
    ))]
    Ack(AcknowledgeIncident),
    /// Record the root cause; it replaces an earlier one
    #[command(after_help = examples!(
        "ops-runbook incident rca INC-1042 \"driver out of memory\" --confidence HIGH --code driver_oom",
        "ops-runbook incident rca INC-1042 unknown --confidence LOW --missing-evidence run_output=expired",
    ))]
    Rca(Box<RecordRootCause>),
    /// Record a remediation step, proposed or applied, for the runbook
    #[command(after_help = examples!(
        "ops-runbook incident remediate INC-1042 \"vacuum\" --kind sql --statement \"VACUUM main.etl.events\"",
        "ops-runbook incident remediate INC-1042 \"clear /tmp\" --kind command --command \"rm -r /tmp/etl\"",
    ))]
    Remediate(Box<RecordRemediation>),
    /// Record the verification of a fix
    #[command(after_help = examples!(
        "ops-runbook incident verify INC-1042 \"three runs succeeded\"",
        "ops-runbook incident verify INC-1042 \"the next run failed\" --result FAILED",
    ))]
    Verify(RecordVerification),
    /// Escalate an incident to another person or team
    #[command(after_help = examples!("ops-runbook incident escalate INC-1042 \"needs a larger quota\" --to platform-team"))]
    Escalate(EscalateIncident),
    /// Close an incident, and resolve its open alerts
    #[command(after_help = examples!(
        "ops-runbook incident close INC-1042 \"retries were added\"",
        "ops-runbook incident close INC-1042 \"retries were added\" --lesson \"set max_retries on every job\"",
    ))]
    Close(CloseIncident),
    /// Reopen a closed incident
    #[command(after_help = examples!("ops-runbook incident reopen INC-1042 \"the run failed with the same error\""))]
    Reopen(ReopenIncident),
    /// Correct or withdraw an event; the record keeps both versions
    #[command(after_help = examples!(
        "ops-runbook incident correct INC-1042 17.3 \"the executor ran out of memory\"",
        "ops-runbook incident correct INC-1042 17.3 --withdraw",
    ))]
    Correct(CorrectEvent),
    /// Show the complete record of an incident
    #[command(after_help = examples!(
        "ops-runbook incident show INC-1042",
        "ops-runbook incident show INC-1042 --refs",
    ))]
    Show {
        /// The incident, such as INC-1042
        id: IncidentId,
        /// Print the reference of each event, which `incident correct` takes
        #[arg(long)]
        refs: bool,
    },
    /// List incidents, the newest report first
    #[command(after_help = examples!(
        "ops-runbook incident list",
        "ops-runbook incident list --status investigating --limit 10",
        "ops-runbook incident list --text daily-etl",
    ))]
    List(SearchIncidents),
    /// Find incidents with the same or a similar cause, and their fixes
    #[command(after_help = examples!(
        "ops-runbook incident similar INC-1042",
        "ops-runbook incident similar --cause \"driver out of memory\"",
    ))]
    Similar(FindSimilarIncidents),
    /// Write the post-mortem of an incident as Markdown
    #[command(after_help = examples!(
        "ops-runbook incident postmortem INC-1042",
        "ops-runbook incident postmortem INC-1042 --out INC-1042.md",
    ))]
    Postmortem {
        /// The incident, such as INC-1042
        id: IncidentId,
        /// Output file [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

pub async fn run(command: &IncidentCommand, lake: &Lake, redactor: &Redactor, output: &Output) -> CommandResult {
    match command {
        IncidentCommand::Open(step) => {
            let prepared = ops::prepare_opening(step.clone(), redactor, lake.context.now(), Interface::Cli);
            commands::record_one(lake, refused(prepared, output)?, redactor, output).await
        }
        IncidentCommand::Log(step) => record_step(step.clone(), lake, redactor, output).await,
        IncidentCommand::Ack(step) => record_step(step.clone(), lake, redactor, output).await,
        IncidentCommand::Rca(step) => record_step((**step).clone(), lake, redactor, output).await,
        IncidentCommand::Remediate(step) => record_step((**step).clone(), lake, redactor, output).await,
        IncidentCommand::Verify(step) => record_step(step.clone(), lake, redactor, output).await,
        IncidentCommand::Escalate(step) => record_step(step.clone(), lake, redactor, output).await,
        IncidentCommand::Close(step) => record_step(step.clone(), lake, redactor, output).await,
        IncidentCommand::Reopen(step) => record_step(step.clone(), lake, redactor, output).await,
        IncidentCommand::Correct(step) => record_step(step.clone(), lake, redactor, output).await,
        IncidentCommand::Show { id, refs } => show(lake, *id, *refs, output).await,
        IncidentCommand::List(ask) => list(lake, ask, output).await,
        IncidentCommand::Similar(ask) => similar(lake, ask, redactor, output).await,
        IncidentCommand::Postmortem { id, out } => {
            let (rows, projections) = ops::incident(lake, *id).await?;
            let runbook = newest_runbook(*id, &projections).map(|runbook| render::runbook::markdown(&runbook));
            let text = postmortem::markdown(&record(&rows, &projections), runbook.as_deref());
            output.document(&text, out.as_deref())?;
            Ok(ExitStatus::Success)
        }
    }
}

/// Records a step of an existing incident, alert or recurring issue.
pub async fn record_step<S: Step + JsonSchema + Into<Request>>(
    step: S,
    lake: &Lake,
    redactor: &Redactor,
    output: &Output,
) -> CommandResult {
    let prepared = ops::prepare_step(step, redactor, lake.context.now(), Interface::Cli);
    let submission = refused(prepared, output)?;
    ops::existing_lake(lake).await?;
    commands::record_one(lake, submission, redactor, output).await
}

fn refused(prepared: Result<Submission, Vec<Problem>>, output: &Output) -> Result<Submission, CommandError> {
    prepared.map_err(|problems| {
        commands::print_problems(None, &problems, output);
        CommandError::Refused
    })
}

async fn show(lake: &Lake, id: IncidentId, refs: bool, output: &Output) -> CommandResult {
    let (rows, projections) = ops::incident(lake, id).await?;
    if !output.json {
        let record = record(&rows, &projections);
        let text = if refs { timeline::incident_with_refs(&record) } else { timeline::incident(&record) };
        output.text(&text)?;
        return Ok(ExitStatus::Success);
    }
    output.json(&json!({
        "incident_id": id,
        "states": projections.incident_states,
        "timeline": projections.timeline_events,
        "root_causes": projections.root_causes,
        "checks": projections.practice_checks,
        "remediation": projections.runbooks,
        "escalations": projections.escalation_events,
        "recurrence": projections.recurrence_events,
        "audit": rows,
    }))?;
    Ok(ExitStatus::Success)
}

async fn list(lake: &Lake, ask: &SearchIncidents, output: &Output) -> CommandResult {
    let lines = ops::reading::incidents(lake, ask).await?;
    if output.json {
        output.json(&lines)?;
    } else {
        output.text(&listing::incidents(&lines, lake.context.now(), output.width()))?;
    }
    Ok(ExitStatus::Success)
}

async fn similar(lake: &Lake, ask: &FindSimilarIncidents, redactor: &Redactor, output: &Output) -> CommandResult {
    let found = ops::similar::find(lake, ask, redactor).await?;
    if output.json {
        output.json(&found)?;
    } else {
        output.text(&render::similar::text(&found, output.width()))?;
    }
    Ok(ExitStatus::Success)
}
