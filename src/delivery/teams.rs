//! Teams: workflows that begin with a webhook, and the connectors they replace.

use serde_json::Value;

use super::{Address, Attempt, Http, http::exchange};
use crate::domain::delivery::Outcome;

/// A run of a workflow.
const RUN: &str = "x-ms-workflow-run-id";
/// Connectors answer 200 for what Teams did not take, and say so after these words.
const NOT_TAKEN: &str = "endpoint returned HTTP error ";

/// The receipt is the run of the workflow, which may fail later all the same.
pub(super) async fn send(http: &Http, address: &Address, message: &Value, attempt: Attempt<'_>) -> Outcome {
    let answer = match exchange(http.post_json(address.url(), message), attempt.now).await {
        Ok(answer) => answer,
        Err(outcome) => return outcome,
    };
    if let Some((_, rest)) = answer.text().split_once(NOT_TAKEN) {
        let code = rest.get(..3).unwrap_or_default();
        let reason = format!("Teams answers {code} to its connector");
        let passes = code == "429" || code.starts_with('5');
        return if passes { Outcome::NotNow { reason, after_s: answer.after_s } } else { Outcome::Refused { reason } };
    }
    if !matches!(answer.status.as_u16(), 200 | 202) || answer.text().starts_with('<') {
        return answer.unexpected();
    }
    let run = answer.headers.get(RUN).and_then(|value| value.to_str().ok());
    Outcome::Accepted { receipt: run.map(str::to_owned), refused: None }
}
