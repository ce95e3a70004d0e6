//! What a table requires of its readers and writers, and what this program does not do of it.
//!
//! Its own tables have reader version 1 and writer version 2. Another program can raise them, or replace files by files of which
//! some rows are deleted. Reading such a table as before would give wrong rows, and writing it would break it for others.

use std::fmt;

use object_store::path::Path;
use serde::Deserialize;

use crate::{lake::LakeError, tables::catalog::AUDIT_LOG};

/// What readers must do: the highest version without a list of features, the version that has one, and the features that are
/// known here.
const READER: Known = Known { role: "reader", plain: 1, listing: 3, features: &[] };
/// As [`READER`], of writers. Version 2 has two features: rows are never removed here, and no column has an invariant.
const WRITER: Known = Known { role: "writer", plain: 2, listing: 7, features: &["appendOnly", "invariants"] };

struct Known {
    role: &'static str,
    plain: i64,
    listing: i64,
    features: &'static [&'static str],
}

/// The `protocol` action of a log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Protocol {
    pub min_reader_version: i64,
    pub min_writer_version: i64,
    pub reader_features: Option<Vec<String>>,
    pub writer_features: Option<Vec<String>>,
}

/// What this program cannot do with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "written",
        })
    }
}

/// A table that was changed so that this program cannot read or write it. It is whole: other programs may.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{table} cannot be {access}: its version {version} ({file}) {requires}")]
pub struct Unsupported {
    pub table: String,
    pub version: u64,
    /// Of the log, below the table.
    pub file: String,
    pub access: Access,
    pub requires: String,
}

impl Unsupported {
    /// What the user can do about it.
    pub fn hint(&self) -> String {
        let Self { table, version, .. } = self;
        if table == AUDIT_LOG.name {
            format!(
                "a newer ops-runbook made version {version}, or another program changed the audit log: its commitInfo names the \
                 program (`DESCRIBE HISTORY` in SQL). Run the newest ops-runbook. If it refuses too, restore the folder {table} as \
                 it was before that version from a backup, and take away the right to write it from that program"
            )
        } else {
            format!(
                "a newer ops-runbook made version {version}, or another program changed the table. Run the newest ops-runbook. If \
                 it refuses too, move the folder {table} away: the next command that needs it rebuilds it from the audit log"
            )
        }
    }
}

/// A commit or a checkpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogFile<'a> {
    pub table: &'a str,
    pub version: u64,
    pub path: &'a Path,
}

impl LogFile<'_> {
    pub fn torn(&self, detail: String) -> LakeError {
        LakeError::Torn { table: self.table.into(), file: self.path.to_string(), detail }
    }

    pub fn unsupported(&self, access: Access, requires: String) -> Unsupported {
        Unsupported { table: self.table.into(), version: self.version, file: self.path.to_string(), access, requires }
    }

    /// A live data file that has a deletion vector.
    pub fn has_deleted_rows(&self, data_file: &str) -> Unsupported {
        let requires =
            format!("has a deletion vector for {data_file:?}: some of its rows are deleted, and it is not known which");
        self.unsupported(Access::Read, requires)
    }

    /// Whether this program may write a table with such a protocol.
    ///
    /// # Errors
    /// [`Unsupported`] when it may not even read it.
    pub fn admits(&self, protocol: &Protocol) -> Result<Result<(), Unsupported>, Unsupported> {
        let check = |access, known: &Known, version, features: &Option<Vec<String>>| {
            known.lacks(version, features.as_deref().unwrap_or_default()).map_or(Ok(()), |requires| {
                Err(self.unsupported(access, format!("requires {requires}, which this program does not know")))
            })
        };
        check(Access::Read, &READER, protocol.min_reader_version, &protocol.reader_features)?;
        Ok(check(Access::Write, &WRITER, protocol.min_writer_version, &protocol.writer_features))
    }
}

impl Known {
    /// What is not known here of a version and its features.
    fn lacks(&self, version: i64, features: &[String]) -> Option<String> {
        let Self { role, plain, listing, features: known } = self;
        if version != *listing {
            return (version > *plain).then(|| format!("{role} version {version}"));
        }
        let unknown: Vec<String> = features
            .iter()
            .filter(|feature| !known.contains(&feature.as_str()))
            .map(|feature| format!("{feature:?}"))
            .collect();
        (!unknown.is_empty()).then(|| format!("the {role} features {}", unknown.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_protocol_requires_is_known_or_named() {
        fn check(protocol: &str, expected: &str) {
            let protocol: Protocol = serde_json::from_str(protocol).unwrap();
            let path = Path::from("_delta_log/7.json");
            let said = match (LogFile { table: "digests", version: 7, path: &path }).admits(&protocol) {
                Ok(Ok(())) => String::new(),
                Ok(Err(unsupported)) | Err(unsupported) => unsupported.to_string(),
            };
            let expected = match expected {
                "" => String::new(),
                some => format!("digests cannot be {some}, which this program does not know")
                    .replace(" requires ", ": its version 7 (_delta_log/7.json) requires "),
            };
            assert_eq!(said, expected);
        }
        check(r#"{"minReaderVersion":1,"minWriterVersion":2}"#, "");
        check(r#"{"minReaderVersion":1,"minWriterVersion":1,"readerFeatures":null}"#, "");
        check(r#"{"minReaderVersion":1,"minWriterVersion":7,"writerFeatures":["invariants","appendOnly"]}"#, "");
        check(r#"{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":[],"writerFeatures":[]}"#, "");
        check(r#"{"minReaderVersion":1,"minWriterVersion":4}"#, "written requires writer version 4");
        check(r#"{"minReaderVersion":1,"minWriterVersion":8}"#, "written requires writer version 8");
        check(r#"{"minReaderVersion":2,"minWriterVersion":5}"#, "read requires reader version 2");
        check(r#"{"minReaderVersion":4,"minWriterVersion":2}"#, "read requires reader version 4");
        check(
            r#"{"minReaderVersion":1,"minWriterVersion":7,"writerFeatures":["appendOnly","rowTracking"]}"#,
            r#"written requires the writer features "rowTracking""#,
        );
        check(
            r#"{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["deletionVectors","x"],"writerFeatures":["x"]}"#,
            r#"read requires the reader features "deletionVectors", "x""#,
        );
    }
}
