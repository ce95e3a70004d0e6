//! `escalation`: alerts, their evaluations and their notifications.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;

use super::{
    commands::{self, CommandResult},
    exit::ExitStatus,
    help::examples,
    incident::record_step,
    output::Output,
};
use crate::{
    domain::{
        ids::{AlertRef, Id, IncidentId},
        interface::Interface,
        redact::Redactor,
        steps::{AcknowledgeEscalation, ResolveEscalation, SuppressEscalation},
        time::Since,
    },
    lake::Lake,
    ops::{self, OpsError, reading::ListEscalations},
    render::{alert, deliveries, replay},
    tables::rows::EscalationEvent,
};

#[derive(Debug, Subcommand)]
pub enum EscalationCommand {
    /// List alerts, the newest first
    #[command(after_help = examples!(
        "ops-runbook escalation list",
        "ops-runbook escalation list --all --limit 200",
    ))]
    List(ListEscalations),
    /// Show an alert, the evaluations of its trigger and its notifications
    #[command(after_help = examples!("ops-runbook escalation show INC-1042/missing-evidence"))]
    Show {
        /// The alert, such as INC-1042/missing-evidence, or a complete dedup key
        #[arg(value_name = "ALERT")]
        alert: AlertRef,
    },
    /// Acknowledge an alert: it is being worked on
    #[command(after_help = examples!("ops-runbook escalation ack INC-1042/missing-evidence"))]
    Ack(AcknowledgeEscalation),
    /// Resolve an alert
    #[command(after_help = examples!("ops-runbook escalation resolve INC-1042/missing-evidence"))]
    Resolve(ResolveEscalation),
    /// Snooze an alert: send no notifications until the given time
    #[command(after_help = examples!(
        "ops-runbook escalation snooze INC-1042/missing-evidence --until 2026-03-01T08:00:00Z",
    ))]
    Snooze(SuppressEscalation),
    /// Evaluate the triggers of incidents under the current configuration
    ///
    /// Each evaluation is recorded, also when no trigger fires. An incident is skipped if neither it nor the configuration has
    /// changed since its last evaluation.
    #[command(after_help = examples!(
        "ops-runbook escalation evaluate",
        "ops-runbook escalation evaluate INC-1042 INC-1043",
    ))]
    Evaluate {
        /// The incidents, such as INC-1042 [default: all that are not resolved]
        #[arg(value_name = "INC")]
        incidents: Vec<IncidentId>,
        /// The person or agent that requests it, such as user:sre@example.test [default: the user who is logged in]
        #[arg(long, env = "OPS_RUNBOOK_ACTOR", value_name = "ACTOR")]
        actor: Id,
    },
    /// Compare other escalation rules with the recorded alerts
    ///
    /// Decides every recorded request under the given rules, as of the time at which it was recorded. Records nothing.
    #[command(after_help = examples!(
        "ops-runbook escalation replay --rules new-rules.toml",
        "ops-runbook escalation replay --rules new-rules.toml --since 30d",
    ))]
    Replay {
        /// A configuration file with the rules
        #[arg(long, value_name = "FILE")]
        rules: PathBuf,
        /// Start of the replay: an age such as 90d or 12h, or a time, RFC 3339
        #[arg(long, value_name = "TIME|AGO", default_value = "90d")]
        since: Since,
    },
}

pub async fn run(command: &EscalationCommand, lake: &Lake, redactor: &Redactor, output: &Output) -> CommandResult {
    match command {
        EscalationCommand::List(ask) => list(lake, ask, output).await,
        EscalationCommand::Show { alert } => show(lake, *alert, output).await,
        EscalationCommand::Ack(step) => record_step(step.clone(), lake, redactor, output).await,
        EscalationCommand::Resolve(step) => record_step(step.clone(), lake, redactor, output).await,
        EscalationCommand::Snooze(step) => record_step(step.clone(), lake, redactor, output).await,
        EscalationCommand::Evaluate { incidents, actor } => evaluate(lake, incidents, actor, redactor, output).await,
        EscalationCommand::Replay { rules, since } => replay(lake, rules, *since, output).await,
    }
}

async fn list(lake: &Lake, ask: &ListEscalations, output: &Output) -> CommandResult {
    if output.json {
        output.json(&ops::reading::alerts(lake, ask).await?)?;
    } else {
        let events = ops::reading::events_of_alerts(lake, ask).await?;
        output.text(&alert::alerts_list(&events, output.width()))?;
    }
    Ok(ExitStatus::Success)
}

async fn show(lake: &Lake, alert: AlertRef, output: &Output) -> CommandResult {
    let (_, projections) = ops::incident(lake, alert.incident_id).await?;
    let mut events = projections.escalation_events;
    events.retain(|event| event.trigger == alert.trigger);
    events.sort_by_key(|event| (event.seq, event.ordinal));
    let (Some(latest), true) = (events.last(), events.iter().any(|event| event.status.is_some())) else {
        return match events.as_slice() {
            [] => Err(OpsError::NoAlert(alert).into()),
            _ if output.json => {
                output.json(&events)?;
                Ok(ExitStatus::Success)
            }
            evaluations => {
                output.text(&format!("{alert} never fired.\n\n{}", alert::evaluations(evaluations)))?;
                Ok(ExitStatus::Success)
            }
        };
    };
    if output.json {
        output.json(&events)?;
        return Ok(ExitStatus::Success);
    }
    // The latest notified event, with the current status of the alert.
    let notified = events.iter().rev().find(|event| event.message.is_some()).unwrap_or(latest);
    let now = EscalationEvent { status: latest.status, quiet_until: latest.quiet_until, ..notified.clone() };
    let steps = ops::reading::deliveries(lake, &now.dedup_key).await?;
    let notifications = deliveries::list(&steps, output.width());
    output.text(&format!("{}\n{}\nNOTIFICATIONS\n{notifications}", alert::alert(&now), alert::evaluations(&events)))?;
    Ok(ExitStatus::Success)
}

async fn evaluate(
    lake: &Lake,
    incidents: &[IncidentId],
    actor: &Id,
    redactor: &Redactor,
    output: &Output,
) -> CommandResult {
    let bar = output.progress("evaluating");
    let evaluated = ops::escalations::evaluate(lake, incidents, actor, redactor, Interface::Cli, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })
    .await?;
    bar.finish_and_clear();
    if output.json {
        output.json(&evaluated.alerts)?;
    } else {
        output.text(&alert::evaluations(&evaluated.alerts))?;
    }
    commands::print_consequences(&evaluated, output)?;
    for gap in lake.context.policy.gaps() {
        output.problem(&format!("warning: {gap}"));
    }
    Ok(ExitStatus::Success)
}

async fn replay(lake: &Lake, file: &Path, since: Since, output: &Output) -> CommandResult {
    let (rules, _) = super::configuration(Some(file), output)?;
    let (since, digest) = (since.before(lake.context.now()), rules.fingerprint());
    let bar = output.progress("replaying");
    let found = ops::escalations::replay(lake, rules, since, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })
    .await?;
    bar.finish_and_clear();
    if output.json {
        output.json(&json!({ "policy": digest, "since": since, "replayed": found }))?;
    } else {
        let rules = format!("{} (policy {digest})", file.display());
        output.text(&replay::text(&rules, since, &found, output.width()))?;
    }
    Ok(ExitStatus::Success)
}
