//! ISO weeks in a time zone, from Monday 00:00 local time to the next Monday. A week with a clock change has 167 or 169 hours.

use std::{fmt, str::FromStr};

use chrono::{
    DateTime, Datelike, Days, IsoWeek, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Weekday,
};
use chrono_tz::Tz;

use super::{as_text::as_text, time::Timestamp};

/// One ISO week in one zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Week {
    week: IsoWeek,
    zone: Tz,
}

/// The number of an ISO week without a zone: `2026-W08`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeekNumber(IsoWeek);

impl fmt::Display for WeekNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-W{:02}", self.0.year(), self.0.week())
    }
}

impl FromStr for WeekNumber {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not an ISO week such as 2026-W08");
        let (year, week) = text.split_once("-W").ok_or_else(wrong)?;
        if year.len() != 4 || week.len() != 2 || !(year.bytes().chain(week.bytes())).all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let (year, week) = (year.parse().map_err(|_| wrong())?, week.parse().map_err(|_| wrong())?);
        let monday = NaiveDate::from_isoywd_opt(year, week, Weekday::Mon);
        monday.map(|monday| Self(monday.iso_week())).ok_or_else(|| format!("{year} has no ISO week {week:02}"))
    }
}

/// A time zone, by its IANA name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone(pub Tz);

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl FromStr for Zone {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let zone = name.parse().map_err(|_| format!("{name:?} is not an IANA time zone such as Europe/Berlin or UTC"));
        zone.map(Self)
    }
}

as_text!(WeekNumber = r"^[0-9]{4}-W[0-9]{2}$", Zone = r"^[A-Za-z0-9_+/-]+$");

impl Week {
    pub fn new(number: WeekNumber, zone: Tz) -> Self {
        Self { week: number.0, zone }
    }

    /// Returns the week that contains `at`.
    pub fn of(at: Timestamp, zone: Tz) -> Self {
        Self { week: at.utc().with_timezone(&zone).date_naive().iso_week(), zone }
    }

    /// Returns the last week that has ended at `now`.
    pub fn last_complete(now: Timestamp, zone: Tz) -> Self {
        Self::of(now, zone).earlier(1)
    }

    /// Returns the week `weeks` weeks before.
    pub fn earlier(self, weeks: u64) -> Self {
        let monday = self.monday().checked_sub_days(Days::new(7 * weeks)).unwrap_or(self.monday());
        Self { week: monday.iso_week(), zone: self.zone }
    }

    /// Returns the start of the week.
    pub fn start(self) -> Timestamp {
        self.midnight(self.monday())
    }

    /// Returns the end of the week, exclusive.
    pub fn end(self) -> Timestamp {
        self.midnight(self.monday().checked_add_days(Days::new(7)).unwrap_or(self.monday()))
    }

    /// Returns the length in hours: 168, or 167 or 169 with a clock change.
    pub fn hours(self) -> f64 {
        self.end().seconds_since(self.start()) / 3600.0
    }

    pub fn zone(self) -> Tz {
        self.zone
    }

    /// Returns the days of the week, Monday first.
    pub fn days(self) -> impl Iterator<Item = NaiveDate> {
        self.monday().iter_days().take(7)
    }

    fn monday(self) -> NaiveDate {
        NaiveDate::from_isoywd_opt(self.week.year(), self.week.week(), Weekday::Mon).unwrap_or_default()
    }

    /// Returns the start of a day: midnight, the first of two midnights, or the end of the gap if the clock skips midnight.
    fn midnight(self, day: NaiveDate) -> Timestamp {
        let mut local = NaiveDateTime::new(day, NaiveTime::MIN);
        for _ in 0..24 * 60 {
            match self.zone.from_local_datetime(&local) {
                LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => return Timestamp::new(at.to_utc()),
                LocalResult::None => local += TimeDelta::minutes(1),
            }
        }
        Timestamp::new(DateTime::from_naive_utc_and_offset(local, chrono::Utc))
    }
}

/// `2026-W08`
impl fmt::Display for Week {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-W{:02}", self.week.year(), self.week.week())
    }
}

#[cfg(test)]
mod tests;
