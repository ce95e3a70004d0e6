//! Secrets in secret scopes of a workspace.

use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::Method;
use serde::Deserialize;

use super::{Client, error::ApiError};

const GET: [&str; 3] = ["2.0", "secrets", "get"];

#[derive(Deserialize)]
struct SecretResponse {
    /// Base64.
    value: String,
}

impl Client {
    /// Returns the bytes of a secret. The identity needs READ on its scope.
    ///
    /// # Errors
    /// [`ApiError`], which never quotes a response that may contain the secret.
    pub async fn secret(&self, scope: &str, key: &str) -> Result<Vec<u8>, ApiError> {
        let query = [("scope", scope.to_owned()), ("key", key.to_owned())];
        let answer = self.send(Method::GET, &GET, &query, None::<&()>).await?;
        let answer: Option<SecretResponse> = serde_json::from_slice(&answer.body).ok();
        let bytes = answer.and_then(|answer| BASE64_STANDARD.decode(answer.value).ok());
        bytes.ok_or_else(|| ApiError::Unexpected("the secret is not base64".into()))
    }
}
