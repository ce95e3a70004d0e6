//! `doctor`: is a place fit for a lake, and is the lake there well.

use clap::Args;
use serde_json::json;

use super::{
    commands::Outcome,
    engine::{self, EngineArgs},
    exit::{Code, DIFFERENT_TABLES, Failure},
    output::Output,
};
use crate::{
    analytics::engine::Engine,
    domain::{
        checkup::{Check, Finding, State},
        copies::{self, CopyComparison},
        redact::Redactor,
    },
    lake::{Lake, doctor},
    ops,
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
    let mut findings = doctor::examine(lake).await;
    spinner.finish_and_clear();
    let compared = engine::with(&args.engine, lake, output, async |engine| match engine {
        Engine::Warehouse(warehouse) => Ok(Some(ops::tables::compare(lake, warehouse).await)),
        Engine::Local(_) | Engine::Snapshot(_) => Ok(None),
    });
    let compared = compared.await?;
    let is_different = matches!(&compared, Some(Ok(tables)) if tables.iter().any(CopyComparison::is_different));
    findings.extend(compared.map(|compared| catalog(compared.map_err(Failure::from))));
    // A store's own words may quote what it was sent.
    let findings: Vec<Finding> =
        findings.into_iter().map(|finding| Finding { seen: redactor.text(&finding.seen).into(), ..finding }).collect();
    let usable = !findings.iter().any(|finding| finding.state == State::Failed);
    if output.json {
        output.json(&json!({ "lake": lake.display(), "usable": usable, "findings": findings }))?;
    } else {
        output.text(&checkup::text(&lake.display(), &findings))?;
    }
    Ok(match (usable, is_different) {
        (true, _) => Code::Success,
        (false, true) => Code::Damaged,
        (false, false) => Code::Failure,
    })
}

/// The tables in the catalog as a finding.
fn catalog(compared: Result<Vec<CopyComparison>, Failure>) -> Finding {
    let tables = match compared {
        Ok(tables) => tables,
        Err(error) => return Finding::failed(Check::Catalog, error.to_string(), error.hint()),
    };
    let different: Vec<String> = tables.iter().filter(|it| it.is_different()).map(ToString::to_string).collect();
    if !different.is_empty() {
        return Finding::failed(Check::Catalog, different.join("; "), Some(DIFFERENT_TABLES.into()));
    }
    match copies::lag(&tables) {
        None => Finding::ok(Check::Catalog, format!("{} tables hold what the lake holds", tables.len())),
        Some(lag) => Finding::warning(Check::Catalog, lag, "`tables copy --run` copies what is new"),
    }
}
