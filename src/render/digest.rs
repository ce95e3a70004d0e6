//! The weekly digest, for people. JSON is the digest itself.
//!
//! - [`outline`] says what stands in it, section by section; [`text`] and [`markdown`] lay that out
//! - [`slack`] holds the opening and what matters most, within the platform's limits
//! - [`words`] is what all of them call things
//! - [`html`]: one self-contained page, good on a phone and in a mail client; [`charts`]: its charts, as inline SVG

pub mod charts;
pub mod html;
pub mod markdown;
mod outline;
pub mod slack;
pub mod text;
pub mod words;

#[cfg(test)]
mod tests;
