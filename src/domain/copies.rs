//! Tables in a catalog beside the lake's: whether they say the same, as far as they go.

use std::fmt;

use serde::Serialize;

/// A table in the catalog, as it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyHead {
    pub rows: u64,
    /// The last `seq`; 0 without rows.
    pub last_seq: u64,
}

/// The lake's table of that name, read after the copy was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceHead {
    pub rows: u64,
    /// The last `seq`; 0 without rows.
    pub last_seq: u64,
    /// Rows up to the last `seq` of the copy.
    pub rows_up_to_copy: u64,
}

/// How a table in the catalog stands to the lake's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum CopyState {
    Current,
    /// Rows were recorded since it was copied.
    Behind {
        missing_rows: u64,
    },
    /// It says something that the lake does not say.
    Different(CopyDifference),
}

/// What no copy of this lake can say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "difference", rename_all = "kebab-case")]
pub enum CopyDifference {
    /// It goes on where the lake's table ends.
    Ahead { lake_seq: u64 },
    /// It has more or fewer rows up to its last `seq`.
    Rows { expected: u64 },
    /// The row of the audit log at its last `seq` is another one.
    Hash,
}

/// A table in the catalog beside the lake's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopyComparison {
    pub table: &'static str,
    /// Rows in the catalog.
    pub rows: u64,
    /// The last `seq` in the catalog; 0 without rows.
    pub last_seq: u64,
    #[serde(flatten)]
    pub state: CopyState,
}

impl CopyComparison {
    /// `same_hash`: of the audit log, whether the row at the last `seq` of the copy has the same hash in the lake.
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
            CopyState::Current => write!(f, "{table} in the catalog holds what the lake holds"),
            CopyState::Behind { missing_rows } => write!(f, "{table} in the catalog lacks {missing_rows} newer rows"),
            CopyState::Different(CopyDifference::Ahead { lake_seq }) => {
                write!(f, "{table} in the catalog goes up to entry {last_seq}, the lake's up to entry {lake_seq}")
            }
            CopyState::Different(CopyDifference::Rows { expected }) => {
                write!(f, "{table} in the catalog has {rows} rows up to entry {last_seq}, the lake's has {expected}")
            }
            CopyState::Different(CopyDifference::Hash) => {
                write!(f, "{table} in the catalog has another entry {last_seq} than the lake")
            }
        }
    }
}

/// How far tables that do not differ lag behind the lake. `None`: they hold all of it.
pub fn lag(found: &[CopyComparison]) -> Option<String> {
    let missing = |table: &CopyComparison| table.missing_rows();
    let entries: u64 = found.iter().filter(|table| table.table == "audit_log").map(missing).sum();
    let rows: u64 = found.iter().map(missing).sum();
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
    fn a_copy_lags_behind_or_differs() {
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
