//! `cause`: root causes, and which of them count as the same.

use clap::Subcommand;
use serde_json::json;

use super::{
    commands::{self, CommandResult},
    exit::ExitStatus,
    help::examples,
    output::Output,
};
use crate::{
    analytics::{self, engine::Engine},
    domain::{
        ids::Id,
        interface::Interface,
        recurrence::{current_aliases, time_range::TimeRange},
        redact::Redactor,
    },
    lake::Lake,
    ops::{self, causes::CauseChange},
    render::{plain, recurring},
};

#[derive(Debug, Subcommand)]
pub enum CauseCommand {
    /// List root causes, the latest occurrence first, and their aliases
    #[command(after_help = examples!(
        "ops-runbook cause list",
        "ops-runbook cause list --limit 10",
    ))]
    List {
        /// Maximum number of causes
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Merge causes: all their incidents count as one cause, past and future
    #[command(after_help = examples!(
        "ops-runbook cause merge code:disk_full --into code:no_space --reason \"same error\"",
    ))]
    Merge {
        /// Fingerprints of the causes to merge, as `cause list` prints them
        #[arg(value_name = "CAUSE", required = true, num_args = 1..)]
        causes: Vec<String>,
        /// Fingerprint of the cause that they count as
        #[arg(long, value_name = "CAUSE")]
        into: String,
        #[command(flatten)]
        author: ChangeAuthor,
    },
    /// Split a merged cause off: it counts as its own cause
    #[command(after_help = examples!("ops-runbook cause split code:disk_full --reason \"other error\""))]
    Split {
        /// Fingerprint of the cause, as `cause list` prints it
        cause: String,
        #[command(flatten)]
        author: ChangeAuthor,
    },
    /// Explain why two causes count as the same, or as different
    #[command(after_help = examples!(
        "ops-runbook cause explain INC-1042 INC-1043",
        "ops-runbook cause explain INC-1042 \"disk full on the driver\"",
    ))]
    Explain {
        /// An incident, a fingerprint, or the text of a root cause
        first: String,
        /// The other incident, fingerprint or text
        second: String,
    },
}

#[derive(Debug, clap::Args)]
pub struct ChangeAuthor {
    /// The person or agent that makes the change, such as user:sre@example.test [default: the user who is logged in]
    #[arg(long, env = "OPS_RUNBOOK_ACTOR", value_name = "ACTOR")]
    actor: Id,
    /// Reason for the change
    #[arg(long)]
    reason: Option<String>,
}

pub async fn run(command: &CauseCommand, lake: &Lake, redactor: &Redactor, output: &Output) -> CommandResult {
    match command {
        CauseCommand::List { limit } => list(lake, *limit, output).await,
        CauseCommand::Merge { causes, into, author } => {
            let change = CauseChange::Merge { causes: causes.clone(), into: into.clone() };
            record_change(lake, &change, author, redactor, output).await
        }
        CauseCommand::Split { cause, author } => {
            record_change(lake, &CauseChange::Split { cause: cause.clone() }, author, redactor, output).await
        }
        CauseCommand::Explain { first, second } => {
            let (first, second) = (redactor.text(first), redactor.text(second));
            let text = ops::causes::explain(lake, &first, &second).await?;
            if output.json {
                output.json(&json!({ "explanation": text }))?;
            } else {
                output.text(&text.lines().map(plain::line).collect::<Vec<_>>().join("\n"))?;
            }
            Ok(ExitStatus::Success)
        }
    }
}

async fn record_change(
    lake: &Lake,
    change: &CauseChange,
    author: &ChangeAuthor,
    redactor: &Redactor,
    output: &Output,
) -> CommandResult {
    let reason = author.reason.as_deref();
    let (recorded, consequences) =
        ops::causes::change(lake, change, &author.actor, reason, redactor, Interface::Cli).await?;
    commands::print_recorded(&recorded, output)?;
    commands::print_consequences(&consequences, output)?;
    Ok(ExitStatus::Success)
}

async fn list(lake: &Lake, limit: usize, output: &Output) -> CommandResult {
    let now = lake.context.now();
    let rule = ops::recurrence::rule(lake);
    ops::existing_lake(lake).await?;
    let mut counts =
        analytics::recurrence::cause_counts(Engine::Local(lake), TimeRange::whole(now), rule, None).await?;
    counts.truncate(limit);
    let aliases = analytics::recurrence::aliases(Engine::Local(lake)).await?;
    let aliases = current_aliases(&aliases);
    if output.json {
        output.json(&json!({ "causes": counts, "aliases": aliases }))?;
        return Ok(ExitStatus::Success);
    }
    let mut text = recurring::causes(&counts, rule, output.width());
    for (cause, counts_as) in aliases.iter().filter(|(cause, counts_as)| cause != counts_as) {
        text.push_str(&format!("{} counts as {}.\n", plain::line(cause), plain::line(counts_as)));
    }
    output.text(&text)?;
    Ok(ExitStatus::Success)
}
