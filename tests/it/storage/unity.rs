//! Lakes at `uc://`: vended credentials that expire within seconds, and a store that checks them.

use std::{fs, time::Duration};

use object_store::{ObjectStore, ObjectStoreExt};
use ops_runbook::{
    databricks::{Client, Token},
    lake::{Context, Lake, StoreEnvironment},
    tables::catalog::{self, AUDIT_LOG},
};
use serde_json::{Value, json};
use tempfile::tempdir;

use super::{
    emulators::{Store, Stored},
    workspace::{PRINCIPAL, TOKEN, VOLUME_ID, Workspace, volume},
};

use crate::{
    record::assert_examples_stand_once,
    support::{LakeLocation, assert_intact, json_lines, ok, report, run},
};

/// A lake in the volume `main.ops.lake`, accessible only with vended credentials.
fn in_volume(store: &Store, workspace: &Workspace) -> Stored {
    Stored { uri: "uc://main.ops/lake".into(), ..lake(store, workspace) }
}

/// A lake in the schema `main.ops`, accessible only with vended credentials.
fn lake(store: &Store, workspace: &Workspace) -> Stored {
    let mut place = Stored { uri: "uc://main.ops".into(), variables: store.variables.clone() };
    place.variables.retain(|(name, _)| !name.contains("KEY") && name != "GOOGLE_SERVICE_ACCOUNT");
    place.variables.push(("DATABRICKS_HOST".into(), workspace.url.clone()));
    place.variables.push(("DATABRICKS_TOKEN".into(), TOKEN.into()));
    place
}

fn guarded(good_for: Duration) -> (Store, Workspace, Stored) {
    let (store, workspace) = (Store::s3(), Workspace::vending_for(good_for));
    let guard = workspace.clone();
    store.proxy.admits(move |headers| guard.accepts(headers));
    let place = lake(&store, &workspace);
    (store, workspace, place)
}

#[test]
fn credentials_for_s3_are_replaced_before_they_expire_during_a_job() {
    let (store, workspace, place) = guarded(Duration::from_secs(3));
    let asked = json!({ "url": "s3://ops/schema", "operation": "PATH_READ_WRITE" });
    assert_replaced_before_expiry(&store, &workspace, &place, &asked);
}

#[test]
fn credentials_for_a_volume_in_s3_are_replaced_before_they_expire_during_a_job() {
    let (store, workspace, _) = guarded(Duration::from_secs(3));
    let asked = json!({ "volume_id": VOLUME_ID, "operation": "WRITE_VOLUME" });
    assert_replaced_before_expiry(&store, &workspace, &in_volume(&store, &workspace), &asked);
}

fn assert_replaced_before_expiry(store: &Store, workspace: &Workspace, place: &Stored, asked_for: &Value) {
    // The job takes long because of its requests, not because of computation between signing and sending.
    store.proxy.takes(Duration::from_millis(200));
    let folder = tempdir().unwrap();
    let file = folder.path().join("many.jsonl");
    let text: String = (0..12).map(|n| format!("{}\n", report(&format!("r{n}")))).collect();
    fs::write(&file, text).unwrap();
    let answers = json_lines(place, &["record", file.to_str().unwrap()]);
    assert_eq!(answers.len(), 12);
    let (asked, used) = {
        let books = workspace.books.lock().unwrap();
        (books.asked.clone(), books.used.len())
    };
    assert!(asked.len() > 1, "the job was too short to show anything");
    assert_eq!(&asked[0], asked_for);
    assert_eq!(used, asked.len(), "new credentials were not used");
    assert_eq!(store.proxy.turned_away(), 0, "credentials were used after their end");
    store.proxy.takes(Duration::ZERO);
    assert_intact(place, 12);
    println!("credentials asked for {} times", asked.len());
}

/// All requests of one poll come before the first response, and wait for the one that requests credentials.
#[tokio::test]
async fn due_credentials_for_s3_are_requested_once_for_many_concurrent_requests() {
    let store = Store::s3();
    let workspace = Workspace::vending_for(Duration::from_secs(600));
    let place = lake(&store, &workspace);
    ok(&place, &["init"]);
    workspace.books.lock().unwrap().good_for = Duration::ZERO;
    let lake = opened(&place, &workspace);
    // From here on it has expired credentials.
    lake.table(AUDIT_LOG).log().await.unwrap();
    let before = {
        let mut books = workspace.books.lock().unwrap();
        books.good_for = Duration::from_secs(600);
        books.asked.len()
    };
    let table = lake.table(AUDIT_LOG);
    let reads = (0..8).map(|_| table.log());
    assert!(futures::future::join_all(reads).await.iter().all(Result::is_ok));
    assert_eq!(workspace.books.lock().unwrap().asked.len(), before + 1);
}

fn opened(place: &Stored, workspace: &Workspace) -> Lake {
    let client = Client::new(workspace.url.parse().unwrap(), TOKEN.parse::<Token>().unwrap()).unwrap();
    let variables = place.variables.iter().cloned().collect();
    let store_environment = StoreEnvironment { variables, workspace: Some(client), ..StoreEnvironment::default() };
    Lake::open(&place.uri, &store_environment, Context::system()).unwrap()
}

/// The workspace announces no expiry; the store rejects the credentials.
#[tokio::test]
async fn credentials_without_expiry_are_replaced_when_s3_rejects_them() {
    for in_a_volume in [true, false] {
        let (store, workspace, in_schema) = guarded(Duration::from_secs(600));
        workspace.books.lock().unwrap().is_open_source = true;
        let place = if in_a_volume { in_volume(&store, &workspace) } else { in_schema };
        let lake = opened(&place, &workspace);
        lake.init().await.unwrap();
        let table = lake.table(AUDIT_LOG);
        let asked = || workspace.books.lock().unwrap().asked.len();
        let before = asked();
        table.log().await.unwrap();
        assert_eq!(asked(), before, "credentials that are accepted are kept");
        workspace.revokes();
        table.log().await.unwrap();
        assert_eq!(asked(), before + 1);
        workspace.revokes();
        let listed: Vec<_> = futures::TryStreamExt::try_collect(table.store.list(None)).await.unwrap();
        assert!(!listed.is_empty());
        assert_eq!(asked(), before + 2);
        // Credentials that the store never accepts are an error after one more attempt.
        store.proxy.admits(|_| false);
        assert!(table.log().await.unwrap_err().to_string().contains("the storage reports an error"));
        assert!(asked() <= before + 2 + 2, "{} requests for credentials", asked());
    }
}

#[test]
fn a_vended_signature_suffices_for_a_lake_on_azure() {
    assert_vended_credentials_suffice(&Store::azure(), "abfss://ops@devstoreaccount1.dfs.core.windows.net", &[]);
}

#[test]
fn a_vended_token_suffices_for_a_lake_on_google() {
    let store = Store::google();
    // Without an account there is no file with the address.
    let address = ("GOOGLE_BASE_URL".to_owned(), store.proxy.url.clone());
    assert_vended_credentials_suffice(&store, "gs://ops", &[address]);
}

/// Asserts this for a lake in the schema's own storage, and in a folder of a volume.
fn assert_vended_credentials_suffice(store: &Store, root: &str, more: &[(String, String)]) {
    let workspace = Workspace::vending_for(Duration::from_secs(3));
    {
        let mut books = workspace.books.lock().unwrap();
        books.vends = store.vended.clone();
        books.schema = (200, json!({ "name": "ops", "storage_location": format!("{root}/schema") }));
        books.volume = (200, volume(&format!("{root}/__unitystorage/volumes/1/")));
    }
    let schema = lake(store, &workspace);
    let folder = Stored { uri: "uc://main.ops/lake/a/b".into(), ..schema.clone() };
    for mut place in [schema, folder] {
        place.variables.extend_from_slice(more);
        assert_usable(&place);
    }
    assert_eq!(workspace.books.lock().unwrap().asked.last().unwrap()["volume_id"], VOLUME_ID);
}

/// Asserts that a lake can be created, written, maintained, and passes all health checks.
fn assert_usable(place: &Stored) {
    assert_examples_stand_once(place);
    ok(place, &["maintain"]);
    let doctor = json_lines(place, &["doctor"]).remove(0);
    assert_eq!(doctor["usable"], true, "{doctor:#}");
    assert!(!doctor.to_string().contains("warning"), "{doctor:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_in_a_volume_in_s3_works_like_any_other_and_is_in_its_folder() {
    let (store, workspace, _) = guarded(Duration::from_secs(600));
    let volume = in_volume(&store, &workspace);
    let folder = Stored { uri: "uc://main.ops/lake/team/one".into(), ..volume.clone() };
    let using = tokio::task::spawn_blocking(move || {
        for place in [volume, folder] {
            ok(&place, &["init"]);
            assert_usable(&place);
            assert_eq!(json_lines(&place, &["audit", "verify"])[0]["intact"], true);
        }
    });
    using.await.unwrap();
    store.proxy.admits(|_| true);
    for folder in ["", "team/one/"] {
        let first = format!("__unitystorage/volumes/1/{folder}audit_log/_delta_log/00000000000000000000.json");
        store.client().head(&first.into()).await.unwrap();
    }
    assert!(workspace.books.lock().unwrap().asked.iter().all(|asked| asked["operation"] == "WRITE_VOLUME"));
}

#[test]
fn an_inaccessible_volume_in_s3_is_reported_with_the_missing_grant() {
    let (store, workspace, _) = guarded(Duration::from_secs(600));
    let place = in_volume(&store, &workspace);
    let check = |expected: &[&str]| {
        let init = run(&place, &["init"]);
        let doctor = run(&place, &["doctor"]);
        assert_eq!((init.status.code(), doctor.status.code()), (Some(1), Some(1)));
        for text in [String::from_utf8(init.stderr).unwrap(), String::from_utf8(doctor.stdout).unwrap()] {
            // Long lines are wrapped.
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            for part in expected {
                assert!(text.contains(part), "{part} in {text}");
            }
            assert!(!text.contains("hunter2"), "{text}");
        }
    };
    let answer = |status: u16, code: &str, message: &str| {
        (status, json!({ "error_code": code, "message": message, "details": [{ "reason": code }] }))
    };
    let volume = |answer| workspace.books.lock().unwrap().volume = answer;
    let refuses = |answer| workspace.books.lock().unwrap().refuses = Some(answer);

    let known = workspace.books.lock().unwrap().volume.clone();
    volume(answer(404, "RESOURCE_DOES_NOT_EXIST", "Volume 'main.ops.lake' does not exist."));
    check(&["the volume main.ops.lake cannot be looked up", "run: CREATE VOLUME `main`.`ops`.`lake`"]);
    volume(answer(404, "SCHEMA_DOES_NOT_EXIST", "Schema 'main.ops' does not exist."));
    check(&["run: CREATE SCHEMA `main`.`ops`; CREATE VOLUME `main`.`ops`.`lake`"]);
    let grant = |what: &str| format!("GRANT {what} TO `{PRINCIPAL}`");
    volume(answer(403, "PERMISSION_DENIED", "User does not have USE SCHEMA on Schema 'main.ops'."));
    check(&["ask the owner of the catalog to run", &grant("USE SCHEMA ON SCHEMA `main`.`ops`")]);
    volume(known);

    refuses(answer(403, "PERMISSION_DENIED", "User does not have EXTERNAL USE SCHEMA on Schema 'main.ops'."));
    check(&[
        "the workspace vends no credentials for uc://main.ops/lake",
        &grant("EXTERNAL USE SCHEMA ON SCHEMA `main`.`ops`"),
    ]);
    refuses(answer(403, "PERMISSION_DENIED", "User does not have WRITE VOLUME on Volume 'main.ops.lake'."));
    check(&[&grant("WRITE VOLUME ON VOLUME `main`.`ops`.`lake`")]);
    let off = "External Data Access from non Databricks Compute environment is disabled for metastore 1234.";
    refuses(answer(403, "PERMISSION_DENIED", off));
    check(&["external data access is off in the metastore", "--external-access-enabled"]);
    refuses(answer(403, "PERMISSION_DENIED", "Access denied."));
    check(&["run the missing ones of", &grant("READ VOLUME ON VOLUME `main`.`ops`.`lake`")]);

    let root = run(&place, &["init", "--catalog-root", "s3://ops/elsewhere"]);
    assert_eq!(root.status.code(), Some(2));
    assert!(String::from_utf8(root.stderr).unwrap().contains("a volume has its own storage"));
}

#[test]
fn a_schema_without_storage_in_s3_is_reported_with_a_hint() {
    let (_store, workspace, place) = guarded(Duration::from_secs(600));
    let check = |place: &Stored, arguments: &[&str], expected: &[&str]| {
        let output = run(place, &[&["init"], arguments].concat());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{text}");
        for part in expected {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("hunter2"), "{text}");
    };
    let managed = json!({ "name": "ops", "storage_location": "s3://ops/__unitystorage/schemas/1" });
    workspace.books.lock().unwrap().schema = (200, managed);
    check(&place, &[], &["has no storage of its own for external tables", "hint: set --catalog-root"]);
    check(&place, &["--catalog-root", "ftp://host"], &["the scheme ftp is not supported"]);
    check(&place, &["--catalog-root", "gs://ops/lake"], &["for another kind of storage"]);
    ok(&place, &["init", "--catalog-root", "s3://ops/elsewhere"]);
    assert_eq!(workspace.books.lock().unwrap().asked.last().unwrap()["url"], "s3://ops/elsewhere");

    workspace.books.lock().unwrap().schema =
        (404, json!({ "error_code": "SCHEMA_DOES_NOT_EXIST", "message": "no ops" }));
    check(&place, &[], &["the schema main.ops cannot be looked up", "no ops", "CREATE SCHEMA `main`.`ops`"]);
    workspace.books.lock().unwrap().schema = (200, json!({ "name": "ops", "storage_root": "s3://ops/root" }));
    let forbidden = json!({ "error_code": "PERMISSION_DENIED", "message": "no EXTERNAL USE LOCATION" });
    workspace.books.lock().unwrap().refuses = Some((403, forbidden));
    check(&place, &[], &["vends no credentials for s3://ops/root", "GRANT EXTERNAL USE LOCATION ON EXTERNAL LOCATION"]);
}

#[test]
fn tables_in_s3_are_registered_by_location_before_views() {
    let (_store, workspace, place) = guarded(Duration::from_secs(600));
    let hostile = "ops`; DROP SCHEMA x; --";
    let printed = ok(&place, &["catalog", "register", "--catalog", "main", "--schema", hostile]);
    assert!(printed.starts_with("USE CATALOG `main`;\nUSE SCHEMA `ops``; DROP SCHEMA x; --`;\n"), "{printed}");
    assert!(printed.contains("CREATE TABLE IF NOT EXISTS `audit_log` USING DELTA\nCOMMENT '"), "{printed}");
    assert!(printed.contains("\nLOCATION 's3://ops/schema/audit_log';\n"), "{printed}");

    let register = ["catalog", "register", "--catalog", "main", "--schema", "ops", "--run", "--warehouse-id", "wh"];
    let none = run(&place, &register);
    assert_eq!(none.status.code(), Some(4), "{}", String::from_utf8_lossy(&none.stderr));
    ok(&place, &["init"]);
    let done = json_lines(&place, &register);
    let kinds: Vec<&Value> = done.iter().map(|line| &line["kind"]).collect();
    let tables = kinds.iter().position(|kind| *kind == "view").unwrap();
    assert!(tables == catalog::all().count() && kinds[tables..].iter().all(|kind| *kind == "view"), "{kinds:?}");
    let statements = workspace.books.lock().unwrap().statements.clone();
    assert_eq!(statements.len(), done.len());
    for statement in &statements {
        assert_eq!((&statement["catalog"], &statement["schema"]), (&json!("main"), &json!("ops")));
    }

    let elsewhere = ("audit_log".to_owned(), "s3://ops/other/audit_log".to_owned());
    workspace.books.lock().unwrap().tables =
        [("digests".to_owned(), "s3://ops/schema/digests/".to_owned()), elsewhere].into();
    let refused = run(&place, &register);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(3), "{text}");
    assert!(text.contains("main.ops.audit_log cannot be used") && text.contains("s3://ops/other/audit_log"), "{text}");
    assert_eq!(workspace.books.lock().unwrap().statements.len(), statements.len(), "nothing may be run");
}

#[test]
fn a_lake_on_this_machine_is_not_registered() {
    let folder = tempdir().unwrap();
    let output = run(folder.path(), &["catalog", "register", "--catalog", "c", "--schema", "s"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("a catalog reaches object stores only"), "{text}");
    assert!(folder.path().uri().starts_with('/'));
}
