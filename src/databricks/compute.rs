//! Clusters and SQL warehouses: lists and settings.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Client, error::ApiError};

/// A SQL warehouse in the list. Its texts are untrusted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WarehouseEntry {
    pub id: String,
    pub name: String,
}

/// The list of all warehouses.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Warehouses {
    warehouses: Vec<WarehouseEntry>,
}

impl Client {
    /// Lists the SQL warehouses that the identity may see.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn warehouses(&self) -> Result<Vec<WarehouseEntry>, ApiError> {
        Ok(self.get::<Warehouses>(&["2.0", "sql", "warehouses"], &[]).await?.warehouses)
    }

    /// Returns the settings of an all-purpose cluster, with the API's names. Its texts are untrusted.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn cluster(&self, id: &str) -> Result<Map<String, Value>, ApiError> {
        self.get(&["2.1", "clusters", "get"], &[("cluster_id", id.to_owned())]).await
    }

    /// Returns the settings of a SQL warehouse, with the API's names. Its texts are untrusted.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn warehouse(&self, id: &str) -> Result<Map<String, Value>, ApiError> {
        self.get(&["2.0", "sql", "warehouses", id], &[]).await
    }
}
