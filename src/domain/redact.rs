use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Redactions(BTreeMap<String, u64>);
impl Redactions {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}
#[derive(Debug, Clone)]
pub struct Redactor;
impl Redactor {
    pub fn new(_: Option<Vec<u8>>) -> Self {
        Self
    }
    pub fn value(&self, _: &mut serde_json::Value) -> Redactions {
        Redactions::default()
    }
    pub fn text<'a>(&self, text: &'a str) -> std::borrow::Cow<'a, str> {
        text.into()
    }
}
