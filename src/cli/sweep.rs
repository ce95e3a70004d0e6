//! `sweep`: failed runs of a workspace become incidents.

use clap::Args;

use super::{
    commands::{self, Outcome},
    exit::Code,
    output::Output,
    workspace,
};
use crate::{
    domain::{ids::Id, redact::Redactor, sweep::Swept, time::Since},
    lake::Lake,
    ops::{
        self,
        sweep::{Options, Progress},
    },
    render::{plain, sweep},
};

#[derive(Debug, Args)]
pub struct SweepArgs {
    /// Look back so far, RFC 3339 or a duration such as 90m, 24h, 7d; at least to the last sweep. 7 days for the first unless
    /// given
    #[arg(long, value_name = "TIME|DURATION")]
    since: Option<Since>,
    /// The id of the workspace, where it does not say so itself
    #[arg(long, value_name = "ID")]
    workspace_id: Option<Id>,
}

pub async fn run(args: &SweepArgs, lake: &Lake, redactor: &Redactor, output: &Output) -> Outcome {
    let client = workspace::client()?;
    let options = Options { since: args.since, workspace_id: args.workspace_id.clone() };
    let (ledger, committer) = ops::open_ledger(lake).await?;
    let spinner = output.spinner();
    let told = |progress| {
        spinner.set_message(match progress {
            Progress::Listing(count) => format!("listing runs, {count}"),
            Progress::Looking(count) => format!("looking at what failed, {count}"),
            Progress::Recording => "recording".to_owned(),
        });
    };
    told(Progress::Listing(0));
    let swept = ops::sweep::sweep(lake, &client, &ledger, &options, redactor, told).await;
    spinner.finish_and_clear();
    drop(ledger);
    committer.finished().await;
    let (swept, consequences) = swept?;
    say_left(&swept, output);
    if output.json {
        output.json(&swept)?;
    } else {
        output.text(&sweep::text(&swept, output.width()))?;
    }
    commands::say_consequences(&consequences, output)?;
    Ok(Code::Success)
}

fn say_left(swept: &Swept, output: &Output) {
    for left in &swept.left {
        output.problem(&plain::line(&format!("warning: run {} was left out: {}", left.run_id, left.reason)));
    }
    if swept.not_asked_about > 0 {
        output.problem(&format!(
            "warning: {} runs that failed lately were not asked about repairs, because there are too many",
            swept.not_asked_about
        ));
    }
}
