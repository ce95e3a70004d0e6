use chrono::NaiveDate;

use super::{
    by_day::{DayCounts, WeekCounts},
    causes::CauseBar,
    time_to_resolve::ResolveWeek,
    *,
};

fn weeks(by_type: [u64; 5]) -> Vec<WeekCounts> {
    let monday = NaiveDate::from_ymd_opt(2026, 1, 19).unwrap();
    let days = |week: usize| monday.iter_days().skip(7 * week).take(7);
    let day = |date| DayCounts { date, by_type: by_type.to_vec() };
    (0..5)
        .map(|week| WeekCounts {
            label: format!("W{:02}", week + 4),
            known: week > 0,
            days: days(week).map(day).collect(),
        })
        .collect()
}

fn resolve(n: u64, p50_s: Option<f64>, p95_s: Option<f64>) -> Vec<ResolveWeek> {
    (4..9).map(|week| ResolveWeek { label: format!("W{week:02}"), n: Some(n), p50_s, p95_s }).collect()
}

fn bars(count: usize, name: &str, incidents: u64) -> Vec<CauseBar> {
    let bar = |place: usize| CauseBar { name: name.into(), incidents, previous: 0, is_new: place == 0 };
    (0..count).map(bar).collect()
}

fn hours(incidents: u64) -> heat::HourlyCounts {
    let mut hours = [[0; 24]; 7];
    hours[6][23] = incidents;
    hours[0][0] = incidents.div_ceil(2);
    hours
}

/// Every chart of few, many and very many.
fn all() -> Vec<Markup> {
    let mut all = Vec::new();
    for count in [1, 7, 250_000, u64::MAX] {
        all.extend(by_day::chart("days", &weeks([count; 5])));
        all.extend(heat::chart("hours", &hours(count)));
        all.extend(causes::chart("causes", &bars(8, &"W@日".repeat(99), count)));
        let long = count as f64;
        all.extend(time_to_resolve::chart("resolve", &resolve(count, Some(long), Some(long * 1.01))));
    }
    assert_eq!(all.len(), 16);
    all
}

/// The numbers of an attribute, wherever it occurs.
fn numbers(svg: &str, attribute: &str) -> Vec<f64> {
    let start = format!(" {attribute}=\"");
    let values = svg.split(&start).skip(1).map(|rest| rest.split('"').next().unwrap());
    values
        .flat_map(|value| value.split([' ', ',']).filter(|number| !number.is_empty()))
        .map(|n| n.parse().unwrap())
        .collect()
}

#[test]
fn there_is_no_chart_without_data() {
    assert!(by_day::chart("days", &weeks([0; 5])).is_none());
    assert!(by_day::chart("days", &[]).is_none());
    assert!(time_to_resolve::chart("resolve", &resolve(2, None, None)).is_none());
    assert!(time_to_resolve::chart("resolve", &resolve(2, Some(f64::NAN), None)).is_none());
    assert!(causes::chart("causes", &[]).is_none());
    assert!(heat::chart("hours", &hours(0)).is_none());
}

#[test]
fn all_shapes_stay_inside_the_chart() {
    for svg in all().into_iter().map(Markup::into_string) {
        let height: f64 =
            svg.split(&format!("viewBox=\"0 0 {WIDTH} ")).nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
        for (attribute, most) in [
            ("x", WIDTH.into()),
            ("x1", WIDTH.into()),
            ("x2", WIDTH.into()),
            ("cx", WIDTH.into()),
            ("width", WIDTH.into()),
            ("y", height),
            ("y1", height),
            ("y2", height),
            ("cy", height),
            ("height", height),
            ("points", height.max(WIDTH.into())),
        ] {
            for number in numbers(&svg, attribute) {
                assert!((0.0..=most).contains(&number), "{attribute}={number} of {most} in {svg}");
            }
        }
    }
}

#[test]
fn every_colour_has_its_class_and_every_chart_its_description() {
    for svg in all().into_iter().map(Markup::into_string) {
        assert_eq!(svg.matches("=\"#").count(), svg.matches("class=\"").count(), "{svg}");
        assert!(svg.contains("role=\"img\"") && svg.contains("<title id=") && svg.contains("<desc id="), "{svg}");
        assert!(!svg.contains("http") && !svg.contains("font-family"), "{svg}");
    }
}

#[test]
fn the_same_data_give_the_same_chart() {
    let drawn = || all().into_iter().map(Markup::into_string).collect::<Vec<_>>();
    assert_eq!(drawn(), drawn());
}

#[test]
fn names_are_escaped() {
    let name = "</text><script>alert(1)</script>\" fill=\"#0072B2\" '&";
    let svg = causes::chart("causes", &bars(1, name, 1)).unwrap().into_string();
    assert!(svg.contains("&lt;/text&gt;&lt;script&gt;") && !svg.contains("<script"), "{svg}");
    assert!(!svg.contains("f-job-failure"), "text became a class: {svg}");
}

#[test]
fn weeks_before_the_ledger_begins_are_na() {
    let svg = by_day::chart("days", &weeks([1, 0, 0, 0, 0])).unwrap().into_string();
    assert_eq!(svg.matches(">n/a<").count(), 1, "{svg}");
}

#[test]
fn a_median_of_too_few_values_is_na() {
    let mut weeks = resolve(21, Some(60.0), None);
    weeks[1] = ResolveWeek { label: "W05".into(), n: Some(2), p50_s: None, p95_s: None };
    weeks[0] = ResolveWeek { label: "W04".into(), n: None, p50_s: None, p95_s: None };
    let svg = time_to_resolve::chart("resolve", &weeks).unwrap().into_string();
    assert_eq!(svg.matches(">n/a<").count(), 3, "two medians and one n: {svg}");
    assert_eq!(svg.matches("<polyline").count(), 2, "no line reaches over a gap: {svg}");
}

#[test]
fn the_legend_names_the_types_that_occur_in_the_order_of_the_stack() {
    let svg = by_day::chart("days", &weeks([2, 0, 1, 0, 0])).unwrap().into_string();
    let place = |text: &str| svg.find(text);
    assert!(place(">job failure<").unwrap() < place(">security finding<").unwrap());
    assert!(place("validation").is_none() && place("compliance").is_none());
}
