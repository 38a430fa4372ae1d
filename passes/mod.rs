//! Passes: what may be done to a model, one file each.
//!
//! A [`Pass`] is a name, an effect and a function from a model to a model. It has no state but its options, and it
//! works in three steps: *decide* (read only), *freeze* (the decision is a map or a list), *apply* (mechanical). The
//! laws of a pass stand in `README.md` beside this file; a [`Pipeline`] is passes as text.
//!
//! Passes change the main graph. What its calls' subgraphs capture are operands like any other, and stay; what they
//! hold comes into the main graph and goes back (`open-bodies`, `close-bodies`).

mod absorb;
mod assume;
mod bodies;
mod close_bodies;
mod cse;
mod dce;
mod drop_identity;
mod edit;
mod fold_affine;
mod fold_bn;
mod fold_constants;
mod fold_if;
mod fold_pad;
mod fold_shapes;
mod fold_weights;
mod foldable;
mod freeze_inputs;
mod inline_functions;
mod island;
mod materialize;
mod merge_constants;
mod merge_reshapes;
mod merge_transposes;
mod open_bodies;
mod options;
pub mod pipeline;
mod shorter;
mod splice;
mod split_constants;
mod subset;
mod text;

pub use close_bodies::closed;
pub(crate) use dce::Dce;
pub(crate) use edit::{new_constant, rename, replace_call};
pub use freeze_inputs::frozen;
pub use inline_functions::inlined;
pub use materialize::{Materializer, Old};
pub(crate) use merge_constants::MergeConstants;
pub use open_bodies::opened;
pub use options::{OptionError, Options};
pub use pipeline::{Execution, Hook, Pipeline, PipelineError, PipelineReport, Settings};
pub(crate) use split_constants::SplitConstants;
pub use subset::{Subsets, places};
pub use text::SyntaxError;

use crate::axes::{self, Axes};
use crate::facts::Facts;
use crate::infer;
use crate::ir::{Model, Tensor};
use std::sync::Arc;

/// Something that changes a model.
pub trait Pass {
    /// The name that pipelines use.
    fn name(&self) -> &'static str;

    /// What the outputs are to each other, before and after.
    fn effect(&self) -> Effect {
        Effect::Exact
    }

    /// Changes the model and says how much.
    fn run(&self, model: &mut Model, cx: &mut Context) -> Result<Change, PassError>;
}

/// What a pass does to the model's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// They stay the same, but for rounding.
    Exact,
    /// They change: something was given up.
    Lossy,
}

/// How many things a pass changed: nodes, operands or declarations, whatever it works on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change(pub usize);

impl Change {
    /// Whether the model is another one than before.
    pub fn happened(self) -> bool {
        self.0 > 0
    }
}

/// Why a pass can't do its work. "Nothing to do" is no error.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct PassError {
    pub what: String,
}

impl PassError {
    /// An error in words.
    pub fn new(what: impl ToString) -> PassError {
        PassError { what: what.to_string() }
    }
}

/// What computes constants: passes know no runtime, so those that fold are given one.
pub trait Evaluate {
    /// What the outputs of a model without inputs come to, in their order.
    fn evaluate(&self, model: &Model) -> Result<Vec<Tensor>, String>;
}

/// What passes share while a pipeline runs: what is known of the model as it stands, and what they have to say.
#[derive(Default)]
pub struct Context<'a> {
    facts: Option<Arc<Facts>>,
    axes: Option<Arc<Axes>>,
    notes: Vec<String>,
    evaluator: Option<&'a dyn Evaluate>,
}

impl<'a> Context<'a> {
    /// A context in which constants are computed by this, if there is one.
    pub fn new(evaluator: Option<&'a dyn Evaluate>) -> Context<'a> {
        Context { evaluator, ..Context::default() }
    }

    /// What the outputs of a model without inputs come to.
    pub fn evaluate(&self, model: &Model) -> Result<Vec<Tensor>, String> {
        self.evaluator.ok_or("this pipeline runs without anything that computes constants")?.evaluate(model)
    }

    /// The facts of the model. They are inferred once, and again after a change.
    pub fn facts(&mut self, model: &Model) -> Arc<Facts> {
        self.facts.get_or_insert_with(|| Arc::new(infer::infer(model))).clone()
    }

    /// The axes of the model, derived once like the facts.
    pub fn axes(&mut self, model: &Model) -> Arc<Axes> {
        let facts = self.facts(model);
        self.axes.get_or_insert_with(|| Arc::new(axes::analyze(model, &facts))).clone()
    }

    /// The model is another one now. The pipeline says so after each pass; a pass has to only in its middle.
    pub fn changed(&mut self) {
        self.facts = None;
        self.axes = None;
    }

    /// Something that a user who asks for more words wants to know, such as why a node was left alone.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// What passes had to say since the last call.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }
}

/// A pass that pipelines can name.
#[derive(Clone, Copy)]
pub struct Entry {
    pub name: &'static str,
    /// One line of help, with the options where there are any.
    pub doc: &'static str,
    /// Makes the pass from its options.
    pub make: fn(&mut Options) -> Result<Box<dyn Pass>, OptionError>,
}

/// The passes that a pipeline's text may name: the exact ones, and whatever else is added.
///
/// ```
/// # use secateur::{ir::Model, passes::*};
/// struct Nothing;
///
/// impl Pass for Nothing {
///     fn name(&self) -> &'static str {
///         "nothing"
///     }
///
///     fn run(&self, _: &mut Model, _: &mut Context) -> Result<Change, PassError> {
///         Ok(Change(0))
///     }
/// }
///
/// let nothing = Entry { name: "nothing", doc: "changes nothing", make: |_| Ok(Box::new(Nothing)) };
/// let pipeline = Registry::default().with(nothing).parse("fix(nothing,dce)")?;
/// assert_eq!(pipeline.to_string(), "fix(nothing,dce)");
/// # Ok::<(), SyntaxError>(())
/// ```
///
/// `examples/custom_pass.rs` is a whole one, with its test.
#[derive(Clone)]
pub struct Registry {
    /// By name.
    entries: Vec<Entry>,
}

impl Default for Registry {
    /// The exact passes. [`crate::pruning::registry`] has those too that make a model smaller by removing something.
    fn default() -> Registry {
        Registry { entries: EXACT.to_vec() }
    }
}

impl Registry {
    /// The same with one pass more, which takes the place of one of its name.
    pub fn with(mut self, entry: Entry) -> Registry {
        self.entries.retain(|e| e.name != entry.name);
        let at = self.entries.partition_point(|e| e.name < entry.name);
        self.entries.insert(at, entry);
        self
    }

    /// All passes, by name.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries().find(|e| e.name == name)
    }
}

macro_rules! entries {
    ($($name:literal, $make:expr, $doc:literal;)*) => {
        &[$($crate::passes::Entry { name: $name, doc: $doc, make: |options| Ok(Box::new($make(options)?)) },)*]
    };
}
pub(crate) use entries;

/// Every exact pass. A new file is added here and nowhere else; passes that remove something stand in
/// `passes/pruning`.
pub const EXACT: &[Entry] = entries! {
    "close-bodies", plain(close_bodies::CloseBodies), "puts back what open-bodies took out";
    "cse", plain(cse::Cse), "merges calls that compute the same";
    "dce", plain(dce::Dce), "removes calls and constants that no output needs";
    "drop-identity", plain(drop_identity::DropIdentity), "removes calls that return their first operand";
    "fold-affine", plain(fold_affine::FoldAffine), "folds products and sums with constants into the weights before them";
    "fold-bn", plain(fold_bn::FoldBn), "folds BatchNormalization into the weights before it";
    "fold-constants", fold_constants::FoldConstants::new, "computes calls whose operands are all constant {max-bytes=128}";
    "fold-if", plain(fold_if::FoldIf), "replaces an If whose condition is known by the branch that is taken";
    "fold-pad", plain(fold_pad::FoldPad), "folds padding into the window that reads it";
    "fold-shapes", fold_shapes::FoldShapes::new, "replaces run-time shape arithmetic by its result {shorter}";
    "fold-weights", plain(fold_weights::FoldWeights), "computes weights that are stored in a form from which an axis can't be cut";
    "freeze-inputs", plain(freeze_inputs::FreezeInputs), "makes inputs that have a default constants of that value; changes the interface";
    "inline-functions", plain(inline_functions::InlineFunctions), "replaces calls of local functions by what these compute";
    "merge-constants", plain(merge_constants::MergeConstants), "merges equal constants";
    "merge-reshapes", plain(merge_reshapes::MergeReshapes), "merges two calls that only change the shape";
    "merge-transposes", plain(merge_transposes::MergeTransposes), "cancels transpositions, also around what does not care about axes";
    "open-bodies", plain(open_bodies::OpenBodies), "puts the bodies of If, Loop and Scan into the graph around them";
    "split-constants", plain(split_constants::SplitConstants), "gives every use of a constant its own copy";
};

/// The constructor of a pass without options.
fn plain<P: Pass>(pass: P) -> impl FnOnce(&mut Options) -> Result<P, OptionError> {
    move |_| Ok(pass)
}

#[cfg(test)]
pub(crate) mod tests;
