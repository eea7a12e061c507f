use std::sync::Arc;

use ndarray::Array2;

use crate::{ContentHash, Window};

/// Ordered feature names. Two schemas are the same if their hashes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureSchema {
    /// Every matrix has its schema, and there are many of a few windows.
    names: Arc<[String]>,
    hash: u128,
}

impl FeatureSchema {
    /// A schema of `names`, in column order.
    #[must_use]
    pub fn new(names: Vec<String>) -> Self {
        let hash = names.iter().fold(ContentHash::new("leadsman feature schema v1"), ContentHash::field).finish();
        Self { names: names.into(), hash }
    }

    /// Column names, in order.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Digest over names and order.
    #[must_use]
    pub fn hash(&self) -> u128 {
        self.hash
    }
}

/// What a row is about: an entity in a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowKey {
    /// Actor name, or `namespace/workload`.
    pub entity: Box<str>,
    /// The window.
    pub window: Window,
    /// Events or samples in it.
    pub count: u64,
}

/// Features of closed windows: one row per entity and window, one column per schema name.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureMatrix {
    /// What the columns are.
    pub schema: FeatureSchema,
    /// What the rows are.
    pub rows: Vec<RowKey>,
    /// The values; every one finite.
    pub x: Array2<f64>,
}

/// Why values do not make a matrix.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MatrixError {
    /// Rows, columns and values do not agree.
    #[error("{values} values do not fill {rows} rows of {columns} columns")]
    Shape {
        /// Number of rows.
        rows: usize,
        /// Number of columns.
        columns: usize,
        /// Number of values given.
        values: usize,
    },
    /// A value is NaN or infinite.
    #[error("feature `{feature}` of row {row} is not finite")]
    NotFinite {
        /// Row index.
        row: usize,
        /// Feature name.
        feature: String,
    },
}

impl FeatureMatrix {
    /// A matrix from row-major `values`.
    ///
    /// Errors: [`MatrixError`] when the shape is off or a value is not finite.
    pub fn new(schema: FeatureSchema, rows: Vec<RowKey>, values: Vec<f64>) -> Result<Self, MatrixError> {
        let columns = schema.names.len();
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            let feature = schema.names.get(at % columns.max(1)).cloned().unwrap_or_default();
            return Err(MatrixError::NotFinite { row: at / columns.max(1), feature });
        }
        let shape = MatrixError::Shape { rows: rows.len(), columns, values: values.len() };
        let x = Array2::from_shape_vec((rows.len(), columns), values).map_err(|_| shape)?;
        Ok(Self { schema, rows, x })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    fn key() -> RowKey {
        RowKey { entity: "a".into(), window: Timestamp::default().window(std::time::Duration::from_secs(1)), count: 1 }
    }

    #[test]
    fn refuses_wrong_shapes_and_values_that_are_not_finite() {
        let schema = FeatureSchema::new(vec!["a".into(), "b".into()]);
        assert!(FeatureMatrix::new(schema.clone(), vec![key()], vec![1.0, 2.0]).is_ok());
        assert_eq!(
            FeatureMatrix::new(schema.clone(), vec![key()], vec![1.0]),
            Err(MatrixError::Shape { rows: 1, columns: 2, values: 1 })
        );
        assert_eq!(
            FeatureMatrix::new(schema, vec![key()], vec![1.0, f64::NAN]),
            Err(MatrixError::NotFinite { row: 0, feature: "b".into() })
        );
    }

    #[test]
    fn order_of_names_is_part_of_the_schema() {
        let of = |n: &[&str]| FeatureSchema::new(n.iter().map(ToString::to_string).collect());
        assert_ne!(of(&["a", "b"]).hash(), of(&["b", "a"]).hash());
        assert_ne!(of(&["ab"]).hash(), of(&["a", "b"]).hash());
    }
}
