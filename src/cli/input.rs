//! Reads reports from a file or standard input: one document, or JSON Lines of many.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use super::exit::CommandError;
use crate::domain::json_lines::{DocumentFormat, DocumentSplitter, InputDocument};

/// Bytes per read.
const PART: usize = 64 << 10;

/// The documents of an input, and their format.
#[derive(Debug)]
pub struct ReportInput {
    pub documents: Vec<InputDocument>,
    pub shape: DocumentFormat,
}

/// Reads `path`, or standard input for `-`.
///
/// # Errors
/// [`CommandError::Input`].
pub fn read(path: &Path) -> Result<ReportInput, CommandError> {
    let stdin = path.as_os_str() == "-";
    let what = if stdin { "standard input".to_owned() } else { path.display().to_string() };
    let failed = |source: io::Error| CommandError::Input { what: what.clone(), source };
    if stdin {
        split(io::stdin().lock()).map_err(failed)
    } else {
        split(File::open(path).map_err(failed)?).map_err(failed)
    }
}

fn split(mut reader: impl Read) -> io::Result<ReportInput> {
    let mut splitter = DocumentSplitter::new(false);
    let mut documents = Vec::new();
    let mut part = vec![0; PART];
    loop {
        match reader.read(&mut part) {
            Ok(0) => break,
            Ok(count) => splitter.push(&part[..count], &mut documents),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let shape = splitter.finish(&mut documents);
    Ok(ReportInput { documents, shape })
}
