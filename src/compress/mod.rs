//! Making models smaller: what may go, what matters least, how much goes, the cut, and the repair of what is left.
//!
//! The order is that of a job: a model's groups are derived (`analysis`), units get scores (`score`, `gradients`,
//! `sensitivity`), a budget makes a plan of them (`plan`, with what the machine takes from `machine`), the plan is carried
//! out (`prune`: `apply` cuts, `repair` refits from `stats`). `lossless`, `layers` and `sparsity` are other things that
//! can go; `tune` trains what is left; `reference` is what the result must equal.

pub mod analysis;
pub mod apply;
pub mod contraction;
pub mod gradients;
pub mod layers;
pub mod lossless;
pub mod machine;
pub mod plan;
pub mod prune;
pub mod reference;
pub mod repair;
pub mod score;
pub mod sensitivity;
pub mod sparsity;
pub mod stats;
pub mod tune;
pub mod weights;

#[path = "../../passes/pruning/mod.rs"]
pub mod pruning;
