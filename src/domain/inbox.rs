//! Results of ingesting documents from an inbox.

use serde::Serialize;

use super::{ids::Id, problems::Problem, time::Timestamp};

/// Actor that records rejected inputs.
pub const ACTOR: &str = "system:ingest";

/// Returns the request id of a rejected input. It follows from the hash of the bytes and the line number in a file with
/// several documents, so each input is rejected once under any file name.
///
/// # Errors
/// A hash that is too short.
pub fn rejection_id(input_hash: &str, line: Option<u64>) -> Result<Id, String> {
    let hash = input_hash.get(..32).ok_or_else(|| format!("{input_hash:?} is not a hash"))?;
    Id::new(match line {
        Some(line) => format!("rejected-{hash}-{line}"),
        None => format!("rejected-{hash}"),
    })
}

/// Returns the location of a rejected input: the file, and the line of a document in a file with several.
pub fn rejected_at(source: &str, line: Option<u64>) -> String {
    match line {
        Some(line) => format!("{source}:{line}"),
        None => source.to_owned(),
    }
}

/// Returns the problem of a document whose id was already recorded with different content.
pub fn other_content(seq: u64) -> Problem {
    Problem {
        pointer: "/report_id".into(),
        message: format!("was already recorded with different content, as row {seq} of the audit log"),
        hint: Some(
            "give it its own report_id or none, or add to the recorded incident with `ops-runbook incident`".into(),
        ),
    }
}

/// Reasons why an input was rejected. The redacted text is stored in a file beside the input.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rejection {
    /// Source file.
    pub source: String,
    /// Line of a document in a file with several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    pub problems: Vec<Problem>,
    /// SHA-256 of its bytes.
    pub input_hash: String,
    /// Row of the audit log with the rejection.
    pub audit_seq: u64,
    pub recorded_at: Timestamp,
}

impl Rejection {
    /// Returns the text of the file: indented JSON.
    ///
    /// # Errors
    /// A value that cannot be serialised as JSON.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }
}

/// Counts of one ingest run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct IngestResult {
    pub inbox: String,
    /// Folder for processed files.
    pub done_in: String,
    /// Folder for rejected documents and their reasons.
    pub rejected_in: String,
    /// Files that were moved away.
    pub taken: u64,
    /// Documents that were recorded.
    pub recorded: u64,
    /// Documents that had been recorded before.
    pub known: u64,
    /// Documents that were rejected, each with a reason.
    pub rejected: u64,
    /// Files that are deferred to the next run, because they may still be incomplete.
    pub waiting: u64,
    /// Files that cannot be read.
    pub unreadable: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_id_follows_from_the_content_and_the_line() {
        let hash = "9f2c".repeat(16);
        assert_eq!(rejection_id(&hash, None).unwrap().as_str(), format!("rejected-{}", "9f2c".repeat(8)));
        assert_eq!(rejection_id(&hash, Some(7)).unwrap().as_str(), format!("rejected-{}-7", "9f2c".repeat(8)));
        assert!(rejection_id("", None).is_err());
    }
}
