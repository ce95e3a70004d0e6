//! What has to be granted for a lake in Unity Catalog, as statements to run.
//!
//! A workspace names one missing privilege at a time, such as `User does not have EXTERNAL USE SCHEMA on Schema 'main.ops'`. Its
//! words choose the statement; names in a statement come from `--lake`.

use crate::{
    databricks::{Client, error::ApiError},
    lake::location::{CatalogPlace, SchemaName, VolumeName},
    tables::ddl::quoted,
};

/// In a statement where it is not known who asks.
const SOMEONE: &str = "<principal>";
/// In a statement where it is not known which external location is meant.
const SOME_LOCATION: &str = "<external location>";

const EXTERNAL_ACCESS: &str = "external data access is off in the metastore. A metastore administrator turns it on in Catalog \
     Explorer (gear icon, Metastore, External data access) or by `databricks metastores update METASTORE_ID \
     --external-access-enabled`";

/// What to do about an answer of the workspace, when a grant, a volume or a setting is missing.
pub async fn advice_for(workspace: &Client, place: &CatalogPlace, error: &ApiError) -> Option<String> {
    let asks_for_a_grant = matches!(error, ApiError::Forbidden(_) | ApiError::Unauthorised(_) | ApiError::NotFound(_));
    if !asks_for_a_grant {
        return None;
    }
    let principal = workspace.current_user().await.map_or_else(|_| SOMEONE.into(), |user| user.name);
    advice(error, place, &principal)
}

fn advice(error: &ApiError, place: &CatalogPlace, principal: &str) -> Option<String> {
    let statements = |grants: &[Grant]| {
        let statements: Vec<String> = grants.iter().map(|grant| grant.statement(principal)).collect();
        statements.join("; ")
    };
    match error {
        ApiError::Forbidden(said) | ApiError::Unauthorised(said) if is_external_access_off(said) => {
            Some(EXTERNAL_ACCESS.into())
        }
        ApiError::Forbidden(said) => {
            let needed = needed(place);
            let owner = match place {
                CatalogPlace::Schema(_) => "of the catalog or the external location",
                CatalogPlace::Volume { .. } => "of the catalog",
            };
            Some(match named(said, &needed).as_slice() {
                [] => format!("let the owner {owner} run what is missing of: {}", statements(&needed)),
                missing => format!("let the owner {owner} run: {}", statements(missing)),
            })
        }
        ApiError::NotFound(said) => Some(missing(said, place, &statements(&needed(place)))),
        _ => None,
    }
}

/// As Databricks says it, at present and before that.
fn is_external_access_off(said: &str) -> bool {
    let said = said.to_lowercase();
    said.contains("external data access") && said.contains("disabled")
        || said.contains("external_access_disabled")
        || said.contains("from outside of databricks unity catalog enabled compute")
}

fn missing(said: &str, place: &CatalogPlace, statements: &str) -> String {
    let schema = place.schema();
    let create = match place {
        _ if said.starts_with("CATALOG_") => return format!("look at the catalog in --lake: {}", schema.catalog),
        CatalogPlace::Schema(_) => format!("CREATE SCHEMA {}", in_sql(schema)),
        CatalogPlace::Volume { volume, .. } if said.starts_with("SCHEMA_") => {
            format!("CREATE SCHEMA {}; CREATE VOLUME {}", in_sql(schema), volume_in_sql(volume))
        }
        CatalogPlace::Volume { volume, .. } => format!("CREATE VOLUME {}", volume_in_sql(volume)),
    };
    format!("look at --lake, or run: {create}. If it exists and may not be seen: {statements}")
}

/// A privilege on something.
#[derive(Debug, Clone)]
struct Grant {
    privilege: &'static str,
    /// The kind of thing, and its name, as in SQL.
    on: String,
}

impl Grant {
    fn statement(&self, principal: &str) -> String {
        format!("GRANT {} ON {} TO {}", self.privilege, self.on, quoted(principal))
    }
}

/// Everything that a lake in a place needs.
fn needed(place: &CatalogPlace) -> Vec<Grant> {
    let schema = place.schema();
    let on_schema = format!("SCHEMA {}", in_sql(schema));
    let mut grants = vec![
        Grant { privilege: "USE CATALOG", on: format!("CATALOG {}", quoted(&schema.catalog)) },
        Grant { privilege: "USE SCHEMA", on: on_schema.clone() },
    ];
    match place {
        CatalogPlace::Schema(_) => {
            let on = format!("EXTERNAL LOCATION {}", quoted(SOME_LOCATION));
            let privileges = ["EXTERNAL USE LOCATION", "READ FILES", "WRITE FILES"];
            grants.extend(privileges.map(|privilege| Grant { privilege, on: on.clone() }));
        }
        CatalogPlace::Volume { volume, .. } => {
            let on = format!("VOLUME {}", volume_in_sql(volume));
            grants.push(Grant { privilege: "EXTERNAL USE SCHEMA", on: on_schema });
            grants.extend(["READ VOLUME", "WRITE VOLUME"].map(|privilege| Grant { privilege, on: on.clone() }));
        }
    }
    grants
}

/// Those whose privilege a text names.
fn named(said: &str, needed: &[Grant]) -> Vec<Grant> {
    let mut said = said.to_uppercase().replace('_', " ");
    // USE SCHEMA is a part of EXTERNAL USE SCHEMA.
    let mut longest_first: Vec<&Grant> = needed.iter().collect();
    longest_first.sort_by_key(|grant| std::cmp::Reverse(grant.privilege.len()));
    let mut found: Vec<Grant> = Vec::new();
    for grant in longest_first {
        if said.contains(grant.privilege) {
            said = said.replace(grant.privilege, "");
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
        let Location::Catalog(place) = lake.parse().unwrap() else { panic!("{lake}") };
        advice(error, &place, "it's `me`").unwrap_or_default()
    }

    #[test]
    fn what_a_workspace_says_becomes_the_statement_that_is_missing() {
        let check = |said: &str, expected: &str| {
            let said = ApiError::Forbidden(format!("PERMISSION_DENIED: {said}"));
            assert_eq!(advice_at("uc://main.ops/lake", &said), format!("let the owner of the catalog run: {expected}"));
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
            "let the owner of the catalog or the external location run: GRANT EXTERNAL USE LOCATION ON EXTERNAL LOCATION \
             `<external location>` TO `it's ``me```"
        );
    }

    #[test]
    fn an_answer_that_names_no_privilege_gives_all_statements() {
        let all = advice_at("uc://main.ops/lake", &ApiError::Forbidden("PERMISSION_DENIED: Access denied.".into()));
        assert_eq!(all.matches("GRANT ").count(), 5, "{all}");
    }

    #[test]
    fn external_data_access_that_is_off_and_things_that_are_missing_have_advice_of_their_own() {
        let off = "External Data Access from non Databricks Compute environment is disabled for metastore x";
        assert!(advice_at("uc://main.ops/lake", &ApiError::Forbidden(off.into())).contains("is off in the metastore"));
        let before = "Request to generate access credential for path 'x' from outside of Databricks Unity Catalog enabled \
                      compute environment is denied for security";
        assert!(advice_at("uc://main.ops", &ApiError::Unauthorised(before.into())).contains("is off in the metastore"));
        assert_eq!(advice_at("uc://main.ops", &ApiError::Unauthorised("bad token".into())), "");
        let check = |lake: &str, said: &str, expected: &str| {
            let advice = advice_at(lake, &ApiError::NotFound(said.into()));
            assert!(advice.contains(expected), "{advice}");
        };
        check("uc://main.ops/lake", "NOT_FOUND: Volume not found", "run: CREATE VOLUME `main`.`ops`.`lake`. If");
        check("uc://main.ops/lake", "SCHEMA_DOES_NOT_EXIST: no", "run: CREATE SCHEMA `main`.`ops`; CREATE VOLUME ");
        check("uc://main.ops/lake", "CATALOG_DOES_NOT_EXIST: no", "look at the catalog in --lake: main");
        check("uc://main.ops", "SCHEMA_DOES_NOT_EXIST: no", "run: CREATE SCHEMA `main`.`ops`. If");
    }
}
