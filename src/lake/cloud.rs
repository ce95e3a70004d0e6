//! Clients of S3, Azure and Google storage.
//!
//! A client retries requests after 429, 5xx or a broken connection, up to [`MAX_RETRIES`] times. A put-if-absent is retried too: it
//! may have succeeded and then be refused because of its own file (412, or 409 on Azure and from S3 when two come at once). Only a
//! put-if-absent that timed out is never retried. On Google it is retried only while the file does not exist: see [`google`].
//! So no error says whether a commit is stored: after every error `Table::commit` reads the commit and compares its id.

mod azure;
mod google;

use std::{collections::BTreeMap, fmt, fs, str::FromStr, sync::Arc, time::Duration};

use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredentialProvider, S3ConditionalPut},
    azure::{AzureConfigKey, AzureCredentialProvider, MicrosoftAzureBuilder},
    client::{HttpConnector, ReqwestConnector},
    gcp::{GcpCredentialProvider, GoogleCloudStorageBuilder, GoogleConfigKey},
};
use url::Url;

use super::{
    LakeError, Result,
    location::{EXAMPLES, Location, StorageAccount},
};
use crate::domain::host::is_local;
use azure::AzureStore;
use google::GoogleStore;

/// The time-out of a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The default time-out of a request, including the body of the response, which may be a merged file of 32 MiB.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The client's retries of a request, and the time after which it stops. Both are small: callers retry important requests.
const MAX_RETRIES: usize = 5;
const RETRY_TIMEOUT: Duration = Duration::from_secs(20);
/// The pause before the first retry, and the longest pause.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// Variables with a Google service account: the path of its file, or its content.
const GOOGLE_FILES: [&str; 2] = ["GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH"];
const GOOGLE_KEY: &str = "GOOGLE_SERVICE_ACCOUNT_KEY";

/// Names and values of environment variables for clients of object stores. Values are never printed.
#[derive(Clone, Default)]
pub struct StoreVariables(BTreeMap<String, String>);

impl fmt::Debug for StoreVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl FromIterator<(String, String)> for StoreVariables {
    /// Keeps the variables of object stores. An empty value counts as not set.
    fn from_iter<T: IntoIterator<Item = (String, String)>>(all: T) -> Self {
        let known = |name: &str| ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|prefix| name.starts_with(prefix));
        Self(all.into_iter().filter(|(name, value)| known(name) && !value.trim().is_empty()).collect())
    }
}

impl StoreVariables {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns the storage account of locations that name none.
    pub fn azure_account(&self) -> Option<&str> {
        self.get("AZURE_STORAGE_ACCOUNT_NAME")
    }

    fn any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.0.contains_key(*name))
    }

    /// Returns the variables that a builder supports. Other variables are ignored.
    fn settings<K: FromStr>(&self, prefix: &str) -> impl Iterator<Item = (K, &str)> {
        let own = self.0.iter().filter(move |(name, _)| name.starts_with(prefix));
        own.filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value.as_str())))
    }

    /// Returns the variables without credentials, for credentials from another source.
    fn without_credentials(&self) -> Self {
        const WHERE: [&str; 8] = [
            "AWS_ENDPOINT",
            "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_S3",
            "AWS_REGION",
            "AWS_DEFAULT_REGION",
            "AZURE_STORAGE_ENDPOINT",
            "AZURE_ENDPOINT",
            "GOOGLE_BASE_URL",
        ];
        Self(
            self.0
                .iter()
                .filter(|(name, _)| WHERE.contains(&name.as_str()))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
        )
    }
}

/// Credentials that do not come from the environment.
#[derive(Debug, Clone)]
pub enum StoreCredentials {
    Aws(AwsCredentialProvider),
    Azure(AzureCredentialProvider),
    Google(GcpCredentialProvider),
}

/// Returns a client of the store that holds `location`, rooted at its bucket or container. Makes no request. `timeout` is the
/// time-out of a request, by default 30 s.
///
/// # Errors
/// [`LakeError::BadSetting`], which names the variable to set.
pub fn open(
    location: &Location,
    variables: &StoreVariables,
    credentials: Option<&StoreCredentials>,
    timeout: Option<Duration>,
) -> Result<Arc<dyn ObjectStore>> {
    let opening = StoreBuilder {
        location,
        variables: credentials.map_or_else(|| variables.clone(), |_| variables.without_credentials()),
        credentials,
        timeout: timeout.unwrap_or(REQUEST_TIMEOUT),
    };
    match location {
        Location::S3 { bucket, r2, .. } => opening.s3(bucket, r2.as_deref()),
        Location::Azure { account, container, .. } => opening.azure(account, container),
        Location::Google { bucket, .. } => opening.google(bucket),
        Location::Folder(_) | Location::Catalog(_) => {
            Err(opening.bad_setting("it is not in an object store", EXAMPLES))
        }
    }
}

/// Returns whether the environment sets the region or the address of a bucket.
pub fn has_region(variables: &StoreVariables) -> bool {
    variables.any(&["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
}

/// Returns `variables` with a region.
pub fn with_region(variables: &StoreVariables, region: String) -> StoreVariables {
    let mut variables = variables.clone();
    variables.0.insert("AWS_REGION".into(), region);
    variables
}

/// Returns client options with time-outs. `allow_http` allows http:// addresses.
pub fn client(allow_http: bool) -> ClientOptions {
    ClientOptions::new().with_connect_timeout(CONNECT_TIMEOUT).with_timeout(REQUEST_TIMEOUT).with_allow_http(allow_http)
}

/// Returns a retry configuration whose first pause is `first`.
fn retry(first: Duration) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig { init_backoff: first, max_backoff: MAX_BACKOFF, base: 2.0 },
        max_retries: MAX_RETRIES,
        retry_timeout: RETRY_TIMEOUT,
    }
}

struct StoreBuilder<'a> {
    location: &'a Location,
    variables: StoreVariables,
    credentials: Option<&'a StoreCredentials>,
    timeout: Duration,
}

impl StoreBuilder<'_> {
    fn client(&self, allow_http: bool) -> ClientOptions {
        client(allow_http).with_timeout(self.timeout)
    }

    fn bad_setting(&self, reason: impl Into<String>, hint: impl Into<String>) -> LakeError {
        LakeError::BadSetting { location: self.location.to_string(), reason: reason.into(), hint: hint.into() }
    }

    /// Returns the error of a builder. Variables are checked before, so its message contains no value.
    fn unusable(&self, error: &object_store::Error, hint: &str) -> LakeError {
        self.bad_setting(error.to_string(), hint)
    }

    /// Returns whether a variable names an http:// address, which is allowed on this machine only.
    fn allows_http(&self, names: &[&str]) -> Result<bool> {
        let mut allowed = false;
        for name in names {
            if let Some(address) = self.variables.get(name) {
                allowed |= self.is_allowed(name, address)?;
            }
        }
        Ok(allowed)
    }

    fn is_allowed(&self, name: &str, address: &str) -> Result<bool> {
        let url = Url::parse(address)
            .map_err(|error| self.bad_setting(format!("{name} is not a URL: {error}"), format!("correct {name}")))?;
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(self.bad_setting(
                format!("{name} contains more than an address"),
                format!("set {name} to an address only"),
            ));
        }
        match url.scheme() {
            "https" => Ok(false),
            "http" if url.host().is_some_and(|host| is_local(&host)) => Ok(true),
            _ => Err(self.bad_setting(
                format!("{name} is not encrypted"),
                format!("set {name} to an https:// address; http:// is allowed on this machine only"),
            )),
        }
    }

    /// As [`Self::allows_http`], for the address in a service account of an emulator.
    fn account_allows_http(&self) -> Result<bool> {
        let key = self.variables.get(GOOGLE_KEY).map(|key| (GOOGLE_KEY.to_owned(), key.to_owned()));
        // The builder reports files that cannot be read.
        let read = |name: &&str| fs::read_to_string(self.variables.get(name)?).ok();
        let files = GOOGLE_FILES.iter().filter_map(|name| Some((format!("the file of {name}"), read(name)?)));
        let mut allowed = false;
        for (location, account) in files.chain(key) {
            let account = serde_json::from_str::<serde_json::Value>(&account).unwrap_or_default();
            if let Some(address) = account["gcs_base_url"].as_str() {
                allowed |= self.is_allowed(&format!("gcs_base_url in {location}"), address)?;
            }
        }
        Ok(allowed)
    }

    fn s3(&self, bucket: &str, r2: Option<&str>) -> Result<Arc<dyn ObjectStore>> {
        let http = self.allows_http(&["AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])?;
        let mut builder = AmazonS3Builder::new();
        for (key, value) in self.variables.settings::<AmazonS3ConfigKey>("AWS_") {
            builder = builder.with_config(key, value);
        }
        if let Some(host) = r2.filter(|_| !has_region(&self.variables)) {
            builder = builder.with_endpoint(format!("https://{host}")).with_region("auto");
        }
        builder = match self.credentials {
            Some(StoreCredentials::Aws(provider)) => builder.with_credentials(Arc::clone(provider)),
            Some(_) => return Err(self.wrong_credential_kind()),
            None => {
                self.check_aws()?;
                builder
            }
        };
        let built = builder
            .with_bucket_name(bucket)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_client_options(self.client(http))
            .with_retry(retry(FIRST_BACKOFF))
            .build();
        Ok(Arc::new(built.map_err(|error| self.unusable(&error, "check the AWS_… variables of the environment"))?))
    }

    fn check_aws(&self) -> Result<()> {
        let (id, key) = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY");
        let has = |name: &str| self.variables.get(name).is_some();
        for (there, missing) in [(id, key), (key, id)] {
            if has(there) && !has(missing) {
                return Err(
                    self.bad_setting(format!("{there} is set and {missing} is not"), format!("set {missing} too"))
                );
            }
        }
        let others = [
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_SKIP_SIGNATURE",
        ];
        if has("AWS_PROFILE") && !has(id) && !self.variables.any(&others) {
            return Err(self.bad_setting(
                "AWS_PROFILE is set, and this program does not read AWS profiles",
                "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, as `aws configure export-credentials --format env` prints them; or unset AWS_PROFILE",
            ));
        }
        Ok(())
    }

    fn azure(&self, account: &StorageAccount, container: &str) -> Result<Arc<dyn ObjectStore>> {
        let addresses = ["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"];
        if self.variables.any(&["AZURE_STORAGE_USE_EMULATOR"]) {
            return Err(self.bad_setting(
                "AZURE_STORAGE_USE_EMULATOR is set, which is not supported",
                "unset it, and set AZURE_STORAGE_ENDPOINT to the emulator's address, such as http://127.0.0.1:10000/devstoreaccount1",
            ));
        }
        let http = self.allows_http(&addresses)?;
        let mut builder = MicrosoftAzureBuilder::new();
        for (key, value) in self.variables.settings::<AzureConfigKey>("AZURE_") {
            builder = builder.with_config(key, value);
        }
        let (name, domain) = match account {
            StorageAccount::Named { name, domain } => (name, domain),
            StorageAccount::Configured => {
                return Err(self.bad_setting(
                    "it does not name the storage account of the container",
                    format!(
                        "set AZURE_STORAGE_ACCOUNT_NAME, or give abfss://{container}@account.dfs.core.windows.net/prefix"
                    ),
                ));
            }
        };
        builder = match self.credentials {
            Some(StoreCredentials::Azure(provider)) => builder.with_credentials(Arc::clone(provider)),
            Some(_) => return Err(self.wrong_credential_kind()),
            None => builder,
        };
        let address = addresses.into_iter().find_map(|name| self.variables.get(name)).map(str::to_owned);
        let address = address.unwrap_or_else(|| format!("https://{name}.blob.{domain}"));
        let built = builder
            .with_account(name)
            .with_endpoint(address.clone())
            .with_container_name(container)
            .with_client_options(self.client(http))
            .with_retry(retry(FIRST_BACKOFF))
            .build();
        let unusable = |error| self.unusable(&error, "check the AZURE_… variables of the environment");
        let built = built.map_err(unusable)?;
        let http = ReqwestConnector::default().connect(&self.client(http)).map_err(unusable)?;
        let url = Url::parse(&format!("{}/{container}", address.trim_end_matches('/')))
            .map_err(|error| self.bad_setting(format!("its address is not a URL: {error}"), EXAMPLES))?;
        Ok(Arc::new(AzureStore::new(built, name.clone(), url, http)))
    }

    fn google(&self, bucket: &str) -> Result<Arc<dyn ObjectStore>> {
        let http = self.allows_http(&["GOOGLE_BASE_URL"])?;
        let http = self.account_allows_http()? || http;
        if self.variables.any(&GOOGLE_FILES) && self.variables.any(&[GOOGLE_KEY]) {
            return Err(self.bad_setting(
                "GOOGLE_SERVICE_ACCOUNT and GOOGLE_SERVICE_ACCOUNT_KEY are both set",
                "unset one of them: a file's path, or its content",
            ));
        }
        let mut builder = GoogleCloudStorageBuilder::new();
        for (key, value) in self.variables.settings::<GoogleConfigKey>("GOOGLE_") {
            builder = builder.with_config(key, value);
        }
        builder = match self.credentials {
            Some(StoreCredentials::Google(provider)) => builder.with_credentials(Arc::clone(provider)),
            Some(_) => return Err(self.wrong_credential_kind()),
            None => builder,
        };
        let builder = builder.with_bucket_name(bucket).with_client_options(self.client(http));
        let hint = "set GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT to the path of a service account's key, or GOOGLE_SERVICE_ACCOUNT_KEY to its content";
        let build = |builder: GoogleCloudStorageBuilder, retry| {
            builder.with_retry(retry).build().map_err(|error| self.unusable(&error, hint))
        };
        let reading = build(builder.clone(), retry(FIRST_BACKOFF))?;
        // All three clients share the credentials.
        let builder = builder.with_credentials(Arc::clone(reading.credentials()));
        let writing = build(builder.clone(), retry(google::FIRST_WRITE_BACKOFF))?;
        let once = build(builder, RetryConfig { max_retries: 0, ..retry(FIRST_BACKOFF) })?;
        Ok(Arc::new(GoogleStore { reading, writing, once }))
    }

    fn wrong_credential_kind(&self) -> LakeError {
        self.bad_setting(
            "the vended credentials are for another kind of storage",
            "check the storage credential of the external location",
        )
    }
}

/// Returns whether a store rejects the credentials of a request. S3 returns 400 for expired credentials. The error of a refused
/// listing is generic, and only its text contains the status.
pub fn rejects_credentials(error: &object_store::Error) -> bool {
    use object_store::Error;
    const SIGNS: [&str; 4] = ["ExpiredToken", "TokenRefreshRequired", "status code: 401", "status code: 403"];
    let has_ended = |text: &str| SIGNS.iter().any(|sign| text.contains(sign));
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => true,
        Error::Generic { .. } => has_ended(&error_chain(error)),
        _ => false,
    }
}

/// Returns what to do about an error of a store, if its cause is known.
pub fn hint(error: &object_store::Error) -> Option<String> {
    use object_store::Error;
    let text = error_chain(error);
    let has = |code: &str| text.contains(code);
    let local = |path: &str| path.starts_with('/');
    let text = match error {
        Error::PermissionDenied { path, .. } if local(path) => "check the owner and the permissions of the folder",
        _ if has("NoSuchBucket") => "create the bucket first, or correct --lake, or AWS_REGION on S3",
        _ if has("ContainerNotFound") => "create the container first, or correct --lake and AZURE_STORAGE_ACCOUNT_NAME",
        _ if has("BareRedirect") || has("PermanentRedirect") || has("redirect without LOCATION") => {
            "the bucket is in another region: set AWS_REGION"
        }
        _ if has("RequestTimeTooSkewed") => "this machine's clock is wrong: set it",
        _ if has("ExpiredToken") || has("TokenRefreshRequired") => {
            "the credentials have expired: set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN to new ones"
        }
        _ if has("InvalidAccessKeyId") || has("SignatureDoesNotMatch") => {
            "correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        }
        _ if has("169.254.169.254") || has("169.254.170.2") || has("metadata.google.internal") => {
            "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AZURE_STORAGE_ACCOUNT_KEY, \
             AZURE_STORAGE_SAS_TOKEN or AZURE_CLIENT_ID, AZURE_CLIENT_SECRET and AZURE_TENANT_ID, or GOOGLE_APPLICATION_CREDENTIALS"
        }
        Error::PermissionDenied { .. } => {
            "the credentials need permission to read, write, list and delete; on S3 also s3:ListBucket, without which S3 reports \
             missing objects as forbidden. `ops-runbook doctor` shows which permission is missing"
        }
        Error::Unauthenticated { .. } => {
            "the store does not accept the credentials: check the AWS_…, AZURE_… or GOOGLE_… variables"
        }
        Error::NotFound { path, .. } if !local(path) => {
            "check that the bucket or container exists; this program does not create it"
        }
        _ => return None,
    };
    Some(text.into())
}

/// Returns an error and all its causes as text.
fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
