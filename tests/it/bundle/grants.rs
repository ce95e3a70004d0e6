//! Tests of `bundle check`: the statement for each missing grant.

use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::{
    support::binary,
    wait,
    warehouse::fake::{Fake, Reply, Request, TOKEN, error, found, statement_state},
};

const PRINCIPAL: &str = "0b9a2f3c-0000-4000-8000-000000000001";

fn failed(message: &str) -> Reply {
    let mut answer = statement_state("FAILED");
    answer["status"]["error"] = json!({ "error_code": "BAD_REQUEST", "message": message });
    answer.into()
}

/// Runs `bundle check` on a workspace that answers the first statement with `reply`. Returns the output and the statements.
async fn check(principal: &str, reply: Reply) -> (Output, Vec<String>) {
    let me = principal.to_owned();
    let fake = Fake::answering(move |request: &Request| {
        if request.line.starts_with("GET /api/2.0/preview/scim/v2/Me") {
            return json!({ "userName": me }).into();
        }
        let is_first = request.body["statement"].as_str().is_some_and(|sql| sql.starts_with("CREATE"));
        if is_first { reply.clone() } else { found(&[], 0, 1, json!([])).into() }
    })
    .await;
    let mut command = binary("nowhere".as_ref() as &std::path::Path);
    command.args(["bundle", "check", "--catalog", "main", "--schema", "odd`ops", "--warehouse-id", "w1", "--json"]);
    command.env("DATABRICKS_HOST", &fake.url).env("DATABRICKS_TOKEN", TOKEN);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let output = tokio::task::spawn_blocking(move || wait::output_of("bundle check", child)).await.unwrap();
    let statements = fake.requests().into_iter().filter_map(|request| Some(request.body["statement"].as_str()?.into()));
    (output, statements.collect())
}

fn states(output: &Output) -> Vec<String> {
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let grants = found["grants"].as_array().unwrap().iter();
    grants
        .map(|grant| format!("{}: {}", grant["privilege"].as_str().unwrap(), grant["state"].as_str().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_with_all_grants_leaves_no_view() {
    let (output, statements) = check(PRINCIPAL, found(&[], 0, 1, json!([])).into()).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let view = "`main`.`odd``ops`.`ops_runbook_grant_check`";
    assert_eq!(
        statements,
        [format!("CREATE OR REPLACE VIEW {view} AS SELECT 1 AS one"), format!("DROP VIEW IF EXISTS {view}")]
    );
    assert!(states(&output).iter().all(|state| state.ends_with(": granted")), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_grant_is_named_with_its_statement() {
    let denied = |what: &str| {
        failed(&format!(
            "[INSUFFICIENT_PERMISSIONS] Insufficient privileges: User does not have {what}. SQLSTATE: 42501"
        ))
    };
    let catalog = format!("GRANT USE CATALOG ON CATALOG `main` TO `{PRINCIPAL}`;");
    let schema = format!("GRANT USE SCHEMA ON SCHEMA `main`.`odd``ops` TO `{PRINCIPAL}`;");
    let table = format!("GRANT CREATE TABLE ON SCHEMA `main`.`odd``ops` TO `{PRINCIPAL}`;");
    let warehouse = format!(
        "databricks warehouses update-permissions w1 --json \
         '{{\"access_control_list\":[{{\"service_principal_name\":\"{PRINCIPAL}\",\"permission_level\":\"CAN_USE\"}}]}}'"
    );
    let all = [&warehouse, &catalog, &schema, &table];
    for (reply, missing) in [
        (error(403, "PERMISSION_DENIED", "You do not have permission to use the SQL warehouse w1."), 0),
        (denied("USE CATALOG on Catalog 'main'"), 1),
        (denied("USE SCHEMA on Schema 'main.odd`ops'"), 2),
        (denied("CREATE TABLE on Schema 'main.odd`ops'"), 3),
    ] {
        let (output, statements) = check(PRINCIPAL, reply).await;
        assert_eq!((output.status.code(), statements.len()), (Some(1), 1), "{output:?}");
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        for (number, grant) in found["grants"].as_array().unwrap().iter().enumerate() {
            let expected = ["granted", "missing", "not-checked"][(number + 1).saturating_sub(missing).min(2)];
            assert_eq!((&grant["state"], &grant["statement"]), (&json!(expected), &json!(all[number])), "{missing}");
            assert_eq!(grant["answer"].is_string(), number == missing, "{grant}");
        }
    }
}

/// An error without the name of a privilege is shown with the statements of all grants that may be missing.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_without_a_privilege_is_shown_unchanged() {
    let (output, _) = check(PRINCIPAL, failed("PERMISSION_DENIED: no")).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let expected =
        ["CAN USE: granted", "USE CATALOG: not-checked", "USE SCHEMA: not-checked", "CREATE TABLE: not-checked"];
    assert_eq!(states(&output), expected);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["grants"][1]["answer"], "PERMISSION_DENIED: no");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_gets_a_grant_as_a_user_and_other_errors_are_not_missing_grants() {
    let (output, _) = check("a@example.test", error(403, "PERMISSION_DENIED", "no")).await;
    assert!(String::from_utf8_lossy(&output.stdout).contains("\\\"user_name\\\":\\\"a@example.test\\\""), "{output:?}");
    let (output, _) = check(PRINCIPAL, failed("[SCHEMA_NOT_FOUND] The schema `odd``ops` cannot be found.")).await;
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("SCHEMA_NOT_FOUND"), "{output:?}");
}
