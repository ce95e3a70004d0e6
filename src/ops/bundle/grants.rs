//! Whether an identity may do in Unity Catalog what the jobs do. It is tried, because a list of grants leaves out what comes from
//! groups and from ownership.

use serde::Serialize;

use crate::{
    databricks::{
        error::ApiError,
        statements::{Statement, StatementError, Statements},
    },
    tables::ddl::quoted,
};

/// The view that is made and dropped.
const PROBE: &str = "ops_runbook_grant_check";

/// Where the tables are shown, and what runs the statements.
#[derive(Debug, Clone, Copy)]
pub struct CheckedSchema<'a> {
    pub catalog: &'a str,
    pub schema: &'a str,
    pub warehouse_id: &'a str,
}

/// What the identity needs, in the order in which Databricks asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Privilege {
    UseWarehouse,
    UseCatalog,
    UseSchema,
    CreateTable,
}

impl Privilege {
    const ALL: [Self; 4] = [Self::UseWarehouse, Self::UseCatalog, Self::UseSchema, Self::CreateTable];

    fn name(self) -> &'static str {
        match self {
            Self::UseWarehouse => "CAN USE",
            Self::UseCatalog => "USE CATALOG",
            Self::UseSchema => "USE SCHEMA",
            Self::CreateTable => "CREATE TABLE",
        }
    }

    /// The privilege that a refusal of the warehouse names.
    fn of_refusal(message: &str) -> Option<Self> {
        let message = message.to_uppercase().replace('_', " ").replace("EXTERNAL USE SCHEMA", "");
        Self::ALL.into_iter().find(|privilege| *privilege > Self::UseWarehouse && message.contains(privilege.name()))
    }

    /// What grants it.
    fn statement(self, place: CheckedSchema<'_>, principal: &str) -> String {
        let (catalog, schema) = (quoted(place.catalog), quoted(place.schema));
        let name = self.name();
        let to = quoted(principal);
        match self {
            Self::UseWarehouse => {
                let kind = if principal.contains('@') { "user_name" } else { "service_principal_name" };
                let entry = serde_json::json!({ kind: principal, "permission_level": "CAN_USE" });
                let body = serde_json::json!({ "access_control_list": [entry] }).to_string();
                let words = ["databricks", "warehouses", "update-permissions", place.warehouse_id, "--json", &body];
                shlex::try_join(words).unwrap_or_default()
            }
            Self::UseCatalog => format!("GRANT {name} ON CATALOG {catalog} TO {to};"),
            Self::UseSchema | Self::CreateTable => format!("GRANT {name} ON SCHEMA {catalog}.{schema} TO {to};"),
        }
    }
}

/// What is known of a privilege.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrantState {
    Granted,
    Missing,
    /// A privilege that Databricks asks for earlier is missing.
    NotChecked,
}

/// A privilege, whether the identity has it, and what grants it.
#[derive(Debug, Serialize)]
pub struct Grant {
    pub privilege: &'static str,
    pub state: GrantState,
    pub statement: String,
    /// What the workspace said when it refused.
    pub answer: Option<String>,
}

/// Tries what `tables register` needs: makes a view in the schema, and drops it. `principal`: the name of the identity.
///
/// # Errors
/// [`StatementError`] when a statement fails for another reason than a missing privilege.
pub async fn check(
    statements: &Statements,
    place: CheckedSchema<'_>,
    principal: &str,
) -> Result<Vec<Grant>, StatementError> {
    let view = [place.catalog, place.schema, PROBE].map(quoted).join(".");
    let make = format!("CREATE OR REPLACE VIEW {view} AS SELECT 1 AS one");
    let refused = refusal(run(statements, place, &make).await)?;
    if refused.is_none() {
        run(statements, place, &format!("DROP VIEW IF EXISTS {view}")).await?;
    }
    let mut grants: Vec<Grant> = Privilege::ALL
        .into_iter()
        .map(|privilege| Grant {
            privilege: privilege.name(),
            state: refused.as_ref().map_or(GrantState::Granted, |refused| refused.state(privilege)),
            statement: privilege.statement(place, principal),
            answer: None,
        })
        .collect();
    if let Some(first) = grants.iter_mut().find(|grant| grant.state != GrantState::Granted) {
        first.answer = refused.map(|refused| refused.answer);
    }
    Ok(grants)
}

/// Why a statement did not run.
#[derive(Debug)]
struct MissingPrivilege {
    /// `None`: one that the warehouse asks for, and the answer does not name it.
    privilege: Option<Privilege>,
    /// The workspace's own words.
    answer: String,
}

impl MissingPrivilege {
    fn state(&self, privilege: Privilege) -> GrantState {
        match self.privilege {
            Some(missing) if privilege == missing => GrantState::Missing,
            Some(missing) if privilege < missing => GrantState::Granted,
            None if privilege == Privilege::UseWarehouse => GrantState::Granted,
            _ => GrantState::NotChecked,
        }
    }
}

fn refusal(ran: Result<(), StatementError>) -> Result<Option<MissingPrivilege>, StatementError> {
    match ran {
        Ok(()) => Ok(None),
        Err(StatementError::Api(ApiError::Forbidden(answer))) => {
            let privilege = Privilege::of_refusal(&answer).or(Some(Privilege::UseWarehouse));
            Ok(Some(MissingPrivilege { privilege, answer }))
        }
        Err(StatementError::Failed { code, message }) if is_denial(&code, &message) => {
            Ok(Some(MissingPrivilege { privilege: Privilege::of_refusal(&message), answer: message }))
        }
        Err(error) => Err(error),
    }
}

fn is_denial(code: &str, message: &str) -> bool {
    ["PERMISSION_DENIED", "INSUFFICIENT_PERMISSIONS"].iter().any(|it| code.contains(it) || message.contains(it))
}

async fn run(statements: &Statements, place: CheckedSchema<'_>, sql: &str) -> Result<(), StatementError> {
    let CheckedSchema { catalog, schema, warehouse_id } = place;
    statements.run(Statement { warehouse_id, catalog, schema, sql, parameters: &[] }, |_| {}).await.map(drop)
}
