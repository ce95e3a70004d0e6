//! Temporary credentials that a workspace vends, for clients of object stores.

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
        storage::{StorageScope, StorageSecret, TemporaryCredentials},
    },
    lake::{Context, cloud::StoreCredentials, location::CatalogLocation},
};

/// Credentials are replaced this long before they expire, or after two thirds of a shorter lifetime.
const REPLACE_BEFORE_EXPIRY: Duration = Duration::from_secs(300);
/// The assumed lifetime of credentials without an expiry: the shortest lifetime at Amazon.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(900);
/// The time after which a failed replacement is tried again. The old credentials are used until they expire.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Vended credentials and their expiry.
#[derive(Debug)]
struct VendedCredentials {
    secret: StorageSecret,
    /// `None`: the expiry is unknown.
    expires_at: Option<Instant>,
    /// When they are to be replaced.
    replace_at: Instant,
}

/// Requests credentials for one location from the workspace, one request at a time. Concurrent callers wait for its result.
#[derive(Debug)]
pub struct CredentialVendor {
    workspace: Client,
    location: CatalogLocation,
    scope: StorageScope,
    current: Mutex<Option<VendedCredentials>>,
    /// The number of credentials that were vended so far.
    issued: AtomicU64,
}

impl CredentialVendor {
    pub fn new(workspace: Client, location: CatalogLocation, scope: StorageScope) -> Self {
        Self { workspace, location, scope, current: Mutex::new(None), issued: AtomicU64::new(0) }
    }

    /// Returns the number of the current credentials. It grows with each replacement.
    pub fn generation(&self) -> u64 {
        self.issued.load(Ordering::Acquire)
    }

    /// Discards credentials that a store rejected, unless they have been replaced since.
    pub async fn discard(&self, generation: u64) {
        let mut current = self.current.lock().await;
        if self.generation() == generation {
            *current = None;
        }
    }

    /// Returns a credential provider for a client, of the kind that the workspace vends.
    ///
    /// # Errors
    /// [`CatalogError::NoCredentials`].
    pub async fn credentials(self: Arc<Self>) -> Result<StoreCredentials, CatalogError> {
        Ok(match self.secret().await? {
            StorageSecret::Aws { .. } => StoreCredentials::Aws(Arc::new(Aws(self))),
            StorageSecret::AzureSas(_) | StorageSecret::AzureToken(_) => StoreCredentials::Azure(Arc::new(Azure(self))),
            StorageSecret::Google(_) => StoreCredentials::Google(Arc::new(Google(self))),
        })
    }

    async fn secret(&self) -> Result<StorageSecret, CatalogError> {
        let mut current = self.current.lock().await;
        let now = Instant::now();
        if let Some(current) = current.as_ref().filter(|current| now < current.replace_at) {
            return Ok(current.secret.clone());
        }
        match self.workspace.temporary_credentials(&self.scope).await {
            Ok(issued) => {
                self.issued.fetch_add(1, Ordering::Release);
                Ok(current.insert(VendedCredentials::new(issued, now)).secret.clone())
            }
            Err(source) => {
                match current.as_mut().filter(|current| current.expires_at.is_none_or(|expiry| Instant::now() < expiry))
                {
                    Some(current) => {
                        current.replace_at = Instant::now() + RETRY_AFTER;
                        Ok(current.secret.clone())
                    }
                    None => Err(self.refused(source).await),
                }
            }
        }
    }

    async fn refused(&self, source: ApiError) -> CatalogError {
        let advice = match source {
            // The location was resolved before, so the API itself is missing.
            ApiError::NotFound(_) => None,
            _ => grants::advice_for(&self.workspace, &self.location, &source).await,
        };
        let storage = match &self.scope {
            StorageScope::Path(url) => url.clone(),
            StorageScope::Volume(_) => self.location.to_string(),
        };
        CatalogError::NoCredentials { storage, advice, source }
    }
}

impl VendedCredentials {
    fn new(issued: TemporaryCredentials, asked: Instant) -> Self {
        let now = Context::system().now().utc().timestamp_millis();
        let left = issued
            .expiration_time
            .map(|end| Duration::from_millis(u64::try_from(end.saturating_sub(now)).unwrap_or(0)));
        Self {
            secret: issued.secret,
            expires_at: left.map(|left| asked + left),
            replace_at: asked + replace_after(left.unwrap_or(DEFAULT_LIFETIME)),
        }
    }
}

/// Returns how long credentials that expire after `left` are used before they are replaced.
fn replace_after(left: Duration) -> Duration {
    left - REPLACE_BEFORE_EXPIRY.min(left / 3)
}

fn credential_kind_changed() -> object_store::Error {
    object_store::Error::NotSupported { source: "the workspace vends credentials of another kind than before".into() }
}

#[derive(Debug)]
struct Aws(Arc<CredentialVendor>);

#[async_trait::async_trait]
impl CredentialProvider for Aws {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> Result<Arc<AwsCredential>> {
        match self.0.secret().await? {
            StorageSecret::Aws { access_key_id, secret_access_key, session_token } => Ok(Arc::new(AwsCredential {
                key_id: access_key_id,
                secret_key: secret_access_key,
                token: Some(session_token),
            })),
            _ => Err(credential_kind_changed()),
        }
    }
}

#[derive(Debug)]
struct Azure(Arc<CredentialVendor>);

#[async_trait::async_trait]
impl CredentialProvider for Azure {
    type Credential = AzureCredential;

    async fn get_credential(&self) -> Result<Arc<AzureCredential>> {
        match self.0.secret().await? {
            StorageSecret::AzureSas(query) => {
                let pairs = form_urlencoded::parse(query.trim_start_matches('?').as_bytes());
                Ok(Arc::new(AzureCredential::SASToken(pairs.into_owned().collect())))
            }
            StorageSecret::AzureToken(token) => Ok(Arc::new(AzureCredential::BearerToken(token))),
            _ => Err(credential_kind_changed()),
        }
    }
}

#[derive(Debug)]
struct Google(Arc<CredentialVendor>);

#[async_trait::async_trait]
impl CredentialProvider for Google {
    type Credential = GcpCredential;

    async fn get_credential(&self) -> Result<Arc<GcpCredential>> {
        match self.0.secret().await? {
            StorageSecret::Google(bearer) => Ok(Arc::new(GcpCredential { bearer })),
            _ => Err(credential_kind_changed()),
        }
    }
}

#[cfg(test)]
mod tests;
