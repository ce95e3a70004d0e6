//! `deliver`: people are told what is due.

use std::{collections::BTreeMap, error::Error, sync::Arc, time::Duration};

use clap::Args;
use serde_json::json;

use super::{
    commands::Outcome,
    exit::{Code, Failure},
    output::Output,
    signals, workspace,
};
use crate::{
    delivery::{Address, Http, Target, TargetError},
    domain::{delivery::Delivered, ids::Id, policy::Policy, redact::Redactor, words::DeliveryEvent},
    lake::Lake,
    ops::deliver::{self, Receivers, Said, Until},
    render::{deliveries, plain},
};

#[derive(Debug, Args)]
pub struct DeliverArgs {
    /// End when nothing is due within ten seconds; so unless --watch is given
    #[arg(long)]
    once: bool,
    /// Go on until it is told to stop, by Ctrl-C or a termination signal
    #[arg(long, conflicts_with = "once")]
    watch: bool,
    /// With --watch: look at the ledger so often, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 500, requires = "watch",
          value_parser = clap::value_parser!(u32).range(10..=600_000))]
    every_ms: u32,
    /// An address that is asked for once a minute as long as this goes well, so that somebody else notices when it does not. A
    /// beat is left out when something was given up since the last one
    #[arg(long, value_name = "URL", env = "OPS_RUNBOOK_HEARTBEAT", hide_env_values = true)]
    heartbeat: Option<Address>,
}

pub async fn run(args: &DeliverArgs, lake: &Lake, redactor: &Redactor, output: &Output) -> Outcome {
    let policy = Arc::clone(&lake.context.policy);
    let receivers = receivers(&policy).await?;
    say_unreachable(&policy, &receivers, output);
    let until = match args.watch {
        true => Until::Stopped { every: Duration::from_millis(args.every_ms.into()) },
        false => Until::Done,
    };
    let stop = signals::stopping();
    let spinner = output.spinner();
    let mut sent = 0_u64;
    let say = |said: Said<'_>| match said {
        Said::Sent(step) => {
            sent += u64::from(step.event == DeliveryEvent::Delivered);
            spinner.set_message(format!("{sent} told"));
            if args.watch && output.json {
                // One line each: whoever reads along sees it at once.
                let _ = output.json(step);
            } else if args.watch {
                let _ = output.text(&deliveries::step(step));
            } else if let Some(problem) = deliveries::problem(step) {
                output.problem(&problem);
            }
        }
        Said::Failed(error) => output.problem(&failed(error, redactor)),
        Said::NoBeat(why) => output.problem(&plain::line(&format!("warning: no heartbeat: {why}"))),
    };
    let told = deliver::deliver(lake, redactor, &receivers, &until, args.heartbeat.as_ref(), stop, say).await;
    spinner.finish_and_clear();
    let told = told?;
    if output.json {
        output.json(&told)?;
    } else {
        output.text(&deliveries::summary(&told))?;
    }
    Ok(code(&told))
}

fn code(told: &Delivered) -> Code {
    match told {
        Delivered { dead: 1.., .. } => Code::Failure,
        Delivered { unsettled: 1.., .. } => Code::TryAgain,
        _ => Code::Success,
    }
}

/// What went wrong, and why, in one line.
fn because(what: String, error: &dyn Error) -> String {
    let mut text = what;
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!("; because: {cause}"));
        source = cause.source();
    }
    text
}

fn failed(error: &dyn Error, redactor: &Redactor) -> String {
    let text = because(format!("warning: it goes on after an error: {error}"), error);
    plain::line(&redactor.text(&text)).into_owned()
}

/// Where the channels lead.
async fn receivers(policy: &Policy) -> Result<Receivers, Failure> {
    let secrets = workspace::secrets();
    let mut targets = BTreeMap::new();
    for (name, channel) in &policy.channels {
        let (to, smtp) = (channel.to.as_deref(), policy.smtp.as_ref());
        let target = Target::of(channel.kind, to, &channel.reach, smtp, &secrets).await;
        targets.insert(name.clone(), target.map(Arc::new));
    }
    let http = Http::new(Duration::from_secs(policy.delivery.timeout_seconds.into())).map_err(Failure::Receivers)?;
    Ok(Receivers { http, targets })
}

/// What leads nowhere is said before anything is sent.
fn say_unreachable(policy: &Policy, receivers: &Receivers, output: &Output) {
    for gap in policy.gaps() {
        output.problem(&format!("warning: {gap}"));
    }
    let told = |channel: &Id| policy.channels.get(channel).is_some_and(|known| known.to.is_some());
    for (channel, target) in receivers.targets.iter().filter(|(channel, _)| told(channel)) {
        if let Err(why) = target {
            say_target(channel.as_str(), why, output);
        }
    }
}

fn say_target(channel: &str, why: &TargetError, output: &Output) {
    let text = because(format!("channel {channel} cannot be reached: {why}"), why);
    if output.json {
        output.problem(&json!({ "warning": plain::line(&text), "hint": plain::line(&why.hint()) }).to_string());
    } else {
        output.problem(&plain::line(&format!("warning: {text}")));
        output.problem(&plain::line(&format!("  hint: {}", why.hint())));
    }
}
