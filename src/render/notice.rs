//! What channels are told: notices as the payloads of services, and as mail.
//!
//! - [`said`] is what a notice says, before a format is chosen; [`details`] the same for programs
//! - [`pagerduty`], [`slack`], [`teams`], [`cloudevents`]: what is sent over HTTP as JSON
//! - [`mail`]: a subject, a text and a page
//!
//! Whoever sends adds what only he knows: keys, channels, addresses. Nothing here can fail: whatever a record holds, and
//! however long it is, there is a payload within the limits of the service.

pub mod cloudevents;
mod details;
pub mod mail;
pub mod pagerduty;
mod said;
pub mod slack;
pub mod teams;

#[cfg(test)]
mod tests;
