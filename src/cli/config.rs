//! `config`: checks the configuration.

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{commands::CommandResult, exit::ExitStatus, help::examples, output::Output};
use crate::{
    domain::{
        check::Severity,
        escalation::trigger::Trigger,
        policy::{Policy, TriggerRouting},
    },
    render::routing,
};

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration file, and show who is notified of which alert
    ///
    /// Exit code 3 when the file is invalid; every problem is printed with its line. Exit code 1 when the file is valid, but an
    /// alert has no receiver or a channel has no destination.
    #[command(after_help = examples!(
        "ops-runbook config check",
        "ops-runbook --config new.toml config check --if missing-evidence --severity HIGH",
    ))]
    Check(ConfigCheckArgs),
}

#[derive(Debug, Args)]
pub struct ConfigCheckArgs {
    /// Show the receivers for this trigger; may be repeated [default: all triggers]
    #[arg(long = "if", value_name = "TRIGGER")]
    triggers: Vec<Trigger>,
    /// Severity of the alerts, instead of the configured one
    #[arg(long, value_name = "SEVERITY")]
    severity: Option<Severity>,
}

/// Runs a command. `file` is the file of `policy`; `None`: the defaults are used.
pub fn run(command: &ConfigCommand, policy: &Policy, file: Option<&Path>, output: &Output) -> CommandResult {
    let ConfigCommand::Check(ConfigCheckArgs { triggers, severity }) = command;
    let asked = if triggers.is_empty() { Trigger::ALL } else { triggers.as_slice() };
    let routings: Vec<TriggerRouting> = asked.iter().map(|trigger| policy.routing(*trigger, *severity)).collect();
    let (mut gaps, fingerprint) = (policy.gaps(), policy.fingerprint());
    gaps.extend(policy.unreachable());
    if output.json {
        output.json(&json!({ "file": file, "policy": fingerprint, "told_if": routings, "gaps": gaps }))?;
    } else {
        let file = file.map_or("no configuration file, using the defaults".into(), |file| file.display().to_string());
        output.text(&routing::text(&format!("{file}, policy {fingerprint}"), &routings, &gaps))?;
    }
    Ok(if gaps.is_empty() { ExitStatus::Success } else { ExitStatus::Failure })
}
