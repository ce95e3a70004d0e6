//! Questions about a long history. What is asked of the end of it must not cost more when it is longer; what is asked of all
//! of it is asked of other engines too, on the same files and the same two processors.
//!
//! `OPS_RUNBOOK_BENCH_FOLDER` names a folder in which the lakes are made once and kept.

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
        engine::{Engine, Value},
        recurrence::{recorded, trailing},
        weekly::{self, WeekParameters},
    },
    domain::{
        digest::open::OpenBase,
        recurrence::{
            Rule,
            stretch::{self, Reach},
        },
        week::Week,
    },
    lake::Lake,
};
use serde::{Deserialize, Serialize};
use tempfile::tempdir;

use crate::{generate, scale, support};

const WEEKLY_HISTORY: &str = include_str!("weekly_history.sql");
/// Of each question, after one that warms up.
const RUNS: usize = 3;
const TRAILING_DAYS: i64 = 28;
/// What a child process is asked with instead of names of benchmarks.
pub const ASK: &str = "ask";

/// What a child process tells of one question.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    engine: String,
    /// Seconds, in the order of the runs; the first one warms up.
    walls: Vec<f64>,
    rows: usize,
    /// As tests/peers/reading.py defines it.
    digest: String,
    /// Resident set at its peak, KiB; as it tells itself when most of it is in a child of its own.
    #[serde(default)]
    peak: u64,
}

impl Answer {
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

/// What is asked of the end of the history: of the short one and of the long one.
fn at_the_end(lakes: &[PathBuf; 2], names: &[String; 2]) {
    println!("\n## questions about the end of a history (median of {RUNS} runs after one, seconds; peak memory, MB)\n");
    println!("| question | {} root causes | {} | ratio | MB | MB |", names[0], names[1]);
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for (question, words) in [
        ("trailing", "recurrence of the last 28 days"),
        ("reaching", "the same, with all that goes on since before"),
        ("digest", "figures of the last week, after those of the week before"),
        ("first-digest", "figures of the last week, without others"),
    ] {
        let [short, long] = [0, 1].map(|at| ours(question, &lakes[at]));
        let (a, b) = (short.median(), long.median());
        let (peak_a, peak_b) = (short.peak / 1024, long.peak / 1024);
        println!("| {words} | {a:.2} | {b:.2} | {:.2} | {peak_a} | {peak_b} |", b / a);
    }
}

/// What is asked of the whole history, of all engines. Answers are compared before anything is printed.
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

fn ours(question: &str, lake: &Path) -> Answer {
    let mut command = vec![std::env::current_exe().unwrap().display().to_string()];
    command.extend([ASK, question, lake.to_str().unwrap()].map(str::to_owned));
    measured(&command)
}

/// Peers run in Python: DuckDB and Spark as in the tests, Polars in an environment of its own.
fn peer(engine: &str, question: &str, lake: &Path) -> Answer {
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

/// Made once, beside that of the tests.
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

/// Runs a child on two processors and reads its answer; GNU time tells its peak memory.
fn measured(arguments: &[String]) -> Answer {
    let told = tempfile::NamedTempFile::new().unwrap();
    let output = Command::new("/usr/bin/time")
        .args(["-f", "%M", "-o"])
        .arg(told.path())
        .args(["taskset", "-c", "0,1"])
        .args(arguments)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("needs GNU time and taskset (Debian: apt-get install time util-linux)");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let answer: Answer = serde_json::from_slice(&output.stdout).unwrap();
    let peak: u64 = fs::read_to_string(told.path()).unwrap().trim().parse().unwrap();
    Answer { peak: answer.peak.max(peak), ..answer }
}

/// The child's side: asks this program's engine, and prints an [`Answer`].
pub async fn ask(arguments: &[String]) {
    let [question, folder] = arguments else { panic!("ask QUESTION LAKE") };
    let lake = support::lake_at(Path::new(folder));
    let version = env!("CARGO_PKG_VERSION");
    let mut answer =
        Answer { engine: format!("ops-runbook {version}"), walls: Vec::new(), rows: 0, digest: String::new(), peak: 0 };
    let base = if question == "digest" { Some(week_before(&lake).await) } else { None };
    for _ in 0..=RUNS {
        let start = Instant::now();
        let (rows, digest) = once(&lake, question, base.as_ref(), &start, &mut answer.walls).await;
        assert!(answer.digest.is_empty() || answer.digest == digest, "each run answers alike");
        (answer.rows, answer.digest) = (rows, digest);
    }
    println!("{}", serde_json::to_string(&answer).unwrap());
}

async fn once(
    lake: &Lake,
    question: &str,
    base: Option<&OpenBase>,
    start: &Instant,
    walls: &mut Vec<f64>,
) -> (usize, String) {
    let engine = Engine::Local(lake);
    let mut over = || walls.push(start.elapsed().as_secs_f64());
    let as_of = generate::end();
    let trailing_since = as_of.plus(-TimeDelta::days(TRAILING_DAYS));
    match question {
        "recurrence" | "trailing" => {
            let since = if question == "trailing" { trailing_since } else { stretch::beginning() };
            let rule = Rule::DEFAULT;
            let parameters: Vec<(String, Value)> = vec![
                ("since".into(), since.into()),
                ("as_of".into(), as_of.into()),
                ("threshold".into(), rule.threshold.into()),
                ("window_hours".into(), rule.window_hours.into()),
            ];
            let (_, batches) = engine.run("recurrence", &parameters).await.unwrap();
            over();
            support::digest(&batches)
        }
        "weekly" => {
            let (_, batches) = engine.run(WEEKLY_HISTORY, &[]).await.unwrap();
            over();
            support::digest(&batches)
        }
        "reaching" => {
            let recorded = recorded(engine).await.unwrap();
            let reach = Reach::back_to(trailing_since, None, recorded.iter().map(|one| (one.cause.as_str(), one)));
            let earliest = generate::beginning(generate::PARTS);
            let found = trailing::episodes_within(engine, as_of, Rule::DEFAULT, &reach, earliest).await.unwrap();
            over();
            (found.len(), found.iter().map(|one| one.occurrences).sum::<u64>().to_string())
        }
        _ => {
            let figures = weekly::figures(engine, &parameters_of(last_week()), base).await.unwrap();
            over();
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

/// What a digest of the week before left behind.
async fn week_before(lake: &Lake) -> OpenBase {
    let at = parameters_of(last_week().earlier(1));
    let until = at.week.end();
    let open = weekly::open_incidents(Engine::Local(lake), &at, None).await.unwrap();
    let sql = "SELECT max(seq) AS seq FROM incident_states WHERE recorded_at < :until";
    let seq: Vec<BTreeMap<String, u64>> =
        Engine::Local(lake).rows(sql, &[("until".into(), until.into())]).await.unwrap();
    OpenBase { until, seq: seq[0]["seq"], open }
}
