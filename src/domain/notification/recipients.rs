//! A subset of the recipients of one channel.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Maximum number of recipients named in a text.
const MAX_NAMED: usize = 5;

/// Addresses of one or more recipients of a channel, in the channel's own notation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Recipients(Vec<String>);

impl Recipients {
    /// Returns `None` for an empty list.
    pub fn new(addresses: Vec<String>) -> Option<Self> {
        (!addresses.is_empty()).then_some(Self(addresses))
    }

    pub fn contains(&self, address: &str) -> bool {
        self.0.iter().any(|one| one == address)
    }
}

impl TryFrom<Vec<String>> for Recipients {
    type Error = &'static str;

    fn try_from(addresses: Vec<String>) -> Result<Self, Self::Error> {
        Self::new(addresses).ok_or("there are no recipients")
    }
}

impl From<Recipients> for Vec<String> {
    fn from(recipients: Recipients) -> Self {
        recipients.0
    }
}

/// Writes the first few addresses and the number of the others.
impl fmt::Display for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.0.len().min(MAX_NAMED);
        f.write_str(&self.0[..named].join(", "))?;
        match self.0.len() - named {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_are_never_empty() {
        let some: Recipients = serde_json::from_str(r#"["a@example.test"]"#).unwrap();
        assert_eq!(serde_json::to_string(&some).unwrap(), r#"["a@example.test"]"#);
        assert!(some.contains("a@example.test") && !some.contains("a@example.tes"));
        assert!(serde_json::from_str::<Recipients>("[]").is_err());
        let many = Recipients::new((0..7).map(|n| format!("{n}@x")).collect()).unwrap();
        assert_eq!(many.to_string(), "0@x, 1@x, 2@x, 3@x, 4@x and 2 more");
    }
}
