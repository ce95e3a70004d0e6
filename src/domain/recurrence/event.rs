//! The events of a recurrence episode.

use super::super::closed_enum::closed_enums;

closed_enums! {
    /// Event of a recurrence episode.
    pub enum EpisodeEvent {
        /// The threshold was reached.
        Opened = "opened",
        /// Another incident, or another cause that counts as the same, changed it.
        Updated = "updated",
        /// A whole window passed without another incident, or the episode turned out not to be one.
        Closed = "closed",
    }
}
