//! The kinds of channels that notifications are sent through.

use super::super::closed_enum::closed_enums;

closed_enums! {
    /// Kind of a notification channel.
    pub enum ChannelKind {
        Pagerduty = "pagerduty",
        Slack = "slack",
        Email = "email",
        Teams = "teams",
        Webhook = "webhook",
    }
}

impl ChannelKind {
    /// Returns true if people read every message of the channel. Many notifications at once are then sent as one summary.
    pub fn is_read(self) -> bool {
        match self {
            Self::Slack | Self::Email | Self::Teams => true,
            Self::Pagerduty | Self::Webhook => false,
        }
    }
}
