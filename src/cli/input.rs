//! Reports from a file or standard input: one document, or JSON Lines of many.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use super::exit::Failure;
use crate::domain::lines::{Document, Shape, Splitter};

/// Bytes read at a time.
const PART: usize = 64 << 10;

/// What was read.
#[derive(Debug)]
pub struct Input {
    pub documents: Vec<Document>,
    pub shape: Shape,
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
        split(io::stdin().lock()).map_err(failed)
    } else {
        split(File::open(path).map_err(failed)?).map_err(failed)
    }
}

fn split(mut reader: impl Read) -> io::Result<Input> {
    let mut splitter = Splitter::new(false);
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
    Ok(Input { documents, shape })
}
