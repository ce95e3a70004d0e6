pub mod html {
    pub fn html(_: &crate::domain::digest::Digest) -> String {
        String::new()
    }
}
pub mod markdown {
    pub fn markdown(_: &crate::domain::digest::Digest) -> String {
        String::new()
    }
}
pub mod text {
    pub fn text(_: &crate::domain::digest::Digest, _: usize) -> String {
        String::new()
    }
}
pub mod slack {
    pub fn slack(_: &crate::domain::digest::Digest) -> serde_json::Value {
        serde_json::Value::Null
    }
}
