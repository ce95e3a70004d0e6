//! What becomes of documents that anybody drops into an inbox.

use serde::Serialize;

use super::{ids::Id, problems::Problem, time::Timestamp};

/// Who puts aside what cannot become a record.
pub const ACTOR: &str = "system:ingest";

/// The id under which an input is put aside once, whoever finds it, under whatever name: it follows from the hash of its bytes,
/// and from the line where it is one of many.
///
/// # Errors
/// When the hash is none.
pub fn rejection_id(input_hash: &str, line: Option<u64>) -> Result<Id, String> {
    let hash = input_hash.get(..32).ok_or_else(|| format!("{input_hash:?} is no hash"))?;
    Id::new(match line {
        Some(line) => format!("rejected-{hash}-{line}"),
        None => format!("rejected-{hash}"),
    })
}

/// Where a rejected input was: the file, and behind a colon the line, where it is one of many in there.
pub fn rejected_at(source: &str, line: Option<u64>) -> String {
    match line {
        Some(line) => format!("{source}:{line}"),
        None => source.to_owned(),
    }
}

/// An id stands for one content. Of another that comes with it later nothing would be recorded, and nobody would know.
pub fn other_content(seq: u64) -> Problem {
    Problem {
        pointer: "/report_id".into(),
        message: format!("was recorded before with another content, as row {seq} of the audit log"),
        hint: Some(
            "give it a report_id of its own, or none; or add to what is recorded with `ops-runbook incident`".into(),
        ),
    }
}

/// Why an input did not become a record. Stands next to it, and is as redacted as what is recorded of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rejection {
    /// Where it came from.
    pub source: String,
    /// Which line, where it is one of many in there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    pub problems: Vec<Problem>,
    /// SHA-256 of its bytes.
    pub input_hash: String,
    /// The row of the audit log that says so.
    pub audit_seq: u64,
    pub recorded_at: Timestamp,
}

impl Rejection {
    /// As a file for people.
    ///
    /// # Errors
    /// Only if a value cannot be JSON at all.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }
}

/// How many of what an ingest took, or left.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Ingested {
    pub inbox: String,
    /// Where the files of which everything was recorded or rejected line by line are.
    pub done_in: String,
    /// Where the rejected documents are, each with its reason.
    pub rejected_in: String,
    /// Files that were moved away.
    pub taken: u64,
    /// Documents that became records.
    pub recorded: u64,
    /// Documents that had been recorded before.
    pub known: u64,
    /// Documents that did not become records; each has its reason.
    pub rejected: u64,
    /// Files that are left for the next time, because somebody may still be writing them.
    pub waiting: u64,
    /// Files that cannot be read.
    pub unreadable: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_named_by_what_is_in_it_and_where_it_stands_among_many() {
        let hash = "9f2c".repeat(16);
        assert_eq!(rejection_id(&hash, None).unwrap().as_str(), format!("rejected-{}", "9f2c".repeat(8)));
        assert_eq!(rejection_id(&hash, Some(7)).unwrap().as_str(), format!("rejected-{}-7", "9f2c".repeat(8)));
        assert!(rejection_id("", None).is_err());
    }
}
