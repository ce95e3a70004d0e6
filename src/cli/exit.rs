//! How the process ends: exit codes, and errors as they are told.

use std::{error::Error, io, process::ExitCode};

use serde_json::json;

use super::output::Output;
use crate::{
    analytics::QueryError,
    databricks::{
        auth::AuthError,
        error::ApiError,
        statements::{Cancelled, StatementError},
    },
    delivery::TargetError,
    domain::redact::Redactor,
    inbox::InboxError,
    lake::LakeError,
    ops::{OpsError, demo::DemoError},
    render::plain,
};

/// At the end of `--help`.
pub const HELP: &str = "\
Exit codes:
  0  done
  1  failed: storage, permissions, an error inside; a table that another program changed so that this one
     cannot read or write it; a fix that does not hold, a job asked for that cannot be read, alerts
     that would reach nobody, a notice that was given up
  2  the command line is wrong
  3  the input or the configuration was refused; nothing was recorded
  4  there is no such lake, inbox, incident, alert, cause, row, table, view or version
  5  the lake is damaged, audit verify found tampering, or a table in the catalog is no copy of the lake's
  6  somebody else is at it, the outcome is unknown, a verification is not decided yet, or somebody
     is still to be told: run the same again
  130  interrupted; what ran on a warehouse was cancelled";

/// What to do about tables in a catalog that differ from the lake's.
pub const DIFFERENT_TABLES: &str = "--catalog and --schema must hold the tables of --lake. `audit verify` proves the lake; if it is \
     intact, drop the tables that differ, then run `tables register --run` and `tables copy --run`";

/// Documented in [`HELP`]; 2 is clap's too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    Success = 0,
    Failure = 1,
    Usage = 2,
    Refused = 3,
    NotFound = 4,
    Damaged = 5,
    TryAgain = 6,
    /// 128 + SIGINT, as shells have it.
    Interrupted = 130,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// What ends a command early.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Ops(#[from] OpsError),
    #[error(transparent)]
    Demo(#[from] DemoError),
    #[error("{what} cannot be read")]
    Input { what: String, source: io::Error },
    #[error("the configuration {file} is wrong; nothing was done")]
    Config { file: String },
    /// A key or checkpoint that is none.
    #[error("{what} cannot be used: {reason}")]
    Unusable { what: String, reason: String },
    #[error("{what} cannot be written")]
    Write { what: String, source: io::Error },
    /// Already told, problem by problem.
    #[error("the parameters of {query} are wrong; nothing was run")]
    Parameters { query: String },
    /// Already told, problem by problem.
    #[error("the input was refused; nothing was recorded")]
    Refused,
    #[error("somebody else maintains this lake until {0}")]
    Busy(crate::domain::time::Timestamp),
    #[error(transparent)]
    Auth(AuthError),
    /// Settings that a warehouse needs, and how each is given.
    #[error("a warehouse needs {}", .0.join(", "))]
    Settings(Vec<String>),
    /// Options that a bundle needs.
    #[error("a bundle needs {}", .0.join(", "))]
    Answers(Vec<String>),
    /// No receiver can be reached from here.
    #[error("nothing can be sent")]
    Receivers(#[source] TargetError),
    #[error("cannot serve at {what}")]
    Serve { what: String, source: io::Error },
    #[error("a server over HTTP needs a token that its clients must give")]
    NoToken,
    #[error("interrupted; {}", became_of(*.0))]
    Interrupted(Cancelled),
    #[error("the output could not be written")]
    Output(#[from] io::Error),
}

fn became_of(Cancelled { cancelled, unknown }: Cancelled) -> String {
    match (cancelled, unknown) {
        (0, 0) => "nothing ran on the warehouse".into(),
        (_, 0) => format!("statements on the warehouse that were cancelled: {cancelled}"),
        _ => format!("statements that may still run on the warehouse: {unknown}; cancelled: {cancelled}"),
    }
}

impl From<LakeError> for Failure {
    fn from(error: LakeError) -> Self {
        Self::Ops(error.into())
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Ops(error.into())
    }
}

impl From<InboxError> for Failure {
    fn from(error: InboxError) -> Self {
        Self::Ops(error.into())
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        Self::Ops(error.into())
    }
}

impl Failure {
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

    fn code(&self) -> Code {
        match (self, self.ops()) {
            (
                Self::Refused
                | Self::Config { .. }
                | Self::Parameters { .. }
                | Self::Unusable { .. }
                | Self::Ops(OpsError::Refused(_) | OpsError::OtherLake(_) | OpsError::NoWorkspaceId),
                _,
            ) => {
                return Code::Refused;
            }
            (Self::Busy(_), _) => return Code::TryAgain,
            (Self::Settings(_) | Self::Answers(_) | Self::NoToken | Self::Auth(AuthError::Missing(_)), _) => {
                return Code::Usage;
            }
            (Self::Auth(_), _) => return Code::Refused,
            (Self::Interrupted(_), _) => return Code::Interrupted,
            (_, Some(OpsError::DifferentTables { .. })) => return Code::Damaged,
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
                    | OpsError::NoVersion(_),
                ),
            ) => return Code::NotFound,
            (_, Some(OpsError::Query(QueryError::NoTable { .. }))) => return Code::NotFound,
            (_, Some(OpsError::Query(QueryError::Sql(_)))) => return Code::Refused,
            _ => {}
        }
        match self.lake() {
            Some(LakeError::NoLake(_) | LakeError::NoIncident(_)) => Code::NotFound,
            Some(LakeError::Refused(_)) => Code::Refused,
            Some(LakeError::BadLocation { .. } | LakeError::BadSetting { .. }) => Code::Usage,
            Some(LakeError::Torn { .. } | LakeError::Corrupt(_)) => Code::Damaged,
            Some(
                LakeError::OutcomeUnknown { .. }
                | LakeError::TooBusy { .. }
                | LakeError::Fenced(_)
                | LakeError::Outdated,
            ) => Code::TryAgain,
            _ => Code::Failure,
        }
    }

    pub fn hint(&self) -> Option<String> {
        match (self, self.ops()) {
            (Self::Demo(DemoError::NotADemo { .. }), _) => {
                Some("give the demo a lake of its own: ops-runbook --lake ./demo-lake demo".into())
            }
            (Self::Input { .. }, _) => Some("give a file that can be read; for a report, - is standard input".into()),
            (Self::Write { source, .. }, _) if source.kind() == io::ErrorKind::AlreadyExists => {
                Some("what is there is never overwritten; give another file with --out".into())
            }
            (_, Some(OpsError::NoVersion(_))) => {
                Some("`ops-runbook runbook list` shows the incidents and their versions".into())
            }
            (_, Some(OpsError::NoQuery(_))) => Some("`ops-runbook query list` shows which there are".into()),
            (Self::Parameters { query }, _) => Some(format!("`ops-runbook query show {query}` says what they mean")),
            (Self::Busy(_), _) => Some("run it again later; nothing depends on when it runs".into()),
            (Self::Settings(_), _) => Some(
                "the token is taken from the environment only; arguments are shown to everybody on a machine".into(),
            ),
            (Self::Answers(_), _) => Some("give these options, or run it on a terminal, where it asks".into()),
            (Self::Serve { source, .. }, _)
                if matches!(
                    source.kind(),
                    io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable | io::ErrorKind::PermissionDenied
                ) =>
            {
                Some("give an address of this machine, and a port that is free, with --http".into())
            }
            (Self::Receivers(why), _) => Some(why.hint()),
            (Self::NoToken, _) => Some(
                "set OPS_RUNBOOK_MCP_TOKEN or give --token-file; `openssl rand -hex 32` makes one. --behind-proxy asks for \
                 none, where a proxy knows who may come in"
                    .into(),
            ),
            (Self::Interrupted(left), _) if left.unknown > 0 => {
                Some("the warehouse's query history shows what still runs, and can cancel it".into())
            }
            (_, Some(OpsError::NoIncident(_))) => Some("`ops-runbook incident list` shows which there are".into()),
            (Self::Config { .. }, _) => Some("repair it, or name another one".into()),
            (_, Some(OpsError::NoAlert(_))) => {
                Some("`ops-runbook escalations list --all` shows which there are".into())
            }
            (_, Some(OpsError::NoCause(_))) => Some("`ops-runbook causes list` shows which there are".into()),
            (_, Some(OpsError::NoEpisode(_))) => {
                Some("`ops-runbook recurrence list --all` shows which there are".into())
            }
            (_, Some(OpsError::Refused(refusal))) => Some(refusal.hint.clone()),
            (_, Some(OpsError::NoWorkspaceId)) => Some("give it with --workspace-id".into()),
            (_, Some(OpsError::NoAuditRow(_))) => Some("`ops-runbook audit list` shows which there are".into()),
            (_, Some(OpsError::OtherLake(_))) => Some(
                "--catalog and --schema must hold the tables of --lake; `tables register` makes them".into(),
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

fn warehouse_code(error: &StatementError) -> Code {
    match error {
        _ if error.is_conflict() => Code::TryAgain,
        _ if error.is_refusal() => Code::Refused,
        StatementError::Api(error) => workspace_code(error),
        StatementError::Cancelled { .. } | StatementError::Closed { .. } | StatementError::Incomplete { .. } => {
            Code::TryAgain
        }
        _ => Code::Failure,
    }
}

fn inbox_code(error: &InboxError) -> Code {
    match error {
        InboxError::Missing(_) => Code::NotFound,
        InboxError::Unfit(_) | InboxError::Root { .. } | InboxError::Place(_) => Code::Usage,
        InboxError::File { .. } | InboxError::Store(_) | InboxError::NoName(_) => Code::Failure,
    }
}

fn workspace_code(error: &ApiError) -> Code {
    match error {
        ApiError::Refused(_) => Code::Refused,
        ApiError::NotFound(_) => Code::NotFound,
        ApiError::Throttled(_) | ApiError::Unreachable(_) => Code::TryAgain,
        ApiError::NoToken(_) | ApiError::Unauthorised(_) | ApiError::Forbidden(_) | ApiError::Unexpected(_) => {
            Code::Failure
        }
    }
}

/// Tells an error once: what, why, what to do. On stderr, as text or as JSON.
pub fn report(failure: &Failure, output: &Output, redactor: &Redactor) -> ExitCode {
    // Whoever closed our output has read enough.
    if matches!(failure, Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe) {
        return Code::Success.into();
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
