//! A lake with a history of two years, written straight into the projected tables: as many files as 40 stretches of time have,
//! each sorted by time, by this program's own writer and commits. The audit log stays empty, so there is nothing to project
//! and nothing to verify; what reads the other tables cannot tell.
//!
//! A smaller lake is the last stretches of the larger one, row for row.

mod incidents;

use std::path::Path;

use arrow::array::RecordBatch;
use ops_runbook::{
    domain::{cause, ids::Id, time::Timestamp},
    lake::{
        Context, Lake,
        log::CommitNote,
        table::{Draft, Put},
    },
    tables::{Row, TableDef, to_batch},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use incidents::Part;

/// Stretches of time, 2.6 weeks each.
pub const PARTS: usize = 40;
const WEEKS: i64 = 104;
pub const WEEK_MICROS: i64 = 7 * 86_400_000_000;
/// Monday 2026-11-16, when the history ends.
const END_MICROS: i64 = 1_794_787_200_000_000;
const CAUSES: usize = 5_000;
/// Causes that come all the time. The others come in bursts of three weeks.
const CHRONIC: usize = 300;
/// Bursts that begin in a week.
const BURSTS: u64 = 54;

pub fn end() -> Timestamp {
    Timestamp::from_micros(END_MICROS).unwrap()
}

/// When a lake of so many parts begins.
pub fn beginning(parts: usize) -> Timestamp {
    Timestamp::from_micros(END_MICROS - part_micros() * parts as i64).unwrap()
}

fn part_micros() -> i64 {
    WEEKS * WEEK_MICROS / PARTS as i64
}

/// Writes the last `parts` of the history, `rows` root causes in each.
pub async fn lake(folder: &Path, parts: usize, rows: usize) -> Lake {
    let lake = Lake::at(folder.to_str().unwrap(), Context::system()).unwrap();
    lake.init().await.unwrap();
    let history = History::new();
    for number in PARTS - parts..PARTS {
        let part = Part::new(&history, number, rows);
        append(&lake, &part.root_causes, part.last_seq).await;
        append(&lake, &part.practice_checks, part.last_seq).await;
        append(&lake, &part.escalation_events, part.last_seq).await;
        append(&lake, &part.recurrence_events, part.last_seq).await;
        append(&lake, &part.preventive_actions, part.last_seq).await;
        append(&lake, &part.job_runs, part.last_seq).await;
        // Speaks for all, so it goes last.
        append(&lake, &part.incident_states, part.last_seq).await;
    }
    lake
}

async fn append<R: Row>(lake: &Lake, rows: &[R], last_seq: u64) {
    if !rows.is_empty() {
        commit(lake, R::TABLE, &to_batch(rows).unwrap(), last_seq).await;
    }
}

async fn commit(lake: &Lake, def: &'static TableDef, batch: &RecordBatch, last_seq: u64) {
    let table = lake.table(def);
    let adds = vec![table.write_file(batch, true).await.unwrap()];
    let note = CommitNote::new(lake.context.uuid(), 0);
    let draft = Draft { operation: "WRITE", adds, removes: Vec::new(), projected_to: Some(last_seq), note };
    assert_eq!(table.commit(&table.log().await.unwrap(), &draft).await.unwrap(), Put::Committed);
}

/// What all parts share.
struct History {
    causes: Vec<KnownCause>,
    /// Sums of the weights of the chronic causes, by Zipf's law.
    weights: Vec<f64>,
}

struct KnownCause {
    words: String,
    fingerprint: String,
    normalised: String,
    code: Option<Id>,
}

impl History {
    fn new() -> Self {
        const WHAT: [&str; 8] = [
            "executor ran out of memory",
            "token expired while reading",
            "schema changed in",
            "no retry policy for",
            "source files arrived late for",
            "cluster did not start for",
            "rate limit reached by",
            "run timed out in",
        ];
        let causes = (0..CAUSES).map(|number| {
            let words = format!("{} stage {} of its pipeline", WHAT[number % WHAT.len()], letters(number));
            let code = number.is_multiple_of(3).then(|| format!("cause_{number}"));
            let known = cause::identify(code.as_deref(), &words).unwrap();
            let code = code.map(|code| Id::new(code).unwrap());
            KnownCause { words, fingerprint: known.fingerprint, normalised: known.normalised, code }
        });
        let mut sum = 0.0;
        let weights = (1..=CHRONIC).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        Self { causes: causes.collect(), weights: weights.collect() }
    }

    /// The cause of an incident of some week: 3 in 100 are unknown, 62 chronic, the rest belongs to a burst.
    fn cause(&self, rng: &mut ChaCha8Rng, week: i64) -> Option<&KnownCause> {
        let dice: f64 = rng.random();
        if dice < 0.03 {
            return None;
        }
        if dice < 0.65 {
            let at = rng.random::<f64>() * self.weights.last().unwrap();
            return self.causes.get(self.weights.partition_point(|weight| *weight < at));
        }
        let begun = week - rng.random_range(0..3_i64);
        // Squared, so that some bursts are much larger than others.
        let burst = (rng.random::<f64>().powi(2) * BURSTS as f64) as u64;
        let mixed = (begun as u64).wrapping_mul(BURSTS).wrapping_add(burst).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.causes.get(CHRONIC + (mixed >> 32) as usize % (CAUSES - CHRONIC))
    }
}

/// A word of letters only: digits would be masked in the normal form of a cause.
fn letters(mut number: usize) -> String {
    let mut word = String::new();
    for _ in 0..4 {
        word.push(char::from(b'a' + (number % 20) as u8));
        number /= 20;
    }
    word
}

fn seeded(part: usize) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(0x0b5 + part as u64)
}
