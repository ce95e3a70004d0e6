//! `--lake` and `--inbox`: opens the lake and the inbox with the settings of the environment.

use super::{GlobalOptions, workspace};
use crate::{
    inbox::{Inbox, InboxError},
    lake::{Context, Lake, LakeError, StoreEnvironment, cloud::StoreVariables},
};

/// Opens the lake of `--lake`. Sends no request, and reads and creates no file.
///
/// # Errors
/// [`LakeError::BadLocation`], [`LakeError::BadSetting`].
pub fn lake(global: &GlobalOptions, context: Context) -> Result<Lake, LakeError> {
    Lake::open(&global.lake, &store_environment(global)?, context)
}

/// # Errors
/// [`LakeError::BadSetting`] when the location needs a workspace, and it is not known which.
pub fn store_environment(global: &GlobalOptions) -> Result<StoreEnvironment, LakeError> {
    let workspace = match global.lake.starts_with("uc://") {
        true => Some(workspace::client().map_err(|failure| LakeError::BadSetting {
            location: global.lake.clone(),
            reason: failure.to_string(),
            hint: failure.hint().unwrap_or_default(),
        })?),
        false => None,
    };
    let given = |value: &Option<String>| value.clone().filter(|value| !value.trim().is_empty());
    let (catalog_root, volume_path) = (given(&global.catalog_root), given(&global.volume_path));
    Ok(StoreEnvironment { variables: variables(), workspace, catalog_root, volume_path, ..StoreEnvironment::default() })
}

/// Opens the inbox of `--inbox`. Sends no request, and reads and creates no file.
///
/// # Errors
/// [`InboxError::NotSupported`], [`InboxError::Root`], [`InboxError::Place`].
pub fn inbox(text: &str) -> Result<Inbox, InboxError> {
    Inbox::open(text, &StoreEnvironment { variables: variables(), ..StoreEnvironment::default() })
}

fn variables() -> StoreVariables {
    std::env::vars_os().filter_map(text).collect()
}

/// Returns a variable as text. Variables that are not Unicode are ignored.
fn text((name, value): (std::ffi::OsString, std::ffi::OsString)) -> Option<(String, String)> {
    Some((name.into_string().ok()?, value.into_string().ok()?))
}
