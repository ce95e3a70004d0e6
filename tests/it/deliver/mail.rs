//! Mail, into a real server.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tempfile::tempdir;

use super::{deliverer, missing, record};
use crate::{
    browser,
    support::{json_lines, ok},
};

/// aiosmtpd, and the letters it took.
struct Server {
    process: Child,
    port: String,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let python =
            std::env::var("OPS_RUNBOOK_TEST_SMTP").expect("run the tests by tests/run, which fetches a mail server");
        let script = format!("{}/tests/peers/mail_serves.py", env!("CARGO_MANIFEST_DIR"));
        let mut process = Command::new(python).arg(script).arg(folder).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { process, port: port.trim().to_owned() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn letters(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("letters.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn header<'a>(letter: &'a Value, name: &str) -> Option<&'a str> {
    let headers = letter["headers"].as_array().unwrap();
    headers.iter().find(|header| header[0] == name).map(|header| header[1].as_str().unwrap())
}

fn part<'a>(letter: &'a Value, kind: &str) -> &'a str {
    let parts = letter["parts"].as_array().unwrap();
    parts.iter().find(|part| part[0] == kind).unwrap()[1].as_str().unwrap()
}

#[test]
fn a_mail_server_gets_the_digest_and_alerts_as_letters_that_hold() {
    let folder = tempdir().unwrap();
    let (lake, kept) = (folder.path().join("lake"), folder.path().join("mail"));
    fs::create_dir(&kept).unwrap();
    let server = Server::start(&kept);
    let config = folder.path().join("ops-runbook.toml");
    let text = format!(
        r#"
[digest]
channels = ["digests"]
[smtp]
host = "127.0.0.1"
port = {}
encryption = "none"
from = "ops-runbook@example.test"
user = "ops"
password = "env:MAIL_PASSWORD"
[channels.mail]
kind = "email"
to = "sre@example.test, platform@example.test"
[channels.digests]
kind = "email"
to = "defer@example.test"
[[routes]]
channels = ["mail"]
"#,
        server.port
    );
    fs::write(&config, text).unwrap();
    ok(&lake, &["demo"]);
    let send = || {
        let output = deliverer(&lake, &config).env("MAIL_PASSWORD", "not-a-real-password").output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{err}");
        (String::from_utf8(output.stdout).unwrap(), err)
    };
    // The demo's alerts are weeks old: nobody is told of them.
    send();
    assert_eq!(letters(&kept).len(), 0);
    let week = json_lines(&lake, &["sql", "SELECT max(week) AS week FROM digests"]);
    assert!(week[0]["week"].is_string(), "the demo made one");
    let configured = config.to_str().unwrap();
    // Another time zone is another digest.
    ok(&lake, &["--config", configured, "digest", "--week", week[0]["week"].as_str().unwrap(), "--tz", "Asia/Tokyo"]);
    let (said, warned) = send();
    assert!(said.contains("Delivered: 1") && warned.contains("come back later"), "{said}{warned}");
    let mut hostile = missing("r-1");
    hostile["incident"]["title"] = "\u{202e}<b>x</b>\r\nBcc: all@example.test\u{e9}".into();
    record(&lake, &config, &hostile);
    send();
    let incident = json_lines(&lake, &["sql", "SELECT max(incident_id) AS id FROM incidents"])[0]["id"].clone();
    ok(&lake, &["--config", configured, "incident", "close", incident.as_str().unwrap(), "done"]);
    send();

    let all = letters(&kept);
    assert_eq!(all.len(), 5, "a digest, two alerts, and that these are over");
    for letter in &all {
        assert_eq!(letter["defects"].as_array().unwrap().len(), 0, "{letter:#}");
        assert_eq!(letter["type"], "multipart/alternative");
        assert_eq!(letter["bare_line_ends"], 0);
        assert!(letter["longest_line"].as_u64().unwrap() <= 998, "RFC 5321");
        let recipients = if header(letter, "Subject").unwrap().contains("digest") { 1 } else { 2 };
        assert_eq!(letter["to"].as_array().unwrap().len(), recipients);
        assert_eq!(header(letter, "From"), Some("ops-runbook@example.test"));
        assert_eq!(header(letter, "Auto-Submitted"), Some("auto-generated"));
        assert_eq!(header(letter, "Bcc"), None);
        let names: Vec<&str> =
            letter["parts"].as_array().unwrap().iter().map(|part| part[0].as_str().unwrap()).collect();
        assert_eq!(names, ["text/plain", "text/html"], "the richest comes last");
        for name in ["Date", "Message-ID", "Subject"] {
            let headers = letter["headers"].as_array().unwrap();
            assert_eq!(headers.iter().filter(|header| header[0] == name).count(), 1, "{name}");
        }
        for text in [part(letter, "text/plain"), part(letter, "text/html"), header(letter, "Subject").unwrap()] {
            assert!(!text.contains('\u{202e}'), "{text}");
        }
    }
    let digest = &all[0];
    assert!(header(digest, "Subject").unwrap().starts_with("Incident digest 2026-W"), "{digest:#}");
    assert!(part(digest, "text/plain").contains("Asia/Tokyo"));
    // An alert and its end are one conversation; another alert is another.
    let thread = |letter: &Value| header(letter, "References").map(str::to_owned);
    assert!(thread(&all[1]).is_some() && thread(&all[1]) != thread(&all[2]));
    assert_eq!(
        [thread(&all[1]), thread(&all[2])].into_iter().collect::<std::collections::BTreeSet<_>>(),
        [thread(&all[3]), thread(&all[4])].into_iter().collect()
    );
    let mut ids: Vec<&str> = all.iter().map(|letter| header(letter, "Message-ID").unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 5);
    // As a browser shows them.
    let kept_pictures = std::env::var("OPS_RUNBOOK_TEST_PICTURES");
    let pages = folder.path().join("pages");
    let pages = kept_pictures.map_or(pages, |pictures| Path::new(&pictures).join("mail"));
    fs::create_dir_all(&pages).unwrap();
    fs::copy(kept.join("1.html"), pages.join("digest.html")).unwrap();
    browser::visit(&pages, "320,1100").unwrap();
}
