//! The passes that remove something: units, layers, single weights. They stand on the criteria, plans, surgery and
//! statistics of the job, which are built on the exact passes; so they are a room of their own, above both.
//!
//! [`registry`] has all passes that there are.
//!
//! ```
//! use secateur::prune::pipelines;
//! use secateur::{ir, job};
//!
//! let text = "g (f32[1,2] x) => (f32[1,2] y) {
//!     f32[2,2] w = {0.1, 2.0, 3.0, 0.2}
//!     y = MatMul(x, w)
//! }";
//! let mut model = ir::parse(text, &|_| None)?;
//! let half = job::registry().parse("sparsify{ratio=0.5},dce")?;
//! assert!(half.run(&mut model, pipelines::settings())?.change().happened());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod nm;
mod prune_channels;
mod remove_layers;
mod remove_redundant;
mod sparsify;

use crate::passes::{Entry, Registry, entries};
use std::sync::LazyLock;

/// Every pass that removes something. A new file is added here and nowhere else.
pub(crate) static PASSES: LazyLock<Vec<Entry>> = LazyLock::new(|| [&[prune_channels()], OTHERS].concat());

/// What the documents say of this one follows from the table of budgets.
fn prune_channels() -> Entry {
    let [entry] = entries! { "prune-channels", prune_channels::PruneChannels::new, ""; };
    Entry { doc: &prune_channels::DOC, ..*entry }
}

const OTHERS: &[Entry] = entries! {
    "nm", nm::Nm::new, "leaves n of every m weights along a sum {n=2 m=4 method=magnitude calib}";
    "remove-layers", remove_layers::RemoveLayers::new, "removes the residual branches that change least {count=1 include exclude calib}";
    "remove-redundant", remove_redundant::RemoveRedundant::new, "removes units without which the model computes the same {input-range}";
    "sparsify", sparsify::Sparsify::new, "sets a share of the weights to zero {ratio=0.5 scope=layer method=magnitude calib}";
};

/// All passes: the exact ones of [`crate::passes`], and these.
pub fn registry() -> Registry {
    PASSES.iter().fold(Registry::default(), |registry, &pass| registry.with(pass))
}
