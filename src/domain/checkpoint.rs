//! A checkpoint: the head of the audit log at one moment, as the text of a signed note.
//!
//! ```text
//! ops-runbook                                     origin: the name of the key that signs
//! 17                                              rows in the log
//! nyyfLJ8snyyfLJ8snyyfLJ8snyyfLJ8snyyfLJ8snyw=    entry_hash of the last one, base64
//! chain sha256(prev_hash||entry)
//! ```
//!
//! The first three lines follow C2SP tlog-checkpoint, so tools that store and forward such files accept ours.
//! The audit log is a hash chain, not a Merkle tree. The fourth line states that, and distinguishes a checkpoint from other
//! notes of the same key.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    chain::{GENESIS_HASH, Head},
    ids::hex,
};

const CHAIN: &str = "chain sha256(prev_hash||entry)";

/// Head of an identified log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Identifies the log. By convention the name of the signing key.
    pub origin: String,
    pub head: Head,
}

/// Returns the text to sign. `None` when the hash is not 64 hex digits or the origin is not one line.
pub fn text(checkpoint: &Checkpoint) -> Option<String> {
    let Checkpoint { origin, head } = checkpoint;
    let bytes = unhex(&head.hash)?;
    let one_line = !origin.is_empty() && !origin.contains(char::is_control);
    one_line.then(|| format!("{origin}\n{}\n{}\n{CHAIN}\n", head.seq, STANDARD.encode(bytes)))
}

/// Parses a text whose signature has been verified. Lines after the fourth are ignored.
///
/// # Errors
/// A description of the invalid line.
pub fn parse(text: &str) -> Result<Checkpoint, &'static str> {
    let mut lines = text.lines();
    let origin = lines.next().filter(|line| !line.is_empty()).ok_or("its first line names no log")?;
    let size = lines.next().unwrap_or_default();
    let seq: u64 = size.parse().map_err(|_| "its second line is not a number of rows")?;
    if seq.to_string() != size {
        return Err("its second line is not a number of rows");
    }
    let hash = lines.next().and_then(|line| STANDARD.decode(line).ok()).filter(|hash| hash.len() == 32);
    let hash = hex(&hash.ok_or("its third line is not a SHA-256 hash in base64")?);
    if lines.next() != Some(CHAIN) {
        return Err("its fourth line does not identify the head of a hash chain");
    }
    if lines.any(str::is_empty) {
        return Err("it contains an empty line");
    }
    if seq == 0 && hash != GENESIS_HASH {
        return Err("the hash is not that of an empty log");
    }
    Ok(Checkpoint { origin: origin.into(), head: Head { seq, hash } })
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let whole = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let bytes = (0..32).map(|at| u8::from_str_radix(digits.get(at * 2..at * 2 + 2)?, 16).ok());
    if whole { bytes.collect() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: "ops-runbook".into(), head: Head { seq: 17, hash: "9f2c".repeat(16) } }
    }

    #[test]
    fn a_checkpoint_is_four_lines() {
        insta::assert_snapshot!(text(&checkpoint()).unwrap(), @"
        ops-runbook
        17
        nyyfLJ8snyyfLJ8snyyfLJ8snyyfLJ8snyyfLJ8snyw=
        chain sha256(prev_hash||entry)
        ");
        let genesis = Checkpoint { head: Head::genesis(), ..checkpoint() };
        assert_eq!(parse(&text(&genesis).unwrap()), Ok(genesis));
    }

    #[test]
    fn the_error_for_an_invalid_checkpoint_names_the_line() {
        let whole = text(&checkpoint()).unwrap();
        assert_eq!(parse(&format!("{whole}an extension\n")), Ok(checkpoint()));
        for (text, why) in [
            (String::new(), "first line"),
            (format!("\n{whole}"), "first line"),
            (whole.replace("17", "017"), "second line"),
            (whole.replace("17", "+17"), "second line"),
            (whole.replace("17", "18446744073709551616"), "second line"),
            (whole.replace("nyw=", ""), "third line"),
            (whole.replace("nyw=", "nyx="), "third line"),
            (whole.replace("chain", "tree"), "fourth line"),
            (whole.lines().take(3).collect::<Vec<_>>().join("\n"), "fourth line"),
            (whole.clone() + "\nx\n", "empty line"),
            (whole.replace("17", "0"), "empty log"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(why), "{text:?}: {error}");
        }
        assert_eq!(super::text(&Checkpoint { origin: "a\nb".into(), ..checkpoint() }), None);
        assert_eq!(super::text(&Checkpoint { head: Head { seq: 1, hash: "é".repeat(32) }, ..checkpoint() }), None);
    }

    proptest! {
        #[test]
        fn parsing_returns_the_written_checkpoint(origin in "[a-z/]{1,9}", seq in 1u64.., hash in "[0-9a-f]{64}") {
            let checkpoint = Checkpoint { origin, head: Head { seq, hash } };
            prop_assert_eq!(parse(&text(&checkpoint).unwrap()), Ok(checkpoint));
        }
    }
}
