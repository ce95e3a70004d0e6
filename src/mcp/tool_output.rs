//! The result of a tool call: content, or an error with a hint.

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

/// The output of a tool, as text and as structured content.
#[derive(Debug)]
pub struct ToolOutput {
    /// The content blocks, in reading order.
    pub texts: Vec<String>,
    pub content: Value,
}

impl ToolOutput {
    pub fn new(texts: impl IntoIterator<Item = String>, content: &impl Serialize) -> Result<Self, ToolError> {
        let content = serde_json::to_value(content)
            .map_err(|error| ToolError::Failed(Arc::new(LakeError::from(error).into())))?;
        Ok(Self { texts: texts.into_iter().collect(), content })
    }
}

impl From<ToolOutput> for CallToolResult {
    fn from(output: ToolOutput) -> Self {
        let mut result = Self::success(output.texts.into_iter().map(ContentBlock::text).collect());
        result.structured_content = Some(output.content);
        result
    }
}

/// An error of a tool call.
#[derive(Debug)]
pub enum ToolError {
    /// The arguments are invalid. Nothing was recorded.
    Input(Vec<Problem>),
    /// The call was cancelled. Its request may be recorded all the same.
    Cancelled,
    Failed(Arc<OpsError>),
}

impl<E: Into<OpsError>> From<E> for ToolError {
    fn from(error: E) -> Self {
        Self::Failed(Arc::new(error.into()))
    }
}

impl ToolError {
    /// Returns an input error with one problem.
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
                "cancelled; the request may be recorded all the same. Repeat the same call to find out: it is recorded only once"
                    .into()
            }
            Self::Failed(error) => {
                let mut text = format!("error: {}", safe(error.to_string()));
                let mut source = error.source();
                while let Some(cause) = source {
                    let cause_text = safe(cause.to_string());
                    if !text.ends_with(&cause_text) {
                        text.push_str(&format!("\nbecause: {cause_text}"));
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

/// Returns what an agent can do about the error.
fn hint(error: &OpsError) -> Option<String> {
    let lake = |error: &LakeError| match error {
        LakeError::NoLake(_) => Some("record_report or open_incident creates one".into()),
        LakeError::NoIncident(_) => Some("search_incidents lists the incidents".into()),
        LakeError::OutcomeUnknown { .. } | LakeError::TooBusy { .. } | LakeError::Stopped => {
            Some("repeat the same call: it is recorded only once".into())
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
        OpsError::NoIncident(_) => Some("search_incidents lists the incidents".into()),
        OpsError::NoAlert(_) => Some("list_escalations lists the alerts".into()),
        OpsError::NoCause(_) => Some("give the text of the cause, or call run_query with cause_counts".into()),
        OpsError::NoEpisode(_) => Some("list_recurring lists the recurring issues".into()),
        OpsError::UnknownVersion(_) => Some("get_runbook without a version gives the latest".into()),
        OpsError::NoQuery(_) => {
            let names: Vec<&str> = crate::ops::named_query::known().map(|(name, ..)| name).collect();
            Some(format!("known queries and views: {}", names.join(", ")))
        }
        OpsError::NoAuditRow(_)
        | OpsError::NoWorkspaceId
        | OpsError::OtherLake(_)
        | OpsError::DifferentTables { .. } => None,
    }
}
