//! The status of an alert and the events that change it.

use super::super::closed_enum::closed_enums;

closed_enums! {
    /// Result of an evaluation of an alert's trigger, or an action of a person on the alert.
    pub enum AlertEvent {
        /// The trigger holds, and a notification is due.
        Fired = "fired",
        /// The trigger still holds. The alert is already open, and its notification is repeated.
        Repeated = "repeated",
        /// The trigger holds, but the alert is snoozed or was sent too recently.
        Suppressed = "suppressed",
        /// The trigger does not hold, and no alert is open.
        NotFired = "not-fired",
        /// The trigger does not hold any more; the alert is resolved.
        Cleared = "cleared",
        Acknowledged = "acknowledged",
        Resolved = "resolved",
    }

    /// Status of an alert.
    pub enum AlertStatus {
        Open = "open",
        Acknowledged = "acknowledged",
        Suppressed = "suppressed",
        Resolved = "resolved",
    }
}
