//! What a machine takes for a model: the time or the energy of its nodes, by how wide they are.
//!
//! A [`FusedSubgraph`] is a call with those behind it that a runtime computes in the same go. Fused subgraphs of one
//! shape are one entry of a [`Table`], measured at a grid of widths. [`Prices`] tells from a table what a choice of
//! widths costs before anything is cut, and [`corrected`] sets the plan right by what the cut model is measured to
//! take.
//!
//! # How
//!
//! `--latency` is a budget of what is measured, on this machine or on one whose table travelled here (`src/compress/machine/`).
//!
//! - **Fused subgraphs** (`fused.rs`). A runtime computes a convolution with its bias and its activation in one go, so
//!   these are one fused subgraph: a call, and the calls behind it that multiply nothing, are alone in reading the
//!   result before them, and leave its type as it is. No operator is asked for its name. A fused subgraph's *shape* is
//!   text: operators, attributes, types of operands, with a letter for each axis that can get shorter (a factor of a
//!   product, or a sum as a whole). Fused subgraphs of one shape take the same time.
//! - **Measuring** (`microbenchmark.rs`, `profile.rs`). A fused subgraph at a width is a model of its own: its
//!   constants are sliced and its calls refitted as surgery does it, and it is simplified as the result will be. One
//!   axis or two are measured at all combinations of a grid (`grid.rs`), more of them, or axes that depend on each
//!   other, along the diagonal, which is looked up by the mean of their shares. What does not run narrower counts as
//!   whole, what does not run at all as nothing, and the table says so.
//! - **Prices** (`price.rs`). The cost of a choice is the sum over fused subgraphs, interpolated between widths. For
//!   each group the *steps* are those widths of the grid at which the fused subgraphs around it cost less than at every
//!   wider one: the monotone lower hull. Only these may be chosen (`Ranked::allowed`), under any budget for which there
//!   is a table. Scores that are errors are weighed against what a unit costs on the way to the next step.
//! - **Trials** (`trial.rs`, `correct.rs`). The sum over fused subgraphs is not the time of the model. So a plan is
//!   carried out and timed beside the original in turns, until the interval of the ratio is narrow or four seconds are
//!   over; then a plan is made for another share of the table's total, by the line through the last two rounds, within
//!   the shares known to meet and to miss the budget. It ends near below the budget, after eight rounds, or where the
//!   plan does not change any more. The best plan seen is taken. Measuring is a function that `corrected` is given, so
//!   its tests ask no clock.
//! - **The cache** is keyed by the machine (processor, cores, runtime, threads, version) and the shapes: not by
//!   weights, so a fine-tuned model finds its table.
//!
//! Without a table a [`Target`] says what widths are worth keeping (`target.rs`, `effective.rs`): a row a runtime and
//! processor, with the blocks that its kernels pad channels to.
//!
//! Times are taken with the sizes that costs count (a batch of 1). A table from elsewhere is never corrected by what is
//! measured here.

mod cache;
mod correct;
mod effective;
mod energy;
mod fused;
mod grid;
mod host;
mod microbenchmark;
mod price;
mod profile;
mod rapl;
mod table;
mod target;

pub(crate) use cache::Cache;
pub(crate) use correct::{Corrected, CorrectionRound, MeasuredShare, corrected};
pub(crate) use effective::{EffectiveCosts, Steps};
pub(crate) use energy::{EnergyError, EnergyModel};
pub(crate) use fused::{FusedSubgraph, fused_subgraphs};
pub(crate) use grid::grid;
pub(crate) use host::Host;
pub(crate) use price::Prices;
pub(crate) use profile::{Meter, ProfileSettings, profile};
pub(crate) use rapl::Rapl;
pub(crate) use table::{Quantity, Skipped, Table, TableError};
pub use target::{Target, TargetError};

#[cfg(test)]
mod tests;
