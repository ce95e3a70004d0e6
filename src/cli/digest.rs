//! `digest`: the weekly digest.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::{
    commands::CommandResult,
    engine::{self, EngineArgs},
    exit::{CommandError, ExitStatus},
    output::Output,
};
use crate::{
    domain::{
        digest::Digest,
        week::{Week, WeekNumber, Zone},
    },
    lake::Lake,
    ops::{self, digest::DigestStatus},
    render::digest::{html::html, markdown::markdown, slack::slack, text::text},
};

#[derive(Debug, Args)]
pub struct DigestArgs {
    /// ISO week, such as 2026-W08 [default: the last complete week]. The digest of an incomplete week is a preview and not
    /// recorded
    #[arg(long, value_name = "WEEK")]
    week: Option<WeekNumber>,
    /// IANA time zone of weeks, days and hours, such as Europe/Berlin [default: the configured time zone]
    #[arg(long, value_name = "ZONE")]
    tz: Option<Zone>,
    /// Output formats, separated by commas [default: text; with --out all formats]
    #[arg(long, value_delimiter = ',')]
    format: Vec<DigestFormat>,
    /// Write one file per format into this folder, such as digest-2026-W08.html; existing files are replaced
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DigestFormat {
    /// For a terminal
    Text,
    /// For a wiki
    Markdown,
    /// One self-contained page with charts, for a browser or a mail client
    Html,
    /// All data; `schema digest` describes it
    Json,
    /// A Slack message for a webhook
    Slack,
}

impl DigestFormat {
    fn file(self, digest: &Digest) -> String {
        let zone = match digest.week.time_zone.as_str() {
            "UTC" => String::new(),
            zone => format!("-{}", zone.replace('/', "-")),
        };
        let end = match self {
            Self::Text => "txt",
            Self::Markdown => "md",
            Self::Html => "html",
            Self::Json => "json",
            Self::Slack => "slack.json",
        };
        format!("digest-{}{zone}.{end}", digest.week.week)
    }

    /// Ends with a line break.
    fn render(self, digest: &Digest, width: usize) -> Result<String, CommandError> {
        let mut rendered = match self {
            Self::Text => text(digest, width),
            Self::Markdown => markdown(digest),
            Self::Html => html(digest),
            Self::Json => serde_json::to_string(digest).map_err(std::io::Error::from)?,
            Self::Slack => slack(digest).to_string(),
        };
        if !rendered.ends_with('\n') {
            rendered.push('\n');
        }
        Ok(rendered)
    }
}

pub async fn run(args: &DigestArgs, lake: &Lake, output: &Output) -> CommandResult {
    ops::existing_lake(lake).await?;
    let zone = args.tz.map_or(lake.context.policy.digest.time_zone, |zone| zone.0);
    let now = lake.context.now();
    let week = args.week.map_or_else(|| Week::last_complete(now, zone), |number| Week::new(number, zone));
    if week.start() > now {
        let reason = format!("the week begins at {}", week.start());
        return Err(CommandError::Unusable { what: format!("--week {week}"), reason });
    }
    let (ledger, committer) = ops::open_ledger(lake).await?;
    let result = engine::with(&args.engine, lake, output, async |engine| {
        Ok(ops::digest::make(lake, engine, &ledger, week).await?)
    })
    .await;
    drop(ledger);
    committer.finished().await;
    let result = result?;
    output.problem(&status_text(&result.digest, result.status));
    print(&result.digest, args, output)?;
    Ok(if result.digest.audit.intact { ExitStatus::Success } else { ExitStatus::Damaged })
}

fn status_text(digest: &Digest, status: DigestStatus) -> String {
    let week = &digest.week.week;
    match status {
        DigestStatus::Recorded(seq) => {
            format!("recorded as revision {} of {week}, audit log row {seq}", digest.revision)
        }
        DigestStatus::Known(seq) => format!(
            "nothing changed: revision {} of {week} was recorded at {}, audit log row {seq}",
            digest.revision, digest.made_at
        ),
        DigestStatus::Preview => {
            format!("a preview, not recorded: {week} ends at {}", digest.week.end)
        }
    }
}

fn print(digest: &Digest, args: &DigestArgs, output: &Output) -> Result<(), CommandError> {
    let Some(folder) = &args.out else {
        let formats: &[DigestFormat] = match args.format.as_slice() {
            [] if output.json => &[DigestFormat::Json],
            [] => &[DigestFormat::Text],
            formats => formats,
        };
        for format in formats {
            output.text(&format.render(digest, output.width())?)?;
        }
        return Ok(());
    };
    let formats = if args.format.is_empty() { DigestFormat::value_variants() } else { &args.format };
    write(digest, folder, formats, output)
}

/// One file per format.
fn write(digest: &Digest, folder: &Path, formats: &[DigestFormat], output: &Output) -> Result<(), CommandError> {
    /// Columns of a text file.
    const WIDTH: usize = 100;
    std::fs::create_dir_all(folder)
        .map_err(|source| CommandError::Write { what: folder.display().to_string(), source })?;
    for format in formats {
        output.document(&format.render(digest, WIDTH)?, Some(&folder.join(format.file(digest))))?;
    }
    Ok(())
}
