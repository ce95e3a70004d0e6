//! Ticks at round values, numbers short enough for an axis, and text that fits a width.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use crate::render::plain::{columns, cut, duration};

/// An axis with ticks at chosen values.
#[derive(Debug)]
pub struct Axis {
    range: Range<f64>,
    ticks: Vec<f64>,
    label: fn(f64) -> String,
}

impl Axis {
    /// From the first tick to the last.
    pub fn ticked(ticks: Vec<f64>, label: fn(f64) -> String) -> Self {
        let range = ticks.first().copied().unwrap_or(0.0)..ticks.last().copied().unwrap_or(1.0);
        Self { range, ticks, label }
    }

    /// From 0 to `end`, without ticks.
    pub fn bare(end: i32) -> Self {
        Self { range: 0.0..f64::from(end), ticks: Vec::new(), label: |_| String::new() }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let Range { start, end } = self.range;
        let part = if end > start { (value - start) / (end - start) } else { 0.0 };
        limit.0 + (part.clamp(0.0, 1.0) * f64::from(limit.1 - limit.0)).round() as i32
    }

    /// All ticks have labels; there are no minor ticks.
    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format(value: &f64) -> String {
        value.to_string()
    }

    fn format_ext(&self, value: &f64) -> String {
        (self.label)(*value)
    }
}

/// The largest number of steps from 0 to the top of an axis.
const STEPS: u64 = 4;

/// Ticks of an axis of counts: whole numbers from 0 to the first round one that is not less than `most`, at least 1.
pub fn count_ticks(most: u64) -> Vec<u64> {
    let most = most.max(1);
    let mut power = 1_u64;
    loop {
        for digit in [1, 2, 5] {
            let step = power.saturating_mul(digit);
            if most.div_ceil(step) <= STEPS || step == u64::MAX {
                return (0..=most.div_ceil(step)).map(|tick| step.saturating_mul(tick)).collect();
            }
        }
        power = power.saturating_mul(10);
    }
}

/// Steps of seconds that people count in, up to a year.
const ROUND_SECONDS: [f64; 28] = [
    1.0,
    2.0,
    5.0,
    10.0,
    15.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
    900.0,
    1_800.0,
    3_600.0,
    7_200.0,
    10_800.0,
    14_400.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    345_600.0,
    604_800.0,
    1_209_600.0,
    2_592_000.0,
    5_184_000.0,
    7_776_000.0,
    15_552_000.0,
    31_536_000.0,
];

/// Ticks of an axis of seconds, from 0 to the first round one that is not less than `most`.
pub fn duration_ticks(most: f64) -> Vec<f64> {
    let most = if most.is_finite() { most.max(1.0) } else { 1.0 };
    let fits = |step: &f64| most / step <= STEPS as f64;
    let step = ROUND_SECONDS.into_iter().find(fits).unwrap_or(most / STEPS as f64);
    let steps = (most / step).ceil() as u64;
    (0..=steps).map(|tick| step * tick as f64).collect()
}

/// `950`, `1.5k`, `20k`, `3M`: a count in about four characters.
pub fn short(count: u64) -> String {
    let (unit, name) = match count {
        0..10_000 => return count.to_string(),
        10_000..1_000_000 => (1_000, "k"),
        1_000_000..1_000_000_000 => (1_000_000, "M"),
        1_000_000_000..1_000_000_000_000 => (1_000_000_000, "G"),
        _ => (1_000_000_000_000, "T"),
    };
    let (whole, tenth) = (count / unit, count % unit * 10 / unit);
    if tenth == 0 || whole >= 100 { format!("{whole}{name}") } else { format!("{whole}.{tenth}{name}") }
}

/// `15m`, `2h`, `30d`: in days only from one day on, with large numbers as in [`short`].
pub fn short_duration(seconds: f64) -> String {
    if seconds < 86_400.0 { duration(Some(seconds)) } else { format!("{}d", short((seconds / 86_400.0) as u64)) }
}

/// Text cut to `width` units. The cut is conservative, because the fonts, and so the real width, are unknown here.
pub fn fit(text: &str, width: f64, size: f64) -> String {
    let mut most = columns(text);
    loop {
        let shown = cut(text, most);
        let over = em(&shown) * size - width;
        if over <= 0.0 || most == 0 {
            return shown.into_owned();
        }
        // no column is wider than 1.1 em, so at least this many columns are in excess
        most = most.saturating_sub(((over / size / 1.1) as usize).max(1));
    }
}

/// The width of text in a wide system font, in em.
fn em(text: &str) -> f64 {
    let one = |character: char| match character {
        'i' | 'j' | 'l' | 'f' | 't' | 'r' | ' ' | '.' | ',' | ':' | ';' | '\'' | '|' | '(' | ')' | '[' | ']' | 'I' => {
            0.42
        }
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '…' => 1.05,
        'A'..='Z' | '&' | '=' | '<' | '>' | '+' | '~' | '#' | '$' | '_' => 0.82,
        other if other.is_ascii() => 0.62,
        other => 1.1 * columns(other.encode_utf8(&mut [0; 4])) as f64,
    };
    text.chars().map(one).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::render::example::hostile_text;

    #[test]
    fn counts_have_whole_round_ticks() {
        fn check(most: u64, ticks: &[u64]) {
            assert_eq!(count_ticks(most), ticks, "{most}");
        }
        check(0, &[0, 1]);
        check(1, &[0, 1]);
        check(3, &[0, 1, 2, 3]);
        check(5, &[0, 2, 4, 6]);
        check(17, &[0, 5, 10, 15, 20]);
        check(30_001, &[0, 10_000, 20_000, 30_000, 40_000]);
    }

    #[test]
    fn ticks_of_durations_are_in_common_units() {
        fn check(most: f64, ticks: &[f64]) {
            assert_eq!(duration_ticks(most), ticks, "{most}");
        }
        check(0.0, &[0.0, 1.0]);
        check(f64::NAN, &[0.0, 1.0]);
        check(50.0, &[0.0, 15.0, 30.0, 45.0, 60.0]);
        check(6_720.0, &[0.0, 1_800.0, 3_600.0, 5_400.0, 7_200.0]);
        check(28_224.0, &[0.0, 7_200.0, 14_400.0, 21_600.0, 28_800.0]);
    }

    #[test]
    fn large_counts_are_short() {
        fn check(count: u64, shown: &str) {
            assert_eq!(short(count), shown, "{count}");
        }
        check(0, "0");
        check(9_999, "9999");
        check(10_000, "10k");
        check(12_500, "12.5k");
        check(250_900, "250k");
        check(2_000_000, "2M");
        check(u64::MAX, "18446744T");
    }

    #[test]
    fn ticks_of_long_durations_are_short_too() {
        fn check(seconds: f64, shown: &str) {
            assert_eq!(short_duration(seconds), shown, "{seconds}");
        }
        check(0.0, "0s");
        check(900.0, "15m");
        check(7_200.0, "2h");
        check(2_592_000.0, "30d");
        check(1.5e12, "17.3Md");
    }

    #[test]
    fn text_that_fits_is_left_alone() {
        assert_eq!(fit("daily-etl", 80.0, 11.0), "daily-etl");
        assert_eq!(fit("WWWWWWWWWW", 60.0, 11.0), "WWWW…");
        assert_eq!(fit("日次処理日次処理", 50.0, 11.0), "日…");
        assert_eq!(fit("daily-etl", 0.0, 11.0), "");
    }

    proptest! {
        #[test]
        fn an_axis_covers_all_counts_in_few_steps(most in 0..=u64::MAX) {
            let ticks = count_ticks(most);
            prop_assert!(ticks.len() <= 5 && ticks.windows(2).all(|pair| pair[0] < pair[1]), "{ticks:?}");
            prop_assert!(ticks.last().is_some_and(|top| *top >= most), "{ticks:?}");
        }

        #[test]
        fn an_axis_covers_all_durations_in_few_steps(most in prop_oneof![0.0..1e7_f64, 0.0..f64::MAX]) {
            let ticks = duration_ticks(most);
            prop_assert!(ticks.len() <= 6 && ticks.windows(2).all(|pair| pair[0] < pair[1]), "{ticks:?}");
            prop_assert!(ticks.last().is_some_and(|top| *top >= most * 0.999_999), "{ticks:?}");
        }

        #[test]
        fn fitted_text_is_never_wider(text in hostile_text(), width in 0.0..400.0_f64) {
            prop_assert!(em(&fit(&text, width, 11.0)) * 11.0 <= width);
        }
    }
}
