//! Webhooks from PagerDuty: an incident that is acknowledged or resolved there acknowledges or resolves the alert here.
//!
//! The endpoint `/pagerduty` accepts webhooks of version 3, signed with a secret of the configuration. A repeated webhook is
//! recorded once. A webhook about no alert of this lake is answered with success, or PagerDuty would repeat it.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};

use super::server::Server;
use crate::{
    channels::{
        Secret,
        pagerduty_webhook::{PagerDutyWebhook, SIGNATURE, verify_signature},
    },
    domain::{
        entry::Request,
        ids::{AlertRef, Id},
        interface::Interface,
        notification::alert_key,
        problems::cut,
        steps::{AcknowledgeEscalation, ResolveEscalation},
    },
    lake::{LakeError, ledger::Submission},
    ops::{self, OpsError},
};

/// Maximum size of a webhook body, in bytes.
pub const MAX_BODY_BYTES: usize = 1 << 20;
/// Maximum length of a person's name, in characters.
const MAX_NAME: usize = 200;

type WebhookResponse = (StatusCode, &'static str);

/// The state of the endpoint: the server, and the secrets that PagerDuty signs with.
#[derive(Debug, Clone)]
pub struct WebhookReceiver {
    pub server: Server,
    pub secrets: Arc<Vec<Secret>>,
}

pub async fn take(State(receiver): State<WebhookReceiver>, headers: HeaderMap, body: Bytes) -> WebhookResponse {
    let signatures: Vec<&str> = headers.get_all(SIGNATURE).iter().filter_map(|value| value.to_str().ok()).collect();
    // All signatures are checked: the duration does not depend on the valid one.
    let signed = receiver
        .secrets
        .iter()
        .flat_map(|secret| signatures.iter().map(|header| verify_signature(header, &body, secret)));
    if !signed.fold(false, |any_valid, is_valid| any_valid | is_valid) {
        return (StatusCode::UNAUTHORIZED, "the signature matches no configured secret\n");
    }
    let Ok(webhook) = PagerDutyWebhook::parse(&body) else {
        return (StatusCode::BAD_REQUEST, "the body is not a PagerDuty webhook of version 3\n");
    };
    match record(&receiver.server, &webhook).await {
        Ok(answer) => answer,
        Err(error) => match refusal(&error) {
            Some(answer) => answer,
            None => (StatusCode::SERVICE_UNAVAILABLE, "the event could not be recorded; send it again\n"),
        },
    }
}

async fn record(server: &Server, webhook: &PagerDutyWebhook) -> Result<WebhookResponse, OpsError> {
    const NOTHING: WebhookResponse = (StatusCode::OK, "nothing to record\n");
    let Some((key, alert)) = webhook.incident_key.as_deref().and_then(alert_of) else { return Ok(NOTHING) };
    // Incident ids repeat across lakes. The complete key identifies an alert of this lake.
    let (_, projections) = match ops::incident(server.lake(), alert.incident_id).await {
        Err(OpsError::NoIncident(_)) => return Ok(NOTHING),
        found => found?,
    };
    if !projections.escalation_events.iter().any(|event| event.dedup_key == key) {
        return Ok(NOTHING);
    }
    let Some(submission) = submission(server, webhook, alert)? else { return Ok(NOTHING) };
    let (ledger, tracker) = server.writer().await?;
    let recorded = ledger.submit(submission).await?;
    if !recorded.known {
        // The response does not wait for projection and escalation.
        tokio::spawn(async move { tracker.of(recorded.receipt.seq).await });
    }
    Ok((StatusCode::OK, "recorded\n"))
}

/// Returns the alert of a dedup key. Keys of repeated notifications are mapped to the key of the alert.
fn alert_of(key: &str) -> Option<(&str, AlertRef)> {
    let key = alert_key(key);
    Some((key, key.parse().ok()?))
}

fn submission(server: &Server, webhook: &PagerDutyWebhook, alert: AlertRef) -> Result<Option<Submission>, OpsError> {
    let who = webhook.agent.as_deref().unwrap_or("unknown");
    let id = |text: String| Id::new(text).map_err(|why| LakeError::Corrupt(format!("a webhook's id {why}")));
    let actor = id(format!("pagerduty:{}", cut(who, MAX_NAME)))?;
    let request_id = Some(id(format!("pagerduty-{}", cut(&webhook.event_id, MAX_NAME)))?);
    let now = server.lake().context.now();
    // PagerDuty's clock may be ahead of ours.
    let at = Some(webhook.occurred_at.min(now));
    let prepared = match webhook.event_type.as_str() {
        "incident.acknowledged" => prepare(server, AcknowledgeEscalation { alert, actor, at, request_id }),
        "incident.resolved" => prepare(server, ResolveEscalation { alert, actor, at, request_id }),
        _ => return Ok(None),
    };
    prepared.map(Some)
}

fn prepare<S>(server: &Server, step: S) -> Result<Submission, OpsError>
where
    S: crate::domain::steps::Step + schemars::JsonSchema + Into<Request>,
{
    let now = server.lake().context.now();
    ops::prepare_step(step, server.redactor(), now, Interface::Pagerduty)
        .map_err(|problems| LakeError::Corrupt(format!("a webhook makes no request: {problems:?}")).into())
}

/// Returns the response to an error that a retry would not change, such as a status that does not allow the event.
fn refusal(error: &OpsError) -> Option<WebhookResponse> {
    let error = match error {
        OpsError::Commit(error) => error.as_ref(),
        OpsError::Lake(error) => error,
        _ => return None,
    };
    matches!(error, LakeError::Refused(_) | LakeError::NoIncident(_) | LakeError::Corrupt(_))
        .then_some((StatusCode::OK, "nothing to record: the status of the alert does not allow it\n"))
}
