//! Checks the privileges that the jobs need in Unity Catalog, by trying them: a list of grants leaves out privileges of
//! groups and of owners.

use serde::Serialize;

use crate::{
    databricks::{
        error::ApiError,
        statements::{Statement, StatementError, StatementRunner},
    },
    tables::ddl::quoted,
};

/// The view that is created and dropped for the check.
const PROBE: &str = "ops_runbook_grant_check";

/// The schema to check, and the warehouse that runs the statements.
#[derive(Debug, Clone, Copy)]
pub struct CheckedSchema<'a> {
    pub catalog: &'a str,
    pub schema: &'a str,
    pub warehouse_id: &'a str,
}

/// The needed privileges, in the order in which Databricks checks them.
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

    /// Returns the privilege that an error of the warehouse names.
    fn of_refusal(message: &str) -> Option<Self> {
        let message = message.to_uppercase().replace('_', " ").replace("EXTERNAL USE SCHEMA", "");
        Self::ALL.into_iter().find(|privilege| *privilege > Self::UseWarehouse && message.contains(privilege.name()))
    }

    /// Returns the statement or command that grants it.
    fn statement(self, checked: CheckedSchema<'_>, principal: &str) -> String {
        let (catalog, schema) = (quoted(checked.catalog), quoted(checked.schema));
        let name = self.name();
        let to = quoted(principal);
        match self {
            Self::UseWarehouse => {
                let kind = if principal.contains('@') { "user_name" } else { "service_principal_name" };
                let entry = serde_json::json!({ kind: principal, "permission_level": "CAN_USE" });
                let body = serde_json::json!({ "access_control_list": [entry] }).to_string();
                let command = ["databricks", "warehouses", "update-permissions", checked.warehouse_id, "--json", &body];
                shlex::try_join(command).unwrap_or_default()
            }
            Self::UseCatalog => format!("GRANT {name} ON CATALOG {catalog} TO {to};"),
            Self::UseSchema | Self::CreateTable => format!("GRANT {name} ON SCHEMA {catalog}.{schema} TO {to};"),
        }
    }
}

/// The result of checking a privilege.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrantState {
    Granted,
    Missing,
    /// Unknown, because a privilege that Databricks checks earlier is missing.
    NotChecked,
}

/// A checked privilege, with the statement that grants it.
#[derive(Debug, Serialize)]
pub struct CheckedGrant {
    pub privilege: &'static str,
    pub state: GrantState,
    pub statement: String,
    /// The error message of the workspace.
    pub answer: Option<String>,
}

/// Checks the privileges for `catalog register`: creates a view in the schema and drops it.
/// `principal`: the name of the identity.
///
/// # Errors
/// [`StatementError`] when a statement fails for another reason than a missing privilege.
pub async fn check(
    statements: &StatementRunner,
    checked: CheckedSchema<'_>,
    principal: &str,
) -> Result<Vec<CheckedGrant>, StatementError> {
    let view = [checked.catalog, checked.schema, PROBE].map(quoted).join(".");
    let create = format!("CREATE OR REPLACE VIEW {view} AS SELECT 1 AS one");
    let refused = refusal(run(statements, checked, &create).await)?;
    if refused.is_none() {
        run(statements, checked, &format!("DROP VIEW IF EXISTS {view}")).await?;
    }
    let mut grants: Vec<CheckedGrant> = Privilege::ALL
        .into_iter()
        .map(|privilege| CheckedGrant {
            privilege: privilege.name(),
            state: refused.as_ref().map_or(GrantState::Granted, |refused| refused.state(privilege)),
            statement: privilege.statement(checked, principal),
            answer: None,
        })
        .collect();
    if let Some(first) = grants.iter_mut().find(|grant| grant.state != GrantState::Granted) {
        first.answer = refused.map(|refused| refused.answer);
    }
    Ok(grants)
}

/// A missing privilege, as the warehouse reported it.
#[derive(Debug)]
struct MissingPrivilege {
    /// `None`: the error message names no privilege.
    privilege: Option<Privilege>,
    /// The error message of the workspace.
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

async fn run(statements: &StatementRunner, checked: CheckedSchema<'_>, sql: &str) -> Result<(), StatementError> {
    let CheckedSchema { catalog, schema, warehouse_id } = checked;
    statements.run(Statement { warehouse_id, catalog, schema, sql, parameters: &[] }, |_| {}).await.map(drop)
}
