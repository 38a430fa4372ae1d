//! secateur is a compiler pass for ONNX models. It finds out which channels, neurons and heads depend on each other,
//! removes those that matter least, proves by running it that the result computes what it should, and writes a
//! smaller model.
//!
//! # The world
//!
//! A **model** is a **graph** of **nodes** (inputs, constants, calls, outputs). A node makes **values**; a wire takes a
//! value to an operand slot of another node. A value is a tensor: it has **axes**, and each axis has a **dimension**,
//! a number or an expression over symbols such as `batch`.
//!
//! An operator's **rule** says how the axes of its results relate to those of its operands:
//!
//! ```text
//! Conv      n (g i) _*, (g o) i _*, (g o) -> n (g o) _*
//! Concat    n a ..., n b ... -> n a+b ...
//! Flatten   n c h w -> n (c h w)
//! ```
//!
//! All rules of a graph together make one system of equations over axes. Its solution writes every axis as a sum of
//! products of **labels**: sets of indices that nothing takes apart. A label that reaches a constant is a **group**; its
//! indices are **units**. A unit is removed from every tensor that carries its label, at once; nothing else has to be
//! known about architectures. What must stay is **pinned**, and a pin has a reason.
//!
//! A group is **exact** if dropping units computes what zeroing their weights computes. That is the proof of every cut:
//! the pruned model and the **masked** original (the removed slices of its constants set to zero) are run on the same
//! inputs and must agree. Groups under a softmax, a norm or a mean are not exact, and left alone unless asked for.
//!
//! A **criterion** gives each unit a **score**, a **budget** says how much goes, and both make a **plan**: a list of units
//! by group, which can be read, edited and applied again. After the cut, **passes** simplify what is left.
//!
//! A **layer** is a residual branch: all that lies between a value and a sum with that value. It goes as a whole, and
//! what bypasses it takes the sum's place. Its reference is the original with zero for the branch's result.
//!
//! # Where to begin
//!
//! | module | what it is for |
//! |---|---|
//! | [`job`] | the whole job: options in; choose, cut, repair, prove, refuse or write; searches, gates, the report |
//! | [`mod@build`] | what a build file asks for, made if it is stale |
//! | `testing` | assertions about rewrites, for other crates (feature `testing`) |
//! | `cli` | the command line (feature `cli`) |
//!
//! What a job is made of, for those who want one step of it:
//!
//! | module | what it is for |
//! |---|---|
//! | [`onnx`] | ONNX files to models and back |
//! | [`ir`] | the model: graph, tensors, types, text form, invariants |
//! | [`passes`] | exact rewrites, and how to write one |
//! | [`ops`] | all that is known about operators, a rule each |
//! | [`mod@diff`] | what is different between two models |
//! | [`analysis`] | a model's facts, axes and groups: what can be cut |
//! | [`plan`] | criteria, budgets, plans: what is cut, and how much |
//! | [`mod@prune`] | a plan carried out, and the model that the result must equal |
//! | [`feed`], [`oracle`] | samples, and running models on them |
//! | [`mod@verify`], [`judge`] | whether two models compute the same, and accuracy by labels |
//!
//! # The floors
//!
//! The folders of `src/` are the floors of the house, from the top down: `cli`; the job (`job`, `build`, and what shows a
//! report); `compress`, which makes models smaller; `run`, which runs them; `model`, which is what they are. Each floor
//! uses only what is on it or below, and no rooms use one another in a circle. A floor's page says which rooms it has and
//! why in this order.
//!
//! # Example
//!
//! ```
//! use secateur::{job, onnx};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("small.onnx");
//! let model = onnx::load("fixtures/digits_mlp.onnx".as_ref())?;
//! let done = job::prune(&model, &job::Options::default())?;
//! done.save(&path)?;
//! # assert!(path.metadata()?.len() < done.report.before.file);
//! # Ok(())
//! # }
//! ```

pub mod build;
#[cfg(feature = "cli")]
pub mod cli;
mod compress;
mod draw;
pub mod job;
mod model;
mod page;
mod run;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use compress::{analysis, plan, prune};
pub(crate) use compress::{
    apply, contraction, gradients, layers, lossless, machine, pruning, reference, repair, score, sensitivity, sparsity,
    stats, tune, weights,
};
pub(crate) use model::{
    axes, content, cost, facts, files, infer, load, lowering, panics, parallel, program, proto, save, sizes,
};
pub use model::{diff, ir, onnx, ops, passes};
pub(crate) use run::{autograd, compare, figures, latency, pipelines, widen};
pub use run::{feed, judge, oracle, verify};

/// The README's example is one of the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
