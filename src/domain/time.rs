//! Timestamps: UTC with microseconds, written as RFC 3339.

use std::{borrow::Cow, fmt, str::FromStr};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A time in UTC, cut to microseconds, the precision of a Delta `timestamp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    /// Creates a timestamp and cuts it to microseconds. All clocks and parsers use this function.
    pub fn new(moment: DateTime<Utc>) -> Self {
        let micros = moment.timestamp_micros();
        Self(DateTime::from_timestamp_micros(micros).unwrap_or(moment))
    }

    /// Returns `None` if the number of microseconds is outside the range of dates.
    pub fn from_micros(micros: i64) -> Option<Self> {
        DateTime::from_timestamp_micros(micros).map(Self)
    }

    /// Returns the microseconds since 1970-01-01T00:00:00Z.
    pub fn micros(self) -> i64 {
        self.0.timestamp_micros()
    }

    pub fn utc(self) -> DateTime<Utc> {
        self.0
    }

    /// Returns the signed seconds from `earlier` to `self`.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        (self.micros() - earlier.micros()) as f64 / 1e6
    }

    /// Adds a duration. The result saturates at the ends of the calendar and is cut to microseconds.
    pub fn plus(self, delta: TimeDelta) -> Self {
        Self::new(self.0.checked_add_signed(delta).unwrap_or(self.0))
    }
}

/// `2026-02-11T12:36:00Z`; fractions appear only where there are any.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl FromStr for Timestamp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        DateTime::parse_from_rfc3339(text)
            .map(|moment| Self::new(moment.to_utc()))
            .map_err(|_| format!("{text:?} is not an RFC 3339 time with a zone, such as 2026-02-11T12:36:00Z"))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// Start of a time range: a time, or a duration before now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    Moment(Timestamp),
    Ago(TimeDelta),
}

impl Since {
    pub fn before(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Moment(moment) => moment,
            Self::Ago(ago) => now.plus(-ago),
        }
    }
}

/// `2026-02-11T12:36:00Z`, or a number and a unit: `90m`, `24h`, `7d`.
impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is neither a duration, such as 90m, 24h or 7d, nor a time, such as 2026-02-11T12:36:00Z")
        };
        let Some((number, seconds)) = [('m', 60), ('h', 3_600), ('d', 86_400)]
            .into_iter()
            .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))
        else {
            return text.parse().map(Self::Moment).map_err(|_| wrong());
        };
        let number: u32 = number.parse().map_err(|_| wrong())?;
        Ok(Self::Ago(TimeDelta::seconds(i64::from(number) * seconds)))
    }
}

/// Formats seconds in the two largest units: `14m 29s`, `3h 5m`, `2d 4h`, `0s`. Returns `None` for a value that is not finite.
pub fn spelled(seconds: f64) -> Option<String> {
    if !seconds.is_finite() {
        return None;
    }
    let sign = if seconds < 0.0 { "−" } else { "" };
    let length = seconds.abs();
    if length > 0.0 && length < 1.0 {
        return Some(format!("{sign}<1s"));
    }
    // the conversion saturates
    let whole = length.round() as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60);
    let parts = match (days, hours, minutes, whole % 60) {
        (0, 0, 0, seconds) => [(seconds, "s"), (0, "")],
        (0, 0, minutes, seconds) => [(minutes, "m"), (seconds, "s")],
        (0, hours, minutes, _) => [(hours, "h"), (minutes, "m")],
        (days, hours, ..) => [(days, "d"), (hours, "h")],
    };
    Some(match parts {
        [(large, unit), (0, _)] => format!("{sign}{large}{unit}"),
        [(large, unit), (small, smaller)] => format!("{sign}{large}{unit} {small}{smaller}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computed_times_are_cut_to_microseconds() {
        let now: Timestamp = "2026-02-11T12:00:00.000001Z".parse().unwrap();
        let later = now.plus(TimeDelta::nanoseconds(1_999));
        assert_eq!(later, later.to_string().parse().unwrap());
        assert_eq!(later.micros() - now.micros(), 1);
    }

    #[test]
    fn a_start_is_a_time_or_a_duration() {
        let now: Timestamp = "2026-02-11T12:00:00Z".parse().unwrap();
        let check = |text: &str, expected: Option<&str>| {
            let since = text.parse::<Since>().ok().map(|since| since.before(now).to_string());
            assert_eq!(since.as_deref(), expected, "{text}");
        };
        check("90m", Some("2026-02-11T10:30:00Z"));
        check("24h", Some("2026-02-10T12:00:00Z"));
        check("7d", Some("2026-02-04T12:00:00Z"));
        check("2026-01-01T01:00:00+01:00", Some("2026-01-01T00:00:00Z"));
        for wrong in ["", "h", "7", "-1h", "1.5h", "7 d", "yesterday", "7w", "99999999999d", "2026-01-01"] {
            check(wrong, None);
        }
    }
}
