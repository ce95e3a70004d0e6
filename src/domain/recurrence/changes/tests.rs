use proptest::{collection::vec, prelude::*};

use super::*;
use crate::domain::recurrence::tests::at;

fn incident(n: u64) -> IncidentId {
    IncidentId::from_ordinal(n)
}

/// Occurrences are as many as the episode is long.
fn found(cause: &str, first: i64, last: i64, is_open: bool) -> Episode {
    Episode {
        cause: cause.into(),
        first_at: at(first),
        last_at: at(last),
        occurrences: (last - first + 1) as u64,
        incidents: (last - first + 1) as u64,
        is_open,
        may_begin_earlier: false,
        first_incident_id: incident(first as u64 + 1),
        last_incident_id: incident(last as u64 + 1),
        reached_incident_id: incident(first as u64 + 3),
    }
}

fn recorded(id: &str, cause: &str, first: i64, last: i64, event: EpisodeEvent) -> RecordedEpisode {
    RecordedEpisode {
        episode_id: id.into(),
        incident_id: incident(77),
        seq: 50,
        first_seq: first as u64,
        occurred_at: at(0),
        cause: cause.into(),
        event,
        occurrences: (last - first + 1) as u64,
        first_at: at(first),
        last_at: at(last),
        threshold: 3,
        window_hours: 168,
    }
}

fn merged(cause: &str, counts_as: &str) -> Vec<CauseMapping> {
    vec![CauseMapping { seq: 60, ordinal: 1, cause_fingerprint: cause.into(), counts_as: counts_as.into() }]
}

fn transitions(found: &[Episode], known: &[RecordedEpisode], aliases: &[CauseMapping]) -> Vec<String> {
    let changes = changes(found, known, aliases, at(1_000), RecurrenceRule::DEFAULT);
    let one = |change: &EpisodeTransition| {
        let id = if change.episode_id.starts_with("rec-") { "new" } else { &change.episode_id };
        let times = change.first_at.micros() - at(0).micros()..=change.last_at.micros() - at(0).micros();
        format!("{id} {} {times:?}: {}", change.event, change.reason)
    };
    changes.iter().map(one).collect()
}

use EpisodeEvent::{Closed, Opened, Updated};

#[test]
fn the_threshold_opens_an_episode_with_an_id_of_its_own() {
    let changes = changes(&[found("a", 0, 2, true)], &[], &[], at(9), RecurrenceRule::DEFAULT);
    let [change] = changes.as_slice() else { panic!("{changes:?}") };
    assert_eq!(change.event, Opened);
    assert_eq!(change.incident_id, incident(3), "the incident that reached the threshold");
    assert_eq!(change.episode_id, episode_id("a", incident(1)));
    assert_eq!(change.episode_id.len(), 20);
    assert_ne!(change.episode_id, episode_id("b", incident(1)));
}

#[test]
fn each_transition_has_its_reason() {
    let check =
        |name: &str, found: &[Episode], known: &[RecordedEpisode], aliases: &[CauseMapping], expected: &[&str]| {
            assert_eq!(transitions(found, known, aliases), expected, "{name}");
        };
    let open = |id: &str, first, last| recorded(id, "a", first, last, Opened);
    let ended = |id: &str, first, last| recorded(id, "a", first, last, Closed);
    check("new", &[found("a", 0, 2, true)], &[], &[], &["new opened 0..=2: the threshold was reached"]);
    check(
        "found after its end",
        &[found("a", 0, 2, false)],
        &[],
        &[],
        &["new closed 0..=2: it had ended when it was found"],
    );
    check("the same", &[found("a", 0, 2, true)], &[open("x", 0, 2)], &[], &[]);
    check("the same, closed", &[found("a", 0, 2, false)], &[ended("x", 0, 2)], &[], &[]);
    check("longer", &[found("a", 0, 3, true)], &[open("x", 0, 2)], &[], &["x updated 0..=3: its occurrences changed"]);
    check(
        "begins earlier",
        &[found("a", 0, 3, true)],
        &[open("x", 1, 3)],
        &[],
        &["x updated 0..=3: its occurrences changed"],
    );
    check(
        "a window passed",
        &[found("a", 0, 2, false)],
        &[recorded("x", "a", 0, 2, Updated)],
        &[],
        &["x closed 0..=2: a whole window passed without another occurrence"],
    );
    check(
        "continues",
        &[found("a", 0, 9, true)],
        &[ended("x", 0, 2)],
        &[],
        &["x updated 0..=9: it was closed and has new occurrences"],
    );
    check(
        "changed after its end",
        &[found("a", 0, 3, false)],
        &[ended("x", 0, 2)],
        &[],
        &["x closed 0..=3: its occurrences changed after it was closed"],
    );
    check(
        "joined",
        &[found("a", 0, 9, true)],
        &[open("y", 6, 9), ended("x", 0, 2), ended("z", 4, 5)],
        &[],
        &["x updated 0..=9: it was closed and has new occurrences", "y closed 6..=9: merged into x"],
    );
    check(
        "split in two",
        &[found("a", 0, 2, false), found("a", 6, 9, true)],
        &[open("x", 0, 9)],
        &[],
        &[
            "x closed 0..=2: a whole window passed without another occurrence",
            "new opened 6..=9: the threshold was reached",
        ],
    );
    check(
        "next one",
        &[found("a", 0, 2, false), found("a", 6, 9, true)],
        &[ended("x", 0, 2)],
        &[],
        &["new opened 6..=9: the threshold was reached"],
    );
    check(
        "revised",
        &[],
        &[open("x", 0, 2), ended("y", 5, 7)],
        &[],
        &["x closed 0..=2: no longer found: findings were revised"],
    );
    check(
        "another cause",
        &[found("b", 0, 2, true)],
        &[open("x", 0, 2)],
        &[],
        &["new opened 0..=2: the threshold was reached", "x closed 0..=2: no longer found: findings were revised"],
    );
    check(
        "merged causes",
        &[found("b", 0, 5, true)],
        &[open("x", 0, 2)],
        &merged("a", "b"),
        &["x updated 0..=5: its occurrences changed"],
    );
    check(
        "both merged",
        &[found("b", 0, 5, true)],
        &[open("x", 1, 2), recorded("y", "b", 0, 5, Opened)],
        &merged("a", "b"),
        &["x closed 1..=2: merged into y"],
    );
    check(
        "split",
        &[],
        &[recorded("x", "b", 0, 2, Opened)],
        &[merged("a", "b"), merged("a", "a")].concat(),
        &["x closed 0..=2: no longer found: causes were merged or split"],
    );
    let by_two = RecordedEpisode { threshold: 2, window_hours: 24, ..open("x", 0, 1) };
    check(
        "other rule",
        &[],
        &[by_two],
        &[],
        &["x closed 0..=1: no longer found: it was recorded with a threshold of 2 within 24 h"],
    );
}

#[test]
fn an_evaluation_of_an_earlier_time_changes_nothing() {
    let later = RecordedEpisode { occurred_at: at(100), ..recorded("x", "a", 0, 9, Updated) };
    assert_eq!(
        changes(&[found("a", 0, 3, true)], std::slice::from_ref(&later), &[], at(99), RecurrenceRule::DEFAULT),
        []
    );
    assert_eq!(changes(&[], std::slice::from_ref(&later), &[], at(99), RecurrenceRule::DEFAULT), []);
}

#[test]
fn the_parts_of_a_split_episode_have_different_ids() {
    let id = episode_id("a", incident(7));
    let known = [recorded(&id, "a", 0, 9, Opened)];
    let changes =
        changes(&[found("a", 0, 2, true), found("a", 6, 9, true)], &known, &[], at(1_000), RecurrenceRule::DEFAULT);
    assert_eq!((changes[0].episode_id.as_str(), changes[0].event), (id.as_str(), Updated));
    assert_eq!(changes[1].event, Opened);
    assert_ne!(changes[1].episode_id, id);
}

/// Disjoint episodes of up to three causes, in order.
fn any_found() -> impl Strategy<Value = Vec<Episode>> {
    vec((0..3usize, 1..6i64, 0..6i64, any::<bool>()), 0..8).prop_map(|pieces| {
        let mut ends = [0; 3];
        let piece = |(cause, gap, length, is_open): (usize, i64, i64, bool)| {
            let first = ends[cause] + gap;
            ends[cause] = first + length;
            found(["a", "b", "c"][cause], first, first + length, is_open)
        };
        pieces.into_iter().map(piece).collect()
    })
}

fn record(known: &mut Vec<RecordedEpisode>, changes: &[EpisodeTransition], as_of: Timestamp, seq: u64) {
    for change in changes {
        let first_seq =
            known.iter().find(|known| known.episode_id == change.episode_id).map_or(seq, |known| known.first_seq);
        let row = RecordedEpisode {
            episode_id: change.episode_id.clone(),
            incident_id: change.incident_id,
            seq,
            first_seq,
            occurred_at: as_of,
            cause: change.cause.clone(),
            event: change.event,
            occurrences: change.occurrences,
            first_at: change.first_at,
            last_at: change.last_at,
            threshold: 3,
            window_hours: 168,
        };
        known.retain(|known| known.episode_id != row.episode_id);
        known.push(row);
    }
}

#[test]
fn an_alert_with_an_expired_suppression_is_evaluated_once() {
    let own = |id: &str, seq: u64, event: EpisodeEvent| RecordedEpisode { seq, ..recorded(id, "a", 0, 4, event) };
    let expired = |seq: u64| vec![ExpiredSuppression { incident_id: incident(77), until: at(9), seq }];
    let open = found("a", 0, 4, true);
    let check = |known: &[RecordedEpisode], seq: u64, changed: &[EpisodeTransition], goes_on: &[&str]| {
        let found = |known: &RecordedEpisode| goes_on.contains(&known.episode_id.as_str()).then_some(&open);
        let new = reevaluations(&expired(seq), known, changed, found);
        let one = |change: &EpisodeTransition| {
            assert_eq!(change.incident_id, incident(77));
            assert_eq!(change.found.is_some(), change.event == Updated);
            format!("{} {}: {}", change.episode_id, change.event, change.reason)
        };
        new.iter().map(one).collect::<Vec<_>>()
    };
    let goes_on = format!("x updated: the suppression of its alert expired at {}", at(9));
    let ended = format!("x closed: it ended before the suppression of its alert expired at {}", at(9));
    // An evaluation suppressed the alert, or a person snoozed it afterwards.
    for seq in [50, 51] {
        assert_eq!(check(&[own("x", 50, Updated)], seq, &[], &["x"]), [goes_on.as_str()]);
        assert_eq!(check(&[own("x", 50, Closed)], seq, &[], &[]), [ended.as_str()]);
    }
    // The episode was evaluated since, or this evaluation records it anyway.
    assert_eq!(check(&[own("x", 52, Updated)], 51, &[], &["x"]), [""; 0]);
    let changes = |event: EpisodeEvent| vec![change(event, TransitionReason::Changed, &open, "x", incident(77))];
    assert_eq!(check(&[own("x", 50, Updated)], 51, &changes(Updated), &["x"]), [""; 0]);
    assert_eq!(check(&[own("x", 50, Updated)], 51, &changes(Closed), &[]), [""; 0]);
    // Another episode of the same incident continues.
    let both = [own("x", 40, Updated), own("y", 50, Updated)];
    assert_eq!(check(&both, 51, &[], &["x"]), [goes_on.as_str()]);
    let closed = vec![change(Closed, TransitionReason::WindowPassed, &open, "y", incident(77))];
    assert_eq!(check(&both, 51, &closed, &["x"]), [goes_on.as_str()]);
    // Alerts of other incidents are not affected.
    let other = RecordedEpisode { incident_id: incident(78), ..own("x", 50, Updated) };
    assert_eq!(check(&[other], 51, &[], &["x"]), [""; 0]);
}

proptest! {
    /// After any sequence of evaluations, repeating the last one changes nothing, and exactly the open episodes are recorded as
    /// open, each with its own id.
    #[test]
    fn a_repeated_evaluation_records_nothing(evaluations in vec((any_found(), any::<bool>()), 1..6)) {
        let mut known = Vec::new();
        for (seq, (found, is_merged)) in (1..).zip(evaluations) {
            let aliases = if is_merged { merged("a", "b") } else { vec![] };
            let found: Vec<Episode> =
                found.into_iter().filter(|episode| !is_merged || episode.cause != "a").collect();
            let as_of = at(1_000 + seq as i64);
            let first = changes(&found, &known, &aliases, as_of, RecurrenceRule::DEFAULT);
            let mut ids: Vec<&str> = first.iter().map(|change| change.episode_id.as_str()).collect();
            ids.sort_unstable();
            ids.dedup();
            prop_assert_eq!(ids.len(), first.len(), "one row per episode: {:?}", first);
            record(&mut known, &first, as_of, seq);
            prop_assert_eq!(changes(&found, &known, &aliases, as_of, RecurrenceRule::DEFAULT), vec![]);
            let open = known.iter().filter(|known| known.event != Closed).count();
            prop_assert_eq!(open, found.iter().filter(|episode| episode.is_open).count());
        }
    }
}
