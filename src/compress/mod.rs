//! Making models smaller: what may go, what matters least, how much goes, the cut, and the repair of what is left.
//!
//! The order is that of a job: a model's groups are derived (`analysis`), units get scores (`score`, `gradients`,
//! `sensitivity`), a budget makes a plan of them (`plan`, with what the machine takes from `machine`), the plan is carried
//! out (`prune`: `apply` cuts, `repair` refits from `stats`). `lossless`, `layers` and `sparsity` are other things that
//! can go; `tune` trains what is left; `reference` is what the result must equal.

pub mod analysis;
pub(crate) mod apply;
pub(crate) mod contraction;
pub(crate) mod gradients;
pub mod layers;
pub(crate) mod lossless;
pub(crate) mod machine;
pub mod plan;
pub mod prune;
pub(crate) mod reference;
pub(crate) mod repair;
pub(crate) mod score;
pub(crate) mod sensitivity;
pub(crate) mod sparsity;
pub mod stats;
pub(crate) mod tune;
pub(crate) mod weights;

#[path = "../../passes/pruning/mod.rs"]
pub(crate) mod pruning;
