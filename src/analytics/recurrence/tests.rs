use std::{collections::BTreeMap, sync::Arc};

use arrow::array::RecordBatch;
use datafusion::{common::ScalarValue, datasource::MemTable, prelude::SessionContext};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::{
    analytics::{DIALECT, engine::ParameterValue, frame, queries, session, snapshot::Snapshot, views},
    domain::{
        ids::Id,
        incident::classification::{Confidence, IncidentType},
        prevention::state::PreventionState,
        recurrence::{self, CauseFinding, CauseMapping, event::EpisodeEvent, tests::cases, time_range::CauseRanges},
    },
    lake::{
        Context, Lake,
        log::CommitNote,
        table::{CommitDraft, CommitResponse},
    },
    tables::{
        Row,
        rows::{CauseAlias, IncidentState, PreventiveAction, RecurrenceEvent, RootCause},
        to_batch,
    },
};

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn root_cause(finding: &CauseFinding) -> RootCause {
    RootCause {
        incident_id: finding.incident_id,
        seq: finding.seq,
        found_at: finding.found_at,
        occurrence_key: finding.occurrence_key.clone(),
        recorded_at: finding.found_at,
        cause_fingerprint: finding.cause_fingerprint.clone(),
        cause_normalised: finding.cause_fingerprint.clone(),
        root_cause: format!("words of {}", finding.seq),
        cause_summary: None,
        cause_code: None,
        confidence: Confidence::High,
        confidence_reported: Confidence::High,
        confidence_forced_because: None,
        evidence: None,
        missing_evidence: None,
        error_class: None,
        error_message: None,
        termination_code: None,
        incident_type: IncidentType::JobFailure,
        workspace_id: id("1"),
        resource_kind: Some(id("job")),
        resource_id: Some(id(&format!("{}", finding.seq % 3))),
        resource_name: None,
        resource_attributes: finding.seq.is_multiple_of(2).then(|| r#"{"max_retries":"0"}"#.into()),
    }
}

fn cause_alias(alias: &CauseMapping) -> CauseAlias {
    CauseAlias {
        seq: alias.seq,
        ordinal: alias.ordinal,
        recorded_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        cause_fingerprint: alias.cause_fingerprint.clone(),
        counts_as: alias.counts_as.clone(),
        actor: id("test"),
        reason: None,
    }
}

async fn fill<R: Row>(lake: &Lake, rows: &[R]) {
    let table = lake.table(R::TABLE);
    let adds = vec![table.write_file(&to_batch(rows).unwrap(), true).await.unwrap()];
    let note = CommitNote::new(lake.context.uuid(), 0);
    let draft = CommitDraft { operation: "WRITE", adds, removes: Vec::new(), projected_to: None, note };
    assert_eq!(table.commit(&table.log().await.unwrap(), &draft).await.unwrap(), CommitResponse::Committed);
}

/// A session with the rows in memory, and the views that the queries need.
async fn lake_of(findings: &[CauseFinding], aliases: &[CauseMapping]) -> SessionContext {
    let session = session();
    let causes: Vec<RootCause> = findings.iter().map(root_cause).collect();
    let aliases: Vec<CauseAlias> = aliases.iter().map(cause_alias).collect();
    let tables: [(&str, RecordBatch); 3] = [
        ("root_causes", to_batch(&causes).unwrap()),
        ("cause_aliases", to_batch(&aliases).unwrap()),
        ("incident_states", RecordBatch::new_empty(IncidentState::TABLE.arrow_schema())),
    ];
    for (name, batch) in tables {
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
        session.register_table(name, Arc::new(table)).unwrap();
    }
    for view in ["cause_findings", "incidents"] {
        let (_, sql) = views().find(|(name, _)| *name == view).unwrap();
        let table = session.sql(sql).await.unwrap().into_view();
        session.register_table(view, table).unwrap();
    }
    session
}

async fn select<T: DeserializeOwned>(
    session: &SessionContext,
    name: &str,
    parameters: &[(String, ParameterValue)],
) -> Vec<T> {
    let sql = queries().find(|(known, _)| *known == name).map_or(name, |(_, sql)| sql);
    let statement = session.state().sql_to_statement(sql, &DIALECT).unwrap();
    let parameters: Vec<(&str, ScalarValue)> =
        parameters.iter().map(|(name, value)| (name.as_str(), value.into())).collect();
    let batches = frame(session, statement, &parameters).await.unwrap().collect().await.unwrap();
    batches.iter().flat_map(|batch| serde_arrow::from_record_batch::<Vec<T>>(batch).unwrap()).collect()
}

async fn found_by_sql(session: &SessionContext, as_of: Timestamp, rule: RecurrenceRule) -> Vec<Episode> {
    let mut found: Vec<Episode> = select(session, "recurrence", &with_rule(TimeRange::whole(as_of), rule)).await;
    found.sort_by(|a, b| (&a.cause, a.first_at).cmp(&(&b.cause, b.first_at)));
    found
}

#[tokio::test]
async fn the_query_matches_the_definition_at_every_edge() {
    for case in cases() {
        let session = lake_of(&case.findings, &case.aliases).await;
        let found = found_by_sql(&session, case.as_of, case.rule).await;
        case.check(&found);
        let occurrences = recurrence::occurrences(&case.findings, &case.aliases, case.as_of);
        assert_eq!(found, recurrence::episodes(&occurrences, case.as_of, case.rule), "{}", case.name);
    }
}

/// Returns times at the ends of windows, or a microsecond off.
fn any_time(rng: &mut ChaCha8Rng, rule: RecurrenceRule) -> Timestamp {
    let step = i64::from(rule.window_hours) * 3_600_000_000 / 2;
    let odd = if rng.random_bool(0.2) { rng.random_range(0..step) } else { rng.random_range(-1..=1) };
    recurrence::tests::at(rng.random_range(0..12) * step + odd)
}

/// A history with causes and incidents of its own. All findings about an incident are as old as the incident,
/// and about the same job run.
fn any_history(rng: &mut ChaCha8Rng, number: u64, rule: RecurrenceRule) -> (Vec<CauseFinding>, Vec<CauseMapping>) {
    let cause = |letter: &str| format!("h{number}:{letter}");
    let incidents = rng.random_range(1..=12_u64);
    let times: Vec<Timestamp> = (0..incidents).map(|_| any_time(rng, rule)).collect();
    let keys: Vec<String> = (0..incidents)
        .map(|n| if rng.random_bool(0.3) { format!("run {number}/{}", n % 3) } else { String::new() })
        .collect();
    let findings = (0..rng.random_range(incidents..=incidents + 4)).map(|n| {
        let incident = if n < incidents { n } else { rng.random_range(0..incidents) };
        let key = &keys[incident as usize];
        let letter = ["a", "a", "a", "b", "c"][rng.random_range(0..5)];
        let fingerprint = rng.random_bool(0.9).then(|| cause(letter));
        let found_at = times[incident as usize];
        recurrence::tests::finding(number * 100 + n, number * 100 + incident, key, fingerprint.as_deref(), found_at)
    });
    let findings = findings.collect();
    let aliases = (0..rng.random_range(0..4_u64)).map(|n| {
        let letter = ["a", "b"][rng.random_range(0..2)];
        CauseMapping {
            seq: number * 100 + n / 2,
            ordinal: n as i32,
            cause_fingerprint: cause(letter),
            counts_as: cause(if rng.random_bool(0.7) { "c" } else { letter }),
        }
    });
    (findings, aliases.collect())
}

fn counted(occurrences: &[Occurrence], rule: RecurrenceRule) -> BTreeMap<String, (u64, u64, u64, Timestamp)> {
    let mut counts = BTreeMap::new();
    for group in occurrences.chunk_by(|a, b| a.cause == b.cause) {
        let within = |last: Timestamp| {
            let held = |one: &&Occurrence| one.occurred_at <= last && rule.spans(one.occurred_at, last);
            group.iter().filter(held).count() as u64
        };
        let fullest = group.iter().map(|one| within(one.occurred_at)).max().unwrap();
        let last = group.last().unwrap().occurred_at;
        counts.insert(group[0].cause.clone(), (group.len() as u64, fullest, within(last), last));
    }
    counts
}

/// A cause has episodes that begin at different moments, and an incident is in one of them at most.
fn check_members(members: &[Member], episodes: &[Episode]) {
    for episode in episodes {
        let own: Vec<&Member> = recurrence::issue::members_of(episode, members).collect();
        assert_eq!(own.len() as u64, episode.incidents, "{episode:?}");
        assert!(own.iter().any(|member| member.incident_id == episode.last_incident_id));
        let keys: std::collections::BTreeSet<&str> = own.iter().map(|member| member.occurrence_key.as_str()).collect();
        assert_eq!(keys.len() as u64, episode.occurrences);
    }
    assert_eq!(members.len() as u64, episodes.iter().map(|episode| episode.incidents).sum::<u64>());
}

#[tokio::test]
async fn queries_and_plain_code_agree_on_random_histories() {
    let mut seen = (0, 0, 0);
    for seed in 0..12 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let rule = RecurrenceRule {
            threshold: rng.random_range(1..=4),
            window_hours: [1, 5, 24, 168][rng.random_range(0..4)],
        };
        let (mut findings, mut aliases) = (Vec::new(), Vec::new());
        for number in 1..=40 {
            let (more_findings, more_aliases) = any_history(&mut rng, number, rule);
            findings.extend(more_findings);
            aliases.extend(more_aliases);
        }
        let as_of = any_time(&mut rng, rule);
        let session = lake_of(&findings, &aliases).await;

        let occurrences = recurrence::occurrences(&findings, &aliases, as_of);
        let mut by_sql: Vec<Occurrence> = select(&session, "cause_occurrences", &within(TimeRange::whole(as_of))).await;
        by_sql.sort_by(|a, b| {
            (&a.cause, a.occurred_at, &a.occurrence_key).cmp(&(&b.cause, b.occurred_at, &b.occurrence_key))
        });
        assert_eq!(by_sql, occurrences, "seed {seed}, {rule:?}");

        let episodes = recurrence::episodes(&occurrences, as_of, rule);
        assert_eq!(found_by_sql(&session, as_of, rule).await, episodes, "seed {seed}, {rule:?}");

        let members: Vec<Member> =
            select(&session, "recurrence_members", &with_rule(TimeRange::whole(as_of), rule)).await;
        check_members(&members, &episodes);

        let mut parameters = within(TimeRange::whole(as_of));
        parameters.push(("window_hours".into(), rule.window_hours.into()));
        let counts: Vec<CauseCount> = select(&session, "cause_counts", &parameters).await;
        let counts: BTreeMap<String, _> = counts
            .into_iter()
            .map(|count| (count.cause, (count.occurrences, count.fullest_window, count.latest_window, count.last_at)))
            .collect();
        assert_eq!(counts, counted(&occurrences, rule), "seed {seed}, {rule:?}");
        seen = (seen.0 + episodes.len(), seen.1 + members.len(), seen.2 + counts.len());
    }
    assert!(seen.0 > 200 && seen.1 > 700 && seen.2 > 400, "the histories hold too little: {seen:?}");
}

#[tokio::test]
async fn a_recorded_episode_is_read_with_its_first_row() {
    let event = |seq, event, incidents| RecurrenceEvent {
        incident_id: "INC-1003".parse().unwrap(),
        seq,
        occurred_at: recurrence::tests::at(9),
        recorded_at: recurrence::tests::at(9),
        cause_fingerprint: "a".into(),
        episode_id: id("rec-0123456789abcdef"),
        event,
        reason: "a reason".into(),
        incidents,
        first_at: recurrence::tests::at(0),
        last_at: recurrence::tests::at(1),
        threshold: 3,
        window_hours: 168,
        detail: "{}".into(),
    };
    let step = PreventiveAction {
        seq: 5,
        ordinal: 1,
        occurred_at: recurrence::tests::at(9),
        recorded_at: recurrence::tests::at(9),
        cause_fingerprint: "a".into(),
        action: id("bundle-retry-policy"),
        state: PreventionState::Adopted,
        actor: id("test"),
        note: None,
    };
    let session = lake_of(&[], &[]).await;
    let events = [event(4, EpisodeEvent::Opened, 3), event(7, EpisodeEvent::Updated, 4)];
    for (name, batch) in
        [("recurrence_events", to_batch(&events).unwrap()), ("preventive_actions", to_batch(&[step]).unwrap())]
    {
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
        session.register_table(name, Arc::new(table)).unwrap();
    }
    let (_, sql) = views().find(|(name, _)| *name == "recurring_issues").unwrap();
    let view = session.sql(sql).await.unwrap().into_view();
    session.register_table("recurring_issues", view).unwrap();
    let recorded: Vec<RecordedEpisode> = select(&session, RECORDED, &[]).await;
    let [known] = recorded.as_slice() else { panic!("{recorded:?}") };
    assert_eq!((known.first_seq, known.seq, known.occurrences, known.event), (4, 7, 4, EpisodeEvent::Updated));
    assert_eq!(known.rule(), RecurrenceRule::DEFAULT);
    let steps: Vec<PreventionStep> = select(&session, STEPS, &[]).await;
    assert_eq!((steps.len(), steps[0].state), (1, PreventionState::Adopted));
}

/// Shared parts of query files have the same text.
#[test]
fn the_queries_agree_on_what_occurrences_and_episodes_are() {
    let body = |name: &str| {
        let (_, sql) = queries().find(|(known, _)| *known == name).unwrap();
        sql[sql.find("WITH findings AS (").unwrap()..].to_owned()
    };
    let up_to = |name: &str, end: &str| {
        let text = body(name);
        text[..text.find(end).unwrap()].to_owned()
    };
    let episodes = up_to("recurrence", "named AS (");
    assert!(episodes.lines().count() > 120);
    assert_eq!(episodes, up_to("recurrence_members", "members AS ("));
    let clocks = up_to("recurrence", "-- A run is");
    assert!(clocks.lines().count() > 30);
    assert_eq!(clocks, up_to("cause_counts", "-- Every occurrence enters"));
    let occurrences = up_to("cause_occurrences", "\n)\nSELECT");
    assert!(clocks.starts_with(&occurrences) && occurrences.lines().count() > 20);
}

#[tokio::test]
async fn a_lake_without_findings_has_no_episodes() {
    let session = lake_of(&[], &[]).await;
    let as_of = "2026-02-20T00:00:00Z".parse().unwrap();
    assert_eq!(found_by_sql(&session, as_of, RecurrenceRule::DEFAULT).await, []);
}

fn resolved_after(finding: &CauseFinding, seconds: u64) -> IncidentState {
    let resolved_at = finding.found_at.plus(chrono::TimeDelta::seconds(seconds as i64));
    let json = serde_json::json!({
        "incident_id": finding.incident_id, "seq": finding.seq, "recorded_at": resolved_at, "reported_at": finding.found_at,
        "first_resolved_at": resolved_at, "reopened": 0, "incident_type": "job-failure", "status": "resolved", "slug": "job_failed",
        "title": "failed", "reporter": "test", "actor": "test", "request_id": "test", "workspace_id": "1",
    });
    serde_json::from_value(json).unwrap()
}

/// One query for many times returns the same as one query for each.
#[tokio::test]
async fn resolution_times_of_many_causes_and_times_come_from_one_query() {
    let at = recurrence::tests::at;
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::at(folder.path().to_str().unwrap(), Context::system()).unwrap();
    lake.init().await.unwrap();
    // Incident n was reported at hour n, had cause a, b or none, and took n seconds.
    let hour = |n: u64| at(n as i64 * 3_600_000_000);
    let cause = |n: u64| [Some("a"), Some("b"), None][n as usize % 3];
    let findings: Vec<CauseFinding> =
        (1..=60).map(|n| recurrence::tests::finding(n, n, "", cause(n), hour(n))).collect();
    fill(&lake, &findings.iter().map(root_cause).collect::<Vec<_>>()).await;
    let states: Vec<IncidentState> = findings.iter().map(|finding| resolved_after(finding, finding.seq)).collect();
    fill(&lake, &states).await;

    let snapshot = Snapshot::of(&lake).await.unwrap();
    let engine = Engine::Snapshot(&snapshot);
    let looks = |causes: &[&str], from: &[u64]| -> BTreeSet<(String, Timestamp)> {
        causes.iter().flat_map(|cause| from.iter().map(|n| ((*cause).to_owned(), hour(*n)))).collect()
    };
    let all = looks(&["a", "b", "it's \\ nothing"], &[0, 10, 30, 70]);
    let together = impacts(engine, &all, hour(50)).await.unwrap();
    assert_eq!(together.keys().cloned().collect::<BTreeSet<_>>(), all);
    for ((cause_of, since), found) in &together {
        let (mut with, mut without): (Vec<u64>, Vec<u64>) =
            (1..=49).filter(|n| hour(*n) >= *since).partition(|n| cause(*n) == Some(cause_of));
        let median = |seconds: &mut Vec<u64>| {
            seconds.sort_unstable();
            let middle = |at: usize| seconds.get(at).map(|one| *one as f64);
            Some((middle(seconds.len().checked_sub(1)? / 2)? + middle(seconds.len() / 2)?) / 2.0)
        };
        let expected = Impact {
            resolved: with.len() as u64,
            median_s: median(&mut with),
            others_resolved: without.len() as u64,
            others_median_s: median(&mut without),
        };
        assert_eq!(*found, expected, "{cause_of} since {since}");
    }
    assert_eq!(impacts(engine, &BTreeSet::new(), hour(50)).await.unwrap(), BTreeMap::new());
}

/// Episodes that ended before are left out. Every other episode is complete, however short the first time range is.
#[tokio::test]
async fn trailing_episodes_are_complete() {
    let (mut seen, mut cut) = (0, 0);
    for seed in 0..3 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let rule =
            RecurrenceRule { threshold: rng.random_range(1..=3), window_hours: [5, 24, 168][rng.random_range(0..3)] };
        let (mut findings, mut aliases) = (Vec::new(), Vec::new());
        for number in 1..=40 {
            let (more_findings, more_aliases) = long_history(&mut rng, number, rule);
            findings.extend(more_findings);
            aliases.extend(more_aliases);
        }
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::at(folder.path().to_str().unwrap(), Context::system()).unwrap();
        lake.init().await.unwrap();
        for part in findings.chunks(findings.len() / 3 + 1) {
            fill(&lake, &part.iter().map(root_cause).collect::<Vec<_>>()).await;
        }
        fill(&lake, &aliases.iter().map(cause_alias).collect::<Vec<_>>()).await;
        let earliest = findings.iter().map(|finding| finding.found_at).min().unwrap();
        let as_of = findings.iter().map(|finding| finding.found_at).max().unwrap();
        let whole = recurrence::episodes(&recurrence::occurrences(&findings, &aliases, as_of), as_of, rule);

        for windows in [4, 9] {
            let since = as_of.plus(-(rule.window() * windows));
            let expected: Vec<Episode> = whole.iter().filter(|one| one.last_at >= since).cloned().collect();
            let ranges = CauseRanges::starting_at(since, None, []);
            let found = trailing::episodes_within(Engine::Local(&lake), as_of, rule, &ranges, earliest).await.unwrap();
            assert_eq!(found, expected, "seed {seed}, {rule:?}, {windows} windows");
            seen += expected.len();
            cut += expected.iter().filter(|one| one.first_at < since).count();

            let causes: Vec<String> = whole.iter().step_by(3).map(|one| one.cause.clone()).collect();
            let ranges = CauseRanges::starting_at(since, Some(&causes), []);
            let of_some =
                trailing::episodes_within(Engine::Local(&lake), as_of, rule, &ranges, earliest).await.unwrap();
            let expected: Vec<Episode> = expected.into_iter().filter(|one| causes.contains(&one.cause)).collect();
            assert_eq!(of_some, expected, "seed {seed}, {rule:?}, {windows} windows, some causes");
        }
    }
    assert!(seen > 100 && cut > 20, "the histories hold too little: {seen} episodes, {cut} of them from before");
}

/// Reports of up to twenty windows, most of them less than a window after the one before. Incidents about one job run are at
/// most a window apart.
fn long_history(rng: &mut ChaCha8Rng, number: u64, rule: RecurrenceRule) -> (Vec<CauseFinding>, Vec<CauseMapping>) {
    let (mut findings, aliases) = any_history(rng, number, rule);
    let window = i64::from(rule.window_hours) * 3_600_000_000;
    let mut moved: BTreeMap<String, Timestamp> = BTreeMap::new();
    let mut last = rng.random_range(0..8) * window;
    for finding in &mut findings {
        let incident = finding.incident_id.to_string();
        let odd = rng.random_range(-1..=1);
        let run = moved.get(&finding.occurrence_key).copied();
        let fresh = match run {
            Some(first) => Timestamp::from_micros(first.micros() + rng.random_range(0..=window)).unwrap(),
            None => {
                last += [window / 3, window / 2, window, window + odd, 2 * window][rng.random_range(0..5)];
                recurrence::tests::at(last)
            }
        };
        finding.found_at = *moved.entry(incident).or_insert(fresh);
        moved.entry(finding.occurrence_key.clone()).or_insert(finding.found_at);
    }
    (findings, aliases)
}

#[test]
fn recorded_episodes_determine_how_far_back_to_search() {
    let at = recurrence::tests::at;
    let known = |event, first, last| RecordedEpisode {
        episode_id: "rec-0123456789abcdef".into(),
        incident_id: "INC-1003".parse().unwrap(),
        seq: 4,
        first_seq: 4,
        occurred_at: at(90),
        cause: "old".into(),
        event,
        occurrences: 3,
        first_at: at(first),
        last_at: at(last),
        threshold: 3,
        window_hours: 168,
    };
    let check = |known: RecordedEpisode, causes: Option<&[String]>, expected: &[(&str, i64)]| {
        let ranges = CauseRanges::starting_at(at(50), causes, [("a", &known)]);
        let expected = expected.iter().map(|(cause, from)| ((*cause).to_owned(), at(*from)));
        assert_eq!(ranges.by_cause, expected.collect(), "{known:?}");
        assert_eq!(ranges.others, causes.is_none().then_some(at(50)));
    };
    check(known(EpisodeEvent::Opened, 10, 20), None, &[("a", 10)]);
    check(known(EpisodeEvent::Opened, 60, 70), None, &[]);
    check(known(EpisodeEvent::Closed, 10, 20), None, &[]);
    check(known(EpisodeEvent::Closed, 10, 50), None, &[("a", 10)]);
    check(known(EpisodeEvent::Updated, 10, 20), Some(&["b".into()]), &[("b", 50)]);
    check(known(EpisodeEvent::Updated, 10, 20), Some(&["a".into()]), &[("a", 10)]);
}
