//! `doctor`: is a place fit for a lake, is the lake there well, and does the workspace answer.

use std::{error::Error, path::Path};

use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    DEFAULT_LAKE, catalog,
    commands::Outcome,
    engine::EngineArgs,
    exit::{Code, Failure},
    output::Output,
    workspace,
};
use crate::{
    domain::{
        checkup::{Finding, State},
        login::{LoginProblem, LoginReport},
        redact::Redactor,
    },
    lake::{Lake, LakeError, doctor},
    ops::login,
    render,
};

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Check the login to the workspace: which method is used, where its settings come from, why no other is used
    ///
    /// The lake is checked too, unless it is ./ops-lake and not there.
    #[arg(long)]
    workspace: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

/// `location` is what the command line says of the lake.
pub async fn run(
    args: &DoctorArgs,
    location: &str,
    lake: impl FnOnce() -> Result<Lake, LakeError>,
    redactor: &Redactor,
    output: &Output,
) -> Outcome {
    let mut results = Map::new();
    let mut text = String::new();
    let mut is_usable = true;
    let mut is_different = false;
    if args.workspace {
        let report = check_login(redactor, output).await;
        is_usable = report.is_usable();
        results.insert("workspace".into(), login_json(&report));
        text = render::login::text(&report);
    }
    let is_absent = location == DEFAULT_LAKE && !Path::new(location).exists();
    // Without the workspace such a lake cannot be reached; the report says why.
    let needs_workspace = location.starts_with("uc://") && !is_usable;
    if !args.workspace || !(is_absent || needs_workspace) {
        let lake = lake()?;
        let (findings, differs) = examine(args, &lake, redactor, output).await?;
        is_different = differs;
        is_usable &= !findings.iter().any(|finding| finding.state == State::Failed);
        if args.workspace {
            text.push('\n');
        }
        text.push_str(&render::checkup::text(&lake.display(), &findings));
        results.insert("lake".into(), json!(lake.display()));
        results.insert("findings".into(), json!(findings));
    }
    if output.json {
        results.insert("usable".into(), json!(is_usable));
        output.json(&results)?;
    } else {
        output.text(&text)?;
    }
    Ok(match (is_different, is_usable) {
        (true, _) => Code::Damaged,
        (false, true) => Code::Success,
        (false, false) => Code::Failure,
    })
}

/// What is found of the lake, and whether a table in the catalog differs from it.
async fn examine(
    args: &DoctorArgs,
    lake: &Lake,
    redactor: &Redactor,
    output: &Output,
) -> Result<(Vec<Finding>, bool), Failure> {
    let spinner = output.spinner();
    spinner.set_message("looking");
    let mut findings = doctor::examine(lake).await;
    spinner.finish_and_clear();
    let (in_catalog, differs) = catalog::check(&args.engine, lake, output).await?.unzip();
    findings.extend(in_catalog);
    // A store's own words may quote what it was sent.
    let redacted = |finding: Finding| Finding { seen: redactor.text(&finding.seen).into(), ..finding };
    Ok((findings.into_iter().map(redacted).collect(), differs.unwrap_or_default()))
}

async fn check_login(redactor: &Redactor, output: &Output) -> LoginReport {
    let spinner = output.spinner();
    spinner.set_message("logging in");
    let report = match workspace::settings() {
        Ok(settings) => login::check(&settings).await,
        Err(failure) => LoginReport { problem: Some(problem(&failure)), ..LoginReport::default() },
    };
    spinner.finish_and_clear();
    // So may a program's, or a workspace's.
    report.map_text(|text| redactor.text(text).into())
}

fn problem(failure: &Failure) -> LoginProblem {
    let cause = failure.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    LoginProblem { error: format!("{failure}{cause}"), hint: failure.hint() }
}

fn login_json(report: &LoginReport) -> Value {
    let settings: Map<String, Value> =
        report.settings.iter().map(|(name, source)| ((*name).to_owned(), json!(source))).collect();
    let unused: Map<String, Value> =
        report.unused.iter().map(|(method, reason)| (method.to_string(), json!(reason))).collect();
    let user = report.user.as_ref();
    json!({
        "url": report.workspace,
        "method": report.method,
        "user": user.map(|user| &user.name),
        "display_name": user.and_then(|user| user.display_name.as_ref()),
        "workspace_id": user.and_then(|user| user.workspace_id.as_ref()),
        "settings": settings,
        "unused": unused,
        "usable": report.is_usable(),
        "error": report.problem.as_ref().map(|problem| &problem.error),
        "hint": report.problem.as_ref().and_then(|problem| problem.hint.as_ref()),
    })
}
