//! Tables: what fused subgraphs of a model cost on a machine, by width. A table is a JSON file that travels.
//!
//! ```json
//! {
//!   "version": 1,
//!   "quantity": "latency",
//!   "host": { "cpu": "…", "cores": 4, "runtime": "tract", "threads": 1, "secateur": "0.1.0" },
//!   "fused subgraphs": [
//!     { "shape": "Conv<…>(f32[1,a:16,8,8], #f32[b:32,a:16,3,3])", "widths": [[8, 16], [16, 32]], "along": "grid",
//!       "costs": [10.0, 19.5, 19.0, 38.0] }
//!   ],
//!   "skipped": [{ "shape": "Foo(f32[3])", "why": "…" }]
//! }
//! ```
//!
//! Costs are microseconds or microjoules. `widths` has the grid of each axis that can get shorter, in the order of the
//! letters in `shape`; its last number is the whole length. Along a `grid` there is a cost for each combination, the
//! last axis fastest; along a `diagonal` all axes take their n-th width together.

use super::Host;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::path::Path;

/// What fused subgraphs of a model cost on one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// The version of this format.
    pub version: u32,
    pub quantity: Quantity,
    pub host: Host,
    pub pieces: Vec<TableEntry>,
    /// Fused subgraphs that could not be measured; they count as nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Microseconds of a run.
    Latency,
    /// Microjoules of a run.
    Energy,
}

/// The costs of all fused subgraphs of one shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableEntry {
    pub shape: String,
    /// For each axis that can get shorter its measured lengths, ascending; the last is the whole.
    pub widths: Vec<Vec<usize>>,
    #[serde(default)]
    pub along: Along,
    pub costs: Vec<f64>,
}

/// Which combinations of widths were measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Along {
    /// All of them.
    #[default]
    Grid,
    /// The n-th of each with the n-th of all others.
    Diagonal,
}

/// A fused subgraph that could not be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skipped {
    pub shape: String,
    pub why: String,
}

/// Why a table can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error("{path}: {error}")]
    Read { path: String, error: std::io::Error },
    #[error("{path}: this is not a table of costs: {error}")]
    Json { path: String, error: serde_json::Error },
    /// A table that was read and makes no sense.
    #[error("{path}: {cause}")]
    In { path: String, cause: Box<TableError> },
    #[error("the table's format is version {0}; this build reads and writes version {VERSION}")]
    Version(u32),
    #[error("the table's entry {shape:?}: {what}")]
    TableEntry { shape: String, what: &'static str },
    #[error("the table has {found} where {wanted} is asked for")]
    Quantity { wanted: Quantity, found: Quantity },
    #[error("the table is not of this model: it lacks {} of {of} shapes of nodes, first {:?}", missing.len(), missing[0])]
    Missing { missing: Vec<String>, of: usize },
}

/// The version of the table format.
pub(super) const VERSION: u32 = 1;

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Quantity::Latency => "latency",
            Quantity::Energy => "energy",
        })
    }
}

impl Table {
    /// Reads and checks a table.
    pub fn read(path: &Path) -> Result<Table, TableError> {
        let name = || path.display().to_string();
        let bytes = std::fs::read(path).map_err(|error| TableError::Read { path: name(), error })?;
        let table: Table = serde_json::from_slice(&bytes).map_err(|error| TableError::Json { path: name(), error })?;
        table.check().map_err(|cause| TableError::In { path: name(), cause: Box::new(cause) })?;
        Ok(table)
    }

    /// The entries by shape.
    pub fn by_shape(&self) -> HashMap<&str, &TableEntry> {
        self.pieces.iter().map(|e| (e.shape.as_str(), e)).collect()
    }

    /// A hash that tells tables apart.
    pub fn hash(&self) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&text))
    }

    fn check(&self) -> Result<(), TableError> {
        if self.version != VERSION {
            return Err(TableError::Version(self.version));
        }
        let fault = |e: &TableEntry| e.fault().map(|what| TableError::TableEntry { shape: e.shape.clone(), what });
        self.pieces.iter().find_map(fault).map_or(Ok(()), Err)
    }
}

impl TableEntry {
    /// What is wrong with it.
    fn fault(&self) -> Option<&'static str> {
        let ascending = |w: &Vec<usize>| !w.is_empty() && w[0] > 0 && w.windows(2).all(|p| p[0] < p[1]);
        let lengths = || self.widths.iter().map(Vec::len);
        let expected = match self.along {
            Along::Grid => lengths().try_fold(1_usize, usize::checked_mul),
            Along::Diagonal => lengths().next().filter(|&n| lengths().all(|m| m == n)),
        };
        if !self.widths.iter().all(ascending) {
            Some("its widths do not ascend")
        } else if expected != Some(self.costs.len()) {
            Some("it has another number of costs than its widths ask for")
        } else if !self.costs.iter().all(|c| c.is_finite() && *c >= 0.0) {
            Some("its costs are not numbers from 0 up")
        } else {
            None
        }
    }

    /// The cost at these widths, interpolated between those measured; what is narrower than all costs as the narrowest.
    pub fn at(&self, widths: &[usize]) -> f64 {
        let widths = widths.iter().map(|&w| w as f64);
        match self.along {
            Along::Grid => multilinear(&self.widths, &self.costs, &widths.collect::<Vec<_>>()),
            Along::Diagonal => {
                // All axes at their mean share: what the fused subgraph computes is mostly a product of them.
                let whole = |grid: &Vec<usize>| grid.last().copied().unwrap_or(1) as f64;
                let shares = widths.zip(&self.widths).map(|(w, grid)| (w / whole(grid)).max(1e-9).ln());
                let mean = (shares.sum::<f64>() / self.widths.len().max(1) as f64).exp();
                let first = self.widths.first().map_or(0.0, whole);
                multilinear(&self.widths[..1.min(self.widths.len())], &self.costs, &[mean * first])
            }
        }
    }

    /// The cost at full width.
    pub fn whole(&self) -> f64 {
        self.costs.last().copied().unwrap_or(0.0)
    }
}

/// Interpolates along the first axis between what the others come to.
fn multilinear(grids: &[Vec<usize>], costs: &[f64], at: &[f64]) -> f64 {
    let Some((grid, rest)) = grids.split_first() else { return costs.first().copied().unwrap_or(0.0) };
    let stride = costs.len() / grid.len().max(1);
    let along = |i: usize| multilinear(rest, &costs[i * stride..(i + 1) * stride], &at[1..]);
    match grid.iter().position(|&w| w as f64 >= at[0]) {
        None => along(grid.len() - 1),
        Some(0) => along(0),
        Some(i) => {
            let (low, high) = (grid[i - 1] as f64, grid[i] as f64);
            let t = (at[0] - low) / (high - low);
            along(i - 1) * (1.0 - t) + along(i) * t
        }
    }
}
