//! Tests of the digest's page in a real browser: it renders without errors, fetches nothing, fits a phone and is accessible.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use ops_runbook::{
    domain::{
        digest::{Digest, Figures},
        ids::IncidentId,
    },
    render::digest::html::html,
};
use serde_json::Value;
use tempfile::tempdir;

use crate::{peer, wait::output_of};

const HOSTILE: &str =
    "</script><img src=x onerror=alert(1)> [x](javascript:alert(1)) | d\r\n# \u{1b}[31m\u{202e}f\u{0}&amp;\"'";

fn eventful() -> Digest {
    serde_json::from_str(include_str!("../../src/domain/digest/sample.json")).unwrap()
}

fn empty() -> Digest {
    let changed = vec!["There were no incidents.".into()];
    Digest { changed, decisions: Vec::new(), revised: None, figures: Figures::default(), ..eventful() }
}

/// Returns a digest with `text`, such as hostile text or one long word, in every field from outside.
fn poisoned(text: &str) -> Digest {
    fn poison(value: &mut Value, text: &str) {
        const FIELDS: [&str; 9] = [
            "title",
            "root_cause",
            "resource_name",
            "resource_id",
            "workspace_id",
            "resource_kind",
            "action",
            "text",
            "command",
        ];
        match value {
            Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| match name.as_str() {
                name if FIELDS.contains(&name) && value.is_string() => *value = text.into(),
                "changed" | "differences" => *value = vec![text].into(),
                _ => poison(value, text),
            }),
            Value::Array(items) => items.iter_mut().for_each(|item| poison(item, text)),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(eventful()).unwrap();
    poison(&mut value, text);
    serde_json::from_value(value).unwrap()
}

fn huge() -> Digest {
    let mut digest = eventful();
    let figures = &mut digest.figures;
    figures.open = figures.open.iter().cycle().take(10_000).cloned().collect();
    figures.open.iter_mut().zip(1..).for_each(|(open, n)| open.incident_id = IncidentId::from_ordinal(n));
    figures.causes = figures.causes.iter().cycle().take(1_000).cloned().collect();
    figures.offenders = figures.offenders.iter().cycle().take(1_000).cloned().collect();
    figures.days.iter_mut().for_each(|day| day.incidents *= 100_003);
    figures.hours.iter_mut().for_each(|hour| hour.incidents *= 1_003);
    figures.durations.iter_mut().for_each(|row| row.p50_s = row.p50_s.map(|seconds| seconds * 1e4));
    digest
}

/// Opens the pages of a folder in these views (tests/browser/digest.mjs). Returns the problems found as an error. Writes pictures
/// beside the pages if pages are kept (`OPS_RUNBOOK_TEST_PICTURES`).
pub fn visit(folder: &Path, views: &str) -> Result<(), String> {
    let modules = peer::environment("browser");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "html")).collect();
    pages.sort();
    let is_kept = std::env::var_os("OPS_RUNBOOK_TEST_PICTURES").is_some();
    let pictures = if is_kept { folder.join("pictures") } else { PathBuf::new() };
    let child = Command::new("node")
        .arg(format!("{}/tests/browser/digest.mjs", env!("CARGO_MANIFEST_DIR")))
        .arg(modules)
        .arg(pictures)
        .arg(views)
        .args(pages)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = output_of("digest.mjs", child);
    output.status.success().then_some(()).ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Pages and pictures are kept in `$OPS_RUNBOOK_TEST_PICTURES`, if that is set.
#[test]
fn a_browser_finds_nothing_wrong_with_the_page() {
    let temporary = tempdir().unwrap();
    let kept = std::env::var("OPS_RUNBOOK_TEST_PICTURES");
    let folder = kept.map_or_else(|_| temporary.path().to_owned(), PathBuf::from);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("eventful.html"), html(&eventful())).unwrap();
    visit(&folder, "320-light,380-light-axe,380-dark-axe,1100-light-axe").unwrap();
    // Other figures and texts in the same page: colours are those above.
    let others = folder.join("others");
    fs::create_dir_all(&others).unwrap();
    for (name, digest) in [
        ("empty", empty()),
        ("hostile", poisoned(HOSTILE)),
        ("long-words", poisoned(&"W".repeat(5_000))),
        ("huge", huge()),
    ] {
        fs::write(others.join(format!("{name}.html")), html(&digest)).unwrap();
    }
    visit(&others, "320-light,380-light-axe,1100-light").unwrap();
}

#[test]
fn the_browser_notices_what_is_wrong() {
    let folder = tempdir().unwrap();
    let page = html(&eventful());
    for (name, from, to) in [
        ("script", "</main>", "<script>throw new Error('thrown')</script></main>"),
        ("request", "</main>", "<img alt=\"\" src=\"file:///no/such/picture.png\"></main>"),
        ("wide", "</main>", "<div style=\"width: 999px\">wide</div></main>"),
        ("language", "<html lang=\"en\">", "<html>"),
        ("outside", ">W08</text>", ">W08 and much more that leads out of the chart</text>"),
    ] {
        assert!(page.contains(from), "{name}");
        fs::write(folder.path().join(format!("{name}.html")), page.replacen(from, to, 1)).unwrap();
    }
    let wrong = visit(folder.path(), "380-light-axe").unwrap_err();
    for expected in [
        "script at 380 px, light: error: thrown",
        "request at 380 px, light: asks for file:///no/such/picture.png",
        "wide at 380 px, light: is ",
        "language at 380 px, light: html-has-lang",
        "outside at 380 px, light: Incidents by day and type: \"W08 and",
    ] {
        assert!(wrong.contains(expected), "{expected:?} is not among:\n{wrong}");
    }
}
