use std::{
    fs::{File, FileTimes},
    time::Duration,
};

use tempfile::{TempDir, tempdir};

use super::*;

struct Inbox {
    folder: TempDir,
}

impl Inbox {
    fn with(files: &[(&str, &str)]) -> Self {
        let inbox = Self { folder: tempdir().unwrap() };
        fs::create_dir(inbox.path("")).unwrap();
        for (name, text) in files {
            inbox.write(name, text);
        }
        inbox
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("in").join(name)
    }

    fn inbox(&self) -> FolderInbox {
        FolderInbox::new(self.path("")).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn request(&self, name: &str, reason: Option<&str>) -> MoveRequest {
        let (_, seen) = open(&self.path(name)).unwrap();
        MoveRequest {
            path: self.path(name),
            name: name.into(),
            seen,
            hash: hash_of(&self.path(name)).unwrap(),
            into: if reason.is_some() { ResultFolder::Rejected } else { ResultFolder::Done },
            reason: reason.map(str::to_owned),
        }
    }

    fn move_file(&self, request: &MoveRequest) -> MoveResult {
        move_file(&self.inbox(), request).unwrap()
    }

    fn names(&self) -> Vec<String> {
        fn walk(folder: &Path, prefix: &str, names: &mut Vec<String>) {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
                if entry.path().is_dir() { walk(&entry.path(), &format!("{name}/"), names) } else { names.push(name) }
            }
        }
        let mut names = Vec::new();
        walk(self.folder.path(), "", &mut names);
        names.sort();
        names
    }
}

#[test]
fn a_file_that_changed_after_it_was_read_is_not_moved() {
    let inbox = Inbox::with(&[("a.json", "read")]);
    let request = inbox.request("a.json", None);
    inbox.write("a.json", "not read");
    assert_eq!(inbox.move_file(&request), MoveResult::Changed);
    assert_eq!(inbox.names(), ["in/a.json"]);
}

#[test]
fn a_file_that_differs_only_in_content_is_moved_back() {
    for reason in [None, Some("because")] {
        let inbox = Inbox::with(&[("a.json", "read")]);
        let mut request = inbox.request("a.json", reason);
        inbox.write("a.json", "meanwhile");
        request.seen = inbox.request("a.json", reason).seen;
        assert_eq!(inbox.move_file(&request), MoveResult::Changed);
        assert_eq!(inbox.names(), ["in/a.json"]);
        assert_eq!(fs::read_to_string(inbox.path("a.json")).unwrap(), "meanwhile");
    }
}

#[test]
fn a_file_that_is_moved_back_replaces_no_newer_file() {
    let inbox = Inbox::with(&[("a.json", "newest"), ("../_done/in/a.json", "between")]);
    put_back(&inbox.path(""), &inbox.path("a.json"), "a.json", &inbox.path("../_done/in/a.json")).unwrap();
    let names = inbox.names();
    assert_eq!(names.len(), 2);
    assert_eq!(fs::read_to_string(inbox.path("a.json")).unwrap(), "newest");
    assert!(names.iter().all(|name| is_document(name)), "{names:?}");
}

#[test]
fn the_second_move_finds_that_the_file_is_gone() {
    let inbox = Inbox::with(&[("a.json", "read")]);
    let (first, second) = (inbox.request("a.json", Some("because")), inbox.request("a.json", Some("because")));
    assert_eq!(inbox.move_file(&first), MoveResult::Moved);
    assert_eq!(inbox.move_file(&second), MoveResult::Gone);
    assert_eq!(inbox.names(), ["_rejected/in/a.json", "_rejected/in/a.json.reason.json"]);
}

#[test]
fn a_reason_from_before_a_crash_is_reused() {
    let inbox = Inbox::with(&[("a.json", "read"), ("../_rejected/in/a.json.reason.json", "because")]);
    assert_eq!(inbox.move_file(&inbox.request("a.json", Some("because"))), MoveResult::Moved);
    assert_eq!(inbox.names(), ["_rejected/in/a.json", "_rejected/in/a.json.reason.json"]);
}

#[tokio::test]
async fn a_file_is_read_to_its_end_in_parts() {
    let inbox = Inbox::with(&[]);
    for size in [0, 1, PART - 1, PART, PART + 1, 2 * PART] {
        let text = "x".repeat(size);
        inbox.write("a.json", &text);
        let ReadResult::Opened(opened) = inbox.inbox().read(inbox.path("a.json")).await.unwrap() else {
            panic!("it is there")
        };
        let parts: Vec<Bytes> = futures::TryStreamExt::try_collect(opened.parts).await.unwrap();
        assert_eq!((opened.seen.size, parts.concat().len()), (size as u64, size));
    }
    let gone = inbox.inbox().read(inbox.path("b.json")).await.unwrap();
    assert!(matches!(gone, ReadResult::Gone));
}

#[test]
fn versions_differ_in_time_size_and_file() {
    let inbox = Inbox::with(&[("a.json", "one"), ("b.json", "one")]);
    let at = |name: &str, seconds: u64| {
        let file = File::options().write(true).open(inbox.path(name)).unwrap();
        let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds);
        file.set_times(FileTimes::new().set_modified(moment)).unwrap();
        open(&inbox.path(name)).unwrap().1
    };
    let first = at("a.json", 0);
    assert_eq!(first, at("a.json", 0));
    assert_ne!(first, at("a.json", 1));
    assert_ne!(first, at("b.json", 0), "another file with the same size and time");
}
