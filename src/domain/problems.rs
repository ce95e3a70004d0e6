use super::{redact::*, report::Report, time::Timestamp};
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Problem {
    pub pointer: String,
    pub message: String,
    pub hint: Option<String>,
}
impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.pointer, self.message)
    }
}
pub fn parse_report(bytes: &[u8], redactor: &Redactor, _: Timestamp) -> Result<(Report, Redactions), Vec<Problem>> {
    let mut v: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    let r = redactor.value(&mut v);
    Ok((serde_json::from_value(v).unwrap(), r))
}
pub fn report_schema() -> &'static serde_json::Value {
    static S: std::sync::LazyLock<serde_json::Value> = std::sync::LazyLock::new(|| serde_json::json!({}));
    &S
}
