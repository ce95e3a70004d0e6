//! What a tool says, or why it could not, in words that say what to change.

use std::{error::Error, sync::Arc};

use rmcp::model::{CallToolResult, ContentBlock};
use serde::Serialize;
use serde_json::Value;

use crate::{
    domain::{problems::Problem, redact::Redactor},
    lake::LakeError,
    ops::OpsError,
    render::plain,
};

/// The same twice: to be shown, and to be worked with.
#[derive(Debug)]
pub struct Said {
    /// One block each, in the order in which they are read.
    pub texts: Vec<String>,
    pub content: Value,
}

impl Said {
    pub fn new(texts: impl IntoIterator<Item = String>, content: &impl Serialize) -> Result<Self, Wrong> {
        let content =
            serde_json::to_value(content).map_err(|error| Wrong::Failed(Arc::new(LakeError::from(error).into())))?;
        Ok(Self { texts: texts.into_iter().collect(), content })
    }
}

impl From<Said> for CallToolResult {
    fn from(said: Said) -> Self {
        let mut result = Self::success(said.texts.into_iter().map(ContentBlock::text).collect());
        result.structured_content = Some(said.content);
        result
    }
}

/// Why a tool said nothing else.
#[derive(Debug)]
pub enum Wrong {
    /// What was handed in. Nothing was recorded.
    Input(Vec<Problem>),
    /// The call was cancelled. What was handed in before may be recorded all the same.
    Cancelled,
    Failed(Arc<OpsError>),
}

impl<E: Into<OpsError>> From<E> for Wrong {
    fn from(error: E) -> Self {
        Self::Failed(Arc::new(error.into()))
    }
}

impl Wrong {
    /// One thing that is wrong with what was handed in.
    pub fn with(pointer: &str, message: impl Into<String>, hint: &str) -> Self {
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        Self::Input(vec![Problem { pointer: pointer.into(), message: message.into(), hint }])
    }

    pub fn result(&self, redactor: &Redactor) -> CallToolResult {
        CallToolResult::error(vec![ContentBlock::text(self.text(redactor))])
    }

    pub fn text(&self, redactor: &Redactor) -> String {
        let safe = |text: String| plain::line(&redactor.text(&text)).into_owned();
        match self {
            Self::Input(problems) => {
                let mut text = String::from("refused; nothing was recorded. Correct this and call again:");
                for problem in problems {
                    text.push_str(&format!("\n- {}", safe(problem.to_string())));
                }
                text
            }
            Self::Cancelled => {
                "cancelled. What was handed in may be recorded all the same: the same call again tells, and records nothing twice"
                    .into()
            }
            Self::Failed(error) => {
                let mut text = format!("error: {}", safe(error.to_string()));
                let mut source = error.source();
                while let Some(cause) = source {
                    let told = safe(cause.to_string());
                    if !text.ends_with(&told) {
                        text.push_str(&format!("\nbecause: {told}"));
                    }
                    source = cause.source();
                }
                if let Some(hint) = hint(error) {
                    text.push_str(&format!("\nhint: {}", safe(hint)));
                }
                text
            }
        }
    }
}

/// What an agent can do about it.
fn hint(error: &OpsError) -> Option<String> {
    let lake = |error: &LakeError| match error {
        LakeError::NoLake(_) => Some("record_report or open_incident makes one".into()),
        LakeError::NoIncident(_) => Some("search_incidents finds which there are".into()),
        LakeError::OutcomeUnknown { .. } | LakeError::TooBusy { .. } | LakeError::Stopped => {
            Some("make the same call again: it is recorded once".into())
        }
        error => error.hint(),
    };
    match error {
        OpsError::Lake(error) => lake(error),
        OpsError::Commit(error) => lake(error),
        OpsError::Query(error) => error.hint(),
        OpsError::Workspace(error) => error.hint(),
        OpsError::Inbox(error) => error.hint(),
        OpsError::Refused(refusal) => Some(refusal.hint.clone()),
        OpsError::NoIncident(_) => Some("search_incidents finds which there are".into()),
        OpsError::NoAlert(_) => Some("list_escalations shows which there are".into()),
        OpsError::NoCause(_) => Some("give the cause in words, or run_query cause_counts".into()),
        OpsError::NoEpisode(_) => Some("list_recurring shows which there are".into()),
        OpsError::NoVersion(_) => Some("get_runbook without a version gives the latest".into()),
        OpsError::NoQuery(_) => {
            let names: Vec<&str> = crate::ops::question::known().map(|(name, ..)| name).collect();
            Some(format!("there are {}", names.join(", ")))
        }
        OpsError::NoAuditRow(_)
        | OpsError::NoWorkspaceId
        | OpsError::OtherLake(_)
        | OpsError::DifferentTables { .. } => None,
    }
}
