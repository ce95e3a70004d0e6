//! Concurrent and killed runs of `ingest` on one inbox.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Stdio,
    time::Instant,
};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tempfile::tempdir;

use super::{
    arguments, broken, count, hash, ingest,
    place::{Folder, Inbox},
};
use crate::{
    support::{LakeLocation, assert_intact, binary, report, sql_rows},
    wait::{eventually, output_of, repetitions},
};

/// Everything that was put into the inbox.
#[derive(Default)]
struct Dropped {
    /// Names and contents of files.
    files: BTreeMap<String, Vec<u8>>,
    good: BTreeSet<String>,
    /// Hashes of invalid documents: whole files, and lines.
    bad: BTreeSet<String>,
}

impl Dropped {
    /// Every tenth is broken, every seventh file holds three lines, the second of them broken.
    fn more(&mut self, inbox: &impl Inbox, from: usize, to: usize) {
        for n in from..to {
            let (name, text) = if n % 7 == 3 {
                let bad = broken(&format!("d{n}-bad")).to_string();
                self.bad.insert(hash(bad.as_bytes()));
                self.good.extend([format!("d{n}-1"), format!("d{n}-3")]);
                let text = format!("{}\n{bad}\n{}\n", report(&format!("d{n}-1")), report(&format!("d{n}-3")));
                (format!("d{n}.jsonl"), text)
            } else if n % 10 == 9 {
                let text = broken(&format!("d{n}")).to_string();
                self.bad.insert(hash(text.as_bytes()));
                (format!("d{n}.json"), text)
            } else {
                self.good.insert(format!("d{n}"));
                (format!("d{n}.json"), report(&format!("d{n}")).to_string())
            };
            inbox.drop(&name, text.as_bytes());
            self.files.insert(name, text.into_bytes());
        }
    }

    /// Asserts that every document was recorded or rejected once, and every file is in the right folder.
    fn assert_taken(&self, lake: &impl LakeLocation, inbox: &impl Inbox) {
        assert_eq!(inbox.left(), Vec::<String>::new());
        let files = inbox.files();
        for (name, content) in &self.files {
            let places: Vec<&String> =
                files.iter().filter(|(_, there)| *there == content).map(|(name, _)| name).collect();
            let own: Vec<&&String> = places.iter().filter(|place| place.ends_with(name.as_str())).collect();
            assert_eq!(own.len(), 1, "{name} is at {places:?}");
        }
        let reasons: BTreeSet<String> = files
            .iter()
            .filter(|(name, _)| name.ends_with(".reason.json"))
            .map(|(name, bytes)| {
                let reason: Value = serde_json::from_slice(bytes).unwrap();
                let hash_of_file = files.get(name.trim_end_matches(".reason.json")).map(|bytes| hash(bytes));
                assert_eq!(hash_of_file.as_deref(), reason["input_hash"].as_str(), "{name} has no rejected file");
                reason["input_hash"].as_str().unwrap().to_owned()
            })
            .collect();
        assert_eq!(reasons, self.bad);
        let places = files.len();
        assert_eq!(
            places,
            self.files.len() + self.files.keys().filter(|name| name.ends_with(".jsonl")).count() + self.bad.len()
        );
        assert_intact(lake, self.good.len() as u64);
        assert_eq!(count(lake, "SELECT DISTINCT input_hash FROM rejected_inputs"), self.bad.len() as u64);
        assert_eq!(count(lake, "SELECT * FROM rejected_inputs"), self.bad.len() as u64);
        let recorded: BTreeSet<String> =
            sql_rows(lake, "SELECT request_id FROM audit_log WHERE request_kind = 'record_report'")
                .iter()
                .map(|row| row["request_id"].as_str().unwrap().to_owned())
                .collect();
        assert_eq!(recorded, self.good);
    }
}

#[test]
fn three_concurrent_runs_record_everything_once() {
    let folder = tempdir().unwrap();
    assert_taken_once_by_many(&folder.path().join("lake"), &Folder::new(), 3, repetitions(120, 400));
}

pub fn assert_taken_once_by_many(lake: &impl LakeLocation, inbox: &impl Inbox, processes: usize, files: usize) {
    let mut dropped = Dropped::default();
    dropped.more(inbox, 0, files);
    let children: Vec<_> = (0..processes)
        .map(|_| {
            let mut command = binary(lake);
            command.args(arguments(inbox)).arg("--json").stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    let (mut taken, mut recorded) = (0, 0);
    for child in children {
        let output = output_of("ingest", child);
        assert!(matches!(output.status.code(), Some(0 | 6)), "{}", String::from_utf8_lossy(&output.stderr));
        if output.status.success() {
            let text = String::from_utf8(output.stdout).unwrap();
            let summary: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
            taken += summary["taken"].as_u64().unwrap();
            recorded += summary["recorded"].as_u64().unwrap();
        }
    }
    let (_, rest) = ingest(lake, inbox, &[]);
    taken += rest["taken"].as_u64().unwrap();
    recorded += rest["recorded"].as_u64().unwrap();
    dropped.assert_taken(lake, inbox);
    println!(
        "{processes} at once: {taken} files and {recorded} documents said to be taken, of {files} and {}",
        dropped.good.len()
    );
    // Concurrent moves of one object both report success; the document is recorded once.
    assert!(recorded <= dropped.good.len() as u64, "something was recorded twice");
}

#[test]
fn kills_lose_nothing_and_duplicate_nothing() {
    let folder = tempdir().unwrap();
    assert_kills_lose_nothing(&folder.path().join("lake"), &Folder::new(), repetitions(20, 120), repetitions(30, 60));
}

/// Kills runs while `files` are ingested, two at once each time: at some moment of the run, or when the first file was moved.
/// Prints how often only some of the files were moved, which depends on the machine.
pub fn assert_kills_lose_nothing(lake: &impl LakeLocation, inbox: &impl Inbox, kills_wanted: usize, files: usize) {
    let mut dice = ChaCha8Rng::seed_from_u64(11);
    let mut dropped = Dropped::default();
    dropped.more(inbox, 0, files);
    let start = Instant::now();
    ingest(lake, inbox, &[]);
    // The duration depends on the machine and its load.
    let whole = start.elapsed();
    let (mut kills, mut rounds, mut amid) = (0, 0, 0);
    while kills < kills_wanted {
        assert!(rounds < 10 * kills_wanted + 20, "{kills} kills in {rounds} rounds");
        let from = dropped.files.len();
        dropped.more(inbox, from, from + files);
        let before = inbox.done();
        let mut children: Vec<_> = (0..2)
            .map(|_| {
                let mut command = binary(lake);
                command.args(arguments(inbox)).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
            })
            .collect();
        if rounds % 2 == 0 {
            std::thread::sleep(whole.mul_f64(dice.random_range(0.1..1.5)));
        } else {
            eventually("a file is moved, or both processes end", || {
                let ended = children.iter_mut().all(|child| child.try_wait().unwrap().is_some());
                (ended || inbox.done() > before).then_some(())
            });
        }
        for child in &mut children {
            if child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                kills += 1;
            }
        }
        for mut child in children {
            child.wait().unwrap();
        }
        amid += usize::from(inbox.done() > before && !inbox.left().is_empty());
        rounds += 1;
    }
    ingest(lake, inbox, &[]);
    dropped.assert_taken(lake, inbox);
    println!("{kills} kills in {rounds} rounds, {amid} of them amid the moves; {} files", dropped.files.len());
}
