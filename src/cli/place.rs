//! `--lake`: where the lake is, and what the environment says about getting there.

use super::{Global, workspace};
use crate::lake::{Context, Lake, LakeError, Surroundings};

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
    let catalog_root = global.catalog_root.clone().filter(|root| !root.trim().is_empty());
    Ok(Surroundings { variables: std::env::vars_os().filter_map(text).collect(), workspace, catalog_root })
}

/// Variables that are not text concern nobody here.
fn text((name, value): (std::ffi::OsString, std::ffi::OsString)) -> Option<(String, String)> {
    Some((name.into_string().ok()?, value.into_string().ok()?))
}
