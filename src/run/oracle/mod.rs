//! The oracle: runs a model and says what comes out.
//!
//! It is ONNX Runtime, where its library is found on the machine (cargo feature `ort`), or tract, which is built in
//! (`tract`). A [`Setup`] says which of them, and on how many threads; whatever runs a model is given one, and nothing
//! outside this folder names a runtime. A [`Runner`] holds one model, prepared for inputs of fixed sizes; any number of
//! them live side by side. Two runs of one feed give the same bits, however many threads there are: a run uses one
//! thread unless it is timed on more, and what uses the others is other runs ([`Runner::run_all`]).
//!
//! The oracle must be right or silent. What tract ignores or would compute differently (an operator's domain,
//! a BatchNormalization in training mode, the direction of a recurrence) is said in other operators or refused by name
//! before tract sees it; its panics become errors.
//!
//! # How
//!
//! `library/` finds ONNX Runtime's library: `search.rs` says where it may be, and in which order; nothing is run for that,
//! and no folder counts that is named relative to the current one. `sound.rs` looks at a file before it is loaded. A
//! process loads one library and keeps it. Where a setup leaves the runtime open, ONNX Runtime is asked first, and what it
//! can't prepare, tract gets ([`Setup::attempt`]); what is to be compared is run by the same one.
//!
//! Without the feature `tract` `absent.rs` stands in for it, and folding falls back on what inference knows. The rule for
//! tract is **to be right or silent**:
//!
//! - what tract lacks or would compute wrongly is said in other operators first (`rewrite.rs`, for `ai.onnx.ml`
//!   `features.rs`, for DynamicQuantizeLSTM `quantized_lstm.rs`), or computed by operators of our own in the place of
//!   tract's (`branch.rs`: If; `scatter.rs`: ScatterND), or refused by name (`examine.rs`):
//!   an operator of another domain that happens to have a known name, for instance, or an attribute that tract does not
//!   look at. The conformance sweep finds such things, and lists what is left: rows that a mask hides as a whole, since to
//!   tract the maximum of nothing but −∞ is the least finite number. Where tract's optimizer alone is wrong, the model runs
//!   as it was read;
//! - its panics become errors (`panics.rs`), and its errors name a node of the file (`blame.rs`);
//! - sizes are fixed for a run, and two runs of one feed give the same bits.

mod runner;
mod setup;
mod survey;

pub(crate) use runner::Latest;
pub use runner::{Outputs, Runner};
pub use setup::{Lookup, Ran, Runtime, RuntimeError, Setup};
pub use survey::{Available, PassedOver, Survey};

#[cfg(feature = "tract")]
mod blame;
#[cfg(feature = "tract")]
mod branch;
#[cfg(feature = "tract")]
mod convert;
#[cfg(feature = "tract")]
mod engine;
#[cfg(not(feature = "tract"))]
#[path = "absent.rs"]
mod engine;
#[cfg(feature = "tract")]
mod examine;
#[cfg(feature = "tract")]
mod features;
#[cfg(feature = "ort")]
mod library;
#[cfg(feature = "ort")]
mod onnxruntime;
#[cfg(feature = "tract")]
mod quantized_lstm;
#[cfg(feature = "tract")]
mod rewrite;
#[cfg(feature = "tract")]
mod scatter;
#[cfg(feature = "tract")]
mod sparse;
#[cfg(feature = "tract")]
mod steps;

#[cfg(any(feature = "tract", feature = "ort"))]
use crate::feed::Feed;
#[cfg(any(feature = "tract", feature = "ort"))]
use crate::ir::{Signature, Tensor};
use crate::panics;
use std::fmt;

/// How a runtime runs a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// With all of the runtime's optimizations.
    Optimized,
    /// As it was read: tract fails to optimize it, or does so wrongly. Results are right; times say little.
    Plain,
    /// By no runtime, but as a program of single operations in double precision.
    Program,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Plan::Optimized => "optimized",
            Plan::Plain => "plain",
            Plan::Program => "program in double precision",
        })
    }
}

/// Why the oracle gives no answer.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The messages say what each is.
pub enum OracleError {
    #[error("this build has no runtime to run models with (feature tract)")]
    Absent,
    #[error("this build has no ONNX Runtime; build it with `--features ort`")]
    NoOrt,
    #[error("ONNX Runtime can't be loaded: {0}")]
    NoLibrary(String),
    #[error("tract runs a model on one thread; to time it on {0}, there is --runtime ort")]
    Threads(usize),
    #[error("the bytes are not an ONNX model: {0}")]
    Decode(String),
    #[error("tract can't run {operator} {node:?}: {message}")]
    Unsupported { operator: String, node: String, message: String },
    #[error("the runtime can't prepare the model: {0}")]
    Prepare(String),
    #[error("ONNX Runtime can't run {operator} {node:?}: {message}")]
    Refused { operator: String, node: String, message: String },
    #[error("ONNX Runtime can't prepare the model: {0}")]
    Unprepared(String),
    #[error("the run failed at {operator} {node:?}: {message}")]
    Run { operator: String, node: String, message: String },
    #[error("the model has no value {0:?}")]
    NoValue(String),
    #[error("nothing is given for the input {name:?}; given are {given:?}")]
    NoInput { name: String, given: Vec<String> },
    #[error("the input {name:?} is {expected} but {found} is given")]
    Input { name: String, expected: String, found: String },
    #[error("the runtime has no elements of type {dtype}, which {value:?} has")]
    ElementType { value: String, dtype: String },
    #[error("the runtime failed: {0}")]
    Panic(String),
}

impl OracleError {
    /// Whether it says that there is no such runtime here, and nothing of a model.
    pub fn is_about_the_runtime(&self) -> bool {
        matches!(self, OracleError::Absent | OracleError::NoOrt | OracleError::NoLibrary(_) | OracleError::Threads(_))
    }
}

/// A panic of the runtime as an error.
fn guarded<T>(work: impl FnOnce() -> Result<T, OracleError>) -> Result<T, OracleError> {
    panics::caught(work, OracleError::Panic)
}

/// What a feed has for an input, which must be of the type and the sizes that were announced.
#[cfg(any(feature = "tract", feature = "ort"))]
fn given<'f>(feed: &'f Feed, (name, dtype, shape): &Signature) -> Result<&'f Tensor, OracleError> {
    let tensor = feed.get(name).ok_or_else(|| OracleError::NoInput { name: name.clone(), given: feed.names() })?;
    if tensor.dtype == *dtype && tensor.shape == *shape {
        return Ok(tensor);
    }
    Err(OracleError::Input {
        name: name.clone(),
        expected: format!("{dtype}{shape:?}"),
        found: format!("{}{:?}", tensor.dtype, tensor.shape),
    })
}

#[cfg(all(test, not(feature = "tract")))]
mod tests {
    use super::*;

    #[test]
    fn without_tract_the_error_says_so() {
        let error = Runner::new(&[], None, &[]).err().expect("there is no oracle");
        assert_eq!(error.to_string(), "this build has no runtime to run models with (feature tract)");
    }
}

#[cfg(all(test, feature = "tract"))]
mod rewrite_tests;
#[cfg(all(test, feature = "tract"))]
mod tests;
