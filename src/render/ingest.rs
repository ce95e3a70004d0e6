//! What became of the documents in an inbox.

use super::plain::line;
use crate::domain::inbox::{Ingested, Rejection, rejected_at};

/// A few lines: what was taken, and what is left.
pub fn text(ingested: &Ingested) -> String {
    let Ingested { inbox, rejected_in, taken, recorded, known, rejected, waiting, unreadable, .. } = ingested;
    let mut text = format!(
        "Files taken from {}: {taken}.\nRecorded: {recorded}; known before: {known}; rejected: {rejected}.\n",
        line(inbox)
    );
    if *rejected > 0 {
        text.push_str(&format!(
            "What was rejected is in {}, each with its reason next to it; the table rejected_inputs lists it.\n",
            line(rejected_in)
        ));
    }
    if *waiting > 0 {
        text.push_str(&format!("Left for the next time, because somebody may still be writing: {waiting}.\n"));
    }
    if *unreadable > 0 {
        text.push_str(&format!("Left because they cannot be read: {unreadable}.\n"));
    }
    text
}

/// On one line: which, and the first thing that is wrong with it.
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
    fn an_ingest_is_told_in_a_few_lines() {
        let ingested = Ingested {
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
        Files taken from /Volumes/main/ops/inbox/incoming: 12.
        Recorded: 9; known before: 1; rejected: 2.
        What was rejected is in /Volumes/main/ops/inbox/_rejected/incoming, each with its reason next to it; the table rejected_inputs lists it.
        Left for the next time, because somebody may still be writing: 1.
        ");
        let nothing = Ingested { inbox: "/in".into(), ..Ingested::default() };
        assert_eq!(text(&nothing), "Files taken from /in: 0.\nRecorded: 0; known before: 0; rejected: 0.\n");
    }

    #[test]
    fn a_rejection_is_one_line_whatever_the_file_is_called() {
        assert_eq!(rejection(&rejected("/in/a.jsonl", 2)), "rejected: /in/a.jsonl:3: /a/0: is missing (and 1 more)");
        proptest::proptest!(|(name in hostile_text())| {
            let told = rejection(&rejected(&name, 1));
            assert_safe(&told);
            proptest::prop_assert_eq!(told.lines().count(), 1);
        });
    }
}
