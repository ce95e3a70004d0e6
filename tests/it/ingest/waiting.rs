//! Files that another process is still writing.

use std::{
    fs::{File, FileTimes},
    io::Write,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, SystemTime},
};

use tempfile::tempdir;

use super::{
    counts, ingest,
    place::{Folder, Inbox},
};
use crate::support::{assert_intact, json_lines, report};

#[test]
fn a_truncated_file_waits_until_it_is_complete() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let inbox = Folder::new();
    let whole = report("late").to_string();
    let lines = format!("{}\n{}", report("l1"), report("l2"));
    inbox.drop("one.json", &whole.as_bytes()[..200]);
    inbox.drop("empty.json", b"");
    inbox.drop("lines.jsonl", &lines.as_bytes()[..lines.len() - 30]);
    inbox.drop("good.json", report("good").to_string().as_bytes());
    let (rejections, summary) = ingest(&lake, &inbox, &[]);
    assert_eq!(counts(&summary), [1, 2, 0, 0, 3, 0], "{rejections:?}");
    assert_eq!(inbox.left(), ["empty.json", "lines.jsonl", "one.json"]);

    inbox.drop("one.json", whole.as_bytes());
    inbox.drop("empty.json", report("filled").to_string().as_bytes());
    inbox.drop("lines.jsonl", lines.as_bytes());
    let (_, summary) = ingest(&lake, &inbox, &[]);
    assert_eq!(counts(&summary), [3, 3, 1, 0, 0, 0]);
    assert!(inbox.left().is_empty());
    assert_intact(&lake, 5);
}

#[test]
fn a_file_that_stays_truncated_is_rejected_later() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let inbox = Folder::new();
    inbox.drop("one.json", &report("late").to_string().as_bytes()[..200]);
    inbox.drop("lines.jsonl", format!("{}\n{{\"a\":", report("l1")).as_bytes());
    let age = |name: &str, seconds: u64| {
        let then = SystemTime::now() - Duration::from_secs(seconds);
        let file = File::options().write(true).open(inbox.path().join(name)).unwrap();
        file.set_times(FileTimes::new().set_modified(then)).unwrap();
    };
    age("one.json", 299 - 30);
    age("lines.jsonl", 301);
    let (rejections, summary) = ingest(&lake, &inbox, &[]);
    assert_eq!(counts(&summary), [1, 1, 0, 1, 1, 0], "{rejections:?}");
    assert_eq!(rejections[0]["line"], 2);
    age("one.json", 301);
    let (rejections, summary) = ingest(&lake, &inbox, &[]);
    assert_eq!(counts(&summary), [1, 0, 0, 1, 0, 0]);
    assert!(rejections[0]["problems"][0]["hint"].as_str().unwrap().contains("cut off"), "{rejections:?}");
    assert!(inbox.left().is_empty());
}

#[test]
fn a_recently_changed_file_is_checked_again_before_it_is_ingested() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let inbox = Folder::new();
    let path = inbox.path().join("slow.jsonl");
    inbox.drop("slow.jsonl", b"");
    inbox.drop("done.json", report("done").to_string().as_bytes());
    let uri = inbox.uri();
    let ingest = || json_lines(&lake, &["ingest", "--inbox", &uri, "--settle-seconds", "2"]).pop().unwrap();
    let is_done = AtomicBool::new(false);
    // A writer adds lines until the first run has ended; the file looks complete at every moment.
    let written = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut file = File::options().append(true).open(path).unwrap();
            let mut written = 0;
            while !is_done.load(Ordering::Relaxed) {
                let line = format!("{}\n", report(&format!("s{written}")));
                file.write_all(line.as_bytes()).unwrap();
                written += 1;
                thread::sleep(Duration::from_millis(100));
            }
            written
        });
        let summary = std::panic::catch_unwind(ingest);
        is_done.store(true, Ordering::Relaxed);
        let summary = summary.unwrap();
        assert_eq!(counts(&summary), [1, 1, 0, 0, 1, 0], "{summary}");
        assert_eq!(inbox.left(), ["slow.jsonl"]);
        writer.join().unwrap()
    });
    let summary = ingest();
    assert_eq!(counts(&summary), [1, written, 0, 0, 0, 0], "{summary}");
    assert_intact(&lake, written + 1);
}
