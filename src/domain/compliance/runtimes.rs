//! End of support of the Databricks runtimes, from `runtimes.csv`, which names its source.

use std::sync::LazyLock;

use chrono::NaiveDate;

use crate::domain::time::Timestamp;

const TABLE: &str = include_str!("runtimes.csv");

/// Support of a runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuntimeSupport {
    /// First day without support.
    Ends(NaiveDate),
    /// An old release that the table does not list. It was unsupported on this day.
    EndedBefore(NaiveDate),
    /// The end was not announced when the table was created.
    NoEnd,
    /// Newer than the table, or an unknown version format.
    Unknown,
}

struct Runtimes {
    as_of: NaiveDate,
    /// Major version, minor version if there is one, and end of support. Sorted by version.
    rows: Vec<(u32, Option<u32>, Option<NaiveDate>)>,
}

static RUNTIMES: LazyLock<Runtimes> = LazyLock::new(|| {
    let date = |text: &str| text.trim().parse::<NaiveDate>().ok();
    let as_of = TABLE.lines().find_map(|line| date(line.strip_prefix("# as of ")?));
    let rows = TABLE.lines().filter(|line| !line.starts_with(['#', 'v'])).filter_map(|line| {
        let (version, ends) = line.split_once(',')?;
        let (major, minor) = numbers(version)?;
        Some((major, minor, date(ends)))
    });
    Runtimes { as_of: as_of.unwrap_or_default(), rows: rows.collect() }
});

/// Returns the release of a version: `16.4` for `16.4.x-photon-scala2.12`, and `18` for `18.x-scala2.13`.
pub fn release(version: &str) -> Option<&str> {
    let end = version.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(version.len());
    let numbers = version.get(..end)?.trim_end_matches('.');
    let parts: Vec<&str> = numbers.split('.').collect();
    let plain = |part: &&str| !part.is_empty() && part.len() < 5;
    (matches!(parts.len(), 1 | 2) && parts.iter().all(plain)).then_some(numbers)
}

fn numbers(version: &str) -> Option<(u32, Option<u32>)> {
    let mut parts = version.split('.');
    let major = parts.next()?.parse().ok()?;
    match parts.next() {
        None => Some((major, None)),
        Some(minor) => Some((major, Some(minor.parse().ok()?))),
    }
}

/// Returns the support of a cluster's `spark_version`.
pub fn support(version: &str) -> RuntimeSupport {
    let Some((major, minor)) = release(version).and_then(numbers) else { return RuntimeSupport::Unknown };
    let Runtimes { as_of, rows } = &*RUNTIMES;
    let listed = rows.iter().find(|(known, of, _)| *known == major && (of.is_none() || *of == minor));
    match listed {
        Some((_, _, Some(ends))) => RuntimeSupport::Ends(*ends),
        Some((_, _, None)) => RuntimeSupport::NoEnd,
        None if rows.last().is_some_and(|(newest, ..)| major < *newest) => RuntimeSupport::EndedBefore(*as_of),
        None => RuntimeSupport::Unknown,
    }
}

/// Returns midnight UTC of a day.
pub fn midnight(day: NaiveDate) -> Timestamp {
    Timestamp::new(day.and_time(chrono::NaiveTime::MIN).and_utc())
}
