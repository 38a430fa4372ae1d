//! The oracle: runs a model and says what comes out.
//!
//! It is tract, behind the cargo feature `tract`, and nothing outside this folder names it. A [`Runner`] holds one
//! model, prepared for inputs of fixed sizes; any number of them live side by side. Runs are deterministic and use
//! one thread, so two runs of one feed give the same bits, and times can be compared.
//!
//! The oracle must be right or silent. What tract ignores or would compute differently (an operator's domain,
//! a BatchNormalization in training mode, the direction of a recurrence) is said in other operators or refused by name
//! before tract sees it; its panics become errors.

mod panics;

#[cfg(feature = "tract")]
mod blame;
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
mod rewrite;
#[cfg(feature = "tract")]
mod steps;

use crate::feed::Feed;
use crate::ir::{DType, Tensor};
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// Name, element type and shape of an input for one run.
pub type Signature = (String, DType, Vec<usize>);

/// How tract runs a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// With all of tract's optimizations.
    Optimized,
    /// As it was read: tract fails to optimize it, or does so wrongly. Results are right; times say little.
    Plain,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Plan::Optimized => "optimized",
            Plan::Plain => "plain",
        })
    }
}

/// Why the oracle gives no answer.
#[derive(Debug, thiserror::Error)]
pub enum OracleError {
    #[error("this build has no oracle (feature tract)")]
    Absent,
    #[error("the bytes are no ONNX model: {0}")]
    Decode(String),
    #[error("the oracle can't run {operator} {node:?}: {message}")]
    Unsupported { operator: String, node: String, message: String },
    #[error("the oracle can't prepare the model: {0}")]
    Prepare(String),
    #[error("the run failed at {operator} {node:?}: {message}")]
    Run { operator: String, node: String, message: String },
    #[error("the model has no value {0:?}")]
    NoValue(String),
    #[error("nothing is given for the input {name:?}; given are {given:?}")]
    NoInput { name: String, given: Vec<String> },
    #[error("the input {name:?} is {expected} but {found} is given")]
    Input { name: String, expected: String, found: String },
    #[error("the oracle has no elements of type {dtype}, which {value:?} has")]
    ElementType { value: String, dtype: String },
    #[error("the oracle broke down: {0}")]
    Panic(String),
}

/// A model that is ready to run on inputs of fixed sizes.
pub struct Runner(engine::Engine);

impl Runner {
    /// Prepares an encoded `ModelProto`. `dir` is where its external data lies; `inputs` are the sizes to run with,
    /// one for every graph input that has no initializer ([`Feed::signature`] has them).
    pub fn new(model: &[u8], dir: Option<&Path>, inputs: &[Signature]) -> Result<Runner, OracleError> {
        Runner::with_outputs(model, dir, inputs, &[])
    }

    /// Like [`Runner::new`], and returns the inner values named `extra` too, after the model's own outputs.
    pub fn with_outputs(
        model: &[u8],
        dir: Option<&Path>,
        inputs: &[Signature],
        extra: &[String],
    ) -> Result<Runner, OracleError> {
        panics::caught(|| engine::Engine::new(model, dir, inputs, true, extra)).map(Runner)
    }

    /// Like [`Runner::new`], but returns only the inner values of these names, and computes no more than they need.
    pub fn inside(
        model: &[u8],
        dir: Option<&Path>,
        inputs: &[Signature],
        values: &[String],
    ) -> Result<Runner, OracleError> {
        panics::caught(|| engine::Engine::new(model, dir, inputs, false, values)).map(Runner)
    }

    /// Runs the model. Returns the graph's outputs in the file's order, then the extra ones, each with its name.
    pub fn run(&self, feed: &Feed) -> Result<Vec<(String, Tensor)>, OracleError> {
        panics::caught(|| self.0.run(feed))
    }

    /// Runs the model and says how long that took, without the conversion of inputs and outputs.
    pub fn time(&self, feed: &Feed) -> Result<Duration, OracleError> {
        panics::caught(|| self.0.time(feed))
    }

    /// How tract runs the model.
    pub fn plan(&self) -> Plan {
        self.0.plan()
    }
}

#[cfg(all(test, not(feature = "tract")))]
mod tests {
    use super::*;

    #[test]
    fn without_tract_the_error_says_so() {
        let error = Runner::new(&[], None, &[]).err().expect("there is no oracle");
        assert_eq!(error.to_string(), "this build has no oracle (feature tract)");
    }
}

#[cfg(all(test, feature = "tract"))]
mod rewrite_tests;
#[cfg(all(test, feature = "tract"))]
mod tests;
