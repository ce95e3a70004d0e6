//! A file on its way into the ledger: read part by part, split into documents, each checked.

use std::{pin::Pin, sync::Arc};

use bytes::Bytes;
use futures::{
    StreamExt,
    stream::{BoxStream, Peekable},
};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    domain::{
        ids::hex,
        lines::{Document, Shape, Splitter},
        problems::Problem,
        redact::Redactor,
        report::MAX_REPORT_BYTES,
        time::Timestamp,
        words::Interface,
    },
    inbox::{InboxError, Opened, Seen, names},
    lake::ledger::Submission,
    ops::prepare,
};

/// Bytes that are split and checked at a time.
const ROUND: usize = 1 << 20;

/// A document, ready to be recorded or rejected.
#[derive(Debug)]
pub struct Prepared {
    /// Where it is one of many.
    pub line: Option<u64>,
    /// Where it is one of many that may be put aside, and not too large to be held.
    pub bytes: Option<Vec<u8>>,
    /// SHA-256 of its bytes: of the whole file where there is nothing else in it.
    pub hash: String,
    /// It ends in the middle.
    pub is_cut_short: bool,
    pub outcome: Result<Submission, Vec<Problem>>,
}

/// A file that is being read.
#[derive(Debug)]
pub struct Reading {
    seen: Seen,
    parts: Parts,
    redactor: Redactor,
    now: Timestamp,
    cores: Arc<Semaphore>,
    /// `None` at the end.
    work: Option<Work>,
    hash: String,
    _memory: Option<OwnedSemaphorePermit>,
}

struct Parts(Peekable<BoxStream<'static, Result<Bytes, InboxError>>>);

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parts")
    }
}

/// What goes from part to part.
#[derive(Debug)]
struct Work {
    splitter: Splitter,
    hasher: Sha256,
}

impl Reading {
    /// Begins, as soon as there is memory for it: `memory` counts KiB.
    pub async fn new(
        name: &str,
        opened: Opened,
        redactor: Redactor,
        now: Timestamp,
        memory: Arc<Semaphore>,
        cores: Arc<Semaphore>,
    ) -> Self {
        let kept = opened.seen.size.min(MAX_REPORT_BYTES as u64) / 1024 + 1;
        let permit = memory.acquire_many_owned(u32::try_from(kept).unwrap_or(u32::MAX)).await.ok();
        Self {
            seen: opened.seen,
            parts: Parts(opened.parts.peekable()),
            redactor,
            now,
            cores,
            work: Some(Work { splitter: Splitter::new(names::is_lines(name)), hasher: Sha256::new() }),
            hash: String::new(),
            _memory: permit,
        }
    }

    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    pub fn is_over(&self) -> bool {
        self.work.is_none()
    }

    /// The file as it was, and the SHA-256 of all of it. At the end.
    pub fn end(self) -> (Seen, String) {
        (self.seen, self.hash)
    }

    /// The documents that end in the next part. None need to.
    ///
    /// # Errors
    /// The place's.
    pub async fn next(&mut self) -> Result<Vec<Prepared>, InboxError> {
        let mut parts = Vec::new();
        let mut size = 0;
        // An object store sends small parts, and each round here is a commit at least.
        while size < ROUND
            && let Some(part) = self.parts.0.next().await.transpose()?
        {
            size += part.len();
            parts.push(part);
        }
        let is_last = Pin::new(&mut self.parts.0).peek().await.is_none();
        let Some(Work { mut splitter, mut hasher }) = self.work.take() else { return Ok(Vec::new()) };
        let (redactor, now) = (self.redactor.clone(), self.now);
        let permit = Arc::clone(&self.cores).acquire_owned().await;
        let checked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let mut lines = Vec::new();
            for part in parts {
                hasher.update(&part);
                splitter.push(&part, &mut lines);
            }
            let mut shape = Shape::Lines;
            let (work, hash) = if is_last {
                shape = splitter.finish(&mut lines);
                (None, hex(&hasher.finalize()))
            } else {
                (Some(Work { splitter, hasher }), String::new())
            };
            let whole = (shape == Shape::One).then_some(hash.as_str());
            let prepared = lines.into_iter().map(|document| check(document, whole, &redactor, now)).collect();
            (work, hash, prepared)
        });
        let stopped = |error: tokio::task::JoinError| InboxError::File { path: "a file".into(), source: error.into() };
        let (work, hash, prepared) = checked.await.map_err(stopped)?;
        (self.work, self.hash) = (work, hash);
        Ok(prepared)
    }
}

/// `whole`: the hash of the file, where the document is all there is in it.
fn check(document: Document, whole: Option<&str>, redactor: &Redactor, now: Timestamp) -> Prepared {
    let outcome = prepare(&document.bytes, redactor, now, Interface::Inbox);
    let is_cut_short = outcome.is_err() && document.is_cut_short();
    match whole {
        Some(hash) => Prepared { line: None, bytes: None, hash: hash.to_owned(), is_cut_short, outcome },
        None => Prepared {
            line: Some(document.line),
            hash: document.hash(),
            is_cut_short,
            outcome,
            bytes: (!document.is_cut()).then_some(document.bytes),
        },
    }
}
