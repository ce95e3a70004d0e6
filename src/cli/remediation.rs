//! `remediation`: verifies fixes by the job runs that follow.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    commands::{self, CommandResult},
    exit::ExitStatus,
    help::examples,
    output::Output,
    workspace,
};
use crate::{
    domain::{fix_verification::FixVerification, ids::IncidentId, redact::Redactor, time::Timestamp},
    lake::Lake,
    ops,
    render::plain,
};

#[derive(Debug, Subcommand)]
pub enum RemediationCommand {
    /// Watch the job runs after a fix, and record whether the fix holds
    ///
    /// Counts the next runs of the incident's job, in the order of their start times. A repaired run counts with its final
    /// result. If all runs succeed, SUCCESS is recorded and the exit code is 0. At the first failed run, FAILED is recorded and
    /// the exit code is 1. Until then nothing is recorded, and the exit code is 6. The command reads the workspace and changes
    /// nothing there.
    #[command(after_help = examples!(
        "ops-runbook remediation watch INC-1042",
        "ops-runbook remediation watch INC-1042 --runs 5 --wait",
    ))]
    Watch(RemediationWatchArgs),
}

#[derive(Debug, Args)]
pub struct RemediationWatchArgs {
    /// The incident, such as INC-1042
    #[arg(value_name = "INC")]
    incident_id: IncidentId,
    /// Number of consecutive runs that must succeed
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    runs: u8,
    /// The job [default: the job of the incident]
    #[arg(long, value_name = "ID")]
    job: Option<u64>,
    /// Count runs that started at this time or later, RFC 3339 [default: the latest fix of the incident]
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Wait until the result is known
    #[arg(long)]
    wait: bool,
    /// With --wait: interval between reads of the workspace, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    every: u32,
}

pub async fn run(command: &RemediationCommand, lake: &Lake, redactor: &Redactor, output: &Output) -> CommandResult {
    let RemediationCommand::Watch(args) = command;
    watch_runs(args, lake, redactor, output).await
}

async fn watch_runs(args: &RemediationWatchArgs, lake: &Lake, redactor: &Redactor, output: &Output) -> CommandResult {
    let client = workspace::client()?;
    ops::existing_lake(lake).await?;
    let watch =
        ops::fix_verification::plan_watch(lake, &client, args.incident_id, args.job, args.since, args.runs.into())
            .await?;
    let (ledger, committer) = ops::open_ledger(lake).await?;
    let spinner = output.spinner();
    let checking = async {
        loop {
            let (found, recorded) = ops::fix_verification::check_runs(lake, &client, &ledger, &watch, redactor).await?;
            if recorded.is_some() || !args.wait {
                return Ok::<_, ops::OpsError>(Some((found, recorded)));
            }
            spinner.set_message(result_text(&found));
            tokio::time::sleep(Duration::from_secs(args.every.into())).await;
        }
    };
    // An interrupted submission is recorded completely or not at all.
    let ended = tokio::select! {
        ended = checking => ended,
        Ok(()) = tokio::signal::ctrl_c() => Ok(None),
    };
    spinner.finish_and_clear();
    drop(ledger);
    committer.finished().await;
    let Some((found, recorded)) = ended? else {
        output.problem("interrupted; run the same command again to continue");
        return Ok(ExitStatus::Interrupted);
    };
    if output.json {
        let receipt = recorded.as_ref().map(|recorded| &recorded.receipt);
        output.json(&json!({ "incident_id": watch.incident_id, "job_id": watch.job_id, "since": watch.since,
                             "found": found, "recorded": receipt }))?;
    } else {
        output.text(&plain::line(&result_text(&found)))?;
        if let Some(recorded) = &recorded {
            commands::print_recorded(recorded, output)?;
        }
    }
    Ok(match found {
        FixVerification::Succeeded { .. } => ExitStatus::Success,
        FixVerification::Failed { .. } => ExitStatus::Failure,
        FixVerification::Waiting { .. } => ExitStatus::TryAgain,
    })
}

fn result_text(found: &FixVerification) -> String {
    match found {
        FixVerification::Succeeded { runs } => {
            format!("the fix holds: {} of {} runs succeeded", runs.len(), runs.len())
        }
        FixVerification::Failed { run, after } => {
            format!("the fix does not hold: run {} failed after {} successful runs", run.run_id, after.len())
        }
        FixVerification::Waiting { succeeded, running, wanted } => {
            format!("not known yet: {} of {wanted} runs succeeded, {running} running", succeeded.len())
        }
    }
}
