//! `runbook show`, `runbook capture` and `runbook list`.

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::{
    exit::{CommandError, ExitStatus},
    help::examples,
    output::Output,
    workspace,
};
use crate::{
    domain::{
        ids::{Id, IncidentId},
        redact::Redactor,
    },
    lake::Lake,
    ops::{self, reading::GetRunbook},
    render::{
        listing,
        runbook::{self, RunbookTool},
    },
};

#[derive(Debug, Subcommand)]
pub enum RunbookCommand {
    /// Show the runbook of an incident: a bash block for each step
    #[command(after_help = examples!(
        "ops-runbook runbook show INC-1042",
        "ops-runbook runbook show INC-1042 --format script",
    ))]
    Show {
        #[command(flatten)]
        ask: GetRunbook,
        /// Output format
        #[arg(long, default_value = "text")]
        format: RunbookFormat,
    },
    /// Capture the live settings that a runbook changes; show the runbook
    ///
    /// Records the settings of each step that has none. For captured steps it reports whether the live settings have drifted.
    /// The command reads the workspace and changes nothing there.
    #[command(after_help = examples!(
        "ops-runbook runbook capture INC-1042",
        "ops-runbook runbook capture INC-1042 --recapture --format script",
    ))]
    Capture {
        /// The incident, such as INC-1042
        id: IncidentId,
        /// Capture drifted settings again
        #[arg(long)]
        recapture: bool,
        /// The person or agent that captures, such as user:sre@example.test [default: the user who is logged in]
        #[arg(long, env = "OPS_RUNBOOK_ACTOR", value_name = "ACTOR")]
        actor: Id,
        /// The program that the blocks call
        #[arg(long, value_name = "TOOL", default_value = "cli")]
        with: RunbookTool,
        /// Output format
        #[arg(long, default_value = "text")]
        format: RunbookFormat,
    },
    /// List the incidents that have a runbook, the latest first
    #[command(after_help = examples!("ops-runbook runbook list"))]
    List {
        /// Maximum number of incidents
        #[arg(long, default_value_t = 50)]
        limit: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RunbookFormat {
    Text,
    Markdown,
    /// One bash file with the sub-commands check, apply, validate and rollback
    Script,
}

pub async fn run(
    lake: &Lake,
    command: &RunbookCommand,
    redactor: &Redactor,
    output: &Output,
) -> Result<ExitStatus, CommandError> {
    match command {
        RunbookCommand::Capture { id, recapture, actor, with, format } => {
            let client = workspace::client()?;
            ops::existing_lake(lake).await?;
            let (ledger, committer) = ops::open_ledger(lake).await?;
            let seen = ops::capture::capture(lake, &client, &ledger, *id, actor, *recapture, redactor).await;
            drop(ledger);
            committer.finished().await;
            let seen = seen?;
            let ask = GetRunbook { incident_id: *id, version: None, with: *with };
            if output.json {
                let runbook = ops::reading::runbook(lake, &ask).await?;
                output.json(&json!({ "steps": seen, "runbook": runbook }))?;
                return Ok(ExitStatus::Success);
            }
            output.problem(&runbook::drift::text(&seen));
            show(lake, &ask, *format, output).await
        }
        RunbookCommand::Show { ask, format } => show(lake, ask, *format, output).await,
        RunbookCommand::List { limit } => list(lake, *limit, output).await,
    }
}

async fn show(
    lake: &Lake,
    ask: &GetRunbook,
    format: RunbookFormat,
    output: &Output,
) -> Result<ExitStatus, CommandError> {
    let runbook = ops::reading::runbook(lake, ask).await?;
    if output.json {
        output.json(&runbook)?;
    } else {
        output.text(&match format {
            RunbookFormat::Text => runbook::text(&runbook),
            RunbookFormat::Markdown => runbook::markdown(&runbook),
            RunbookFormat::Script => runbook::script(&runbook),
        })?;
    }
    Ok(ExitStatus::Success)
}

async fn list(lake: &Lake, limit: u64, output: &Output) -> Result<ExitStatus, CommandError> {
    let sql = format!(
        "SELECT incident_id, count(DISTINCT seq) AS versions, max(recorded_at) AS updated_at, \
         min(incident_title) AS incident_title \
         FROM runbook_steps GROUP BY incident_id ORDER BY max(seq) DESC NULLS LAST LIMIT {limit}"
    );
    let lines: Vec<listing::RunbookLine> = ops::rows(lake, &sql).await?;
    if output.json {
        output.json(&lines)?;
    } else {
        output.text(&listing::runbooks(&lines, output.width()))?;
    }
    Ok(ExitStatus::Success)
}
