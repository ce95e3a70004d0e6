//! Generates a lake with a history of two years directly in the projected tables. The history has 40 periods; each has its own
//! files, sorted by time, from this program's writer and commits. The audit log stays empty, so there is nothing to project and
//! nothing to verify. Readers of the other tables do not notice.
//!
//! A smaller lake has the same rows as the last periods of the larger one.

mod incidents;

use std::path::Path;

use arrow::array::RecordBatch;
use ops_runbook::{
    domain::{cause, ids::Id, time::Timestamp},
    lake::{
        Context, Lake,
        log::CommitNote,
        table::{CommitDraft, CommitResponse},
    },
    tables::{Row, TableDef, to_batch},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use incidents::Part;

/// Number of periods, 2.6 weeks each.
pub const PARTS: usize = 40;
const WEEKS: i64 = 104;
pub const WEEK_MICROS: i64 = 7 * 86_400_000_000;
/// Monday 2026-11-16, the end of the history.
const END_MICROS: i64 = 1_794_787_200_000_000;
const CAUSES: usize = 5_000;
/// Number of causes that occur all the time. The others occur in bursts of three weeks.
const CHRONIC: usize = 300;
/// Number of bursts that begin in a week.
const BURSTS: u64 = 54;

pub fn end() -> Timestamp {
    Timestamp::from_micros(END_MICROS).unwrap()
}

/// Returns the start of a lake with this many parts.
pub fn beginning(parts: usize) -> Timestamp {
    Timestamp::from_micros(END_MICROS - part_micros() * parts as i64).unwrap()
}

fn part_micros() -> i64 {
    WEEKS * WEEK_MICROS / PARTS as i64
}

/// Writes the last `parts` of the history with `rows` root causes each.
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
        // Last, because its projected seq is read for all tables.
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
    let draft = CommitDraft { operation: "WRITE", adds, removes: Vec::new(), projected_to: Some(last_seq), note };
    assert_eq!(table.commit(&table.log().await.unwrap(), &draft).await.unwrap(), CommitResponse::Committed);
}

/// The causes of all parts.
struct History {
    causes: Vec<KnownCause>,
    /// Cumulative weights of the chronic causes, by Zipf's law.
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

    /// Returns the cause of an incident in a week: 3 % are unknown, 62 % chronic, the others belong to a burst.
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

/// Returns a word of letters: digits would be masked in the normal form of a cause.
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
