//! The hash chain that makes the audit log tamper-evident.
//!
//! `entry_hash` = lower-case hex SHA-256 over the text `prev_hash || entry`; the first `prev_hash` is 64 zeros.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::ids::sha256_hex;

/// `prev_hash` of the first row.
pub const GENESIS_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Returns the hash of an entry that follows `prev_hash`.
pub fn entry_hash(prev_hash: &str, entry: &str) -> String {
    let mut text = String::with_capacity(prev_hash.len() + entry.len());
    text.push_str(prev_hash);
    text.push_str(entry);
    sha256_hex(text)
}

/// End of the chain: `seq` and `entry_hash` of the last row. A stored head proves later that no row up to it changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// 0 on an empty log.
    pub seq: u64,
    pub hash: String,
}

impl Head {
    pub fn genesis() -> Self {
        Self { seq: 0, hash: GENESIS_HASH.into() }
    }
}

/// Writes `17:9f2c…`, the format of `audit verify --head`.
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

impl FromStr for Head {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (seq, hash) = text
            .split_once(':')
            .ok_or_else(|| format!("{text:?} is not a head; expected SEQ:HASH, as `audit verify` prints it"))?;
        let seq = seq.trim().parse().map_err(|_| format!("{seq:?} in the head is not a sequence number"))?;
        let hash = hash.trim().to_ascii_lowercase();
        if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("{hash:?} in the head is not 64 hex digits"));
        }
        Ok(Self { seq, hash })
    }
}
