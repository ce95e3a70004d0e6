//! The dimensions, durations and bands by which the digest groups its figures.

use super::super::closed_enum::closed_enums;

closed_enums! {
    /// Dimension by which the incidents of a week are counted.
    pub enum Dimension {
        Total = "total",
        Type = "type",
        /// The highest severity of the alerts that fired for the incident; `none` when none did.
        Severity = "severity",
        Workspace = "workspace",
        /// Categories of checks that failed; an incident counts in each of them.
        Category = "category",
    }

    /// Duration between two events of an incident.
    pub enum Measure {
        /// Impact start to detection.
        Detect = "detect",
        /// Report to the first explicit acknowledgement.
        Acknowledge = "acknowledge",
        /// Detection to the first successful REMEDIATE or VERIFY.
        Mitigate = "mitigate",
        /// Report to the first resolution.
        Resolve = "resolve",
    }

    /// Time of day at which an alert needed a person on call, in the digest's time zone.
    pub enum HourBand {
        /// Monday to Friday, 08:00 to 17:59.
        Business = "business",
        /// 06:00 to 21:59 outside business hours.
        Evening = "evening",
        /// 22:00 to 05:59.
        Night = "night",
    }

    /// Time for which an incident has been open.
    pub enum AgeBand {
        /// Less than 24 hours.
        Day = "under-1-day",
        /// 1 to less than 7 times 24 hours.
        Week = "1-to-7-days",
        /// 7 to less than 30 times 24 hours.
        Month = "7-to-30-days",
        Older = "over-30-days",
    }
}
