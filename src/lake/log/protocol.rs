//! The protocol versions and features that a table requires, and those that this program supports.
//!
//! This program's tables have reader version 1 and writer version 2. Another program can raise them, or add deletion vectors.
//! Reading such a table as before would return wrong rows, and writing it would break it for other programs.

use std::fmt;

use object_store::path::Path;
use serde::Deserialize;

use crate::{lake::LakeError, tables::catalog::AUDIT_LOG};

/// Supported reader versions and features.
const READER: SupportedProtocol = SupportedProtocol { role: "reader", plain: 1, listing: 3, features: &[] };
/// Supported writer versions and features. Version 2 consists of two features, which hold here: rows are never removed, and no
/// column has an invariant.
const WRITER: SupportedProtocol =
    SupportedProtocol { role: "writer", plain: 2, listing: 7, features: &["appendOnly", "invariants"] };

struct SupportedProtocol {
    role: &'static str,
    /// The highest supported version without a list of features.
    plain: i64,
    /// The version that lists its features.
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

/// The kind of access to a table that is not supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableAccess {
    Read,
    Write,
}

impl fmt::Display for TableAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "written",
        })
    }
}

/// A table that requires features which this program does not support. It is not damaged: other programs can use it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{table} cannot be {access}: its version {version} ({file}) {requires}")]
pub struct Unsupported {
    pub table: String,
    pub version: u64,
    /// The log file, relative to the table's folder.
    pub file: String,
    pub access: TableAccess,
    pub requires: String,
}

impl Unsupported {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> String {
        let Self { table, version, .. } = self;
        if table == AUDIT_LOG.name {
            format!(
                "a newer ops-runbook wrote version {version}, or another program changed the audit log: commitInfo names the \
                 program (`DESCRIBE HISTORY` in SQL). Run the newest ops-runbook. If it refuses the table too, restore the folder \
                 {table} from a backup that is older than version {version}, and revoke that program's write access"
            )
        } else {
            format!(
                "a newer ops-runbook wrote version {version}, or another program changed the table. Run the newest ops-runbook. \
                 If it refuses the table too, move the folder {table} away: the next command that needs the table rebuilds it \
                 from the audit log"
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

    pub fn unsupported(&self, access: TableAccess, requires: String) -> Unsupported {
        Unsupported { table: self.table.into(), version: self.version, file: self.path.to_string(), access, requires }
    }

    /// Returns the error for a live data file that has a deletion vector.
    pub fn has_deleted_rows(&self, data_file: &str) -> Unsupported {
        let requires = format!(
            "has a deletion vector for {data_file:?}: some of its rows are deleted, and this program cannot determine which"
        );
        self.unsupported(TableAccess::Read, requires)
    }

    /// Checks whether this program may write a table with this protocol.
    ///
    /// # Errors
    /// [`Unsupported`] if it may not even read the table.
    pub fn admits(&self, protocol: &Protocol) -> Result<Result<(), Unsupported>, Unsupported> {
        let check = |access, known: &SupportedProtocol, version, features: &Option<Vec<String>>| {
            known.lacks(version, features.as_deref().unwrap_or_default()).map_or(Ok(()), |requires| {
                Err(self.unsupported(access, format!("requires {requires}, which this program does not support")))
            })
        };
        check(TableAccess::Read, &READER, protocol.min_reader_version, &protocol.reader_features)?;
        Ok(check(TableAccess::Write, &WRITER, protocol.min_writer_version, &protocol.writer_features))
    }
}

impl SupportedProtocol {
    /// Returns the unsupported part of a version and its features.
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
    fn unsupported_requirements_of_a_protocol_are_named() {
        fn check(protocol: &str, expected: &str) {
            let protocol: Protocol = serde_json::from_str(protocol).unwrap();
            let path = Path::from("_delta_log/7.json");
            let actual = match (LogFile { table: "digests", version: 7, path: &path }).admits(&protocol) {
                Ok(Ok(())) => String::new(),
                Ok(Err(unsupported)) | Err(unsupported) => unsupported.to_string(),
            };
            let expected = match expected {
                "" => String::new(),
                some => format!("digests cannot be {some}, which this program does not support")
                    .replace(" requires ", ": its version 7 (_delta_log/7.json) requires "),
            };
            assert_eq!(actual, expected);
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
