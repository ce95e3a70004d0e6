//! Reads a file of the inbox in parts, splits it into documents and prepares each one to be recorded.

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
        interface::Interface,
        json_lines::{DocumentFormat, DocumentSplitter, InputDocument},
        problems::Problem,
        redact::Redactor,
        report::MAX_REPORT_BYTES,
        time::Timestamp,
    },
    inbox::{FileVersion, InboxError, OpenedFile, file_names},
    lake::ledger::Submission,
    ops::prepare,
};

/// Bytes that are split and checked in one step.
const READ_BYTES: usize = 1 << 20;

/// A document that is ready to be recorded or rejected.
#[derive(Debug)]
pub struct PreparedDocument {
    /// The line in a file with several documents.
    pub line: Option<u64>,
    /// The document's bytes in a file with several documents, unless it is too large to be kept.
    pub bytes: Option<Vec<u8>>,
    /// SHA-256 of its bytes, or of the whole file if it contains nothing else.
    pub hash: String,
    /// The file ends within the document.
    pub is_cut_short: bool,
    pub outcome: Result<Submission, Vec<Problem>>,
}

/// A file that is being read.
#[derive(Debug)]
pub struct FileReader {
    seen: FileVersion,
    parts: FileParts,
    redactor: Redactor,
    now: Timestamp,
    cores: Arc<Semaphore>,
    /// `None` at the end of the file.
    work: Option<ParseState>,
    hash: String,
    _memory: Option<OwnedSemaphorePermit>,
}

struct FileParts(Peekable<BoxStream<'static, Result<Bytes, InboxError>>>);

impl std::fmt::Debug for FileParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FileParts")
    }
}

/// The state that is carried from part to part.
#[derive(Debug)]
struct ParseState {
    splitter: DocumentSplitter,
    hasher: Sha256,
}

impl FileReader {
    /// Starts reading as soon as there is memory for a document. `memory` counts KiB.
    pub async fn new(
        name: &str,
        opened: OpenedFile,
        redactor: Redactor,
        now: Timestamp,
        memory: Arc<Semaphore>,
        cores: Arc<Semaphore>,
    ) -> Self {
        let kept = opened.seen.size.min(MAX_REPORT_BYTES as u64) / 1024 + 1;
        let permit = memory.acquire_many_owned(u32::try_from(kept).unwrap_or(u32::MAX)).await.ok();
        Self {
            seen: opened.seen,
            parts: FileParts(opened.parts.peekable()),
            redactor,
            now,
            cores,
            work: Some(ParseState {
                splitter: DocumentSplitter::new(file_names::is_lines(name)),
                hasher: Sha256::new(),
            }),
            hash: String::new(),
            _memory: permit,
        }
    }

    pub fn seen(&self) -> &FileVersion {
        &self.seen
    }

    pub fn is_over(&self) -> bool {
        self.work.is_none()
    }

    /// Returns the version of the file and the SHA-256 of its content. Call it at the end.
    pub fn end(self) -> (FileVersion, String) {
        (self.seen, self.hash)
    }

    /// Returns the documents that end in the next part, possibly none.
    ///
    /// # Errors
    /// [`InboxError`] of the storage.
    pub async fn next(&mut self) -> Result<Vec<PreparedDocument>, InboxError> {
        let mut parts = Vec::new();
        let mut size = 0;
        // An object store sends small parts, and each step here causes at least one commit.
        while size < READ_BYTES
            && let Some(part) = self.parts.0.next().await.transpose()?
        {
            size += part.len();
            parts.push(part);
        }
        let is_last = Pin::new(&mut self.parts.0).peek().await.is_none();
        let Some(ParseState { mut splitter, mut hasher }) = self.work.take() else { return Ok(Vec::new()) };
        let (redactor, now) = (self.redactor.clone(), self.now);
        let permit = Arc::clone(&self.cores).acquire_owned().await;
        let checked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let mut lines = Vec::new();
            for part in parts {
                hasher.update(&part);
                splitter.push(&part, &mut lines);
            }
            let mut shape = DocumentFormat::Lines;
            let (work, hash) = if is_last {
                shape = splitter.finish(&mut lines);
                (None, hex(&hasher.finalize()))
            } else {
                (Some(ParseState { splitter, hasher }), String::new())
            };
            let whole = (shape == DocumentFormat::One).then_some(hash.as_str());
            let prepared = lines.into_iter().map(|document| check(document, whole, &redactor, now)).collect();
            (work, hash, prepared)
        });
        let stopped = |error: tokio::task::JoinError| InboxError::File { path: "a file".into(), source: error.into() };
        let (work, hash, prepared) = checked.await.map_err(stopped)?;
        (self.work, self.hash) = (work, hash);
        Ok(prepared)
    }
}

/// Prepares a document. `whole`: the hash of the file, if the document is its only content.
fn check(document: InputDocument, whole: Option<&str>, redactor: &Redactor, now: Timestamp) -> PreparedDocument {
    let outcome = prepare(&document.bytes, redactor, now, Interface::Inbox);
    let is_cut_short = outcome.is_err() && document.is_cut_short();
    match whole {
        Some(hash) => PreparedDocument { line: None, bytes: None, hash: hash.to_owned(), is_cut_short, outcome },
        None => PreparedDocument {
            line: Some(document.line),
            hash: document.hash(),
            is_cut_short,
            outcome,
            bytes: (!document.is_cut()).then_some(document.bytes),
        },
    }
}
