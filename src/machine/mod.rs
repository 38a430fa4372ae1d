//! What a machine takes for a model: the time or the energy of its nodes, by how wide they are.
//!
//! A [`Piece`] is a call with those behind it that a runtime computes in the same go. Pieces of one shape are one entry
//! of a [`Table`], measured at a grid of widths. [`Prices`] tells from a table what a choice of widths costs before
//! anything is cut, and [`corrected`] sets the plan right by what the cut model is measured to take.

mod cache;
mod correct;
mod energy;
mod grid;
mod host;
mod part;
mod piece;
mod price;
mod profile;
mod rapl;
mod table;

pub use cache::Cache;
pub use correct::{Corrected, Measured, Round, corrected};
pub use energy::{EnergyError, EnergyModel};
pub use grid::grid;
pub use host::Host;
pub use piece::{Piece, pieces};
pub use price::Prices;
pub use profile::{Meter, Settings, profile};
pub use rapl::Rapl;
pub use table::{Along, Entry, Quantity, Skipped, Table, TableError};

#[cfg(test)]
mod tests;
