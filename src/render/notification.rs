//! Notifications as the payloads of each kind of channel.
//!
//! - [`outline`]: the content of a notification, independent of the format; [`details`]: the same for programs
//! - [`pagerduty`], [`slack`], [`teams`], [`cloudevents`]: JSON, sent over HTTP
//! - [`mail`]: a subject, a text and an HTML page
//!
//! The sender adds keys, channels and addresses. Nothing here can fail: for any record, of any length, there is a payload
//! within the limits of the service.

pub mod cloudevents;
mod details;
pub mod mail;
mod outline;
pub mod pagerduty;
pub mod slack;
pub mod teams;

#[cfg(test)]
mod tests;
