//! Which names are documents, and what they are called once they are taken. A name is the path below the inbox, with `/`.

/// What a file system takes as one name, in bytes.
const MAX_NAME: usize = 255;
/// Hexadecimal digits of a hash in a name.
const MARK: usize = 12;
/// Behind the name of what was rejected.
const REASON: &str = ".reason.json";

/// Where what was taken goes: into a folder of the inbox's name, in a folder beside the inbox. So nothing that watches the inbox
/// and what is below it sees files arrive there, and inboxes in one folder keep theirs apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folder {
    Done,
    Rejected,
}

impl Folder {
    pub const ALL: [Self; 2] = [Self::Done, Self::Rejected];

    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "_done",
            Self::Rejected => "_rejected",
        }
    }
}

/// Left alone, file or folder: what is ours, and what others hide until it is whole.
pub fn is_reserved(segment: &str) -> bool {
    segment.starts_with(['_', '.'])
}

/// Whether the last part of a name says that it is a document.
pub fn is_document(file: &str) -> bool {
    !is_reserved(file) && ["json", "jsonl", "ndjson"].into_iter().any(|known| has_extension(file, known))
}

/// Whether it is called JSON Lines.
pub fn is_lines(name: &str) -> bool {
    ["jsonl", "ndjson"].into_iter().any(|known| has_extension(name, known))
}

fn has_extension(name: &str, known: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case(known))
}

/// Where a file may go, the best name first: its own, then with the beginning of its hash, then with all of it. Leaves room
/// for the reason, and never ends like one: what is taken and why something was rejected are never after the same name.
pub fn of_file(name: &str, hash: &str) -> Vec<String> {
    let (folder, file) = parts(name);
    let (stem, extension) = file.rsplit_once('.').map_or((file, ""), |(stem, _)| (stem, &file[stem.len()..]));
    candidates(folder, stem, "", extension, hash)
}

/// Where a line of a file may go.
pub fn of_line(name: &str, line: u64, hash: &str) -> Vec<String> {
    let (folder, file) = parts(name);
    candidates(folder, file, &format!(".{line}"), ".json", hash)
}

/// The file that says why another was rejected.
pub fn reason(name: &str) -> String {
    format!("{name}{REASON}")
}

/// With its slash.
fn parts(name: &str) -> (&str, &str) {
    name.split_at(name.rfind('/').map_or(0, |slash| slash + 1))
}

fn candidates(folder: &str, stem: &str, line: &str, extension: &str, hash: &str) -> Vec<String> {
    let own = format!("{folder}{stem}{line}{extension}");
    let fits = own.len() - folder.len() + REASON.len() <= MAX_NAME && !own.to_ascii_lowercase().ends_with(REASON);
    let marked = |mark: &str| {
        let others = line.len() + 1 + mark.len() + extension.len() + REASON.len();
        let stem = beginning(stem, MAX_NAME.saturating_sub(others));
        format!("{folder}{stem}{line}.{mark}{extension}")
    };
    let marks = [marked(hash.get(..MARK).unwrap_or(hash)), marked(hash)];
    fits.then_some(own).into_iter().chain(marks).collect()
}

/// No more than so many bytes of a text, and no part of a character.
fn beginning(text: &str, most: usize) -> &str {
    let end = (0..=text.len().min(most)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn documents_are_told_from_what_is_left_alone() {
        for file in ["a.json", "A.JSON", "a.jsonl", "a.ndjson", "a b.json", "a.reason.json", "\u{202e}a.json"] {
            assert!(is_document(file), "{file}");
        }
        for file in [
            "a.json.tmp",
            "a.json.partial",
            ".a.json.crc",
            ".a.json",
            "_SUCCESS",
            "_a.json",
            "a.json~",
            "a.txt",
            "json",
        ] {
            assert!(!is_document(file), "{file}");
        }
        assert!(is_lines("team/a.JSONL") && is_lines("a.ndjson") && !is_lines("a.json"));
    }

    #[test]
    fn what_is_taken_keeps_its_name_or_gets_its_hash() {
        let hash = "9f2c".repeat(16);
        assert_eq!(of_file("a.json", &hash)[..2], ["a.json", "a.9f2c9f2c9f2c.json"]);
        assert_eq!(of_file("team/a.json", &hash)[..2], ["team/a.json", "team/a.9f2c9f2c9f2c.json"]);
        assert_eq!(of_line("team/a.jsonl", 7, &hash)[..2], ["team/a.jsonl.7.json", "team/a.jsonl.7.9f2c9f2c9f2c.json"]);
        assert_eq!(of_file("a.json.Reason.json", &hash)[0], "a.json.Reason.9f2c9f2c9f2c.json");
        let long = format!("{}.json", "é".repeat(125));
        assert_eq!(long.len(), MAX_NAME);
        let names = of_file(&long, &hash);
        assert!(names[0].ends_with(".9f2c9f2c9f2c.json"), "{names:?}");
    }

    proptest! {
        #[test]
        fn every_name_fits_and_stays_a_document(stem in "\\PC{1,200}", line in 1_u64..) {
            let file: String = stem.replace(['/', '\0'], "x");
            let hash = "9f2c".repeat(16);
            for name in of_file(&format!("{file}.json"), &hash).into_iter().chain(of_line(&file, line, &hash)) {
                prop_assert!(reason(&name).len() <= MAX_NAME, "{}", name);
                prop_assert!(name.ends_with(".json") && !name.ends_with(REASON));
            }
        }
    }
}
