//! Clusters and warehouses as they are configured.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Client, error::ApiError};

/// A SQL warehouse in the list. Texts in it are hostile.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WarehouseEntry {
    pub id: String,
    pub name: String,
}

/// The answer to a request for all warehouses.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Warehouses {
    warehouses: Vec<WarehouseEntry>,
}

impl Client {
    /// The SQL warehouses that the identity may see.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn warehouses(&self) -> Result<Vec<WarehouseEntry>, ApiError> {
        Ok(self.get::<Warehouses>(&["2.0", "sql", "warehouses"], &[]).await?.warehouses)
    }

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
