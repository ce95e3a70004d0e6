use super::*;

fn week(text: &str, zone: Tz) -> Week {
    Week::new(text.parse().unwrap(), zone)
}

#[test]
fn a_week_begins_on_monday_in_its_zone_and_includes_clock_changes() {
    let check = |text: &str, zone: Tz, start: &str, end: &str, hours: f64| {
        let week = week(text, zone);
        assert_eq!((week.start().to_string().as_str(), week.end().to_string().as_str()), (start, end), "{text} {zone}");
        assert_eq!(week.hours(), hours);
        assert_eq!(week.to_string(), text);
    };
    check("2026-W08", Tz::UTC, "2026-02-16T00:00:00Z", "2026-02-23T00:00:00Z", 168.0);
    check("2026-W08", Tz::Europe__Berlin, "2026-02-15T23:00:00Z", "2026-02-22T23:00:00Z", 168.0);
    check("2026-W13", Tz::Europe__Berlin, "2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z", 167.0);
    check("2026-W43", Tz::Europe__Berlin, "2026-10-18T22:00:00Z", "2026-10-25T23:00:00Z", 169.0);
    check("2026-W10", Tz::America__New_York, "2026-03-02T05:00:00Z", "2026-03-09T04:00:00Z", 167.0);
    check("2026-W43", Tz::Australia__Lord_Howe, "2026-10-18T13:00:00Z", "2026-10-25T13:00:00Z", 168.0);
    check("2026-W40", Tz::Australia__Lord_Howe, "2026-09-27T13:30:00Z", "2026-10-04T13:00:00Z", 167.5);
    check("2020-W53", Tz::UTC, "2020-12-28T00:00:00Z", "2021-01-04T00:00:00Z", 168.0);
}

#[test]
fn a_day_without_midnight_begins_after_the_gap() {
    // Cairo, Friday 2026-04-24: 00:00 does not exist.
    let week = week("2026-W17", Tz::Africa__Cairo);
    let friday = week.days().nth(4).unwrap();
    assert_eq!(week.midnight(friday).to_string(), "2026-04-23T22:00:00Z");
}

#[test]
fn the_last_complete_week_is_before_the_current_one() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let last = |now: &str, zone: Tz| Week::last_complete(at(now), zone).to_string();
    assert_eq!(last("2026-02-23T00:00:00Z", Tz::UTC), "2026-W08");
    assert_eq!(last("2026-02-22T23:59:59.999999Z", Tz::UTC), "2026-W07");
    assert_eq!(last("2026-02-22T23:00:00Z", Tz::Europe__Berlin), "2026-W08");
    assert_eq!(last("2026-01-01T00:00:00Z", Tz::UTC), "2025-W52");
    assert_eq!(week("2026-W01", Tz::UTC).earlier(1).to_string(), "2025-W52");
}

#[test]
fn invalid_weeks_are_refused() {
    for text in ["2026-W54", "2025-W53", "2026-W00", "2026-8", "2026-W8", "W08", "2026-W08-1", "+026-W08", ""] {
        assert!(text.parse::<WeekNumber>().is_err(), "{text}");
    }
}
