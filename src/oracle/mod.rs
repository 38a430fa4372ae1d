//! The oracle: runs a model and says what comes out.
//!
//! It is tract, behind the cargo feature `tract`, or on demand ONNX Runtime, behind `ort` ([`Setup`] says which), and
//! nothing outside this folder names them. A [`Runner`] holds one model, prepared for inputs of fixed sizes; any number
//! of them live side by side. Runs are deterministic and use one thread unless told otherwise, so two runs of one feed
//! give the same bits, and times can be compared.
//!
//! The oracle must be right or silent. What tract ignores or would compute differently (an operator's domain,
//! a BatchNormalization in training mode, the direction of a recurrence) is said in other operators or refused by name
//! before tract sees it; its panics become errors.
//!
//! # How
//!
//! `src/oracle/` is the only folder that names tract, or ONNX Runtime. A `Setup` says which of them runs a model, and on how
//! many threads; verification, judging, timing and profiling take one, and everything else asks tract. ONNX Runtime's
//! library is loaded when it is asked for first, and takes no half-precision inputs here. Without the feature `tract`
//! `absent.rs` stands in for it, and folding falls back on what inference knows. The rule for tract is **to be right or
//! silent**:
//!
//! - what tract lacks or would compute wrongly is said in other operators first (`rewrite.rs`, for `ai.onnx.ml`
//!   `features.rs`, for DynamicQuantizeLSTM `quantized_lstm.rs`), or computed by operators of our own in the place of
//!   tract's (`branch.rs`: If; `scatter.rs`: ScatterND), or refused by name (`examine.rs`):
//!   an operator of another domain that happens to have a known name, for instance, or an attribute that tract does not
//!   look at. The conformance sweep finds such things, and lists what is left: rows that a mask hides as a whole, since to
//!   tract the maximum of nothing but −∞ is the least finite number. Where tract's optimizer alone is wrong, the model runs
//!   as it was read;
//! - its panics become errors (`panics.rs`), and its errors name a node of the file (`blame.rs`);
//! - sizes are fixed for a run, one thread is used unless ONNX Runtime is given more, and two runs of one feed give the
//!   same bits.

mod setup;

pub use setup::{Runtime, RuntimeError, Setup};

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

use crate::feed::Feed;
use crate::ir::{Signature, Tensor};
use crate::panics;
use std::fmt;
use std::path::Path;
use std::time::Duration;

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
pub enum OracleError {
    #[error("this build has no runtime to run models with (feature tract)")]
    Absent,
    #[error("this build has no ONNX Runtime; build it with `--features ort`")]
    NoOrt,
    #[error("ONNX Runtime can't be loaded: {0}")]
    NoLibrary(String),
    #[error("tract runs on one thread; {0} threads need --runtime ort")]
    Threads(usize),
    #[error("the bytes are not an ONNX model: {0}")]
    Decode(String),
    #[error("tract can't run {operator} {node:?}: {message}")]
    Unsupported { operator: String, node: String, message: String },
    #[error("the runtime can't prepare the model: {0}")]
    Prepare(String),
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

impl Setup {
    /// The runtime's name, with the build of a library that was loaded.
    pub fn runtime_and_build(&self) -> String {
        match self.runtime {
            #[cfg(feature = "ort")]
            Runtime::Ort if self.check().is_ok() => format!("ort {}", onnxruntime::build()),
            runtime => runtime.to_string(),
        }
    }

    /// Fails where this build or this machine can't run models so.
    pub fn check(&self) -> Result<(), OracleError> {
        match self.runtime {
            Runtime::Tract if self.threads != 1 => Err(OracleError::Threads(self.threads)),
            Runtime::Tract => Ok(()),
            #[cfg(feature = "ort")]
            Runtime::Ort => guarded(|| onnxruntime::environment().map(|_| ())),
            #[cfg(not(feature = "ort"))]
            Runtime::Ort => Err(OracleError::NoOrt),
        }
    }
}

/// Which integers the inputs hold. What breaks a runtime down is mostly one that points beyond a table.
fn integers(feed: &Feed) -> Option<String> {
    let range = |(name, tensor): &(String, Tensor)| {
        let numbers = tensor.to_i64()?;
        let (low, high) = (numbers.iter().min()?, numbers.iter().max()?);
        Some(format!("`{name}` holds {low} to {high}"))
    };
    let all: Vec<String> = feed.iter().filter_map(range).collect();
    let hint = "do these numbers point beyond a table of the model?";
    (!all.is_empty()).then(|| format!("the input {}; {hint}", all.join(", ")))
}

/// A model that is ready to run on inputs of fixed sizes.
pub struct Runner {
    prepared: Prepared,
    setup: Setup,
}

enum Prepared {
    Tract(engine::Engine),
    #[cfg(feature = "ort")]
    Ort(onnxruntime::Engine),
}

impl Runner {
    /// Prepares an encoded `ModelProto`. `dir` is where its external data lies; `inputs` are the sizes to run with,
    /// one for every graph input that has no initializer ([`Feed::signature`] has them).
    pub fn new(model: &[u8], dir: Option<&Path>, inputs: &[Signature]) -> Result<Runner, OracleError> {
        Runner::on(&Setup::default(), model, dir, inputs)
    }

    /// Like [`Runner::new`], with another runtime or more threads.
    pub fn on(setup: &Setup, model: &[u8], dir: Option<&Path>, inputs: &[Signature]) -> Result<Runner, OracleError> {
        setup.check()?;
        let prepared = || match setup.runtime {
            Runtime::Tract => engine::Engine::new(model, dir, inputs, true, &[]).map(Prepared::Tract),
            #[cfg(feature = "ort")]
            Runtime::Ort => onnxruntime::Engine::new(model, dir, inputs, setup.threads).map(Prepared::Ort),
            #[cfg(not(feature = "ort"))]
            Runtime::Ort => Err(OracleError::NoOrt),
        };
        guarded(prepared).map(|prepared| Runner { prepared, setup: *setup })
    }

    /// Like [`Runner::new`], and returns the inner values named `extra` too, after the model's own outputs.
    pub fn with_outputs(
        model: &[u8],
        dir: Option<&Path>,
        inputs: &[Signature],
        extra: &[String],
    ) -> Result<Runner, OracleError> {
        guarded(|| engine::Engine::new(model, dir, inputs, true, extra)).map(Runner::of_tract)
    }

    /// Like [`Runner::new`], but returns only the inner values of these names, and computes no more than they need.
    pub fn inside(
        model: &[u8],
        dir: Option<&Path>,
        inputs: &[Signature],
        values: &[String],
    ) -> Result<Runner, OracleError> {
        guarded(|| engine::Engine::new(model, dir, inputs, false, values)).map(Runner::of_tract)
    }

    fn of_tract(engine: engine::Engine) -> Runner {
        Runner { prepared: Prepared::Tract(engine), setup: Setup::default() }
    }

    /// What runs the model.
    pub fn setup(&self) -> Setup {
        self.setup
    }

    /// Runs the model. Returns the graph's outputs in the file's order, then the extra ones, each with its name.
    pub fn run(&self, feed: &Feed) -> Result<Vec<(String, Tensor)>, OracleError> {
        let outputs = guarded(|| match &self.prepared {
            Prepared::Tract(engine) => engine.run(feed),
            #[cfg(feature = "ort")]
            Prepared::Ort(engine) => engine.run(feed),
        });
        outputs.map_err(|error| match (error, integers(feed)) {
            (OracleError::Panic(why), Some(held)) => OracleError::Panic(format!("{why}; {held}")),
            (error, _) => error,
        })
    }

    /// Runs the model and says how long that took, without the conversion of inputs and outputs.
    pub fn time(&self, feed: &Feed) -> Result<Duration, OracleError> {
        guarded(|| match &self.prepared {
            Prepared::Tract(engine) => engine.time(feed),
            #[cfg(feature = "ort")]
            Prepared::Ort(engine) => engine.time(feed),
        })
    }

    /// How the runtime runs the model.
    pub fn plan(&self) -> Plan {
        match &self.prepared {
            Prepared::Tract(engine) => engine.plan(),
            #[cfg(feature = "ort")]
            Prepared::Ort(_) => Plan::Optimized,
        }
    }
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
