use super::*;

const END: &str = "2026-02-23T00:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn considered(number: u64, reported_at: &str, is_open: bool) -> Considered {
    Considered {
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

fn open(number: u64, reported_at: &str) -> OpenIncident {
    considered(number, reported_at, true).into()
}

fn merged(base: &[OpenIncident], anew: Vec<Considered>) -> Vec<(u64, f64, AgeBand)> {
    let open = merge_open(base, at(END), anew);
    open.iter().map(|one| (one.incident_id.ordinal(), one.age_hours, one.age)).collect()
}

#[test]
fn what_was_looked_at_anew_takes_the_place_of_what_was_known() {
    let base = [open(1, "2026-02-01T00:00:00Z"), open(2, "2026-02-02T00:00:00Z"), open(3, "2026-02-03T00:00:00Z")];
    let anew = vec![
        considered(4, "2026-02-22T12:00:00Z", true),
        considered(2, "2026-02-02T00:00:00Z", false),
        considered(3, "2026-02-16T00:00:00Z", true),
        considered(5, "2026-02-24T00:00:00Z", false),
    ];
    assert_eq!(merged(&base, anew), [(1, 528.0, AgeBand::Month), (3, 168.0, AgeBand::Month), (4, 12.0, AgeBand::Day)]);
}

#[test]
fn ages_follow_the_end() {
    let base = [open(2, "2026-01-24T00:00:00Z"), open(3, "2026-01-24T00:00:00.000001Z")];
    assert_eq!(merged(&base, Vec::new()), [(2, 720.0, AgeBand::Older), (3, 720.0, AgeBand::Month)]);
    assert_eq!(merged(&[], Vec::new()), []);
}
