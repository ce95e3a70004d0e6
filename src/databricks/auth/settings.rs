//! Settings, by the names of the official SDKs, and where each value came from.
//!
//! The environment comes before a profile. The profiles file is read when a profile is named, or when the environment says
//! neither where a workspace is nor how to log in.

use std::{collections::BTreeMap, ffi::OsString, fmt};

use configparser::ini::{Ini, IniDefault};

use super::AuthError;

/// The profile that counts when none is named.
const DEFAULT_PROFILE: &str = "DEFAULT";
/// A section with settings of the Databricks CLI. It may name another default profile.
const CLI_SETTINGS: &str = "__settings__";

/// Something that can be set.
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

    /// The variable of the environment, the key in a profile (`None`: not there), and what it is.
    fn names(self) -> (&'static str, Option<&'static str>, &'static str) {
        match self {
            Self::Host => ("DATABRICKS_HOST", Some("host"), "the workspace's URL"),
            Self::WorkspaceId => ("DATABRICKS_WORKSPACE_ID", Some("workspace_id"), "the workspace's id"),
            Self::Profile => ("DATABRICKS_CONFIG_PROFILE", None, "a profile"),
            Self::AuthType => ("DATABRICKS_AUTH_TYPE", Some("auth_type"), "a method of authentication"),
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

    /// What it is, and how it is given.
    pub(super) fn wanted(self) -> String {
        let (variable, _, what) = self.names();
        format!("{what} in {variable}")
    }

    /// Whether it says where a workspace is or how to log in: with one of these the default profile does not count.
    fn is_about_login(self) -> bool {
        !matches!(
            self,
            Self::WorkspaceId
                | Self::Profile
                | Self::AuthType
                | Self::CliPath
                | Self::Audience
                // GitHub sets these in every job that may have them.
                | Self::ActionsUrl
                | Self::ActionsToken
                | Self::AzureAuthority
                | Self::Cloud
        )
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Variable(String),
    Profile { key: &'static str, profile: String, file: String },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => f.write_str(name),
            Self::Profile { key, profile, file } => write!(f, "{key} of the profile {profile:?} in {file}"),
        }
    }
}

#[derive(Clone)]
struct Value {
    text: String,
    source: Source,
}

/// The profile that was read.
#[derive(Clone)]
pub(super) struct Profile {
    pub name: String,
    /// The host that it names, which counts only where the environment names none.
    pub host: Option<String>,
}

/// What is known before a request is made. Values are never printed.
#[derive(Clone, Default)]
pub struct Settings {
    values: BTreeMap<Setting, Value>,
    profile: Option<Profile>,
    /// Where programs are looked for.
    search_path: Option<OsString>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.values.iter().map(|(setting, value)| (setting, &value.source))).finish()
    }
}

impl Settings {
    /// `read` gives the value of a variable of the environment. Empty ones count as absent.
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
            self.values.insert(setting, Value { text, source: Source::Variable(name.to_owned()) });
        }
    }

    /// The identity token in the variable that another setting names.
    fn add_id_token(&mut self, read: &impl Fn(&str) -> Option<String>) {
        if let Some(name) = self.get(Setting::IdTokenVariable).map(str::to_owned) {
            self.values.remove(&Setting::IdToken);
            self.add_variable(Setting::IdToken, name.trim(), read);
        }
    }

    /// Whether the profiles file counts.
    pub fn wants_profile(&self) -> bool {
        self.is_set(Setting::Profile) || !self.values.keys().any(|setting| setting.is_about_login())
    }

    /// Adds from the text of a profiles file what the environment does not say. `file` is its name. A profile that was named must
    /// be there.
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
                let source = Source::Profile { key, profile: name.clone(), file: file.to_owned() };
                self.values.insert(setting, Value { text, source });
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

    pub(super) fn source(&self, setting: Setting) -> Option<&Source> {
        Some(&self.values.get(&setting)?.source)
    }

    pub(super) fn profile(&self) -> Option<&Profile> {
        self.profile.as_ref()
    }

    pub(super) fn search_path(&self) -> Option<&OsString> {
        self.search_path.as_ref()
    }

    /// Each setting that has a value, by its key in a profile or its variable, and where the value came from.
    pub fn sources(&self) -> impl Iterator<Item = (&'static str, &Source)> {
        self.values.iter().map(|(setting, value)| (setting.key().unwrap_or(setting.variable()), &value.source))
    }
}

fn parse(file: &str, text: &str) -> Result<Ini, AuthError> {
    let mut defaults = IniDefault::default();
    // Sections are names, and a token may hold a `#`.
    defaults.case_sensitive = true;
    defaults.default_section = DEFAULT_PROFILE.into();
    defaults.inline_comment_symbols = Some(Vec::new());
    let mut profiles = Ini::new_from_defaults(defaults);
    // The reason would quote a line, which may be a token.
    profiles.read(text.to_owned()).map_err(|_| AuthError::BadProfiles { file: file.to_owned() })?;
    Ok(profiles)
}

/// The value before a comment, which begins after white space. `None`: there is none.
fn without_comment(value: &str) -> Option<String> {
    let end = [" #", " ;", "\t#", "\t;"].iter().filter_map(|start| value.find(start)).min().unwrap_or(value.len());
    Some(value[..end].trim().to_owned()).filter(|value| !value.is_empty() && !value.starts_with(['#', ';']))
}
