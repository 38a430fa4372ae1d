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
//! # The rooms
//!
//! Each floor uses only what is on it or below, and no modules use one another in a circle.
//!
//! **The job**, which is all that most callers need:
//!
//! | module | what it does |
//! |---|---|
//! | [`job`] | options in; choose, cut, repair, prove, refuse or write; searches, gates, the report |
//! | [`mod@build`] | what a build file asks for, made if it is stale |
//! | [`page`], [`draw`] | a report as a page to look at, and charts |
//! | `cli` | the command line: arguments in, tables and sentences out (feature `cli`) |
//! | `testing` | assertions about rewrites, for other crates (feature `testing`) |
//!
//! **What it is made of**, from a model that is ready to be cut to one that is:
//!
//! | module | what it does |
//! |---|---|
//! | [`analysis`], [`weights`] | a model with its facts, axes and groups, and what its calls make of constants |
//! | [`score`], [`sensitivity`], [`mod@gradients`] | who matters: criteria, what outputs say to a cut, derivatives |
//! | [`plan`] | how much goes: budgets and plans |
//! | [`machine`] | times and energies of nodes by width, on the machine that counts |
//! | [`apply`] | surgery: slices, refits, and the check that prediction and inference agree |
//! | [`layers`], [`sparsity`], [`lossless`] | branches that go as a whole, weights that become zero, units that nothing misses |
//! | [`contraction`], [`stats`], [`mod@repair`] | products with a constant, what they read on samples, and their refit |
//! | [`reference`](mod@reference) | the model that a pruned one must equal |
//! | [`pruning`] | the passes that remove something, and all passes by name |
//! | [`prune`] | a plan carried out: cut, repaired, simplified |
//! | [`mod@tune`] | training on the file |
//!
//! **Running models:**
//!
//! | module | what it does |
//! |---|---|
//! | [`oracle`], [`feed`], [`compare`], [`latency`] | running models, and comparing what comes out |
//! | [`pipelines`] | passes by name, with the oracle to compute constants |
//! | [`verify`], [`judge`], [`figures`] | masked equivalence and drift; accuracy by labels; how figures read |
//! | [`autograd`], [`widen`] | programs run and differentiated (feature `gradients`); models in 32 bits |
//!
//! **Models:**
//!
//! | module | what it does |
//! |---|---|
//! | [`load`], [`save`] | ONNX files to models and back; the only users of the protobuf |
//! | [`ir`] | the model: graph, tensors, types, text form, invariants |
//! | [`facts`], [`infer`] | types, and the content of shape arithmetic, with symbolic dimensions |
//! | [`ops`] | all that is known about operators, a rule each |
//! | [`axes`] | the notation of rules, the solver, groups, keep-sets, exactness |
//! | [`program`], [`lowering`] | models in a small language of operations |
//! | [`sizes`], [`cost`] | how long open axes are; multiply-accumulates, parameters, bytes |
//! | [`passes`] | exact rewrites and the pipeline that runs them |
//! | [`mod@diff`] | what is different between two models |
//! | [`files`], [`content`] | writing files whole or not at all, and telling by hashes whether they changed |
//!
//! # Example
//!
//! ```
//! use secateur::{job, load};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("small.onnx");
//! let model = load::load("fixtures/digits_mlp.onnx".as_ref())?;
//! let done = job::prune(&model, &job::Options::default())?;
//! done.save(&path)?;
//! # assert!(path.metadata()?.len() < done.report.before.file);
//! # Ok(())
//! # }
//! ```

pub mod analysis;
pub mod apply;
pub mod autograd;
pub mod axes;
pub mod build;
#[cfg(feature = "cli")]
pub mod cli;
pub mod compare;
pub mod content;
pub mod contraction;
pub mod cost;
pub mod diff;
pub mod draw;
pub mod facts;
pub mod feed;
pub mod figures;
pub mod files;
pub mod gradients;
pub mod infer;
pub mod ir;
pub mod job;
pub mod judge;
pub mod latency;
pub mod layers;
pub mod load;
pub mod lossless;
pub mod lowering;
pub mod machine;
pub mod ops;
pub mod oracle;
pub mod page;
pub mod pipelines;
pub mod plan;
pub mod program;
pub mod prune;
pub mod reference;
pub mod repair;
pub mod save;
pub mod score;
pub mod sensitivity;
pub mod sizes;
pub mod sparsity;
pub mod stats;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tune;
pub mod verify;
pub mod weights;
pub mod widen;

#[path = "../passes/pruning/mod.rs"]
pub mod pruning;

#[path = "../passes/mod.rs"]
pub mod passes;

/// The README's example is one of the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod panics;
mod parallel;
#[allow(clippy::all, missing_docs, dead_code)]
mod proto;
