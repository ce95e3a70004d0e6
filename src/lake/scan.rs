//! Reads the audit log with a few rows in memory at a time, however long it is.

use super::{
    Lake, Result, ledger,
    log::{AddFile, FileStats, Log},
    table::Table,
};
use crate::{
    domain::{ids::IncidentId, time::Timestamp},
    tables::{catalog::AUDIT_LOG, rows::AuditRow},
};

/// The maximum number of rows at a time.
const MAX_ROWS: u64 = 4_096;
/// The approximate compressed bytes of the rows of one step.
const STEP_BYTES: u64 = 2 << 20;
/// Statistics of the Delta log are cut to milliseconds.
const STATS_MICROS: i64 = 1_000;

/// A filter of audit rows. A condition that is `None` matches every row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Recorded at this time or later.
    pub since: Option<Timestamp>,
    /// Recorded before this time.
    pub until: Option<Timestamp>,
    pub actor: Option<String>,
    /// An element of the column `resources`, such as `job_id=360515640572923`, or only its id.
    pub resource: Option<String>,
    pub incident: Option<IncidentId>,
}

impl AuditFilter {
    pub fn matches(&self, row: &AuditRow) -> bool {
        self.since.is_none_or(|since| row.recorded_at >= since)
            && self.until.is_none_or(|until| row.recorded_at < until)
            && self.actor.as_deref().is_none_or(|actor| row.actor.as_str() == actor)
            && self.incident.is_none_or(|incident| row.incident_id == Some(incident))
            && self.resource.as_deref().is_none_or(|wanted| row.resources.as_deref().is_some_and(|r| names(r, wanted)))
    }

    /// Returns false only if no row of the file can match.
    fn may_match(&self, stats: &FileStats) -> bool {
        let (earliest, latest) = (stats.min_time("recorded_at"), stats.max_time("recorded_at"));
        let too_early = self.since.zip(latest).is_some_and(|(since, at)| at.micros() + STATS_MICROS < since.micros());
        let too_late = self.until.zip(earliest).is_some_and(|(until, at)| at >= until);
        let incident = self.incident.is_none_or(|incident| stats.may_hold("incident_id", &incident.to_string()));
        !too_early && !too_late && incident
    }
}

/// Returns whether `resources` names `wanted`. Ids may contain any character, including separators: both readings match.
fn names(resources: &str, wanted: &str) -> bool {
    let resources = format!(", {resources}, ");
    resources.contains(&format!(", {wanted}, ")) || resources.contains(&format!("_id={wanted}, "))
}

/// The order of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanOrder {
    OldestFirst,
    NewestFirst,
}

/// A file and the range of rows in it.
#[derive(Debug)]
struct FileRange {
    first: u64,
    last: u64,
    row_bytes: u64,
    wanted: bool,
    file: AddFile,
}

/// A running scan of the audit log.
#[derive(Debug)]
pub struct AuditScan {
    table: Table,
    log: Log,
    spans: Vec<FileRange>,
    filter: AuditFilter,
    order: ScanOrder,
    /// The rows that are not read yet are `after + 1 ..= last`.
    after: u64,
    last: u64,
}

impl AuditScan {
    /// Begins a scan of the log at its current version.
    ///
    /// # Errors
    /// As [`ledger::head`].
    pub async fn begin(lake: &Lake, filter: AuditFilter, order: ScanOrder) -> Result<Self> {
        let table = lake.table(AUDIT_LOG);
        let mut log = table.log().await?;
        let last = ledger::head(&table, &log).await?.chain.seq;
        let spans = std::mem::take(&mut log.files).into_values().map(|file| span(file, &filter)).collect();
        Ok(Self { table, log, spans, filter, order, after: 0, last })
    }

    /// Returns the number of rows that are not read yet.
    pub fn left(&self) -> u64 {
        self.last - self.after
    }

    /// Returns the next few rows that match, maybe none. `None` at the end.
    ///
    /// # Errors
    /// Errors of the store; [`super::LakeError::Corrupt`] if a row cannot be read.
    pub async fn next(&mut self) -> Result<Option<Vec<AuditRow>>> {
        if self.left() == 0 {
            return Ok(None);
        }
        let (after, last) = self.step();
        match self.order {
            ScanOrder::OldestFirst => self.after = last,
            ScanOrder::NewestFirst => self.last = after,
        }
        let near = self.spans.iter().filter(|span| span.wanted && span.first <= last && span.last > after);
        self.log.files = near.map(|span| (span.file.path.clone(), span.file.clone())).collect();
        let mut rows = ledger::rows_between(&self.table, &self.log, after, last).await?;
        rows.retain(|row| self.filter.matches(row));
        if self.order == ScanOrder::NewestFirst {
            rows.reverse();
        }
        Ok(Some(rows))
    }

    /// Returns the next range of rows to read: fewer if rows are large, many if no file can hold a matching row.
    fn step(&self) -> (u64, u64) {
        let wanted = self.spans.iter().filter(|span| span.wanted);
        match self.order {
            ScanOrder::OldestFirst => {
                let here = self.after + 1;
                let row_bytes = wanted.clone().filter(|s| s.first <= here && here <= s.last).map(|s| s.row_bytes).max();
                let ahead = wanted.map(|span| span.first).filter(|first| *first > here).min().unwrap_or(self.last + 1);
                let step = row_bytes.map_or(ahead - here, |bytes| rows_of(bytes).min(ahead - here));
                (self.after, (self.after + step.max(1)).min(self.last))
            }
            ScanOrder::NewestFirst => {
                let here = self.last;
                let row_bytes = wanted.clone().filter(|s| s.first <= here && here <= s.last).map(|s| s.row_bytes).max();
                let behind = wanted.map(|span| span.last).filter(|last| *last < here).max().unwrap_or(0);
                let step = row_bytes.map_or(here - behind, |bytes| rows_of(bytes).min(here - behind));
                (here.saturating_sub(step.max(1)).max(self.after), here)
            }
        }
    }
}

fn rows_of(row_bytes: u64) -> u64 {
    (STEP_BYTES / row_bytes.max(1)).clamp(8, MAX_ROWS)
}

/// Returns the range of rows in a file. A file without statistics may hold any row.
fn span(file: AddFile, filter: &AuditFilter) -> FileRange {
    let stats = file.parse_stats();
    let size = u64::try_from(file.size).unwrap_or(0);
    FileRange {
        first: stats.min_u64("seq").unwrap_or(0),
        last: stats.max_u64("seq").unwrap_or(u64::MAX),
        row_bytes: size / stats.num_records.unwrap_or(1).max(1),
        wanted: filter.may_match(&stats),
        file,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_matches_by_its_id_or_by_kind_and_id() {
        fn check(resources: &str, wanted: &str, found: bool) {
            assert_eq!(names(resources, wanted), found, "{wanted} in {resources}");
        }
        let all = "job_id=3605, job_run_id=2360, workspace_id=7405";
        check(all, "job_id=3605", true);
        check(all, "3605", true);
        check(all, "workspace_id=7405", true);
        check(all, "run_id=2360", false);
        check(all, "360", false);
        check(all, "605", false);
        check(all, "job_id=36", false);
        check(all, "2360, workspace_id=7405", true);
        check("job_id=a, b, workspace_id=1", "a, b", true);
    }
}
