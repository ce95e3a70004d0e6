use super::{QueryError, engine::Engine};
use crate::domain::{
    digest::{Figures, OpenIncident},
    time::Timestamp,
    week::Week,
};
pub struct WeekParameters {
    pub week: Week,
    pub known_from: Option<Timestamp>,
}
impl WeekParameters {
    pub fn new(week: Week, known_from: Option<Timestamp>) -> Self {
        Self { week, known_from }
    }
}
pub struct OpenBase {
    pub open: Vec<OpenIncident>,
    pub known_until: Timestamp,
    pub known_seq: u64,
}
pub async fn figures(_: Engine<'_>, _: &WeekParameters, _: Option<&OpenBase>) -> Result<Figures, QueryError> {
    Ok(Figures::default())
}
