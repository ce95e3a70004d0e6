//! Reports from a file or standard input: one document, or JSON Lines of many.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use serde::de::IgnoredAny;

use super::exit::Failure;
use crate::domain::report::MAX_REPORT_BYTES;

/// A document and the line it begins on.
#[derive(Debug)]
pub struct Document {
    pub line: usize,
    pub bytes: Vec<u8>,
}

/// What was read.
#[derive(Debug)]
pub enum Input {
    One(Document),
    /// JSON Lines; blank lines are left out.
    Lines(Vec<Document>),
}

/// Reads `path`, or standard input for `-`.
///
/// # Errors
/// [`Failure::Input`].
pub fn read(path: &Path) -> Result<Input, Failure> {
    let stdin = path.as_os_str() == "-";
    let what = if stdin { "standard input".to_owned() } else { path.display().to_string() };
    let failed = |source: io::Error| Failure::Input { what: what.clone(), source };
    if stdin {
        split(&mut io::stdin().lock()).map_err(failed)
    } else {
        split(&mut BufReader::new(File::open(path).map_err(failed)?)).map_err(failed)
    }
}

/// A first line that is a whole JSON value, with more behind it, means JSON Lines. No more is kept of a document than shows
/// that it is too large.
fn split(reader: &mut impl BufRead) -> io::Result<Input> {
    let mut documents = Vec::new();
    let mut line = 0;
    let mut first = Vec::new();
    while first.trim_ascii().is_empty() {
        line += 1;
        first.clear();
        if read_line(reader, &mut first)? == 0 {
            return Ok(Input::One(Document { line: 1, bytes: Vec::new() }));
        }
    }
    let begins = line;
    if serde_json::from_slice::<IgnoredAny>(&first).is_err() {
        reader.take(MAX_REPORT_BYTES as u64 + 1).read_to_end(&mut first)?;
        return Ok(Input::One(Document { line: begins, bytes: first }));
    }
    documents.push(Document { line: begins, bytes: first });
    loop {
        line += 1;
        let mut bytes = Vec::new();
        if read_line(reader, &mut bytes)? == 0 {
            break;
        }
        if !bytes.trim_ascii().is_empty() {
            documents.push(Document { line, bytes });
        }
    }
    match documents.pop() {
        Some(only) if documents.is_empty() => Ok(Input::One(only)),
        last => {
            documents.extend(last);
            Ok(Input::Lines(documents))
        }
    }
}

/// One line, cut shortly beyond the limit. Returns 0 at the end.
fn read_line(reader: &mut impl BufRead, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let limit = MAX_REPORT_BYTES as u64 + 2;
    let mut count = reader.by_ref().take(limit).read_until(b'\n', bytes)?;
    let mut ended = bytes.ends_with(b"\n") || count == 0;
    while !ended {
        let mut rest = Vec::new();
        let more = reader.by_ref().take(limit).read_until(b'\n', &mut rest)?;
        count += more;
        ended = more == 0 || rest.ends_with(b"\n");
    }
    Ok(count)
}
