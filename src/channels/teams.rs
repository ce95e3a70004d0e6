//! Teams: workflows with a webhook trigger, and the connectors that they replace.

use serde_json::Value;

use super::{Address, DeliveryAttempt, HttpClient, http::exchange};
use crate::domain::notification::DeliveryOutcome;

/// The header with the id of the workflow's run.
const RUN: &str = "x-ms-workflow-run-id";
/// A connector returns status 200 even if Teams rejected the message. The status of Teams follows this text.
const REJECTED: &str = "endpoint returned HTTP error ";

/// Sends a message. The receipt is the id of the workflow's run, which can still fail later.
pub(super) async fn send(
    http: &HttpClient,
    address: &Address,
    message: &Value,
    attempt: DeliveryAttempt<'_>,
) -> DeliveryOutcome {
    let answer = match exchange(http.post_json(address.url(), message), attempt.now).await {
        Ok(answer) => answer,
        Err(outcome) => return outcome,
    };
    if let Some((_, rest)) = answer.text().split_once(REJECTED) {
        let code = rest.get(..3).unwrap_or_default();
        let reason = format!("Teams answered {code} to its connector");
        let is_temporary = code == "429" || code.starts_with('5');
        return if is_temporary {
            DeliveryOutcome::RetryLater { reason, after_s: answer.after_s }
        } else {
            DeliveryOutcome::Refused { reason }
        };
    }
    if !matches!(answer.status.as_u16(), 200 | 202) || answer.text().starts_with('<') {
        return answer.unexpected();
    }
    let run = answer.headers.get(RUN).and_then(|value| value.to_str().ok());
    DeliveryOutcome::Accepted { receipt: run.map(str::to_owned), refused: None }
}
