//! Mail through a real SMTP server.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};
use tempfile::tempdir;

use super::{missing, receiver::Receiver, record, sender};
use crate::{
    browser,
    peer::Peer,
    support::{demo_lake, finish, ok, sql_rows},
    wait::eventually,
};

/// aiosmtpd.
struct Server(Peer);

impl Server {
    fn start(folder: &Path) -> Self {
        Self(Peer::start("smtp", "mail_serves.py", &[folder.to_str().unwrap()]))
    }

    /// Returns the `[smtp]` section of the configuration.
    fn settings(&self) -> String {
        format!(
            r#"[smtp]
host = "127.0.0.1"
port = {}
encryption = "none"
from = "ops-runbook@example.test"
user = "ops"
password = "env:MAIL_PASSWORD""#,
            self.0.ready("port")
        )
    }
}

fn mails(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("mails.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn header<'a>(mail: &'a Value, name: &str) -> Option<&'a str> {
    let headers = mail["headers"].as_array().unwrap();
    headers.iter().find(|header| header[0] == name).map(|header| header[1].as_str().unwrap())
}

fn part<'a>(mail: &'a Value, kind: &str) -> &'a str {
    let parts = mail["parts"].as_array().unwrap();
    parts.iter().find(|part| part[0] == kind).unwrap()[1].as_str().unwrap()
}

#[test]
fn an_smtp_server_gets_the_digest_and_alerts_as_mails_that_render_in_a_browser() {
    let folder = tempdir().unwrap();
    let (lake, kept) = (folder.path().join("lake"), folder.path().join("mail"));
    fs::create_dir(&kept).unwrap();
    let server = Server::start(&kept);
    let config = folder.path().join("ops-runbook.toml");
    let text = format!(
        r#"
[digest]
channels = ["digests"]
{}
[channels.mail]
kind = "email"
to = "sre@example.test, platform@example.test"
[channels.digests]
kind = "email"
to = "defer@example.test"
[[routes]]
channels = ["mail"]
"#,
        server.settings()
    );
    fs::write(&config, text).unwrap();
    demo_lake(&lake);
    let send = || {
        let output = finish(&mut mailer(&lake, &config));
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{err}");
        (String::from_utf8(output.stdout).unwrap(), err)
    };
    // The demo's alerts are weeks old: no mail is sent.
    send();
    assert_eq!(mails(&kept).len(), 0);
    let week = sql_rows(&lake, "SELECT max(week) AS week FROM digests");
    assert!(week[0]["week"].is_string(), "the demo made one");
    let configured = config.to_str().unwrap();
    // Another time zone is another digest.
    ok(&lake, &["--config", configured, "digest", "--week", week[0]["week"].as_str().unwrap(), "--tz", "Asia/Tokyo"]);
    let (out, warned) = send();
    assert!(out.contains("Delivered: 1") && warned.contains("come back later"), "{out}{warned}");
    let mut hostile = missing("r-1");
    hostile["incident"]["title"] = "\u{202e}<b>x</b>\r\nBcc: all@example.test\u{e9}".into();
    record(&lake, &config, &hostile);
    send();
    let incident = sql_rows(&lake, "SELECT max(incident_id) AS id FROM incidents")[0]["id"].clone();
    ok(&lake, &["--config", configured, "incident", "close", incident.as_str().unwrap(), "done"]);
    send();

    let all = mails(&kept);
    assert_eq!(all.len(), 5, "a digest, two alerts and their resolution");
    for mail in &all {
        assert_eq!(mail["defects"].as_array().unwrap().len(), 0, "{mail:#}");
        assert_eq!(mail["type"], "multipart/alternative");
        assert_eq!(mail["bare_line_ends"], 0);
        assert!(mail["longest_line"].as_u64().unwrap() <= 998, "RFC 5321");
        let recipients = if header(mail, "Subject").unwrap().contains("digest") { 1 } else { 2 };
        assert_eq!(mail["to"].as_array().unwrap().len(), recipients);
        assert_eq!(header(mail, "From"), Some("ops-runbook@example.test"));
        assert_eq!(header(mail, "Auto-Submitted"), Some("auto-generated"));
        assert_eq!(header(mail, "Bcc"), None);
        let names: Vec<&str> = mail["parts"].as_array().unwrap().iter().map(|part| part[0].as_str().unwrap()).collect();
        assert_eq!(names, ["text/plain", "text/html"], "the richest comes last");
        for name in ["Date", "Message-ID", "Subject"] {
            let headers = mail["headers"].as_array().unwrap();
            assert_eq!(headers.iter().filter(|header| header[0] == name).count(), 1, "{name}");
        }
        for text in [part(mail, "text/plain"), part(mail, "text/html"), header(mail, "Subject").unwrap()] {
            assert!(!text.contains('\u{202e}'), "{text}");
        }
    }
    let digest = &all[0];
    assert!(header(digest, "Subject").unwrap().starts_with("Incident digest 2026-W"), "{digest:#}");
    assert!(part(digest, "text/plain").contains("Asia/Tokyo"));
    // An alert and its resolution are one thread; another alert has its own.
    let thread = |mail: &Value| header(mail, "References").map(str::to_owned);
    assert!(thread(&all[1]).is_some() && thread(&all[1]) != thread(&all[2]));
    assert_eq!(
        [thread(&all[1]), thread(&all[2])].into_iter().collect::<std::collections::BTreeSet<_>>(),
        [thread(&all[3]), thread(&all[4])].into_iter().collect()
    );
    let mut ids: Vec<&str> = all.iter().map(|mail| header(mail, "Message-ID").unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 5);
    // Rendered in a browser.
    let kept_pictures = std::env::var("OPS_RUNBOOK_TEST_PICTURES");
    let pages = folder.path().join("pages");
    let pages = kept_pictures.map_or(pages, |pictures| Path::new(&pictures).join("mail"));
    fs::create_dir_all(&pages).unwrap();
    fs::copy(kept.join("1.html"), pages.join("digest.html")).unwrap();
    browser::visit(&pages, "320-light,1100-light-axe").unwrap();
}

/// Returns a configuration with one mail channel to several recipients and one route for missing evidence.
fn configured(folder: &Path, server: &Server, to: &str, more: &str) -> PathBuf {
    let file = folder.join("ops-runbook.toml");
    let text = format!(
        r#"
{more}
{}
[channels.mail]
kind = "email"
to = "{to}"
[[routes]]
triggers = ["missing-evidence"]
channels = ["mail"]
"#,
        server.settings()
    );
    fs::write(&file, text).unwrap();
    file
}

fn mailer(lake: &Path, config: &Path) -> Command {
    let mut command = sender(lake, config);
    command.env("MAIL_PASSWORD", "not-a-real-password");
    command
}

/// Runs one sender after the other, until no notification waits.
fn to_the_end(lake: &Path, config: &Path) -> Output {
    eventually("no notification waits", || {
        let output = finish(&mut mailer(lake, config));
        (output.status.code() != Some(6)).then_some(output)
    })
}

fn count(lake: &Path, which: &str) -> u64 {
    sql_rows(lake, &format!("SELECT count(*) AS n FROM deliveries WHERE {which}"))[0]["n"].as_u64().unwrap()
}

#[test]
fn a_deferred_smtp_recipient_gets_the_mail_once_and_others_not_again_despite_kills() {
    let folder = tempdir().unwrap();
    let (lake, kept) = (folder.path().join("lake"), folder.path().join("mail"));
    fs::create_dir(&kept).unwrap();
    fs::write(kept.join("defer"), "1000").unwrap();
    let server = Server::start(&kept);
    let patient = "[delivery]\nlease_seconds = 2\ntimeout_seconds = 1";
    let to = "sre@example.test, defer@example.test, refuse@example.test";
    let config = configured(folder.path(), &server, to, patient);
    record(&lake, &config, &missing("r-1"));
    for killed in 1..=2 {
        let before = count(&lake, "event IN ('partly', 'retry')");
        let mut child = mailer(&lake, &config)
            .args(["--watch", "--every-ms", "50"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("an attempt is recorded", || (count(&lake, "event IN ('partly', 'retry')") > before).then_some(()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(mails(&kept).len(), 1, "{killed}");
    }
    let waiting = sql_rows(&lake, "SELECT count(*) AS n FROM outbox WHERE trigger = 'missing-evidence'");
    assert_eq!(waiting, [json!({ "n": 0 })], "one recipient has it");
    let shown = ok(&lake, &["escalation", "show", "INC-1001/missing-evidence"]);
    assert!(shown.contains("partly") && !shown.contains("Nobody"), "{shown}");
    // Deferred once more, unless a killed sender got a deferral that it could not record.
    let deferred = count(&lake, "event IN ('partly', 'retry')");
    fs::write(kept.join("defer"), (deferred + 1).to_string()).unwrap();
    let output = to_the_end(&lake, &config);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");

    let all = mails(&kept);
    let to: Vec<&Value> = all.iter().map(|mail| &mail["to"]).collect();
    assert_eq!(to, [&json!(["sre@example.test"]), &json!(["defer@example.test"])]);
    for name in ["Message-ID", "References", "Date", "Subject", "To"] {
        assert!(header(&all[0], name).is_some(), "{name}");
        assert_eq!(header(&all[0], name), header(&all[1], name), "it is the same mail");
    }
    let steps =
        sql_rows(&lake, "SELECT event, reason, receipt FROM deliveries WHERE event <> 'claimed' ORDER BY seq, ordinal");
    let first = &steps[0];
    assert_eq!(
        (&first["event"], steps.last().map(|last| &last["event"])),
        (&json!("partly"), Some(&json!("delivered")))
    );
    let why = first["reason"].as_str().unwrap();
    assert!(why.contains("not yet for defer@example.test: 451 "), "{first}");
    assert!(why.contains("not for refuse@example.test: 550 "), "{first}");
    assert_eq!(count(&lake, "event = 'dead'"), 0);
    // The next notification goes to all recipients in one mail.
    let close = ["--config", config.to_str().unwrap(), "incident", "close", "INC-1001", "done"];
    ok(&lake, &close);
    let output = finish(&mut mailer(&lake, &config));
    assert!(output.status.success());
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(err.contains("warning: delivered") && err.contains("not for refuse@example.test: 550 "), "{err}");
    let all = mails(&kept);
    assert_eq!((all.len(), &all[2]["to"]), (3, &json!(["sre@example.test", "defer@example.test"])));
    assert_eq!(header(&all[2], "References"), header(&all[0], "References"));
    let verified = ok(&lake, &["audit", "verify"]);
    assert!(verified.contains("intact"), "{verified}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_smtp_recipient_is_given_up_by_name_and_reported_on_another_channel() {
    let folder = tempdir().unwrap();
    let (lake, kept) = (folder.path().join("lake"), folder.path().join("mail"));
    fs::create_dir(&kept).unwrap();
    let server = Server::start(&kept);
    let other = Receiver::start(0).await;
    let hook = format!("[channels.hook]\nkind = \"webhook\"\nto = \"platform\"\nurl = \"{}/hook\"", other.url);
    let config = configured(folder.path(), &server, "sre@example.test, turn@example.test", &hook);
    record(&lake, &config, &missing("r-1"));
    let output = to_the_end(&lake, &config);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{out}{err}");
    assert!(out.contains("GIVEN UP: 1"), "{out}");
    let all = mails(&kept);
    assert_eq!((all.len(), &all[0]["to"]), (1, &json!(["sre@example.test"])));
    let shown = ok(&lake, &["escalation", "show", "INC-1001/missing-evidence"]);
    let events: Vec<&str> = ["partly", "dead", "undelivered"].into_iter().filter(|word| shown.contains(word)).collect();
    assert_eq!(events, ["partly", "dead", "undelivered"], "{shown}");
    let dead = sql_rows(&lake, "SELECT reason FROM deliveries WHERE event = 'dead'");
    let reason = dead[0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("turn@example.test: 550 ") && reason.ends_with("; the other recipients have it"),
        "{reason}"
    );
    let reported = other.arrived();
    assert_eq!(reported.len(), 1);
    assert_eq!(reported[0].body["type"], "ops-runbook.escalation.undelivered");
    let undelivered = &reported[0].body["data"]["undelivered"];
    assert_eq!(
        (&undelivered["channel"], &undelivered["recipients"]),
        (&json!("mail"), &json!("turn@example.test")),
        "{:#}",
        reported[0].body
    );
}
