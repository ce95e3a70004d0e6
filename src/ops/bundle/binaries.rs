//! The binary for each processor of Databricks compute, split into parts that the launcher joins.

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use regex::bytes::Regex;
use serde::Serialize;

use super::{BundleError, write_file};

/// No file of an app may be larger than 10 MB.
const PART_BYTES: usize = 8_000_000;
/// The newest glibc that all Databricks compute has: 2.28.
const GLIBC: (u32, u32) = (2, 28);
/// The folder of the parts, relative to the bundle folder.
const FOLDER: &str = "bundle/bin";

/// A processor of Databricks compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Processor {
    #[serde(rename = "x86_64")]
    X86_64,
    #[serde(rename = "aarch64")]
    Aarch64,
}

impl Processor {
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// Returns the name, as in `uname -m` on Linux.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// Returns the processor of this program, if it is a Linux program.
    fn own() -> Option<Self> {
        let name = if cfg!(target_os = "linux") { std::env::consts::ARCH } else { "" };
        Self::ALL.into_iter().find(|processor| processor.name() == name)
    }

    /// Returns whether a file begins with the 64-bit little-endian ELF header of this processor.
    fn is_of(self, head: &[u8]) -> bool {
        let machine = match self {
            Self::X86_64 => 62_u16,
            Self::Aarch64 => 183,
        };
        head.starts_with(b"\x7fELF\x02\x01") && head.get(18..20) == Some(&machine.to_le_bytes())
    }

    fn part_name(self, number: usize) -> String {
        format!("{}{number:02}", self.part_prefix())
    }

    fn part_prefix(self) -> String {
        format!("ops-runbook-{}.gz.", self.name())
    }
}

/// Where the parts for a processor come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BinarySource {
    /// Parts in the folder of the running program, as in the archive of a release.
    Beside,
    /// The running program.
    ThisProgram,
    /// An earlier run of this version wrote them.
    Folder,
    /// There is no binary.
    Missing,
}

/// The binary for a processor.
#[derive(Debug, Serialize)]
pub struct Binary {
    pub processor: Processor,
    pub source: BinarySource,
    pub parts: usize,
    /// The size of all parts together.
    pub bytes: u64,
    /// The required version of glibc, if Databricks compute has only an older one.
    pub needs_glibc: Option<String>,
}

/// Writes the parts for all processors into the bundle folder. Parts beside the program are preferred to the program itself.
/// Parts of another version are removed.
///
/// # Errors
/// [`BundleError`]; [`BundleError::Shape`] for parts that are not for their processor.
pub fn place(program: &Path, folder: &Path, is_same_version: bool) -> Result<Vec<Binary>, BundleError> {
    let folder = folder.join(FOLDER);
    Processor::ALL.into_iter().map(|processor| place_one(processor, program, &folder, is_same_version)).collect()
}

fn place_one(
    processor: Processor,
    program: &Path,
    folder: &Path,
    is_same_version: bool,
) -> Result<Binary, BundleError> {
    let beside = parts_in(program.parent().unwrap_or(Path::new(".")), processor)?;
    let mut needs_glibc = None;
    let (source, packed) = if !beside.is_empty() {
        (BinarySource::Beside, joined(&beside, processor)?)
    } else if Processor::own() == Some(processor) {
        let content = fs::read(program).map_err(|source| BundleError::read(program, source))?;
        needs_glibc = newest_glibc(&content).filter(|needed| *needed > GLIBC);
        (BinarySource::ThisProgram, packed(&content).map_err(|source| BundleError::read(program, source))?)
    } else {
        let here = parts_in(folder, processor)?;
        match here.is_empty() || !is_same_version {
            true => (BinarySource::Missing, Vec::new()),
            false => (BinarySource::Folder, joined(&here, processor)?),
        }
    };
    let parts = replace_parts(folder, processor, &packed)?;
    let needs_glibc = needs_glibc.map(|(major, minor)| format!("{major}.{minor}"));
    Ok(Binary { processor, source, parts, bytes: packed.len() as u64, needs_glibc })
}

/// Replaces the parts for a processor. Returns their number.
fn replace_parts(folder: &Path, processor: Processor, packed: &[u8]) -> Result<usize, BundleError> {
    for old in parts_in(folder, processor)? {
        fs::remove_file(&old).map_err(|source| BundleError::write(&old, source))?;
    }
    let parts = packed.chunks(PART_BYTES);
    let count = parts.len();
    for (number, part) in parts.enumerate() {
        write_file(&folder.join(processor.part_name(number)), part)?;
    }
    Ok(count)
}

/// Returns the parts for a processor in a folder, in order. Empty if the folder does not exist.
fn parts_in(folder: &Path, processor: Processor) -> Result<Vec<PathBuf>, BundleError> {
    let prefix = processor.part_prefix();
    let is_part = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| {
            name.strip_prefix(&prefix)
                .is_some_and(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()))
        })
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(BundleError::read(folder, source)),
    };
    let paths: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(|source| BundleError::read(folder, source))?;
    paths.retain(is_part);
    paths.sort_unstable();
    Ok(paths)
}

/// Returns the joined parts. Fails if they are not a program for the processor.
fn joined(parts: &[PathBuf], processor: Processor) -> Result<Vec<u8>, BundleError> {
    let mut packed = Vec::new();
    for part in parts {
        packed.extend(fs::read(part).map_err(|source| BundleError::read(part, source))?);
    }
    let mut head = [0; 20];
    let is_read = MultiGzDecoder::new(packed.as_slice()).read_exact(&mut head).is_ok();
    if !is_read || !processor.is_of(&head) {
        let first = parts.first().map_or(Path::new(""), PathBuf::as_path);
        return Err(BundleError::shape(first, format!("it is not part of a Linux program for {}", processor.name())));
    }
    Ok(packed)
}

fn packed(content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content)?;
    encoder.finish()
}

/// Returns the newest version of glibc whose symbols a program uses.
fn newest_glibc(content: &[u8]) -> Option<(u32, u32)> {
    let pattern = Regex::new(r"GLIBC_([0-9]{1,3})\.([0-9]{1,3})").ok()?;
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u32>().ok();
    pattern
        .captures_iter(content)
        .filter_map(|found| Some((number(found.get(1)?.as_bytes())?, number(found.get(2)?.as_bytes())?)))
        .max()
}

#[cfg(test)]
mod tests {
    use tempfile::tempdir;

    use super::*;

    fn program(machine: u8) -> Vec<u8> {
        let mut content = b"\x7fELF\x02\x01".to_vec();
        content.resize(20, 0);
        content[18] = machine;
        content
    }

    #[test]
    fn joined_parts_equal_the_program() {
        let folder = tempdir().unwrap();
        let noise: Vec<u8> = (0..600_000_u64).flat_map(|n| n.wrapping_pow(3).rotate_left(31).to_le_bytes()).collect();
        let content = [program(62), noise.repeat(4)].concat();
        let packed = packed(&content).unwrap();
        fs::write(folder.path().join("ops-runbook-x86_64.gz.07"), "of a larger one").unwrap();
        let count = replace_parts(folder.path(), Processor::X86_64, &packed).unwrap();
        let parts = parts_in(folder.path(), Processor::X86_64).unwrap();
        assert!(count > 1 && parts.len() == count, "{parts:?}");
        let mut whole = Vec::new();
        let joined = joined(&parts, Processor::X86_64).unwrap();
        MultiGzDecoder::new(joined.as_slice()).read_to_end(&mut whole).unwrap();
        assert!(whole == content);
    }

    #[test]
    fn parts_for_another_processor_are_refused() {
        let folder = tempdir().unwrap();
        let part = folder.path().join("ops-runbook-aarch64.gz.00");
        for (content, is_accepted) in
            [(packed(&program(183)), true), (packed(&program(62)), false), (Ok(b"text".to_vec()), false)]
        {
            fs::write(&part, content.unwrap()).unwrap();
            let parts = parts_in(folder.path(), Processor::Aarch64).unwrap();
            assert_eq!(joined(&parts, Processor::Aarch64).is_ok(), is_accepted);
        }
    }

    #[test]
    fn the_newest_glibc_is_found_by_number() {
        let content = [b"GLIBC_2.4\0GLIBC_2.34\0GLIBC_2.9\0".as_slice(), b"GLIBC_PRIVATE\0"].concat();
        assert_eq!(newest_glibc(&content), Some((2, 34)));
        assert_eq!(newest_glibc(b"static"), None);
    }
}
