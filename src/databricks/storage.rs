//! Storage of schemas and volumes in Unity Catalog, and temporary credentials for storage.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Client, error::ApiError};

const SCHEMAS: [&str; 3] = ["2.1", "unity-catalog", "schemas"];
const TABLES: [&str; 3] = ["2.1", "unity-catalog", "tables"];
const VOLUMES: [&str; 3] = ["2.1", "unity-catalog", "volumes"];
/// API versions for credentials: Databricks uses the first, the open-source server only the second.
const CREDENTIALS: [&str; 2] = ["2.0", "2.1"];

/// The storage of a schema. Both fields are URLs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SchemaStorage {
    /// The location of the schema's managed tables.
    pub storage_location: Option<String>,
    /// The location that was set when the schema was created.
    pub storage_root: Option<String>,
}

/// A table of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TableInfo {
    /// The URL of its files.
    pub storage_location: Option<String>,
    /// Such as `MANAGED`, `EXTERNAL`, `VIEW`.
    pub table_type: Option<String>,
}

/// The storage of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct VolumeStorage {
    pub volume_id: String,
    /// A URL.
    pub storage_location: String,
}

/// The storage that credentials give access to: to read, write, list and remove files in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageScope {
    /// Files below a URL. Requires EXTERNAL USE LOCATION on the external location.
    Path(String),
    /// Files in a volume, by its id. Requires EXTERNAL USE SCHEMA on its schema, and WRITE VOLUME.
    Volume(String),
}

/// Credentials and their expiry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemporaryCredentials {
    pub secret: StorageSecret,
    /// Milliseconds since the epoch, by the workspace's clock. The open-source server may omit it.
    pub expiration_time: Option<i64>,
}

/// The secret of credentials for a store. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum StorageSecret {
    /// Also for Cloudflare R2.
    Aws { access_key_id: String, secret_access_key: String, session_token: String },
    /// A shared access signature: the query of a URL.
    AzureSas(String),
    /// A bearer token.
    AzureToken(String),
    /// A bearer token.
    Google(String),
}

impl fmt::Debug for StorageSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aws { .. } => "Aws(…)",
            Self::AzureSas(_) => "AzureSas(…)",
            Self::AzureToken(_) => "AzureToken(…)",
            Self::Google(_) => "Google(…)",
        })
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum CredentialsRequest<'a> {
    Path { url: &'a str, operation: &'static str },
    Volume { volume_id: &'a str, operation: &'static str },
}

impl StorageScope {
    fn request(&self) -> (&'static str, CredentialsRequest<'_>) {
        match self {
            Self::Path(url) => {
                ("temporary-path-credentials", CredentialsRequest::Path { url, operation: "PATH_READ_WRITE" })
            }
            Self::Volume(id) => (
                "temporary-volume-credentials",
                CredentialsRequest::Volume { volume_id: id, operation: "WRITE_VOLUME" },
            ),
        }
    }
}

#[derive(Deserialize)]
struct CredentialsResponse {
    expiration_time: Option<i64>,
    aws_temp_credentials: Option<AwsKeys>,
    r2_temp_credentials: Option<AwsKeys>,
    azure_user_delegation_sas: Option<Sas>,
    azure_aad: Option<Aad>,
    gcp_oauth_token: Option<OauthToken>,
}

#[derive(Deserialize)]
struct AwsKeys {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
}

#[derive(Deserialize)]
struct Sas {
    sas_token: String,
}

#[derive(Deserialize)]
struct Aad {
    aad_token: String,
}

#[derive(Deserialize)]
struct OauthToken {
    oauth_token: String,
}

impl CredentialsResponse {
    fn read(self) -> Result<TemporaryCredentials, ApiError> {
        let aws = |keys: AwsKeys| StorageSecret::Aws {
            access_key_id: keys.access_key_id,
            secret_access_key: keys.secret_access_key,
            session_token: keys.session_token,
        };
        let secret = self
            .aws_temp_credentials
            .or(self.r2_temp_credentials)
            .map(aws)
            .or_else(|| self.azure_user_delegation_sas.map(|sas| StorageSecret::AzureSas(sas.sas_token)))
            .or_else(|| self.azure_aad.map(|token| StorageSecret::AzureToken(token.aad_token)))
            .or_else(|| self.gcp_oauth_token.map(|token| StorageSecret::Google(token.oauth_token)));
        let secret =
            secret.ok_or_else(|| ApiError::Unexpected("the workspace vends credentials of an unknown kind".into()))?;
        Ok(TemporaryCredentials { secret, expiration_time: self.expiration_time })
    }
}

impl Client {
    /// Returns the storage of a schema.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the schema does not exist or is not visible; and others.
    pub async fn schema_storage(&self, catalog: &str, schema: &str) -> Result<SchemaStorage, ApiError> {
        let name = format!("{catalog}.{schema}");
        self.get(&[&SCHEMAS[..], &[&name]].concat(), &[]).await
    }

    /// Returns the storage of a volume.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the volume does not exist or is not visible; and others.
    pub async fn volume_storage(&self, catalog: &str, schema: &str, volume: &str) -> Result<VolumeStorage, ApiError> {
        let name = format!("{catalog}.{schema}.{volume}");
        self.get(&[&VOLUMES[..], &[&name]].concat(), &[]).await
    }

    /// Returns a table of the catalog. `None`: there is no such table.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn table(&self, catalog: &str, schema: &str, table: &str) -> Result<Option<TableInfo>, ApiError> {
        let name = format!("{catalog}.{schema}.{table}");
        match self.get(&[&TABLES[..], &[&name]].concat(), &[]).await {
            Ok(info) => Ok(Some(info)),
            Err(ApiError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Requests temporary credentials.
    ///
    /// # Errors
    /// [`ApiError`], which never quotes a response that may contain credentials.
    pub async fn temporary_credentials(&self, scope: &StorageScope) -> Result<TemporaryCredentials, ApiError> {
        let (name, wanted) = scope.request();
        let mut missing = Vec::new();
        for version in CREDENTIALS {
            let answer: Result<CredentialsResponse, ApiError> =
                self.post(&[version, "unity-catalog", name], &wanted).await;
            match answer {
                // The storage does not exist, or this API version does not.
                Err(ApiError::NotFound(message)) => missing.push(message),
                // The error quotes the response, which may contain a secret.
                Err(ApiError::Unexpected(_)) => {
                    return Err(ApiError::Unexpected("the vended credentials cannot be parsed".into()));
                }
                answer => return answer?.read(),
            }
        }
        Err(ApiError::NotFound(missing.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<TemporaryCredentials, String> {
        serde_json::from_str::<CredentialsResponse>(text).unwrap().read().map_err(|error| error.to_string())
    }

    #[test]
    fn every_kind_of_credentials_is_parsed_and_none_is_printed() {
        let aws = StorageSecret::Aws {
            access_key_id: "hidden1".into(),
            secret_access_key: "hidden2".into(),
            session_token: "hidden3".into(),
        };
        let keys = r#"{"access_key_id":"hidden1","secret_access_key":"hidden2","session_token":"hidden3"}"#;
        for (kind, value, secret) in [
            ("aws_temp_credentials", keys, aws.clone()),
            ("r2_temp_credentials", keys, aws),
            ("azure_user_delegation_sas", r#"{"sas_token":"hidden"}"#, StorageSecret::AzureSas("hidden".into())),
            ("azure_aad", r#"{"aad_token":"hidden"}"#, StorageSecret::AzureToken("hidden".into())),
            ("gcp_oauth_token", r#"{"oauth_token":"hidden"}"#, StorageSecret::Google("hidden".into())),
        ] {
            let text = format!(r#"{{"{kind}":{value},"expiration_time":1800000000000,"url":"s3://b/p"}}"#);
            let credentials = read(&text).unwrap();
            assert!(!format!("{credentials:?}").contains("hidden"));
            assert_eq!(credentials, TemporaryCredentials { secret, expiration_time: Some(1_800_000_000_000) });
        }
    }

    #[test]
    fn credentials_of_unknown_kind_are_refused_and_those_without_expiry_are_accepted() {
        assert!(read(r#"{"expiration_time":1}"#).unwrap_err().contains("of an unknown kind"));
        for end in ["", r#","expiration_time":null"#] {
            let endless = read(&format!(r#"{{"gcp_oauth_token":{{"oauth_token":"x"}}{end}}}"#)).unwrap();
            assert_eq!(
                endless,
                TemporaryCredentials { secret: StorageSecret::Google("x".into()), expiration_time: None }
            );
        }
    }
}
