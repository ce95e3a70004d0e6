//! What a lake's examination found: words for it, closed.

use serde::Serialize;

/// What is looked at, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// A file can be written.
    Write,
    /// What was written can be read at once.
    ReadAfterWrite,
    /// … and is listed at once.
    ListAfterWrite,
    /// What is written over is read as it is now.
    Overwrite,
    /// A file that is there is not written again.
    SecondWriter,
    /// Of many who write one file at the same moment one wins.
    SameMoment,
    /// The store's clock and this machine's.
    Clock,
    /// A file can be removed.
    Delete,
    /// There is a lake.
    Lake,
    /// Whoever reads and writes the tables can.
    Protocol,
    /// The tables' properties.
    Properties,
    /// The tables' columns.
    Columns,
    /// The newest checkpoints can be read, and all that was committed since.
    Log,
    /// The newest row of the audit log is what its commit says.
    Head,
    /// Whether the tables are up to date.
    Projection,
    /// The tables in a catalog, beside the lake's.
    Catalog,
}

impl Check {
    /// As people are told.
    pub fn title(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::ReadAfterWrite => "read after write",
            Self::ListAfterWrite => "list after write",
            Self::Overwrite => "overwrite",
            Self::SecondWriter => "second writer refused",
            Self::SameMoment => "writers at the same moment",
            Self::Clock => "clocks",
            Self::Delete => "delete",
            Self::Lake => "lake",
            Self::Protocol => "protocol",
            Self::Properties => "table properties",
            Self::Columns => "table columns",
            Self::Log => "logs and checkpoints",
            Self::Head => "head of the audit log",
            Self::Projection => "tables up to date",
            Self::Catalog => "tables in the catalog",
        }
    }
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Ok,
    /// It works, and something should be done.
    Warning,
    /// Nothing should be recorded there as it is.
    Failed,
    /// Something before it failed, or there is nothing to check.
    NotChecked,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::NotChecked => "not checked",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: Check,
    pub state: State,
    /// What was seen. Parts of it are a store's own words: hostile.
    pub seen: String,
    /// What to do about it.
    pub advice: Option<String>,
}

impl Finding {
    pub fn ok(check: Check, seen: impl Into<String>) -> Self {
        Self { check, state: State::Ok, seen: seen.into(), advice: None }
    }

    pub fn warning(check: Check, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, state: State::Warning, seen: seen.into(), advice: Some(advice.into()) }
    }

    pub fn failed(check: Check, seen: impl Into<String>, advice: Option<String>) -> Self {
        Self { check, state: State::Failed, seen: seen.into(), advice }
    }

    pub fn not_checked(check: Check, why: impl Into<String>) -> Self {
        Self { check, state: State::NotChecked, seen: why.into(), advice: None }
    }
}
