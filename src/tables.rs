//! The definitions of all tables.
//!
//! One [`table!`] definition gives the serde struct, the Arrow schema, the Delta column comments, the `CREATE TABLE` text
//! and the data dictionary. `Option` means nullable. [`to_batch`] and [`from_batch`] convert between rows and
//! Arrow.

pub mod catalog;
pub mod ddl;
pub mod project;
pub mod rows;

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    error::ArrowError,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::domain::{
    check::{CheckStatus, Severity},
    escalation::{
        status::{AlertEvent, AlertStatus},
        trigger::Trigger,
    },
    ids::{Id, IncidentId, RequestKey},
    incident::{
        classification::{Confidence, IncidentType, Status},
        timeline::EventKind,
    },
    interface::Interface,
    notification::{
        channel::ChannelKind,
        event::{DeliveryEvent, NotificationKind},
    },
    prevention::state::PreventionState,
    recurrence::event::EpisodeEvent,
    remediation::{RemediationKind, RemediationResult},
    time::Timestamp,
};

/// Number of commits between checkpoints.
pub const CHECKPOINT_INTERVAL: u64 = 100;

/// A table of the lake.
#[derive(Debug, Clone, Copy)]
pub struct TableDef {
    pub name: &'static str,
    comment: &'static str,
    pub columns: &'static [Column],
    /// Columns with minimum and maximum in the Delta log, for data skipping.
    pub stats: &'static [&'static str],
    /// Columns with a Bloom filter in every file, for point lookups.
    pub bloom: &'static [&'static str],
    /// Sort order of the rows in a compacted file.
    pub sort: &'static [&'static str],
    /// Key columns; they are never null.
    pub key: &'static [&'static str],
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
    pub nullable: bool,
    comment: &'static str,
}

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Long,
    Int,
    Double,
    Boolean,
    /// UTC, microseconds.
    Timestamp,
}

impl Kind {
    pub fn arrow(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Long => DataType::Int64,
            Self::Int => DataType::Int32,
            Self::Double => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }

    /// Returns the name of the type in SQL.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Text => "STRING",
            Self::Long => "BIGINT",
            Self::Int => "INT",
            Self::Double => "DOUBLE",
            Self::Boolean => "BOOLEAN",
            Self::Timestamp => "TIMESTAMP",
        }
    }

    pub fn delta(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Long => "long",
            Self::Int => "integer",
            Self::Double => "double",
            Self::Boolean => "boolean",
            Self::Timestamp => "timestamp",
        }
    }
}

impl Column {
    /// Returns the comment: one line, never empty.
    pub fn comment(&self) -> &'static str {
        self.comment.trim()
    }
}

impl TableDef {
    /// Returns the description of the rows.
    pub fn comment(&self) -> &'static str {
        self.comment.trim()
    }

    pub fn arrow_schema(&self) -> SchemaRef {
        let fields: Vec<Field> =
            self.columns.iter().map(|column| Field::new(column.name, column.kind.arrow(), column.nullable)).collect();
        Arc::new(Schema::new(fields))
    }
}

/// A row type of a table.
pub trait Row: Serialize + DeserializeOwned + Send + 'static {
    const TABLE: &'static TableDef;
}

/// Converts rows to Arrow with the table's schema.
///
/// # Errors
/// If a field does not match the schema; the error contains its name.
pub fn to_batch<R: Row>(rows: &[R]) -> Result<RecordBatch, ArrowError> {
    let schema = R::TABLE.arrow_schema();
    serde_arrow::to_record_batch(schema.fields(), &rows).map_err(|error| ArrowError::ExternalError(Box::new(error)))
}

/// Converts Arrow to rows by column name.
///
/// # Errors
/// If a field is missing or does not match; the error contains its name.
pub fn from_batch<R: Row>(batch: &RecordBatch) -> Result<Vec<R>, ArrowError> {
    serde_arrow::from_record_batch(batch).map_err(|error| ArrowError::ExternalError(Box::new(error)))
}

/// A Rust type of a column, with its stored type.
pub trait Cell {
    const KIND: Kind;
    const NULLABLE: bool = false;
}

impl<T: Cell> Cell for Option<T> {
    const KIND: Kind = T::KIND;
    const NULLABLE: bool = true;
}

macro_rules! cells {
    ($kind:ident: $($ty:ty),*) => { $(impl Cell for $ty { const KIND: Kind = Kind::$kind; })* };
}

cells!(Text: String, Id, IncidentId, RequestKey, CheckStatus, Confidence, EventKind, IncidentType, Interface);
cells!(Text: RemediationKind, RemediationResult, Severity, Status);
cells!(Text: AlertEvent, AlertStatus, ChannelKind, DeliveryEvent, EpisodeEvent, NotificationKind, PreventionState, Trigger);
cells!(Long: i64, u64);
cells!(Int: i32);
cells!(Double: f64);
cells!(Boolean: bool);
cells!(Timestamp: Timestamp);

/// Defines a table and its row type. The header lists the columns with statistics and Bloom filters, the sort order and the key.
macro_rules! table {
    (
        $(#[doc = $table_doc:literal])*
        $Row:ident = $name:literal, stats [$($stat:ident),*], bloom [$($bloom:ident),*], sort [$($sort:ident),*],
        key [$($key:ident),*]
        { $( $(#[doc = $doc:literal])* $field:ident: $ty:ty, )* }
    ) => {
        $(#[doc = $table_doc])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        pub struct $Row { $( $(#[doc = $doc])* pub $field: $ty, )* }

        impl $crate::tables::Row for $Row {
            const TABLE: &'static $crate::tables::TableDef = &$crate::tables::TableDef {
                name: $name,
                comment: concat!($($table_doc),*),
                columns: &[$( $crate::tables::Column {
                    name: stringify!($field),
                    kind: <$ty as $crate::tables::Cell>::KIND,
                    nullable: <$ty as $crate::tables::Cell>::NULLABLE,
                    comment: concat!($($doc),*),
                }, )*],
                stats: &[$(stringify!($stat)),*],
                bloom: &[$(stringify!($bloom)),*],
                sort: &[$(stringify!($sort)),*],
                key: &[$(stringify!($key)),*],
            };
        }
    };
}
pub(crate) use table;

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::{Row, from_batch, project::Projections, project::audit_row, to_batch};
    use crate::domain::{
        chain::GENESIS_HASH,
        entry::{ENTRY_VERSION, Entry, Facts, Request},
        ids::{Id, IncidentId, RequestKey},
        incident::opening_facts,
        interface::Interface,
        policy::Policy,
        problems::parse_report,
        redact::Redactor,
    };

    fn entries() -> Vec<Entry> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/examples");
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        (1..)
            .zip(files)
            .map(|(seq, file)| {
                let now = "2026-03-01T00:00:00.123456Z".parse().unwrap();
                let bytes = std::fs::read(file).unwrap();
                let (report, redactions) = parse_report(&bytes, &Redactor::new(None), now).unwrap();
                let request_id = report.report_id.clone().unwrap_or_else(|| Id::new("none").unwrap());
                let (id, key) = (IncidentId::from_ordinal(seq), RequestKey::of(&request_id));
                let facts = opening_facts(&report, id, &key, &Policy::default(), now);
                Entry {
                    version: ENTRY_VERSION,
                    seq,
                    recorded_at: now,
                    interface: Interface::Cli,
                    request_id,
                    facts: Facts { redactions, ..facts },
                    request: Request::RecordReport(Box::new(report)),
                }
            })
            .collect()
    }

    fn check<R: Row + PartialEq + Debug>(rows: &[R]) {
        assert!(!rows.is_empty());
        let batch = to_batch(rows).unwrap();
        assert_eq!(from_batch::<R>(&batch).unwrap(), rows, "{}", R::TABLE.name);
    }

    #[test]
    fn rows_are_unchanged_after_a_round_trip_through_arrow() {
        let entries = entries();
        let mut projections = Projections::default();
        for entry in &entries {
            projections.add(entry).unwrap();
        }
        check(&projections.incident_states);
        check(&projections.timeline_events);
        check(&projections.root_causes);
        check(&projections.practice_checks);
        check(&projections.runbooks);
        let audit: Vec<_> = entries
            .iter()
            .map(|entry| audit_row(entry, entry.canonical().unwrap(), GENESIS_HASH.into()).unwrap())
            .collect();
        check(&audit);
    }

    #[test]
    fn entries_are_unchanged_after_a_round_trip_through_canonical_json() {
        for entry in entries() {
            let text = entry.canonical().unwrap();
            assert_eq!(Entry::parse(&text).unwrap(), entry);
            assert_eq!(Entry::parse(&text).unwrap().canonical().unwrap(), text);
        }
    }

    #[test]
    fn findings_of_the_examples_have_the_expected_causes() {
        let findings: Vec<_> = entries().into_iter().map(|entry| entry.facts.finding).collect();
        let cause = |at: usize| findings[at].as_ref().and_then(|f| f.cause.as_ref()).map(|c| c.fingerprint.clone());
        assert!(cause(0).is_some() && cause(0) == cause(1) && cause(1) == cause(2), "one cause, worded differently");
        assert_eq!(cause(3), None, "unknown is no cause");
        assert!(findings[4].is_none());
    }
}
