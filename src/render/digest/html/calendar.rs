//! Times in the digest's time zone.

use chrono_tz::Tz;

use super::values::outside_text;
use crate::domain::{digest::WeekSpan, time::Timestamp, week::Week};

/// The digest's week and the four before, in its zone.
#[derive(Debug)]
pub struct Calendar {
    week: Week,
    zone_name: String,
}

impl Calendar {
    /// An unknown zone is replaced by UTC; the name of the zone then has a remark.
    pub fn of(span: &WeekSpan) -> Self {
        let (zone, zone_name) = match span.time_zone.parse::<Tz>() {
            Ok(zone) => (zone, zone.name().to_owned()),
            Err(_) => (Tz::UTC, format!("UTC, because the zone {} is unknown", outside_text(&span.time_zone))),
        };
        Self { week: Week::of(span.start, zone), zone_name }
    }

    pub fn zone_name(&self) -> &str {
        &self.zone_name
    }

    /// The four weeks before, the earliest first, then the digest's own.
    pub fn weeks(&self) -> [Week; 5] {
        [4, 3, 2, 1, 0].map(|weeks| self.week.earlier(weeks))
    }

    /// `2026-02-24 09:12 CET`
    pub fn minute(&self, at: Timestamp) -> String {
        at.utc().with_timezone(&self.week.zone()).format("%Y-%m-%d %H:%M %Z").to_string()
    }

    /// `16 Feb 2026`
    pub fn day(&self, at: Timestamp) -> String {
        at.utc().with_timezone(&self.week.zone()).format("%-d %b %Y").to_string()
    }

    /// `Monday 16 February to Sunday 22 February 2026`
    pub fn span(&self) -> String {
        let mut days = self.week.days();
        match (days.next(), days.last()) {
            (Some(first), Some(last)) => {
                format!("{} to {}", first.format("%A %-d %B"), last.format("%A %-d %B %Y"))
            }
            _ => self.week.to_string(),
        }
    }
}

/// `W08` of `2026-W08`.
pub fn short(week: Week) -> String {
    let full = week.to_string();
    full.split_once('-').map_or(full.clone(), |(_, week)| week.to_owned())
}
