//! Credentials that a workspace lends for a while, as clients of object stores ask for them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use object_store::{CredentialProvider, Result, aws::AwsCredential, azure::AzureCredential, gcp::GcpCredential};
use tokio::sync::Mutex;
use url::form_urlencoded;

use super::{CatalogError, grants};
use crate::{
    databricks::{
        Client,
        error::ApiError,
        storage::{Secret, StorageScope, TemporaryCredentials},
    },
    lake::{Context, cloud::Credentials, location::CatalogPlace},
};

/// So long before their end credentials are replaced, or after two thirds of a shorter life.
const BEFORE_END: Duration = Duration::from_secs(300);
/// The life of credentials that do not say when they end: the shortest that Amazon gives.
const SHORTEST_LIFE: Duration = Duration::from_secs(900);
/// When replacing them failed, they are used until their end, and the workspace is asked again after this.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// Credentials, and until when.
#[derive(Debug)]
struct Lent {
    secret: Secret,
    /// `None`: it is not known.
    ends: Option<Instant>,
    /// From then on they are replaced.
    due: Instant,
}

/// Asks for credentials for one place, one request at a time; requests that come meanwhile wait for that answer.
#[derive(Debug)]
pub struct Lending {
    workspace: Client,
    place: CatalogPlace,
    scope: StorageScope,
    lent: Mutex<Option<Lent>>,
    /// How many credentials were given so far.
    given: AtomicU64,
}

impl Lending {
    pub fn new(workspace: Client, place: CatalogPlace, scope: StorageScope) -> Self {
        Self { workspace, place, scope, lent: Mutex::new(None), given: AtomicU64::new(0) }
    }

    /// Which credentials are in use: of later ones it is greater.
    pub fn generation(&self) -> u64 {
        self.given.load(Ordering::Acquire)
    }

    /// Gives up credentials that a store did not accept, unless they have been replaced since.
    pub async fn give_up(&self, generation: u64) {
        let mut lent = self.lent.lock().await;
        if self.generation() == generation {
            *lent = None;
        }
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
        match self.workspace.temporary_credentials(&self.scope).await {
            Ok(given) => {
                self.given.fetch_add(1, Ordering::Release);
                Ok(lent.insert(Lent::new(given, now)).secret.clone())
            }
            Err(source) => match lent.as_mut().filter(|lent| lent.ends.is_none_or(|ends| Instant::now() < ends)) {
                Some(lent) => {
                    lent.due = Instant::now() + ASK_AGAIN;
                    Ok(lent.secret.clone())
                }
                None => Err(self.refused(source).await),
            },
        }
    }

    async fn refused(&self, source: ApiError) -> CatalogError {
        let advice = match source {
            // The place was found before: it is the API that is missing.
            ApiError::NotFound(_) => None,
            _ => grants::advice_for(&self.workspace, &self.place, &source).await,
        };
        let storage = match &self.scope {
            StorageScope::Path(url) => url.clone(),
            StorageScope::Volume(_) => self.place.to_string(),
        };
        CatalogError::NoCredentials { storage, advice, source }
    }
}

impl Lent {
    fn new(given: TemporaryCredentials, asked: Instant) -> Self {
        let now = Context::system().now().utc().timestamp_millis();
        let left =
            given.expiration_time.map(|end| Duration::from_millis(u64::try_from(end.saturating_sub(now)).unwrap_or(0)));
        Self {
            secret: given.secret,
            ends: left.map(|left| asked + left),
            due: asked + replaced_after(left.unwrap_or(SHORTEST_LIFE)),
        }
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
