//! Tokens of Microsoft Entra ID for a service principal, or for the login of the Azure CLI.

use std::{path::PathBuf, time::Instant};

use chrono::{DateTime, Local, NaiveDateTime};
use reqwest::header::{self, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::{
    expiry,
    oauth::{self, AccessToken, ClientSecret},
    program::{self, ProgramError, TIMEOUT},
    session::{Authentication, bearer, sensitive},
    settings::{LoginSettings, Setting},
};
use crate::databricks::{
    Token, WorkspaceUrl,
    error::{ApiError, FailedAttempt},
};

/// The application id of Azure Databricks in Microsoft Entra ID.
const DATABRICKS: &str = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d";
const RESOURCE_ID: HeaderName = HeaderName::from_static("x-databricks-azure-workspace-resource-id");
const MANAGEMENT_TOKEN: HeaderName = HeaderName::from_static("x-databricks-azure-sp-management-token");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AzureCloud {
    Public,
    UsGovernment,
    China,
}

impl AzureCloud {
    fn of(host: &str) -> Option<Self> {
        let clouds = [
            (".azuredatabricks.net", Self::Public),
            (".databricks.azure.us", Self::UsGovernment),
            (".databricks.azure.cn", Self::China),
        ];
        Some(clouds.into_iter().find(|(zone, _)| host.ends_with(zone))?.1)
    }

    fn authority(self) -> &'static str {
        match self {
            Self::Public => "https://login.microsoftonline.com",
            Self::UsGovernment => "https://login.microsoftonline.us",
            Self::China => "https://login.chinacloudapi.cn",
        }
    }

    /// Returns the resource of Azure's management API in tokens.
    fn management(self) -> &'static str {
        match self {
            Self::Public => "https://management.core.windows.net/",
            Self::UsGovernment => "https://management.core.usgovcloudapi.net/",
            Self::China => "https://management.core.chinacloudapi.cn/",
        }
    }
}

/// A workspace on Azure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AzureWorkspace {
    cloud: AzureCloud,
    /// For identities that may manage the workspace's resource and are not users of the workspace yet.
    resource_id: Option<String>,
    tenant: Option<String>,
}

impl AzureWorkspace {
    /// # Errors
    /// The workspace is not on Azure.
    pub(super) fn configured(settings: &LoginSettings, workspace: &WorkspaceUrl) -> Result<Self, String> {
        let text = |setting| settings.get(setting).map(|text| text.trim().to_owned());
        let resource_id = text(Setting::AzureResourceId);
        let is_declared =
            resource_id.is_some() || text(Setting::Cloud).is_some_and(|cloud| cloud.eq_ignore_ascii_case("azure"));
        let cloud = AzureCloud::of(workspace.host()).or(is_declared.then_some(AzureCloud::Public));
        let cloud = cloud.ok_or_else(|| format!("{workspace} is not a workspace on Azure"))?;
        Ok(Self { cloud, resource_id, tenant: text(Setting::AzureTenantId) })
    }

    /// Returns the headers of each request: the token and, if the resource id is set, that id and a token for Azure's management API.
    fn authentication(&self, token: &AccessToken, management: Option<&AccessToken>) -> Result<Authentication, String> {
        let mut headers = bearer(&token.token)?;
        let mut expires_at = token.expires_at;
        if let (Some(id), Some(management)) = (&self.resource_id, management) {
            let id = HeaderValue::from_str(id).map_err(|_| "the workspace's resource id is not one line of text")?;
            headers.insert(RESOURCE_ID, id);
            headers.insert(MANAGEMENT_TOKEN, sensitive(management.token.expose())?);
            expires_at = [expires_at, management.expires_at].into_iter().flatten().min();
        }
        Ok(Authentication { headers, expires_at })
    }
}

/// A service principal of Microsoft Entra ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureClientSecret {
    pub(super) workspace: AzureWorkspace,
    pub(super) client_id: String,
    pub(super) client_secret: Token,
    /// The authority to use instead of the cloud's own.
    pub(super) authority: Option<Url>,
}

impl AzureClientSecret {
    pub(super) async fn authenticate(&self, http: &reqwest::Client) -> Result<Authentication, FailedAttempt> {
        let token = self.token(DATABRICKS, http).await?;
        let management = match self.workspace.resource_id {
            Some(_) => Some(self.token(self.workspace.cloud.management(), http).await?),
            None => None,
        };
        self.workspace.authentication(&token, management.as_ref()).map_err(no_token)
    }

    async fn token(&self, resource: &str, http: &reqwest::Client) -> Result<AccessToken, FailedAttempt> {
        let authority = self.authority.as_ref().map_or(self.workspace.cloud.authority(), Url::as_str);
        let tenant = self.workspace.tenant.as_deref().unwrap_or_default();
        let mut url = Url::parse(authority).map_err(|error| no_token(error.to_string()))?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend([tenant, "oauth2", "token"]);
        }
        let form = [("grant_type", "client_credentials"), ("client_id", &self.client_id), ("resource", resource)];
        oauth::request_token(http, url, &form, ClientSecret::Field("client_secret", &self.client_secret)).await
    }
}

/// The Azure CLI with its login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureCli {
    program: PathBuf,
    workspace: AzureWorkspace,
}

impl AzureCli {
    /// # Errors
    /// The reason why it cannot be used.
    pub(super) fn configured(settings: &LoginSettings, workspace: AzureWorkspace) -> Result<Self, String> {
        let program = program::find("az", settings.search_path()).into_iter().next();
        Ok(Self { program: program.ok_or("there is no program `az` on the PATH")?, workspace })
    }

    pub(super) async fn authenticate(
        &self,
        workspace: &WorkspaceUrl,
        http: &reqwest::Client,
    ) -> Result<Authentication, FailedAttempt> {
        let tenant = match &self.workspace.tenant {
            Some(tenant) => Some(tenant.clone()),
            None => tenant_of(workspace, http).await,
        };
        let token = self.token(DATABRICKS, tenant.as_deref()).await.map_err(no_token)?;
        let management = match self.workspace.resource_id {
            Some(_) => Some(self.token(self.workspace.cloud.management(), tenant.as_deref()).await.map_err(no_token)?),
            None => None,
        };
        self.workspace.authentication(&token, management.as_ref()).map_err(no_token)
    }

    /// Returns a token for a resource. Managed identities and federated logins cannot choose a tenant, and a login may see the
    /// workspace but not its subscription: if the request fails with a tenant or subscription, it is repeated without.
    async fn token(&self, resource: &str, tenant: Option<&str>) -> Result<AccessToken, String> {
        let plain = ["account", "get-access-token", "--resource", resource, "--output", "json"];
        let subscription = self.workspace.resource_id.as_deref().and_then(subscription_of);
        let narrowed = tenant.map(|id| ["--tenant", id]).or(subscription.map(|id| ["--subscription", id]));
        let answer = match narrowed {
            Some(narrowed) => match program::run(&self.program, &[&plain[..], &narrowed].concat(), TIMEOUT).await {
                // After a time-out, another attempt would take as long again.
                Err(first @ ProgramError::Failed { .. }) => {
                    program::run(&self.program, &plain, TIMEOUT).await.map_err(|_| first)
                }
                answer => answer,
            },
            None => program::run(&self.program, &plain, TIMEOUT).await,
        };
        read(&answer.map_err(|error| error.to_string())?)
            .map_err(|why| format!("{} gives {why}", self.program.display()))
    }
}

fn no_token(why: String) -> FailedAttempt {
    FailedAttempt::final_error(ApiError::NoToken(why))
}

/// Returns the tenant of a workspace from the redirect to its login page. `None`: the login's own tenant is used.
async fn tenant_of(workspace: &WorkspaceUrl, http: &reqwest::Client) -> Option<String> {
    let answer = http.get(workspace.endpoint(&["aad", "auth"])).send().await.ok()?;
    let location = Url::parse(answer.headers().get(header::LOCATION)?.to_str().ok()?).ok()?;
    let tenant = location.path_segments()?.next()?.to_owned();
    let is_id = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
    Some(tenant).filter(|tenant| !tenant.is_empty() && !tenant.starts_with('-') && tenant.chars().all(is_id))
}

/// `/subscriptions/ID/resourceGroups/…`
fn subscription_of(resource_id: &str) -> Option<&str> {
    let id = resource_id.strip_prefix("/subscriptions/")?.split('/').next()?;
    Some(id).filter(|id| !id.is_empty() && !id.starts_with('-'))
}

fn read(answer: &[u8]) -> Result<AccessToken, &'static str> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct AzureTokenResponse {
        access_token: String,
        /// Seconds since 1970. Older versions omit it.
        #[serde(default, rename = "expires_on")]
        end: Value,
        /// Local time.
        #[serde(default)]
        expires_on: Option<String>,
    }
    // The response is not printed: it may contain a token.
    let Ok(answer) = serde_json::from_slice::<AzureTokenResponse>(answer) else { return Err("no token") };
    let token = answer.access_token.parse().map_err(|_| "an invalid token")?;
    let seconds = answer.end.as_i64().or_else(|| answer.end.as_str()?.parse().ok());
    let local = |text: String| {
        let at = NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f").ok()?;
        Some(at.and_local_timezone(Local).earliest()?.to_utc())
    };
    let end = seconds.and_then(|at| DateTime::from_timestamp(at, 0)).or_else(|| answer.expires_on.and_then(local));
    let expires_at: Instant = expiry::instant(end.ok_or("a token without an expiry")?).ok_or("an expired token")?;
    Ok(AccessToken { token, expires_at: Some(expires_at) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expiry_of_a_token_is_parsed_in_both_formats() {
        let answer =
            |rest: &str| read(format!(r#"{{"accessToken": "t", {rest}}}"#).as_bytes()).map(|token| token.expires_at);
        for rest in [
            r#""expires_on": 32472144000, "expiresOn": "2001-01-01 00:00:00.000000""#,
            r#""expires_on": "32472144000""#,
            r#""expiresOn": "2999-01-01 00:00:00.000000""#,
        ] {
            assert!(matches!(answer(rest), Ok(Some(expires_at)) if expires_at > Instant::now()), "{rest}");
        }
        assert!(answer(r#""expiresOn": "2001-01-01 00:00:00.000000""#).is_err());
        assert!(answer(r#""tenant": "x""#).is_err() && read(b"<html>").is_err());
    }

    #[test]
    fn subscriptions_are_read_from_resource_ids() {
        assert_eq!(subscription_of("/subscriptions/s-1/resourceGroups/g"), Some("s-1"));
        assert_eq!(subscription_of("/subscriptions/--debug/x"), None);
        assert_eq!(subscription_of("s-1"), None);
    }

    #[test]
    fn the_cloud_follows_from_the_host() {
        assert_eq!(AzureCloud::of("adb-1.7.azuredatabricks.net"), Some(AzureCloud::Public));
        assert_eq!(AzureCloud::of("adb-1.7.databricks.azure.us"), Some(AzureCloud::UsGovernment));
        assert_eq!(AzureCloud::of("adb-1.7.databricks.azure.cn"), Some(AzureCloud::China));
        assert_eq!(AzureCloud::of("dbc-1.cloud.databricks.com"), None);
        assert_eq!(AzureCloud::of("azuredatabricks.net.example.test"), None);
    }
}
