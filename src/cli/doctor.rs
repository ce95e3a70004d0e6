//! `doctor`: is a place fit for a lake, and is the lake there well.

use clap::Args;
use serde_json::json;

use super::{catalog, commands::Outcome, engine::EngineArgs, exit::Code, output::Output};
use crate::{
    domain::{
        checkup::{Finding, State},
        redact::Redactor,
    },
    lake::{Lake, doctor},
    render::checkup,
};

#[derive(Debug, Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    engine: EngineArgs,
}

pub async fn run(args: &DoctorArgs, lake: &Lake, redactor: &Redactor, output: &Output) -> Outcome {
    let spinner = output.spinner();
    spinner.set_message("looking");
    let mut found = doctor::examine(lake).await;
    spinner.finish_and_clear();
    let (in_catalog, differs) = catalog::check(&args.engine, lake, output).await?.unzip();
    found.extend(in_catalog);
    let findings: Vec<Finding> = found
        .into_iter()
        // A store's own words may quote what it was sent.
        .map(|finding| Finding { seen: redactor.text(&finding.seen).into(), ..finding })
        .collect();
    let usable = !findings.iter().any(|finding| finding.state == State::Failed);
    if output.json {
        output.json(&json!({ "lake": lake.display(), "usable": usable, "findings": findings }))?;
    } else {
        output.text(&checkup::text(&lake.display(), &findings))?;
    }
    Ok(match differs {
        Some(true) => Code::Damaged,
        _ if usable => Code::Success,
        _ => Code::Failure,
    })
}
