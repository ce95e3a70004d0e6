//! Selects the workspace and the credentials from settings. Makes no request; only checks which programs are installed.

use url::Url;

use super::{
    AuthError, CredentialChain, LoginCredentials,
    azure::{AzureCli, AzureClientSecret, AzureWorkspace},
    databricks_cli::DatabricksCli,
    federation::{Federation, IdTokenSource},
    settings::{LoginSettings, Setting, SettingSource},
};
use crate::{
    databricks::{Token, WorkspaceUrl, is_safe_to_send},
    domain::login::Method,
};

/// Methods of the official SDKs that this program does not support, and their replacements.
const UNSUPPORTED_METHODS: [(&str, &str); 7] = [
    ("basic", "Databricks has ended logins by password; use databricks-cli"),
    ("external-browser", "use databricks-cli"),
    ("azure-msi", "use azure-cli, with `az login --identity`"),
    ("azure-devops-oidc", "use env-oidc"),
    ("github-oidc-azure", "use github-oidc"),
    ("google-credentials", "use oauth-m2m"),
    ("google-id", "use oauth-m2m"),
];

/// A workspace and the credentials for it.
#[derive(Debug, Clone)]
pub struct WorkspaceAccess {
    pub workspace: WorkspaceUrl,
    /// For a host that serves several workspaces.
    pub workspace_id: Option<String>,
    pub credentials: CredentialChain,
}

/// Why only one method is used.
#[derive(Debug, Clone, PartialEq, Eq)]
enum MethodChoice {
    /// A setting names it.
    Named(Method, SettingSource),
    /// A setting is set that no other method has.
    Given(Method, SettingSource),
}

impl MethodChoice {
    fn method(&self) -> Method {
        let (Self::Named(method, _) | Self::Given(method, _)) = self;
        *method
    }
}

/// Why a method cannot be used.
#[derive(Debug)]
enum UnusableMethod {
    Missing(Vec<Setting>),
    Unusable { setting: Setting, reason: String },
    Inapplicable(String),
}

impl UnusableMethod {
    fn reason(&self) -> String {
        match self {
            Self::Missing(settings) => {
                let names: Vec<&str> = settings.iter().map(|setting| setting.variable()).collect();
                format!("{} not set", names.join(", "))
            }
            Self::Unusable { setting, reason } => format!("{}: {reason}", setting.variable()),
            Self::Inapplicable(reason) => reason.clone(),
        }
    }
}

impl LoginSettings {
    /// Returns the workspace and the credentials that may be used. If `auth_type` names a method, or a setting of only one method is
    /// set, no other method is used. Otherwise the methods without such settings are used: the logins of the Databricks CLI, of a
    /// GitHub workflow and of the Azure CLI.
    ///
    /// # Errors
    /// [`AuthError`], which names all missing settings.
    pub fn access(&self) -> Result<WorkspaceAccess, AuthError> {
        let choice = self.choice()?;
        let mut missing = self.unset(&[Setting::Host]);
        match &choice {
            Some(choice) => missing.extend(self.unset(required(choice.method()))),
            None if missing.is_empty() => {}
            None => missing.push(self.expected()),
        }
        let Some(host) = self.get(Setting::Host).filter(|_| missing.is_empty()) else {
            return Err(self.missing(missing));
        };
        let workspace: WorkspaceUrl = host.parse().map_err(|reason| self.unusable(Setting::Host, reason))?;
        let chain = match &choice {
            Some(choice) => Some(
                self.configured(choice.method(), &workspace).map_err(|unusable| self.refused(choice, unusable))?.into(),
            ),
            None => CredentialChain::new(
                Method::ALL.into_iter().filter_map(|method| self.configured(method, &workspace).ok()),
            ),
        };
        let credentials = chain.ok_or_else(|| self.missing(vec![self.expected()]))?;
        let workspace_id = self.get(Setting::WorkspaceId).map(|id| id.trim().to_owned());
        Ok(WorkspaceAccess { workspace, workspace_id, credentials })
    }

    /// Returns why each method except `used` is not used, as far as that is known without a request.
    pub fn unused_methods(&self, used: Option<Method>) -> Vec<(Method, String)> {
        let workspace = self.get(Setting::Host).and_then(|host| host.parse().ok());
        let choice = self.choice().ok().flatten();
        let reason = |method| match (&workspace, &choice) {
            (_, Some(MethodChoice::Named(named, source))) if *named != method => format!("{source} is {named}"),
            (None, _) => match self.unset(required(method)) {
                missing if missing.is_empty() => "DATABRICKS_HOST not set".to_owned(),
                missing => UnusableMethod::Missing(missing).reason(),
            },
            (Some(workspace), choice) => match (self.configured(method, workspace), choice) {
                (Err(unusable), _) => unusable.reason(),
                (Ok(_), Some(MethodChoice::Given(given, source))) if *given != method => {
                    format!("{source} selects {given}")
                }
                (Ok(_), _) => match used {
                    Some(used) => format!("{used} has precedence"),
                    None => "no token was requested".to_owned(),
                },
            },
        };
        let others = Method::ALL.into_iter().filter(|method| Some(*method) != used);
        others.map(|method| (method, reason(method))).collect()
    }

    /// Returns the only method to use, if the settings select one.
    ///
    /// # Errors
    /// [`AuthError::Contradiction`], [`AuthError::UnknownMethod`].
    fn choice(&self) -> Result<Option<MethodChoice>, AuthError> {
        if let (Some(name), Some(source)) = (self.get(Setting::AuthType), self.source(Setting::AuthType)) {
            let name = name.trim();
            let instead = UNSUPPORTED_METHODS.iter().find(|(other, _)| *other == name).map(|(_, instead)| *instead);
            let unknown = |()| AuthError::UnknownMethod { name: name.to_owned(), set_by: source.to_string(), instead };
            return Ok(Some(MethodChoice::Named(name.parse().map_err(unknown)?, source.clone())));
        }
        let source = |method| identifying_settings(method).iter().find_map(|setting| self.source(*setting));
        let mut given = Method::ALL.into_iter().filter_map(|method| Some((method, source(method)?)));
        match (given.next(), given.next()) {
            (Some((first, source)), Some((second, other))) => Err(AuthError::Contradiction {
                first: (first, source.to_string()),
                second: (second, other.to_string()),
            }),
            (first, _) => Ok(first.map(|(method, source)| MethodChoice::Given(method, source.clone()))),
        }
    }

    fn configured(&self, method: Method, workspace: &WorkspaceUrl) -> Result<LoginCredentials, UnusableMethod> {
        let missing = self.unset(required(method));
        if !missing.is_empty() {
            return Err(UnusableMethod::Missing(missing));
        }
        let azure = || AzureWorkspace::configured(self, workspace).map_err(UnusableMethod::Inapplicable);
        Ok(match method {
            Method::Pat => LoginCredentials::Pat(self.secret(Setting::Token)?),
            Method::OauthM2m => LoginCredentials::OauthM2m {
                id: self.text(Setting::ClientId),
                secret: self.secret(Setting::ClientSecret)?,
            },
            Method::DatabricksCli => LoginCredentials::DatabricksCli(
                DatabricksCli::configured(self, workspace).map_err(UnusableMethod::Inapplicable)?,
            ),
            Method::GithubOidc => {
                let (url, token) = (self.url(Setting::ActionsUrl)?, self.secret(Setting::ActionsToken)?);
                self.federation(IdTokenSource::Github { url, token })
            }
            Method::EnvOidc => self.federation(IdTokenSource::Variable(self.secret(Setting::IdToken)?)),
            Method::FileOidc => self.federation(IdTokenSource::File(self.text(Setting::IdTokenFile).into())),
            Method::AzureClientSecret => LoginCredentials::AzureClientSecret(AzureClientSecret {
                workspace: azure()?,
                client_id: self.text(Setting::AzureClientId),
                client_secret: self.secret(Setting::AzureClientSecret)?,
                authority: self
                    .is_set(Setting::AzureAuthority)
                    .then(|| self.url(Setting::AzureAuthority))
                    .transpose()?,
            }),
            Method::AzureCli => {
                LoginCredentials::AzureCli(AzureCli::configured(self, azure()?).map_err(UnusableMethod::Inapplicable)?)
            }
        })
    }

    fn federation(&self, source: IdTokenSource) -> LoginCredentials {
        LoginCredentials::Federation(Federation::new(source, self))
    }

    fn text(&self, setting: Setting) -> String {
        self.get(setting).unwrap_or_default().trim().to_owned()
    }

    fn secret(&self, setting: Setting) -> Result<Token, UnusableMethod> {
        self.text(setting).parse().map_err(|reason| UnusableMethod::Unusable { setting, reason })
    }

    fn url(&self, setting: Setting) -> Result<Url, UnusableMethod> {
        let unusable = |reason: &str| UnusableMethod::Unusable { setting, reason: reason.to_owned() };
        let url: Url = self.text(setting).parse().map_err(|_| unusable("it is not a URL"))?;
        if is_safe_to_send(&url) {
            Ok(url)
        } else {
            Err(unusable("it is not https://; secrets are sent by https:// only"))
        }
    }

    fn unset(&self, settings: &[Setting]) -> Vec<Setting> {
        settings.iter().copied().filter(|setting| !self.is_set(*setting)).collect()
    }

    /// Returns the setting to name if no method can be used: the missing one of a pair, or a token.
    fn expected(&self) -> Setting {
        if self.is_set(Setting::ClientId) { Setting::ClientSecret } else { Setting::Token }
    }

    fn missing(&self, settings: Vec<Setting>) -> AuthError {
        let wanted = |setting| match (setting, self.get(Setting::IdTokenVariable)) {
            (Setting::IdToken, Some(name)) => format!("an identity token in {name}"),
            _ => setting.description(),
        };
        AuthError::Missing(settings.into_iter().map(wanted).collect())
    }

    fn unusable(&self, setting: Setting, reason: String) -> AuthError {
        let what = self.source(setting).map_or_else(|| setting.variable().to_owned(), ToString::to_string);
        AuthError::Unusable { what, reason }
    }

    fn refused(&self, choice: &MethodChoice, unusable: UnusableMethod) -> AuthError {
        match unusable {
            UnusableMethod::Missing(settings) => self.missing(settings),
            UnusableMethod::Unusable { setting, reason } => self.unusable(setting, reason),
            UnusableMethod::Inapplicable(reason) => {
                let (MethodChoice::Named(method, source) | MethodChoice::Given(method, source)) = choice;
                AuthError::Inapplicable { method: *method, set_by: source.to_string(), reason }
            }
        }
    }
}

/// Returns the settings that a method requires.
fn required(method: Method) -> &'static [Setting] {
    match method {
        Method::Pat => &[Setting::Token],
        Method::OauthM2m => &[Setting::ClientId, Setting::ClientSecret],
        Method::GithubOidc => &[Setting::ActionsUrl, Setting::ActionsToken],
        Method::EnvOidc => &[Setting::IdToken],
        Method::FileOidc => &[Setting::IdTokenFile],
        Method::AzureClientSecret => &[Setting::AzureClientId, Setting::AzureClientSecret, Setting::AzureTenantId],
        Method::DatabricksCli | Method::AzureCli => &[],
    }
}

/// Returns the settings each of which selects a method. Methods without such settings use an existing login.
fn identifying_settings(method: Method) -> &'static [Setting] {
    match method {
        Method::Pat => &[Setting::Token],
        Method::OauthM2m => &[Setting::ClientSecret],
        Method::EnvOidc => &[Setting::IdTokenVariable, Setting::IdToken],
        Method::FileOidc => &[Setting::IdTokenFile],
        Method::AzureClientSecret => &[Setting::AzureClientSecret],
        Method::DatabricksCli | Method::GithubOidc | Method::AzureCli => &[],
    }
}
