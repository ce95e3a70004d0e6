//! `config`: what the configuration means.

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{commands::Outcome, exit::Code, output::Output};
use crate::{
    domain::{
        policy::{Policy, ToldIf},
        words::{Severity, Trigger},
    },
    render::told_if,
};

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration file, and say who would be told if something happened
    ///
    /// Exit code 3 when the file is wrong: every problem is named with its line. Exit code 1 when it is right, but nobody would be
    /// told of something, or a channel leads nowhere.
    Check(CheckArgs),
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Who would be told if this held; all unless given
    #[arg(long = "if", value_name = "TRIGGER")]
    triggers: Vec<Trigger>,
    /// As urgent as this, instead of what the configuration says
    #[arg(long, value_name = "SEVERITY")]
    severity: Option<Severity>,
}

/// `file`: what `policy` was read from; `None`: there is no file, and the defaults hold.
pub fn run(command: &ConfigCommand, policy: &Policy, file: Option<&Path>, output: &Output) -> Outcome {
    let ConfigCommand::Check(CheckArgs { triggers, severity }) = command;
    let asked = if triggers.is_empty() { Trigger::ALL } else { triggers.as_slice() };
    let told: Vec<ToldIf> = asked.iter().map(|trigger| policy.told_if(*trigger, *severity)).collect();
    let (mut gaps, digest) = (policy.gaps(), policy.digest());
    gaps.extend(policy.unreachable());
    if output.json {
        output.json(&json!({ "file": file, "policy": digest, "told_if": told, "gaps": gaps }))?;
    } else {
        let file = file.map_or("no configuration file: the defaults hold".into(), |file| file.display().to_string());
        output.text(&told_if::text(&format!("{file}, policy {digest}"), &told, &gaps))?;
    }
    Ok(if gaps.is_empty() { Code::Success } else { Code::Failure })
}
