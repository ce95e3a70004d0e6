//! Recording through the binary: once, whole, without secrets.

use std::{fs, panic::catch_unwind, path::Path, process::Stdio};

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{
    support::{
        EXAMPLES, LakeLocation, assert_intact, assert_intact_by_binary, binary, example, json_lines, ok, report, run,
        tamper,
    },
    wait,
};

#[test]
fn the_examples_recorded_twice_stand_there_once() {
    let folder = tempdir().unwrap();
    assert_examples_stand_once(folder.path());
}

/// The check that other tests make in this process says the same as the commands.
#[test]
fn the_commands_and_the_library_find_an_intact_lake_and_a_tampered_one() {
    let folder = tempdir().unwrap();
    for name in EXAMPLES {
        ok(folder.path(), &["record", &example(name)]);
    }
    let finds_intact = |check: fn(&Path, u64), reports: u64| catch_unwind(|| check(folder.path(), reports)).is_ok();
    let checks: [fn(&Path, u64); 2] = [assert_intact, assert_intact_by_binary];
    for check in checks {
        assert!(finds_intact(check, 6));
        assert!(!finds_intact(check, 7), "a missing report goes unnoticed");
    }
    tamper(folder.path(), 1);
    for check in checks {
        assert!(!finds_intact(check, 6), "tampering goes unnoticed");
    }
}

pub fn assert_examples_stand_once(lake: &(impl LakeLocation + ?Sized)) {
    let mut first = Vec::new();
    for name in EXAMPLES {
        first.extend(json_lines(lake, &["record", &example(name)]));
    }
    for (name, first) in EXAMPLES.iter().zip(&first) {
        assert_eq!(first["known"], false, "{name}");
        let mut again = json_lines(lake, &["record", &example(name)]).remove(0);
        assert_eq!(again["known"], true, "{name}");
        again["known"] = false.into();
        assert_eq!(&again, first, "{name}");
    }
    assert_intact(lake, 6);
    let ids: Vec<&Value> = first.iter().map(|answer| &answer["incident_id"]).collect();
    assert_eq!(json!(ids), json!(["INC-1001", "INC-1002", "INC-1003", "INC-1004", "INC-1005", "INC-1006"]));
}

#[test]
fn an_id_sent_again_with_another_content_keeps_the_first() {
    let folder = tempdir().unwrap();
    let (one, two) = (folder.path().join("1.json"), folder.path().join("2.json"));
    fs::write(&one, report("same").to_string()).unwrap();
    let mut changed = report("same");
    changed["incident"]["title"] = "another".into();
    fs::write(&two, changed.to_string()).unwrap();
    let lake = folder.path().join("lake");
    ok(&lake, &["record", one.to_str().unwrap()]);
    let output = run(&lake, &["record", two.to_str().unwrap()]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("another content"));
    assert!(ok(&lake, &["incident", "show", "INC-1001"]).contains("same failed"));
    assert_intact(&lake, 1);
}

#[test]
fn ids_are_found_again_before_and_after_compaction() {
    let folder = tempdir().unwrap();
    assert_ids_are_found_again(&folder.path().join("lake"));
}

pub fn assert_ids_are_found_again(lake: &(impl LakeLocation + ?Sized)) {
    let folder = tempdir().unwrap();
    let lines = folder.path().join("many.jsonl");
    let text: String = (0..150).map(|n| format!("{}\n", report(&format!("r{n}")))).collect();
    fs::write(&lines, &text).unwrap();
    let first = json_lines(lake, &["record", lines.to_str().unwrap()]);
    for n in [3, 77] {
        let one = folder.path().join("one.json");
        fs::write(&one, report(&format!("single-{n}")).to_string()).unwrap();
        ok(lake, &["record", one.to_str().unwrap()]);
    }
    ok(lake, &["maintain"]);
    let again = json_lines(lake, &["record", lines.to_str().unwrap()]);
    assert!(again.iter().all(|answer| answer["known"] == true));
    assert!(first.iter().zip(&again).all(|(a, b)| a["entry_hash"] == b["entry_hash"] && a["seq"] == b["seq"]));
    assert_intact(lake, 152);
}

#[test]
fn a_report_without_an_id_gets_the_same_one_each_time() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("r.json");
    let mut document = report("x");
    document.as_object_mut().unwrap().remove("report_id");
    fs::write(&file, document.to_string()).unwrap();
    let lake = folder.path().join("lake");
    let first = json_lines(&lake, &["record", file.to_str().unwrap()]).remove(0);
    let again = json_lines(&lake, &["record", file.to_str().unwrap()]).remove(0);
    assert_eq!((&first["request_id"], &again["known"]), (&again["request_id"], &json!(true)));
}

#[test]
fn one_bad_line_refuses_all_of_them_and_names_every_problem() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let mut bad = report("b");
    bad["incident"]["type"] = "nonsense".into();
    bad["surplus"] = 1.into();
    let lines = folder.path().join("in.jsonl");
    fs::write(&lines, format!("{}\n\n{bad}\n{{]\n", report("a"))).unwrap();
    let output = run(&lake, &["record", lines.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3));
    assert!(output.stdout.is_empty());
    for expected in ["line 3: /incident/type", "line 3: /surplus", "line 4: "] {
        assert!(told.contains(expected), "{expected} in {told}");
    }
    assert!(!lake.exists(), "nothing may be written");
}

#[test]
fn what_is_no_report_at_all_is_refused_without_a_panic() {
    let folder = tempdir().unwrap();
    for bytes in
        [&b""[..], b"\n\n", b"null", b"[]", b"{", b"\xff\xfe", b"{\"a\":1}{", &[b'['; 100_000], &[b' '; 5 << 20]]
    {
        let mut child = binary(&folder.path().join("lake"))
            .args(["record", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may stop reading as soon as it has seen enough.
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), bytes);
        let output = wait::output_of("record -", child);
        assert_eq!(output.status.code(), Some(3), "{:?}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_report_over_four_mebibytes_is_refused_with_its_limit() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("big.json");
    let mut big = report("big");
    big["lessons_learned"] = json!(["x".repeat(4 << 20)]);
    fs::write(&file, big.to_string()).unwrap();
    let output = run(&folder.path().join("lake"), &["record", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("4 MiB"), "{:?}", output.stderr);
}

pub const PLANTED: [&str; 5] = [
    "0123456789abcdef0123456789abcdef",
    "abcdefghijklmnopqrstuvwx",
    "Zm9vYmFyZm9vYmFyZm9v",
    "hunter2hunter2",
    "T00000000/B00000000",
];

#[test]
fn no_secret_reaches_a_file_or_an_output() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let hostile = example("06-hostile-names-and-secrets");
    let mut broken: Value = serde_json::from_str(&fs::read_to_string(&hostile).unwrap()).unwrap();
    broken["incident"]["type"] = "password=hunter2hunter2".into();
    broken["dapi0123456789abcdef0123456789abcdef"] = 1.into();
    let refused = folder.path().join("refused.json");
    fs::write(&refused, broken.to_string()).unwrap();
    let commands: &[&[&str]] = &[
        &["record", &hostile],
        &["record", refused.to_str().unwrap()],
        &["incident", "show", "INC-1001"],
        &["incident", "show", "INC-1001", "--json"],
        &["incident", "list"],
        &["audit", "show", "1", "--json"],
        &["audit", "list"],
        &["maintain"],
        &["sql", "SELECT * FROM audit_log", "--format", "csv"],
        &["sql", "SELECT * FROM timeline", "--format", "json"],
        &["sql", "SELECT * FROM timeline", "--format", "table"],
    ];
    for command in commands {
        let output = run(&lake, command);
        for stream in [output.stdout, output.stderr] {
            assert_clean(&stream, &format!("{command:?}"));
        }
    }
    // Parquet pages are compressed: what they hold was read above; names and statistics are plain.
    assert_files_clean(&lake);
    assert!(ok(&lake, &["audit", "show", "1", "--json"]).contains("[REDACTED:databricks-token]"));
}

pub fn assert_clean(bytes: &[u8], place: &str) {
    for secret in PLANTED {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret} in {place}");
    }
}

pub fn assert_files_clean(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_files_clean(&path);
        } else {
            assert_clean(&fs::read(&path).unwrap(), &path.display().to_string());
        }
    }
}
