use super::*;

const END: &str = "2026-02-23T00:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn incident(number: u64, reported_at: &str, is_open: bool) -> IncidentAtWeekEnd {
    IncidentAtWeekEnd {
        incident_id: IncidentId::from_ordinal(number),
        incident_type: IncidentType::JobFailure,
        title: format!("title {number}"),
        workspace_id: "1".into(),
        resource_name: None,
        reported_at: at(reported_at),
        acknowledged_at: None,
        age_hours: 0.0,
        age: AgeBand::Day,
        is_open,
    }
}

fn open(number: u64, reported_at: &str) -> AgeingIncident {
    incident(number, reported_at, true).into()
}

fn merged(base: &[AgeingIncident], reread: Vec<IncidentAtWeekEnd>) -> Vec<(u64, f64, AgeBand)> {
    let open = merge_open(base, at(END), reread);
    open.iter().map(|one| (one.incident_id.ordinal(), one.age_hours, one.age)).collect()
}

#[test]
fn incidents_that_were_read_again_replace_those_of_the_earlier_list() {
    let base = [open(1, "2026-02-01T00:00:00Z"), open(2, "2026-02-02T00:00:00Z"), open(3, "2026-02-03T00:00:00Z")];
    let reread = vec![
        incident(4, "2026-02-22T12:00:00Z", true),
        incident(2, "2026-02-02T00:00:00Z", false),
        incident(3, "2026-02-16T00:00:00Z", true),
        incident(5, "2026-02-24T00:00:00Z", false),
    ];
    assert_eq!(
        merged(&base, reread),
        [(1, 528.0, AgeBand::Month), (3, 168.0, AgeBand::Month), (4, 12.0, AgeBand::Day)]
    );
}

#[test]
fn ages_are_computed_at_the_end_of_the_week() {
    let base = [open(2, "2026-01-24T00:00:00Z"), open(3, "2026-01-24T00:00:00.000001Z")];
    assert_eq!(merged(&base, Vec::new()), [(2, 720.0, AgeBand::Older), (3, 720.0, AgeBand::Month)]);
    assert_eq!(merged(&[], Vec::new()), []);
}
