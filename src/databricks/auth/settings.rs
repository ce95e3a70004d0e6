//! Login settings with the names of the official SDKs, and the source of each value.
//!
//! The environment has precedence over a profile. The profiles file is read if a profile is named, or if the environment sets
//! neither a workspace nor credentials.

use std::{collections::BTreeMap, ffi::OsString, fmt};

use configparser::ini::{Ini, IniDefault};

use super::AuthError;

/// The profile that is used if none is named.
const DEFAULT_PROFILE: &str = "DEFAULT";
/// The section with settings of the Databricks CLI. It may name another default profile.
const CLI_SETTINGS: &str = "__settings__";

/// A login setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    Host,
    WorkspaceId,
    Profile,
    AuthType,
    Token,
    ClientId,
    ClientSecret,
    CliPath,
    Audience,
    ActionsUrl,
    ActionsToken,
    IdTokenVariable,
    IdToken,
    IdTokenFile,
    AzureClientId,
    AzureClientSecret,
    AzureTenantId,
    AzureResourceId,
    AzureAuthority,
    Cloud,
}

impl Setting {
    const ALL: [Self; 20] = [
        Self::Host,
        Self::WorkspaceId,
        Self::Profile,
        Self::AuthType,
        Self::Token,
        Self::ClientId,
        Self::ClientSecret,
        Self::CliPath,
        Self::Audience,
        Self::ActionsUrl,
        Self::ActionsToken,
        Self::IdTokenVariable,
        Self::IdToken,
        Self::IdTokenFile,
        Self::AzureClientId,
        Self::AzureClientSecret,
        Self::AzureTenantId,
        Self::AzureResourceId,
        Self::AzureAuthority,
        Self::Cloud,
    ];

    /// Returns the environment variable, the key in a profile (`None`: not in profiles), and a description.
    fn names(self) -> (&'static str, Option<&'static str>, &'static str) {
        match self {
            Self::Host => ("DATABRICKS_HOST", Some("host"), "the workspace's URL"),
            Self::WorkspaceId => ("DATABRICKS_WORKSPACE_ID", Some("workspace_id"), "the workspace's id"),
            Self::Profile => ("DATABRICKS_CONFIG_PROFILE", None, "a profile"),
            Self::AuthType => ("DATABRICKS_AUTH_TYPE", Some("auth_type"), "an authentication method"),
            Self::Token => ("DATABRICKS_TOKEN", Some("token"), "a token"),
            Self::ClientId => ("DATABRICKS_CLIENT_ID", Some("client_id"), "a service principal"),
            Self::ClientSecret => ("DATABRICKS_CLIENT_SECRET", Some("client_secret"), "its secret"),
            Self::CliPath => ("DATABRICKS_CLI_PATH", Some("databricks_cli_path"), "the Databricks CLI"),
            Self::Audience => ("DATABRICKS_TOKEN_AUDIENCE", Some("audience"), "an audience of identity tokens"),
            Self::ActionsUrl => (
                "ACTIONS_ID_TOKEN_REQUEST_URL",
                Some("actions_id_token_request_url"),
                "GitHub's URL of identity tokens",
            ),
            Self::ActionsToken => {
                ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", Some("actions_id_token_request_token"), "GitHub's token for it")
            }
            Self::IdTokenVariable => {
                ("DATABRICKS_OIDC_TOKEN_ENV", Some("oidc_token_env"), "the variable of an identity token")
            }
            Self::IdToken => ("DATABRICKS_OIDC_TOKEN", None, "an identity token"),
            Self::IdTokenFile => (
                "DATABRICKS_OIDC_TOKEN_FILEPATH",
                Some("databricks_id_token_filepath"),
                "the file of an identity token",
            ),
            Self::AzureClientId => ("ARM_CLIENT_ID", Some("azure_client_id"), "an Azure service principal"),
            Self::AzureClientSecret => ("ARM_CLIENT_SECRET", Some("azure_client_secret"), "its secret"),
            Self::AzureTenantId => ("ARM_TENANT_ID", Some("azure_tenant_id"), "its tenant"),
            Self::AzureResourceId => (
                "DATABRICKS_AZURE_RESOURCE_ID",
                Some("azure_workspace_resource_id"),
                "the workspace's resource id on Azure",
            ),
            Self::AzureAuthority => ("AZURE_AUTHORITY_HOST", None, "the address of Microsoft Entra ID"),
            Self::Cloud => ("DATABRICKS_CLOUD", Some("cloud"), "the workspace's cloud"),
        }
    }

    pub fn variable(self) -> &'static str {
        self.names().0
    }

    fn key(self) -> Option<&'static str> {
        self.names().1
    }

    /// Returns what the setting is, and its variable.
    pub(super) fn description(self) -> String {
        let (variable, _, what) = self.names();
        format!("{what} in {variable}")
    }

    /// Returns whether the setting names a workspace or credentials. If one of these is set, the default profile is not used.
    fn is_about_login(self) -> bool {
        !matches!(
            self,
            Self::WorkspaceId
                | Self::Profile
                | Self::AuthType
                | Self::CliPath
                | Self::Audience
                // GitHub sets these in every job with the permission.
                | Self::ActionsUrl
                | Self::ActionsToken
                | Self::AzureAuthority
                | Self::Cloud
        )
    }
}

/// The source of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingSource {
    Variable(String),
    Profile { key: &'static str, profile: String, file: String },
}

impl fmt::Display for SettingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => f.write_str(name),
            Self::Profile { key, profile, file } => write!(f, "{key} of the profile {profile:?} in {file}"),
        }
    }
}

#[derive(Clone)]
struct SettingValue {
    text: String,
    source: SettingSource,
}

/// The profile that was read.
#[derive(Clone)]
pub(super) struct Profile {
    pub name: String,
    /// The host in the profile, which is used only if the environment sets none.
    pub host: Option<String>,
}

/// The login settings. Values are never printed.
#[derive(Clone, Default)]
pub struct LoginSettings {
    values: BTreeMap<Setting, SettingValue>,
    profile: Option<Profile>,
    /// The search path of programs.
    search_path: Option<OsString>,
}

impl fmt::Debug for LoginSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.values.iter().map(|(setting, value)| (setting, &value.source))).finish()
    }
}

impl LoginSettings {
    /// Reads settings from the environment. `read` returns the value of a variable. Empty values count as not set.
    pub fn from_variables(read: impl Fn(&str) -> Option<String>) -> Self {
        let mut settings = Self { search_path: read("PATH").map(Into::into), ..Self::default() };
        for setting in Setting::ALL {
            settings.add_variable(setting, setting.variable(), &read);
        }
        settings.add_id_token(&read);
        settings
    }

    fn add_variable(&mut self, setting: Setting, name: &str, read: &impl Fn(&str) -> Option<String>) {
        if let Some(text) = read(name).filter(|text| !text.trim().is_empty()) {
            self.values.insert(setting, SettingValue { text, source: SettingSource::Variable(name.to_owned()) });
        }
    }

    /// Reads the identity token from the variable that another setting names.
    fn add_id_token(&mut self, read: &impl Fn(&str) -> Option<String>) {
        if let Some(name) = self.get(Setting::IdTokenVariable).map(str::to_owned) {
            self.values.remove(&Setting::IdToken);
            self.add_variable(Setting::IdToken, name.trim(), read);
        }
    }

    /// Returns whether the profiles file is used.
    pub fn wants_profile(&self) -> bool {
        self.is_set(Setting::Profile) || !self.values.keys().any(|setting| setting.is_about_login())
    }

    /// Adds settings from the text of a profiles file that the environment does not set. `file` is its name. A named profile must
    /// exist.
    ///
    /// # Errors
    /// [`AuthError::NoProfile`], [`AuthError::BadProfiles`].
    pub fn with_profiles(
        mut self,
        file: &str,
        text: &str,
        read: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, AuthError> {
        let profiles = parse(file, text)?;
        let value = |section: &str, key: &str| profiles.get(section, key).and_then(|value| without_comment(&value));
        let given = self.get(Setting::Profile).map(str::to_owned);
        let named = given.or_else(|| value(CLI_SETTINGS, "default_profile"));
        let name = named.clone().unwrap_or_else(|| DEFAULT_PROFILE.to_owned());
        if name == CLI_SETTINGS || !profiles.sections().contains(&name) {
            return match named {
                Some(name) => Err(AuthError::NoProfile { name, file: file.to_owned() }),
                None => Ok(self),
            };
        }
        for setting in Setting::ALL {
            let Some(key) = setting.key().filter(|_| !self.is_set(setting)) else { continue };
            if let Some(text) = value(&name, key) {
                let source = SettingSource::Profile { key, profile: name.clone(), file: file.to_owned() };
                self.values.insert(setting, SettingValue { text, source });
            }
        }
        self.add_id_token(&read);
        self.profile = Some(Profile { host: value(&name, "host"), name });
        Ok(self)
    }

    pub(super) fn get(&self, setting: Setting) -> Option<&str> {
        Some(&self.values.get(&setting)?.text)
    }

    pub(super) fn is_set(&self, setting: Setting) -> bool {
        self.values.contains_key(&setting)
    }

    pub(super) fn source(&self, setting: Setting) -> Option<&SettingSource> {
        Some(&self.values.get(&setting)?.source)
    }

    pub(super) fn profile(&self) -> Option<&Profile> {
        self.profile.as_ref()
    }

    pub(super) fn search_path(&self) -> Option<&OsString> {
        self.search_path.as_ref()
    }

    /// Returns each setting that has a value, by its key in a profile or its variable, with the source of the value.
    pub fn sources(&self) -> impl Iterator<Item = (&'static str, &SettingSource)> {
        self.values.iter().map(|(setting, value)| (setting.key().unwrap_or(setting.variable()), &value.source))
    }
}

fn parse(file: &str, text: &str) -> Result<Ini, AuthError> {
    let mut defaults = IniDefault::default();
    // Section names are case-sensitive, and a token may contain a `#`.
    defaults.case_sensitive = true;
    defaults.default_section = DEFAULT_PROFILE.into();
    defaults.inline_comment_symbols = Some(Vec::new());
    let mut profiles = Ini::new_from_defaults(defaults);
    // The parser's error quotes a line, which may contain a token.
    profiles.read(text.to_owned()).map_err(|_| AuthError::BadProfiles { file: file.to_owned() })?;
    Ok(profiles)
}

/// Returns the value before a comment, which begins after white space. `None`: there is no value.
fn without_comment(value: &str) -> Option<String> {
    let end = [" #", " ;", "\t#", "\t;"].iter().filter_map(|start| value.find(start)).min().unwrap_or(value.len());
    Some(value[..end].trim().to_owned()).filter(|value| !value.is_empty() && !value.starts_with(['#', ';']))
}
