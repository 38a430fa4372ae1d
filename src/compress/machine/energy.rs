//! What energy a model takes, where nothing measures it: so much a multiply-accumulate, so much a byte.
//!
//! The numbers are those for 45 nm of M. Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC
//! 2014: a product and a sum (32-bit floats 3.7 + 0.9 pJ, 16-bit floats 1.1 + 0.4 pJ, 32-bit integers 3.1 + 0.1 pJ,
//! 8-bit integers 0.2 + 0.03 pJ), a word of 64 bits from a memory of 1 MB on the chip (100 pJ) and from DRAM (1.3 nJ,
//! the lower of its two figures). Weights count as read from DRAM once a run, everything else as written and read on
//! the chip. Newer chips take less of all; shares of a budget depend on the ratios alone.

use crate::cost::{Cost, OpenDims};
use crate::facts::Facts;
use crate::ir::{DType, Graph, NodeId, ValueId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Picojoules for what a model does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnergyModel {
    /// Of a multiply-accumulate, by element type (`f32`); `other` for those that are not named.
    pub mac_pj: BTreeMap<String, f64>,
    /// Of a byte of a constant.
    pub weight_byte_pj: f64,
    /// Of a byte of a computed operand or result.
    pub activation_byte_pj: f64,
}

/// Why an energy model can't be used.
#[derive(Debug, thiserror::Error)]
pub enum EnergyError {
    #[error("{path}: {error}")]
    Read { path: String, error: std::io::Error },
    #[error("{path}: this is neither a table nor a model of energies: {error}")]
    Form { path: String, error: String },
    #[error("{path}: {what}")]
    Value { path: String, what: String },
}

impl Default for EnergyModel {
    fn default() -> EnergyModel {
        let macs =
            [("f32", 4.6), ("f16", 1.5), ("bf16", 1.5), ("i32", 3.2), ("i8", 0.23), ("u8", 0.23), ("other", 4.6)];
        EnergyModel {
            mac_pj: macs.into_iter().map(|(name, pj)| (name.to_owned(), pj)).collect(),
            weight_byte_pj: 162.5,
            activation_byte_pj: 12.5,
        }
    }
}

impl EnergyModel {
    /// Reads a model from TOML or JSON.
    pub fn read(path: &Path) -> Result<EnergyModel, EnergyError> {
        let name = || path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| EnergyError::Read { path: name(), error })?;
        let parsed: Result<EnergyModel, String> = match path.extension().is_some_and(|e| e == "toml") {
            true => toml::from_str(&text).map_err(|e| e.to_string()),
            false => serde_json::from_str(&text).map_err(|e| e.to_string()),
        };
        let model = parsed.map_err(|error| EnergyError::Form { path: name(), error })?;
        let unknown = model.mac_pj.keys().find(|k| *k != "other" && DType::from_name(k).is_none());
        if let Some(key) = unknown {
            let what = format!("mac_pj.{key} is not an element type (such as f32, f16, i8) and not `other`");
            return Err(EnergyError::Value { path: name(), what });
        }
        let numbers = model.mac_pj.values().chain([&model.weight_byte_pj, &model.activation_byte_pj]);
        if numbers.into_iter().any(|x| !x.is_finite() || *x < 0.0) {
            return Err(EnergyError::Value { path: name(), what: "energies are numbers from 0 up".into() });
        }
        Ok(model)
    }

    /// The energy of a node in picojoules, from what it costs otherwise: a constant's for its bytes, a call's for its
    /// products and for what it reads and writes.
    pub fn of(&self, graph: &Graph, facts: &Facts, open: &OpenDims, node: NodeId, cost: &Cost) -> f64 {
        if graph.call(node).is_none() {
            return cost.bytes as f64 * self.weight_byte_pj;
        }
        let computed = |v: &ValueId| graph.constant(v.node).is_none();
        let operands: Vec<ValueId> = graph.operands(node).into_iter().flatten().collect();
        let bytes = |v: ValueId| {
            let fact = facts.get(v);
            let count: u64 = fact.shape.as_ref().map_or(0, |s| s.iter().map(|d| open.eval(d)).product());
            fact.dtype.map_or(0, |d| d.bytes(count as usize)) as f64
        };
        let moved: f64 = operands.iter().copied().filter(computed).chain(graph.results(node)).map(bytes).sum();
        let dtype = operands.iter().find_map(|&v| facts.get(v).dtype).map_or("other", DType::name);
        let mac = self.mac_pj.get(dtype).or_else(|| self.mac_pj.get("other")).copied().unwrap_or(0.0);
        cost.macs as f64 * mac + moved * self.activation_byte_pj
    }
}
