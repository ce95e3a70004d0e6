//! What people do in PagerDuty comes back: whoever acknowledges or resolves an incident there has dealt with our alert.
//!
//! A webhook of version 3 at `/pagerduty`, signed with a secret that the configuration refers to. Told again, it is recorded
//! once. What is not about an alert of this lake is accepted and left alone, so that PagerDuty does not send it for ever.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};

use super::server::Server;
use crate::{
    delivery::{
        Secret,
        incoming::{Incoming, SIGNATURE, verify},
    },
    domain::{
        delivery::alert_key,
        entry::Request,
        ids::{AlertRef, Id},
        problems::cut,
        steps::{AcknowledgeEscalation, ResolveEscalation},
        words::Interface,
    },
    lake::{LakeError, ledger::Submission},
    ops::{self, OpsError},
};

/// Bytes of a webhook, at most.
pub const MAX_BODY_BYTES: usize = 1 << 20;
/// Characters of the name of whoever did it.
const MAX_NAME: usize = 200;

type Answer = (StatusCode, &'static str);

/// What is signed with one of these secrets comes from PagerDuty.
#[derive(Debug, Clone)]
pub struct Door {
    pub server: Server,
    pub secrets: Arc<Vec<Secret>>,
}

pub async fn take(State(door): State<Door>, headers: HeaderMap, body: Bytes) -> Answer {
    let signatures: Vec<&str> = headers.get_all(SIGNATURE).iter().filter_map(|value| value.to_str().ok()).collect();
    // Each is looked at: how long it takes tells nothing.
    let signed = door.secrets.iter().flat_map(|secret| signatures.iter().map(|header| verify(header, &body, secret)));
    if !signed.fold(false, |found, is| found | is) {
        return (StatusCode::UNAUTHORIZED, "the signature is of no secret that is known here\n");
    }
    let Ok(incoming) = Incoming::parse(&body) else {
        return (StatusCode::BAD_REQUEST, "this is no webhook of version 3\n");
    };
    match record(&door.server, &incoming).await {
        Ok(answer) => answer,
        Err(error) => match refusal(&error) {
            Some(answer) => answer,
            None => (StatusCode::SERVICE_UNAVAILABLE, "it could not be recorded; send it again\n"),
        },
    }
}

async fn record(server: &Server, incoming: &Incoming) -> Result<Answer, OpsError> {
    const NOTHING: Answer = (StatusCode::OK, "nothing to record\n");
    let Some((key, alert)) = incoming.incident_key.as_deref().and_then(alert_of) else { return Ok(NOTHING) };
    // Every lake has an INC-1001: only the whole key says that it is ours.
    let (_, projections) = match ops::incident(server.lake(), alert.incident_id).await {
        Err(OpsError::NoIncident(_)) => return Ok(NOTHING),
        found => found?,
    };
    if !projections.escalation_events.iter().any(|event| event.dedup_key == key) {
        return Ok(NOTHING);
    }
    let Some(submission) = submission(server, incoming, alert)? else { return Ok(NOTHING) };
    let (ledger, follower) = server.writer().await?;
    let recorded = ledger.submit(submission).await?;
    if !recorded.known {
        // Whoever waits for the answer does not wait for what comes of it.
        tokio::spawn(async move { follower.of(recorded.receipt.seq).await });
    }
    Ok((StatusCode::OK, "recorded\n"))
}

/// Of a key under which an alert was told later, that of the alert.
fn alert_of(key: &str) -> Option<(&str, AlertRef)> {
    let key = alert_key(key);
    Some((key, key.parse().ok()?))
}

fn submission(server: &Server, incoming: &Incoming, alert: AlertRef) -> Result<Option<Submission>, OpsError> {
    let who = incoming.agent.as_deref().unwrap_or("somebody");
    let id = |text: String| Id::new(text).map_err(|why| LakeError::Corrupt(format!("a webhook's id {why}")));
    let actor = id(format!("pagerduty:{}", cut(who, MAX_NAME)))?;
    let request_id = Some(id(format!("pagerduty-{}", cut(&incoming.event_id, MAX_NAME)))?);
    let now = server.lake().context.now();
    // Its clock is not ours.
    let at = Some(incoming.occurred_at.min(now));
    let prepared = match incoming.event_type.as_str() {
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

/// Somebody was faster, or it cannot be: nothing that another attempt would change.
fn refusal(error: &OpsError) -> Option<Answer> {
    let error = match error {
        OpsError::Commit(error) => error.as_ref(),
        OpsError::Lake(error) => error,
        _ => return None,
    };
    matches!(error, LakeError::Refused(_) | LakeError::NoIncident(_) | LakeError::Corrupt(_))
        .then_some((StatusCode::OK, "nothing to record: the alert does not stand so\n"))
}
