//! `--lake`: where the lake is, and what the environment says about getting there.

use super::{Global, workspace};
use crate::{
    inbox::{Inbox, InboxError},
    lake::{Context, Lake, LakeError, Surroundings, cloud::Variables},
};

/// The lake that the arguments name. Asks, reads and makes nothing.
///
/// # Errors
/// [`LakeError::BadLocation`], [`LakeError::BadSetting`].
pub fn lake(global: &Global, context: Context) -> Result<Lake, LakeError> {
    Lake::open(&global.lake, &surroundings(global)?, context)
}

/// # Errors
/// [`LakeError::BadSetting`] when the location needs a workspace, and it is not known which.
pub fn surroundings(global: &Global) -> Result<Surroundings, LakeError> {
    let workspace = match global.lake.starts_with("uc://") {
        true => Some(workspace::client().map_err(|failure| LakeError::BadSetting {
            place: global.lake.clone(),
            reason: failure.to_string(),
            hint: failure.hint().unwrap_or_default(),
        })?),
        false => None,
    };
    let given = |value: &Option<String>| value.clone().filter(|value| !value.trim().is_empty());
    let (catalog_root, volume_path) = (given(&global.catalog_root), given(&global.volume_path));
    Ok(Surroundings { variables: variables(), workspace, catalog_root, volume_path, ..Surroundings::default() })
}

/// The inbox that an argument names. Asks, reads and makes nothing.
///
/// # Errors
/// [`InboxError::Unfit`], [`InboxError::Root`], [`InboxError::Place`].
pub fn inbox(text: &str) -> Result<Inbox, InboxError> {
    Inbox::open(text, &Surroundings { variables: variables(), ..Surroundings::default() })
}

fn variables() -> Variables {
    std::env::vars_os().filter_map(text).collect()
}

/// Variables that are not text concern nobody here.
fn text((name, value): (std::ffi::OsString, std::ffi::OsString)) -> Option<(String, String)> {
    Some((name.into_string().ok()?, value.into_string().ok()?))
}
