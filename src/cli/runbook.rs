//! `runbook show` and `runbook list`.

use clap::{Subcommand, ValueEnum};

use super::{
    exit::{Code, Failure},
    output::Output,
};
use crate::{
    domain::ids::IncidentId,
    lake::Lake,
    ops,
    render::{
        listing,
        runbook::{self, Sources, Tool},
    },
    tables::project::Projections,
};

#[derive(Debug, Subcommand)]
pub enum RunbookCommand {
    /// Show the runbook of an incident: every remediation step as blocks to paste into bash
    Show {
        /// Such as INC-1042
        id: IncidentId,
        /// An earlier version; without it, the latest
        #[arg(long, value_name = "N")]
        version: Option<u32>,
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

pub async fn run(lake: &Lake, command: &RunbookCommand, output: &Output) -> Result<Code, Failure> {
    match command {
        RunbookCommand::Show { id, version, with, format } => show(lake, *id, *version, *with, *format, output).await,
        RunbookCommand::List { limit } => list(lake, *limit, output).await,
    }
}

async fn show(
    lake: &Lake,
    id: IncidentId,
    version: Option<u32>,
    with: Tool,
    format: RunbookFormat,
    output: &Output,
) -> Result<Code, Failure> {
    let (_, projections) = ops::incident(lake, id).await?;
    let runbook = runbook::runbook(id, sources(&projections), version, with)?;
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

fn sources(projections: &Projections) -> Sources<'_> {
    Sources { steps: &projections.runbooks, states: &projections.incident_states, causes: &projections.root_causes }
}

/// The newest version; `None` when there are no steps.
pub fn newest(id: IncidentId, projections: &Projections) -> Option<runbook::Runbook> {
    if projections.runbooks.is_empty() {
        return None;
    }
    runbook::runbook(id, sources(projections), None, Tool::default()).ok()
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
