//! Generic webhooks, which receive CloudEvents in JSON.

use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{self, HeaderValue};
use serde_json::Value;
use sha2::Sha256;

use super::{Address, DeliveryAttempt, HttpClient, Secret, http::exchange};
use crate::domain::{ids::hex, notification::DeliveryOutcome};

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/cloudevents+json; charset=utf-8");
/// Seconds since the epoch. A receiver that refuses old timestamps is protected against replayed requests.
const TIMESTAMP: &str = "X-Ops-Runbook-Timestamp";
/// `v1=` and the hexadecimal HMAC-SHA-256 of the timestamp, a full stop and the body.
const SIGNATURE: &str = "X-Ops-Runbook-Signature";
/// Has the same value on every attempt.
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// Sends an event. Every status of success is accepted.
pub(super) async fn send(
    http: &HttpClient,
    address: &Address,
    key: Option<&Secret>,
    event: &Value,
    attempt: DeliveryAttempt<'_>,
) -> DeliveryOutcome {
    let body = event.to_string();
    let timestamp = attempt.now.micros().div_euclid(1_000_000).to_string();
    let mut request = http.post(address.url()).header(header::CONTENT_TYPE, CONTENT_TYPE);
    request = request.header(IDEMPOTENCY_KEY, attempt.id);
    if let Some(signature) = key.and_then(|key| signature(key, &timestamp, body.as_bytes())) {
        request = request.header(SIGNATURE, signature);
    }
    match exchange(request.header(TIMESTAMP, timestamp).body(body), attempt.now).await {
        Ok(_) => DeliveryOutcome::Accepted { receipt: None, refused: None },
        Err(outcome) => outcome,
    }
}

/// Returns the signature. Never `None`: HMAC accepts keys of any length.
fn signature(key: &Secret, timestamp: &str, body: &[u8]) -> Option<String> {
    let mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()).ok()?;
    let mac = mac.chain_update(timestamp).chain_update(b".").chain_update(body);
    Some(format!("v1={}", hex(&mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_equals_the_one_of_openssl() {
        // printf '1700000000.{"id":"a"}' | openssl dgst -sha256 -hmac it-is-no-secret
        let key = Secret::new("it-is-no-secret").unwrap();
        assert_eq!(
            signature(&key, "1700000000", br#"{"id":"a"}"#).unwrap(),
            "v1=954eea119f9976f1910b86540d1d0ab4f15b732593cec0ae14d50c317847ebde"
        );
    }
}
