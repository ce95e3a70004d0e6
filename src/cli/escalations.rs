//! `escalations`: who was told what, and dealing with it.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;

use super::{
    commands::{self, Outcome},
    exit::Code,
    incident::take,
    output::Output,
};
use crate::{
    domain::{
        ids::{AlertRef, Id, IncidentId},
        redact::Redactor,
        steps::{AcknowledgeEscalation, ResolveEscalation, SuppressEscalation},
        time::Since,
        words::Interface,
    },
    lake::Lake,
    ops::{self, OpsError, reading::ListEscalations},
    render::{alert, deliveries, replay},
    tables::rows::EscalationEvent,
};

#[derive(Debug, Subcommand)]
pub enum EscalationsCommand {
    /// List alerts as they stand, the newest first
    List(ListEscalations),
    /// Show an alert, and every evaluation of its trigger
    Show {
        /// Such as INC-1042/missing-evidence, or a whole dedup key
        #[arg(value_name = "ALERT")]
        alert: AlertRef,
    },
    /// Say that somebody takes care of an alert
    Ack(AcknowledgeEscalation),
    /// Say that an alert is over
    Resolve(ResolveEscalation),
    /// Tell nobody about an alert until a moment
    Suppress(SuppressEscalation),
    /// Evaluate every trigger of incidents anew, under the configuration as it is now. Each evaluation is recorded, also when
    /// nothing fires; nothing is recorded where neither incident nor configuration changed since the last one
    Evaluate {
        /// Such as INC-1042; every incident that is not resolved unless given
        #[arg(value_name = "INC")]
        incidents: Vec<IncidentId>,
        /// Who asks, such as user:sre@example.test; user:NAME of whoever is logged in unless given
        #[arg(long, env = "OPS_RUNBOOK_ACTOR", value_name = "ACTOR")]
        actor: Id,
    },
    /// Say what other rules would have told over history, against what was told
    ///
    /// Every request is decided anew under the rules, as of the moment at which it was recorded. Nothing is recorded.
    Replay {
        /// A configuration file with the rules
        #[arg(long, value_name = "FILE")]
        rules: PathBuf,
        /// From then on: 90d, 12h, or a moment, RFC 3339
        #[arg(long, value_name = "TIME|AGO", default_value = "90d")]
        since: Since,
    },
}

pub async fn run(command: &EscalationsCommand, lake: &Lake, redactor: &Redactor, output: &Output) -> Outcome {
    match command {
        EscalationsCommand::List(ask) => list(lake, ask, output).await,
        EscalationsCommand::Show { alert } => show(lake, *alert, output).await,
        EscalationsCommand::Ack(step) => take(step.clone(), lake, redactor, output).await,
        EscalationsCommand::Resolve(step) => take(step.clone(), lake, redactor, output).await,
        EscalationsCommand::Suppress(step) => take(step.clone(), lake, redactor, output).await,
        EscalationsCommand::Evaluate { incidents, actor } => evaluate(lake, incidents, actor, redactor, output).await,
        EscalationsCommand::Replay { rules, since } => replay(lake, rules, *since, output).await,
    }
}

async fn list(lake: &Lake, ask: &ListEscalations, output: &Output) -> Outcome {
    if output.json {
        output.json(&ops::reading::alerts(lake, ask).await?)?;
    } else {
        let events = ops::reading::events_of_alerts(lake, ask).await?;
        output.text(&alert::alerts_list(&events, output.width()))?;
    }
    Ok(Code::Success)
}

async fn show(lake: &Lake, alert: AlertRef, output: &Output) -> Outcome {
    let (_, projections) = ops::incident(lake, alert.incident_id).await?;
    let mut events = projections.escalation_events;
    events.retain(|event| event.trigger == alert.trigger);
    events.sort_by_key(|event| (event.seq, event.ordinal));
    let (Some(latest), true) = (events.last(), events.iter().any(|event| event.status.is_some())) else {
        return match events.as_slice() {
            [] => Err(OpsError::NoAlert(alert).into()),
            _ if output.json => {
                output.json(&events)?;
                Ok(Code::Success)
            }
            never => {
                output.text(&format!("{alert} never fired.\n\n{}", alert::evaluations(never)))?;
                Ok(Code::Success)
            }
        };
    };
    if output.json {
        output.json(&events)?;
        return Ok(Code::Success);
    }
    // What people were told last, as the alert stands now.
    let told = events.iter().rev().find(|event| event.message.is_some()).unwrap_or(latest);
    let now = EscalationEvent { status: latest.status, quiet_until: latest.quiet_until, ..told.clone() };
    let told = ops::reading::deliveries(lake, &now.dedup_key).await?;
    let told = deliveries::list(&told, output.width());
    output.text(&format!("{}\n{}\nTOLD\n{told}", alert::alert(&now), alert::evaluations(&events)))?;
    Ok(Code::Success)
}

async fn evaluate(lake: &Lake, incidents: &[IncidentId], actor: &Id, redactor: &Redactor, output: &Output) -> Outcome {
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
    commands::say_consequences(&evaluated, output)?;
    for gap in lake.context.policy.gaps() {
        output.problem(&format!("warning: {gap}"));
    }
    Ok(Code::Success)
}

async fn replay(lake: &Lake, file: &Path, since: Since, output: &Output) -> Outcome {
    let (rules, _) = super::configuration(Some(file), output)?;
    let (since, digest) = (since.before(lake.context.now()), rules.digest());
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
    Ok(Code::Success)
}
