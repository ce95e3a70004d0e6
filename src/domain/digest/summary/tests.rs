use super::*;
use crate::domain::{
    check::CheckStatus,
    digest::{Decision, Figures, WeekSpan, sample},
    ids::IncidentId,
    incident::classification::IncidentType,
    prevention::state::PreventionState,
    recurrence::event::EpisodeEvent,
};

fn eventful() -> (WeekSpan, Figures) {
    let digest = sample::eventful();
    (digest.week, digest.figures)
}

/// Returns the sentences for figures that contain only some rows.
fn sentences_about(keep: impl FnOnce(&mut Figures, Figures)) -> Vec<String> {
    let (week, all) = eventful();
    let mut figures = Figures { counts: all.counts[..1].to_vec(), ..Figures::default() };
    keep(&mut figures, all);
    changed(&week, &figures)
}

#[test]
fn an_eventful_week_in_a_few_sentences() {
    let (week, figures) = eventful();
    insta::assert_snapshot!(changed(&week, &figures).join("\n"));
}

#[test]
fn the_decisions_of_an_eventful_week() {
    let (week, figures) = eventful();
    let shown = |decision: Decision| format!("{}\n    {}", decision.text, decision.command.unwrap_or_default());
    insta::assert_snapshot!(decisions(&week, &figures).into_iter().map(shown).collect::<Vec<_>>().join("\n"));
}

#[test]
fn the_total_is_compared_with_the_known_weeks_before() {
    let check = |incidents: u64, previous: Option<u64>, median: Option<f64>, weeks: u32, expected: &str| {
        let (week, mut figures) = eventful();
        figures.counts.truncate(1);
        let total = &mut figures.counts[0];
        (total.incidents, total.previous, total.median_before, total.weeks_before) =
            (incidents, previous, median, weeks);
        assert_eq!(changed(&week, &figures)[0], expected);
    };
    check(1, None, None, 0, "1 incident in 2026-W08; nothing is known of the weeks before.");
    check(5, Some(5), None, 1, "5 incidents, as many as the week before.");
    check(5, Some(0), Some(1.5), 2, "5 incidents, 5 more than the week before (0).");
    check(
        5,
        Some(6),
        Some(5.0),
        3,
        "5 incidents, 1 fewer than the week before (6) and as many as the median of the three known weeks before (5).",
    );
    check(
        10,
        Some(5),
        Some(12.5),
        4,
        "10 incidents, 5 more than the week before (5) and fewer than the median of the four weeks before (12.5).",
    );
    check(40, Some(20), None, 1, "40 incidents, twice as many as the week before (20).");
    check(10, Some(20), None, 1, "10 incidents, half as many as the week before (20).");
    check(70, Some(20), None, 1, "70 incidents, 3.5 times as many as the week before (20).");
    check(25, Some(20), None, 1, "25 incidents, 5 more than the week before (20).");
}

#[test]
fn a_week_without_incidents_lists_the_open_ones() {
    let (week, all) = eventful();
    assert_eq!(
        changed(&week, &Figures::default()),
        ["There were no incidents in 2026-W08.", "No incident was open at the end of the week."]
    );
    let mut figures = Figures { counts: all.counts[..1].to_vec(), open: all.open, ..Figures::default() };
    figures.counts[0].incidents = 0;
    assert_eq!(
        changed(&week, &figures),
        [
            "There were no incidents in 2026-W08.",
            "The week before had 14, the median of the four weeks before is 12.5.",
            "3 incidents were open at the end of the week; the oldest is INC-1019, 16d 8h old.",
        ]
    );
    assert_eq!(decisions(&week, &Figures::default()), []);
}

#[test]
fn unchanged_figures_are_not_mentioned() {
    let check = |keep: fn(&mut Figures, Figures), expected: Option<&str>| {
        let sentences = sentences_about(keep);
        // General sentences fill up the list.
        let general = |sentence: &str| sentence.starts_with("No incident") || sentence.starts_with("The most");
        let change = sentences.iter().skip(1).find(|sentence| !general(sentence));
        assert_eq!(change.map(String::as_str), expected, "{sentences:#?}");
    };
    let secret = "“Expired service principal secret” is a new cause (not seen in the 13 weeks before): 3 incidents.";
    check(|figures, all| figures.causes = all.causes[2..3].to_vec(), Some(secret));
    // In a new lake every cause would be new.
    check(
        |figures, all| {
            figures.causes = all.causes[2..3].to_vec();
            figures.counts[0].weeks_before = 0;
        },
        None,
    );
    check(
        |figures, all| figures.causes = all.causes[..1].to_vec(),
        Some(
            "“Job retry policies not configured (max_retries=0)” is now the most frequent cause with 6 incidents; it was number 2 with 2 the week before.",
        ),
    );
    // Two causes share the first rank.
    check(
        |figures, all| {
            figures.causes = all.causes[..2].to_vec();
            figures.causes[1].rank = 1;
        },
        None,
    );
    check(
        |figures, all| figures.durations = all.durations,
        Some(
            "The median time to resolve (report to first resolution) rose to 1h 52m (n=21) from 1h 13m the week before (n=14).",
        ),
    );
    check(
        |figures, all| {
            figures.durations = all.durations;
            figures.durations[15].n = 2;
        },
        None,
    );
    check(
        |figures, all| {
            figures.durations = all.durations;
            figures.durations[19].p50_s = Some(4500.0);
        },
        None,
    );
    check(
        |figures, all| figures.load = all.load,
        Some("5 of 14 alerts fired at night (22:00 to 05:59 Europe/Berlin), 3 of them HIGH or CRITICAL."),
    );
    check(
        |figures, all| {
            figures.load = all.load;
            figures.load.iter_mut().for_each(|load| load.alerts = 0);
        },
        Some("8 of 23 incidents (35 %) came at night (22:00 to 05:59 Europe/Berlin)."),
    );
    check(|figures, all| figures.load = all.load[..2].to_vec(), None);
    check(
        |figures, all| figures.checks = all.checks,
        Some("Checks started to fail in “Security” (3 of 12, none of 11 the week before)."),
    );
    check(
        |figures, all| {
            figures.checks = all.checks.into_iter().filter(|check| check.status == CheckStatus::Fail).collect()
        },
        None,
    );
    check(
        |figures, all| figures.recurring = all.recurring[2..].to_vec(),
        Some("“Instance quota exceeded in eu-west-1” is no longer a recurring issue."),
    );
    check(|figures, all| figures.recurring = all.recurring[1..2].to_vec(), None);
    check(
        |figures, all| {
            figures.recurring = all.recurring[..2].to_vec();
            figures.recurring[1].is_new = true;
        },
        Some(
            "2 issues became recurring; the largest is “Executor out of memory during shuffle: spark.executor.memory too small for skew…” with 9 incidents so far.",
        ),
    );
}

#[test]
fn an_effective_action_is_mentioned_for_five_weeks() {
    let second_sentence = |adopted: &str| {
        sentences_about(|figures, all| {
            figures.prevention = all.prevention[2..].to_vec();
            figures.recurring = all.recurring[2..].to_vec();
            figures.recurring[0].event = EpisodeEvent::Updated;
            figures.prevention[0].adopted_at = adopted.parse().unwrap();
        })
        .into_iter()
        .nth(1)
    };
    let works = "“health-rule” works against “Instance quota exceeded in eu-west-1”: 0 incidents in the 28d since it was adopted, 4 in the 28 days before.";
    assert_eq!(second_sentence("2026-01-22T09:00:00Z").as_deref(), Some(works));
    assert_eq!(
        second_sentence("2026-01-12T09:00:00Z").as_deref(),
        Some("No incident was open at the end of the week.")
    );
}

#[test]
fn the_number_of_sentences_is_limited() {
    let digest = sample::huge();
    for digest in [digest, sample::hostile()] {
        let sentences = changed(&digest.week, &digest.figures);
        assert!((MIN_SENTENCES..=6).contains(&sentences.len()), "{sentences:#?}");
        let needed = decisions(&digest.week, &digest.figures);
        assert!(needed.len() <= 8);
        let all = sentences.iter().chain(needed.iter().map(|decision| &decision.text));
        for sentence in all {
            assert!(sentence.chars().count() < 500 && sentence.ends_with('.'), "{sentence}");
        }
    }
}

const MIN_SENTENCES: usize = 3;

#[test]
fn further_decisions_are_counted() {
    let (week, mut figures) = eventful();
    let issue = figures.recurring[0].clone();
    figures.recurring = vec![issue; 9];
    figures
        .recurring
        .iter_mut()
        .flat_map(|issue| &mut issue.actions)
        .for_each(|action| action.state = PreventionState::Proposed);
    figures.open.iter_mut().enumerate().for_each(|(n, open)| {
        open.incident_id = IncidentId::from_ordinal(n as u64 + 1);
        open.incident_type = IncidentType::JobFailure;
    });
    let needed = decisions(&week, &figures);
    assert_eq!(needed.len(), 8);
    assert_eq!(needed[5].text, "6 more recurring issues have no adopted preventive action.");
    assert_eq!(needed[7].text, "3 more points need a decision; see the figures.");
}

#[test]
fn a_command_is_quoted_for_a_shell() {
    let (week, all) = eventful();
    let mut figures = Figures { recurring: all.recurring[..1].to_vec(), ..Figures::default() };
    figures.recurring[0].actions.clear();
    let command = |figures: &Figures| decisions(&week, figures)[0].command.clone();
    assert_eq!(command(&figures).as_deref(), Some("ops-runbook recurrence show rec-0123456789abcdef"));
    figures.recurring[0].episode_id = "x; rm -rf '/'".into();
    let quoted = command(&figures).unwrap();
    assert_eq!(shlex::split(&quoted).unwrap()[3], "x; rm -rf '/'");
    figures.recurring[0].episode_id = "a\0b".into();
    assert_eq!(command(&figures), None);
}

#[test]
fn names_are_truncated_at_a_character() {
    assert_eq!(cut("größer", 6), "größer");
    assert_eq!(cut("größer!", 6), "größe…");
    assert_eq!(cut("", 6), "n/a");
    assert_eq!(quoted(&"日".repeat(100)), format!("“{}…”", "日".repeat(79)));
}
