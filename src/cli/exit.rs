//! Exit codes, and errors with their hints.

use std::{error::Error, io, process::ExitCode};

use serde_json::json;

use super::output::Output;
use crate::{
    analytics::QueryError,
    channels::TargetError,
    databricks::{
        auth::AuthError,
        error::ApiError,
        statements::{CancelSummary, StatementError},
    },
    domain::redact::Redactor,
    inbox::InboxError,
    lake::LakeError,
    ops::{OpsError, demo::DemoError},
    render::plain,
};

/// The exit codes, as `ops-runbook --help` prints them.
pub const HELP: &str = "\
Exit codes:
  0    success
  1    failure: storage, permissions, an internal error; a table with features that this program
       does not support; a fix that failed, a job that cannot be read, alerts without a receiver,
       a notification that was given up
  2    the command line is wrong
  3    the input or the configuration was refused; nothing was recorded
  4    a lake, inbox, incident, alert, cause, row, table, view or version does not exist
  5    the lake is damaged, audit verify found tampering, or a table in the catalog differs
       from the lake
  6    retry later: another process holds the lease, the outcome is unknown, a fix is not verified
       yet, or notifications are pending
  130  interrupted; statements on a warehouse were cancelled";

/// The hint for tables in a catalog that differ from the lake's.
pub const DIFFERENT_TABLES: &str = "--catalog and --schema must hold the tables of --lake. `audit verify` checks the lake; if it is \
     intact, drop the tables that differ, then run `catalog register --run` and `catalog copy --run`";

/// The exit codes, documented in [`HELP`]. clap uses 2, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    Success = 0,
    Failure = 1,
    Usage = 2,
    Refused = 3,
    NotFound = 4,
    Damaged = 5,
    TryAgain = 6,
    /// 128 + SIGINT, as in shells.
    Interrupted = 130,
}

impl From<ExitStatus> for ExitCode {
    fn from(code: ExitStatus) -> Self {
        Self::from(code as u8)
    }
}

/// An error that ends a command.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Ops(#[from] OpsError),
    #[error(transparent)]
    Demo(#[from] DemoError),
    #[error("{what} cannot be read")]
    Input { what: String, source: io::Error },
    #[error("the configuration {file} is invalid; nothing was done")]
    Config { file: String },
    /// An invalid key, checkpoint, name or file.
    #[error("{what} cannot be used: {reason}")]
    Unusable { what: String, reason: String },
    #[error("{what} cannot be written")]
    Write { what: String, source: io::Error },
    /// The problems are already printed.
    #[error("the parameters of {query} are invalid; nothing was run")]
    Parameters { query: String },
    /// The problems are already printed.
    #[error("the input was refused; nothing was recorded")]
    Refused,
    #[error("another process maintains this lake; its lease ends at {0}")]
    Busy(crate::domain::time::Timestamp),
    #[error(transparent)]
    Auth(AuthError),
    /// The missing settings of a warehouse, with the options that set them.
    #[error("a warehouse needs {}", .0.join(", "))]
    Settings(Vec<String>),
    /// The missing options of a bundle.
    #[error("a bundle needs {}", .0.join(", "))]
    Answers(Vec<String>),
    /// The HTTP client or a secret of a channel is not available.
    #[error("notifications cannot be sent")]
    Receivers(#[source] TargetError),
    #[error("cannot serve at {what}")]
    Serve { what: String, source: io::Error },
    #[error("a server over HTTP needs a token that its clients must give")]
    NoToken,
    #[error("interrupted; {}", cancel_text(*.0))]
    Interrupted(CancelSummary),
    #[error("the output could not be written")]
    Output(#[from] io::Error),
}

fn cancel_text(CancelSummary { cancelled, unknown }: CancelSummary) -> String {
    match (cancelled, unknown) {
        (0, 0) => "nothing ran on the warehouse".into(),
        (_, 0) => format!("statements on the warehouse that were cancelled: {cancelled}"),
        _ => format!("statements that may still run on the warehouse: {unknown}; cancelled: {cancelled}"),
    }
}

impl From<LakeError> for CommandError {
    fn from(error: LakeError) -> Self {
        Self::Ops(error.into())
    }
}

impl From<ApiError> for CommandError {
    fn from(error: ApiError) -> Self {
        Self::Ops(error.into())
    }
}

impl From<InboxError> for CommandError {
    fn from(error: InboxError) -> Self {
        Self::Ops(error.into())
    }
}

impl From<QueryError> for CommandError {
    fn from(error: QueryError) -> Self {
        Self::Ops(error.into())
    }
}

impl CommandError {
    fn ops(&self) -> Option<&OpsError> {
        match self {
            Self::Ops(error) | Self::Demo(DemoError::Ops(error)) => Some(error),
            _ => None,
        }
    }

    fn lake(&self) -> Option<&LakeError> {
        match self.ops()? {
            OpsError::Lake(error) | OpsError::Query(QueryError::Lake(error)) => Some(error),
            OpsError::Commit(error) => Some(error),
            _ => None,
        }
    }

    fn code(&self) -> ExitStatus {
        match (self, self.ops()) {
            (
                Self::Refused
                | Self::Config { .. }
                | Self::Parameters { .. }
                | Self::Unusable { .. }
                | Self::Ops(OpsError::Refused(_) | OpsError::OtherLake(_) | OpsError::NoWorkspaceId),
                _,
            ) => {
                return ExitStatus::Refused;
            }
            (Self::Busy(_), _) => return ExitStatus::TryAgain,
            (Self::Settings(_) | Self::Answers(_) | Self::NoToken | Self::Auth(AuthError::Missing(_)), _) => {
                return ExitStatus::Usage;
            }
            (Self::Auth(_), _) => return ExitStatus::Refused,
            (Self::Interrupted(_), _) => return ExitStatus::Interrupted,
            (_, Some(OpsError::DifferentTables { .. })) => return ExitStatus::Damaged,
            (_, Some(OpsError::Query(QueryError::Warehouse(error)))) => return warehouse_code(error),
            (_, Some(OpsError::Workspace(error))) => return workspace_code(error),
            (_, Some(OpsError::Inbox(error))) => return inbox_code(error),
            (
                _,
                Some(
                    OpsError::NoIncident(_)
                    | OpsError::NoAuditRow(_)
                    | OpsError::NoAlert(_)
                    | OpsError::NoCause(_)
                    | OpsError::NoEpisode(_)
                    | OpsError::NoQuery(_)
                    | OpsError::UnknownVersion(_),
                ),
            ) => return ExitStatus::NotFound,
            (_, Some(OpsError::Query(QueryError::NoTable { .. }))) => return ExitStatus::NotFound,
            (_, Some(OpsError::Query(QueryError::Sql(_)))) => return ExitStatus::Refused,
            _ => {}
        }
        match self.lake() {
            Some(LakeError::NoLake(_) | LakeError::NoIncident(_)) => ExitStatus::NotFound,
            Some(LakeError::Refused(_)) => ExitStatus::Refused,
            Some(LakeError::BadLocation { .. } | LakeError::BadSetting { .. }) => ExitStatus::Usage,
            Some(LakeError::Torn { .. } | LakeError::Corrupt(_)) => ExitStatus::Damaged,
            Some(
                LakeError::OutcomeUnknown { .. }
                | LakeError::TooBusy { .. }
                | LakeError::LeaseLost(_)
                | LakeError::Stale,
            ) => ExitStatus::TryAgain,
            _ => ExitStatus::Failure,
        }
    }

    pub fn hint(&self) -> Option<String> {
        match (self, self.ops()) {
            (Self::Demo(DemoError::NotADemo { .. }), _) => {
                Some("give the demo a lake of its own: ops-runbook --lake ./demo-lake demo".into())
            }
            (Self::Input { .. }, _) => Some("give a file that can be read; for a report, - is standard input".into()),
            (Self::Write { source, .. }, _) if source.kind() == io::ErrorKind::AlreadyExists => {
                Some("an existing file is never overwritten; give another file with --out".into())
            }
            (_, Some(OpsError::UnknownVersion(_))) => {
                Some("`ops-runbook runbook list` shows the incidents and their versions".into())
            }
            (_, Some(OpsError::NoQuery(_))) => Some("`ops-runbook query list` lists the queries and views".into()),
            (Self::Parameters { query }, _) => Some(format!("`ops-runbook query show {query}` describes the parameters")),
            (Self::Busy(_), _) => Some("run it again later".into()),
            (Self::Settings(_), _) => Some(
                "the token is read from the environment only: all users of a machine can read the arguments of a process".into(),
            ),
            (Self::Answers(_), _) => Some("give these options, or run the command on a terminal and answer its questions".into()),
            (Self::Serve { source, .. }, _)
                if matches!(
                    source.kind(),
                    io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable | io::ErrorKind::PermissionDenied
                ) =>
            {
                Some("give an address of this machine and a free port with --http".into())
            }
            (Self::Receivers(why), _) => Some(why.hint()),
            (Self::NoToken, _) => Some(
                "set OPS_RUNBOOK_MCP_TOKEN or give --token-file; `openssl rand -hex 32` creates one. With --behind-proxy no \
                 token is needed: the proxy authenticates the clients"
                    .into(),
            ),
            (Self::Interrupted(left), _) if left.unknown > 0 => {
                Some("the query history of the warehouse shows running statements, and can cancel them".into())
            }
            (_, Some(OpsError::NoIncident(_))) => Some("`ops-runbook incident list` lists the incidents".into()),
            (Self::Config { .. }, _) => Some("correct the file, or give another one with --config".into()),
            (_, Some(OpsError::NoAlert(_))) => {
                Some("`ops-runbook escalation list --all` lists the alerts".into())
            }
            (_, Some(OpsError::NoCause(_))) => Some("`ops-runbook cause list` lists the causes".into()),
            (_, Some(OpsError::NoEpisode(_))) => {
                Some("`ops-runbook recurrence list --all` lists the recurring issues".into())
            }
            (_, Some(OpsError::Refused(refusal))) => Some(refusal.hint.clone()),
            (_, Some(OpsError::NoWorkspaceId)) => Some("give it with --workspace-id".into()),
            (_, Some(OpsError::NoAuditRow(_))) => Some("`ops-runbook audit list` lists the rows".into()),
            (_, Some(OpsError::OtherLake(_))) => Some(
                "--catalog and --schema must hold the tables of --lake; `catalog register` creates them".into(),
            ),
            (_, Some(OpsError::DifferentTables { .. })) => Some(DIFFERENT_TABLES.into()),
            (_, Some(OpsError::Query(error))) => error.hint(),
            (_, Some(OpsError::Workspace(error))) => error.hint(),
            (_, Some(OpsError::Inbox(error))) => error.hint(),
            (Self::Auth(error), _) => Some(error.hint()),
            _ => self.lake().and_then(LakeError::hint),
        }
    }
}

fn warehouse_code(error: &StatementError) -> ExitStatus {
    match error {
        _ if error.is_conflict() => ExitStatus::TryAgain,
        _ if error.is_refusal() => ExitStatus::Refused,
        StatementError::Api(error) => workspace_code(error),
        StatementError::Cancelled { .. } | StatementError::Closed { .. } | StatementError::Incomplete { .. } => {
            ExitStatus::TryAgain
        }
        _ => ExitStatus::Failure,
    }
}

fn inbox_code(error: &InboxError) -> ExitStatus {
    match error {
        InboxError::Missing(_) => ExitStatus::NotFound,
        InboxError::NotSupported(_) | InboxError::Root { .. } | InboxError::Place(_) => ExitStatus::Usage,
        InboxError::File { .. } | InboxError::Store(_) | InboxError::NoName(_) => ExitStatus::Failure,
    }
}

fn workspace_code(error: &ApiError) -> ExitStatus {
    match error {
        ApiError::Refused(_) => ExitStatus::Refused,
        ApiError::NotFound(_) => ExitStatus::NotFound,
        ApiError::Throttled(_) | ApiError::Unreachable(_) => ExitStatus::TryAgain,
        ApiError::NoToken(_) | ApiError::Unauthorised(_) | ApiError::Forbidden(_) | ApiError::Unexpected(_) => {
            ExitStatus::Failure
        }
    }
}

/// Prints an error to stderr: message, causes, hint; as text or as JSON.
pub fn report(failure: &CommandError, output: &Output, redactor: &Redactor) -> ExitCode {
    // A reader such as `head` that closes the pipe is no error.
    if matches!(failure, CommandError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe) {
        return ExitStatus::Success.into();
    }
    let safe = |text: String| plain::line(&redactor.text(&text)).into_owned();
    let mut causes = Vec::new();
    let mut source = failure.source();
    while let Some(cause) = source {
        let text = safe(cause.to_string());
        if causes.last() != Some(&text) {
            causes.push(text);
        }
        source = cause.source();
    }
    let (message, hint) = (safe(failure.to_string()), failure.hint().map(safe));
    if output.json {
        output.problem(
            &json!({ "error": message, "causes": causes, "hint": hint, "exit_code": failure.code() as u8 }).to_string(),
        );
    } else {
        output.problem(&format!("error: {message}"));
        for cause in causes {
            output.problem(&format!("  because: {cause}"));
        }
        if let Some(hint) = hint {
            output.problem(&format!("  hint: {hint}"));
        }
    }
    failure.code().into()
}
