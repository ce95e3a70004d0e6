//! The result of reading an inbox.

use super::plain::line;
use crate::domain::inbox::{IngestResult, Rejection, rejected_at};

/// Counts of files and documents, in a few lines.
pub fn text(ingested: &IngestResult) -> String {
    let IngestResult { inbox, rejected_in, taken, recorded, known, rejected, waiting, unreadable, .. } = ingested;
    let mut text = format!(
        "Files read from {}: {taken}.\nRecorded: {recorded}; recorded before: {known}; rejected: {rejected}.\n",
        line(inbox)
    );
    if *rejected > 0 {
        text.push_str(&format!(
            "Rejected files are in {}, each with a file that gives the reason. The table rejected_inputs lists them.\n",
            line(rejected_in)
        ));
    }
    if *waiting > 0 {
        text.push_str(&format!("Deferred to the next run, because they may still be written: {waiting}.\n"));
    }
    if *unreadable > 0 {
        text.push_str(&format!("Deferred, because they cannot be read: {unreadable}.\n"));
    }
    text
}

/// A rejected document and its first problem, on one line.
pub fn rejection(rejection: &Rejection) -> String {
    let mut text = format!("rejected: {}", rejected_at(&rejection.source, rejection.line));
    if let Some(first) = rejection.problems.first() {
        text.push_str(&format!(": {first}"));
    }
    match rejection.problems.len() {
        0 | 1 => {}
        count => text.push_str(&format!(" (and {} more)", count - 1)),
    }
    line(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::problems::Problem,
        render::example::{assert_safe, hostile_text, time},
    };

    fn rejected(source: &str, problems: usize) -> Rejection {
        let problem = |n: usize| Problem { pointer: format!("/a/{n}"), message: "is missing".into(), hint: None };
        Rejection {
            source: source.into(),
            line: Some(3),
            problems: (0..problems).map(problem).collect(),
            input_hash: "9f2c".repeat(16),
            audit_seq: 17,
            recorded_at: time("2026-02-11T12:15:00Z"),
        }
    }

    #[test]
    fn an_ingest_result_has_a_few_lines() {
        let ingested = IngestResult {
            inbox: "/Volumes/main/ops/inbox/incoming".into(),
            done_in: "/Volumes/main/ops/inbox/_done/incoming".into(),
            rejected_in: "/Volumes/main/ops/inbox/_rejected/incoming".into(),
            taken: 12,
            recorded: 9,
            known: 1,
            rejected: 2,
            waiting: 1,
            unreadable: 0,
        };
        insta::assert_snapshot!(text(&ingested), @r"
        Files read from /Volumes/main/ops/inbox/incoming: 12.
        Recorded: 9; recorded before: 1; rejected: 2.
        Rejected files are in /Volumes/main/ops/inbox/_rejected/incoming, each with a file that gives the reason. The table rejected_inputs lists them.
        Deferred to the next run, because they may still be written: 1.
        ");
        let nothing = IngestResult { inbox: "/in".into(), ..IngestResult::default() };
        assert_eq!(text(&nothing), "Files read from /in: 0.\nRecorded: 0; recorded before: 0; rejected: 0.\n");
    }

    #[test]
    fn a_rejection_is_one_line_for_any_file_name() {
        assert_eq!(rejection(&rejected("/in/a.jsonl", 2)), "rejected: /in/a.jsonl:3: /a/0: is missing (and 1 more)");
        proptest::proptest!(|(name in hostile_text())| {
            let text = rejection(&rejected(&name, 1));
            assert_safe(&text);
            proptest::prop_assert_eq!(text.lines().count(), 1);
        });
    }
}
