//! `notification`: sends notifications to people and pagers.

use std::{collections::BTreeMap, error::Error, sync::Arc, time::Duration};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    commands::CommandResult,
    exit::{CommandError, ExitStatus},
    help::examples,
    output::Output,
    signals, workspace,
};
use crate::{
    channels::{Address, ChannelTarget, HttpClient, TargetError},
    domain::{
        ids::Id,
        notification::{DeliveryCounts, event::DeliveryEvent},
        policy::Policy,
        redact::Redactor,
    },
    lake::Lake,
    ops::notify::{self, ConfiguredChannels, SendMode, SendProgress},
    render::{deliveries, plain},
};

#[derive(Debug, Subcommand)]
pub enum NotificationCommand {
    /// Send due notifications: alerts, their changes, digests
    ///
    /// Each attempt is recorded before it is sent, and its result after it. Several processes may run at once, and each may be
    /// killed. A notification is sent twice only if its receipt is unknown, and then under the same key. A failed notification
    /// is retried. In the end it is given up, and the other channels are notified of that. The first run sends nothing about
    /// old alerts. Exit code 1 when a notification was given up, 6 when retries are pending.
    #[command(after_help = examples!(
        "ops-runbook notification send",
        "ops-runbook notification send --watch --heartbeat https://heartbeat.example.test/ops",
    ))]
    Send(NotificationSendArgs),
}

#[derive(Debug, Args)]
pub struct NotificationSendArgs {
    /// Stop when no notification is due within ten seconds; the default
    #[arg(long)]
    once: bool,
    /// Run until Ctrl-C or a termination signal
    #[arg(long, conflicts_with = "once")]
    watch: bool,
    /// With --watch: interval between reads of the ledger, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 500, requires = "watch",
          value_parser = clap::value_parser!(u32).range(10..=600_000))]
    every_ms: u32,
    /// URL that is requested once a minute while notifications are sent, for an external monitor. A heartbeat is skipped if a
    /// notification was given up since the last one
    #[arg(long, value_name = "URL", env = "OPS_RUNBOOK_HEARTBEAT", hide_env_values = true)]
    heartbeat: Option<Address>,
}

pub async fn run(command: &NotificationCommand, lake: &Lake, redactor: &Redactor, output: &Output) -> CommandResult {
    let NotificationCommand::Send(args) = command;
    send(args, lake, redactor, output).await
}

async fn send(args: &NotificationSendArgs, lake: &Lake, redactor: &Redactor, output: &Output) -> CommandResult {
    let policy = Arc::clone(&lake.context.policy);
    let channels = channels(&policy).await?;
    print_unreachable(&policy, &channels, output);
    let until = match args.watch {
        true => SendMode::UntilStopped { poll_interval: Duration::from_millis(args.every_ms.into()) },
        false => SendMode::UntilDone,
    };
    let stop = signals::stopping();
    let spinner = output.spinner();
    let mut sent = 0_u64;
    let report = |progress: SendProgress<'_>| match progress {
        SendProgress::Sent(step) => {
            sent += u64::from(step.event == DeliveryEvent::Delivered);
            spinner.set_message(format!("{sent} sent"));
            if args.watch && output.json {
                // One line per step, printed at once.
                let _ = output.json(step);
            } else if args.watch {
                let _ = output.text(&deliveries::step(step));
            } else if let Some(problem) = deliveries::problem(step) {
                output.problem(&problem);
            }
        }
        SendProgress::Failed(error) => output.problem(&warning_text(error, redactor)),
        SendProgress::HeartbeatFailed(why) => output.problem(&plain::line(&format!("warning: no heartbeat: {why}"))),
    };
    let counts = notify::send_due(lake, redactor, &channels, &until, args.heartbeat.as_ref(), stop, report).await;
    spinner.finish_and_clear();
    let counts = counts?;
    if output.json {
        output.json(&counts)?;
    } else {
        output.text(&deliveries::summary(&counts))?;
    }
    Ok(exit_status(&counts))
}

fn exit_status(counts: &DeliveryCounts) -> ExitStatus {
    match counts {
        DeliveryCounts { dead: 1.., .. } => ExitStatus::Failure,
        DeliveryCounts { unsettled: 1.., .. } => ExitStatus::TryAgain,
        _ => ExitStatus::Success,
    }
}

/// Returns the text with the causes of the error, in one line.
fn with_causes(what: String, error: &dyn Error) -> String {
    let mut text = what;
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!("; because: {cause}"));
        source = cause.source();
    }
    text
}

fn warning_text(error: &dyn Error, redactor: &Redactor) -> String {
    let text = with_causes(format!("warning: continuing after an error: {error}"), error);
    plain::line(&redactor.text(&text)).into_owned()
}

/// Resolves the channels of the configuration to their targets.
async fn channels(policy: &Policy) -> Result<ConfiguredChannels, CommandError> {
    let secrets = workspace::secrets();
    let mut targets = BTreeMap::new();
    for (name, channel) in &policy.channels {
        let (to, smtp) = (channel.to.as_deref(), policy.smtp.as_ref());
        let target = ChannelTarget::resolve(channel.kind, to, &channel.connection, smtp, &secrets).await;
        targets.insert(name.clone(), target.map(Arc::new));
    }
    let http = HttpClient::new(Duration::from_secs(policy.delivery.timeout_seconds.into()))
        .map_err(CommandError::Receivers)?;
    Ok(ConfiguredChannels { http, targets })
}

/// Prints warnings about alerts without a route and channels without a target, before anything is sent.
fn print_unreachable(policy: &Policy, channels: &ConfiguredChannels, output: &Output) {
    for gap in policy.gaps() {
        output.problem(&format!("warning: {gap}"));
    }
    let is_used = |channel: &Id| policy.channels.get(channel).is_some_and(|known| known.to.is_some());
    for (channel, target) in channels.targets.iter().filter(|(channel, _)| is_used(channel)) {
        if let Err(why) = target {
            print_target(channel.as_str(), why, output);
        }
    }
}

fn print_target(channel: &str, why: &TargetError, output: &Output) {
    let text = with_causes(format!("channel {channel} cannot be reached: {why}"), why);
    if output.json {
        output.problem(&json!({ "warning": plain::line(&text), "hint": plain::line(&why.hint()) }).to_string());
    } else {
        output.problem(&plain::line(&format!("warning: {text}")));
        output.problem(&plain::line(&format!("  hint: {}", why.hint())));
    }
}
