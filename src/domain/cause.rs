use serde::{Deserialize, Serialize};
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    pub fingerprint: String,
    pub normalised: String,
}
pub fn identify(_: Option<&str>, root_cause: &str) -> Option<Cause> {
    (root_cause != "unknown").then(|| Cause {
        fingerprint: format!("c1:{}", &super::ids::sha256_hex(root_cause)[..16]),
        normalised: root_cause.into(),
    })
}
