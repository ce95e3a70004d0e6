//! `verify`.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::{
    commands::{self, Outcome},
    exit::Code,
    output::Output,
    workspace,
};
use crate::{
    domain::{ids::IncidentId, redact::Redactor, time::Timestamp, verification::Verification},
    lake::Lake,
    ops,
    render::plain,
};

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The incident, such as INC-1042
    #[arg(value_name = "INC")]
    incident_id: IncidentId,
    /// How many runs must succeed, one after the other
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    runs: u8,
    /// The job; that of the incident unless given
    #[arg(long, value_name = "ID")]
    job: Option<u64>,
    /// From when on runs count, RFC 3339; since the latest fix of the incident unless given
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Wait until it is decided
    #[arg(long)]
    watch: bool,
    /// With --watch, look again after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    every: u32,
}

pub async fn run(args: &VerifyArgs, lake: &Lake, redactor: &Redactor, output: &Output) -> Outcome {
    let client = workspace::client()?;
    ops::existing_lake(lake).await?;
    let watch = ops::verify::watch(lake, &client, args.incident_id, args.job, args.since, args.runs.into()).await?;
    let (ledger, committer) = ops::open_ledger(lake).await?;
    let spinner = output.spinner();
    let looking = async {
        loop {
            let (found, recorded) = ops::verify::look(lake, &client, &ledger, &watch, redactor).await?;
            if recorded.is_some() || !args.watch {
                return Ok::<_, ops::OpsError>(Some((found, recorded)));
            }
            spinner.set_message(told(&found));
            tokio::time::sleep(Duration::from_secs(args.every.into())).await;
        }
    };
    // What is on its way to the ledger when somebody interrupts is recorded whole or not at all.
    let ended = tokio::select! {
        ended = looking => ended,
        Ok(()) = tokio::signal::ctrl_c() => Ok(None),
    };
    spinner.finish_and_clear();
    drop(ledger);
    committer.finished().await;
    let Some((found, recorded)) = ended? else {
        output.problem("interrupted; the same again goes on from here");
        return Ok(Code::Interrupted);
    };
    if output.json {
        let receipt = recorded.as_ref().map(|recorded| &recorded.receipt);
        output.json(&json!({ "incident_id": watch.incident_id, "job_id": watch.job_id, "since": watch.since,
                             "found": found, "recorded": receipt }))?;
    } else {
        output.text(&plain::line(&told(&found)))?;
        if let Some(recorded) = &recorded {
            commands::say_recorded(recorded, output)?;
        }
    }
    Ok(match found {
        Verification::Succeeded { .. } => Code::Success,
        Verification::Failed { .. } => Code::Failure,
        Verification::Waiting { .. } => Code::TryAgain,
    })
}

fn told(found: &Verification) -> String {
    match found {
        Verification::Succeeded { runs } => format!("the fix holds: {} of {} runs succeeded", runs.len(), runs.len()),
        Verification::Failed { run, after } => {
            format!("the fix does not hold: run {} failed, after {} that succeeded", run.run_id, after.len())
        }
        Verification::Waiting { succeeded, running, wanted } => {
            format!("not decided yet: {} of {wanted} runs succeeded, {running} under way", succeeded.len())
        }
    }
}
