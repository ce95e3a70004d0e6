//! `ingest`: records the reports in an inbox.

use std::{
    io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use chrono::TimeDelta;
use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;

use super::{
    commands::{self, CommandResult},
    exit::ExitStatus,
    location,
    output::Output,
};
use crate::{
    domain::{
        inbox::{IngestResult, Rejection},
        redact::Redactor,
    },
    lake::Lake,
    ops::{
        self,
        ingest::{IngestProgress, IngestTiming},
    },
    render::{ingest, plain},
};

/// Maximum number of rejections that are printed; the rest is counted.
const MAX_PRINTED_REJECTIONS: u64 = 20;

#[derive(Debug, Args)]
pub struct IngestArgs {
    /// The inbox: a folder such as /Volumes/main/ops/inbox/incoming, or a location at s3://, abfss://, az:// or gs://. It cannot
    /// be the root of a volume or bucket
    #[arg(long, value_name = "DIR|URI")]
    inbox: String,
    /// Skip a file that changed within this time: it may be incomplete. Has no effect on object stores
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    settle_seconds: u32,
    /// Skip a file that ends within a document for this time after its last change, then reject it
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    wait_seconds: u32,
}

pub async fn run(args: &IngestArgs, lake: &Lake, redactor: &Redactor, output: &Output) -> CommandResult {
    let inbox = location::inbox(&args.inbox)?;
    // A missing inbox must not create a lake.
    drop(inbox.list().await?);
    let (ledger, committer) = ops::open_ledger(lake).await?;
    let timing = IngestTiming {
        settle: TimeDelta::seconds(args.settle_seconds.into()),
        wait: TimeDelta::seconds(args.wait_seconds.max(args.settle_seconds).into()),
    };
    let reporter = IngestReporter::new(output);
    let result =
        ops::ingest::ingest(lake, &ledger, &inbox, timing, redactor, &|progress| reporter.report(progress)).await;
    reporter.bar.finish_and_clear();
    drop(ledger);
    committer.finished().await;
    let result = result?;
    reporter.finish()?;
    let ingested = &result.ingested;
    if output.json {
        output.json(ingested)?;
    } else {
        output.text(&ingest::text(ingested))?;
    }
    commands::print_consequences(&result.consequences, output)?;
    if result.more_alerts > 0 && !output.json {
        output
            .text(&format!("\n{} more alerts fired; `ops-runbook escalation list` shows them", result.more_alerts))?;
    }
    Ok(ExitStatus::Success)
}

/// Prints rejections and progress during an ingest run.
struct IngestReporter<'a> {
    output: &'a Output,
    bar: ProgressBar,
    rejected: AtomicU64,
    /// The first error of standard output.
    failed: Mutex<Option<io::Error>>,
}

impl<'a> IngestReporter<'a> {
    fn new(output: &'a Output) -> Self {
        Self { output, bar: output.spinner(), rejected: AtomicU64::new(0), failed: Mutex::new(None) }
    }

    fn report(&self, progress: IngestProgress<'_>) {
        match progress {
            IngestProgress::Counts(ingested) if !self.bar.is_hidden() => self.bar.set_message(progress_text(ingested)),
            IngestProgress::Counts(_) => {}
            IngestProgress::Rejected(rejection) => self.bar.suspend(|| self.rejected(rejection)),
            IngestProgress::Unreadable { source, reason } => self.bar.suspend(|| {
                self.output
                    .problem(&plain::line(&format!("warning: {source} cannot be read and was skipped: {reason}")));
            }),
        }
    }

    fn rejected(&self, rejection: &Rejection) {
        let before = self.rejected.fetch_add(1, Ordering::Relaxed);
        if self.output.json {
            if let Err(error) = self.output.json(&json!({ "rejection": rejection })) {
                self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        } else if before < MAX_PRINTED_REJECTIONS {
            self.output.problem(&ingest::rejection(rejection));
        }
    }

    fn finish(self) -> io::Result<()> {
        let more = self.rejected.into_inner().saturating_sub(MAX_PRINTED_REJECTIONS);
        if more > 0 && !self.output.json {
            self.output.problem(&format!("rejected: {more} more; the reasons are in files next to the rejected ones"));
        }
        self.failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}

fn progress_text(ingested: &IngestResult) -> String {
    let IngestResult { recorded, known, rejected, .. } = ingested;
    format!("recording: {} documents, {rejected} rejected", recorded + known + rejected)
}
