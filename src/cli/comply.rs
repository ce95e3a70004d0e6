//! `comply`.

use clap::Args;

use super::{
    commands::{self, Outcome},
    exit::Code,
    output::Output,
    workspace,
};
use crate::{
    domain::{ids::Id, redact::Redactor},
    lake::Lake,
    ops::{self, comply::Asked},
    render::compliance,
};

#[derive(Debug, Args)]
pub struct ComplyArgs {
    /// Only this job
    #[arg(long = "job", value_name = "ID")]
    jobs: Vec<u64>,
    /// The id of the workspace, where its answers do not tell it
    #[arg(long, value_name = "ID")]
    workspace_id: Option<Id>,
    /// Record nothing, and say what would be
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(args: &ComplyArgs, lake: &Lake, redactor: &Redactor, output: &Output) -> Outcome {
    let client = workspace::client()?;
    let asked = Asked { jobs: args.jobs.clone(), workspace_id: args.workspace_id.clone() };
    let bar = output.progress("reading jobs");
    let progress = |what: &'static str, done: usize, of: Option<usize>| {
        bar.set_message(what);
        bar.set_length(of.unwrap_or(done) as u64);
        bar.set_position(done as u64);
    };
    let (look, consequences) = if args.dry_run {
        ops::comply::check(lake, &client, None, &asked, redactor, &progress).await?
    } else {
        let (ledger, committer) = ops::open_ledger(lake).await?;
        let checked = ops::comply::check(lake, &client, Some(&ledger), &asked, redactor, &progress).await;
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
    commands::say_consequences(&consequences, output)?;
    // Who asked for single jobs wanted to know about each.
    Ok(if args.jobs.is_empty() || look.unread.is_empty() { Code::Success } else { Code::Failure })
}
