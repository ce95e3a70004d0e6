//! URLs that notifications may be sent to: `https://`, and `http://` on this machine.

use std::{fmt, str::FromStr};

use url::Url;

pub(super) use crate::domain::host::is_local;

/// The URL of a receiver. Everything except the host may be a secret and is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Url);

/// Shorter parts of a path or a query are not treated as secrets.
const SHORTEST_SECRET: usize = 12;

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Url::parse(text.trim()).map_err(|_| "it is not a URL").and_then(Self::try_from)
    }
}

impl TryFrom<Url> for Address {
    type Error = &'static str;

    fn try_from(url: Url) -> Result<Self, Self::Error> {
        let host = url.host().ok_or("it names no host")?;
        match url.scheme() {
            "https" => {}
            "http" if is_local(&host) => {}
            _ => return Err("it is not https://"),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it contains a user name or a password");
        }
        Ok(Self(url))
    }
}

impl Address {
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    pub(super) fn url(&self) -> Url {
        self.0.clone()
    }

    /// Returns the URL with `path` appended.
    pub(super) fn join(&self, path: &[&str]) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// Returns the texts of the URL that must not be shown.
    pub(super) fn secrets(&self) -> Vec<String> {
        let path = self.0.path_segments().into_iter().flatten().map(str::to_owned);
        let query = self.0.query_pairs().map(|(_, value)| value.into_owned());
        // Also in the escaped form of the URL.
        let raw = self.0.query().into_iter().flat_map(|query| query.split(['&', '='])).map(str::to_owned);
        let parts = path.chain(query).chain(raw).filter(|part| part.len() >= SHORTEST_SECRET);
        std::iter::once(self.0.to_string()).chain(parts).collect()
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({}://{}/…)", self.0.scheme(), self.host())
    }
}
