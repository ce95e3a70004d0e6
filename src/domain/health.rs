//! Health checks of a lake and their findings.

use serde::Serialize;

/// A health check of the storage or the lake, in the order of execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthCheck {
    /// A file can be written.
    Write,
    /// A written file can be read at once.
    ReadAfterWrite,
    /// A written file is listed at once.
    ListAfterWrite,
    /// After an overwrite, the new content is read.
    Overwrite,
    /// A conditional write of an existing file is refused.
    SecondWriter,
    /// One of several concurrent writers of a file succeeds.
    SameMoment,
    /// The clocks of the store and of this machine agree.
    Clock,
    /// A file can be removed.
    Delete,
    /// The location contains a lake.
    Lake,
    /// The Delta protocol versions of the tables are supported.
    Protocol,
    /// The tables have the expected properties.
    Properties,
    /// The tables have the expected columns.
    Columns,
    /// The newest checkpoints and all later commits can be read.
    Log,
    /// The newest row of the audit log matches its commit.
    Head,
    /// The tables are up to date with the audit log.
    Projection,
    /// The tables in the catalog match those of the lake.
    Catalog,
}

impl HealthCheck {
    /// Returns the title for people.
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

/// Result of a health check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthState {
    Ok,
    /// It works, but needs attention.
    Warning,
    /// Recording is not safe until it is fixed.
    Failed,
    /// An earlier check failed, or there is nothing to check.
    NotChecked,
}

impl HealthState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::NotChecked => "not checked",
        }
    }
}

/// Finding of one health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthFinding {
    pub check: HealthCheck,
    pub state: HealthState,
    /// Observation. It may contain untrusted text from a store.
    pub seen: String,
    /// Recommended action.
    pub advice: Option<String>,
}

impl HealthFinding {
    pub fn ok(check: HealthCheck, seen: impl Into<String>) -> Self {
        Self { check, state: HealthState::Ok, seen: seen.into(), advice: None }
    }

    pub fn warning(check: HealthCheck, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, state: HealthState::Warning, seen: seen.into(), advice: Some(advice.into()) }
    }

    pub fn failed(check: HealthCheck, seen: impl Into<String>, advice: Option<String>) -> Self {
        Self { check, state: HealthState::Failed, seen: seen.into(), advice }
    }

    pub fn not_checked(check: HealthCheck, why: impl Into<String>) -> Self {
        Self { check, state: HealthState::NotChecked, seen: why.into(), advice: None }
    }
}
