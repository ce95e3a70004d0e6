//! The privileges that a lake in Unity Catalog requires, as GRANT statements.
//!
//! A workspace names one missing privilege at a time, such as `User does not have EXTERNAL USE SCHEMA on Schema 'main.ops'`. Its
//! message selects the statement. The names in a statement come from `--lake`.

use crate::{
    databricks::{Client, error::ApiError},
    lake::location::{CatalogLocation, SchemaName, VolumeName},
    tables::ddl::quoted,
};

/// The principal in a statement if it is unknown.
const PRINCIPAL_PLACEHOLDER: &str = "<principal>";
/// The external location in a statement, which is unknown.
const LOCATION_PLACEHOLDER: &str = "<external location>";

const EXTERNAL_ACCESS: &str = "external data access is off in the metastore. A metastore administrator turns it on in Catalog \
     Explorer (gear icon, Metastore, External data access) or by `databricks metastores update METASTORE_ID \
     --external-access-enabled`";

/// Returns what to do if a grant, a volume or a setting is missing, according to an error of the workspace.
pub async fn advice_for(workspace: &Client, location: &CatalogLocation, error: &ApiError) -> Option<String> {
    let asks_for_a_grant = matches!(error, ApiError::Forbidden(_) | ApiError::Unauthorised(_) | ApiError::NotFound(_));
    if !asks_for_a_grant {
        return None;
    }
    let principal = workspace.current_user().await.map_or_else(|_| PRINCIPAL_PLACEHOLDER.into(), |user| user.name);
    advice(error, location, &principal)
}

fn advice(error: &ApiError, location: &CatalogLocation, principal: &str) -> Option<String> {
    let statements = |grants: &[Grant]| {
        let statements: Vec<String> = grants.iter().map(|grant| grant.statement(principal)).collect();
        statements.join("; ")
    };
    match error {
        ApiError::Forbidden(message) | ApiError::Unauthorised(message) if is_external_access_off(message) => {
            Some(EXTERNAL_ACCESS.into())
        }
        ApiError::Forbidden(message) => {
            let needed = needed(location);
            let owner = match location {
                CatalogLocation::Schema(_) => "of the catalog or the external location",
                CatalogLocation::Volume { .. } => "of the catalog",
            };
            Some(match named(message, &needed).as_slice() {
                [] => format!("ask the owner {owner} to run the missing ones of: {}", statements(&needed)),
                missing => format!("ask the owner {owner} to run: {}", statements(missing)),
            })
        }
        ApiError::NotFound(message) => Some(missing(message, location, &statements(&needed(location)))),
        _ => None,
    }
}

/// Recognises the current message of Databricks and earlier ones.
fn is_external_access_off(message: &str) -> bool {
    let message = message.to_lowercase();
    message.contains("external data access") && message.contains("disabled")
        || message.contains("external_access_disabled")
        || message.contains("from outside of databricks unity catalog enabled compute")
}

fn missing(message: &str, location: &CatalogLocation, statements: &str) -> String {
    let schema = location.schema();
    let create = match location {
        _ if message.starts_with("CATALOG_") => return format!("check the catalog in --lake: {}", schema.catalog),
        CatalogLocation::Schema(_) => format!("CREATE SCHEMA {}", in_sql(schema)),
        CatalogLocation::Volume { volume, .. } if message.starts_with("SCHEMA_") => {
            format!("CREATE SCHEMA {}; CREATE VOLUME {}", in_sql(schema), volume_in_sql(volume))
        }
        CatalogLocation::Volume { volume, .. } => format!("CREATE VOLUME {}", volume_in_sql(volume)),
    };
    format!("check --lake, or run: {create}. If it exists and is not visible to you: {statements}")
}

/// A privilege on a securable object.
#[derive(Debug, Clone)]
struct Grant {
    privilege: &'static str,
    /// The kind and the name of the object, as in SQL.
    on: String,
}

impl Grant {
    fn statement(&self, principal: &str) -> String {
        format!("GRANT {} ON {} TO {}", self.privilege, self.on, quoted(principal))
    }
}

/// Returns all grants that a lake at a location requires.
fn needed(location: &CatalogLocation) -> Vec<Grant> {
    let schema = location.schema();
    let on_schema = format!("SCHEMA {}", in_sql(schema));
    let mut grants = vec![
        Grant { privilege: "USE CATALOG", on: format!("CATALOG {}", quoted(&schema.catalog)) },
        Grant { privilege: "USE SCHEMA", on: on_schema.clone() },
    ];
    match location {
        CatalogLocation::Schema(_) => {
            let on = format!("EXTERNAL LOCATION {}", quoted(LOCATION_PLACEHOLDER));
            let privileges = ["EXTERNAL USE LOCATION", "READ FILES", "WRITE FILES"];
            grants.extend(privileges.map(|privilege| Grant { privilege, on: on.clone() }));
        }
        CatalogLocation::Volume { volume, .. } => {
            let on = format!("VOLUME {}", volume_in_sql(volume));
            grants.push(Grant { privilege: "EXTERNAL USE SCHEMA", on: on_schema });
            grants.extend(["READ VOLUME", "WRITE VOLUME"].map(|privilege| Grant { privilege, on: on.clone() }));
        }
    }
    grants
}

/// Returns the grants whose privilege a message names.
fn named(message: &str, needed: &[Grant]) -> Vec<Grant> {
    let mut message = message.to_uppercase().replace('_', " ");
    // USE SCHEMA is a part of EXTERNAL USE SCHEMA.
    let mut longest_first: Vec<&Grant> = needed.iter().collect();
    longest_first.sort_by_key(|grant| std::cmp::Reverse(grant.privilege.len()));
    let mut found: Vec<Grant> = Vec::new();
    for grant in longest_first {
        if message.contains(grant.privilege) {
            message = message.replace(grant.privilege, "");
            found.push(grant.clone());
        }
    }
    found
}

fn in_sql(SchemaName { catalog, schema }: &SchemaName) -> String {
    format!("{}.{}", quoted(catalog), quoted(schema))
}

fn volume_in_sql(VolumeName { schema, volume }: &VolumeName) -> String {
    format!("{}.{}", in_sql(schema), quoted(volume))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake::location::Location;

    fn advice_at(lake: &str, error: &ApiError) -> String {
        let Location::Catalog(location) = lake.parse().unwrap() else { panic!("{lake}") };
        advice(error, &location, "it's `me`").unwrap_or_default()
    }

    #[test]
    fn a_workspace_error_becomes_the_missing_grant_statement() {
        let check = |message: &str, expected: &str| {
            let message = ApiError::Forbidden(format!("PERMISSION_DENIED: {message}"));
            assert_eq!(
                advice_at("uc://main.ops/lake", &message),
                format!("ask the owner of the catalog to run: {expected}")
            );
        };
        check(
            "User does not have EXTERNAL USE SCHEMA on Schema 'main.ops'.",
            "GRANT EXTERNAL USE SCHEMA ON SCHEMA `main`.`ops` TO `it's ``me```",
        );
        check(
            "User does not have USE SCHEMA on Schema 'x'.",
            "GRANT USE SCHEMA ON SCHEMA `main`.`ops` TO `it's ``me```",
        );
        check("User does not have USE CATALOG on Catalog 'x'.", "GRANT USE CATALOG ON CATALOG `main` TO `it's ``me```");
        check(
            "User does not have WRITE_VOLUME on 'x'",
            "GRANT WRITE VOLUME ON VOLUME `main`.`ops`.`lake` TO `it's ``me```",
        );
        let location = ApiError::Forbidden("User does not have EXTERNAL USE LOCATION on External Location 'x'".into());
        assert_eq!(
            advice_at("uc://main.ops", &location),
            "ask the owner of the catalog or the external location to run: GRANT EXTERNAL USE LOCATION ON EXTERNAL LOCATION \
             `<external location>` TO `it's ``me```"
        );
    }

    #[test]
    fn an_error_that_names_no_privilege_gives_all_statements() {
        let all = advice_at("uc://main.ops/lake", &ApiError::Forbidden("PERMISSION_DENIED: Access denied.".into()));
        assert_eq!(all.matches("GRANT ").count(), 5, "{all}");
    }

    #[test]
    fn disabled_external_data_access_and_missing_objects_have_their_own_advice() {
        let off = "External Data Access from non Databricks Compute environment is disabled for metastore x";
        assert!(advice_at("uc://main.ops/lake", &ApiError::Forbidden(off.into())).contains("is off in the metastore"));
        let before = "Request to generate access credential for path 'x' from outside of Databricks Unity Catalog enabled \
                      compute environment is denied for security";
        assert!(advice_at("uc://main.ops", &ApiError::Unauthorised(before.into())).contains("is off in the metastore"));
        assert_eq!(advice_at("uc://main.ops", &ApiError::Unauthorised("bad token".into())), "");
        let check = |lake: &str, message: &str, expected: &str| {
            let advice = advice_at(lake, &ApiError::NotFound(message.into()));
            assert!(advice.contains(expected), "{advice}");
        };
        check("uc://main.ops/lake", "NOT_FOUND: Volume not found", "run: CREATE VOLUME `main`.`ops`.`lake`. If");
        check("uc://main.ops/lake", "SCHEMA_DOES_NOT_EXIST: no", "run: CREATE SCHEMA `main`.`ops`; CREATE VOLUME ");
        check("uc://main.ops/lake", "CATALOG_DOES_NOT_EXIST: no", "check the catalog in --lake: main");
        check("uc://main.ops", "SCHEMA_DOES_NOT_EXIST: no", "run: CREATE SCHEMA `main`.`ops`. If");
    }
}
