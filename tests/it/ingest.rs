//! `ingest`: every document in an inbox is recorded once or rejected with a reason, despite kills and concurrent runs.

mod order;
mod place;
mod races;
mod waiting;

use std::{fs, os::unix::ffi::OsStrExt};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::tempdir;

use crate::{
    record::{PLANTED, assert_clean, assert_files_clean},
    storage::{emulators::Store, proxy::Faults},
    support::{LakeLocation, assert_intact, example, json_lines, ok, report, run, sql_rows},
    wait::repetitions,
};
use place::{Bucket, Folder, Inbox};

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns an invalid report.
fn broken(id: &str) -> Value {
    let mut document = report(id);
    document["incident"]["type"] = "nonsense".into();
    document.as_object_mut().unwrap().remove("actor");
    document
}

fn arguments(inbox: &impl Inbox) -> Vec<String> {
    ["ingest", "--settle-seconds", "0", "--inbox", &inbox.uri()].map(str::to_owned).into()
}

/// Runs `ingest` and returns the rejections and the summary.
fn ingest(lake: &(impl LakeLocation + ?Sized), inbox: &impl Inbox, more: &[&str]) -> (Vec<Value>, Value) {
    let arguments = arguments(inbox);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
    let mut lines = json_lines(lake, &arguments);
    let summary = lines.pop().unwrap();
    (lines.into_iter().map(|line| line["rejection"].clone()).collect(), summary)
}

fn counts(summary: &Value) -> [u64; 6] {
    ["taken", "recorded", "known", "rejected", "waiting", "unreadable"].map(|name| summary[name].as_u64().unwrap())
}

fn count(lake: &(impl LakeLocation + ?Sized), sql: &str) -> u64 {
    sql_rows(lake, &format!("SELECT count(*) AS n FROM ({sql})"))[0]["n"].as_u64().unwrap()
}

fn names(inbox: &impl Inbox) -> Vec<String> {
    inbox.files().into_keys().collect()
}

#[test]
fn every_document_is_recorded_or_rejected_with_a_reason() {
    let folder = tempdir().unwrap();
    assert_good_and_bad(&folder.path().join("lake"), &Folder::new());
}

fn assert_good_and_bad(lake: &impl LakeLocation, inbox: &impl Inbox) {
    let bad = broken("bad").to_string();
    let bad_line = broken("l2").to_string();
    let lines = format!("{}\n\n{bad_line}\n{}\n{{]\n", report("l1"), report("l3"));
    inbox.drop("good.json", report("good").to_string().as_bytes());
    inbox.drop("bad.json", bad.as_bytes());
    inbox.drop("team/many.jsonl", lines.as_bytes());
    inbox.drop("pretty.ndjson", serde_json::to_string_pretty(&report("pretty")).unwrap().as_bytes());
    inbox.drop("notes.txt", b"left alone");
    inbox.drop("half.json.tmp", b"{");
    inbox.drop("_SUCCESS", b"");

    let (rejections, summary) = ingest(lake, inbox, &[]);
    assert_eq!(counts(&summary), [4, 4, 0, 3, 0, 0], "{summary}");
    assert_eq!(
        names(inbox),
        [
            "../_done/good.json",
            "../_done/pretty.ndjson",
            "../_done/team/many.jsonl",
            "../_rejected/bad.json",
            "../_rejected/bad.json.reason.json",
            "../_rejected/team/many.jsonl.3.json",
            "../_rejected/team/many.jsonl.3.json.reason.json",
            "../_rejected/team/many.jsonl.5.json",
            "../_rejected/team/many.jsonl.5.json.reason.json",
            "_SUCCESS",
            "half.json.tmp",
            "notes.txt",
        ]
    );
    assert_eq!(inbox.read("../_rejected/bad.json"), bad.as_bytes());
    assert_eq!(inbox.read("../_rejected/team/many.jsonl.3.json"), bad_line.as_bytes());
    assert_eq!(inbox.read("../_done/team/many.jsonl"), lines.as_bytes());

    let rows = sql_rows(
        lake,
        "SELECT r.source, r.input_hash, r.problems, r.seq, a.actor, a.interface, a.action, a.status FROM \
                  rejected_inputs AS r INNER JOIN audit_log AS a ON a.seq = r.seq ORDER BY r.source",
    );
    assert_eq!(rows.len(), 3);
    let dropped = [
        ("bad.json", None, "../_rejected/bad.json"),
        ("team/many.jsonl", Some(3), "../_rejected/team/many.jsonl.3.json"),
        ("team/many.jsonl", Some(5), "../_rejected/team/many.jsonl.5.json"),
    ];
    for (row, (name, line, file)) in rows.iter().zip(dropped) {
        let reason: Value = serde_json::from_slice(&inbox.read(&format!("{file}.reason.json"))).unwrap();
        let source = format!("{}/{name}", inbox.uri());
        assert!(rejections.contains(&reason), "{reason} among {rejections:?}");
        assert_eq!((&reason["source"], &reason["line"]), (&json!(source), &json!(line)));
        assert_eq!(row["source"], line.map_or(source.clone(), |line: u64| format!("{source}:{line}")));
        assert_eq!((&row["input_hash"], &row["seq"]), (&json!(hash(&inbox.read(file))), &reason["audit_seq"]));
        assert_eq!(row["input_hash"], reason["input_hash"]);
        let problems: Value = serde_json::from_str(row["problems"].as_str().unwrap()).unwrap();
        assert_eq!(problems, reason["problems"]);
        assert!(problems[0]["message"].is_string(), "{problems}");
        assert_eq!(
            (&row["actor"], &row["interface"], &row["action"], &row["status"]),
            (&json!("system:ingest"), &json!("inbox"), &json!("REJECT"), &json!("COMPLETE"))
        );
    }
    let pointers: Vec<&str> = rejections
        .iter()
        .flat_map(|it| it["problems"].as_array().unwrap())
        .map(|problem| problem["pointer"].as_str().unwrap())
        .collect();
    assert!(pointers.contains(&"/incident/type") && pointers.contains(&"/actor"), "{pointers:?}");

    let (_, again) = ingest(lake, inbox, &[]);
    assert_eq!(counts(&again), [0; 6]);
    assert_intact(lake, 4);
    for (name, sql) in ops_runbook::analytics::audits() {
        assert_eq!(ok(lake, &["sql", sql, "--format", "json"]), "", "{name}");
    }
}

#[test]
fn hostile_file_names_are_plain_names() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let inbox = Folder::new();
    let hostile = [
        "-rf.json",
        "a\nb.json",
        "$(touch pwned).json",
        "'; DROP TABLE audit_log; --.json",
        "\u{202e}gpj.json",
        "..json.json.json",
        "per%cent%2F.json",
        "back\\slash.json",
        ".hidden.json",
    ];
    let long = format!("{}.json", "n".repeat(250));
    for (n, name) in hostile.iter().copied().chain([long.as_str()]).enumerate() {
        let document = if n % 2 == 0 { report(&format!("n{n}")) } else { broken(&format!("n{n}")) };
        inbox.drop(name, document.to_string().as_bytes());
    }
    let no_text = inbox.path().join(std::ffi::OsStr::from_bytes(b"no\xfftext.json"));
    fs::write(&no_text, report("no-text").to_string()).unwrap();
    fs::create_dir(inbox.path().join("folder.json")).unwrap();
    let outside = folder.path().join("outside.json");
    fs::write(&outside, report("outside").to_string()).unwrap();
    std::os::unix::fs::symlink(&outside, inbox.path().join("link.json")).unwrap();
    std::os::unix::fs::symlink(folder.path(), inbox.path().join("elsewhere")).unwrap();

    let output = run(&lake, &arguments(&inbox).iter().map(String::as_str).collect::<Vec<_>>());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for stream in [output.stdout, output.stderr] {
        let text = String::from_utf8(stream).unwrap();
        assert!(!text.contains(['\u{202e}', '\u{7}']) && !text.contains("a\nb"), "{text}");
    }
    assert_intact(&lake, 5);
    assert_eq!(count(&lake, "SELECT * FROM rejected_inputs"), 4);
    assert!(outside.exists(), "a link was followed");
    assert!(!no_text.exists());
    assert_eq!(inbox.left(), ["..json.json.json", ".hidden.json", "elsewhere", "link.json"]);
    let files = inbox.files();
    let reasons = files.keys().filter(|name| name.ends_with(".reason.json")).count();
    assert_eq!(reasons, 4, "{:?}", files.keys());
}

#[test]
fn no_secret_reaches_a_reason_the_lake_or_an_output() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let inbox = Folder::new();
    let hostile = fs::read_to_string(example("06-hostile-names-and-secrets")).unwrap();
    let mut bad: Value = serde_json::from_str(&hostile).unwrap();
    bad["incident"]["type"] = "password=hunter2hunter2".into();
    bad["dapi0123456789abcdef0123456789abcdef"] = 1.into();
    bad["workspace"]["url"] = json!({ "token": "dapi0123456789abcdef0123456789abcdef" });
    inbox.drop("good.json", hostile.as_bytes());
    inbox.drop("bad.json", bad.to_string().as_bytes());
    inbox.drop("cut.json", &bad.to_string().as_bytes()[..900]);
    inbox.drop("lines.jsonl", format!("{bad}\n{bad}x\n{}\n", report("fine")).as_bytes());
    inbox.drop("password=hunter2hunter2.json", b"{}");
    let command = arguments(&inbox);
    let mut command: Vec<&str> = command.iter().map(String::as_str).collect();
    command.extend(["--wait-seconds", "0"]);
    // The same as JSON, so that both outputs are checked.
    let mut outputs = vec![run(&lake, &command)];
    inbox.drop("again.json", bad.to_string().as_bytes());
    outputs.push(run(&lake, &[&command[..], &["--json"]].concat()));
    for query in ["SELECT * FROM rejected_inputs", "SELECT * FROM audit_log"] {
        outputs.push(run(&lake, &["sql", query, "--format", "json"]));
    }
    for output in outputs {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_clean(&output.stdout, "stdout");
        assert_clean(&output.stderr, "stderr");
    }
    assert_files_clean(&lake);
    let mut reasons = 0;
    for (name, bytes) in inbox.files() {
        if name.ends_with(".reason.json") {
            assert_clean(&bytes, &name);
            reasons += 1;
        }
    }
    assert_eq!(reasons, 6);
    // The user's files keep their content.
    let kept = inbox.read("../_rejected/bad.json");
    assert!(PLANTED.iter().any(|secret| kept.windows(secret.len()).any(|window| window == secret.as_bytes())));
    assert_eq!(kept, bad.to_string().as_bytes());
}

#[test]
fn one_content_in_two_files_is_recorded_once() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let inbox = Folder::new();
    let mut without_id = report("x");
    without_id.as_object_mut().unwrap().remove("report_id");
    for name in ["one.json", "two.json"] {
        inbox.drop(name, without_id.to_string().as_bytes());
        inbox.drop(&format!("bad-{name}"), broken("same").to_string().as_bytes());
    }
    let (_, summary) = ingest(&lake, &inbox, &[]);
    assert_eq!(counts(&summary), [4, 1, 1, 2, 0, 0]);
    assert_intact(&lake, 1);
    assert_eq!(count(&lake, "SELECT * FROM rejected_inputs"), 1);
    assert!(inbox.left().is_empty());
    assert_eq!(names(&inbox).len(), 6);
}

#[test]
fn a_repeated_file_name_never_replaces_an_earlier_file() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    assert_nothing_is_replaced(&lake, &Folder::new());
}

fn assert_nothing_is_replaced(lake: &impl LakeLocation, inbox: &impl Inbox) {
    let mut contents = Vec::new();
    for round in 0..3 {
        for (name, document) in [
            ("a.json", report(&format!("a{round}"))),
            ("b.json", broken(&format!("b{round}"))),
            // Has the name of the earlier file's reason.
            ("b.json.reason.json", broken(&format!("c{round}"))),
        ] {
            inbox.drop(name, document.to_string().as_bytes());
            contents.push(document.to_string().into_bytes());
        }
        ingest(lake, inbox, &[]);
    }
    // The identical file again needs no other name.
    inbox.drop("a.json", contents[0].as_slice());
    let before = names(inbox).len();
    let (_, summary) = ingest(lake, inbox, &[]);
    assert_eq!(counts(&summary), [1, 0, 1, 0, 0, 0]);
    assert_eq!(names(inbox).len(), before - 1);
    let files = inbox.files();
    for content in &contents {
        assert_eq!(files.values().filter(|there| *there == content).count(), 1, "{}", String::from_utf8_lossy(content));
    }
    let reasons = files.iter().filter(|(_, bytes)| String::from_utf8_lossy(bytes).contains("audit_seq")).count();
    assert_eq!(reasons, 6, "{:?}", files.keys());
    assert_intact(lake, 3);
}

#[test]
fn another_content_with_a_known_id_is_rejected() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let inbox = Folder::new();
    inbox.drop("one.json", report("same").to_string().as_bytes());
    ingest(&lake, &inbox, &[]);
    let mut other = report("same");
    other["incident"]["title"] = "another".into();
    inbox.drop("two.json", other.to_string().as_bytes());
    let (rejections, summary) = ingest(&lake, &inbox, &[]);
    assert_eq!(counts(&summary), [1, 0, 0, 1, 0, 0]);
    assert_eq!(rejections[0]["problems"][0]["pointer"], "/report_id");
    assert!(rejections[0]["problems"][0]["message"].as_str().unwrap().contains("row 1 "), "{rejections:?}");
    assert_eq!(inbox.read("../_rejected/two.json"), other.to_string().as_bytes());
    assert_intact(&lake, 1);
}

#[test]
fn inboxes_in_one_folder_have_separate_results_and_old_results_stay() {
    let folder = tempdir().unwrap();
    let parent = std::rc::Rc::new(tempdir().unwrap());
    let inboxes = ["one", "two"].map(|name| Folder::within(&parent, name));
    assert_apart(&folder.path().join("lake"), &inboxes);
}

/// Uses the names of an earlier version, which kept processed files in the inbox.
fn assert_apart(lake: &impl LakeLocation, inboxes: &[impl Inbox; 2]) {
    let [first, second] = inboxes;
    for (id, inbox) in [("first", first), ("second", second)] {
        inbox.drop("a.json", report(id).to_string().as_bytes());
        inbox.drop("_done/old.json", report(&format!("old-{id}")).to_string().as_bytes());
        inbox.drop("_rejected/team/old.json", b"{");
        let (_, summary) = ingest(lake, inbox, &[]);
        assert_eq!(counts(&summary), [1, 1, 0, 0, 0, 0]);
        assert_eq!(names(inbox), ["../_done/a.json", "_done/old.json", "_rejected/team/old.json"]);
        let parent = inbox.uri();
        let (parent, name) = parent.rsplit_once('/').unwrap();
        assert_eq!(summary["done_in"], format!("{parent}/_done/{name}"));
        assert_eq!(summary["rejected_in"], format!("{parent}/_rejected/{name}"));
    }
    assert_eq!(first.read("../_done/a.json"), report("first").to_string().as_bytes());
    assert_eq!(second.read("../_done/a.json"), report("second").to_string().as_bytes());
    assert_intact(lake, 2);
}

#[test]
fn init_creates_an_inbox_for_ingest() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let inbox = Folder::within(&std::rc::Rc::new(tempdir().unwrap()), "volume/incoming");
    let path = inbox.path();
    let made = || json_lines(&lake, &["init", "--inbox", path.to_str().unwrap()]).remove(0)["inbox"].clone();
    assert_eq!(made(), json!({ "location": path, "made": true }));
    assert!(path.is_dir());
    assert_eq!(made(), json!({ "location": path, "made": false }));
    let (_, summary) = ingest(&lake, &inbox, &[]);
    assert_eq!(counts(&summary), [0; 6]);
    let refused = run(&folder.path().join("other"), &["init", "--inbox", "s3://bucket"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(!folder.path().join("other").exists(), "a lake was made beside an inbox that cannot be");
}

#[test]
fn a_document_that_is_too_large_is_rejected_and_kept() {
    let folder = tempdir().unwrap();
    assert_too_large(&folder.path().join("lake"), &Folder::new());
}

fn assert_too_large(lake: &impl LakeLocation, inbox: &impl Inbox) {
    let mut big = report("big");
    big["lessons_learned"] = json!(["x".repeat(4 << 20)]);
    let lines = format!("{}\n{big}\n{}\n", report("before"), report("after"));
    inbox.drop("big.json", big.to_string().as_bytes());
    inbox.drop("lines.jsonl", lines.as_bytes());
    let (rejections, summary) = ingest(lake, inbox, &[]);
    assert_eq!(counts(&summary), [2, 2, 0, 2, 0, 0]);
    for rejection in &rejections {
        assert_eq!(rejection["input_hash"], hash(big.to_string().as_bytes()));
        assert!(rejection["problems"][0]["message"].as_str().unwrap().contains("4 MiB"), "{rejection}");
    }
    assert_eq!(inbox.read("../_rejected/big.json"), big.to_string().as_bytes());
    assert_eq!(inbox.read("../_done/lines.jsonl"), lines.as_bytes());
    assert!(names(inbox).contains(&"../_rejected/lines.jsonl.2.json.reason.json".to_owned()));
    assert_intact(lake, 2);
}

#[test]
fn ingest_finds_recurring_issues_and_reports_alerts() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let inbox = Folder::new();
    for (n, name) in crate::support::EXAMPLES.iter().enumerate() {
        inbox.drop(&format!("{n}.json"), &fs::read(example(name)).unwrap());
    }
    let arguments = arguments(&inbox);
    let output = ok(&lake, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(output.contains("Recorded: 6; recorded before: 0; rejected: 0."), "{output}");
    assert!(output.contains("security-finding") || output.contains("Escalation"), "{output}");
    let episodes = json_lines(&lake, &["recurrence", "list", "--all"]).remove(0);
    assert_eq!((episodes.as_array().unwrap().len(), &episodes[0]["incidents"]), (1, &json!(3)), "{episodes}");
    assert_intact(&lake, 6);
}

#[test]
fn an_invalid_inbox_is_reported() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let check = |inbox: &str, code: i32, messages: &[&str]| {
        let output = run(&lake, &["ingest", "--inbox", inbox]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        for message in messages {
            assert!(text.contains(message), "{message} in {text}");
        }
        assert!(!text.contains("hunter2"), "{text}");
        assert!(!lake.exists(), "a lake was made for no inbox");
    };
    let none = folder.path().join("none");
    check(
        none.to_str().unwrap(),
        4,
        &["there is no inbox at", "hint: create the folder with `ops-runbook init --inbox`, or correct --inbox"],
    );
    check("uc://main.ops", 2, &["cannot be an inbox", "hint: give a folder"]);
    for (root, instead) in [
        ("/", "/incoming"),
        ("/Volumes/main/ops/inbox", "/Volumes/main/ops/inbox/incoming"),
        ("/Volumes/main/ops/inbox/", "/Volumes/main/ops/inbox/incoming"),
        ("s3://bucket", "s3://bucket/incoming"),
        ("gs://bucket/", "gs://bucket/incoming"),
        ("abfss://in@account.dfs.core.windows.net", "abfss://in@account.dfs.core.windows.net/incoming"),
    ] {
        check(root, 2, &["a root has no siblings", &format!("hint: use a folder in it, such as {instead}\n")]);
    }
    check("/Volumes/main/ops/inbox/incoming", 4, &["there is no inbox at"]);
    check("ftp://host/in", 2, &["the scheme ftp is not supported", "hint: give a folder"]);
    check("s3://bucket/in?X-Amz-Signature=hunter2", 2, &["set credentials in the environment only"]);
    let file = folder.path().join("file.json");
    fs::write(&file, "{}").unwrap();
    check(file.to_str().unwrap(), 2, &["it is a file"]);
}

#[test]
fn an_inbox_in_s3_is_an_inbox() {
    let store = Store::s3();
    assert_an_inbox(&store, repetitions(8, 40), repetitions(2, 6));
    // Refused without a file, which could be mistaken for a copy.
    store.proxy.fails(Faults { conflict: 30, ..Faults::default() });
    races::assert_taken_once_by_many(
        &store.lake("refused"),
        &Bucket::new(&store, "refused-inbox"),
        2,
        repetitions(8, 20),
    );
}

#[test]
fn an_inbox_in_azure_works_like_a_folder() {
    assert_an_inbox(&Store::azure(), repetitions(6, 40), repetitions(1, 6));
}

#[test]
fn an_inbox_in_google_works_like_a_folder() {
    assert_an_inbox(&Store::google(), repetitions(6, 20), repetitions(1, 3));
}

fn assert_an_inbox(store: &Store, files: usize, kills: usize) {
    assert_apart(&store.lake("apart"), &[Bucket::new(store, "apart/one"), Bucket::new(store, "apart/two")]);
    assert_good_and_bad(&store.lake("good"), &Bucket::new(store, "good-inbox"));
    assert_nothing_is_replaced(&store.lake("names"), &Bucket::new(store, "names-inbox"));
    assert_too_large(&store.lake("large"), &Bucket::new(store, "large-inbox"));
    store.proxy.takes(std::time::Duration::from_millis(3));
    races::assert_taken_once_by_many(&store.lake("many"), &Bucket::new(store, "many-inbox"), 2, files);
    races::assert_kills_lose_nothing(
        &store.lake("kills"),
        &Bucket::new(store, "kills-inbox"),
        kills,
        repetitions(10, 60),
    );
}
