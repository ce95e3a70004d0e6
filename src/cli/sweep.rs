//! `sweep`: opens incidents for failed runs of a workspace.

use clap::Args;

use super::{
    commands::{self, CommandResult},
    exit::ExitStatus,
    output::Output,
    workspace,
};
use crate::{
    domain::{ids::Id, redact::Redactor, sweep::SweepResult, time::Since},
    lake::Lake,
    ops::{
        self,
        sweep::{SweepOptions, SweepProgress},
    },
    render::{plain, sweep},
};

#[derive(Debug, Args)]
pub struct SweepArgs {
    /// Start of the sweep: a time, RFC 3339, or an age such as 90m, 24h, 7d. A sweep always starts at the last sweep or earlier
    /// [default of the first sweep: 7d]
    #[arg(long, value_name = "TIME|DURATION")]
    since: Option<Since>,
    /// Id of the workspace, if its responses do not contain it
    #[arg(long, value_name = "ID")]
    workspace_id: Option<Id>,
}

pub async fn run(args: &SweepArgs, lake: &Lake, redactor: &Redactor, output: &Output) -> CommandResult {
    let client = workspace::client()?;
    let options = SweepOptions { since: args.since, workspace_id: args.workspace_id.clone() };
    let (ledger, committer) = ops::open_ledger(lake).await?;
    let spinner = output.spinner();
    let report = |progress| {
        spinner.set_message(match progress {
            SweepProgress::Listing(count) => format!("listing runs, {count}"),
            SweepProgress::Examining(count) => format!("reading failed runs, {count}"),
            SweepProgress::Recording => "recording".to_owned(),
        });
    };
    report(SweepProgress::Listing(0));
    let swept = ops::sweep::sweep(lake, &client, &ledger, &options, redactor, report).await;
    spinner.finish_and_clear();
    drop(ledger);
    committer.finished().await;
    let (swept, consequences) = swept?;
    print_skipped(&swept, output);
    if output.json {
        output.json(&swept)?;
    } else {
        output.text(&sweep::text(&swept, output.width()))?;
    }
    commands::print_consequences(&consequences, output)?;
    Ok(ExitStatus::Success)
}

fn print_skipped(swept: &SweepResult, output: &Output) {
    for left in &swept.left {
        output.problem(&plain::line(&format!("warning: run {} was skipped: {}", left.run_id, left.reason)));
    }
    if swept.not_asked_about > 0 {
        output.problem(&format!(
            "warning: the repairs of {} failed runs were not checked: too many runs",
            swept.not_asked_about
        ));
    }
}
