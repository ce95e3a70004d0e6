//! The identity that a client has in its workspace.

use serde::Deserialize;

use super::{Client, WHO_AM_I, error::ApiError};

/// The answer, as far as it is used.
#[derive(Debug, Deserialize)]
struct Me {
    #[serde(rename = "userName")]
    user_name: String,
}

impl Client {
    /// The e-mail address of a user, or the application id of a service principal. Hostile text.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn user_name(&self) -> Result<String, ApiError> {
        Ok(self.get::<Me>(&WHO_AM_I, &[]).await?.user_name)
    }
}
