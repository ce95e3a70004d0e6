use super::*;
use crate::{
    domain::digest::{Figures, sample},
    render::{example::checked, plain::is_unsafe},
};

/// One element a line, without the style sheet.
fn for_snapshot(page: &str) -> String {
    let (before, style) = page.split_once("<style>").unwrap();
    let (_, after) = style.split_once("</style>").unwrap();
    format!("{before}{after}").replace("><", ">\n<")
}

#[test]
fn an_eventful_week() {
    insta::assert_snapshot!("eventful", for_snapshot(&html(&sample::eventful())));
}

#[test]
fn an_empty_week_says_so_and_still_shows_audit_and_freshness() {
    let page = html(&sample::empty());
    for text in ["There were no incidents.", "Nothing needs a decision.", "Intact: 1,204 rows", "2026-02-24 09:11 CET"]
    {
        assert!(page.contains(text), "{text}");
    }
    assert!(!page.contains("<table") && !page.contains("<svg"), "nothing to count and nothing to draw");
    insta::assert_snapshot!("empty", for_snapshot(&page));
}

#[test]
fn the_page_is_well_formed_for_any_text_and_has_no_external_resources() {
    for digest in [sample::eventful(), sample::empty(), sample::hostile(), sample::huge()] {
        let page = html(&digest);
        let (elements, attributes) = checked(&page);
        for element in ["script", "img", "link", "iframe", "object", "a", "form", "base"] {
            assert!(!elements.contains(element), "{element}");
        }
        assert!(
            attributes.iter().all(|name| !name.starts_with("on") && name != "src" && name != "href"),
            "{attributes:?}"
        );
        for reference in ["http:", "https:", "url(", "@import", "data:"] {
            assert!(!page.contains(reference), "{reference}");
        }
        let unsafe_character = page.chars().find(|character| *character != '\n' && is_unsafe(*character));
        assert_eq!(unsafe_character, None);
    }
}

#[test]
fn long_lists_are_cut_and_the_rest_is_counted() {
    let page = html(&sample::huge());
    assert!(page.len() < 500_000, "{} bytes", page.len());
    for rest in ["and 9,980 more", "and 980 more", "and 480 more"] {
        assert!(page.contains(rest), "{rest}");
    }
    let mut long = sample::eventful();
    let text = "x".repeat(100_000);
    long.changed = vec![text.clone(); 1_000];
    long.figures.causes.iter_mut().for_each(|cause| cause.root_cause.clone_from(&text));
    long.figures.open.iter_mut().for_each(|open| open.title.clone_from(&text));
    assert!(html(&long).len() < 500_000);
}

#[test]
fn a_mail_client_keeps_the_style_sheet_and_both_themes_have_every_ink() {
    let page = html(&sample::empty());
    let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    assert!(style.len() < 8_192, "{} bytes; some clients drop longer ones", style.len());
    for ink in ink::Ink::all() {
        assert!(style.contains(&format!(".f-{}{{fill:", ink.class())), "{ink:?}");
    }
}

#[test]
fn percentages_and_percentiles_need_enough_values() {
    let page = html(&sample::eventful());
    assert!(page.contains("4 of 28 runs (14 %)"));
    assert!(page.contains("6 of 14 acknowledged") && !page.contains("6 of 14 ("), "14 is too few for a percentage");
    assert!(page.contains("n/a if none was tried"));
    let acknowledge = page.split("Time to acknowledge").nth(1).unwrap().split("</tr>").next().unwrap();
    assert!(acknowledge.contains("16m") && acknowledge.contains("n/a"), "a median of 9, no percentile: {acknowledge}");
}

#[test]
fn an_audit_log_that_is_not_intact_is_shown_as_an_alarm() {
    let mut digest = sample::eventful();
    digest.audit.intact = false;
    digest.audit.verified_after = 1_100;
    digest.audit.problems = vec!["row 1150 was altered".into()];
    let page = html(&digest);
    assert!(page.contains("The audit log is not intact.") && page.contains("row 1150 was altered"));
    assert!(page.contains("Rows 1,101 to 1,204 were verified.") && !page.contains("Intact:"));
    let mut empty = sample::empty();
    (empty.audit.head_seq, empty.audit.head_hash) = (0, "0".repeat(64));
    assert!(html(&empty).contains("The audit log is empty."));
}

#[test]
fn problems_override_the_flag_that_the_log_is_intact() {
    let mut digest = sample::eventful();
    digest.audit.problems = vec!["row 3 is missing".into()];
    assert!(html(&digest).contains("The audit log is not intact."));
}

#[test]
fn weeks_before_the_ledger_begins_are_unknown_and_not_zero() {
    let mut digest = sample::eventful();
    for count in &mut digest.figures.counts {
        (count.weeks_before, count.previous, count.median_before) = (0, None, None);
    }
    digest.figures.days.retain(|day| day.day.to_string().as_str() >= "2026-02-16");
    let page = html(&digest);
    assert!(page.contains("week before: n/a"), "not 0");
    let before = page.split(">W07</th>").nth(1).unwrap().split("</tbody>").next().unwrap();
    assert_eq!(before.matches("<div>n/a</div>").count(), 14, "seven days of unknown incidents and types: {before}");
}

#[test]
fn a_week_with_a_change_of_clocks_shows_its_length() {
    let mut digest = sample::empty();
    digest.week.week = "2026-W13".into();
    digest.week.start = "2026-03-22T23:00:00Z".parse().unwrap();
    digest.week.end = "2026-03-29T22:00:00Z".parse().unwrap();
    digest.week.hours = 167.0;
    digest.made_at = "2026-03-30T06:00:00Z".parse().unwrap();
    let page = html(&digest);
    for text in ["Monday 23 March to Sunday 29 March 2026", "Europe/Berlin, 167 hours", "2026-03-30 08:00 CEST"] {
        assert!(page.contains(text), "{text}");
    }
}

#[test]
fn an_unknown_zone_is_replaced_by_utc() {
    let mut digest = sample::eventful();
    digest.week.time_zone = "Mars/<b>Base</b>".into();
    let page = html(&digest);
    assert!(page.contains("UTC, because the zone Mars/&lt;b&gt;Base&lt;/b&gt; is unknown"));
    checked(&page);
}

#[test]
fn alerts_without_incidents_are_shown_and_incidents_without_alerts_too() {
    let mut digest = sample::eventful();
    let escalations = digest.figures.escalations.clone();
    digest.figures = Figures { escalations, ..Figures::default() };
    let page = html(&digest);
    assert!(
        page.contains("2 alerts had no route, so no notification was sent.")
            && page.contains("No incidents were reported.")
    );
}
