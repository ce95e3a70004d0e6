use proptest::prelude::*;

use super::{markdown::markdown, slack::slack, text::text};
use crate::{
    domain::digest::{
        Decision, Digest, Revised, sample,
        summary::{changed, decisions},
    },
    render::{
        example::{any_text, assert_safe},
        plain::{self, columns},
        slack::check::check_limits,
    },
};

fn all() -> [Digest; 4] {
    [summarized(sample::eventful()), summarized(sample::empty()), sample::hostile(), summarized(sample::huge())]
}

/// The digest with the sentences computed from its figures.
fn summarized(mut digest: Digest) -> Digest {
    digest.changed = changed(&digest.week, &digest.figures);
    digest.decisions = decisions(&digest.week, &digest.figures);
    digest
}

/// The hostile digest with harmless text from outside.
fn harmless() -> Digest {
    let document = serde_json::to_string(&sample::hostile()).unwrap();
    let hostile = serde_json::to_string(sample::HOSTILE).unwrap();
    serde_json::from_str(&document.replace(&hostile, "\"harmless\"")).unwrap()
}

#[test]
fn an_eventful_week() {
    let digest = summarized(sample::eventful());
    insta::assert_snapshot!("eventful_text_80", text(&digest, 80));
    insta::assert_snapshot!("eventful_text_120", text(&digest, 120));
    insta::assert_snapshot!("eventful_markdown", markdown(&digest));
    insta::assert_snapshot!("eventful_slack", format!("{:#}", slack(&digest)));
}

#[test]
fn a_week_without_incidents() {
    let digest = summarized(sample::empty());
    insta::assert_snapshot!("empty_text", text(&digest, 80));
    insta::assert_snapshot!("empty_markdown", markdown(&digest));
    insta::assert_snapshot!("empty_slack", format!("{:#}", slack(&digest)));
    assert!(text(&digest, 80).lines().count() < 40);
}

#[test]
fn hostile_names_are_shown_and_do_nothing() {
    let digest = sample::hostile();
    insta::assert_snapshot!("hostile_text", text(&digest, 100));
    insta::assert_snapshot!("hostile_markdown", markdown(&digest));
    assert_safe(&text(&digest, 100));
    assert_safe(&markdown(&digest));
}

#[test]
fn hostile_names_add_no_line() {
    let lines = |text: String| text.lines().count();
    assert_eq!(lines(markdown(&sample::hostile())), lines(markdown(&harmless())));
    // at this width only prose differs, and no table does
    let tables = |digest: &Digest| text(digest, 120).lines().filter(|line| line.contains("INC-10")).count();
    assert_eq!(tables(&sample::hostile()), tables(&harmless()));
}

#[test]
fn only_commands_and_hashes_exceed_the_width_of_a_terminal_line() {
    for digest in all() {
        let commands: Vec<String> =
            super::labels::decisions(&digest).iter().filter_map(|one| one.command.clone()).collect();
        for width in 80..=120 {
            for line in text(&digest, width).lines() {
                let copied =
                    line.contains(&digest.audit.head_hash) || commands.iter().any(|command| line.contains(command));
                assert!(columns(line) <= width || copied, "{width}: {line}");
            }
        }
    }
}

#[test]
fn long_lists_are_cut_and_counted() {
    let digest = sample::huge();
    let (text, markdown) = (text(&digest, 120), markdown(&digest));
    for shown in [&text, &markdown] {
        assert!(shown.len() < 200_000, "{}", shown.len());
        assert!(shown.lines().count() < 400, "{}", shown.lines().count());
        for more in
            ["9975 more open incidents", "975 more repeat offenders", "975 more causes", "475 more recurring issues"]
        {
            assert!(shown.contains(&format!("{more} are not shown.")), "{more}");
        }
    }
    check_limits(&slack(&digest));
    assert!(slack(&digest).to_string().contains("… and 9992 more"));
}

#[test]
fn a_week_with_a_change_of_clocks_is_marked() {
    let mut digest = sample::empty();
    let zone = chrono_tz::Tz::Europe__Berlin;
    let week = crate::domain::week::Week::new("2026-W13".parse().unwrap(), zone);
    digest.week.week = week.to_string();
    (digest.week.start, digest.week.end, digest.week.hours) = (week.start(), week.end(), week.hours());
    let span = "Monday 2026-03-23 00:00 CET to Monday 2026-03-30 00:00 CEST (167 hours: clocks change)";
    assert!(text(&digest, 120).contains(span), "{}", text(&digest, 120));
    assert!(markdown(&digest).contains(span));
    assert!(slack(&digest).to_string().contains(span));
}

#[test]
fn an_audit_log_that_is_not_intact_comes_first() {
    let mut digest = sample::eventful();
    digest.audit.intact = false;
    digest.audit.problems = vec!["Row 17 was altered.".into()];
    let first = "The audit log is NOT INTACT: 1 problem was found.";
    for shown in [text(&digest, 100), markdown(&digest)] {
        assert!(shown.contains(&format!("1. {first}")), "{shown}");
        assert!(shown.contains("Row 17 was altered."));
    }
    assert!(slack(&digest).to_string().contains(&format!("• {first}")));
}

#[test]
fn small_numbers_show_no_percentage_and_no_percentile() {
    let mut digest = sample::eventful();
    for duration in &mut digest.figures.durations {
        duration.n = 2;
    }
    digest.figures.load.iter_mut().for_each(|load| load.incidents = 3);
    digest.figures.offenders[0].runs = Some(19);
    digest.figures.escalations.iter_mut().for_each(|row| row.acknowledged = 2);
    for shown in [text(&digest, 120), markdown(&digest)] {
        assert!(!shown.contains(" %)"), "{shown}");
        assert!(shown.contains("4 of 19"));
        let row = shown.lines().find(|line| line.contains("Time to resolve") && line.contains("n/a (n=2)")).unwrap();
        assert_eq!(row.matches("n/a").count(), 3, "{row}");
        let row = shown.lines().rfind(|line| line.contains("HIGH") && line.contains("recurring")).unwrap();
        assert!(row.contains("n/a"), "{row}");
    }
}

#[test]
fn slack_is_within_its_limits() {
    for digest in all() {
        check_limits(&slack(&digest));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_slack_message_is_within_limits_for_any_text(text in any_text(), many in 0usize..40) {
        let mut digest = sample::eventful();
        digest.figures.recurring = digest.figures.recurring.iter().cycle().take(many).cloned().collect();
        digest.figures.open = digest.figures.open.iter().cycle().take(many).cloned().collect();
        digest.changed = vec![text.clone(); many];
        digest.decisions = vec![Decision { text: text.clone(), command: Some(text.clone()) }; many];
        digest.revised = Some(Revised { revision: 1, made_at: digest.made_at, differences: vec![text.clone(); many] });
        digest.audit.head_hash = text.clone();
        (digest.week.week, digest.week.time_zone) = (text.clone(), text.clone());
        for issue in &mut digest.figures.recurring {
            issue.root_cause = text.clone();
            issue.actions.iter_mut().for_each(|action| action.action = text.clone());
        }
        digest.figures.open.iter_mut().for_each(|open| open.title = text.clone());
        let message = slack(&digest);
        check_limits(&message);
        // always part of the message
        prop_assert!(message.to_string().contains("Audit log: "));
    }

    #[test]
    fn text_and_markdown_are_safe_for_any_text(text in any_text(), width in 0usize..200) {
        let mut digest = sample::eventful();
        digest.changed = vec![text.clone()];
        digest.decisions = vec![Decision { text: text.clone(), command: Some(text.clone()) }];
        digest.audit.problems = vec![text.clone()];
        digest.audit.head_hash = text.clone();
        (digest.week.week, digest.week.time_zone) = (text.clone(), text.clone());
        digest.figures.open.iter_mut().for_each(|open| (open.title, open.resource_name) = (text.clone(), Some(text.clone())));
        let shown = markdown(&digest);
        assert_safe(&shown);
        let columned = super::text::text(&digest, width);
        assert_safe(&columned);
        prop_assert!(columned.lines().all(|line| columns(line) <= width.max(80) || line.contains("ops-runbook") || line.trim() == plain::line(&text).trim()));
        prop_assert_eq!(shown.lines().count(), {
            digest.changed = vec!["x".into()];
            markdown(&digest).lines().count()
        });
    }
}
