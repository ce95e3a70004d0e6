//! `ingest`: documents that anybody drops become records.

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
    commands::{self, Outcome},
    exit::Code,
    output::Output,
    place,
};
use crate::{
    domain::{
        inbox::{Ingested, Rejection},
        redact::Redactor,
    },
    lake::Lake,
    ops::{
        self,
        ingest::{News, Patience},
    },
    render::{ingest, plain},
};

/// What is said one by one; the rest is counted.
const SAID: u64 = 20;

#[derive(Debug, Args)]
pub struct IngestArgs {
    /// A folder, such as /Volumes/main/ops/inbox/incoming, or s3://, abfss://, az://, gs://. Not the root of a volume or a bucket
    #[arg(long, value_name = "DIR|URI")]
    inbox: String,
    /// Leave a file alone that changed within so long; its writer may not be done. Object stores show whole files only
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    settle_seconds: u32,
    /// A file that ends in the middle of a document is left for the next time within so long, and rejected after it
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    wait_seconds: u32,
}

pub async fn run(args: &IngestArgs, lake: &Lake, redactor: &Redactor, output: &Output) -> Outcome {
    let inbox = place::inbox(&args.inbox)?;
    // Nobody wants a lake made for an inbox that is not there.
    drop(inbox.list().await?);
    let (ledger, committer) = ops::open_ledger(lake).await?;
    let patience = Patience {
        settle: TimeDelta::seconds(args.settle_seconds.into()),
        wait: TimeDelta::seconds(args.wait_seconds.max(args.settle_seconds).into()),
    };
    let teller = Teller::new(output);
    let outcome = ops::ingest::ingest(lake, &ledger, &inbox, patience, redactor, &|news| teller.tell(news)).await;
    teller.bar.finish_and_clear();
    drop(ledger);
    committer.finished().await;
    let outcome = outcome?;
    teller.finish()?;
    let ingested = &outcome.ingested;
    if output.json {
        output.json(ingested)?;
    } else {
        output.text(&ingest::text(ingested))?;
    }
    commands::say_consequences(&outcome.consequences, output)?;
    if outcome.more_alerts > 0 && !output.json {
        output
            .text(&format!("\n{} more alerts fired; `ops-runbook escalations list` shows them", outcome.more_alerts))?;
    }
    Ok(Code::Success)
}

/// Says things while it goes on.
struct Teller<'a> {
    output: &'a Output,
    bar: ProgressBar,
    rejected: AtomicU64,
    /// Why results could not be printed.
    failed: Mutex<Option<io::Error>>,
}

impl<'a> Teller<'a> {
    fn new(output: &'a Output) -> Self {
        Self { output, bar: output.spinner(), rejected: AtomicU64::new(0), failed: Mutex::new(None) }
    }

    fn tell(&self, news: News<'_>) {
        match news {
            News::Progress(ingested) if !self.bar.is_hidden() => self.bar.set_message(progress(ingested)),
            News::Progress(_) => {}
            News::Rejected(rejection) => self.bar.suspend(|| self.rejected(rejection)),
            News::Unreadable { source, reason } => self.bar.suspend(|| {
                self.output.problem(&plain::line(&format!("warning: {source} cannot be read and was left: {reason}")));
            }),
        }
    }

    fn rejected(&self, rejection: &Rejection) {
        let before = self.rejected.fetch_add(1, Ordering::Relaxed);
        if self.output.json {
            if let Err(error) = self.output.json(&json!({ "rejection": rejection })) {
                self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        } else if before < SAID {
            self.output.problem(&ingest::rejection(rejection));
        }
    }

    fn finish(self) -> io::Result<()> {
        let more = self.rejected.into_inner().saturating_sub(SAID);
        if more > 0 && !self.output.json {
            self.output.problem(&format!("rejected: {more} more; each has its reason next to it"));
        }
        self.failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}

fn progress(ingested: &Ingested) -> String {
    let Ingested { recorded, known, rejected, .. } = ingested;
    format!("recording: {} documents, {rejected} rejected", recorded + known + rejected)
}
