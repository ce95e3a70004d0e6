//! Names of documents in an inbox, and their names after processing. A name is the path below the inbox, with `/`.

/// The longest file name of a file system, in bytes.
const MAX_NAME: usize = 255;
/// Hexadecimal digits of a hash in a name.
const MARK: usize = 12;
/// The suffix of the reason file of a rejected file.
const REASON: &str = ".reason.json";

/// A folder of processed files beside the inbox, with a subfolder of the inbox's name. So a watcher of the inbox does not see
/// processed files, and inboxes with the same parent do not share them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultFolder {
    Done,
    Rejected,
}

impl ResultFolder {
    pub const ALL: [Self; 2] = [Self::Done, Self::Rejected];

    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "_done",
            Self::Rejected => "_rejected",
        }
    }
}

/// Returns whether a file or folder is ignored: our own folders, and hidden files that are not complete yet.
pub fn is_reserved(segment: &str) -> bool {
    segment.starts_with(['_', '.'])
}

/// Returns whether a file name is that of a document.
pub fn is_document(file: &str) -> bool {
    !is_reserved(file) && ["json", "jsonl", "ndjson"].into_iter().any(|known| has_extension(file, known))
}

/// Returns whether a file name is that of JSON Lines.
pub fn is_lines(name: &str) -> bool {
    ["jsonl", "ndjson"].into_iter().any(|known| has_extension(name, known))
}

fn has_extension(name: &str, known: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case(known))
}

/// Returns the possible names of a processed file, the best one first: its own, with the beginning of its hash, with all of its hash.
/// Each leaves room for the suffix of a reason file and never ends with it, so a file and a reason file never have the same name.
pub fn of_file(name: &str, hash: &str) -> Vec<String> {
    let (folder, file) = parts(name);
    let (stem, extension) = file.rsplit_once('.').map_or((file, ""), |(stem, _)| (stem, &file[stem.len()..]));
    candidates(folder, stem, "", extension, hash)
}

/// Returns the possible names of a rejected line of a file.
pub fn of_line(name: &str, line: u64, hash: &str) -> Vec<String> {
    let (folder, file) = parts(name);
    candidates(folder, file, &format!(".{line}"), ".json", hash)
}

/// Returns the name of the file with the reason of a rejection.
pub fn reason(name: &str) -> String {
    format!("{name}{REASON}")
}

/// Splits a name into its folder, with its slash, and its file.
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

/// Returns at most `most` bytes of a text, cut between characters.
fn beginning(text: &str, most: usize) -> &str {
    let end = (0..=text.len().min(most)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn documents_are_distinguished_from_ignored_files() {
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
    fn a_processed_file_keeps_its_name_or_gets_its_hash() {
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
