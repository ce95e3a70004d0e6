//! Tests that texts avoid words which readers of technical documentation do not expect.
//!
//! The check reads documentation, `--help`, SQL headers, the bundle, and the comments and string literals of `src`. It does not
//! read identifiers, snapshots and sample data.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use regex::Regex;
use tempfile::tempdir;

use crate::support::ok;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Banned words as regular expressions, and the words to use instead. A space matches any white space.
const BANNED: [(&str, &str); 12] = [
    ("whoever|whom", "the person, the caller, the process, or a passive sentence"),
    ("anew", "again, or a verb such as rebuild or recompute"),
    ("told|tells?", "notify (people), show, return, report"),
    ("somebody|anybody|nobody", "a person, a user, an actor, or a passive sentence"),
    ("stands", "is, has, exists, holds"),
    ("(?:is|are) over", "has ended, is resolved, has expired"),
    ("put aside", "left out, excluded, moved"),
    ("by itself", "alone, automatically, separately"),
    ("courtesy", "fairness delay"),
    ("rivals?", "concurrent writer"),
    ("upkeep", "maintenance"),
    ("checkups?", "health check, doctor"),
];

/// Permitted uses: a file, and a part of the line. Only quotations of records and invented data belong here.
const ALLOWED: &[(&str, &str)] =
    // A lake that has the demo already refuses the same ids with another content.
    &[("src/ops/demo/history/document.rs", "Consumers were told that data is late")];

/// Folders and files below the root that are checked.
const CHECKED: [&str; 6] = ["README.md", "databricks.yml", "src", "sql", "bundle", "resources"];

/// Files that are not checked: build output, licences, snapshots and sample data.
const SKIPPED: [&str; 6] = ["bundle/bin/", "__pycache__", "LICENSE", ".snap", ".csv", "sample.json"];

/// Tokens of Rust. The group has the text of a comment or string. Character literals have no group: without them, their quotes
/// would start strings.
static RUST: LazyLock<Regex> = LazyLock::new(|| {
    let raw = ["###", "##", "#", ""].map(|hashes| format!("r{hashes}\"(.*?)\"{hashes}"));
    let pattern =
        [r"(//[^\n]*|/\*.*?\*/)", &raw.join("|"), r#""((?:\\.|[^"\\])*)""#, r"'(?:\\.[^']*|[^'\\])'"].join("|");
    Regex::new(&format!("(?s){pattern}")).unwrap()
});

/// Tokens of SQL, as in [`RUST`].
static SQL: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(--[^\n]*)|'((?:''|[^'])*)'").unwrap());

/// Escapes such as `\n`, and marks of comments. They separate words.
static SEPARATORS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\\[a-z0]|[/!*#-]").unwrap());

static WORDS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let compile = |(words, instead): (&str, &'static str)| {
        (Regex::new(&format!(r"(?i)\b(?:{})\b", words.replace(' ', r"\s+"))).unwrap(), instead)
    };
    BANNED.into_iter().map(compile).collect()
});

/// Returns the comments and strings in `source`. Code becomes NUL characters, so the lines keep their numbers.
fn texts(source: &str, tokens: &Regex) -> String {
    let mut kept = vec![0; source.len()];
    for token in tokens.captures_iter(source) {
        if let Some(text) = token.iter().skip(1).flatten().next() {
            kept[text.range()].copy_from_slice(text.as_str().as_bytes());
        }
    }
    for (byte, original) in kept.iter_mut().zip(source.bytes()) {
        if original.is_ascii_whitespace() {
            *byte = original;
        }
    }
    String::from_utf8(kept).unwrap()
}

/// Returns the description and the comments of a case in `sql/cases`. The other lines are data.
fn case_texts(source: &str) -> String {
    let is_text = |line: &str| line.starts_with("what = ") || line.starts_with('#');
    let lines: Vec<&str> = source.lines().map(|line| if is_text(line) { line } else { "" }).collect();
    lines.join("\n")
}

/// Returns the part of a file to check.
fn checked_text(file: &str, source: &str) -> String {
    match file.rsplit_once('.') {
        Some((_, "rs")) => texts(source, &RUST),
        Some((_, "sql")) => texts(source, &SQL),
        Some((_, "toml")) if file.starts_with("sql/cases/") => case_texts(source),
        _ => source.to_owned(),
    }
}

/// Returns line, word and replacement of each banned word.
fn findings(text: &str) -> Vec<(usize, String, &'static str)> {
    let text = SEPARATORS.replace_all(text, " ");
    let mut found = Vec::new();
    for (words, instead) in WORDS.iter() {
        for word in words.find_iter(&text) {
            let line = text[..word.start()].matches('\n').count() + 1;
            found.push((line, word.as_str().split_whitespace().collect::<Vec<_>>().join(" "), *instead));
        }
    }
    found.sort();
    found
}

/// Adds the paths of the files to check.
fn collect(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), found);
        }
    } else if !SKIPPED.iter().any(|part| path.strip_prefix(ROOT).unwrap().to_str().unwrap().contains(part)) {
        found.push(path.to_owned());
    }
}

/// Adds `--help` of a command and of its subcommands, each with the command line.
fn collect_help(command: &[&str], found: &mut Vec<(String, String)>) {
    let folder = tempdir().unwrap();
    let help = ok(folder.path(), &[command, &["--help"]].concat());
    let subcommand = Regex::new(r"(?m)^  ([a-z][a-z-]*)(?:  +\S.*)?$").unwrap();
    for name in subcommand.captures_iter(&help).map(|found| found.extract::<1>().1[0]).filter(|name| *name != "help") {
        collect_help(&[command, &[name]].concat(), found);
    }
    found.push((format!("ops-runbook {} --help", command.join(" ")), help));
}

#[test]
fn texts_use_the_words_of_technical_documentation() {
    let mut files = Vec::new();
    CHECKED.iter().for_each(|name| collect(&Path::new(ROOT).join(name), &mut files));
    assert!(files.len() > 400, "only {} files", files.len());
    let mut sources: Vec<(String, String)> = files
        .iter()
        .map(|path| {
            let name = path.strip_prefix(ROOT).unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        })
        .collect();
    collect_help(&[], &mut sources);
    let commands = sources.len() - files.len();
    assert!(commands > 50, "only {commands} commands");

    let mut problems = Vec::new();
    let mut is_used = vec![false; ALLOWED.len()];
    for (name, source) in &sources {
        for (line, word, instead) in findings(&checked_text(name, source)) {
            let text = source.lines().nth(line - 1).unwrap_or_default();
            match ALLOWED.iter().position(|(file, part)| name == file && text.contains(part)) {
                Some(at) => is_used[at] = true,
                None => problems.push(format!("{name}:{line}: {word:?}; use instead: {instead}")),
            }
        }
    }
    problems.sort();
    assert!(problems.is_empty(), "{} banned words:\n{}", problems.len(), problems.join("\n"));
    let unused: Vec<_> = ALLOWED.iter().zip(is_used).filter(|(_, is_used)| !is_used).collect();
    assert!(unused.is_empty(), "remove unused entries from ALLOWED: {unused:?}");
}

fn words_in(file: &str, source: &str) -> Vec<(usize, String)> {
    findings(&checked_text(file, source)).into_iter().map(|(line, word, _)| (line, word)).collect()
}

#[test]
fn banned_words_are_found_in_comments_and_strings_but_not_in_code() {
    for (file, source, expected) in [
        ("a.rs", "/// Whoever asks.\nfn told(nobody: &'static str) {}", &[(1, "Whoever")][..]),
        ("a.rs", "f('\"', \"x is\\n over\", 'a'); // told", &[(1, "is over"), (1, "told")]),
        ("a.rs", "let a = r#\"\"anew\"\"#;\nlet told = r\"\\d\"; /* by\n itself */", &[(1, "anew"), (2, "by itself")]),
        ("a.rs", "    // The alert is\n    // over.\n", &[(1, "is over")]),
        ("a.rs", "f(\"it is\", over, \"stands_for\", '\\'', \"\\\" stands\")", &[(1, "stands")]),
        ("a.rs", "const A: &str = \"http://nobody\"; let is_over = told_if;", &[(1, "nobody")]),
        ("a.sql", "-- Told.\nSELECT told AS \"nobody\", 'anew' FROM tell", &[(1, "Told"), (2, "anew")]),
        ("sql/cases/a/b.toml", "what = \"told\"\nexpect = [{ title = \"anew\" }]", &[(1, "told")]),
        ("a.yml", "# Whom to ask.\ncomment: told", &[(1, "Whom"), (2, "told")]),
        ("a.md", "retold teller bystanders override", &[]),
    ] {
        let found = words_in(file, source);
        let found: Vec<(usize, &str)> = found.iter().map(|(line, word)| (*line, word.as_str())).collect();
        assert_eq!(found, expected, "{source}");
    }
}
