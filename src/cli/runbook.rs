//! `runbook show`, `runbook capture` and `runbook list`.

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::{
    exit::{Code, Failure},
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
        runbook::{self, Tool},
    },
};

#[derive(Debug, Subcommand)]
pub enum RunbookCommand {
    /// Show the runbook of an incident: every remediation step as blocks to paste into bash
    Show {
        #[command(flatten)]
        ask: GetRunbook,
        /// How to print it
        #[arg(long, default_value = "text")]
        format: RunbookFormat,
    },
    /// Read the live settings that the runbook changes, record them where none were captured, and show the runbook
    ///
    /// Says of every step that was captured before whether something has drifted. Reads the workspace, and changes nothing
    /// there.
    Capture {
        /// Such as INC-1042
        id: IncidentId,
        /// Capture anew what has drifted
        #[arg(long)]
        anew: bool,
        /// Who does it, such as user:sre@example.test; user:NAME of whoever is logged in unless given
        #[arg(long, env = "OPS_RUNBOOK_ACTOR", value_name = "ACTOR")]
        actor: Id,
        /// With which program the blocks reach the workspace
        #[arg(long, value_name = "TOOL", default_value = "cli")]
        with: Tool,
        /// How to print it
        #[arg(long, default_value = "text")]
        format: RunbookFormat,
    },
    /// List the incidents that have a runbook, the latest first
    List {
        /// At most this many
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

pub async fn run(lake: &Lake, command: &RunbookCommand, redactor: &Redactor, output: &Output) -> Result<Code, Failure> {
    match command {
        RunbookCommand::Capture { id, anew, actor, with, format } => {
            let client = workspace::client()?;
            ops::existing_lake(lake).await?;
            let (ledger, committer) = ops::open_ledger(lake).await?;
            let seen = ops::capture::capture(lake, &client, &ledger, *id, actor, *anew, redactor).await;
            drop(ledger);
            committer.finished().await;
            let seen = seen?;
            let ask = GetRunbook { incident_id: *id, version: None, with: *with };
            if output.json {
                let runbook = ops::reading::runbook(lake, &ask).await?;
                output.json(&json!({ "steps": seen, "runbook": runbook }))?;
                return Ok(Code::Success);
            }
            output.problem(&runbook::drift::text(&seen));
            show(lake, &ask, *format, output).await
        }
        RunbookCommand::Show { ask, format } => show(lake, ask, *format, output).await,
        RunbookCommand::List { limit } => list(lake, *limit, output).await,
    }
}

async fn show(lake: &Lake, ask: &GetRunbook, format: RunbookFormat, output: &Output) -> Result<Code, Failure> {
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
    Ok(Code::Success)
}

async fn list(lake: &Lake, limit: u64, output: &Output) -> Result<Code, Failure> {
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
    Ok(Code::Success)
}
