//! `doctor`: checks the lake, its storage and the login to the workspace.

mod catalog;

use std::{error::Error, path::Path};

use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    DEFAULT_LAKE,
    commands::CommandResult,
    engine::EngineArgs,
    exit::{CommandError, ExitStatus},
    output::Output,
    workspace,
};
use crate::{
    domain::{
        health::{HealthFinding, HealthState},
        login::{LoginProblem, LoginReport},
        redact::Redactor,
    },
    lake::{Lake, LakeError, doctor},
    ops::login,
    render,
};

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Check the login to the workspace: the method, the sources of its settings, why other methods are not used
    ///
    /// The lake is checked, too, unless it is ./ops-lake and does not exist.
    #[arg(long)]
    workspace: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

/// Runs the checks. `location` is the value of `--lake`.
pub async fn run(
    args: &DoctorArgs,
    location: &str,
    lake: impl FnOnce() -> Result<Lake, LakeError>,
    redactor: &Redactor,
    output: &Output,
) -> CommandResult {
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
    // The lake is not reachable without the workspace. The login report has the reason.
    let needs_workspace = location.starts_with("uc://") && !is_usable;
    if !args.workspace || !(is_absent || needs_workspace) {
        let lake = lake()?;
        let (findings, differs) = examine(args, &lake, redactor, output).await?;
        is_different = differs;
        is_usable &= !findings.iter().any(|finding| finding.state == HealthState::Failed);
        if args.workspace {
            text.push('\n');
        }
        text.push_str(&render::health::text(&lake.display(), &findings));
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
        (true, _) => ExitStatus::Damaged,
        (false, true) => ExitStatus::Success,
        (false, false) => ExitStatus::Failure,
    })
}

/// Checks the lake. Returns the findings, and whether a table in the catalog differs.
async fn examine(
    args: &DoctorArgs,
    lake: &Lake,
    redactor: &Redactor,
    output: &Output,
) -> Result<(Vec<HealthFinding>, bool), CommandError> {
    let spinner = output.spinner();
    spinner.set_message("checking");
    let mut findings = doctor::examine(lake).await;
    spinner.finish_and_clear();
    let (in_catalog, differs) = catalog::check(&args.engine, lake, output).await?.unzip();
    findings.extend(in_catalog);
    // An error of a store may quote a request.
    let redacted = |finding: HealthFinding| HealthFinding { seen: redactor.text(&finding.seen).into(), ..finding };
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
    // An error of a program or workspace may quote a request.
    report.map_text(|text| redactor.text(text).into())
}

fn problem(failure: &CommandError) -> LoginProblem {
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
