//! Tests of the documentation pages: links, contents, commands, and the parts that come from the program.
//!
//! `OPS_RUNBOOK_TEST_UPDATE=1 tests/run pages` renews the parts that come from the program.

use std::{collections::BTreeSet, fmt::Write, fs, path::Path, sync::LazyLock};

use regex::Regex;
use tempfile::tempdir;

use crate::support::{demo_lake, ok, run};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

const PAGES: [&str; 6] =
    ["README.md", "bundle/README.md", "bundle/configuration.md", "bundle/usage.md", "sql/README.md", "src/README.md"];

/// The comments around the column reference of `sql/README.md`.
const GENERATED: [&str; 2] = ["-->\n", "<!-- End of the generated part. -->\n"];

/// The commands of the picture in `README.md`, and the number of lines that it shows of each.
const SESSION: [(&[&str], usize); 2] = [(&["incident", "show", "INC-1048"], 22), (&["audit", "verify"], 22)];

static LINK: LazyLock<Regex> = LazyLock::new(|| Regex::new(r#"(?:\]\(|(?:src|href)=")([^)"\s]+)[)"]"#).unwrap());
static HEADING: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?m)^(#{1,6}) (.+)$").unwrap());
static FENCE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?ms)^( *)```(\w*)\n(.*?)^ *```$").unwrap());
static QUESTION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?s)```sql\n(.*?)```\n\n```text\n(.*?)```\n").unwrap());

fn read(page: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(page)).unwrap()
}

/// Returns the page without its code blocks.
fn prose(page: &str) -> String {
    FENCE.replace_all(&read(page), "").into_owned()
}

/// Returns the anchor that GitHub gives to a heading.
fn anchor(heading: &str) -> String {
    let heading = heading.to_lowercase();
    let kept = heading.chars().filter(|it| it.is_alphanumeric() || ['-', '_', ' '].contains(it));
    kept.map(|it| if it == ' ' { '-' } else { it }).collect()
}

/// Returns level and anchor of each heading.
fn headings(page: &str) -> Vec<(usize, String)> {
    HEADING.captures_iter(&prose(page)).map(|it| (it[1].len(), anchor(&it[2]))).collect()
}

/// Compares a part of a page with what the program prints, or replaces it.
fn check(page: &str, current: &str, expected: &str) {
    if current == expected {
        return;
    }
    assert!(
        std::env::var_os("OPS_RUNBOOK_TEST_UPDATE").is_some(),
        "{page} is outdated; run OPS_RUNBOOK_TEST_UPDATE=1 tests/run pages\n{expected}"
    );
    let file = Path::new(ROOT).join(page);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, if text == current { expected.to_owned() } else { text.replacen(current, expected, 1) }).unwrap();
}

#[test]
fn links_lead_to_files_and_headings_that_exist() {
    for page in PAGES {
        let text = prose(page);
        for link in LINK.captures_iter(&text).map(|it| it.extract::<1>().1[0]) {
            if link.contains("://") {
                continue;
            }
            let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() {
                Path::new(ROOT).join(page)
            } else {
                Path::new(ROOT).join(page).parent().unwrap().join(path)
            };
            let target = target.canonicalize().unwrap_or_else(|error| panic!("{page}: {link}: {error}"));
            if !fragment.is_empty() {
                let target = target.strip_prefix(Path::new(ROOT).canonicalize().unwrap()).unwrap();
                assert!(
                    headings(target.to_str().unwrap()).iter().any(|(_, anchor)| anchor == fragment),
                    "{page}: {link}"
                );
            }
        }
    }
}

#[test]
fn every_page_lists_its_sections() {
    for page in PAGES {
        let text = prose(page);
        let links: BTreeSet<&str> = LINK.captures_iter(&text).map(|it| it.extract::<1>().1[0]).collect();
        for (_, anchor) in headings(page).iter().filter(|(level, anchor)| *level == 2 && anchor != "contents") {
            assert!(links.contains(format!("#{anchor}").as_str()), "{page} does not list #{anchor}");
        }
    }
    assert!(read("README.md").lines().count() <= 150);
}

#[test]
fn commands_in_pages_exist() {
    let folder = tempdir().unwrap();
    let mut commands = BTreeSet::new();
    for page in PAGES {
        for block in FENCE.captures_iter(&read(page)).filter(|it| ["sh", "console"].contains(&&it[2])) {
            for line in block[3].lines() {
                let line = line.trim().trim_start_matches("$ ");
                let Some(arguments) = line.strip_prefix("ops-runbook ") else { continue };
                let is_name = |word: &&str| word.bytes().all(|it| it.is_ascii_lowercase());
                let names: Vec<String> = arguments.split_whitespace().take_while(is_name).map(str::to_owned).collect();
                assert!(!names.is_empty(), "{page}: {line}");
                commands.insert(names);
            }
        }
    }
    assert!(commands.len() > 40, "{commands:?}");
    for names in commands {
        let arguments: Vec<&str> = names.iter().map(String::as_str).chain(["--help"]).collect();
        assert!(run(folder.path(), &arguments).status.success(), "ops-runbook {}", names.join(" "));
    }
}

#[test]
fn the_configuration_reference_is_current() {
    let folder = tempdir().unwrap();
    let page = "bundle/configuration.md";
    check(page, &read(page), &ok(folder.path(), &["schema", "config", "--format", "markdown"]));
}

#[test]
fn the_column_reference_is_current() {
    let folder = tempdir().unwrap();
    let page = "sql/README.md";
    let text = read(page);
    let end = text.find(GENERATED[1]).unwrap();
    let start = text[..end].rfind(GENERATED[0]).unwrap() + GENERATED[0].len();
    check(page, &text[start..end], &ok(folder.path(), &["schema", "tables", "--format", "markdown"]));
}

#[test]
fn the_worked_questions_have_the_printed_results() {
    let folder = tempdir().unwrap();
    demo_lake(folder.path());
    let page = "sql/README.md";
    let text = read(page);
    let questions: Vec<_> = QUESTION.captures_iter(&text).collect();
    assert_eq!(questions.len(), 10);
    for question in questions {
        let (block, [statement, _]) = question.extract();
        let result = ok(folder.path(), &["sql", statement.trim_end()]);
        check(page, block, &format!("```sql\n{statement}```\n\n```text\n{}\n```\n", result.trim_end()));
    }
}

#[test]
fn the_picture_of_a_session_has_the_printed_results() {
    let folder = tempdir().unwrap();
    demo_lake(folder.path());
    let mut lines: Vec<(String, bool)> = Vec::new();
    for (command, shown) in SESSION {
        if !lines.is_empty() {
            lines.push((String::new(), false));
        }
        lines.push((format!("$ ops-runbook {}", command.join(" ")), true));
        let text = ok(folder.path(), command);
        lines.extend(text.lines().take(shown).map(|line| (line.to_owned(), false)));
        if text.lines().count() > shown {
            lines.push(("…".to_owned(), false));
        }
    }
    let page = "tests/browser/session.svg";
    check(page, &read(page), &picture(&lines));
}

/// Returns lines of a terminal as SVG. Commands have another colour.
fn picture(lines: &[(String, bool)]) -> String {
    const COLUMNS: usize = 110;
    let height = lines.len() * 18 + 40;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 920 {height}\" role=\"img\">\n\
         <title>A terminal session with ops-runbook</title>\n\
         <rect width=\"920\" height=\"{height}\" rx=\"8\" fill=\"#1b1f24\"/>\n\
         <g font-family=\"ui-monospace, Menlo, Consolas, monospace\" font-size=\"13\" fill=\"#e6e6e6\">\n"
    );
    for (index, (line, is_command)) in lines.iter().enumerate() {
        let colour = if *is_command { " fill=\"#7ee787\"" } else { "" };
        let mut text: String = line.chars().take(COLUMNS).collect();
        if text.len() < line.len() {
            text.pop();
            text.push('…');
        }
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let y = 33 + 18 * index;
        let _ = writeln!(svg, "<text x=\"20\" y=\"{y}\" xml:space=\"preserve\"{colour}>{text}</text>");
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}
