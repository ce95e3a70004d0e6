use super::*;

/// Microseconds.
const HOUR: i64 = 3_600_000_000;

/// A history and its expected episodes, as `cause first..last occurrences/incidents open|closed`. Times are whole hours plus
/// microseconds: `168h+1`.
#[derive(Debug)]
pub(crate) struct EpisodeCase {
    pub name: &'static str,
    pub findings: Vec<CauseFinding>,
    pub aliases: Vec<CauseMapping>,
    pub as_of: Timestamp,
    pub rule: RecurrenceRule,
    expected: &'static [&'static str],
}

/// Microseconds after the beginning of 2026-02-01.
pub(crate) fn at(micros: i64) -> Timestamp {
    let start: Timestamp = "2026-02-01T00:00:00Z".parse().unwrap();
    Timestamp::from_micros(start.micros() + micros).unwrap()
}

pub(crate) fn finding(seq: u64, incident: u64, key: &str, cause: Option<&str>, found_at: Timestamp) -> CauseFinding {
    let incident_id = IncidentId::from_ordinal(incident);
    let occurrence_key = if key.is_empty() { incident_id.to_string() } else { key.into() };
    CauseFinding { incident_id, seq, found_at, occurrence_key, cause_fingerprint: cause.map(Into::into) }
}

/// One incident per time, in the order of seq.
fn incidents(cause: &str, times: &[i64]) -> Vec<CauseFinding> {
    (1..).zip(times).map(|(n, time)| finding(n, n, "", Some(cause), at(*time))).collect()
}

fn alias(seq: u64, cause: &str, counts_as: &str) -> CauseMapping {
    CauseMapping { seq, ordinal: 1, cause_fingerprint: cause.into(), counts_as: counts_as.into() }
}

pub(crate) fn cases() -> Vec<EpisodeCase> {
    let week = 168 * HOUR;
    let case = |name, findings, expected| EpisodeCase {
        name,
        findings,
        aliases: Vec::new(),
        as_of: at(1_000 * HOUR),
        rule: RecurrenceRule::DEFAULT,
        expected,
    };
    let two_causes = || {
        let mut findings = incidents("a", &[0, HOUR]);
        findings.push(finding(3, 3, "", Some("b"), at(2 * HOUR)));
        findings
    };
    vec![
        case("two are not enough", incidents("a", &[0, 1]), &[]),
        case("the third reaches the threshold", incidents("a", &[0, 1, 2]), &["a 0h..0h+2 3/3 closed"]),
        case("a fourth makes it longer", incidents("a", &[0, 1, 2, week]), &["a 0h..168h 4/4 closed"]),
        case("exactly a window apart is one episode", incidents("a", &[0, HOUR, week]), &["a 0h..168h 3/3 closed"]),
        case("a microsecond more is none", incidents("a", &[0, HOUR, week + 1]), &[]),
        case("a window is not cut to hours", incidents("a", &[HOUR / 2, HOUR, week + HOUR / 2 + 1]), &[]),
        case(
            "an episode begins with its first full run",
            incidents("a", &[0, week, week + HOUR, week + 2 * HOUR]),
            &["a 168h..170h 3/3 closed"],
        ),
        case(
            "it continues while the next one is within a window",
            incidents("a", &[0, 1, 2, week + 2, 2 * week + 2, 3 * week + 3]),
            &["a 0h..336h+2 5/5 closed"],
        ),
        case(
            "another episode begins after a window without occurrences",
            incidents("a", &[0, 1, 2, week + 3, week + 4, week + 5]),
            &["a 0h..0h+2 3/3 closed", "a 168h+3..168h+5 3/3 closed"],
        ),
        case("all at once", incidents("a", &[5, 5, 5]), &["a 0h+5..0h+5 3/3 closed"]),
        case(
            "unknown is no cause",
            vec![
                finding(1, 1, "", None, at(0)),
                finding(2, 2, "", None, at(1)),
                finding(3, 3, "", None, at(2)),
                finding(4, 4, "", Some("a"), at(3)),
            ],
            &[],
        ),
        case(
            "retries of one run are one occurrence",
            vec![
                finding(1, 1, "run 1/7", Some("a"), at(0)),
                finding(2, 2, "run 1/7", Some("a"), at(1)),
                finding(3, 3, "run 1/7", Some("a"), at(2)),
                finding(4, 4, "", Some("a"), at(3)),
            ],
            &[],
        ),
        case(
            "an occurrence is as early as its earliest incident",
            vec![
                finding(1, 1, "run 1/7", Some("a"), at(week + 9)),
                finding(2, 2, "run 1/7", Some("a"), at(1)),
                finding(3, 3, "", Some("a"), at(HOUR)),
                finding(4, 4, "", Some("a"), at(week)),
            ],
            &["a 0h+1..168h 3/4 closed"],
        ),
        case(
            "the latest finding of an incident counts",
            vec![
                finding(1, 1, "", Some("a"), at(0)),
                finding(2, 2, "", Some("a"), at(1)),
                finding(3, 3, "", Some("b"), at(2)),
                finding(4, 3, "", Some("a"), at(2)),
                finding(5, 2, "", Some("a"), at(1)),
            ],
            &["a 0h..0h+2 3/3 closed"],
        ),
        case(
            "a finding revised to unknown does not count",
            vec![
                finding(1, 1, "", Some("a"), at(0)),
                finding(2, 2, "", Some("a"), at(1)),
                finding(3, 3, "", Some("a"), at(2)),
                finding(4, 3, "", None, at(2)),
            ],
            &[],
        ),
        case("a late report counts at its own time", incidents("a", &[10, 30, 20]), &["a 0h+10..0h+30 3/3 closed"]),
        case("a late report moves the start", incidents("a", &[10, 20, 30, 0]), &["a 0h..0h+30 4/4 closed"]),
        case(
            "a late report joins two sessions",
            incidents("a", &[0, 1, 2, week + 3, week + 4, week + 5, HOUR]),
            &["a 0h..168h+5 7/7 closed"],
        ),
        EpisodeCase {
            as_of: at(2),
            ..case("the end of the time range is inclusive", incidents("a", &[0, 1, 2]), &["a 0h..0h+2 3/3 open"])
        },
        EpisodeCase { as_of: at(1), ..case("later findings are not read", incidents("a", &[0, 1, 2]), &[]) },
        EpisodeCase {
            as_of: at(HOUR),
            ..case("the time range cuts a session", incidents("a", &[0, 1, 2, HOUR, 2 * HOUR]), &["a 0h..1h 4/4 open"])
        },
        EpisodeCase {
            as_of: at(week + 2),
            ..case("open for exactly a window", incidents("a", &[0, 1, 2]), &["a 0h..0h+2 3/3 open"])
        },
        EpisodeCase {
            as_of: at(week + 3),
            ..case("closed a microsecond later", incidents("a", &[0, 1, 2]), &["a 0h..0h+2 3/3 closed"])
        },
        case("two causes are two", two_causes(), &[]),
        EpisodeCase {
            aliases: vec![alias(9, "b", "a")],
            ..case("merged causes are one", two_causes(), &["a 0h..2h 3/3 closed"])
        },
        EpisodeCase {
            aliases: vec![alias(9, "b", "a"), alias(10, "b", "b")],
            ..case("split again they are two", two_causes(), &[])
        },
        EpisodeCase {
            aliases: vec![alias(9, "b", "a")],
            ..case(
                "a run with two causes that are one is one occurrence",
                vec![
                    finding(1, 1, "run 1/7", Some("a"), at(0)),
                    finding(2, 2, "run 1/7", Some("b"), at(1)),
                    finding(3, 3, "", Some("b"), at(2)),
                ],
                &[],
            )
        },
        EpisodeCase {
            rule: RecurrenceRule { threshold: 1, window_hours: 1 },
            ..case(
                "one may be enough",
                incidents("a", &[0, HOUR, 3 * HOUR]),
                &["a 0h..1h 2/2 closed", "a 3h..3h 1/1 closed"],
            )
        },
        EpisodeCase {
            rule: RecurrenceRule { threshold: 4, window_hours: 24 },
            ..case("four within a day", incidents("a", &[0, 1, 2, 24 * HOUR]), &["a 0h..24h 4/4 closed"])
        },
    ]
}

fn summary(episode: &Episode) -> String {
    let hours = |time: Timestamp| {
        let micros = time.micros() - at(0).micros();
        let rest = if micros % HOUR == 0 { String::new() } else { format!("+{}", micros % HOUR) };
        format!("{}h{rest}", micros / HOUR)
    };
    format!(
        "{} {}..{} {}/{} {}",
        episode.cause,
        hours(episode.first_at),
        hours(episode.last_at),
        episode.occurrences,
        episode.incidents,
        if episode.is_open { "open" } else { "closed" }
    )
}

impl EpisodeCase {
    pub(crate) fn check(&self, found: &[Episode]) {
        let found: Vec<String> = found.iter().map(summary).collect();
        assert_eq!(found, self.expected, "{}", self.name);
    }
}

#[test]
fn episodes_follow_the_definition() {
    for case in cases() {
        let occurrences = occurrences(&case.findings, &case.aliases, case.as_of);
        case.check(&episodes(&occurrences, case.as_of, case.rule));
    }
}

#[test]
fn an_episode_has_its_first_last_and_threshold_incident() {
    let findings = incidents("a", &[30, 10, 20, 40]);
    let found = episodes(&occurrences(&findings, &[], at(HOUR)), at(HOUR), RecurrenceRule::DEFAULT);
    let ids = [found[0].first_incident_id, found[0].reached_incident_id, found[0].last_incident_id];
    assert_eq!(ids.map(IncidentId::ordinal), [2, 1, 4]);
}

#[test]
fn the_fullest_window_is_found_wherever_it_lies() {
    let check = |times: &[i64], expected: u64| {
        let found = occurrences(&incidents("a", times), &[], at(1_000 * HOUR));
        assert_eq!(fullest_window(&found, RecurrenceRule::DEFAULT), expected, "{times:?}");
    };
    check(&[], 0);
    check(&[0], 1);
    check(&[0, 168 * HOUR], 2);
    check(&[0, 168 * HOUR + 1], 1);
    check(&[0, 200 * HOUR, 201 * HOUR, 202 * HOUR, 600 * HOUR], 3);
}
