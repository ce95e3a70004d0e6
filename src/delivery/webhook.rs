//! Webhooks of anybody, which take CloudEvents in JSON.

use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{self, HeaderValue};
use serde_json::Value;
use sha2::Sha256;

use super::{Address, Attempt, Http, Secret, http::exchange};
use crate::domain::{delivery::Outcome, ids::hex};

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/cloudevents+json; charset=utf-8");
/// Seconds since the epoch: a receiver that refuses old ones cannot be sent the same again by others.
const TIMESTAMP: &str = "X-Ops-Runbook-Timestamp";
/// `v1=` and the hexadecimal HMAC-SHA-256 of the timestamp, a full stop and the body.
const SIGNATURE: &str = "X-Ops-Runbook-Signature";
/// The same on every attempt.
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// Any success will do.
pub(super) async fn send(
    http: &Http,
    address: &Address,
    key: Option<&Secret>,
    event: &Value,
    attempt: Attempt<'_>,
) -> Outcome {
    let body = event.to_string();
    let timestamp = attempt.now.micros().div_euclid(1_000_000).to_string();
    let mut request = http.post(address.url()).header(header::CONTENT_TYPE, CONTENT_TYPE);
    request = request.header(IDEMPOTENCY_KEY, attempt.id);
    if let Some(signature) = key.and_then(|key| signature(key, &timestamp, body.as_bytes())) {
        request = request.header(SIGNATURE, signature);
    }
    match exchange(request.header(TIMESTAMP, timestamp).body(body), attempt.now).await {
        Ok(_) => Outcome::Accepted { receipt: None, refused: None },
        Err(outcome) => outcome,
    }
}

/// `None` never happens: a key of any length will do.
fn signature(key: &Secret, timestamp: &str, body: &[u8]) -> Option<String> {
    let mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()).ok()?;
    let mac = mac.chain_update(timestamp).chain_update(b".").chain_update(body);
    Some(format!("v1={}", hex(&mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_openssl_makes_of_it() {
        // printf '1700000000.{"id":"a"}' | openssl dgst -sha256 -hmac it-is-no-secret
        let key = Secret::new("it-is-no-secret").unwrap();
        assert_eq!(
            signature(&key, "1700000000", br#"{"id":"a"}"#).unwrap(),
            "v1=954eea119f9976f1910b86540d1d0ab4f15b732593cec0ae14d50c317847ebde"
        );
    }
}
