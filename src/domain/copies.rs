//! Comparison of copied tables in a catalog with the tables of the lake.

use std::fmt;

use serde::Serialize;

/// Size and last row of a table in the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyHead {
    pub rows: u64,
    /// The last `seq`; 0 without rows.
    pub last_seq: u64,
}

/// Size and last row of the lake's table, read after its copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceHead {
    pub rows: u64,
    /// The last `seq`; 0 without rows.
    pub last_seq: u64,
    /// Number of rows up to the last `seq` of the copy.
    pub rows_up_to_copy: u64,
}

/// State of a copy relative to the lake's table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum CopyState {
    Current,
    /// Rows were recorded after the copy was made.
    Behind {
        missing_rows: u64,
    },
    /// It contains data that the lake does not.
    Different(CopyDifference),
}

/// Difference that shows that the table is not a copy from this lake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "difference", rename_all = "kebab-case")]
pub enum CopyDifference {
    /// It has rows after the end of the lake's table.
    Ahead { lake_seq: u64 },
    /// It has more or fewer rows up to its last `seq`.
    Rows { expected: u64 },
    /// The row of the audit log at its last `seq` differs.
    Hash,
}

/// A table in the catalog compared with the lake's table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopyComparison {
    pub table: &'static str,
    /// Number of rows in the catalog.
    pub rows: u64,
    /// The last `seq` in the catalog; 0 without rows.
    pub last_seq: u64,
    #[serde(flatten)]
    pub state: CopyState,
}

impl CopyComparison {
    /// Compares a copy with its source. `same_hash`: the row of the audit log at the copy's last `seq` has the same hash in
    /// the lake; true for other tables.
    pub fn of(table: &'static str, copy: CopyHead, source: SourceHead, same_hash: bool) -> Self {
        let CopyHead { rows, last_seq } = copy;
        let state = if last_seq > source.last_seq {
            CopyState::Different(CopyDifference::Ahead { lake_seq: source.last_seq })
        } else if rows != source.rows_up_to_copy {
            CopyState::Different(CopyDifference::Rows { expected: source.rows_up_to_copy })
        } else if !same_hash {
            CopyState::Different(CopyDifference::Hash)
        } else if rows < source.rows {
            CopyState::Behind { missing_rows: source.rows - rows }
        } else {
            CopyState::Current
        };
        Self { table, rows, last_seq, state }
    }

    pub fn is_different(&self) -> bool {
        matches!(self.state, CopyState::Different(_))
    }

    pub fn missing_rows(&self) -> u64 {
        match self.state {
            CopyState::Behind { missing_rows } => missing_rows,
            CopyState::Current | CopyState::Different(_) => 0,
        }
    }
}

impl fmt::Display for CopyComparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, rows, last_seq, state } = self;
        match state {
            CopyState::Current => write!(f, "{table} in the catalog is up to date with the lake"),
            CopyState::Behind { missing_rows } => write!(f, "{table} in the catalog lacks {missing_rows} newer rows"),
            CopyState::Different(CopyDifference::Ahead { lake_seq }) => {
                write!(f, "{table} in the catalog ends at entry {last_seq}, after the lake's last entry {lake_seq}")
            }
            CopyState::Different(CopyDifference::Rows { expected }) => {
                write!(f, "{table} in the catalog has {rows} rows up to entry {last_seq}, the lake's has {expected}")
            }
            CopyState::Different(CopyDifference::Hash) => {
                write!(f, "{table} in the catalog has a different entry {last_seq} from the lake")
            }
        }
    }
}

/// Returns how far the tables lag behind the lake. `None`: they are up to date.
pub fn lag(comparisons: &[CopyComparison]) -> Option<String> {
    let missing = |table: &CopyComparison| table.missing_rows();
    let entries: u64 = comparisons.iter().filter(|table| table.table == "audit_log").map(missing).sum();
    let rows: u64 = comparisons.iter().map(missing).sum();
    match (entries, rows) {
        (0, 0) => None,
        (0, rows) => Some(format!("{rows} rows behind the lake")),
        (1, _) => Some("1 entry behind the lake".into()),
        (entries, _) => Some(format!("{entries} entries behind the lake")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_current_behind_or_different() {
        let check = |copy: (u64, u64), source: (u64, u64, u64), same_hash: bool, expected: CopyState| {
            let copy = CopyHead { rows: copy.0, last_seq: copy.1 };
            let source = SourceHead { rows: source.0, last_seq: source.1, rows_up_to_copy: source.2 };
            assert_eq!(CopyComparison::of("t", copy, source, same_hash).state, expected, "{copy:?} {source:?}");
        };
        check((0, 0), (0, 0, 0), true, CopyState::Current);
        check((5, 9), (5, 9, 5), true, CopyState::Current);
        check((0, 0), (5, 9, 0), true, CopyState::Behind { missing_rows: 5 });
        check((4, 8), (7, 9, 4), true, CopyState::Behind { missing_rows: 3 });
        check((6, 9), (5, 9, 5), true, CopyState::Different(CopyDifference::Rows { expected: 5 }));
        check((3, 8), (7, 9, 4), true, CopyState::Different(CopyDifference::Rows { expected: 4 }));
        check((5, 10), (5, 9, 5), true, CopyState::Different(CopyDifference::Ahead { lake_seq: 9 }));
        check((5, 9), (6, 10, 5), false, CopyState::Different(CopyDifference::Hash));
    }
}
