//! Clients of S3, Azure and Google storage.
//!
//! What a client repeats on its own, without asking: requests that were answered by 429 or 5xx, and those whose connection broke
//! before an answer came, up to [`RETRIES`] times. A put-if-absent is among them, so it may have landed and then be refused by
//! what it wrote itself (412, or 409 on Azure and from S3 when two come at once). Only a time-out of one is never repeated. On
//! Google it is repeated only while nothing stands there: [`google`] says why. So none
//! of these answers says whether a commit stands; `Table::commit` looks which commit is there, by its id, after every error.

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
    location::{Account, EXAMPLES, Location},
};
use crate::domain::host::is_local;
use azure::Container;
use google::Bucket;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take, its body included, when the caller gives no time-out: a merged file of 32 MiB has to pass.
const ANSWER: Duration = Duration::from_secs(30);
/// How often a client sends a request again, and until when. Few and short: what is worth more patience is tried again above.
const RETRIES: usize = 5;
const RETRYING: Duration = Duration::from_secs(20);
/// The pause before the first of them, as a rule, and the longest.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// An account of Google: its file, or its content.
const GOOGLE_FILES: [&str; 2] = ["GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH"];
const GOOGLE_KEY: &str = "GOOGLE_SERVICE_ACCOUNT_KEY";

/// Names and values of environment variables that clients of object stores know. Never printed.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, String>);

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl FromIterator<(String, String)> for Variables {
    /// Keeps what concerns object stores. An empty value is none.
    fn from_iter<T: IntoIterator<Item = (String, String)>>(all: T) -> Self {
        let known = |name: &str| ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|prefix| name.starts_with(prefix));
        Self(all.into_iter().filter(|(name, value)| known(name) && !value.trim().is_empty()).collect())
    }
}

impl Variables {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The storage account of locations that name none.
    pub fn azure_account(&self) -> Option<&str> {
        self.get("AZURE_STORAGE_ACCOUNT_NAME")
    }

    fn any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.0.contains_key(*name))
    }

    /// What a builder knows by the name of a variable; what it does not know is for somebody else.
    fn settings<K: FromStr>(&self, prefix: &str) -> impl Iterator<Item = (K, &str)> {
        let own = self.0.iter().filter(move |(name, _)| name.starts_with(prefix));
        own.filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value.as_str())))
    }

    /// Without what says who somebody is: for credentials that come from elsewhere.
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

/// Who asks, when it is not the environment that says so.
#[derive(Debug, Clone)]
pub enum Credentials {
    Aws(AwsCredentialProvider),
    Azure(AzureCredentialProvider),
    Google(GcpCredentialProvider),
}

/// A client of the store that holds `location`, rooted at its bucket or container. Makes no request.
/// An answer may take as long as `timeout`, or 30 s.
///
/// # Errors
/// [`LakeError::BadSetting`] says which variable to set.
pub fn open(
    location: &Location,
    variables: &Variables,
    given: Option<&Credentials>,
    timeout: Option<Duration>,
) -> Result<Arc<dyn ObjectStore>> {
    let opening = Opening {
        location,
        variables: given.map_or_else(|| variables.clone(), |_| variables.without_credentials()),
        given,
        timeout: timeout.unwrap_or(ANSWER),
    };
    match location {
        Location::S3 { bucket, r2, .. } => opening.s3(bucket, r2.as_deref()),
        Location::Azure { account, container, .. } => opening.azure(account, container),
        Location::Google { bucket, .. } => opening.google(bucket),
        Location::Folder(_) | Location::Catalog(_) => Err(opening.refused("it is not in an object store", EXAMPLES)),
    }
}

/// Whether the environment says in which region a bucket is, or at which address.
pub fn says_region(variables: &Variables) -> bool {
    variables.any(&["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
}

/// `variables` with a region.
pub fn with_region(variables: &Variables, region: String) -> Variables {
    let mut variables = variables.clone();
    variables.0.insert("AWS_REGION".into(), region);
    variables
}

/// Time-outs, and http:// only where it was allowed.
pub fn client(allow_http: bool) -> ClientOptions {
    ClientOptions::new().with_connect_timeout(CONNECT).with_timeout(ANSWER).with_allow_http(allow_http)
}

/// No pause is shorter than `first`.
fn retry(first: Duration) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig { init_backoff: first, max_backoff: LONGEST_PAUSE, base: 2.0 },
        max_retries: RETRIES,
        retry_timeout: RETRYING,
    }
}

struct Opening<'a> {
    location: &'a Location,
    variables: Variables,
    given: Option<&'a Credentials>,
    timeout: Duration,
}

impl Opening<'_> {
    fn client(&self, allow_http: bool) -> ClientOptions {
        client(allow_http).with_timeout(self.timeout)
    }

    fn refused(&self, reason: impl Into<String>, hint: impl Into<String>) -> LakeError {
        LakeError::BadSetting { place: self.location.to_string(), reason: reason.into(), hint: hint.into() }
    }

    /// A builder's own words; what it is given by name is checked before, so that no value gets into them.
    fn unusable(&self, error: &object_store::Error, hint: &str) -> LakeError {
        self.refused(error.to_string(), hint)
    }

    /// Whether one of the variables names an address without encryption; on this machine that is fine.
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
            .map_err(|error| self.refused(format!("{name} is not a URL: {error}"), format!("correct {name}")))?;
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(
                self.refused(format!("{name} holds more than an address"), format!("give the address alone in {name}"))
            );
        }
        match url.scheme() {
            "https" => Ok(false),
            "http" if url.host().is_some_and(|host| is_local(&host)) => Ok(true),
            _ => Err(self.refused(
                format!("{name} is not encrypted"),
                format!("give an https:// address in {name}; http:// is for this machine only"),
            )),
        }
    }

    /// Accounts for emulators name an address of their own.
    fn account_allows_http(&self) -> Result<bool> {
        let key = self.variables.get(GOOGLE_KEY).map(|key| (GOOGLE_KEY.to_owned(), key.to_owned()));
        // What cannot be read is told by the builder.
        let read = |name: &&str| fs::read_to_string(self.variables.get(name)?).ok();
        let files = GOOGLE_FILES.iter().filter_map(|name| Some((format!("the file of {name}"), read(name)?)));
        let mut allowed = false;
        for (place, account) in files.chain(key) {
            let account = serde_json::from_str::<serde_json::Value>(&account).unwrap_or_default();
            if let Some(address) = account["gcs_base_url"].as_str() {
                allowed |= self.is_allowed(&format!("gcs_base_url in {place}"), address)?;
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
        if let Some(host) = r2.filter(|_| !says_region(&self.variables)) {
            builder = builder.with_endpoint(format!("https://{host}")).with_region("auto");
        }
        builder = match self.given {
            Some(Credentials::Aws(provider)) => builder.with_credentials(Arc::clone(provider)),
            Some(_) => return Err(self.other_kind()),
            None => {
                self.check_aws()?;
                builder
            }
        };
        let built = builder
            .with_bucket_name(bucket)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_client_options(self.client(http))
            .with_retry(retry(PAUSE))
            .build();
        Ok(Arc::new(built.map_err(|error| self.unusable(&error, "look at the AWS_… variables of the environment"))?))
    }

    fn check_aws(&self) -> Result<()> {
        let (id, key) = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY");
        let has = |name: &str| self.variables.get(name).is_some();
        for (there, missing) in [(id, key), (key, id)] {
            if has(there) && !has(missing) {
                return Err(self.refused(format!("{there} is set and {missing} is not"), format!("set {missing} too")));
            }
        }
        let others = [
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_SKIP_SIGNATURE",
        ];
        if has("AWS_PROFILE") && !has(id) && !self.variables.any(&others) {
            return Err(self.refused(
                "AWS_PROFILE is set, and profiles are not read here",
                "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, as `aws configure export-credentials --format env` prints them; or unset AWS_PROFILE",
            ));
        }
        Ok(())
    }

    fn azure(&self, account: &Account, container: &str) -> Result<Arc<dyn ObjectStore>> {
        let addresses = ["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"];
        if self.variables.any(&["AZURE_STORAGE_USE_EMULATOR"]) {
            return Err(self.refused(
                "AZURE_STORAGE_USE_EMULATOR is set, which also takes addresses that are not checked here",
                "unset it, and set AZURE_STORAGE_ENDPOINT to the emulator's address, such as http://127.0.0.1:10000/devstoreaccount1",
            ));
        }
        let http = self.allows_http(&addresses)?;
        let mut builder = MicrosoftAzureBuilder::new();
        for (key, value) in self.variables.settings::<AzureConfigKey>("AZURE_") {
            builder = builder.with_config(key, value);
        }
        let (name, domain) = match account {
            Account::Named { name, domain } => (name, domain),
            Account::Configured => {
                return Err(self.refused(
                    "it does not say in which storage account the container is",
                    format!(
                        "set AZURE_STORAGE_ACCOUNT_NAME, or give abfss://{container}@account.dfs.core.windows.net/prefix"
                    ),
                ));
            }
        };
        builder = match self.given {
            Some(Credentials::Azure(provider)) => builder.with_credentials(Arc::clone(provider)),
            Some(_) => return Err(self.other_kind()),
            None => builder,
        };
        let address = addresses.into_iter().find_map(|name| self.variables.get(name)).map(str::to_owned);
        let address = address.unwrap_or_else(|| format!("https://{name}.blob.{domain}"));
        let built = builder
            .with_account(name)
            .with_endpoint(address.clone())
            .with_container_name(container)
            .with_client_options(self.client(http))
            .with_retry(retry(PAUSE))
            .build();
        let unusable = |error| self.unusable(&error, "look at the AZURE_… variables of the environment");
        let built = built.map_err(unusable)?;
        let http = ReqwestConnector::default().connect(&self.client(http)).map_err(unusable)?;
        let url = Url::parse(&format!("{}/{container}", address.trim_end_matches('/')))
            .map_err(|error| self.refused(format!("its address is not a URL: {error}"), EXAMPLES))?;
        Ok(Arc::new(Container::new(built, name.clone(), url, http)))
    }

    fn google(&self, bucket: &str) -> Result<Arc<dyn ObjectStore>> {
        let http = self.allows_http(&["GOOGLE_BASE_URL"])?;
        let http = self.account_allows_http()? || http;
        if self.variables.any(&GOOGLE_FILES) && self.variables.any(&[GOOGLE_KEY]) {
            return Err(self.refused(
                "GOOGLE_SERVICE_ACCOUNT and GOOGLE_SERVICE_ACCOUNT_KEY are both set",
                "unset one of them: a file's path, or its content",
            ));
        }
        let mut builder = GoogleCloudStorageBuilder::new();
        for (key, value) in self.variables.settings::<GoogleConfigKey>("GOOGLE_") {
            builder = builder.with_config(key, value);
        }
        builder = match self.given {
            Some(Credentials::Google(provider)) => builder.with_credentials(Arc::clone(provider)),
            Some(_) => return Err(self.other_kind()),
            None => builder,
        };
        let builder = builder.with_bucket_name(bucket).with_client_options(self.client(http));
        let hint = "set GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT to the path of a service account's key, or GOOGLE_SERVICE_ACCOUNT_KEY to its content";
        let build = |builder: GoogleCloudStorageBuilder, retry| {
            builder.with_retry(retry).build().map_err(|error| self.unusable(&error, hint))
        };
        let reading = build(builder.clone(), retry(PAUSE))?;
        // They share what credentials there are.
        let builder = builder.with_credentials(Arc::clone(reading.credentials()));
        let writing = build(builder.clone(), retry(google::WRITE_PAUSE))?;
        let once = build(builder, RetryConfig { max_retries: 0, ..retry(PAUSE) })?;
        Ok(Arc::new(Bucket { reading, writing, once }))
    }

    fn other_kind(&self) -> LakeError {
        self.refused(
            "the credentials that were handed out are for another kind of storage",
            "look at the storage credential of the external location",
        )
    }
}

/// Whether a store does not accept the credentials of a request. S3 answers 400 when they have ended. A listing that is refused has
/// an error of no kind of its own, whose text has the status.
pub fn refuses_credentials(error: &object_store::Error) -> bool {
    use object_store::Error;
    const SIGNS: [&str; 4] = ["ExpiredToken", "TokenRefreshRequired", "status code: 401", "status code: 403"];
    let has_ended = |text: &str| SIGNS.iter().any(|sign| text.contains(sign));
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => true,
        Error::Generic { .. } => has_ended(&chain(error)),
        _ => false,
    }
}

/// What to do about an error of a store, where that can be told.
pub fn hint(error: &object_store::Error) -> Option<String> {
    use object_store::Error;
    let told = chain(error);
    let has = |code: &str| told.contains(code);
    let local = |path: &str| path.starts_with('/');
    let text = match error {
        Error::PermissionDenied { path, .. } if local(path) => {
            "check who owns the folder and whether it may be written"
        }
        _ if has("NoSuchBucket") => "make the bucket first, or correct --lake, or AWS_REGION on S3",
        _ if has("ContainerNotFound") => "make the container first, or correct --lake and AZURE_STORAGE_ACCOUNT_NAME",
        _ if has("BareRedirect") || has("PermanentRedirect") || has("redirect without LOCATION") => {
            "the bucket is in another region: set AWS_REGION"
        }
        _ if has("RequestTimeTooSkewed") => "this machine's clock is wrong: set it",
        _ if has("ExpiredToken") || has("TokenRefreshRequired") => {
            "the credentials have expired: set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN anew"
        }
        _ if has("InvalidAccessKeyId") || has("SignatureDoesNotMatch") => {
            "correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        }
        _ if has("169.254.169.254") || has("169.254.170.2") || has("metadata.google.internal") => {
            "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AZURE_STORAGE_ACCOUNT_KEY, \
             AZURE_STORAGE_SAS_TOKEN or AZURE_CLIENT_ID, AZURE_CLIENT_SECRET and AZURE_TENANT_ID, or GOOGLE_APPLICATION_CREDENTIALS"
        }
        Error::PermissionDenied { .. } => {
            "the credentials need to read, write, list and delete there; on S3 s3:ListBucket too, without which what is not there \
             is answered as forbidden. `ops-runbook doctor` says what is missing"
        }
        Error::Unauthenticated { .. } => {
            "the store does not accept the credentials: look at the AWS_…, AZURE_… or GOOGLE_… variables"
        }
        Error::NotFound { path, .. } if !local(path) => {
            "look whether the bucket or container exists; it is not made here"
        }
        _ => return None,
    };
    Some(text.into())
}

/// An error and all its causes, as text.
fn chain(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        told.push_str(&cause.to_string());
        source = cause.source();
    }
    told
}

#[cfg(test)]
mod tests;
