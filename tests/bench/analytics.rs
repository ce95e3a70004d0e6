//! Benchmarks of queries over a long history. The cost of queries about its end must not depend on its length. Queries about the
//! whole history also run on other engines, on the same files and the same two processors.
//!
//! `OPS_RUNBOOK_BENCH_FOLDER` names a folder in which the lakes are created once and kept.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use chrono::TimeDelta;
use ops_runbook::{
    analytics::{
        engine::{Engine, ParameterValue},
        recurrence::{recorded, trailing},
        weekly::{self, WeekParameters},
    },
    domain::{
        digest::open::EarlierOpenIncidents,
        recurrence::{
            RecurrenceRule,
            time_range::{self, CauseRanges},
        },
        week::Week,
    },
    lake::Lake,
};
use serde::{Deserialize, Serialize};
use tempfile::tempdir;

use crate::{generate, scale, support};

const WEEKLY_HISTORY: &str = include_str!("weekly_history.sql");
/// Number of runs of each query, after a warm-up run.
const RUNS: usize = 3;
const TRAILING_DAYS: i64 = 28;
/// The first argument of a child process, in place of the names of benchmarks.
pub const ASK: &str = "ask";

/// The measurement of one query by a child process.
#[derive(Debug, Serialize, Deserialize)]
struct Measurement {
    engine: String,
    /// Seconds, in the order of the runs; the first is the warm-up.
    walls: Vec<f64>,
    rows: usize,
    /// Checksum of the rows, as defined in tests/peers/reading.py.
    digest: String,
    /// Peak resident set, KiB. The process reports it if most of it is in its own child.
    #[serde(default)]
    peak: u64,
}

impl Measurement {
    fn median(&self) -> f64 {
        let mut walls = self.walls[1..].to_vec();
        walls.sort_by(f64::total_cmp);
        walls[walls.len() / 2]
    }
}

pub async fn run() {
    let rows = scale(10_000_000) / generate::PARTS;
    let made = tempdir().unwrap();
    let folder = std::env::var_os("OPS_RUNBOOK_BENCH_FOLDER").map_or_else(|| made.path().to_owned(), PathBuf::from);
    let (short, long) = (generate::PARTS / 10, generate::PARTS);
    let lakes = [lake(&folder, short, rows).await, lake(&folder, long, rows).await];
    let names = [short, long].map(|parts| million(parts * rows));
    at_the_end(&lakes, &names);
    whole_history(&lakes[1], &names[1]);
}

fn million(rows: usize) -> String {
    format!("{} million", rows as f64 / 1e6)
}

async fn lake(folder: &Path, parts: usize, rows: usize) -> PathBuf {
    let lake = folder.join(format!("lake-{parts}x{rows}"));
    let complete = lake.join("complete");
    if !complete.exists() {
        let _ = fs::remove_dir_all(&lake);
        fs::create_dir_all(&lake).unwrap();
        let start = Instant::now();
        generate::lake(&lake, parts, rows).await;
        fs::write(complete, "").unwrap();
        println!("{} root causes made in {:.0} s", million(parts * rows), start.elapsed().as_secs_f64());
    }
    lake
}

/// Measures queries about the end of the history, on the short and the long one.
fn at_the_end(lakes: &[PathBuf; 2], names: &[String; 2]) {
    println!("\n## questions about the end of a history (median of {RUNS} runs after one, seconds; peak memory, MB)\n");
    println!("| question | {} root causes | {} | ratio | MB | MB |", names[0], names[1]);
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for (question, words) in [
        ("trailing", "recurrence of the last 28 days"),
        ("reaching", "the same, with episodes that started earlier"),
        ("digest", "figures of the last week, after the previous digest"),
        ("first-digest", "figures of the last week, without an earlier digest"),
    ] {
        let [short, long] = [0, 1].map(|at| ours(question, &lakes[at]));
        let (a, b) = (short.median(), long.median());
        let (peak_a, peak_b) = (short.peak / 1024, long.peak / 1024);
        println!("| {words} | {a:.2} | {b:.2} | {:.2} | {peak_a} | {peak_b} |", b / a);
    }
}

/// Measures queries about the whole history on all engines, and compares the results.
fn whole_history(lake: &Path, name: &str) {
    for (question, words) in [("recurrence", "all recurrence episodes"), ("weekly", "incidents of every week by type")]
    {
        let mine = ours(question, lake);
        println!("\n## {words}, {name} root causes (median of {RUNS} runs after one, seconds)\n");
        println!("| engine | seconds | ratio to ours | first run | peak memory, MB | rows |");
        println!("| --- | ---: | ---: | ---: | ---: | ---: |");
        let others = ["duckdb", "polars", "spark"].map(|engine| peer(engine, question, lake));
        for other in &others {
            assert_eq!((other.rows, &other.digest), (mine.rows, &mine.digest), "{} answers differently", other.engine);
        }
        for answer in [&mine].into_iter().chain(&others) {
            let (engine, median, peak) = (&answer.engine, answer.median(), answer.peak / 1024);
            let ratio = median / mine.median();
            println!("| {engine} | {median:.2} | {ratio:.2} | {:.2} | {peak} | {} |", answer.walls[0], answer.rows);
        }
    }
}

fn ours(question: &str, lake: &Path) -> Measurement {
    let mut command = vec![std::env::current_exe().unwrap().display().to_string()];
    command.extend([ASK, question, lake.to_str().unwrap()].map(str::to_owned));
    measured(&command)
}

/// Measures a peer in Python: DuckDB and Spark in the tests' environments, Polars in its own.
fn peer(engine: &str, question: &str, lake: &Path) -> Measurement {
    let root = env!("CARGO_MANIFEST_DIR");
    let python = match engine {
        "polars" => own_python(root),
        _ => crate::peer::environment(engine).join("bin/python").display().to_string(),
    };
    let script = format!("{root}/tests/peers/bench_{engine}.py");
    let arguments =
        [python, script, lake.display().to_string(), root.to_owned(), question.to_owned(), RUNS.to_string()];
    measured(&arguments)
}

/// Returns the Python of the benchmarks' environment, which is created once.
fn own_python(root: &str) -> String {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"), PathBuf::from);
    let folder = cache.join("ops-runbook/bench");
    let python = folder.join("bin/python");
    let requirements = format!("{root}/tests/bench/requirements.txt");
    let wanted = fs::read_to_string(&requirements).unwrap();
    let complete = folder.join("complete");
    if fs::read_to_string(&complete).ok().as_ref() != Some(&wanted) {
        run_to_end(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        run_to_end(Command::new(&python).args(["-m", "pip", "install", "-q", "-r", &requirements]));
        fs::write(complete, wanted).unwrap();
    }
    python.display().to_string()
}

fn run_to_end(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

/// Runs a child process on two processors and parses its output. Adds its peak memory from GNU time.
fn measured(arguments: &[String]) -> Measurement {
    let peak_file = tempfile::NamedTempFile::new().unwrap();
    let output = Command::new("/usr/bin/time")
        .args(["-f", "%M", "-o"])
        .arg(peak_file.path())
        .args(["taskset", "-c", "0,1"])
        .args(arguments)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("needs GNU time and taskset (Debian: apt-get install time util-linux)");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let answer: Measurement = serde_json::from_slice(&output.stdout).unwrap();
    let peak: u64 = fs::read_to_string(peak_file.path()).unwrap().trim().parse().unwrap();
    Measurement { peak: answer.peak.max(peak), ..answer }
}

/// Runs in the child process: measures a query on this program's engine, and prints a [`Measurement`].
pub async fn ask(arguments: &[String]) {
    let [question, folder] = arguments else { panic!("ask QUESTION LAKE") };
    let lake = support::lake_at(Path::new(folder));
    let version = env!("CARGO_PKG_VERSION");
    let mut answer = Measurement {
        engine: format!("ops-runbook {version}"),
        walls: Vec::new(),
        rows: 0,
        digest: String::new(),
        peak: 0,
    };
    let base = if question == "digest" { Some(week_before(&lake).await) } else { None };
    for _ in 0..=RUNS {
        let start = Instant::now();
        let (rows, digest) = once(&lake, question, base.as_ref(), &start, &mut answer.walls).await;
        assert!(answer.digest.is_empty() || answer.digest == digest, "runs return different results");
        (answer.rows, answer.digest) = (rows, digest);
    }
    println!("{}", serde_json::to_string(&answer).unwrap());
}

async fn once(
    lake: &Lake,
    question: &str,
    base: Option<&EarlierOpenIncidents>,
    start: &Instant,
    walls: &mut Vec<f64>,
) -> (usize, String) {
    let engine = Engine::Local(lake);
    let mut finish = || walls.push(start.elapsed().as_secs_f64());
    let as_of = generate::end();
    let trailing_since = as_of.plus(-TimeDelta::days(TRAILING_DAYS));
    match question {
        "recurrence" | "trailing" => {
            let since = if question == "trailing" { trailing_since } else { time_range::beginning() };
            let rule = RecurrenceRule::DEFAULT;
            let parameters: Vec<(String, ParameterValue)> = vec![
                ("since".into(), since.into()),
                ("as_of".into(), as_of.into()),
                ("threshold".into(), rule.threshold.into()),
                ("window_hours".into(), rule.window_hours.into()),
            ];
            let (_, batches) = engine.run("recurrence", &parameters).await.unwrap();
            finish();
            support::digest(&batches)
        }
        "weekly" => {
            let (_, batches) = engine.run(WEEKLY_HISTORY, &[]).await.unwrap();
            finish();
            support::digest(&batches)
        }
        "reaching" => {
            let recorded = recorded(engine).await.unwrap();
            let ranges =
                CauseRanges::starting_at(trailing_since, None, recorded.iter().map(|one| (one.cause.as_str(), one)));
            let earliest = generate::beginning(generate::PARTS);
            let found =
                trailing::episodes_within(engine, as_of, RecurrenceRule::DEFAULT, &ranges, earliest).await.unwrap();
            finish();
            (found.len(), found.iter().map(|one| one.occurrences).sum::<u64>().to_string())
        }
        _ => {
            let figures = weekly::figures(engine, &parameters_of(last_week()), base).await.unwrap();
            finish();
            (figures.counts.len(), serde_json::to_string(&figures).unwrap())
        }
    }
}

fn last_week() -> Week {
    Week::last_complete(generate::end(), chrono_tz::Tz::UTC)
}

fn parameters_of(week: Week) -> WeekParameters {
    WeekParameters { week, known_from: generate::beginning(generate::PARTS) }
}

/// Returns the open incidents of the previous week, as its digest records them.
async fn week_before(lake: &Lake) -> EarlierOpenIncidents {
    let at = parameters_of(last_week().earlier(1));
    let until = at.week.end();
    let open = weekly::open_incidents(Engine::Local(lake), &at, None).await.unwrap();
    let sql = "SELECT max(seq) AS seq FROM incident_states WHERE recorded_at < :until";
    let seq: Vec<BTreeMap<String, u64>> =
        Engine::Local(lake).rows(sql, &[("until".into(), until.into())]).await.unwrap();
    EarlierOpenIncidents { until, seq: seq[0]["seq"], open }
}
