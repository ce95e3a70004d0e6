//! Credentials that a workspace lends for a while, as clients of object stores ask for them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use object_store::{CredentialProvider, Result, aws::AwsCredential, azure::AzureCredential, gcp::GcpCredential};
use tokio::sync::Mutex;
use url::form_urlencoded;

use super::CatalogError;
use crate::{
    databricks::{
        Client,
        storage::{PathCredentials, Secret},
    },
    lake::{Context, cloud::Credentials},
};

/// So long before their end credentials are replaced, or after two thirds of a shorter life.
const BEFORE_END: Duration = Duration::from_secs(300);
/// When replacing them failed, they are used until their end, and the workspace is asked again after this.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// Credentials, and until when.
#[derive(Debug)]
struct Lent {
    secret: Secret,
    ends: Instant,
    /// From then on they are replaced.
    due: Instant,
}

/// Asks for credentials for one place, one request at a time; whoever comes meanwhile waits for that answer.
#[derive(Debug)]
pub struct Lending {
    workspace: Client,
    url: String,
    lent: Mutex<Option<Lent>>,
}

impl Lending {
    pub fn new(workspace: Client, url: String) -> Self {
        Self { workspace, url, lent: Mutex::new(None) }
    }

    /// Whoever asks for credentials in the name of a client, by the kind that the workspace gives.
    ///
    /// # Errors
    /// [`CatalogError::NoCredentials`].
    pub async fn credentials(self: Arc<Self>) -> Result<Credentials, CatalogError> {
        Ok(match self.secret().await? {
            Secret::Aws { .. } => Credentials::Aws(Arc::new(Aws(self))),
            Secret::AzureSas(_) | Secret::AzureToken(_) => Credentials::Azure(Arc::new(Azure(self))),
            Secret::Google(_) => Credentials::Google(Arc::new(Google(self))),
        })
    }

    async fn secret(&self) -> Result<Secret, CatalogError> {
        let mut lent = self.lent.lock().await;
        let now = Instant::now();
        if let Some(lent) = lent.as_ref().filter(|lent| now < lent.due) {
            return Ok(lent.secret.clone());
        }
        match self.workspace.path_credentials(&self.url).await {
            Ok(given) => Ok(lent.insert(Lent::new(given, now)).secret.clone()),
            Err(source) => match lent.as_mut().filter(|lent| Instant::now() < lent.ends) {
                Some(lent) => {
                    lent.due = Instant::now() + ASK_AGAIN;
                    Ok(lent.secret.clone())
                }
                None => Err(CatalogError::NoCredentials { place: self.url.clone(), source }),
            },
        }
    }
}

impl Lent {
    fn new(given: PathCredentials, asked: Instant) -> Self {
        let left = given.expiration_time - Context::system().now().utc().timestamp_millis();
        let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
        Self { secret: given.secret, ends: asked + left, due: asked + replaced_after(left) }
    }
}

/// How long credentials that end after `left` are used before they are replaced.
fn replaced_after(left: Duration) -> Duration {
    left - BEFORE_END.min(left / 3)
}

fn another_kind() -> object_store::Error {
    object_store::Error::NotSupported { source: "the workspace gives credentials of another kind than before".into() }
}

#[derive(Debug)]
struct Aws(Arc<Lending>);

#[async_trait::async_trait]
impl CredentialProvider for Aws {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> Result<Arc<AwsCredential>> {
        match self.0.secret().await? {
            Secret::Aws { access_key_id, secret_access_key, session_token } => Ok(Arc::new(AwsCredential {
                key_id: access_key_id,
                secret_key: secret_access_key,
                token: Some(session_token),
            })),
            _ => Err(another_kind()),
        }
    }
}

#[derive(Debug)]
struct Azure(Arc<Lending>);

#[async_trait::async_trait]
impl CredentialProvider for Azure {
    type Credential = AzureCredential;

    async fn get_credential(&self) -> Result<Arc<AzureCredential>> {
        match self.0.secret().await? {
            Secret::AzureSas(query) => {
                let pairs = form_urlencoded::parse(query.trim_start_matches('?').as_bytes());
                Ok(Arc::new(AzureCredential::SASToken(pairs.into_owned().collect())))
            }
            Secret::AzureToken(token) => Ok(Arc::new(AzureCredential::BearerToken(token))),
            _ => Err(another_kind()),
        }
    }
}

#[derive(Debug)]
struct Google(Arc<Lending>);

#[async_trait::async_trait]
impl CredentialProvider for Google {
    type Credential = GcpCredential;

    async fn get_credential(&self) -> Result<Arc<GcpCredential>> {
        match self.0.secret().await? {
            Secret::Google(bearer) => Ok(Arc::new(GcpCredential { bearer })),
            _ => Err(another_kind()),
        }
    }
}

#[cfg(test)]
mod tests;
