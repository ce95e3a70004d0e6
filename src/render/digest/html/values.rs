//! Formatting of numbers and of text from outside. An unknown value is n/a.

use crate::{
    domain::digest::{
        MIN_FOR_MEDIAN, MIN_FOR_P95,
        dimension::{AgeBand, HourBand, Measure},
        percent,
    },
    render::plain::{self, NA, cut, line},
};

/// Columns of a cell's text.
const CELL: usize = 240;
/// Columns of a sentence.
const SENTENCE: usize = 1_000;

/// Text from outside for a cell: one line, safe, of bounded length.
pub fn outside_text(text: &str) -> String {
    cut(&line(text), CELL).into_owned()
}

/// A sentence that may hold text from outside: one line, safe, of bounded length.
pub fn sentence(text: &str) -> String {
    cut(&line(text), SENTENCE).into_owned()
}

/// `12,345`
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// `1 alert`, `2 alerts`
pub fn many(number: u64, what: &str) -> String {
    format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" })
}

/// One decimal at most: `12.5`, `8`.
pub fn decimal(number: f64) -> String {
    if !number.is_finite() {
        return NA.to_owned();
    }
    let shown = format!("{number:.1}");
    shown.strip_suffix(".0").map_or(shown.clone(), str::to_owned)
}

/// `4 of 28`, with a percentage if `whole` is large enough: `4 of 28 (14 %)`.
pub fn share(part: u64, whole: u64) -> String {
    let of = format!("{} of {}", count(part), count(whole));
    match percent(part, whole) {
        Some(percent) => format!("{of} ({})", rounded(percent, part, whole)),
        None => of,
    }
}

/// A percentage that is 0 % only for none, and 100 % only for all.
fn rounded(percent: f64, part: u64, whole: u64) -> String {
    match percent {
        small if part > 0 && small < 0.5 => "<1 %".into(),
        large if part < whole && large >= 99.5 => ">99 %".into(),
        other => format!("{other:.0} %"),
    }
}

/// The median of `n` values, or `None` if they are too few.
pub fn median(seconds: Option<f64>, n: u64) -> Option<f64> {
    seconds.filter(|seconds| n >= MIN_FOR_MEDIAN && seconds.is_finite())
}

/// The 95th percentile of `n` values, or `None` if they are too few.
pub fn p95(seconds: Option<f64>, n: u64) -> Option<f64> {
    seconds.filter(|seconds| n >= MIN_FOR_P95 && seconds.is_finite())
}

pub fn duration(seconds: Option<f64>) -> String {
    plain::duration(seconds)
}

pub fn measure_name(measure: Measure) -> &'static str {
    match measure {
        Measure::Detect => "Time to detect",
        Measure::Acknowledge => "Time to acknowledge",
        Measure::Mitigate => "Time to mitigate",
        Measure::Resolve => "Time to resolve",
    }
}

pub fn measure_definition(measure: Measure) -> &'static str {
    match measure {
        Measure::Detect => "start of the impact to detection",
        Measure::Acknowledge => "report to the first explicit acknowledgement",
        Measure::Mitigate => "detection to the first successful REMEDIATE or VERIFY",
        Measure::Resolve => "report to the first resolution",
    }
}

pub fn hours_name(band: HourBand) -> &'static str {
    match band {
        HourBand::Business => "Business hours",
        HourBand::Evening => "Evenings and weekend days",
        HourBand::Night => "Nights",
    }
}

pub fn hours_definition(band: HourBand) -> &'static str {
    match band {
        HourBand::Business => "Monday to Friday, 08:00 to 17:59",
        HourBand::Evening => "06:00 to 21:59 outside business hours",
        HourBand::Night => "22:00 to 05:59",
    }
}

pub fn age_name(band: AgeBand) -> &'static str {
    match band {
        AgeBand::Day => "Under 1 day",
        AgeBand::Week => "1 to under 7 days",
        AgeBand::Month => "7 to under 30 days",
        AgeBand::Older => "30 days and more",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_a_percentage_only_if_large_enough_and_never_round_to_none_or_all() {
        fn check(part: u64, whole: u64, shown: &str) {
            assert_eq!(share(part, whole), shown);
        }
        check(4, 19, "4 of 19");
        check(4, 28, "4 of 28 (14 %)");
        check(0, 28, "0 of 28 (0 %)");
        check(1, 10_000, "1 of 10,000 (<1 %)");
        check(9_999, 10_000, "9,999 of 10,000 (>99 %)");
        check(20, 20, "20 of 20 (100 %)");
    }

    #[test]
    fn too_few_durations_have_no_median_and_no_95th_percentile() {
        assert_eq!([median(Some(60.0), 2), median(Some(60.0), 3)], [None, Some(60.0)]);
        assert_eq!([p95(Some(60.0), 19), p95(Some(60.0), 20)], [None, Some(60.0)]);
        assert_eq!(median(Some(f64::NAN), 100), None);
    }

    #[test]
    fn numbers_are_short_and_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([8.0, 12.5, 0.04, f64::NAN].map(decimal), ["8", "12.5", "0", "n/a"]);
        assert_eq!([many(1, "alert"), many(2, "alert")], ["1 alert", "2 alerts"]);
    }

    #[test]
    fn text_from_outside_is_one_safe_line_of_bounded_length() {
        assert_eq!(outside_text("a\nb\u{202e}c"), r"a\nb\u{202e}c");
        assert_eq!(outside_text(&"x".repeat(10_000)).chars().count(), CELL);
    }
}
