//! Clusters and warehouses as they are configured.

use serde_json::{Map, Value};

use super::{Client, error::ApiError};

impl Client {
    /// The settings of an all-purpose cluster, as the API spells them. Texts in it are hostile.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn cluster(&self, id: &str) -> Result<Map<String, Value>, ApiError> {
        self.get(&["2.1", "clusters", "get"], &[("cluster_id", id.to_owned())]).await
    }

    /// The settings of a SQL warehouse, as the API spells them. Texts in it are hostile.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn warehouse(&self, id: &str) -> Result<Map<String, Value>, ApiError> {
        self.get(&["2.0", "sql", "warehouses", id], &[]).await
    }
}
