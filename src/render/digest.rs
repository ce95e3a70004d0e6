//! The weekly digest for people. Its JSON is the digest itself.
//!
//! - [`outline`]: the content, section by section; [`text`] and [`markdown`] lay it out
//! - [`slack`]: the opening and the most important figures, within Slack's limits
//! - [`labels`]: names, times and definitions that all formats share
//! - [`html`]: one self-contained page for browsers, phones and mail clients; [`charts`]: its charts as inline SVG

pub mod charts;
pub mod html;
pub mod labels;
pub mod markdown;
mod outline;
pub mod slack;
pub mod text;

#[cfg(test)]
mod tests;
