//! The states of a preventive action.

use super::super::closed_enum::closed_enums;

closed_enums! {
    /// State of a preventive action.
    pub enum PreventionState {
        /// Recommended with a recurrence alert.
        Proposed = "proposed",
        /// A person put it in place.
        Adopted = "adopted",
        /// A whole window passed after it was adopted, and the cause did not recur.
        Effective = "effective",
        /// The cause recurred after it was adopted.
        Recurred = "recurred",
    }
}
