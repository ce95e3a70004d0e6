//! `recurrence` and `causes`: what keeps coming back, what counts as the same, and what is done about it.

use chrono::TimeDelta;
use clap::Subcommand;
use serde_json::json;

use super::{
    commands::{self, Outcome},
    engine::{self, EngineArgs},
    exit::Code,
    incident::take,
    output::Output,
};
use crate::{
    analytics::{self, engine::Engine},
    domain::{
        ids::Id,
        recurrence::{current_aliases, stretch::Stretch},
        redact::Redactor,
        steps::AdoptPrevention,
        time::Timestamp,
        words::Interface,
    },
    lake::Lake,
    ops::{self, OpsError, causes::Change, reading::ListRecurring},
    render::{
        plain,
        recurring::{self, EpisodeLine},
    },
    tables::rows::RecurrenceEvent,
};

#[derive(Debug, Subcommand)]
pub enum RecurrenceCommand {
    /// Look at every cause, and record which recur, which do not any more, and which preventive actions worked
    Scan {
        /// As if it were that moment, RFC 3339; now unless given
        #[arg(long, value_name = "TIME")]
        as_of: Option<Timestamp>,
        /// Look only at what was found in the last DAYS days, and at what goes on since then; four windows at least. For
        /// jobs that run often
        #[arg(long, value_name = "DAYS")]
        trailing: Option<u16>,
        #[command(flatten)]
        engine: EngineArgs,
    },
    /// List recurring issues, the latest first
    List(ListRecurring),
    /// Show a recurring issue: pattern, preventive actions, policy template
    Show {
        /// Such as rec-0123456789abcdef
        #[arg(value_name = "EPISODE")]
        episode: String,
    },
    /// Say that a preventive action was put in place; scans then tell whether it worked
    Adopt(AdoptPrevention),
}

#[derive(Debug, Subcommand)]
pub enum CausesCommand {
    /// List causes, the one that occurred last first, and what counts as what
    List {
        /// At most this many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Declare causes to be one: from now on, and back in time, they count as the last one
    Merge {
        /// Fingerprints, as `causes list` prints them
        #[arg(value_name = "CAUSE", required = true, num_args = 1..)]
        causes: Vec<String>,
        /// What they count as
        #[arg(long, value_name = "CAUSE")]
        into: String,
        #[command(flatten)]
        who: Who,
    },
    /// Split a cause off again: it counts as itself
    Split {
        /// Its fingerprint, as `causes list` prints it
        cause: String,
        #[command(flatten)]
        who: Who,
    },
    /// Say why two causes count as the same or not
    Explain {
        /// An incident, a fingerprint, or the words of a root cause
        first: String,
        /// Another one
        second: String,
    },
}

#[derive(Debug, clap::Args)]
pub struct Who {
    /// Who does it, such as user:sre@example.test; user:NAME of whoever is logged in unless given
    #[arg(long, env = "OPS_RUNBOOK_ACTOR", value_name = "ACTOR")]
    actor: Id,
    /// Why
    #[arg(long)]
    reason: Option<String>,
}

pub async fn run(command: &RecurrenceCommand, lake: &Lake, redactor: &Redactor, output: &Output) -> Outcome {
    match command {
        RecurrenceCommand::Scan { as_of, trailing, engine } => {
            engine::with(engine, lake, output, async |engine| scan(lake, engine, *as_of, *trailing, output).await).await
        }
        RecurrenceCommand::List(ask) => list(lake, ask, output).await,
        RecurrenceCommand::Show { episode } => show(lake, episode, output).await,
        RecurrenceCommand::Adopt(step) => {
            let known = ops::causes::known(lake).await?;
            if !known.iter().any(|cause| cause.cause_fingerprint == step.cause.as_str()) {
                return Err(OpsError::NoCause(step.cause.to_string()).into());
            }
            take(step.clone(), lake, redactor, output).await
        }
    }
}

async fn scan(
    lake: &Lake,
    engine: Engine<'_>,
    as_of: Option<Timestamp>,
    trailing: Option<u16>,
    output: &Output,
) -> Outcome {
    let trailing = trailing.map(|days| TimeDelta::days(days.into()));
    ops::existing_lake(lake).await?;
    let (ledger, committer) = ops::open_ledger(lake).await?;
    let found = ops::recurrence::scan(lake, engine, &ledger, as_of, trailing).await?;
    drop(ledger);
    committer.finished().await;
    if output.json {
        output.json(&found.recurring)?;
    } else if found.recurring.is_empty() {
        output.text("nothing changed: every recurring issue is recorded as it stands")?;
    }
    commands::say_consequences(&found, output)?;
    Ok(Code::Success)
}

async fn list(lake: &Lake, ask: &ListRecurring, output: &Output) -> Outcome {
    let rows = ops::reading::recurring(lake, ask).await?;
    if output.json {
        output.json(&rows)?;
    } else {
        output.text(&recurring::episodes(&rows.iter().map(EpisodeLine::of).collect::<Vec<_>>(), output.width()))?;
    }
    Ok(Code::Success)
}

async fn show(lake: &Lake, episode: &str, output: &Output) -> Outcome {
    let rows: Vec<RecurrenceEvent> = ops::rows(lake, "SELECT * FROM recurring_issues").await?;
    let Some(row) = rows.into_iter().find(|row| row.episode_id.as_str() == episode) else {
        return Err(OpsError::NoEpisode(episode.to_owned()).into());
    };
    if output.json {
        output.json(&row)?;
    } else {
        output.text(&recurring::event(&row))?;
    }
    Ok(Code::Success)
}

pub async fn causes(command: &CausesCommand, lake: &Lake, redactor: &Redactor, output: &Output) -> Outcome {
    match command {
        CausesCommand::List { limit } => causes_list(lake, *limit, output).await,
        CausesCommand::Merge { causes, into, who } => {
            let change = Change::Merge { causes: causes.clone(), into: into.clone() };
            changed(lake, &change, who, redactor, output).await
        }
        CausesCommand::Split { cause, who } => {
            changed(lake, &Change::Split { cause: cause.clone() }, who, redactor, output).await
        }
        CausesCommand::Explain { first, second } => {
            let (first, second) = (redactor.text(first), redactor.text(second));
            let text = ops::causes::explain(lake, &first, &second).await?;
            if output.json {
                output.json(&json!({ "explanation": text }))?;
            } else {
                output.text(&text.lines().map(plain::line).collect::<Vec<_>>().join("\n"))?;
            }
            Ok(Code::Success)
        }
    }
}

async fn changed(lake: &Lake, change: &Change, who: &Who, redactor: &Redactor, output: &Output) -> Outcome {
    let reason = who.reason.as_deref();
    let (recorded, consequences) =
        ops::causes::change(lake, change, &who.actor, reason, redactor, Interface::Cli).await?;
    commands::say_recorded(&recorded, output)?;
    commands::say_consequences(&consequences, output)?;
    Ok(Code::Success)
}

async fn causes_list(lake: &Lake, limit: usize, output: &Output) -> Outcome {
    let now = lake.context.now();
    let rule = ops::recurrence::rule(lake);
    ops::existing_lake(lake).await?;
    let mut counts = analytics::recurrence::cause_counts(Engine::Local(lake), Stretch::whole(now), rule, None).await?;
    counts.truncate(limit);
    let aliases = analytics::recurrence::aliases(Engine::Local(lake)).await?;
    let aliases = current_aliases(&aliases);
    if output.json {
        output.json(&json!({ "causes": counts, "aliases": aliases }))?;
        return Ok(Code::Success);
    }
    let mut text = recurring::causes(&counts, rule, output.width());
    for (cause, counts_as) in aliases.iter().filter(|(cause, counts_as)| cause != counts_as) {
        text.push_str(&format!("{} counts as {}.\n", plain::line(cause), plain::line(counts_as)));
    }
    output.text(&text)?;
    Ok(Code::Success)
}
