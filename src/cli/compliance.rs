//! `compliance`: checks the jobs of a workspace against rules.

use clap::{Args, Subcommand};

use super::{
    commands::{self, CommandResult},
    exit::ExitStatus,
    help::examples,
    output::Output,
    workspace,
};
use crate::{
    domain::{ids::Id, redact::Redactor},
    lake::Lake,
    ops::{self, compliance::JobSelection},
    render::compliance,
};

#[derive(Debug, Subcommand)]
pub enum ComplianceCommand {
    /// Check the jobs of a workspace, and record new results
    ///
    /// A job that fails a rule gets an incident with a runbook. The incident is closed when the job passes, and reopened when it
    /// fails again. The command reads the workspace and changes nothing there.
    #[command(after_help = examples!(
        "ops-runbook compliance check",
        "ops-runbook compliance check --job 360515640572923 --dry-run",
    ))]
    Check(ComplianceCheckArgs),
}

#[derive(Debug, Args)]
pub struct ComplianceCheckArgs {
    /// Check only this job; may be repeated
    #[arg(long = "job", value_name = "ID")]
    jobs: Vec<u64>,
    /// Id of the workspace, if its responses do not contain it
    #[arg(long, value_name = "ID")]
    workspace_id: Option<Id>,
    /// Print what would be recorded, and record nothing
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(command: &ComplianceCommand, lake: &Lake, redactor: &Redactor, output: &Output) -> CommandResult {
    let ComplianceCommand::Check(args) = command;
    check(args, lake, redactor, output).await
}

async fn check(args: &ComplianceCheckArgs, lake: &Lake, redactor: &Redactor, output: &Output) -> CommandResult {
    let client = workspace::client()?;
    let asked = JobSelection { jobs: args.jobs.clone(), workspace_id: args.workspace_id.clone() };
    let bar = output.progress("reading jobs");
    let progress = |what: &'static str, done: usize, of: Option<usize>| {
        bar.set_message(what);
        bar.set_length(of.unwrap_or(done) as u64);
        bar.set_position(done as u64);
    };
    let (look, consequences) = if args.dry_run {
        ops::compliance::check(lake, &client, None, &asked, redactor, &progress).await?
    } else {
        let (ledger, committer) = ops::open_ledger(lake).await?;
        let checked = ops::compliance::check(lake, &client, Some(&ledger), &asked, redactor, &progress).await;
        drop(ledger);
        committer.finished().await;
        checked?
    };
    bar.finish_and_clear();
    if output.json {
        output.json(&look)?;
    } else {
        output.text(&compliance::text(&look, output.width()))?;
    }
    commands::print_consequences(&consequences, output)?;
    // A job that was requested by id and cannot be read is a failure.
    Ok(if args.jobs.is_empty() || look.unread.is_empty() { ExitStatus::Success } else { ExitStatus::Failure })
}
