//! `incident`: open, log step by step, read.

use std::path::PathBuf;

use clap::Subcommand;
use schemars::JsonSchema;
use serde_json::json;

use super::{
    commands::{self, Outcome},
    exit::{Code, Failure},
    output::Output,
};
use crate::{
    domain::{
        entry::Request,
        ids::IncidentId,
        problems::Problem,
        redact::Redactor,
        steps::{
            AcknowledgeIncident, CloseIncident, CorrectEvent, EscalateIncident, LogEvent, OpenIncident,
            RecordRemediation, RecordRootCause, RecordVerification, ReopenIncident, Step,
        },
        words::Interface,
    },
    lake::{Lake, ledger::Submission},
    ops::{
        self,
        artefacts::record,
        reading::{SearchIncidents, newest_runbook},
        similar::SimilarIncidents,
    },
    render::{self, listing, postmortem, timeline},
};

#[derive(Debug, Subcommand)]
pub enum IncidentCommand {
    /// Open an incident that is then logged step by step
    Open(OpenIncident),
    /// Log what was found, fetched, analysed or noted
    Log(LogEvent),
    /// Say that somebody has taken the incident on; acknowledges its open alerts too
    Ack(AcknowledgeIncident),
    /// Record the root-cause analysis; a later one counts instead of an earlier one
    Rca(Box<RecordRootCause>),
    /// Record a step that was or should be taken; it becomes part of the runbook
    Remediate(Box<RecordRemediation>),
    /// Record that a fix was verified
    Verify(RecordVerification),
    /// Hand the incident on to somebody else
    Escalate(EscalateIncident),
    /// Resolve the incident; resolves its open alerts too
    Close(CloseIncident),
    /// Open a resolved incident again; it stays the same incident
    Reopen(ReopenIncident),
    /// Correct an event, or take it back; the record keeps both
    Correct(CorrectEvent),
    /// Show everything recorded about an incident
    Show {
        /// Such as INC-1042
        id: IncidentId,
        /// Say behind each event what `incident correct` calls it
        #[arg(long)]
        refs: bool,
    },
    /// List incidents, the newest report first
    List(SearchIncidents),
    /// Find incidents with the same cause or a near one, what fixed them, and how often that held
    Similar(SimilarIncidents),
    /// Write the post-mortem as Markdown
    Postmortem {
        /// Such as INC-1042
        id: IncidentId,
        /// Write it there instead of to standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

pub async fn run(command: &IncidentCommand, lake: &Lake, redactor: &Redactor, output: &Output) -> Outcome {
    match command {
        IncidentCommand::Open(step) => {
            let prepared = ops::prepare_opening(step.clone(), redactor, lake.context.now(), Interface::Cli);
            commands::perform(lake, refused(prepared, output)?, redactor, output).await
        }
        IncidentCommand::Log(step) => take(step.clone(), lake, redactor, output).await,
        IncidentCommand::Ack(step) => take(step.clone(), lake, redactor, output).await,
        IncidentCommand::Rca(step) => take((**step).clone(), lake, redactor, output).await,
        IncidentCommand::Remediate(step) => take((**step).clone(), lake, redactor, output).await,
        IncidentCommand::Verify(step) => take(step.clone(), lake, redactor, output).await,
        IncidentCommand::Escalate(step) => take(step.clone(), lake, redactor, output).await,
        IncidentCommand::Close(step) => take(step.clone(), lake, redactor, output).await,
        IncidentCommand::Reopen(step) => take(step.clone(), lake, redactor, output).await,
        IncidentCommand::Correct(step) => take(step.clone(), lake, redactor, output).await,
        IncidentCommand::Show { id, refs } => show(lake, *id, *refs, output).await,
        IncidentCommand::List(ask) => list(lake, ask, output).await,
        IncidentCommand::Similar(ask) => similar(lake, ask, redactor, output).await,
        IncidentCommand::Postmortem { id, out } => {
            let (rows, projections) = ops::incident(lake, *id).await?;
            let runbook = newest_runbook(*id, &projections).map(|runbook| render::runbook::markdown(&runbook));
            let text = postmortem::markdown(&record(&rows, &projections), runbook.as_deref());
            output.document(&text, out.as_deref())?;
            Ok(Code::Success)
        }
    }
}

/// Records one step of something that is there already.
pub async fn take<S: Step + JsonSchema + Into<Request>>(
    step: S,
    lake: &Lake,
    redactor: &Redactor,
    output: &Output,
) -> Outcome {
    let prepared = ops::prepare_step(step, redactor, lake.context.now(), Interface::Cli);
    let submission = refused(prepared, output)?;
    ops::existing_lake(lake).await?;
    commands::perform(lake, submission, redactor, output).await
}

fn refused(prepared: Result<Submission, Vec<Problem>>, output: &Output) -> Result<Submission, Failure> {
    prepared.map_err(|problems| {
        commands::say_problems(None, &problems, output);
        Failure::Refused
    })
}

async fn show(lake: &Lake, id: IncidentId, refs: bool, output: &Output) -> Outcome {
    let (rows, projections) = ops::incident(lake, id).await?;
    if !output.json {
        let record = record(&rows, &projections);
        let text = if refs { timeline::incident_with_refs(&record) } else { timeline::incident(&record) };
        output.text(&text)?;
        return Ok(Code::Success);
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
    Ok(Code::Success)
}

async fn list(lake: &Lake, ask: &SearchIncidents, output: &Output) -> Outcome {
    let lines = ops::reading::incidents(lake, ask).await?;
    if output.json {
        output.json(&lines)?;
    } else {
        output.text(&listing::incidents(&lines, lake.context.now(), output.width()))?;
    }
    Ok(Code::Success)
}

async fn similar(lake: &Lake, ask: &SimilarIncidents, redactor: &Redactor, output: &Output) -> Outcome {
    let found = ops::similar::find(lake, ask, redactor).await?;
    if output.json {
        output.json(&found)?;
    } else {
        output.text(&render::similar::text(&found, output.width()))?;
    }
    Ok(Code::Success)
}
