//! The variables of the bundle, which differ between workspaces. Each target has a file that git ignores.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{BundleError, content_of, write_file};

/// A target of the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BundleTarget {
    Dev,
    Prod,
}

impl BundleTarget {
    /// The name in databricks.yml.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Prod => "prod",
        }
    }
}

/// A variable that `bundle init` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BundleQuestion {
    Catalog,
    Schema,
    WarehouseId,
    Notify,
    ServicePrincipal,
}

impl BundleQuestion {
    const ALL: [Self; 5] = [Self::Catalog, Self::Schema, Self::WarehouseId, Self::Notify, Self::ServicePrincipal];

    /// Returns the questions of a target. In dev everything runs as the deployer, who also gets the notifications.
    pub fn of(target: BundleTarget) -> &'static [Self] {
        match target {
            BundleTarget::Dev => &Self::ALL[..3],
            BundleTarget::Prod => &Self::ALL,
        }
    }

    /// The name of the variable in databricks.yml.
    pub fn variable(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::Schema => "schema",
            Self::WarehouseId => "warehouse_id",
            Self::Notify => "notify",
            Self::ServicePrincipal => "service_principal",
        }
    }

    /// The default of the variable in databricks.yml.
    pub fn default(self) -> Option<&'static str> {
        match self {
            Self::Catalog => Some("main"),
            Self::Schema => Some("ops"),
            Self::WarehouseId | Self::Notify | Self::ServicePrincipal => None,
        }
    }

    pub fn text(self) -> &'static str {
        match self {
            Self::Catalog => "Catalog, which must exist",
            Self::Schema => "Schema, which the bundle creates in the catalog",
            Self::WarehouseId => "Id of the SQL warehouse (`databricks warehouses list`)",
            Self::Notify => "E-mail address for failed jobs",
            Self::ServicePrincipal => "Application id of the service principal that the jobs run as",
        }
    }

    /// Returns the trimmed answer.
    ///
    /// # Errors
    /// Why the answer is invalid.
    pub fn checked(self, answer: &str) -> Result<String, String> {
        let answer = answer.trim();
        let is_word = !answer.is_empty() && !answer.chars().any(|it| it.is_control() || it.is_whitespace());
        let reason = match self {
            Self::Catalog | Self::Schema if !is_word || answer.contains(['.', '/', '`', '$']) => {
                "a name is one word without dots, slashes, backticks and dollar signs"
            }
            Self::WarehouseId
                if answer.is_empty() || !answer.chars().all(|it| it.is_ascii_alphanumeric() || it == '-') =>
            {
                "an id has letters, digits and hyphens only, such as 0123456789abcdef"
            }
            Self::Notify if !is_word || !is_address(answer) => "it is not an e-mail address",
            Self::ServicePrincipal if answer.len() != 36 || Uuid::try_parse(answer).is_err() => {
                "an application id is a UUID, such as 00000000-0000-0000-0000-000000000000; it is not the name"
            }
            _ => return Ok(answer.to_owned()),
        };
        Err(reason.into())
    }
}

/// Returns whether a text has the shape of an e-mail address.
pub fn is_address(text: &str) -> bool {
    text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.') && !host.contains('@'))
}

/// Returns the path of the file with the variables of a target.
fn file(folder: &Path, target: BundleTarget) -> PathBuf {
    folder.join(".databricks/bundle").join(target.name()).join("variable-overrides.json")
}

/// Reads the variables of a target. Empty if there is no file.
///
/// # Errors
/// [`BundleError::Read`]; [`BundleError::Shape`] if the file is not a JSON object.
pub fn read(folder: &Path, target: BundleTarget) -> Result<Map<String, Value>, BundleError> {
    let path = file(folder, target);
    match content_of(&path)? {
        Some(content) => serde_json::from_slice(&content).map_err(|error| BundleError::shape(&path, error)),
        None => Ok(Map::new()),
    }
}

/// Returns the variables of the file, overridden by `variables`.
///
/// # Errors
/// As [`read`].
pub fn merged(
    folder: &Path,
    target: BundleTarget,
    variables: &Map<String, Value>,
) -> Result<Map<String, Value>, BundleError> {
    let mut all = read(folder, target)?;
    all.extend(variables.clone());
    Ok(all)
}

/// Writes the variables of a target. Returns the path of the file.
///
/// # Errors
/// [`BundleError::Write`].
pub fn write(folder: &Path, target: BundleTarget, variables: &Map<String, Value>) -> Result<PathBuf, BundleError> {
    let path = file(folder, target);
    let text = serde_json::to_string_pretty(variables).map_err(|error| BundleError::shape(&path, error))?;
    write_file(&path, format!("{text}\n").as_bytes())?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_answers_are_refused() {
        for (question, right, wrong) in [
            (BundleQuestion::Catalog, " main ", &["", "a b", "a.b", "a/b", "`a`", "${var.x}"][..]),
            (BundleQuestion::WarehouseId, "8ec9edc1-0123456789abcdef", &["", "/sql/1.0/warehouses/1", "a b"]),
            (
                BundleQuestion::Notify,
                "a@example.test",
                &["", "a", "a@b", "@example.test", "a b@example.test", "a@b@c.test"],
            ),
            (BundleQuestion::ServicePrincipal, "0b9a2f3c-0000-4000-8000-000000000001", &["", "ops-runbook"]),
        ] {
            assert_eq!(question.checked(right).unwrap(), right.trim());
            for answer in wrong {
                assert!(question.checked(answer).is_err(), "{question:?}: {answer:?}");
            }
        }
    }
}
