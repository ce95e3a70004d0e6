//! `recurrence`: recurring issues, and preventive actions against them.

use chrono::TimeDelta;
use clap::Subcommand;

use super::{
    commands::{self, CommandResult},
    engine::{self, EngineArgs},
    exit::ExitStatus,
    help::examples,
    incident::record_step,
    output::Output,
};
use crate::{
    analytics::engine::Engine,
    domain::{redact::Redactor, steps::AdoptPrevention, time::Timestamp},
    lake::Lake,
    ops::{self, OpsError, reading::ListRecurring},
    render::recurring::{self, EpisodeLine},
    tables::rows::RecurrenceEvent,
};

#[derive(Debug, Subcommand)]
pub enum RecurrenceCommand {
    /// Find recurring causes, and check whether preventive actions worked
    ///
    /// Records which causes recur, which have stopped recurring, and the results of preventive actions.
    #[command(after_help = examples!(
        "ops-runbook recurrence scan",
        "ops-runbook recurrence scan --trailing 28",
        "ops-runbook recurrence scan --as-of 2026-02-28T00:00:00Z",
    ))]
    Scan {
        /// Scan as of this time, RFC 3339 [default: now]
        #[arg(long, value_name = "TIME")]
        as_of: Option<Timestamp>,
        /// Scan only causes that were found in the last DAYS days, and open recurring issues; at least four windows. For
        /// jobs that run often
        #[arg(long, value_name = "DAYS")]
        trailing: Option<u16>,
        #[command(flatten)]
        engine: EngineArgs,
    },
    /// List recurring issues, the latest first
    #[command(after_help = examples!(
        "ops-runbook recurrence list",
        "ops-runbook recurrence list --all",
    ))]
    List(ListRecurring),
    /// Show a recurring issue: pattern, preventive actions, policy template
    #[command(after_help = examples!("ops-runbook recurrence show rec-0123456789abcdef"))]
    Show {
        /// The recurring issue, such as rec-0123456789abcdef
        #[arg(value_name = "EPISODE")]
        episode: String,
    },
    /// Record that a preventive action is in place; scans check its result
    #[command(after_help = examples!(
        "ops-runbook recurrence adopt code:executor_oom job-memory",
        "ops-runbook recurrence adopt code:executor_oom job-memory \"16 GB\" --at 2026-02-04T00:00:00Z",
    ))]
    Adopt(AdoptPrevention),
}

pub async fn run(command: &RecurrenceCommand, lake: &Lake, redactor: &Redactor, output: &Output) -> CommandResult {
    match command {
        RecurrenceCommand::Scan { as_of, trailing, engine } => {
            engine::with(engine, lake, output, async |engine| scan(lake, engine, *as_of, *trailing, output).await).await
        }
        RecurrenceCommand::List(ask) => list(lake, ask, output).await,
        RecurrenceCommand::Show { episode } => show(lake, episode, output).await,
        RecurrenceCommand::Adopt(step) => {
            let known = ops::causes::known(lake).await?;
            if !known.iter().any(|cause| cause.cause_fingerprint == step.cause.as_str()) {
                return Err(OpsError::NoCause(step.cause.to_string()).into());
            }
            record_step(step.clone(), lake, redactor, output).await
        }
    }
}

async fn scan(
    lake: &Lake,
    engine: Engine<'_>,
    as_of: Option<Timestamp>,
    trailing: Option<u16>,
    output: &Output,
) -> CommandResult {
    let trailing = trailing.map(|days| TimeDelta::days(days.into()));
    ops::existing_lake(lake).await?;
    let (ledger, committer) = ops::open_ledger(lake).await?;
    let found = ops::recurrence::scan(lake, engine, &ledger, as_of, trailing).await?;
    drop(ledger);
    committer.finished().await;
    if output.json {
        output.json(&found.recurring)?;
    } else if found.recurring.is_empty() {
        output.text("no changes: all recurring issues are up to date")?;
    }
    commands::print_consequences(&found, output)?;
    Ok(ExitStatus::Success)
}

async fn list(lake: &Lake, ask: &ListRecurring, output: &Output) -> CommandResult {
    let rows = ops::reading::recurring(lake, ask).await?;
    if output.json {
        output.json(&rows)?;
    } else {
        output.text(&recurring::episodes(&rows.iter().map(EpisodeLine::of).collect::<Vec<_>>(), output.width()))?;
    }
    Ok(ExitStatus::Success)
}

async fn show(lake: &Lake, episode: &str, output: &Output) -> CommandResult {
    let rows: Vec<RecurrenceEvent> = ops::rows(lake, "SELECT * FROM recurring_issues").await?;
    let Some(row) = rows.into_iter().find(|row| row.episode_id.as_str() == episode) else {
        return Err(OpsError::NoEpisode(episode.to_owned()).into());
    };
    if output.json {
        output.json(&row)?;
    } else {
        output.text(&recurring::event(&row))?;
    }
    Ok(ExitStatus::Success)
}
