//! The kinds of notifications and the events of their delivery.

use super::super::closed_enum::closed_enums;

closed_enums! {
    /// Kind of a notification.
    pub enum NotificationKind {
        /// An alert fired.
        Trigger = "trigger",
        /// An alert fired and was not acknowledged in time.
        Again = "again",
        /// An alert was acknowledged.
        Acknowledge = "acknowledge",
        /// An alert was resolved.
        Resolve = "resolve",
        /// A remediation step changed something.
        Change = "change",
        /// The digest of a week was created.
        Digest = "digest",
        /// The notification of an alert could not be delivered to another channel.
        Undelivered = "undelivered",
    }

    /// Event in the delivery of a notification.
    pub enum DeliveryEvent {
        /// A sender claimed the notification. No other sender may send it until the claim expires.
        Claimed = "claimed",
        /// The receiver accepted it.
        Delivered = "delivered",
        /// Some recipients accepted it. Only the recipients that could not accept it yet are retried.
        Partly = "partly",
        /// The receiver did not accept it; it is retried later.
        Retry = "retry",
        /// It is unknown whether the receiver accepted it; it is retried later.
        Unknown = "unknown",
        /// Delivery was abandoned.
        Dead = "dead",
        /// The notification is not needed any more, or is part of a summary.
        Skipped = "skipped",
    }
}
