use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::{
    analytics::row::schemas,
    domain::{
        ids::{Id, IncidentId},
        incident::classification::{IncidentType, Status},
    },
    tables::{Row, rows::IncidentState, to_batch},
};

const HOUR: i64 = 3_600_000_000;

fn at(hour: i64) -> Timestamp {
    let first: Timestamp = "2026-01-05T00:00:00Z".parse().unwrap();
    Timestamp::from_micros(first.micros() + hour * HOUR).unwrap()
}

fn week(number: u64) -> WeekParameters {
    let latest = Week::of(at(0), chrono_tz::Tz::UTC);
    WeekParameters { week: Week::of(at(number as i64 * 168), chrono_tz::Tz::UTC), known_from: latest.start() }
}

fn state(incident: u64, seq: u64, reported: i64, resolved: Option<i64>) -> IncidentState {
    let id = |text: &str| Id::new(text).unwrap();
    IncidentState {
        incident_id: IncidentId::from_ordinal(incident),
        seq,
        recorded_at: at(reported),
        reported_at: at(reported),
        impact_started_at: None,
        detected_at: None,
        acknowledged_at: None,
        mitigated_at: None,
        first_resolved_at: resolved.map(at),
        resolved_at: resolved.map(at),
        reopened: 0,
        open_seconds: None,
        incident_type: IncidentType::JobFailure,
        status: if resolved.is_some() { Status::Resolved } else { Status::Investigating },
        slug: id("s"),
        title: format!("title {seq}"),
        reporter: id("r"),
        actor: id("a"),
        request_id: id("q"),
        workspace_id: id("1"),
        workspace_url: None,
        resource_kind: None,
        resource_id: None,
        resource_name: None,
        root_cause: None,
        cause_fingerprint: None,
        confidence: None,
        compliance_impact: None,
        lessons_learned: None,
    }
}

/// Incidents of five weeks that are resolved, reopened and resolved again. The rows of different incidents mix, those of one
/// come in their order.
fn any_states(rng: &mut ChaCha8Rng) -> Vec<IncidentState> {
    let mut lives: Vec<(i64, u64, i64, Option<i64>)> = Vec::new();
    for incident in 1..=60 {
        let reported = rng.random_range(0..5 * 168);
        let (mut recorded, mut resolved) = (reported, None);
        for _ in 0..rng.random_range(1..4) {
            lives.push((recorded, incident, reported, resolved));
            recorded += rng.random_range(1..200);
            resolved = resolved.map_or_else(|| Some(reported + rng.random_range(0..500)), |_: i64| None);
        }
    }
    lives.sort_unstable();
    let rows = (1..).zip(lives);
    rows.map(|(seq, (_, incident, reported, resolved))| state(incident, seq, reported, resolved)).collect()
}

async fn open_at(states: &[IncidentState], number: u64, base: Option<&EarlierOpenIncidents>) -> Vec<AgeingIncident> {
    let batch = to_batch(states).unwrap();
    let rows = |table: &str| if table == IncidentState::TABLE.name { vec![batch.clone()] } else { Vec::new() };
    let snapshot = Snapshot::of_rows(rows).unwrap();
    open_incidents(Engine::Snapshot(&snapshot), &week(number), base).await.unwrap()
}

#[tokio::test]
async fn open_incidents_do_not_depend_on_the_earlier_list_that_is_used() {
    let mut carried = 0;
    for seed in 0..25 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let states = any_states(&mut rng);
        let number = rng.random_range(1..6);
        let earlier = rng.random_range(0..=number);
        let seq = rng.random_range(1..=states.len());
        let open = open_at(&states[..seq], earlier, None).await;
        // Up to the first row of an incident that was resolved after the older list was made.
        let until = week(earlier).week.end();
        let says_more = |state: &IncidentState| state.resolved_at.is_some_and(|resolved| resolved >= until);
        let seq = states[..seq].iter().position(says_more).unwrap_or(seq) as u64;
        let base = EarlierOpenIncidents { until, seq, open };
        let whole = open_at(&states, number, None).await;
        assert_eq!(open_at(&states, number, Some(&base)).await, whole, "seed {seed}");
        carried += if seq > 0 { base.open.len() } else { 0 };
    }
    assert!(carried > 50, "the older lists hold too little: {carried}");
}

#[test]
fn a_week_has_a_value_for_every_parameter_about_it() {
    let at = week(8);
    let text = |query: &str, parameter: &str| at.value(query, parameter).map(|value| value.to_string());
    assert_eq!(text("weekly_counts", "week_start").as_deref(), Some("2026-03-02T00:00:00Z"));
    assert_eq!(text("weekly_counts", "week_end").as_deref(), Some("2026-03-09T00:00:00Z"));
    assert_eq!(text("weekly_counts", "week_4_start").as_deref(), Some("2026-02-02T00:00:00Z"));
    assert_eq!(text("cause_ranking", "since").as_deref(), Some("2025-12-01T00:00:00Z"));
    assert_eq!(text("prevention_effect", "since").as_deref(), Some("2026-01-12T00:00:00Z"));
    assert_eq!(text("recurrence", "as_of"), None);
    let taken = at.of("hourly_counts");
    let names: Vec<&str> = taken.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["week_end", "week_4_start", "time_zone"]);
    assert_eq!(schemas().len(), queries().count());
}
