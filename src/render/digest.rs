//! The weekly digest as text, Markdown and Slack blocks. JSON is the digest itself.
//!
//! [`outline`] says what stands in it, section by section; [`text`] and [`markdown`] lay that out. [`slack`] holds the
//! opening and what matters most, within the platform's limits. [`words`] is what all of them call things.

pub mod html {
    pub fn html(_: &crate::domain::digest::Digest) -> String {
        String::new()
    }
}
pub mod markdown;
mod outline;
pub mod slack;
pub mod text;
pub mod words;

#[cfg(test)]
mod tests;
