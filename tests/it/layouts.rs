//! Every layout for the six examples, from the demo lake, whose fixed clock makes the texts stable.

use tempfile::tempdir;

use crate::support::{demo_lake, ok, sql_rows};

/// Replaces hashes, which the tests of the chain check.
fn without_hashes(text: &str) -> String {
    let is_hash = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let lines = text.lines().map(|line| {
        let words: Vec<&str> = line.split(' ').map(|word| if is_hash(word) { "HASH" } else { word }).collect();
        words.join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The lines outside blocks of shell.
fn labels(runbook: &str) -> String {
    runbook
        .lines()
        .filter(|line| !line.starts_with("   ") || line.contains("# Expected"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn every_layout_keeps_its_labels_and_their_order() {
    let folder = tempdir().unwrap();
    let lake = folder.path();
    demo_lake(lake);
    let examples = sql_rows(
        lake,
        "SELECT incident_id, min(seq) AS seq FROM audit_log WHERE request_id LIKE 'rca-2026-02-%' OR request_id LIKE \
             'validate-2026-02-19-ws-%' GROUP BY incident_id ORDER BY 2",
    );
    assert_eq!(examples.len(), 6);
    let mut text = String::new();
    for example in examples {
        let (id, seq) = (example["incident_id"].as_str().unwrap(), example["seq"].to_string());
        text.push_str(&format!("{}\n\n", without_hashes(&ok(lake, &["incident", "show", id, "--refs"]))));
        text.push_str(&format!("{}\n\n", labels(&ok(lake, &["runbook", "show", id]))));
        text.push_str(&format!("{}\n\n", without_hashes(&ok(lake, &["audit", "show", &seq]))));
        let fired =
            sql_rows(lake, &format!("SELECT trigger FROM escalations WHERE incident_id = '{id}' ORDER BY trigger"));
        for alert in fired {
            let alert = format!("{id}/{}", alert["trigger"].as_str().unwrap());
            text.push_str(&format!("{}\n", ok(lake, &["escalation", "show", &alert])));
        }
    }
    for row in sql_rows(lake, "SELECT episode_id FROM recurring_issues ORDER BY first_at") {
        text.push_str(&format!("{}\n", ok(lake, &["recurrence", "show", row["episode_id"].as_str().unwrap()])));
    }
    insta::assert_snapshot!("layouts", text);
}
